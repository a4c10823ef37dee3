//! Where the API is served: addresses, and listening on them.

use std::{
    fmt, fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::Deserialize;
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// Who may open the unix socket: its owner and group.
const SOCKET_MODE: u32 = 0o660;

/// Longest path of a unix socket, bytes (`sun_path` without its end).
const PATH_MAX: usize = 107;

/// Where to listen: `unix:/run/vrouter/vrouterd.sock` or `http://[::1]:7001`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum Address {
    /// A unix socket at this absolute path.
    Unix(PathBuf),
    /// TCP: host and port.
    Tcp(String),
}

/// A text that is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no address to listen on: {why}; write one like unix:/run/vrouter/vrouterd.sock or http://127.0.0.1:7001"
)]
pub struct BadAddress {
    text: String,
    why: &'static str,
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = |why| BadAddress {
            text: text.to_owned(),
            why,
        };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.starts_with('/') {
                return Err(bad("the path is not absolute"));
            }
            if path.len() > PATH_MAX {
                return Err(bad("the path has more than 107 bytes"));
            }
            return Ok(Self::Unix(path.into()));
        }
        let authority = text.strip_prefix("http://");
        let authority = authority.ok_or_else(|| bad("it begins with neither unix: nor http://"))?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = authority.rsplit_once(':').ok_or_else(|| bad("the port is missing"))?;
        if !port.bytes().all(|c| c.is_ascii_digit()) || port.parse::<u16>().is_err() {
            return Err(bad("the port is not a number from 0 to 65535"));
        }
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || host.contains(['/', '@', ' ']) || (host.contains(':') && !bracketed) {
            return Err(bad(
                "the host is neither a name nor an address (IPv6 ones stand in brackets)",
            ));
        }
        Ok(Self::Tcp(authority.to_owned()))
    }
}

impl TryFrom<String> for Address {
    type Error = BadAddress;

    fn try_from(text: String) -> Result<Self, BadAddress> {
        text.parse()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(authority) => write!(f, "http://{authority}"),
        }
    }
}

/// Why nobody can listen there.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A living process does.
    #[error(
        "cannot listen on {0}: a process answers there already; is vrouterd running? Stop it or choose another address"
    )]
    Taken(Address),
    /// Something that is no socket is there.
    #[error("cannot listen on {0}: there is a file that is no socket; move it away or choose another path")]
    NotASocket(Address),
    /// The system refuses.
    #[error("cannot listen on {address}: {doing}")]
    System {
        /// Where.
        address: Address,
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// A bound listener.
#[derive(Debug)]
pub enum Listener {
    /// On a unix socket, whose file goes when this is dropped.
    Unix(UnixListener, SocketFile),
    /// On a TCP port.
    Tcp(TcpListener),
}

/// Removes the socket's file when dropped, unless another has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // Failing leaves a file behind that the next to listen here replaces.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

impl Listener {
    /// Listens. A unix socket's directory is made; a socket that nobody answers on any more is replaced.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn bind(address: &Address) -> Result<Self, ListenError> {
        match address {
            Address::Unix(path) => Self::bind_unix(address, path).await,
            Address::Tcp(authority) => match TcpListener::bind(authority.as_str()).await {
                Ok(listener) => Ok(Self::Tcp(listener)),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(ListenError::Taken(address.clone())),
                Err(source) => Err(ListenError::System {
                    address: address.clone(),
                    doing: "binding the port",
                    source,
                }),
            },
        }
    }

    async fn bind_unix(address: &Address, path: &Path) -> Result<Self, ListenError> {
        let system = |doing| {
            move |source| ListenError::System {
                address: address.clone(),
                doing,
                source,
            }
        };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(system("making its directory"))?;
        }
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => return Err(ListenError::NotASocket(address.clone())),
            Ok(_) => match UnixStream::connect(path).await {
                // Only this says that nobody listens: a full queue, for one, means that somebody does.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(system("removing the socket that nobody answers on"))?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Ok(_) | Err(_) => return Err(ListenError::Taken(address.clone())),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(system("looking for an older socket")(error)),
        }
        let listener = UnixListener::bind(path).map_err(system("binding the socket"))?;
        let file = SocketFile {
            path: path.to_owned(),
            identity: identity(path).map_err(system("looking at the socket"))?,
        };
        let mode = fs::Permissions::from_mode(SOCKET_MODE);
        fs::set_permissions(path, mode).map_err(system("setting the socket's permissions"))?;
        Ok(Self::Unix(listener, file))
    }

    /// Where it listens in fact: with the port that the system chose, if it was left to it.
    pub fn address(&self) -> Option<Address> {
        match self {
            Self::Unix(_, file) => Some(Address::Unix(file.path.clone())),
            Self::Tcp(listener) => listener.local_addr().ok().map(|a| Address::Tcp(a.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in [
            "unix:/run/x.sock",
            "http://127.0.0.1:7001",
            "http://[::1]:7001",
            "http://node-a:0",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("unix:///x".parse::<Address>().unwrap().to_string(), "unix:/x");
    }

    #[test]
    fn what_is_no_address_is_told_what_would_be() {
        let long = format!("unix:/{}", "x".repeat(200));
        for (text, why) in [
            ("", "neither"),
            ("/run/x.sock", "neither"),
            ("https://a:1", "neither"),
            ("unix:", "absolute"),
            ("unix:x", "absolute"),
            (long.as_str(), "107 bytes"),
            ("http://a", "port is missing"),
            ("http://a:99999", "65535"),
            ("http://a:+1", "65535"),
            ("http://:1", "host"),
            ("http://::1:7000", "brackets"),
            ("http://a/b:1", "host"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(
                error.contains(why) && error.contains("unix:/run/vrouter"),
                "{text}: {error}"
            );
        }
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/for/x.sock");
        let address = Address::Unix(path.clone());
        let first = Listener::bind(&address).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let taken = Listener::bind(&address).await.unwrap_err();
        assert!(taken.to_string().contains("is vrouterd running?"), "{taken}");
        drop(first);
        assert!(!path.exists());
        // A killed process leaves its file behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let second = Listener::bind(&address).await.unwrap();
        // Another's socket in its place is not ours to remove.
        fs::remove_file(&path).unwrap();
        let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(second);
        assert!(path.exists());
        drop(other);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "x").unwrap();
        assert!(matches!(
            Listener::bind(&address).await,
            Err(ListenError::NotASocket(_))
        ));
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }

    #[tokio::test]
    async fn a_taken_port_and_an_unusable_directory_are_told() {
        let first = Listener::bind(&"http://127.0.0.1:0".parse().unwrap()).await.unwrap();
        let taken = Listener::bind(&first.address().unwrap()).await;
        assert!(matches!(taken, Err(ListenError::Taken(_))));
        let error = Listener::bind(&"unix:/proc/nowhere/x.sock".parse().unwrap())
            .await
            .unwrap_err();
        assert!(error.to_string().contains("making its directory"), "{error}");
    }
}

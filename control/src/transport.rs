//! Where gRPC is spoken: addresses, listeners and connections. Nothing of what is said there.

use std::{
    fmt, fs, io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use serde::Deserialize;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tonic::transport::{Channel, Endpoint};

/// The address of a daemon: `unix:/run/vrouter/control.sock` or `http://[::1]:7000`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// Host and port.
    Tcp(String),
}

/// Why a text is no [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address; unix:/run/vrouter/control.sock or http://127.0.0.1:7000 would be right")]
pub struct BadAddress(String);

impl FromStr for Address {
    type Err = BadAddress;
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') {
                Ok(Self::Unix(path.into()))
            } else {
                Err(bad())
            };
        }
        let authority = text.strip_prefix("http://").ok_or_else(bad)?.trim_end_matches('/');
        let (host, port) = authority.rsplit_once(':').ok_or_else(bad)?;
        let bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        if host.is_empty() || bare_v6 || authority.contains('/') || port.parse::<u16>().is_err() {
            return Err(bad());
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

/// Connects to a daemon.
///
/// # Errors
/// Nobody answers there, or not in time.
pub async fn connect(address: &Address, timeout: Duration) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(address.to_string())?
        .connect_timeout(timeout)
        // A peer that vanished without a word (its machine died) is noticed.
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .connect()
        .await
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A living process answers there.
    #[error("{0}: another process answers there; is vrouter-control running already?")]
    Taken(Address),
    /// Something else than a socket is there.
    #[error("{0}: there is a file that is no socket; move it away or choose another path")]
    NoSocket(Address),
    /// The system refuses.
    #[error("{0}: {1}")]
    Io(Address, #[source] io::Error),
}

/// A bound listener.
#[derive(Debug)]
pub enum Listener {
    /// On a unix socket, which is removed when this is dropped.
    Unix(UnixListener, SocketFile),
    /// On a port.
    Tcp(TcpListener),
}

/// Removes the socket's file when dropped.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Binds `address`. The file of a unix socket that nobody answers on any more is replaced; the socket is for its owner and group.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn bind(address: &Address) -> Result<Self, ListenError> {
        let io = |error| ListenError::Io(address.clone(), error);
        match address {
            Address::Tcp(authority) => match TcpListener::bind(authority.as_str()).await {
                Ok(listener) => Ok(Self::Tcp(listener)),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(ListenError::Taken(address.clone())),
                Err(error) => Err(io(error)),
            },
            Address::Unix(path) => {
                if let Some(directory) = path.parent() {
                    fs::create_dir_all(directory).map_err(io)?;
                }
                match fs::symlink_metadata(path) {
                    Ok(found) if !found.file_type().is_socket() => return Err(ListenError::NoSocket(address.clone())),
                    Ok(_) if UnixStream::connect(path).await.is_ok() => {
                        return Err(ListenError::Taken(address.clone()));
                    }
                    Ok(_) => fs::remove_file(path).map_err(io)?,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(io(error)),
                }
                let listener = UnixListener::bind(path).map_err(io)?;
                fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(io)?;
                Ok(Self::Unix(listener, SocketFile(path.clone())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for good in [
            "unix:/run/x.sock",
            "http://127.0.0.1:7000",
            "http://[::1]:7000",
            "http://node-a:7000",
        ] {
            assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "unix:",
            "unix:x",
            "http://",
            "http://:1",
            "http://a",
            "http://::1:7000",
            "http://a:99999",
            "https://a:1",
            "http://a:1/x",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sub/x.sock");
        let address = Address::Unix(path.clone());
        let first = Listener::bind(&address).await.unwrap();
        assert!(matches!(Listener::bind(&address).await, Err(ListenError::Taken(_))));
        drop(first);
        assert!(!path.exists());
        // A process that was killed leaves its file behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let second = Listener::bind(&address).await.unwrap();
        drop(second);
        fs::write(&path, "x").unwrap();
        assert!(matches!(Listener::bind(&address).await, Err(ListenError::NoSocket(_))));
    }
}

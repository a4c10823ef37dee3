//! Reaching the two servers: addresses as people write them, and connections that give up in time with a useful sentence.

use std::{error::Error, fmt, io, path::PathBuf, str::FromStr, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time};
use tonic::transport::{Channel, Endpoint, Uri};
use vrouter_proto::{control::control_client::ControlClient, dataplane::dataplane_client::DataplaneClient};

use crate::failure::Failure;

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a server may take to begin its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest message accepted, bytes. A chunk of a dump or the statistics of a thousand ports may pass the library's 4 MiB.
const MESSAGE_LIMIT: usize = 256 << 20;

/// Where a server listens: `unix:/path` or `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// TCP, written as a URI.
    Tcp(Uri),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err("the path is missing; unix:/run/vrouter/control.sock would be right".to_owned())
            } else {
                Ok(Self::Unix(PathBuf::from(path)))
            };
        }
        match text.parse::<Uri>() {
            Ok(uri) if uri.scheme_str() == Some("http") && uri.port().is_some() => Ok(Self::Tcp(uri)),
            _ => Err("neither unix:/path nor http://host:port".to_owned()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(uri) => write!(f, "{}", uri.to_string().trim_end_matches('/')),
        }
    }
}

/// What is told to somebody whose server does not answer.
struct Server {
    socket: &'static str,
    program: &'static str,
    flag: &'static str,
    variable: &'static str,
}

/// Connects to `vrouter-control`.
pub(crate) async fn control(address: &Address) -> Result<ControlClient<Channel>, Failure> {
    let server = Server {
        socket: "control",
        program: "vrouter-control",
        flag: "--control",
        variable: "VROUTER_CONTROL",
    };
    let channel = channel(address, &server).await?;
    Ok(ControlClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT))
}

/// Connects to a `vrouterd`.
pub(crate) async fn dataplane(address: &Address) -> Result<DataplaneClient<Channel>, Failure> {
    let server = Server {
        socket: "dataplane",
        program: "vrouterd",
        flag: "--dataplane",
        variable: "VROUTER_DATAPLANE",
    };
    let channel = channel(address, &server).await?;
    Ok(DataplaneClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT))
}

async fn channel(address: &Address, server: &Server) -> Result<Channel, Failure> {
    let attempt = async {
        match address {
            // The URI of a unix socket's channel only fills the authority header.
            Address::Unix(path) => {
                let path = path.clone();
                let connector = tower::service_fn(move |_: Uri| {
                    let path = path.clone();
                    async move { UnixStream::connect(path).await.map(TokioIo::new) }
                });
                Endpoint::from_static("http://vrouter.local")
                    .timeout(ANSWER_TIMEOUT)
                    .connect_with_connector(connector)
                    .await
            }
            Address::Tcp(uri) => Endpoint::from(uri.clone()).timeout(ANSWER_TIMEOUT).connect().await,
        }
    };
    let error = match time::timeout(CONNECT_TIMEOUT, attempt).await {
        Ok(Ok(channel)) => return Ok(channel),
        Ok(Err(error)) => Some(error),
        Err(_) => None,
    };
    let denied = error
        .as_ref()
        .is_some_and(|error| cause(error, io::ErrorKind::PermissionDenied));
    Err(Failure::Unreachable {
        socket: server.socket,
        address: address.to_string(),
        program: server.program,
        reason: error.map_or_else(
            || format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
            |error| deepest(&error),
        ),
        hint: if denied {
            format!(
                "you may not open it: run vrctl as root, or as a user that may use {}'s socket",
                server.program
            )
        } else {
            format!(
                "if it listens elsewhere, say where with {} ADDR or {}",
                server.flag, server.variable
            )
        },
    })
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

fn deepest(error: &(dyn Error + 'static)) -> String {
    let words = chain(error).last().map(ToString::to_string).unwrap_or_default();
    // "Connection refused (os error 111)": the number helps nobody.
    match words.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => words,
    }
}

fn cause(error: &(dyn Error + 'static), kind: io::ErrorKind) -> bool {
    chain(error).any(|error| {
        error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == kind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in [
            "unix:/run/vrouter/control.sock",
            "http://[::1]:7000",
            "http://node1:7000",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_told_what_would_be() {
        for text in ["/run/vrouter/control.sock", "https://a:1", "http://a", "unix:", ""] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.contains("unix:/"), "{text}: {error}");
        }
    }
}

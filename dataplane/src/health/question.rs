//! What a workload is asked, and which answers are right.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use http_body_util::Empty;
use hyper::{Request, body::Bytes, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::program::object::{HealthCheckSpec, HealthKind};

/// How the prober calls itself.
const USER_AGENT: &str = concat!("vrouter-health/", env!("CARGO_PKG_VERSION"));

/// Asks over a connection that stands. The error says in words what was wrong.
pub(super) async fn ask<S>(stream: S, spec: &HealthCheckSpec) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    match spec.kind {
        HealthKind::Tcp => Ok(()),
        HealthKind::Http => http(stream, spec).await,
        HealthKind::Grpc => grpc(stream, spec).await,
    }
}

/// The address as it is written in a URI; with the port, unless it is that of HTTP.
fn host(address: IpAddr, port: u16) -> String {
    match (address, port) {
        (IpAddr::V4(address), 80) => address.to_string(),
        (IpAddr::V6(address), 80) => format!("[{address}]"),
        _ => SocketAddr::new(address, port).to_string(),
    }
}

async fn http<S>(stream: S, spec: &HealthCheckSpec) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let words = |error: hyper::Error| format!("HTTP: {error}");
    let target = if spec.target.is_empty() { "/" } else { &*spec.target };
    let request = Request::get(target)
        .header(header::HOST, host(spec.address, spec.port))
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("HTTP: {error}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(words)?;
    let mut answer = std::pin::pin!(sender.send_request(request));
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The end of the connection brings the answer, or says why there is none.
        _ = connection => answer.await,
    };
    match answer.map_err(words)?.status().as_u16() {
        200..=399 => Ok(()),
        status => Err(format!("HTTP status {status}")),
    }
}

async fn grpc<S>(stream: S, spec: &HealthCheckSpec) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let endpoint = Endpoint::from_shared(format!("http://{}", host(spec.address, spec.port)))
        .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
        .map_err(|error| format!("gRPC: {error}"))?;
    // There is one stream: a second attempt finds none.
    let stream = Arc::new(Mutex::new(Some(stream)));
    let connector = tower::service_fn(move |_: hyper::Uri| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            let stream = stream.ok_or(std::io::ErrorKind::NotConnected)?;
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    });
    let channel = endpoint
        .connect_with_connector(connector)
        .await
        .map_err(|error| format!("gRPC: {error}"))?;
    let request = HealthCheckRequest {
        service: spec.target.to_string(),
    };
    match HealthClient::new(channel).check(request).await {
        Ok(answer) => match answer.into_inner().status() {
            ServingStatus::Serving => Ok(()),
            other => Err(format!("gRPC health {}", other.as_str_name())),
        },
        Err(status) if status.code() == Code::NotFound => Err(format!(
            "gRPC: health of service {:?} is not known there",
            &*spec.target
        )),
        Err(status) => Err(format!("gRPC: {}: {}", status.code(), status.message())),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tonic_health::server::health_reporter;

    use super::*;

    fn spec(kind: HealthKind, address: &str, port: u16, target: &str) -> HealthCheckSpec {
        HealthCheckSpec {
            id: 1,
            name: "".into(),
            vrf: 1,
            address: address.parse().unwrap(),
            port,
            kind,
            target: target.into(),
            interval_ms: 0,
            timeout_ms: 0,
            rise: 0,
            fall: 0,
        }
    }

    /// What was concluded from `answer`, and what was asked.
    async fn answered(answer: &'static str, target: &str, address: &str, port: u16) -> (Result<(), String>, String) {
        let (near, mut far) = duplex(4096);
        let server = tokio::spawn(async move {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(far.read_u8().await.unwrap());
            }
            far.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(asked).unwrap()
        });
        let concluded = ask(near, &spec(HealthKind::Http, address, port, target)).await;
        (concluded, server.await.unwrap())
    }

    #[tokio::test]
    async fn http_is_asked_for_the_target_and_statuses_from_200_to_399_are_right() {
        let (concluded, asked) = answered(
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "/healthz?deep",
            "10.1.0.7",
            8080,
        )
        .await;
        assert_eq!(concluded, Ok(()));
        let asked = asked.to_ascii_lowercase();
        assert!(asked.starts_with("get /healthz?deep http/1.1\r\n"), "{asked}");
        assert!(asked.contains("\r\nhost: 10.1.0.7:8080\r\n"), "{asked}");
        let (concluded, asked) = answered("HTTP/1.0 301 Moved\r\n\r\n", "", "fd00::7", 80).await;
        assert_eq!(concluded, Ok(()));
        let asked = asked.to_ascii_lowercase();
        assert!(
            asked.starts_with("get / http/1.1\r\n") && asked.contains("\r\nhost: [fd00::7]\r\n"),
            "{asked}"
        );
        let status = |text| answered(text, "", "fd00::7", 8080);
        assert_eq!(status("HTTP/1.1 399 X\r\n\r\n").await.0, Ok(()));
        let wrong = |status| Err(format!("HTTP status {status}"));
        assert_eq!(status("HTTP/1.1 400 X\r\n\r\n").await.0, wrong(400));
        assert_eq!(status("HTTP/1.1 503 X\r\n\r\n").await.0, wrong(503));
        for garbage in ["", "SSH-2.0-x\r\n\r\n"] {
            let why = status(garbage).await.0.unwrap_err();
            assert!(why.starts_with("HTTP: "), "{why}");
        }
    }

    /// The answer of a gRPC server that knows the service "known", in this status, over one connection.
    async fn grpc_answer(status: tonic_health::ServingStatus, service: &str) -> Result<(), String> {
        let (near, far) = duplex(4096);
        let (reporter, health) = health_reporter();
        reporter.set_service_status("known", status).await;
        let incoming = tokio_stream::once(Ok::<DuplexStream, std::io::Error>(far));
        let serving = tonic::transport::Server::builder()
            .add_service(health)
            .serve_with_incoming(incoming);
        let server = tokio::spawn(serving);
        let concluded = ask(near, &spec(HealthKind::Grpc, "fd00::7", 50051, service)).await;
        server.abort();
        concluded
    }

    #[tokio::test]
    async fn grpc_must_say_serving_for_the_service() {
        use tonic_health::ServingStatus;
        assert_eq!(grpc_answer(ServingStatus::Serving, "known").await, Ok(()));
        assert_eq!(
            grpc_answer(ServingStatus::NotServing, "").await,
            Ok(()),
            "the server as a whole"
        );
        let why = grpc_answer(ServingStatus::NotServing, "known").await.unwrap_err();
        assert_eq!(why, "gRPC health NOT_SERVING");
        let why = grpc_answer(ServingStatus::Serving, "other").await.unwrap_err();
        assert!(why.contains("\"other\""), "{why}");
        let (near, mut far) = duplex(4096);
        let speaks_http1 = tokio::spawn(async move {
            let _ = far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        });
        let why = ask(near, &spec(HealthKind::Grpc, "10.1.0.7", 80, ""))
            .await
            .unwrap_err();
        assert!(why.starts_with("gRPC: "), "{why}");
        speaks_http1.await.unwrap();
    }
}

//! A small HTTP server: `/metrics`, `/healthz`, `/readyz`.
//!
//! A connection answers one request and is closed; it has a few seconds for all of it, and headers have a few kilobytes. Only so many are open at a time: the
//! others wait in the kernel's queue. One page is made at a time. So no client, however slow or hostile, makes this process large or keeps it busy.

use std::{convert::Infallible, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore},
    task::JoinSet,
    time,
};

use crate::page::Format;

/// Connections at a time.
const CONNECTIONS: usize = 16;

/// For a request to arrive.
const HEADER_TIME: Duration = Duration::from_secs(5);

/// For a whole connection: a page that is not taken in this time is not wanted.
const CONNECTION_TIME: Duration = Duration::from_secs(20);

/// Bytes that a request's head may have.
const HEADER_BYTES: usize = 16 << 10;

/// Headers that a request may have.
const HEADERS: usize = 64;

/// Pause after the system refused a connection: it has no descriptors left, most likely.
const REFUSED: Duration = Duration::from_millis(100);

/// What is served.
pub trait Source: Send + Sync + 'static {
    /// The page of all metrics; or why there is none.
    fn page(&self, format: Format) -> impl Future<Output = Result<String, String>> + Send;

    /// Whether the process does its work; or why not.
    fn ready(&self) -> impl Future<Output = Result<(), String>> + Send;
}

/// A bound server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    header_time: Duration,
}

/// What all connections share.
struct Shared<S> {
    source: S,
    /// Held while a page is made.
    making: Mutex<()>,
    header_time: Duration,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// The system's.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(address).await?,
            header_time: HEADER_TIME,
        })
    }

    /// Where it listens in fact.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until dropped.
    pub async fn run(self, source: impl Source) {
        let shared = Arc::new(Shared {
            source,
            making: Mutex::new(()),
            header_time: self.header_time,
        });
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        // Dropped with this future, and all connections with it.
        let mut connections = JoinSet::new();
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            while connections.try_join_next().is_some() {}
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let shared = shared.clone();
                    connections.spawn(async move {
                        let ended = time::timeout(CONNECTION_TIME, serve(stream, shared)).await;
                        match ended {
                            Ok(Ok(())) => {}
                            Ok(Err(error)) => tracing::debug!(%peer, %error, "a metrics connection failed"),
                            Err(_) => tracing::debug!(%peer, "a metrics connection took too long"),
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a metrics connection cannot be taken");
                    time::sleep(REFUSED).await;
                }
            }
        }
    }
}

async fn serve<S: Source>(stream: TcpStream, shared: Arc<Shared<S>>) -> hyper::Result<()> {
    let header_time = shared.header_time;
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(&request, &shared).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_time)
        .max_buf_size(HEADER_BYTES)
        .max_headers(HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

fn respond(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn answer<S: Source>(request: &Request<Incoming>, shared: &Shared<S>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let unavailable = |why: String| respond(StatusCode::SERVICE_UNAVAILABLE, PLAIN, why + "\n");
    match request.uri().path() {
        "/metrics" => {
            let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
            let format = Format::accepted(accept.unwrap_or_default());
            let _making = shared.making.lock().await;
            match shared.source.page(format).await {
                Ok(page) => respond(StatusCode::OK, HeaderValue::from_static(format.content_type()), page),
                Err(why) => unavailable(why),
            }
        }
        // That it answers is all that this asks.
        "/healthz" => respond(StatusCode::OK, PLAIN, "ok\n"),
        "/readyz" => match shared.source.ready().await {
            Ok(()) => respond(StatusCode::OK, PLAIN, "ok\n"),
            Err(why) => unavailable(why),
        },
        "/" => respond(StatusCode::OK, PLAIN, "/metrics\n/healthz\n/readyz\n"),
        _ => respond(
            StatusCode::NOT_FOUND,
            PLAIN,
            "/metrics, /healthz and /readyz are here\n",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    struct Fake(Arc<AtomicBool>);

    impl Source for Fake {
        async fn page(&self, format: Format) -> Result<String, String> {
            Ok(format!("{format:?}\n"))
        }

        async fn ready(&self) -> Result<(), String> {
            if self.0.load(Ordering::Relaxed) {
                Ok(())
            } else {
                Err("still starting".to_owned())
            }
        }
    }

    async fn start() -> (SocketAddr, Arc<AtomicBool>) {
        let ready = Arc::new(AtomicBool::new(false));
        let mut server = Server::bind("[::1]:0".parse().unwrap()).await.unwrap();
        server.header_time = Duration::from_millis(300);
        let address = server.address().unwrap();
        tokio::spawn(server.run(Fake(ready.clone())));
        (address, ready)
    }

    /// Sends bytes and reads until the server closes.
    async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may close before it has read all.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        raw(address, format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await
    }

    #[tokio::test]
    async fn pages_are_served_and_connections_closed() {
        let (address, ready) = start().await;
        let page = get(address, "/metrics").await;
        assert!(
            page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("Text\n"),
            "{page}"
        );
        assert!(
            page.contains("content-type: text/plain; version=0.0.4") && page.contains("connection: close"),
            "{page}"
        );
        let open = b"GET /metrics HTTP/1.1\r\nhost: x\r\naccept: application/openmetrics-text;version=1.0.0\r\n\r\n";
        let page = raw(address, open).await;
        assert!(page.contains("openmetrics-text; version=1.0.0") && page.ends_with("OpenMetrics\n"));
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let unready = get(address, "/readyz").await;
        assert!(
            unready.starts_with("HTTP/1.1 503") && unready.ends_with("still starting\n"),
            "{unready}"
        );
        ready.store(true, Ordering::Relaxed);
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/etc/passwd").await.starts_with("HTTP/1.1 404"));
        let posted = raw(
            address,
            b"POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
        assert!(posted.starts_with("HTTP/1.1 405"), "{posted}");
        let head = raw(address, b"HEAD /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    }

    #[tokio::test]
    async fn what_is_too_much_is_refused() {
        let (address, _) = start().await;
        let long = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(HEADER_BYTES * 4));
        let answer = raw(address, long.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
        let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(HEADERS + 1));
        let answer = raw(address, many.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
        assert!(
            !raw(address, b"\x00\xff\x16\x03 nonsense\r\n\r\n")
                .await
                .contains("200 OK")
        );
        assert!(get(address, "/metrics").await.contains("200 OK"));
    }

    #[tokio::test]
    async fn clients_that_send_nothing_keep_the_others_waiting_only_for_a_while() {
        let (address, _) = start().await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS * 2 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nhost").await.unwrap();
            silent.push(stream);
        }
        assert!(get(address, "/metrics").await.contains("200 OK"));
        for mut stream in silent {
            // Closed by the server, all of them.
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        }
    }
}

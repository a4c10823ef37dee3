//! Counts gRPC calls by method and code, as a layer around a server.
//!
//! Only methods that the descriptors know have a name of their own: what strangers ask for cannot make the page longer.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use prost::Message as _;
use tower::{Layer, Service};

use crate::{histogram::Histogram, page::Page};

/// Names of the codes, by number.
const CODES: [&str; 17] = [
    "ok",
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
];
const CANCELLED: usize = 1;
const UNKNOWN: usize = 2;

/// What is counted of one method.
#[derive(Debug, Default)]
struct Method {
    begun: AtomicU64,
    ended: [AtomicU64; CODES.len()],
    took: Histogram,
}

/// Service and method.
type Name = (String, String);

/// Counts of all methods of a server. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct RpcMetrics {
    /// By the path of a call, "/package.Service/Method".
    methods: Arc<BTreeMap<String, (Name, Arc<Method>)>>,
    other: Arc<Method>,
}

impl RpcMetrics {
    /// For the methods of `services` (with their package), as the encoded file descriptor set has them. Calls of others are counted together.
    pub fn new(descriptors: &[u8], services: &[&str]) -> Self {
        let set = prost_types::FileDescriptorSet::decode(descriptors).unwrap_or_default();
        let mut methods = BTreeMap::new();
        for file in &set.file {
            for service in &file.service {
                let full = format!("{}.{}", file.package(), service.name());
                for method in service.method.iter().filter(|_| services.contains(&full.as_str())) {
                    methods.insert(
                        format!("/{full}/{}", method.name()),
                        ((full.clone(), method.name().to_owned()), Arc::default()),
                    );
                }
            }
        }
        Self {
            methods: Arc::new(methods),
            other: Arc::default(),
        }
    }

    fn method(&self, path: &str) -> Arc<Method> {
        self.methods.get(path).map_or(&self.other, |(_, method)| method).clone()
    }

    /// Writes the counts of methods that were called.
    pub fn put(&self, page: &mut Page) {
        let other = ((String::from("_other"), String::from("_other")), self.other.clone());
        let called: Vec<_> = self
            .methods
            .values()
            .chain([&other])
            .filter(|(_, method)| method.begun.load(Ordering::Relaxed) > 0)
            .map(|((service, name), method)| ([("service", service.as_str()), ("method", name.as_str())], method))
            .collect();
        let mut family = page.counter(
            "vrouter_rpc_handled",
            "gRPC calls that ended, by code. Calls of unknown methods count as \"_other\".",
        );
        for (labels, method) in &called {
            for (code, count) in CODES.iter().zip(&method.ended) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    family.put(&[labels[0], labels[1], ("code", code)], count);
                }
            }
        }
        let mut family = page.gauge(
            "vrouter_rpc_in_flight",
            "gRPC calls under way; watches count as long as they last.",
        );
        for (labels, method) in &called {
            let ended: u64 = method.ended.iter().map(|count| count.load(Ordering::Relaxed)).sum();
            family.put(labels, method.begun.load(Ordering::Relaxed).saturating_sub(ended));
        }
        let mut family = page.histogram(
            "vrouter_rpc_duration_seconds",
            "Time from the beginning of a gRPC call to its end; of streams, their whole length.",
        );
        for (labels, method) in &called {
            family.distribution(labels, &method.took.read());
        }
    }
}

/// One call under way. Dropped before it is known how it ended, it was cancelled.
#[derive(Debug)]
struct Call {
    method: Arc<Method>,
    since: Instant,
    code: usize,
}

impl Call {
    fn ended(mut self, code: usize) {
        self.code = code;
    }

    fn code_from(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get("grpc-status") {
            let number = status.to_str().ok().and_then(|text| text.parse::<usize>().ok());
            self.code = number.filter(|number| *number < CODES.len()).unwrap_or(UNKNOWN);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.method.took.record(self.since.elapsed());
        if let Some(count) = self.method.ended.get(self.code) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<S> Layer<S> for RpcMetrics {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted {
            inner,
            metrics: self.clone(),
        }
    }
}

/// A service whose calls are counted.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    metrics: RpcMetrics,
}

impl<S, In, Out> Service<Request<In>> for Counted<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
    Out: Body + Unpin,
{
    type Response = Response<CountedBody<Out>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let method = self.metrics.method(request.uri().path());
        method.begun.fetch_add(1, Ordering::Relaxed);
        let mut call = Call {
            method,
            since: Instant::now(),
            code: CANCELLED,
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            match answer.await {
                Ok(response) => {
                    call.code_from(response.headers());
                    Ok(response.map(|body| CountedBody { body, call }))
                }
                Err(error) => {
                    call.ended(UNKNOWN);
                    Err(error)
                }
            }
        })
    }
}

/// The body of an answer, in whose trailers the code is.
#[derive(Debug)]
pub struct CountedBody<B> {
    body: B,
    call: Call,
}

impl<B: Body + Unpin> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.call.code_from(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt as _, Full};
    use tower::ServiceExt as _;

    use super::*;
    use crate::page::Format;

    fn metrics() -> RpcMetrics {
        let set = prost_types::FileDescriptorSet {
            file: vec![prost_types::FileDescriptorProto {
                package: Some("p.v1".into()),
                service: ["A", "B"]
                    .map(|name| prost_types::ServiceDescriptorProto {
                        name: Some(name.into()),
                        method: vec![prost_types::MethodDescriptorProto {
                            name: Some("Do".into()),
                            ..Default::default()
                        }],
                        ..Default::default()
                    })
                    .to_vec(),
                ..Default::default()
            }],
        };
        RpcMetrics::new(&set.encode_to_vec(), &["p.v1.A"])
    }

    fn page(metrics: &RpcMetrics) -> String {
        let mut page = Page::new(Format::Text);
        metrics.put(&mut page);
        page.finish()
    }

    async fn call(metrics: &RpcMetrics, path: &str, header: Option<&str>, trailer: Option<&str>, read: bool) {
        let (header, trailer) = (header.map(str::to_owned), trailer.map(str::to_owned));
        let service = metrics.layer(tower::service_fn(move |_: Request<Full<bytes::Bytes>>| {
            let (header, trailer) = (header.clone(), trailer.clone());
            async move {
                let mut response = Response::builder();
                if let Some(code) = header {
                    response = response.header("grpc-status", code);
                }
                let mut frames = vec![Frame::data(bytes::Bytes::from_static(b"x"))];
                if let Some(code) = trailer {
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", code.parse().unwrap());
                    frames.push(Frame::trailers(trailers));
                }
                Ok::<_, Infallible>(response.body(Frames(frames.into_iter())).unwrap())
            }
        }));
        let request = Request::builder().uri(path).body(Full::default()).unwrap();
        let answer = service.oneshot(request).await.unwrap();
        if read {
            answer.into_body().collect().await.unwrap();
        }
    }

    struct Frames(std::vec::IntoIter<Frame<bytes::Bytes>>);

    impl Body for Frames {
        type Data = bytes::Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<bytes::Bytes>, Infallible>>> {
            Poll::Ready(self.0.next().map(Ok))
        }
    }

    #[tokio::test]
    async fn calls_are_counted_by_method_and_code() {
        let metrics = metrics();
        call(&metrics, "/p.v1.A/Do", None, Some("0"), true).await;
        call(&metrics, "/p.v1.A/Do", None, Some("0"), true).await;
        call(&metrics, "/p.v1.A/Do", Some("5"), None, true).await;
        call(&metrics, "/p.v1.A/Do", None, Some("0"), false).await;
        call(&metrics, "/p.v1.A/Do", Some("99"), None, true).await;
        call(&metrics, "/p.v1.B/Do", None, Some("12"), true).await;
        call(&metrics, "/whatever", None, Some("12"), true).await;
        let page = page(&metrics);
        for line in [
            r#"vrouter_rpc_handled_total{service="p.v1.A",method="Do",code="ok"} 2"#,
            r#"vrouter_rpc_handled_total{service="p.v1.A",method="Do",code="not_found"} 1"#,
            r#"vrouter_rpc_handled_total{service="p.v1.A",method="Do",code="cancelled"} 1"#,
            r#"vrouter_rpc_handled_total{service="p.v1.A",method="Do",code="unknown"} 1"#,
            r#"vrouter_rpc_handled_total{service="_other",method="_other",code="unimplemented"} 2"#,
            r#"vrouter_rpc_in_flight{service="p.v1.A",method="Do"} 0"#,
            r#"vrouter_rpc_duration_seconds_count{service="p.v1.A",method="Do"} 5"#,
        ] {
            assert!(page.lines().any(|l| l == line), "{line} in\n{page}");
        }
    }
}

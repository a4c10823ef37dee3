//! The calls of `vrouter.dataplane.v1.Dataplane`.

use prost::Message as _;
use tonic::{Request, Response, Status, Streaming};
use vrouter_proto::dataplane::{self as pb, dataplane_server::Dataplane};

use super::{
    apply, capture, convert,
    flow_watch::FlowFeed,
    handle::Handle,
    outlet::{Answers, Outlet, Scribes},
    selection::Selection,
    view::View,
    watch,
};
use crate::{
    program::problem::Refusal,
    telemetry::{self, TraceError},
};

/// Largest message taken, bytes.
pub const MAX_MESSAGE: usize = 64 << 20;

/// Most objects of one message of a dump.
const OBJECTS: usize = 4096;

/// Size, in bytes, from which a message of a dump gets no more objects. Far below the 4 MiB that clients take by default.
const DUMP_BYTES: usize = 1 << 20;

/// Most flows of one message.
const FLOWS: usize = 2048;

/// Becomes true when the server is told to stop.
pub(super) type Stopping = tokio::sync::watch::Receiver<bool>;

/// The service, in front of the programming thread.
#[derive(Clone, Debug)]
pub(super) struct Service {
    handle: Handle,
    scribes: Scribes,
    flows: FlowFeed,
    stopping: Stopping,
}

impl Service {
    /// In front of the thread that `handle` leads to. Streams that would go on for ever end once `stopping` is set.
    pub(super) fn new(handle: Handle, flows: FlowFeed, stopping: Stopping) -> Self {
        Self {
            handle,
            scribes: Scribes::default(),
            flows,
            stopping,
        }
    }
}

#[tonic::async_trait]
impl Dataplane for Service {
    async fn get_info(&self, _: Request<pb::GetInfoRequest>) -> Result<Response<pb::GetInfoResponse>, Status> {
        Ok(Response::new(convert::info(&self.handle.view().await?)))
    }

    type ApplyStream = Answers<pb::ApplyResponse>;

    async fn apply(
        &self,
        request: Request<Streaming<pb::ApplyRequest>>,
    ) -> Result<Response<Self::ApplyStream>, Status> {
        Ok(Response::new(apply::run(
            self.handle.clone(),
            request.into_inner(),
            self.stopping.clone(),
        )))
    }

    type DumpStream = Answers<pb::DumpResponse>;

    async fn dump(&self, request: Request<pb::DumpRequest>) -> Result<Response<Self::DumpStream>, Status> {
        let selection = convert::selection(request.get_ref()).map_err(invalid)?;
        let scribe = self.scribes.free().await?;
        let view = self.handle.view().await?;
        Ok(Response::new(scribe.stream(move |outlet| {
            write_dump(&view, &selection, outlet);
        })))
    }

    type ListFlowsStream = Answers<pb::ListFlowsResponse>;

    async fn list_flows(
        &self,
        request: Request<pb::ListFlowsRequest>,
    ) -> Result<Response<Self::ListFlowsStream>, Status> {
        let (filter, limit) = convert::filter(request.get_ref()).map_err(invalid)?;
        let scribe = self.scribes.free().await?;
        let view = self.handle.view().await?;
        Ok(Response::new(scribe.stream(move |outlet| {
            let mut flows = view.flows(&filter).take(limit).map(convert::flow);
            loop {
                let flows: Vec<_> = flows.by_ref().take(FLOWS).collect();
                if flows.is_empty() || !outlet.send(pb::ListFlowsResponse { flows }) {
                    break;
                }
            }
        })))
    }

    type WatchStream = Answers<pb::Event>;

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (view, events) = self.handle.watch().await?;
        let snapshot = request.get_ref().snapshot;
        let beginning = if snapshot { watch::beginning(&view) } else { Vec::new() };
        Ok(Response::new(watch::run(beginning, events, self.stopping.clone())))
    }

    async fn get_statistics(
        &self,
        _: Request<pb::GetStatisticsRequest>,
    ) -> Result<Response<pb::GetStatisticsResponse>, Status> {
        let scribe = self.scribes.free().await?;
        let view = self.handle.view().await?;
        let made = scribe.once(move || convert::statistics(&view.statistics()));
        Ok(Response::new(made.await?))
    }

    async fn trace(&self, request: Request<pb::TraceRequest>) -> Result<Response<pb::TraceResponse>, Status> {
        let scribe = self.scribes.free().await?;
        let view = self.handle.view().await?;
        let made = scribe.once(move || trace(&view, request.into_inner()));
        Ok(Response::new(made.await??))
    }

    type WatchFlowsStream = Answers<pb::FlowEvent>;

    async fn watch_flows(
        &self,
        request: Request<pb::WatchFlowsRequest>,
    ) -> Result<Response<Self::WatchFlowsStream>, Status> {
        let wish = convert::watch_filter(request.get_ref()).map_err(invalid)?;
        let view = self.handle.view().await?;
        let stopping = self.stopping.clone();
        Ok(Response::new(self.flows.watch(
            view,
            self.handle.clone(),
            wish,
            stopping,
        )))
    }

    type CaptureStream = Answers<pb::CaptureEvent>;

    async fn capture(&self, request: Request<pb::CaptureRequest>) -> Result<Response<Self::CaptureStream>, Status> {
        let wish = convert::capture_wish(request.into_inner()).map_err(invalid)?;
        let view = self.handle.view().await?;
        let stream = capture::begin(view, self.handle.clone(), wish, self.stopping.clone())?;
        Ok(Response::new(stream))
    }
}

fn trace(view: &View, request: pb::TraceRequest) -> Result<pb::TraceResponse, Status> {
    let tables = view.snapshot.tables();
    let (port, asked) = convert::trace_request(tables, request).map_err(invalid)?;
    let given = match &asked {
        convert::Asked::Frame(frame) => telemetry::Given::Frame(frame),
        convert::Asked::Packet(packet) => telemetry::Given::Packet(packet),
    };
    match telemetry::trace(tables, &view.sources.shared, port, &given, view.now) {
        Ok(traced) => Ok(convert::traced(traced, view.revision())),
        Err(TraceError::NoMemory) => Err(Status::resource_exhausted(TraceError::NoMemory.to_string())),
        Err(error) => Err(Status::invalid_argument(error.to_string())),
    }
}

fn write_dump(view: &View, selection: &Selection, outlet: &Outlet<pb::DumpResponse>) {
    let (revision, now_s) = (view.revision(), view.now / 1_000_000_000);
    let (mut objects, mut bytes) = (Vec::new(), 0);
    let mut sent = false;
    for object in view.objects(selection) {
        let object = convert::dumped(&object, now_s);
        bytes += object.encoded_len();
        objects.push(object);
        if objects.len() == OBJECTS || bytes >= DUMP_BYTES {
            let objects = std::mem::take(&mut objects);
            bytes = 0;
            sent = true;
            if !outlet.send(pb::DumpResponse { revision, objects }) {
                return;
            }
        }
    }
    // Nothing at all is said too: it has a revision.
    if !sent || !objects.is_empty() {
        outlet.send(pb::DumpResponse { revision, objects });
    }
}

fn invalid(refusal: Refusal) -> Status {
    Status::invalid_argument(format!("{}: {}", refusal.field, refusal.message))
}

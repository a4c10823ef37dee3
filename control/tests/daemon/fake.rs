//! A dataplane without packets: validates every operation in its order, applies batches whole or not at all, and dies when told.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::{net::UnixListener, runtime::Runtime, sync::broadcast};
use tokio_stream::{Stream, StreamExt as _, wrappers::UnixListenerStream};
use tonic::{Request, Response, Status, Streaming};
use vrouter_control::compile::{ObjectKey, references};
use vrouter_proto::dataplane::{
    self as pb,
    dataplane_server::{Dataplane, DataplaneServer},
    object::Object,
    problem::Code,
};

/// What it holds: by key, and source for routes.
type Objects = BTreeMap<(ObjectKey, u32), pb::Object>;

#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) revision: u64,
    pub(crate) objects: Objects,
    /// Interfaces that do not exist.
    pub(crate) missing: BTreeSet<String>,
    /// Operations of each batch that was applied.
    pub(crate) applied: Vec<usize>,
    /// Batches that were refused.
    pub(crate) refused: usize,
    /// Ends the stream at this batch (counted down) without an answer, after applying it or before.
    pub(crate) hang_up: Option<(usize, bool)>,
    /// Only says which operation was at fault in every such batch, or in none.
    pub(crate) silent: bool,
    /// What health checks found. It outlives what is programmed, as the workloads do.
    pub(crate) health: BTreeMap<u32, pb::HealthState>,
}

/// One start of the process.
pub(crate) struct Fake {
    pub(crate) tables: Arc<Mutex<Tables>>,
    path: PathBuf,
    node: String,
    runtime: Option<Runtime>,
    events: broadcast::Sender<pb::Event>,
}

#[derive(Clone)]
struct Server {
    tables: Arc<Mutex<Tables>>,
    node: String,
    instance: String,
    vtep: String,
    events: broadcast::Sender<pb::Event>,
}

impl Fake {
    pub(crate) fn start(path: &Path, node: &str) -> Self {
        let (events, _) = broadcast::channel(1024);
        let mut fake = Self {
            tables: Arc::default(),
            path: path.to_owned(),
            node: node.to_owned(),
            runtime: None,
            events,
        };
        fake.restart();
        fake
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap()
    }

    /// What it holds of source 0, by key.
    pub(crate) fn held(&self) -> BTreeMap<ObjectKey, pb::Object> {
        self.tables()
            .objects
            .iter()
            .filter(|((_, source), _)| *source == 0)
            .map(|((k, _), o)| (k.clone(), o.clone()))
            .collect()
    }

    /// Does what a crash does to its clients: all connections and everything it held are gone.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        let mut tables = self.tables();
        tables.objects.clear();
        tables.revision = 0;
    }

    /// Cuts all connections and listens again, holding what it held.
    pub(crate) fn cut(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.restart();
    }

    pub(crate) fn restart(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let _ = std::fs::remove_file(&self.path);
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(&self.path).unwrap()
        };
        let last = self.node.bytes().last().unwrap_or_default();
        let server = Server {
            tables: self.tables.clone(),
            node: self.node.clone(),
            instance: uuid::Uuid::new_v4().to_string(),
            vtep: format!("192.0.2.{last}"),
            events: self.events.clone(),
        };
        let serve = tonic::transport::Server::builder()
            .add_service(DataplaneServer::new(server))
            .serve_with_incoming(UnixListenerStream::new(listener));
        runtime.spawn(serve);
        self.runtime = Some(runtime);
    }

    /// Somebody else changes something.
    pub(crate) fn meddle(&self, change: impl FnOnce(&mut Objects)) {
        let mut tables = self.tables();
        change(&mut tables.objects);
        tables.revision += 1;
        let _ = self.events.send(revision(tables.revision));
    }

    /// A workload answers its health checks, or not.
    pub(crate) fn workload(&self, address: &str, healthy: bool) {
        let mut tables = self.tables();
        let asked = |o: &pb::Object| match &o.object {
            Some(Object::HealthCheck(check)) if check.address == address => Some(check.id),
            _ => None,
        };
        let checks: Vec<u32> = tables.objects.values().filter_map(asked).collect();
        assert!(!checks.is_empty(), "nobody asks {address}");
        for id in checks {
            let state = pb::HealthState {
                healthy,
                detail: if healthy {
                    String::new()
                } else {
                    "connection refused".into()
                },
                successes: u64::from(healthy),
                failures: u64::from(!healthy),
            };
            tables.health.insert(id, state.clone());
            let _ = self.events.send(found(id, state));
        }
    }
}

fn found(health_check: u32, state: pb::HealthState) -> pb::Event {
    let state = Some(state);
    pb::Event {
        event: Some(pb::event::Event::Health(pb::HealthChanged { health_check, state })),
    }
}

fn revision(revision: u64) -> pb::Event {
    pb::Event {
        event: Some(pb::event::Event::Revision(pb::RevisionChanged { revision })),
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn source(object: &pb::Object) -> u32 {
    match &object.object {
        Some(Object::Route(route)) => route.source,
        _ => 0,
    }
}

/// Applies one operation to a copy.
fn apply(objects: &mut Objects, missing: &BTreeSet<String>, operation: &pb::Operation) -> Result<(), (Code, String)> {
    match operation
        .operation
        .as_ref()
        .ok_or((Code::Invalid, "empty".to_owned()))?
    {
        pb::operation::Operation::Put(object) => {
            let key = ObjectKey::of(object).ok_or((Code::Invalid, "no key".to_owned()))?;
            for reference in references(object) {
                if !objects.contains_key(&(reference.clone(), 0)) {
                    return Err((
                        Code::NotFound,
                        format!("{key} refers to {reference}, which does not exist"),
                    ));
                }
            }
            only_once(objects, &key, object)?;
            if let Some(Object::Port(port)) = &object.object {
                if port.mirrors.len() > 4 {
                    return Err((Code::Invalid, format!("{} mirrors", port.mirrors.len())));
                }
                if missing.contains(&port.interface) {
                    return Err((Code::Refused, format!("no interface {}", port.interface)));
                }
                for other in objects.values() {
                    if let Some(Object::Port(other)) = &other.object {
                        if other.id != port.id && other.interface == port.interface {
                            return Err((Code::InUse, format!("{} is port {}'s", port.interface, other.id)));
                        }
                        if other.id == port.id && other.interface != port.interface {
                            return Err((Code::Invalid, "delete it before it attaches otherwise".to_owned()));
                        }
                    }
                }
            }
            objects.insert((key, source(object)), object.clone());
        }
        pb::operation::Operation::Delete(key) => {
            let (key, source) = unkey(key);
            if source == 0 {
                let user = objects
                    .iter()
                    .find(|((other, _), o)| *other != key && references(o).contains(&key));
                if let Some(((user, _), _)) = user {
                    return Err((Code::InUse, format!("{user} refers to {key}")));
                }
            }
            objects.remove(&(key, source));
        }
    }
    Ok(())
}

/// What may be there only once, whatever its identifier.
fn only_once(objects: &Objects, key: &ObjectKey, object: &pb::Object) -> Result<(), (Code, String)> {
    let claim = |object: &pb::Object| match object.object.as_ref()? {
        Object::Vrf(vrf) if vrf.underlay => Some("the underlay".to_owned()),
        Object::Service(s) => Some(format!("service {} {} {} {}", s.vrf, s.address, s.protocol, s.port)),
        Object::SourceNat(s) => Some(format!("translation {} {} {}", s.inside, s.outside, s.prefix)),
        _ => None,
    };
    let Some(wanted) = claim(object) else { return Ok(()) };
    match objects
        .iter()
        .find(|((other, _), o)| other != key && claim(o).as_ref() == Some(&wanted))
    {
        Some(((other, _), _)) => Err((Code::InUse, format!("{wanted} is {other}'s"))),
        None => Ok(()),
    }
}

fn unkey(key: &pb::Key) -> (ObjectKey, u32) {
    use pb::key::Key;
    match key.key.as_ref().unwrap() {
        Key::Port(id) => (ObjectKey::Port(*id), 0),
        Key::Vrf(id) => (ObjectKey::Vrf(*id), 0),
        Key::Bridge(id) => (ObjectKey::Bridge(*id), 0),
        Key::NextHop(id) => (ObjectKey::NextHop(*id), 0),
        Key::Route(r) => {
            let (address, length) = r.prefix.split_once('/').unwrap();
            (
                ObjectKey::Route(r.vrf, address.parse().unwrap(), length.parse().unwrap()),
                r.source,
            )
        }
        Key::Mac(m) => (ObjectKey::Mac(m.bridge, m.mac.clone()), 0),
        Key::Neighbor(n) => (ObjectKey::Neighbor(n.bridge, n.address.parse().unwrap()), 0),
        Key::Vni(vni) => (ObjectKey::Vni(*vni), 0),
        Key::Label(label) => (ObjectKey::Label(*label), 0),
        Key::Identity(i) => {
            let (address, length) = i.prefix.split_once('/').unwrap();
            (
                ObjectKey::Identity(i.vrf, address.parse().unwrap(), length.parse().unwrap()),
                0,
            )
        }
        Key::Policy(id) => (ObjectKey::Policy(*id), 0),
        Key::SourceNat(id) => (ObjectKey::SourceNat(*id), 0),
        Key::Service(id) => (ObjectKey::Service(*id), 0),
        Key::Mirror(id) => (ObjectKey::Mirror(*id), 0),
        Key::HealthCheck(id) => (ObjectKey::HealthCheck(*id), 0),
    }
}

impl Server {
    /// `None`: hangs up.
    fn batch(&self, request: &pb::ApplyRequest) -> Option<pb::ApplyResponse> {
        let mut tables = self.tables.lock().unwrap();
        let hang_up = match &mut tables.hang_up {
            Some((0, after)) => Some(*after),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        if hang_up == Some(false) {
            tables.hang_up = None;
            return None;
        }
        let mut objects = tables.objects.clone();
        let mut problems = Vec::new();
        for (index, operation) in request.operations.iter().enumerate() {
            if let Err((code, message)) = apply(&mut objects, &tables.missing, operation) {
                let operation = if tables.silent {
                    u32::MAX
                } else {
                    u32::try_from(index).unwrap()
                };
                problems.push(pb::Problem {
                    operation,
                    code: code.into(),
                    field: String::new(),
                    message,
                });
                break;
            }
        }
        if problems.is_empty() {
            tables.objects = objects;
            tables.revision += 1;
            tables.applied.push(request.operations.len());
            let _ = self.events.send(revision(tables.revision));
            // Whom a new check asks answers as ever.
            let put = request.operations.iter().filter_map(|o| match o.operation.as_ref()? {
                pb::operation::Operation::Put(object) => object.object.as_ref(),
                pb::operation::Operation::Delete(_) => None,
            });
            for object in put {
                if let Object::HealthCheck(check) = object
                    && let Some(state) = tables.health.get(&check.id)
                {
                    let _ = self.events.send(found(check.id, state.clone()));
                }
            }
        } else {
            tables.refused += 1;
        }
        if hang_up == Some(true) {
            tables.hang_up = None;
            return None;
        }
        Some(pb::ApplyResponse {
            batch: request.batch,
            revision: tables.revision,
            problems,
        })
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Dataplane for Server {
    async fn trace(&self, _: Request<pb::TraceRequest>) -> Result<Response<pb::TraceResponse>, Status> {
        Err(Status::unimplemented("trace"))
    }

    type WatchFlowsStream = Pin<Box<dyn Stream<Item = Result<pb::FlowEvent, Status>> + Send>>;
    async fn watch_flows(&self, _: Request<pb::WatchFlowsRequest>) -> Result<Response<Self::WatchFlowsStream>, Status> {
        Err(Status::unimplemented("watch_flows"))
    }

    type CaptureStream = Pin<Box<dyn Stream<Item = Result<pb::CaptureEvent, Status>> + Send>>;
    async fn capture(&self, _: Request<pb::CaptureRequest>) -> Result<Response<Self::CaptureStream>, Status> {
        Err(Status::unimplemented("capture"))
    }

    async fn get_info(&self, _: Request<pb::GetInfoRequest>) -> Result<Response<pb::GetInfoResponse>, Status> {
        Ok(Response::new(pb::GetInfoResponse {
            version: "fake".into(),
            instance: self.instance.clone(),
            revision: self.tables.lock().unwrap().revision,
            node: self.node.clone(),
            vtep_addresses: vec![format!("{}/24", self.vtep)],
            uplinks: vec!["uplink0".into()],
            underlay_mtu: 1500,
            limits: None,
        }))
    }

    type ApplyStream = Answers<pb::ApplyResponse>;
    async fn apply(
        &self,
        request: Request<Streaming<pb::ApplyRequest>>,
    ) -> Result<Response<Self::ApplyStream>, Status> {
        let server = self.clone();
        let answers = request
            .into_inner()
            .map_while(move |request| Some(Ok(server.batch(&request.ok()?)?)));
        Ok(Response::new(Box::pin(answers)))
    }

    type DumpStream = Answers<pb::DumpResponse>;
    async fn dump(&self, _: Request<pb::DumpRequest>) -> Result<Response<Self::DumpStream>, Status> {
        let tables = self.tables.lock().unwrap();
        let mut objects: Vec<pb::Object> = tables
            .objects
            .values()
            .map(|object| as_dumped(object.clone(), &tables.health))
            .collect();
        objects.extend(foreign());
        let revision = tables.revision;
        let chunks: Vec<_> = objects
            .chunks(100)
            .map(|chunk| {
                Ok(pb::DumpResponse {
                    revision,
                    objects: chunk.to_vec(),
                })
            })
            .collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }

    type ListFlowsStream = Answers<pb::ListFlowsResponse>;
    async fn list_flows(&self, _: Request<pb::ListFlowsRequest>) -> Result<Response<Self::ListFlowsStream>, Status> {
        Err(Status::unimplemented("no flows here"))
    }

    type WatchStream = Answers<pb::Event>;
    async fn watch(&self, _: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let events = tokio_stream::wrappers::BroadcastStream::new(self.events.subscribe());
        let events = events.map(|event| event.map_err(|_| Status::data_loss("too slow")));
        Ok(Response::new(Box::pin(events)))
    }

    async fn get_statistics(
        &self,
        _: Request<pb::GetStatisticsRequest>,
    ) -> Result<Response<pb::GetStatisticsResponse>, Status> {
        Err(Status::unimplemented("no packets here"))
    }
}

/// With all that only dumps say, and some things said in other words.
fn as_dumped(mut object: pb::Object, health: &BTreeMap<u32, pb::HealthState>) -> pb::Object {
    match &mut object.object {
        Some(Object::HealthCheck(check)) => {
            let unknown = || pb::HealthState {
                detail: "not asked yet".into(),
                ..Default::default()
            };
            check.state = Some(health.get(&check.id).cloned().unwrap_or_else(unknown));
        }
        Some(Object::Service(service)) => {
            for backend in service.backends.iter_mut().filter(|b| b.vrf == service.vrf) {
                backend.vrf = 0;
            }
        }
        Some(Object::Mirror(mirror)) if mirror.from_workload && mirror.to_workload => {
            (mirror.from_workload, mirror.to_workload) = (false, false);
        }
        Some(Object::Port(port)) => {
            if let Some(guard) = &mut port.guard {
                guard.addresses.reverse();
                for address in &mut guard.addresses {
                    *address = address.trim_end_matches("/32").trim_end_matches("/128").to_owned();
                }
            }
            port.state = Some(pb::PortState {
                up: true,
                ..Default::default()
            });
        }
        Some(Object::NextHop(next_hop)) => {
            next_hop.state = Some(pb::NextHopState {
                resolved: true,
                detail: "via".into(),
                mtu: 1450,
            });
        }
        Some(Object::Route(route)) => route.active = true,
        _ => {}
    }
    object
}

/// What every real dataplane holds and nobody programmed.
fn foreign() -> Vec<pb::Object> {
    let wrap = |object| pb::Object { object: Some(object) };
    vec![
        wrap(Object::Port(pb::Port {
            id: 4_294_901_760,
            name: "uplink0".into(),
            uplink: true,
            ..Default::default()
        })),
        wrap(Object::Mac(pb::Mac {
            bridge: 1,
            mac: "02:aa:00:00:00:01".into(),
            next_hop: 5,
            learned: true,
            ..Default::default()
        })),
        wrap(Object::Neighbor(pb::Neighbor {
            address: "192.0.2.98".into(),
            state: "reachable".into(),
            ..Default::default()
        })),
    ]
}

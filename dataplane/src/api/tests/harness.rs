//! A served dataplane, and clients of it.

use std::{sync::Arc, thread, time::Duration};

use crossbeam::channel::{Sender, unbounded};
use tokio::{sync::oneshot, task::JoinHandle};
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint};
use vrouter_proto::dataplane::{self as pb, dataplane_client::DataplaneClient, object::Object as PbObject};

use crate::{
    api::{About, Address, Desk, Handle, Listener, Request, ServeError, Server, Stopped},
    engine::{
        Settings,
        memory::{MemoryDataplane, MemoryUplink},
    },
    program::Limits,
    telemetry::Sources,
    wire::Mac,
    worker::Clock as _,
};

type Work = Box<dyn FnOnce(&mut MemoryDataplane) + Send>;

enum Message {
    Request(Request),
    Work(Work),
}

/// A dataplane on a thread of its own, served on a socket.
pub(super) struct Served {
    pub(super) address: Address,
    messages: Sender<Message>,
    stop: Option<oneshot::Sender<()>>,
    pub(super) server: JoinHandle<Result<(), ServeError>>,
    pub(super) handle: Handle,
    directory: tempfile::TempDir,
}

pub(super) const LIMITS: Limits = Limits {
    ports: 64,
    vrfs: 64,
    bridges: 64,
    next_hops: 4096,
    route_bytes: 64 << 20,
};

impl Served {
    pub(super) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = Address::Unix(directory.path().join("dataplane.sock"));
        let (messages, inbox) = unbounded();
        let post = messages.clone();
        let handle = Handle::new(move |request| post.send(Message::Request(request)).map_err(|_| Stopped));
        let of_desk = handle.clone();
        thread::spawn(move || {
            let mut dataplane = dataplane();
            let mut desk = desk(&of_desk, &dataplane);
            while let Ok(message) = inbox.recv() {
                let now = dataplane.clock.now();
                match message {
                    Message::Request(request) => desk.answer(request, &mut dataplane.programmer, now),
                    Message::Work(work) => work(&mut dataplane),
                }
                dataplane.settle();
                desk.tell(&mut dataplane.programmer);
            }
        });
        let listener = Listener::bind(&address).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = Server::new(handle.clone(), vec![listener]).run(async move {
            let _ = stopped.await;
        });
        Self {
            address,
            messages,
            stop: Some(stop),
            server: tokio::spawn(server),
            handle,
            directory,
        }
    }

    /// Does something with the dataplane on its thread, lets everything settle, and waits.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut MemoryDataplane) -> T + Send + 'static,
    ) -> T {
        let (reply, answer) = oneshot::channel();
        let work = Box::new(move |dataplane: &mut MemoryDataplane| {
            let _ = reply.send(work(dataplane));
        });
        assert!(self.messages.send(Message::Work(work)).is_ok());
        answer.await.unwrap()
    }

    pub(super) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(self.address.to_string()).unwrap();
        endpoint.timeout(Duration::from_secs(60)).connect().await.unwrap()
    }

    pub(super) async fn client(&self) -> DataplaneClient<Channel> {
        DataplaneClient::new(self.channel().await)
    }

    /// Applies one batch and gives the answer.
    pub(super) async fn apply(&self, operations: Vec<pb::Operation>) -> pb::ApplyResponse {
        let request = tokio_stream::once(pb::ApplyRequest { batch: 1, operations });
        let answers = self.client().await.apply(request).await.unwrap();
        answers.into_inner().next().await.unwrap().unwrap()
    }

    /// The objects of these kinds, and the revision.
    pub(super) async fn dump(&self, kinds: &[pb::Kind], vrf: u32) -> (u64, Vec<PbObject>) {
        let kinds = kinds.iter().map(|kind| i32::from(*kind)).collect();
        let request = pb::DumpRequest { kinds, vrf };
        let mut chunks = self.client().await.dump(request).await.unwrap().into_inner();
        let (mut revision, mut objects) = (None, Vec::new());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.unwrap();
            assert_eq!(*revision.get_or_insert(chunk.revision), chunk.revision);
            objects.extend(chunk.objects.into_iter().filter_map(|object| object.object));
        }
        (revision.unwrap(), objects)
    }

    /// Tells the server to stop.
    pub(super) fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    pub(super) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }
}

fn dataplane() -> MemoryDataplane {
    let settings = Settings {
        flows: 4096,
        learned: 1024,
        limits: LIMITS,
        seed: 0x5eed,
        ..Settings::default()
    };
    let uplink = MemoryUplink {
        name: "wire0",
        mac: Mac([2, 0, 0, 0, 0xff, 1]),
        addresses: vec![("192.0.2.1".parse().unwrap(), 24)],
        gateways: Vec::new(),
    };
    MemoryDataplane::new(&settings, vec![uplink], 512, 2048).unwrap()
}

fn desk(handle: &Handle, dataplane: &MemoryDataplane) -> Desk {
    let loads = dataplane.programmer.fleet().loads();
    let sources = Sources {
        shared: dataplane.shared.clone(),
        workers: loads.iter().map(|load| (Arc::clone(load), None)).collect(),
        pool: dataplane.pool.clone(),
        captures: dataplane.programmer.fleet().captures(),
    };
    let about = About {
        instance: "one".into(),
        node: "node-a".into(),
        vteps: vec!["192.0.2.1".parse().unwrap()],
        uplinks: vec!["wire0".into()],
        limits: LIMITS,
    };
    Desk::new(handle, about, sources, &dataplane.programmer)
}

pub(super) fn put(object: PbObject) -> pb::Operation {
    let object = pb::Object { object: Some(object) };
    pb::Operation {
        operation: Some(pb::operation::Operation::Put(object)),
    }
}

pub(super) fn delete(key: pb::key::Key) -> pb::Operation {
    pb::Operation {
        operation: Some(pb::operation::Operation::Delete(pb::Key { key: Some(key) })),
    }
}

pub(super) fn vrf(id: u32) -> pb::Operation {
    let name = format!("vrf-{id}");
    put(PbObject::Vrf(pb::Vrf {
        id,
        name,
        underlay: false,
    }))
}

/// Workload `n` of VRF 7: 10.1.0.n behind port n.
pub(super) fn port(id: u32) -> pb::Operation {
    put(PbObject::Port(pb::Port {
        id,
        name: format!("port-{id}"),
        interface: format!("w{id}"),
        mode: pb::port::Mode::Memory.into(),
        vrf: 7,
        mac: mac(id).to_string(),
        gateways: vec!["10.1.0.254/24".into()],
        ..pb::Port::default()
    }))
}

pub(super) fn mac(port: u32) -> Mac {
    Mac([2, 0, 0, 0, 0, port as u8])
}

pub(super) fn next_hop(id: u64, action: pb::next_hop::Action) -> pb::Operation {
    let name = format!("hop-{id}");
    put(PbObject::NextHop(pb::NextHop {
        id,
        name,
        state: None,
        action: Some(action),
    }))
}

pub(super) fn route(prefix: impl ToString, next_hop: u64) -> pb::Operation {
    put(PbObject::Route(pb::Route {
        vrf: 7,
        prefix: prefix.to_string(),
        next_hop,
        ..pb::Route::default()
    }))
}

/// VRF 7 with ports 1 and 2, and a route to each.
pub(super) fn two_workloads() -> Vec<pb::Operation> {
    let to = |port| {
        let mac = String::new();
        next_hop(
            u64::from(port),
            pb::next_hop::Action::Port(pb::next_hop::ToPort { port, mac }),
        )
    };
    let mut all = vec![vrf(7), port(1), port(2), to(1), to(2)];
    all.extend([route("10.1.0.1/32", 1), route("10.1.0.2/32", 2)]);
    all
}

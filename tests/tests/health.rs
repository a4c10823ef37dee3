//! Workloads are asked whether they are well: from their gateway's address, by TCP, HTTP and gRPC, over IPv4 and IPv6. One vrouterd,
//! programmed by hand.

use std::{
    collections::HashSet,
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::Runtime;
use tonic::transport::server::TcpIncoming;
use tonic_health::{
    ServingStatus,
    server::{HealthReporter, health_reporter},
};
use vrouter_proto::dataplane::{
    Bridge, GetInfoRequest, HealthCheck, HealthState, Kind, NextHop, Policy, Port, Route, Verdict, Vrf, WatchRequest,
    event, health_check,
    key::Key,
    next_hop::{Action, Local, ToPort},
    object::Object,
};
use vrouter_tests::{
    api::Dataplane,
    cluster::{Compute, Options},
    container::Container,
    netns::Netns,
    node::{Node, Wire},
    require,
    topology::Topology,
    wait,
};

const VRF: u32 = 1;
const BRIDGE: u32 = 1;
const LOCAL: u64 = 1;

/// Gateway, routed workload, workload in the bridge, length of the prefix, of a host.
const SCENE: [(&str, &str, &str, u8, u8); 2] = [
    ("10.1.0.1", "10.1.0.10", "10.2.0.10", 24, 32),
    ("fd00:1::1", "fd00:1::10", "fd00:2::10", 64, 128),
];
const BRIDGE_GATEWAYS: [&str; 2] = ["10.2.0.1", "fd00:2::1"];

/// A server in a namespace: answers every request with one status, and remembers whom it saw.
struct Server {
    stopping: Arc<AtomicBool>,
    status: Arc<AtomicU16>,
    peers: Arc<Mutex<HashSet<IpAddr>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(netns: &Netns, at: SocketAddr) -> Result<Self> {
        let listener = netns.enter(|| TcpListener::bind(at))??;
        listener.set_nonblocking(true)?;
        let (stopping, status) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU16::new(200)));
        let peers = Arc::<Mutex<HashSet<IpAddr>>>::default();
        let thread = {
            let (stopping, status, peers) = (stopping.clone(), status.clone(), peers.clone());
            thread::spawn(move || {
                while !stopping.load(Ordering::SeqCst) {
                    let Ok((mut stream, _)) = listener.accept() else {
                        thread::sleep(Duration::from_millis(2));
                        continue;
                    };
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
                    if let Ok(peer) = stream.peer_addr() {
                        peers.lock().unwrap_or_else(PoisonError::into_inner).insert(peer.ip());
                    }
                    // Who connects without a word is answered by the connection.
                    if matches!(stream.read(&mut [0; 4096]), Ok(1..)) {
                        let status = status.load(Ordering::SeqCst);
                        let _ = write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\n\r\n");
                    }
                }
            })
        };
        Ok(Self {
            stopping,
            status,
            peers,
            thread: Some(thread),
        })
    }

    fn peers(&self) -> HashSet<IpAddr> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stop(&mut self) -> Result<()> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        self.stopping.store(true, Ordering::SeqCst);
        ensure!(thread.join().is_ok(), "a server panicked");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// A gRPC server with a health service in a namespace, which knows the service "web". Ends with its runtime.
struct GrpcServer {
    reporter: HealthReporter,
    runtime: Runtime,
}

impl GrpcServer {
    fn start(netns: &Netns, at: SocketAddr) -> Result<Self> {
        let listener = netns.enter(|| TcpListener::bind(at))??;
        listener.set_nonblocking(true)?;
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        let (reporter, service) = health_reporter();
        {
            let _runtime = runtime.enter();
            let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener)?);
            let server = tonic::transport::Server::builder().add_service(service);
            runtime.spawn(server.serve_with_incoming(incoming));
        }
        Ok(Self { reporter, runtime })
    }

    fn set(&self, status: ServingStatus) {
        self.runtime.block_on(self.reporter.set_service_status("web", status));
    }
}

/// The field order is the order of their end: the daemon before namespaces.
struct Scene {
    _compute: Compute,
    dataplane: Dataplane,
    routed: Container,
    bridged: Container,
    _wire: Wire,
}

impl Scene {
    fn new(t: &Topology) -> Result<Self> {
        let node = Node::new(t, "node1", 1)?;
        let wire = Wire::switched(t, &[&node], 1500)?;
        let (mut routed, mut bridged) = (Container::new(&node, "routed")?, Container::new(&node, "bridged")?);
        for ((gateway, one, other, length, _), bridge) in SCENE.into_iter().zip(BRIDGE_GATEWAYS) {
            routed.address(&format!("{one}/{length}"))?;
            routed.gateway(gateway)?;
            bridged.address(&format!("{other}/{length}"))?;
            bridged.gateway(bridge)?;
        }
        let compute = Compute::start(t, node, &Options::default(), true)?;
        let dataplane = compute.dataplane()?;
        dataplane.put(objects(&routed, &bridged)?)?;
        Ok(Self {
            _compute: compute,
            dataplane,
            routed,
            bridged,
            _wire: wire,
        })
    }

    /// What is known of a check.
    fn state(&self, id: u32) -> Result<HealthState> {
        let objects = self.dataplane.dump(&[Kind::HealthCheck])?;
        let found = objects.into_iter().find_map(|object| match object {
            Object::HealthCheck(check) if check.id == id => check.state,
            _ => None,
        });
        found.with_context(|| format!("no check {id}, or no state of it"))
    }

    fn wait(&self, id: u32, healthy: bool) -> Result<HealthState> {
        wait::until(&format!("check {id} to become healthy: {healthy}"), || {
            let state = self.state(id)?;
            ensure!(state.healthy == healthy, "{state:?}");
            Ok(state)
        })
    }
}

fn next_hop(id: u64, action: Action) -> Object {
    Object::NextHop(NextHop {
        id,
        action: Some(action),
        ..Default::default()
    })
}

fn route(address: &str, length: u8, next_hop: u64) -> Object {
    Object::Route(Route {
        vrf: VRF,
        prefix: format!("{address}/{length}"),
        next_hop,
        ..Default::default()
    })
}

/// Both workloads have a policy that allows nothing: what their gateway asks is not subject to it.
fn objects(routed: &Container, bridged: &Container) -> Result<Vec<Object>> {
    let gateways = |addresses: [&str; 2]| {
        let lengths = SCENE.iter().map(|scene| scene.3);
        let texts = addresses.into_iter().zip(lengths);
        texts
            .map(|(address, length)| format!("{address}/{length}"))
            .collect::<Vec<_>>()
    };
    let port = |id, container: &Container| {
        Ok::<_, anyhow::Error>(Port {
            id,
            name: container.name.clone(),
            interface: container.name.clone(),
            mac: container.mac()?,
            policy: 1,
            ..Default::default()
        })
    };
    let mut objects = vec![
        Object::Vrf(Vrf {
            id: VRF,
            name: "tenant".to_owned(),
            ..Default::default()
        }),
        Object::Bridge(Bridge {
            id: BRIDGE,
            name: "lan".to_owned(),
            vrf: VRF,
            gateways: gateways(BRIDGE_GATEWAYS),
            ..Default::default()
        }),
        Object::Policy(Policy {
            id: 1,
            name: "nothing".to_owned(),
            egress_default: Verdict::Deny.into(),
            ingress_default: Verdict::Deny.into(),
            ..Default::default()
        }),
        Object::Port(Port {
            vrf: VRF,
            gateways: gateways(SCENE.map(|scene| scene.0)),
            ..port(1, routed)?
        }),
        Object::Port(Port {
            bridge: BRIDGE,
            ..port(2, bridged)?
        }),
        next_hop(LOCAL, Action::Local(Local {})),
    ];
    for id in [1, 2] {
        let to = ToPort {
            port: id,
            ..Default::default()
        };
        objects.push(next_hop(10 + u64::from(id), Action::Port(to)));
    }
    for ((gateway, one, other, _, host), bridge) in SCENE.into_iter().zip(BRIDGE_GATEWAYS) {
        objects.extend([
            route(gateway, host, LOCAL),
            route(bridge, host, LOCAL),
            route(one, host, 11),
            route(other, host, 12),
        ]);
    }
    Ok(objects)
}

fn check(id: u32, address: &str, port: u16, kind: health_check::Kind) -> HealthCheck {
    HealthCheck {
        id,
        name: format!("check-{id}"),
        vrf: VRF,
        address: address.to_owned(),
        port: port.into(),
        kind: kind.into(),
        interval_ms: 200,
        timeout_ms: 200,
        fall: 2,
        ..Default::default()
    }
}

fn at(address: &str, port: u16) -> Result<SocketAddr> {
    Ok(SocketAddr::new(address.parse()?, port))
}

#[test]
fn workloads_are_asked_by_tcp_and_http_from_their_gateway() -> Result<()> {
    use health_check::Kind::{Http, Tcp};
    require!(Root, Daemons);
    Topology::run("health", |t| {
        let scene = Scene::new(t)?;
        let mut checks = Vec::new();
        for (number, (_, one, other, ..)) in (0..).zip(SCENE) {
            checks.extend([
                check(10 + number, one, 8080, Tcp),
                check(20 + number, one, 8080, Http),
                check(30 + number, other, 8080, Http),
            ]);
        }
        let ids: Vec<u32> = checks.iter().map(|check| check.id).collect();
        scene.dataplane.put(checks.into_iter().map(Object::HealthCheck))?;
        for id in &ids {
            // Nobody is well who has not said so.
            let state = wait::until("a first question", || {
                let state = scene.state(*id)?;
                ensure!(!state.healthy && state.failures > 0, "{state:?}");
                Ok(state)
            })?;
            ensure!(
                state.detail == "connection refused" && state.successes == 0,
                "{state:?}"
            );
        }
        let mut servers = Vec::new();
        for (number, (gateway, one, other, ..)) in SCENE.into_iter().enumerate() {
            servers.push((gateway, Server::start(&scene.routed.netns, at(one, 8080)?)?));
            servers.push((
                BRIDGE_GATEWAYS[number],
                Server::start(&scene.bridged.netns, at(other, 8080)?)?,
            ));
        }
        for id in &ids {
            let state = scene.wait(*id, true)?;
            ensure!(state.detail.is_empty() && state.successes > 0, "{state:?}");
        }
        for (gateway, server) in &servers {
            ensure!(
                server.peers() == HashSet::from([gateway.parse()?]),
                "{gateway}: {:?}",
                server.peers()
            );
            server.status.store(503, Ordering::SeqCst);
        }
        for id in &ids {
            // A connection says nothing of what is said over it.
            let by_http = *id >= 20;
            let state = scene.wait(*id, !by_http)?;
            ensure!(!by_http || state.detail == "HTTP status 503", "{state:?}");
        }
        for (_, mut server) in servers {
            server.stop()?;
        }
        for id in &ids {
            scene.wait(*id, false)?;
            wait::until("the last answer", || {
                let state = scene.state(*id)?;
                ensure!(state.detail == "connection refused", "{state:?}");
                Ok(())
            })?;
        }
        // Who is gone altogether does not even refuse.
        scene.routed.netns.ip("link set eth0 down")?;
        wait::until("silence", || {
            let state = scene.state(10)?;
            ensure!(state.detail == "no connection within 200 ms", "{state:?}");
            Ok(())
        })?;
        Ok(())
    })
}

#[test]
fn workloads_are_asked_by_grpc() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("health by gRPC", |t| {
        let scene = Scene::new(t)?;
        let mut servers = Vec::new();
        for (id, (_, one, ..)) in (1..).zip(SCENE) {
            let server = GrpcServer::start(&scene.routed.netns, at(one, 50051)?)?;
            let grpc = HealthCheck {
                target: "web".to_owned(),
                ..check(id, one, 50051, health_check::Kind::Grpc)
            };
            scene.dataplane.put([Object::HealthCheck(grpc)])?;
            let detail = |words: &str| {
                wait::until(words, || {
                    let state = scene.state(id)?;
                    ensure!(!state.healthy && state.detail == words, "{state:?}");
                    Ok(())
                })
            };
            detail("gRPC: health of service \"web\" is not known there")?;
            server.set(ServingStatus::Serving);
            scene.wait(id, true)?;
            server.set(ServingStatus::NotServing);
            detail("gRPC health NOT_SERVING")?;
            servers.push(server);
        }
        Ok(())
    })
}

#[test]
fn watchers_hear_of_changes_of_health_and_deleted_checks_ask_no_more() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("health watched", |t| {
        let scene = Scene::new(t)?;
        let (_, one, ..) = SCENE[1];
        let mut server = Server::start(&scene.routed.netns, at(one, 8080)?)?;
        let healths = scene.dataplane.call(async |mut client| {
            let mut events = client.watch(WatchRequest::default()).await?.into_inner();
            let put = vrouter_proto::dataplane::Operation {
                operation: Some(vrouter_proto::dataplane::operation::Operation::Put(
                    vrouter_proto::dataplane::Object {
                        object: Some(Object::HealthCheck(check(1, one, 8080, health_check::Kind::Tcp))),
                    },
                )),
            };
            let request = vrouter_proto::dataplane::ApplyRequest {
                batch: 1,
                operations: vec![put],
            };
            client
                .apply(tonic::codegen::tokio_stream::once(request))
                .await?
                .into_inner()
                .message()
                .await?;
            let mut healths = Vec::new();
            while let Some(event) = events.message().await? {
                let Some(event::Event::Health(changed)) = event.event else {
                    continue;
                };
                let healthy = changed.state.is_some_and(|state| state.healthy);
                healths.push((changed.health_check, healthy));
                if !healthy {
                    break;
                }
                // It stops after many more questions, of which nobody is told.
                thread::sleep(Duration::from_secs(1));
                server
                    .stop()
                    .map_err(|error| tonic::Status::internal(error.to_string()))?;
            }
            client.get_info(GetInfoRequest {}).await?;
            Ok(tonic::Response::new(healths))
        })?;
        ensure!(healths == [(1, true), (1, false)], "{healths:?}");
        scene.dataplane.delete([Key::HealthCheck(1)])?;
        // What was under way ends; then nobody comes any more.
        let server = Server::start(&scene.routed.netns, at(one, 8080)?)?;
        thread::sleep(Duration::from_millis(300));
        server.peers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        thread::sleep(Duration::from_secs(1));
        ensure!(server.peers().is_empty(), "{:?}", server.peers());
        Ok(())
    })
}

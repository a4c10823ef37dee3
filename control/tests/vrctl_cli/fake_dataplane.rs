//! A `vrouter.dataplane.v1` server with a few fixed objects, which remembers what it was asked.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio_stream::Iter;
use tonic::{Request, Response, Status, Streaming};
use vrouter_proto::dataplane::{
    dataplane_server::Dataplane,
    next_hop::{Action, Encapsulation, ToPort, Tunnel},
    *,
};

/// What was asked and what there is.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) empty: bool,
    pub(crate) flows_asked: Option<ListFlowsRequest>,
    pub(crate) dumps: Vec<DumpRequest>,
    pub(crate) captures: Vec<CaptureRequest>,
    /// Readings of the statistics so far.
    pub(crate) readings: u64,
}

#[derive(Clone, Default)]
pub(crate) struct FakeDataplane(Arc<Mutex<State>>);

impl FakeDataplane {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

fn port(id: u32, name: &str, up: bool) -> object::Object {
    object::Object::Port(Port {
        id,
        name: name.into(),
        interface: format!("veth{id}"),
        vrf: 7,
        mac: format!("02:00:00:00:00:{id:02x}"),
        gateways: vec!["10.1.0.1/24".into()],
        state: Some(PortState {
            up,
            attachment: "native, copy, 1 queue: veth has no zero-copy".into(),
            mode: port::Mode::NativeCopy.into(),
            queues: 1,
            workers: vec![0],
            mtu: 1450,
            interface_mac: String::new(),
        }),
        ..Default::default()
    })
}

fn route(vrf: u32, prefix: &str, next_hop: u64) -> object::Object {
    object::Object::Route(Route {
        vrf,
        prefix: prefix.into(),
        next_hop,
        active: true,
        ..Default::default()
    })
}

fn vrf(id: u32, name: &str) -> object::Object {
    object::Object::Vrf(Vrf {
        id,
        name: name.into(),
        underlay: false,
    })
}

fn next_hop(id: u64, name: &str, action: Action) -> object::Object {
    object::Object::NextHop(NextHop {
        id,
        name: name.into(),
        action: Some(action),
        state: Some(NextHopState {
            resolved: id == 1,
            detail: if id == 1 { "" } else { "no ARP answer from 192.0.2.2" }.into(),
            mtu: 1450,
        }),
    })
}

fn objects() -> Vec<object::Object> {
    let to_port = Action::Port(ToPort {
        port: 3,
        mac: String::new(),
    });
    let tunnel = Action::Tunnel(Tunnel {
        encapsulation: Encapsulation::Vxlan.into(),
        remote: "192.0.2.2".into(),
        vni: 100,
        ..Default::default()
    });
    let bridge = Bridge {
        id: 5,
        name: "lab".into(),
        vrf: 7,
        learn: true,
        ..Default::default()
    };
    let mac = |mac: &str, learned| {
        object::Object::Mac(Mac {
            bridge: 5,
            mac: mac.into(),
            next_hop: if learned { 0 } else { 1 },
            learned,
            age_seconds: if learned { 12 } else { 0 },
            vtep: if learned { "192.0.2.2" } else { "" }.into(),
            ..Default::default()
        })
    };
    vec![
        port(9, "web-2", false),
        port(3, "web-1", true),
        port(4, "twin", true),
        port(5, "twin", true),
        vrf(7, "blue"),
        vrf(8, "red"),
        object::Object::Bridge(bridge),
        next_hop(1, "to-web-1", to_port),
        next_hop(2, "to-node2", tunnel),
        route(7, "10.1.0.0/24", 2),
        route(7, "10.1.0.2/32", 1),
        route(7, "9.0.0.0/8", 2),
        route(7, "fd00:1::/64", 2),
        route(8, "10.1.0.0/24", 99),
        mac("02:00:00:00:00:aa", true),
        mac("02:00:00:00:00:03", false),
        object::Object::Neighbor(Neighbor {
            bridge: 0,
            address: "192.0.2.2".into(),
            mac: "02:00:00:00:02:02".into(),
            state: "resolved".into(),
            interface: "eth1".into(),
        }),
        object::Object::Vni(Vni {
            vni: 100,
            name: "blue".into(),
            target: Some(vni::Target::Vrf(7)),
        }),
        object::Object::Label(Label {
            label: 17,
            name: "web-1".into(),
            target: Some(label::Target::NextHop(1)),
        }),
    ]
}

fn kind(object: &object::Object) -> Kind {
    match object {
        object::Object::Port(_) => Kind::Port,
        object::Object::Vrf(_) => Kind::Vrf,
        object::Object::Bridge(_) => Kind::Bridge,
        object::Object::NextHop(_) => Kind::NextHop,
        object::Object::Route(_) => Kind::Route,
        object::Object::Mac(_) => Kind::Mac,
        object::Object::Neighbor(_) => Kind::Neighbor,
        object::Object::Vni(_) => Kind::Vni,
        object::Object::Label(_) => Kind::Label,
        object::Object::Identity(_) => Kind::Identity,
        object::Object::Policy(_) => Kind::Policy,
        object::Object::SourceNat(_) => Kind::SourceNat,
        object::Object::Service(_) => Kind::Service,
        object::Object::Mirror(_) => Kind::Mirror,
        object::Object::HealthCheck(_) => Kind::HealthCheck,
    }
}

fn flow(source_port: u32, forward: bool) -> Flow {
    let (near, far) = (("10.1.0.2", source_port), ("10.1.0.3", 443));
    let (source, destination) = if forward { (near, far) } else { (far, near) };
    Flow {
        vrf: 7,
        source: source.0.into(),
        destination: destination.0.into(),
        protocol: 6,
        source_port: source.1,
        destination_port: destination.1,
        in_port: 3,
        next_hop: if forward { 2 } else { 1 },
        action: if forward { "vxlan" } else { "port" }.into(),
        packets: 10,
        bytes: 1500,
        idle_seconds: 1,
        age_seconds: 60,
        forward,
        state: "established".into(),
        decision: Some(Decision {
            verdict: Verdict::Allow.into(),
            egress_rule: "web/https".into(),
            ..Default::default()
        }),
        translated_destination: if forward { "10.1.0.9" } else { "" }.into(),
        translated_destination_port: if forward { 8443 } else { 0 },
        ..Default::default()
    }
}

type Answer<T> = Result<Response<T>, Status>;
type Stream<T> = Iter<std::vec::IntoIter<Result<T, Status>>>;

#[tonic::async_trait]
impl Dataplane for FakeDataplane {
    async fn trace(&self, _: Request<TraceRequest>) -> Answer<TraceResponse> {
        Err(Status::unimplemented("trace"))
    }

    type WatchFlowsStream = Stream<FlowEvent>;
    async fn watch_flows(&self, _: Request<WatchFlowsRequest>) -> Answer<Self::WatchFlowsStream> {
        Err(Status::unimplemented("watch_flows"))
    }

    type CaptureStream = Stream<CaptureEvent>;
    async fn capture(&self, request: Request<CaptureRequest>) -> Answer<Self::CaptureStream> {
        use capture_event::Event;
        let asked = request.into_inner();
        if asked.filter == "tcp port foo" {
            return Err(Status::invalid_argument(
                "filter: column 10: no\n  tcp port foo\n           ^",
            ));
        }
        self.state().captures.push(asked);
        let packet = |time, point: captured_packet::Point| CapturedPacket {
            time,
            port: 3,
            point: point.into(),
            length: 60,
            data: vec![0x11; 40],
            ..Default::default()
        };
        let dropped = CapturedPacket {
            drop_reason: "policy_denied_ingress".into(),
            rule: "db/sql".into(),
            vrf: 7,
            vrf_name: "blue".into(),
            ..packet(2_000_000_000, captured_packet::Point::Dropped)
        };
        let events = [
            Event::Statistics(CaptureStatistics::default()),
            Event::Port(CapturePort {
                id: 3,
                name: "blue/web-1".into(),
                uplink: false,
                mtu: 1500,
            }),
            Event::Packets(CapturedPackets {
                packets: vec![packet(1_000_000_001, captured_packet::Point::Received)],
            }),
            Event::Statistics(CaptureStatistics {
                matched: 9,
                sent: 1,
                lost: 4,
                limited: 0,
            }),
            Event::Packets(CapturedPackets { packets: vec![dropped] }),
            Event::Statistics(CaptureStatistics {
                matched: 9,
                sent: 2,
                lost: 4,
                limited: 3,
            }),
        ];
        let events: Vec<_> = events
            .into_iter()
            .map(|event| Ok(CaptureEvent { event: Some(event) }))
            .collect();
        Ok(Response::new(tokio_stream::iter(events)))
    }

    async fn get_info(&self, _: Request<GetInfoRequest>) -> Answer<GetInfoResponse> {
        Ok(Response::new(GetInfoResponse {
            version: "0.1.0".into(),
            instance: "a1b2".into(),
            revision: 5,
            node: "node1".into(),
            vtep_addresses: vec!["192.0.2.1".into(), "2001:db8::1".into()],
            uplinks: vec!["eth1".into()],
            underlay_mtu: 1500,
            limits: Some(Limits {
                ports: 1024,
                vrfs: 512,
                next_hops: 65536,
                flows: 1_000_000,
                frames: 8192,
            }),
        }))
    }

    type ApplyStream = Stream<ApplyResponse>;
    async fn apply(&self, _: Request<Streaming<ApplyRequest>>) -> Answer<Self::ApplyStream> {
        Err(Status::permission_denied("vrctl programs no dataplane"))
    }

    type DumpStream = Stream<DumpResponse>;
    /// One object in each chunk, of the kinds asked for.
    async fn dump(&self, request: Request<DumpRequest>) -> Answer<Self::DumpStream> {
        let request = request.into_inner();
        let mut state = self.state();
        let chunks: Vec<_> = objects()
            .into_iter()
            .filter(|object| !state.empty && request.kinds().any(|wanted| wanted == kind(object)))
            .filter(|object| match object {
                object::Object::Route(route) => request.vrf == 0 || route.vrf == request.vrf,
                _ => true,
            })
            .map(|object| {
                Ok(DumpResponse {
                    revision: 5,
                    objects: vec![Object { object: Some(object) }],
                })
            })
            .collect();
        state.dumps.push(request);
        Ok(Response::new(tokio_stream::iter(chunks)))
    }

    type ListFlowsStream = Stream<ListFlowsResponse>;
    /// Does not filter: a client must not rely on it.
    async fn list_flows(&self, request: Request<ListFlowsRequest>) -> Answer<Self::ListFlowsStream> {
        let mut state = self.state();
        state.flows_asked = Some(request.into_inner());
        let flows = if state.empty {
            Vec::new()
        } else {
            vec![flow(40001, true), flow(40000, false), flow(40000, true)]
        };
        let chunks = flows
            .into_iter()
            .map(|flow| Ok(ListFlowsResponse { flows: vec![flow] }));
        Ok(Response::new(tokio_stream::iter(chunks.collect::<Vec<_>>())))
    }

    type WatchStream = Stream<Event>;
    async fn watch(&self, _: Request<WatchRequest>) -> Answer<Self::WatchStream> {
        Err(Status::unimplemented("not needed here"))
    }

    /// Every reading has 1000 packets more.
    async fn get_statistics(&self, _: Request<GetStatisticsRequest>) -> Answer<GetStatisticsResponse> {
        let mut state = self.state();
        state.readings += 1;
        let packets = 1000 * state.readings;
        let drops = |packets| {
            vec![DropCount {
                reason: "no_route".into(),
                packets,
            }]
        };
        let reason = |name: &str, description: &str| DropReason {
            name: name.into(),
            description: description.into(),
        };
        Ok(Response::new(GetStatisticsResponse {
            revision: 5,
            ports: vec![PortStatistics {
                port: 3,
                name: "web-1".into(),
                rx_packets: packets,
                rx_bytes: packets * 64,
                drops: drops(5),
                flows: 2,
                ..Default::default()
            }],
            vrfs: vec![VrfStatistics {
                vrf: 7,
                name: "blue".into(),
                packets,
                bytes: packets * 64,
                drops: drops(4),
            }],
            workers: vec![WorkerStatistics {
                worker: 0,
                cpu: -1,
                loops: packets,
                batch_nanoseconds: Some(Histogram {
                    p50: 850,
                    p99: 12_500,
                    ..Default::default()
                }),
                ..Default::default()
            }],
            frames: Some(FrameStatistics {
                total: 8192,
                free: 8000,
                frame_size: 4096,
            }),
            flows: Some(FlowStatistics {
                capacity: 1000,
                used: 2,
                ..Default::default()
            }),
            packets: Some(PacketStatistics {
                originated: 11,
                fragmented: 2,
                segmented: 5,
                coalesced: 6,
                errors_withheld: 1,
                mirrored: 7,
                mirror_lost: 3,
                shaped: 4,
            }),
            drop_reasons: vec![
                reason("no_route", "no route to the destination"),
                reason("bad_checksum", "the header's checksum is wrong"),
            ],
            ..Default::default()
        }))
    }
}

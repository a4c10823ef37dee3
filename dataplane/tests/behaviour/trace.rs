//! Traces: they say what packets meet, and leave nothing behind.

use vrouter_dataplane::{
    packet::{DropReason, FlowKey},
    program::object::{ActionSpec, Object, Operation, PortSpec, ServiceSpec},
    tables::{
        next_hop::Encapsulation,
        qos::{QosSpec, Rate},
    },
    telemetry::{Given, PacketSpec, Traced, trace},
    wire::proto,
};

use crate::{
    lab::{
        node::{Node, UPLINK},
        objects::{backend, mirror, next_hop, route_key, service_spec},
        outer::decode,
    },
    site::{FAMILIES, VRF, VXLAN4, all_of, attach, behind, from_one, host, into, out_of, p, remote, routed_port, site},
};

/// A TCP SYN from the workload of port 1, described.
fn described(v6: bool, destination: std::net::IpAddr) -> PacketSpec {
    PacketSpec {
        source: host(v6, 1),
        destination,
        protocol: proto::TCP,
        source_port: 4000,
        destination_port: 443,
        icmp_type: 0,
        icmp_code: 0,
        tcp_flags: 0,
        length: 0,
    }
}

fn traced(node: &Node, port: u32, given: &Given<'_>) -> Traced {
    let snapshot = node.dp.programmer.snapshot();
    let tables = snapshot.tables();
    let (slot, _) = tables.ports.iter().find(|(_, known)| known.id == port).unwrap();
    let slot = vrouter_dataplane::tables::slots::PortSlot::new(slot).unwrap();
    let now = vrouter_dataplane::worker::Clock::now(&node.dp.clock);
    trace(tables, &node.dp.shared, slot, given, now).unwrap()
}

fn stages(traced: &Traced) -> Vec<&'static str> {
    traced.steps.iter().map(|step| step.stage).collect()
}

#[test]
fn a_trace_sends_what_the_packet_itself_would_become_and_leaves_nothing_behind() {
    for v6 in FAMILIES {
        let mut node = site();
        for destination in [host(v6, 2), behind(v6, VXLAN4)] {
            let packet = out_of(1, &from_one(v6, destination).tcp((4000, 443), 2, &[], b""));
            let drops = node.drops();
            let found = traced(&node, 1, &Given::Frame(&packet));
            assert_eq!((found.drop, found.outputs.len()), (None, 1), "{found:?}");
            assert!(stages(&found).starts_with(&["parse", "route"]), "{found:?}");
            assert_eq!(stages(&found).last(), Some(&"transmit"));
            assert_eq!(node.dp.shared.flows.used(), 0, "no flow is made");
            assert_eq!(node.drops(), drops);
            node.check();

            let sent = node.send(&p(1), &packet);
            assert_eq!(sent.len(), 1);
            assert_eq!(found.outputs[0].frame, sent[0].1, "the very bytes");
            if sent[0].0 == UPLINK {
                assert_eq!(found.outputs[0].vtep, Some(remote(false)));
                assert!(stages(&found).contains(&"encapsulate"));
                let _ = decode(&found.outputs[0].frame);
            }
            // The flow lives now, and is what the next packet meets.
            let again = traced(&node, 1, &Given::Frame(&packet));
            assert_eq!(stages(&again)[..2], ["parse", "flow"], "{again:?}");
            assert_eq!(again.outputs, found.outputs);
            let (flow, _) = (node.dp.shared.flows.entries().next().unwrap(), ());
            assert_eq!(flow.packets, 1, "a trace is not counted");
            let all: Vec<_> = node.dp.shared.flows.entries().map(|entry| entry.flow).collect();
            for flow in all {
                node.dp.shared.flows.remove(flow);
            }
            node.advance(1_000_000_000);
            for _ in 0..300 {
                node.dp.step();
            }
        }
    }
}

#[test]
fn what_is_dropped_says_why_and_what_the_sender_is_told() {
    for v6 in FAMILIES {
        let mut node = site();
        let gone = route_key(VRF, &all_of(host(v6, 2)));
        node.apply(&[Operation::Delete(gone)]).unwrap();
        let found = traced(&node, 1, &Given::Packet(&described(v6, host(v6, 2))));
        assert_eq!(found.drop, Some(DropReason::NoRoute));
        assert_eq!(stages(&found), ["parse", "route", "transmit", "drop"]);
        assert!(found.steps[2].detail.contains("back to the sender"), "{found:?}");
        assert_eq!(found.outputs[0].port, 1);
        assert_eq!(node.take(), [], "nothing was sent");
    }
}

#[test]
fn a_described_packet_is_what_the_workload_would_send() {
    for v6 in FAMILIES {
        let mut node = site();
        let mut spec = described(v6, host(v6, 2));
        for protocol in [
            proto::TCP,
            proto::UDP,
            proto::SCTP,
            if v6 { proto::ICMPV6 } else { proto::ICMP },
        ] {
            spec.protocol = protocol;
            spec.icmp_type = if v6 { 128 } else { 8 };
            for length in [0, 700] {
                spec.length = length;
                let found = traced(&node, 1, &Given::Packet(&spec));
                assert_eq!((found.drop, found.outputs.len()), (None, 1), "{found:?}");
                let frame = &found.outputs[0].frame;
                assert_eq!(frame[..12], into(2, &[])[..12]);
                if length > 0 {
                    assert_eq!(frame.len(), 14 + usize::from(length), "{protocol}");
                }
            }
        }
        node.pump();
    }
}

/// Everything that is shared with packets and that a trace could wear out: a service's counters and the clients it remembers, the tokens
/// of a limit, the numbers of copies.
#[test]
fn a_trace_wears_nothing_out_that_packets_share() {
    for v6 in FAMILIES {
        let mut node = site();
        let address = if v6 { "fd00:99::1" } else { "10.99.0.1" };
        let backends = [backend(&host(v6, 2).to_string(), 0)];
        node.put([
            Object::Service(ServiceSpec {
                client_affinity: true,
                affinity_seconds: 60,
                ..service_spec(7, VRF, address, (6, 443), &backends)
            }),
            next_hop(
                70,
                ActionSpec::Tunnel {
                    remote: remote(false),
                    encapsulation: Encapsulation::Erspan { session: 5 },
                },
            ),
            mirror(8, 70),
        ]);
        let slow = Rate {
            bits_per_second: 8_000,
            burst_bytes: 200,
            ..Rate::default()
        };
        node.put(attach(PortSpec {
            mirrors: [8].into(),
            qos: Some(QosSpec {
                from_workload: Some(slow),
                ..QosSpec::default()
            }),
            ..routed_port(1)
        }));
        node.take();
        let packet = out_of(1, &from_one(v6, address.parse().unwrap()).tcp((4000, 443), 2, &[], b""));
        let first = traced(&node, 1, &Given::Frame(&packet));
        for _ in 0..50 {
            assert_eq!(traced(&node, 1, &Given::Frame(&packet)), first, "each is as the first");
        }
        assert_eq!((first.drop, first.outputs.len()), (None, 2), "{first:?}");
        let snapshot = node.dp.programmer.snapshot();
        let service = snapshot.tables().service(0).unwrap().clone();
        assert_eq!(service.flows().collect::<Vec<_>>(), [0]);
        let sent = node.send(&p(1), &packet);
        assert_eq!(sent.len(), 2, "the limit has all its tokens: {:?}", node.drops());
    }
}

#[test]
fn a_service_does_not_remember_who_was_only_traced() {
    for v6 in FAMILIES {
        let mut node = site();
        let address = if v6 { "fd00:99::1" } else { "10.99.0.1" };
        let with = |backends: u32| {
            let backends: Vec<_> = (2..2 + backends)
                .map(|id| backend(&host(v6, id).to_string(), 0))
                .collect();
            Object::Service(ServiceSpec {
                client_affinity: true,
                affinity_seconds: 60,
                ..service_spec(7, VRF, address, (6, 443), &backends)
            })
        };
        node.put([with(1)]);
        let packet = out_of(1, &from_one(v6, address.parse().unwrap()).tcp((4000, 443), 2, &[], b""));
        let _ = traced(&node, 1, &Given::Frame(&packet));
        let now_ms = vrouter_dataplane::worker::Clock::now(&node.dp.clock) / 1_000_000;
        node.put([with(8)]);
        let snapshot = node.dp.programmer.snapshot();
        let service = snapshot.tables().service(0).unwrap();
        let key = FlowKey::between(0, host(v6, 1), address.parse().unwrap(), 6, (4000, 443)).unwrap();
        assert_eq!(service.would_choose(&key, now_ms), service.pick(service.hash(&key)));
    }
}

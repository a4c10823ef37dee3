//! Mirrors: copies to a port, through VXLAN and through ERSPAN, over both underlays.

use std::process::Command;

use vrouter_dataplane::{
    program::object::{ActionSpec, Attachment, Object, PortSpec},
    tables::{
        mirror::{MirrorMatch, MirrorSpec},
        next_hop::Encapsulation,
    },
};

use crate::{
    lab::{
        bytes::{arp, sum},
        node::{Node, UPLINK},
        objects::{next_hop, port_spec, prefix, station, to_port, vrf, vxlan},
        outer::{Shim, decode, word},
    },
    site::{FAMILIES, attach, from_one, gateway, host, out_of, p, remote, routed_port, site},
};

/// Next hops of collectors.
const TO_PORT: u64 = 90;
const TO_VXLAN: u64 = 91;
const TO_ERSPAN: u64 = 92;

fn erspan(id: u64, v6: bool, session: u16) -> Object {
    let encapsulation = Encapsulation::Erspan { session };
    next_hop(
        id,
        ActionSpec::Tunnel {
            remote: remote(v6),
            encapsulation,
        },
    )
}

/// The site, with a collector behind port 9, and port 1 mirrored as said.
fn mirrored(spec: MirrorSpec, v6_underlay: bool) -> Node {
    let mut node = site();
    node.put([
        vrf(9),
        Object::Port(port_spec(9, Attachment::Vrf(9))),
        to_port(TO_PORT, 9),
        vxlan(TO_VXLAN, remote(v6_underlay), 7000),
        erspan(TO_ERSPAN, v6_underlay, 321),
        Object::Mirror(MirrorSpec {
            id: 1,
            name: "tap".into(),
            ..spec
        }),
    ]);
    node.put(attach(with_mirror(1)));
    node
}

fn with_mirror(id: u32) -> PortSpec {
    PortSpec {
        mirrors: [1].into(),
        ..routed_port(id)
    }
}

fn to(next_hop: u64) -> MirrorSpec {
    MirrorSpec {
        next_hop,
        ..MirrorSpec::default()
    }
}

/// What came out of a port, in order.
fn of(out: &[(String, Vec<u8>)], interface: &str) -> Vec<Vec<u8>> {
    out.iter()
        .filter(|(i, _)| i == interface)
        .map(|(_, frame)| frame.clone())
        .collect()
}

#[test]
fn both_directions_are_copied_as_received_and_as_delivered() {
    let mut node = mirrored(to(TO_PORT), false);
    for v6 in FAMILIES {
        let request = out_of(1, &from_one(v6, host(v6, 2)).udp((1, 2), b"request"));
        let out = node.send(&p(1), &request);
        assert_eq!(of(&out, &p(9)), [request]);
        assert_eq!(of(&out, &p(2)).len(), 1);
        let answer = crate::lab::bytes::Ip::new(host(v6, 2), host(v6, 1)).udp((2, 1), b"answer");
        let out = node.send(&p(2), &out_of(2, &answer));
        assert_eq!(of(&out, &p(9)), of(&out, &p(1)));
        assert_eq!(of(&out, &p(1)).len(), 1);
    }
    // What the router says to the workload, too.
    let (std::net::IpAddr::V4(own), std::net::IpAddr::V4(asked)) = (host(false, 1), gateway(false)) else {
        panic!("IPv4")
    };
    let question = arp(
        vrouter_dataplane::wire::Mac::BROADCAST,
        1,
        (station(1), own),
        (station(0), asked),
    );
    let out = node.send(&p(1), &question);
    let answer = of(&out, &p(1));
    assert_eq!(of(&out, &p(9)), [question, answer[0].clone()]);
}

#[test]
fn one_direction_a_filter_and_a_length_may_be_asked_for() {
    let mut node = mirrored(
        MirrorSpec {
            from_workload: true,
            filter: [MirrorMatch {
                protocol: 17,
                first_port: 53,
                last_port: 53,
                ..MirrorMatch::default()
            }]
            .into(),
            prefixes: [prefix("10.1.0.102/32"), prefix("fd00:1::1:2/128")].into(),
            snap_length: 64,
            ..to(TO_PORT)
        },
        false,
    );
    for v6 in FAMILIES {
        let ask = |ports, to| out_of(1, &from_one(v6, to).udp(ports, &[5; 100]));
        let copied = node.send(&p(1), &ask((1, 53), host(v6, 2)));
        assert_eq!(of(&copied, &p(9)), [ask((1, 53), host(v6, 2))[..64].to_vec()]);
        assert_eq!(of(&node.send(&p(1), &ask((1, 54), host(v6, 2))), &p(9)).len(), 0);
        assert_eq!(of(&node.send(&p(1), &ask((1, 53), gateway(v6))), &p(9)).len(), 0);
        let answer = crate::lab::bytes::Ip::new(host(v6, 2), host(v6, 1)).udp((53, 1), b"x");
        assert_eq!(of(&node.send(&p(2), &out_of(2, &answer)), &p(9)).len(), 0);
    }
}

#[test]
fn copies_go_through_vxlan() {
    for underlay in FAMILIES {
        let mut node = mirrored(to(TO_VXLAN), underlay);
        for v6 in FAMILIES {
            let request = out_of(1, &from_one(v6, host(v6, 2)).udp((1, 2), b"x"));
            let out = node.send(&p(1), &request);
            let copies = of(&out, UPLINK);
            assert_eq!(copies.len(), 1);
            let outer = decode(&copies[0]);
            assert_eq!((outer.shim, outer.inner), (Shim::Vxlan { vni: 7000 }, request));
            assert_eq!(outer.destination, remote(underlay));
        }
    }
}

/// Takes an ERSPAN packet apart: sequence, session, truncated, frame.
fn decode_erspan(frame: &[u8], v6: bool) -> (u32, u16, bool, Vec<u8>) {
    let ip = &frame[14..];
    let gre = if v6 {
        assert_eq!((ip[6], usize::from(word(ip, 4))), (47, ip.len() - 40));
        &ip[40..]
    } else {
        assert_eq!((ip[9], usize::from(word(ip, 2))), (47, ip.len()));
        assert_eq!(sum(&[&ip[..20]]), 0xffff, "header checksum");
        &ip[20..]
    };
    assert_eq!((word(gre, 0), word(gre, 2)), (0x1000, 0x88be));
    let sequence = u32::from(word(gre, 4)) << 16 | u32::from(word(gre, 6));
    assert_eq!(word(gre, 8) >> 12, 1, "type II");
    let session = word(gre, 10) & 0x3ff;
    (sequence, session, word(gre, 10) & 0x400 != 0, gre[16..].to_vec())
}

#[test]
fn copies_go_through_erspan_numbered() {
    for underlay in FAMILIES {
        let mut node = mirrored(
            MirrorSpec {
                snap_length: 1000,
                ..to(TO_ERSPAN)
            },
            underlay,
        );
        let mut expected = 0;
        for v6 in FAMILIES {
            for len in [10, 1400] {
                let request = out_of(1, &from_one(v6, host(v6, 2)).udp((1, 2), &vec![3; len]));
                let out = node.send(&p(1), &request);
                let copies = of(&out, UPLINK);
                assert_eq!(copies.len(), 1);
                let cut = &request[..request.len().min(1000)];
                assert_eq!(
                    decode_erspan(&copies[0], underlay),
                    (expected, 321, len == 1400, cut.to_vec())
                );
                expected += 1;
            }
        }
        // The mirror changes; its numbers go on.
        node.put([Object::Mirror(MirrorSpec {
            id: 1,
            name: "tap".into(),
            ..to(TO_ERSPAN)
        })]);
        let request = out_of(1, &from_one(false, host(false, 2)).udp((1, 2), &[3; 1458]));
        let copy = of(&node.send(&p(1), &request), UPLINK).remove(0);
        // Whole it would not fit into the underlay.
        assert_eq!(copy.len(), 14 + 1500);
        let (sequence, _, truncated, _) = decode_erspan(&copy, underlay);
        assert_eq!((sequence, truncated), (expected, true));
    }
}

#[test]
fn copies_are_not_copied_again() {
    let mut node = mirrored(to(TO_PORT), false);
    // The collector's port is mirrored itself, to a tunnel.
    node.put([
        Object::Mirror(MirrorSpec { id: 2, ..to(TO_VXLAN) }),
        Object::Port(PortSpec {
            mirrors: [2].into(),
            ..port_spec(9, Attachment::Vrf(9))
        }),
    ]);
    let request = out_of(1, &from_one(false, host(false, 2)).udp((1, 2), b"x"));
    let out = node.send(&p(1), &request);
    assert_eq!((of(&out, &p(9)).len(), of(&out, UPLINK).len()), (1, 0));
    // A mirror to its own port would never end.
    node.put([to_port(93, 1), Object::Mirror(MirrorSpec { id: 1, ..to(93) })]);
    assert_eq!(node.send(&p(1), &request).len(), 1);
}

#[test]
fn a_copy_that_finds_no_frame_is_counted_and_costs_the_packet_nothing() {
    let mut node = mirrored(to(TO_PORT), false);
    let request = out_of(1, &from_one(false, host(false, 2)).udp((1, 2), b"x"));
    assert!(node.dp.send(&p(1), &request));
    let mut cache = node.dp.pool.cache();
    let taken: Vec<_> = std::iter::from_fn(|| cache.take()).collect();
    // What a worker keeps for itself is used up by its own copies first.
    let lost = |node: &Node| node.dp.shared.counters.iter().map(|c| c.mirror_lost.get()).sum::<u64>();
    let (mut sent, mut copies, mut delivered) = (1, 0, 0);
    for _ in 0..1000 {
        node.dp.settle();
        while node.dp.receive(&p(2)).is_some() {
            delivered += 1;
        }
        if lost(&node) > 0 {
            break;
        }
        // Copies stay where they are, until no frame is left for another.
        sent += u64::from(node.dp.send(&p(1), &request));
    }
    assert!(lost(&node) > 0, "frames never ran out");
    assert_eq!(delivered, sent);
    while node.dp.receive(&p(9)).is_some() {
        copies += 1;
    }
    assert_eq!(copies + lost(&node), sent);
    taken.into_iter().for_each(|frame| cache.free(frame));
    drop(cache);
    node.check();
}

#[test]
fn tshark_reads_erspan() {
    for underlay in FAMILIES {
        let mut node = mirrored(to(TO_ERSPAN), underlay);
        let mut dump = String::new();
        for v6 in FAMILIES {
            let request = out_of(1, &from_one(v6, host(v6, 2)).udp((4000, 5000), b"hello"));
            for copy in of(&node.send(&p(1), &request), UPLINK) {
                for (row, bytes) in copy.chunks(16).enumerate() {
                    dump += &format!("{:06x}", row * 16);
                    bytes.iter().for_each(|byte| dump += &format!(" {byte:02x}"));
                    dump.push('\n');
                }
            }
        }
        let directory = std::env::temp_dir().join(format!("vrouter-erspan-{}-{underlay}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (text, pcap) = (directory.join("dump.txt"), directory.join("dump.pcap"));
        std::fs::write(&text, dump).unwrap();
        let made = Command::new("text2pcap").arg(&text).arg(&pcap).output();
        let Ok(made) = made else {
            // Only machines with Wireshark's tools can ask them.
            eprintln!("text2pcap is not installed: nothing was compared");
            return;
        };
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let fields = [
            "gre.proto",
            "gre.sequence_number",
            "erspan.version",
            "erspan.spanid",
            "udp.dstport",
            "_ws.malformed",
        ];
        let mut tshark = Command::new("tshark");
        tshark
            .env("HOME", "/nonexistent")
            .arg("-n")
            .arg("-r")
            .arg(&pcap)
            .args(["-T", "fields", "-E", "separator=,"]);
        fields.iter().for_each(|field| {
            tshark.args(["-e", field]);
        });
        let read = tshark.output().unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        let said = String::from_utf8_lossy(&read.stdout).into_owned();
        let expected = "0x88be,0,1,321,5000,\n0x88be,1,1,321,5000,\n";
        assert_eq!(said, expected, "{}", String::from_utf8_lossy(&read.stderr));
    }
}

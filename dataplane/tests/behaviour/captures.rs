//! Captures: every drop with its reason and rule, and nothing else changed by them, even when nobody reads. (That each drop that is counted is
//! captured is asked after every step of every test on a [`Node`].)

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{Object, PortSpec, TrafficMatch, Verdict},
    tap::{CaptureSpec, MAX_SNAP, Point, filter::Filter},
};

use crate::{
    lab::{
        node::{Node, UPLINK},
        objects::{policy, rule},
    },
    site::{FAMILIES, VXLAN4, behind, from_one, host, out_of, p, routed_port, site},
};

fn spec() -> CaptureSpec {
    CaptureSpec {
        filter: None,
        received: true,
        transmitted: true,
        dropped: true,
        snap: MAX_SNAP,
        sample: 1,
        rate: 0,
        buffer: 0,
    }
}

#[test]
fn a_packet_refused_by_policy_is_captured_as_it_came_with_the_rule() {
    for v6 in FAMILIES {
        let mut node = site();
        let ports = TrafficMatch {
            protocol: 17,
            ..TrafficMatch::default()
        };
        node.put([policy(5, &[], &[rule(77, &[], &[ports], Verdict::Deny)])]);
        node.put([Object::Port(PortSpec {
            policy: Some(5),
            ..routed_port(2)
        })]);
        let frame = out_of(1, &from_one(v6, host(v6, 2)).udp((1000, 53), b"who"));
        // The first packet, and one whose flow is known to be refused.
        for _ in 0..2 {
            node.dropped(&p(1), &frame, DropReason::PolicyDeniedIngress);
            let dropped = node.captured_drops();
            assert_eq!(dropped.len(), 1);
            let (record, bytes) = &dropped[0];
            assert_eq!(record.point, Point::Dropped(DropReason::PolicyDeniedIngress));
            assert_eq!(record.blame.unwrap().ingress_rule, 77);
            assert_eq!(
                (bytes, record.made_up),
                (&frame, false),
                "with the header that it came with"
            );
        }
    }
}

/// What goes through a site: delivered, wrapped, unroutable, malformed.
fn traffic(v6: bool) -> Vec<Vec<u8>> {
    let to = [host(v6, 2), behind(v6, VXLAN4), behind(v6, 99), host(v6, 1)];
    let packets = to.map(|to| out_of(1, &from_one(v6, to).udp((1000, 53), &[7; 600])));
    packets.into_iter().chain([out_of(1, b"\x60")]).collect()
}

#[test]
fn captures_change_nothing_even_when_nobody_reads() {
    for v6 in FAMILIES {
        let (mut quiet, mut watched) = (site(), site());
        let tiny = CaptureSpec {
            buffer: 2048,
            snap: 1500,
            ..spec()
        };
        let filtered = CaptureSpec {
            filter: Some(Filter::new("udp port 53 and not vni").unwrap()),
            ..spec()
        };
        let captures = watched.dp.programmer.fleet().captures();
        let (unread, filtered) = (
            captures.begin(tiny, |_| {}).unwrap(),
            captures.begin(filtered, |_| {}).unwrap(),
        );
        for _ in 0..20 {
            for frame in traffic(v6) {
                assert_eq!(quiet.send(&p(1), &frame), watched.send(&p(1), &frame));
                assert_eq!(quiet.drops(), watched.drops());
            }
        }
        let counts = unread.capture().counts();
        assert!(counts.lost > 20 && counts.copied > 0, "{counts:?}");
        assert_eq!(counts.copied + counts.lost, counts.matched);
        assert!(filtered.capture().counts().matched < counts.matched);
        // What a capture took is given back with it, once workers have read their mail.
        drop((unread, filtered));
        watched.pump();
        assert!(!captures.tidy());
        assert_eq!(captures.count(), 1, "the node's own");
    }
}

#[test]
fn the_ninth_capture_is_refused_and_one_that_ends_makes_room() {
    let node = Node::new();
    let captures = node.dp.programmer.fleet().captures();
    let mut all: Vec<_> = (0..7).map(|_| captures.begin(spec(), |_| {}).unwrap()).collect();
    assert!(captures.begin(spec(), |_| {}).is_err());
    all.pop();
    assert!(captures.begin(spec(), |_| {}).is_ok());
}

#[test]
fn a_capture_of_the_uplink_sees_tunnel_packets_in_both_ways() {
    let mut node = site();
    let captures = node.dp.programmer.fleet().captures();
    let filter = Some(Filter::new("vni and udp port 53").unwrap());
    let wrapped = captures.begin(CaptureSpec { filter, ..spec() }, |_| {}).unwrap();
    node.pump();
    for v6 in FAMILIES {
        let frame = out_of(1, &from_one(v6, behind(v6, VXLAN4)).udp((1000, 53), b"out"));
        let sent = node.one(&p(1), &frame, UPLINK);
        let mut bytes = Vec::new();
        let record = wrapped.capture().take(0, &mut bytes).unwrap();
        assert_eq!((record.point, &bytes), (Point::Transmitted, &sent));
        assert_eq!(
            wrapped.capture().take(0, &mut bytes),
            None,
            "the bare packet has no tunnel"
        );
    }
}

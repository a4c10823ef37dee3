//! DSCP, congestion marks and checksums on their way through.

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{LabelTo, VniTo},
};

use crate::{
    lab::{
        bytes::Ip,
        node::{Node, UPLINK, UPLINK_MAC, VTEP4, VTEP6},
        objects::{label, vni},
        outer::{Shim, decode, encode},
    },
    site::{
        FAMILIES, MPLS4, MPLS6, REMOTE, VRF, VXLAN4, VXLAN6, behind, from_one, host, into, out_of, p, remote, site,
    },
};

#[test]
fn dscp_and_ecn_are_copied_out() {
    let mut node = site();
    for v6 in FAMILIES {
        for tunnel in [VXLAN4, VXLAN6, MPLS4, MPLS6] {
            for tos in [0x00, 0x01, 0x02, 0x03, 0xb8, 0xff] {
                let packet = from_one(v6, behind(v6, tunnel)).tos(tos).udp((1, 2), b"x");
                let outer = decode(&node.one(&p(1), &out_of(1, &packet), UPLINK));
                assert_eq!(outer.tos, tos);
                if let Shim::Mpls { tc, ttl, .. } = outer.shim {
                    assert_eq!(
                        (tc, ttl),
                        (tos >> 5, 63),
                        "the label's traffic class and TTL follow the packet"
                    );
                }
            }
        }
    }
}

/// Brings a packet in through a tunnel with this outer mark.
fn bring(node: &mut Node, underlay_v6: bool, shim: Shim, mark: u8, packet: &[u8]) -> Vec<crate::lab::node::Sent> {
    let own = if underlay_v6 { VTEP6.into() } else { VTEP4.into() };
    let inner = if matches!(shim, Shim::Vxlan { .. }) {
        out_of(9, packet)
    } else {
        packet.to_vec()
    };
    let frame = encode(
        (UPLINK_MAC, REMOTE),
        remote(underlay_v6),
        own,
        0xfc | mark,
        shim,
        &inner,
    );
    node.send(UPLINK, &frame)
}

#[test]
fn congestion_marks_are_combined_in() {
    // RFC 6040, figure 4: by inner mark (Not-ECT, ECT(1), ECT(0), CE) and outer mark; none: drop.
    const COMBINED: [[Option<u8>; 4]; 4] = [
        [Some(0), Some(0), Some(0), None],
        [Some(1), Some(1), Some(1), Some(3)],
        [Some(2), Some(1), Some(2), Some(3)],
        [Some(3), Some(3), Some(3), Some(3)],
    ];
    let mut node = site();
    node.put([
        vni(1001, VniTo::Vrf(VRF)),
        label(501, LabelTo::Vrf(VRF)),
        label(502, LabelTo::NextHop(11)),
    ]);
    let shims = [501, 502].map(|label| Shim::Mpls { label, tc: 0, ttl: 9 });
    for v6 in FAMILIES {
        for underlay_v6 in FAMILIES {
            for shim in [Shim::Vxlan { vni: 1001 }, shims[0], shims[1]] {
                for (inner, row) in COMBINED.iter().enumerate() {
                    for (outer, combined) in row.iter().enumerate() {
                        // The inner DSCP stays, whatever the outer one says.
                        let ip = Ip::new(behind(v6, VXLAN4), host(v6, 1)).tos(0xb8 | inner as u8);
                        let before = node.count(DropReason::EcnConflict);
                        let got = bring(&mut node, underlay_v6, shim, outer as u8, &ip.udp((1, 2), b"x"));
                        match combined {
                            Some(mark) => {
                                let expected = ip.tos(0xb8 | mark).hop_limit(63).udp((1, 2), b"x");
                                assert_eq!(got, [(p(1), into(1, &expected))], "inner {inner}, outer {outer}");
                            }
                            None => {
                                assert_eq!(got, []);
                                assert_eq!(node.count(DropReason::EcnConflict), before + 1);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn partial_checksums_are_completed() {
    let mut node = site();
    for v6 in FAMILIES {
        for len in [0, 1, 7, 64] {
            let (ip, data) = (from_one(v6, host(v6, 2)), vec![0xa5; len]);
            let after = ip.clone().hop_limit(63);
            let udp = node.one(&p(1), &out_of(1, &ip.udp_partial((1, 2), &data)), &p(2));
            assert_eq!(udp, into(2, &after.udp((1, 2), &data)));
            let tcp = node.one(&p(1), &out_of(1, &ip.tcp_partial((1, 2), 0x18, &[], &data)), &p(2));
            assert_eq!(tcp, into(2, &after.tcp((1, 2), 0x18, &[], &data)));
            // Into a tunnel, too: nobody behind it could complete them.
            let far = from_one(v6, behind(v6, MPLS4));
            let sent = node.one(&p(1), &out_of(1, &far.udp_partial((1, 2), &data)), UPLINK);
            assert_eq!(decode(&sent).inner, far.hop_limit(63).udp((1, 2), &data));
        }
    }
}

#[test]
fn a_wrong_checksum_is_not_made_right() {
    let mut node = site();
    for v6 in FAMILIES {
        let (mut packet, mut after) = (from_one(v6, host(v6, 2)), from_one(v6, host(v6, 2)).hop_limit(63));
        (packet.id, after.id) = (1, 1);
        let spoil = |mut bytes: Vec<u8>| {
            *bytes.last_mut().unwrap() ^= 1;
            bytes
        };
        let got = node.one(&p(1), &out_of(1, &spoil(packet.udp((1, 2), b"data"))), &p(2));
        assert_eq!(got, into(2, &spoil(after.udp((1, 2), b"data"))));
    }
}

//! Which path a packet takes: entropy of tunnels, groups of next hops.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    lab::{
        bytes::framed,
        node::{Node, UPLINK, UPLINK_MAC, VTEP4},
        objects::{group, label, mpls, route, station},
        outer::{Shim, decode, encode},
    },
    site::{
        FAMILIES, MPLS4, MPLS6, REMOTE, VRF, VXLAN4, VXLAN6, all_of, behind, from_one, host, out_of, p, remote,
        routed_port, site,
    },
};
use vrouter_dataplane::{
    program::object::{LabelTo, Object, PortSpec},
    wire::Mac,
};

#[test]
fn entropy_is_of_the_flow() {
    let mut node = site();
    for v6 in FAMILIES {
        for tunnel in [VXLAN4, VXLAN6, MPLS4, MPLS6] {
            let mut seen = BTreeSet::new();
            for port in 0..64 {
                let ip = from_one(v6, behind(v6, tunnel));
                let first = decode(&node.one(&p(1), &out_of(1, &ip.udp((port, 2), b"x")), UPLINK)).entropy;
                let again = decode(&node.one(&p(1), &out_of(1, &ip.tos(4).udp((port, 2), b"other")), UPLINK)).entropy;
                assert_eq!(first, again, "one flow, one entropy port");
                seen.insert(first);
            }
            assert!(seen.len() > 50, "64 flows have {} entropy ports", seen.len());
        }
    }
}

#[test]
fn all_fragments_of_a_datagram_have_one_entropy_port() {
    let mut node = site();
    // IPv4: the first fragment shows its ports, the others have none.
    let mut ip = from_one(false, behind(false, VXLAN4));
    let datagram = ip.udp((1, 2), &[7; 48])[20..].to_vec();
    let mut ports = BTreeSet::new();
    for (field, part) in [
        (0x2000, &datagram[..24]),
        (0x2003, &datagram[24..48]),
        (6, &datagram[48..]),
    ] {
        ip.fragment = field;
        ports.insert(decode(&node.one(&p(1), &out_of(1, &ip.packet(17, part)), UPLINK)).entropy);
    }
    assert_eq!(ports.len(), 1);
    // IPv6: behind a fragment header.
    let ip = from_one(true, behind(true, VXLAN6));
    let datagram = ip.udp((1, 2), &[7; 48])[40..].to_vec();
    let mut ports = BTreeSet::new();
    for (field, part) in [
        (1_u16, &datagram[..24]),
        (24 | 1, &datagram[24..48]),
        (48, &datagram[48..]),
    ] {
        let field = field.to_be_bytes();
        let fragment = [&[17, 0, field[0], field[1], 0, 0, 0, 9], part].concat();
        ports.insert(decode(&node.one(&p(1), &out_of(1, &ip.packet(44, &fragment)), UPLINK)).entropy);
    }
    assert_eq!(ports.len(), 1);
}

const FLOWS: u16 = 1024;

/// Labels of three tunnels that make a group.
const LABELS: [u32; 3] = [701, 702, 703];

fn grouped() -> Node {
    let mut node = site();
    // Room for every flow of the test: one without a place in the table cannot remember its path when members change.
    let all = PortSpec {
        max_flows: 4000,
        ..routed_port(1)
    };
    node.put([Object::Port(all)]);
    node.put([
        mpls(31, remote(false), 701),
        mpls(32, remote(true), 702),
        mpls(33, remote(false), 703),
    ]);
    node.put([group(30, &[(31, 1), (32, 1), (33, 2)])]);
    node.put(FAMILIES.map(|v6| route(VRF, &all_of(behind(v6, 30)), 30)));
    node
}

/// The label of the path that each of many flows takes.
fn paths(node: &mut Node, v6: bool) -> HashMap<u16, u32> {
    let mut paths = HashMap::new();
    for port in 0..FLOWS {
        let packet = from_one(v6, behind(v6, 30)).udp((port, 2), b"x");
        let Shim::Mpls { label, .. } = decode(&node.one(&p(1), &out_of(1, &packet), UPLINK)).shim else {
            panic!("not MPLS")
        };
        paths.insert(port, label);
    }
    paths
}

fn shares(paths: &HashMap<u16, u32>) -> BTreeMap<u32, u16> {
    let mut shares = BTreeMap::new();
    for label in paths.values() {
        *shares.entry(*label).or_default() += 1;
    }
    shares
}

#[test]
fn a_group_spreads_flows_by_weight_and_keeps_each_where_it_is() {
    for v6 in FAMILIES {
        let mut node = grouped();
        let first = paths(&mut node, v6);
        let shares = shares(&first);
        // A quarter, a quarter, a half, of 256 buckets that are spread by hashing: five standard deviations and more.
        for (label, quarters) in LABELS.into_iter().zip([1, 1, 2]) {
            let share = i32::from(shares[&label]) - 256 * quarters;
            assert!(share.abs() < 170, "{shares:?}");
        }
        assert_eq!(paths(&mut node, v6), first, "stable by flow");
        // Another route changes: every flow is decided anew, and stays.
        node.put([route(VRF, "10.77.0.0/16", 31), route(VRF, "fd00:77::/32", 31)]);
        assert_eq!(paths(&mut node, v6), first, "stable through changes elsewhere");
    }
}

#[test]
fn a_member_that_leaves_moves_only_its_own_flows() {
    for v6 in FAMILIES {
        let mut node = grouped();
        let before = paths(&mut node, v6);
        node.put([group(30, &[(31, 1), (33, 2)])]);
        let after = paths(&mut node, v6);
        for (port, label) in &before {
            if *label == 702 {
                assert!(
                    [701, 703].contains(&after[port]),
                    "its flows went on to those that are left"
                );
            } else {
                assert_eq!(after[port], *label, "flows of others stay");
            }
        }
        // It comes back: flows that are alive stay where they are.
        node.put([group(30, &[(31, 1), (32, 1), (33, 2)])]);
        assert_eq!(paths(&mut node, v6), after);
    }
}

/// The way back of a flow is spread like any other: it has had no path yet, whatever next hop stands first in the tables.
#[test]
fn answers_are_spread_over_a_group_too() {
    for v6 in FAMILIES {
        let mut node = grouped();
        // Make the first next hop of the tables a member: it is the local one of the site, so a node of its own order.
        node.put([label(501, LabelTo::Vrf(VRF))]);
        let mut seen = BTreeSet::new();
        for port in 0..64 {
            // In from the tunnel, so that the answer is the reverse direction of a flow that is there.
            let question = crate::lab::bytes::Ip::new(behind(v6, 30), host(v6, 1)).udp((port, 2), b"x");
            let shim = Shim::Mpls {
                label: 501,
                tc: 0,
                ttl: 64,
            };
            let frame = encode((UPLINK_MAC, REMOTE), remote(false), VTEP4.into(), 0, shim, &question);
            node.one(UPLINK, &frame, &p(1));
            let answer = from_one(v6, behind(v6, 30)).udp((2, port), b"x");
            let frame = framed(Mac::GATEWAY, station(1), &answer);
            let Shim::Mpls { label, .. } = decode(&node.one(&p(1), &frame, UPLINK)).shim else {
                panic!("not MPLS")
            };
            seen.insert(label);
        }
        assert_eq!(seen.len(), 3, "{seen:?}");
    }
}

#[test]
fn the_first_next_hop_ever_made_draws_no_answers_to_itself() {
    use crate::lab::objects::vrf;
    use crate::site::{attach, routed_port};
    for v6 in FAMILIES {
        let mut node = Node::new();
        node.underlay = vec![(remote(false), REMOTE)];
        // Slot 0 of the next hops is a member of the group.
        node.put([vrf(VRF), mpls(31, remote(false), 701), mpls(32, remote(false), 702)]);
        node.put([group(30, &[(31, 1), (32, 1)]), label(501, LabelTo::Vrf(VRF))]);
        node.put(attach(routed_port(1)));
        node.put([route(VRF, &all_of(behind(v6, 30)), 30)]);
        let mut shares = BTreeMap::<u32, u32>::new();
        for port in 0..200 {
            let question = crate::lab::bytes::Ip::new(behind(v6, 30), host(v6, 1)).udp((port, 2), b"x");
            let shim = Shim::Mpls {
                label: 501,
                tc: 0,
                ttl: 64,
            };
            let frame = encode((UPLINK_MAC, REMOTE), remote(false), VTEP4.into(), 0, shim, &question);
            node.one(UPLINK, &frame, &p(1));
            let answer = from_one(v6, behind(v6, 30)).udp((2, port), b"x");
            let Shim::Mpls { label, .. } = decode(&node.one(&p(1), &out_of(1, &answer), UPLINK)).shim else {
                panic!("not MPLS")
            };
            *shares.entry(label).or_default() += 1;
        }
        assert!(
            shares.len() == 2 && shares.values().all(|share| *share > 40),
            "{shares:?}"
        );
    }
}

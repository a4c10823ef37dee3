//! Policies, and the groups of addresses that they ask for.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use proptest::prelude::*;
use vrouter_dataplane::{
    program::object::{Attachment, Key, Object, Operation, PolicySpec, PortSpec, TrafficMatch, Verdict},
    program::problem::Code,
    tables::policy::{DEFAULT_RULE, Policy},
    wire::IpPrefix,
};

use crate::{
    full,
    lab::{
        node::Node,
        objects::{bridge_spec, identity, identity_key, ip, policy, policy_spec, port_spec, prefix, route, rule, vrf},
    },
    refusals::{check, put},
};

#[test]
fn each_wrong_field_is_named() {
    let (invalid, not_found, in_use) = (Code::Invalid, Code::NotFound, Code::InUse);
    let allow = |id| rule(id, &[], &[], Verdict::Allow);
    let of = |kind: TrafficMatch| policy(9, &[], &[rule(4, &[], &[kind], Verdict::Deny)]);
    let unsorted = |groups: &[u32]| put(identity(1, "10.1.0.9/32", groups));
    let with_policy = PortSpec {
        policy: Some(77),
        ..port_spec(7, Attachment::Vrf(1))
    };
    check([
        (put(policy(0, &[], &[])), invalid, "policy.id", "1 or more"),
        (
            put(policy(9, &[allow(0)], &[])),
            invalid,
            "policy.egress.id",
            "1 to 4294967294",
        ),
        (
            put(policy(9, &[], &[allow(DEFAULT_RULE)])),
            invalid,
            "policy.ingress.id",
            "1 to 4294967294",
        ),
        (
            put(policy(9, &[allow(3)], &[allow(3)])),
            invalid,
            "policy.ingress.id",
            "rule 3 (rule 3) is given twice",
        ),
        (
            put(of(TrafficMatch::ports(6, 9, 8))),
            invalid,
            "policy.ingress.traffic",
            "rule 4 (rule 4): port 8 comes before",
        ),
        (
            put(of(TrafficMatch::ports(47, 1, 2))),
            invalid,
            "policy.ingress.traffic",
            "no ports",
        ),
        (put(Object::Port(with_policy)), not_found, "port.policy", "no policy 77"),
        (
            Operation::Delete(Key::Policy(1)),
            in_use,
            "policy",
            "1 ports have policy 1 (policy 1)",
        ),
        (
            put(identity(77, "10.0.0.0/8", &[])),
            not_found,
            "identity.vrf",
            "no VRF 77",
        ),
        (unsorted(&[2, 1]), invalid, "identity.groups", "ascending"),
        (unsorted(&[1, 1]), invalid, "identity.groups", "each once"),
    ]);
}

fn policy_of(node: &Node, port: u32) -> Option<Arc<Policy>> {
    let snapshot = node.dp.programmer.snapshot();
    let ports = &snapshot.tables().ports;
    let found = ports.iter().find(|(_, found)| found.id == port);
    found.unwrap().1.policy.clone()
}

fn epoch(node: &Node, vrf: u32) -> (u32, u32) {
    let snapshot = node.dp.programmer.snapshot();
    let tables = snapshot.tables();
    let epoch = tables.vrfs.iter().find(|(_, found)| found.id == vrf).unwrap().1.epoch;
    (epoch, tables.next_hop_epoch)
}

#[test]
fn a_changed_policy_is_that_of_all_its_ports_and_their_flows_are_decided_anew() {
    let mut node = Node::new();
    let mut bridge = bridge_spec(1);
    bridge.vrf = Some(3);
    let with = |id, attachment, policy| {
        Object::Port(PortSpec {
            policy,
            ..port_spec(id, attachment)
        })
    };
    node.put([
        vrf(1),
        vrf(2),
        vrf(3),
        Object::Bridge(bridge),
        policy(1, &[], &[]),
        policy(2, &[], &[]),
        with(1, Attachment::Vrf(1), Some(1)),
        with(2, Attachment::Vrf(2), Some(2)),
        with(3, Attachment::Bridge(1), Some(1)),
        with(4, Attachment::Vrf(1), None),
    ]);
    let epochs = |node: &Node| [1, 2, 3].map(|vrf| epoch(node, vrf));
    let (before, old) = (epochs(&node), policy_of(&node, 1).unwrap());
    // The same again: not even compiled.
    node.put([policy(1, &[], &[])]);
    assert_eq!(epochs(&node), before);
    assert!(Arc::ptr_eq(&policy_of(&node, 1).unwrap(), &old));

    node.put([policy(1, &[rule(7, &[], &[], Verdict::Allow)], &[])]);
    let new = policy_of(&node, 1).unwrap();
    assert!(!Arc::ptr_eq(&new, &old));
    assert!(Arc::ptr_eq(&policy_of(&node, 3).unwrap(), &new));
    assert_eq!(policy_of(&node, 2).unwrap().id(), 2);
    assert!(policy_of(&node, 4).is_none());
    let after = epochs(&node);
    assert_ne!((after[0], after[2]), (before[0], before[2]), "both VRFs are the ports'");
    assert_eq!(after[1], before[1], "nothing changed for VRF 2");

    // A policy that nobody has puts nothing in question, and goes when nobody has it.
    node.put([policy(3, &[], &[]), policy(3, &[rule(1, &[], &[], Verdict::Deny)], &[])]);
    assert_eq!(epochs(&node), after);
    node.apply(&[Operation::Delete(Key::Policy(3))]).unwrap();
    assert_eq!(
        node.apply(&[Operation::Delete(Key::Policy(1))]).unwrap_err()[0].code,
        Code::InUse
    );
    node.put([
        with(1, Attachment::Vrf(1), Some(2)),
        with(3, Attachment::Bridge(1), None),
    ]);
    node.apply(&[Operation::Delete(Key::Policy(1))]).unwrap();
    assert_eq!(policy_of(&node, 1).unwrap().id(), 2);
    node.apply(&[1, 2, 3, 4].map(|id| Operation::Delete(Key::Port(id))))
        .unwrap();
    node.apply(&[Operation::Delete(Key::Policy(2))]).unwrap();
}

#[test]
fn a_refused_batch_leaves_policies_and_identities_as_they_were() {
    let mut node = full::node();
    let (before, old) = (full::dump(&node), policy_of(&node, 1).unwrap());
    let other: PolicySpec = policy_spec(1, &[], &[]);
    let mut batch = vec![
        put(Object::Policy(other)),
        put(identity(1, "10.1.0.2/32", &[1, 2, 3])),
        put(identity(2, "fd00::/8", &[5])),
        Operation::Delete(identity_key(1, "10.0.0.0/8")),
        Operation::Delete(identity_key(2, "::/0")),
    ];
    batch.push(put(route(77, "10.0.0.0/8", 1)));
    node.apply(&batch).unwrap_err();
    assert_eq!(full::dump(&node), before);
    assert!(Arc::ptr_eq(&policy_of(&node, 1).unwrap(), &old));
    assert_eq!(groups(&node, 1, ip("10.1.0.2")), [7, 9]);
    assert_eq!(groups(&node, 1, ip("10.9.9.9")), [8]);
    node.apply(&batch[..5]).unwrap();
    assert_eq!(groups(&node, 1, ip("10.1.0.2")), [1, 2, 3]);
    assert!(groups(&node, 1, ip("10.9.9.9")).is_empty());
    assert_eq!(groups(&node, 2, ip("fd11::1")), [5]);
}

fn groups(node: &Node, vrf: u32, address: IpAddr) -> Vec<u32> {
    let snapshot = node.dp.programmer.snapshot();
    let tables = snapshot.tables();
    let table = tables.vrfs.iter().find(|(_, found)| found.id == vrf).unwrap().1;
    tables.groups(table, address).to_vec()
}

/// A change: VRF, place of the prefix, and the groups (none: deleted).
type Change = (u32, usize, Option<u8>);

const PREFIXES: [&str; 10] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.3/32",
    "10.1.2.4/31",
    "::/0",
    "fd00::/8",
    "fd00:1::/64",
    "fd00:1::7/128",
    "fd00:1::8/127",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Groups are those of the longest prefix, whatever came before; refused batches and what is gone leave nothing behind.
    #[test]
    fn identities_are_what_a_list_says(
        batches in prop::collection::vec(
            (prop::collection::vec((1..3_u32, 0..PREFIXES.len(), prop::option::of(0..8_u8)), 1..12), any::<bool>()),
            1..12,
        ),
    ) {
        let mut node = Node::new();
        node.put([vrf(1), vrf(2)]);
        let list_of = |bits: u8| (0..3).filter(|bit| bits & 1 << bit != 0).map(|bit| bit + 10).collect::<Vec<u32>>();
        let mut model: BTreeMap<(u32, IpPrefix), Vec<u32>> = BTreeMap::new();
        for (changes, refused) in batches {
            let mut next = model.clone();
            let mut batch = Vec::new();
            for (vrf, place, bits) in changes as Vec<Change> {
                let of = PREFIXES[place];
                match bits {
                    Some(bits) => {
                        batch.push(put(identity(vrf, of, &list_of(bits))));
                        next.insert((vrf, prefix(of)), list_of(bits));
                    }
                    None => {
                        batch.push(Operation::Delete(identity_key(vrf, of)));
                        next.remove(&(vrf, prefix(of)));
                    }
                }
            }
            if refused {
                batch.push(put(identity(77, "10.0.0.0/8", &[])));
                prop_assert!(node.apply(&batch).is_err());
            } else {
                prop_assert!(node.apply(&batch).is_ok());
                model = next;
            }
            for vrf in [1, 2] {
                for text in ["10.1.2.3", "10.1.2.5", "10.1.9.9", "10.9.9.9", "9.9.9.9", "fd00:1::7", "fd00:1::9", "fd99::1", "1::"] {
                    let address = ip(text);
                    let longest = model
                        .iter()
                        .filter(|((of, prefix), _)| *of == vrf && prefix.contains(address))
                        .max_by_key(|((_, prefix), _)| prefix.prefix_len());
                    let expected = longest.map_or_else(Vec::new, |(_, groups)| groups.clone());
                    prop_assert_eq!(groups(&node, vrf, address), expected);
                }
            }
            let snapshot = node.dp.programmer.snapshot();
            prop_assert_eq!(snapshot.identities(None).count(), model.len());
            let sets: std::collections::BTreeSet<_> = model.values().collect();
            prop_assert_eq!(snapshot.tables().group_sets.iter().count(), sets.len());
        }
        // A VRF goes when its identities are gone.
        for vrf in [1, 2] {
            let keys = model.keys().filter(|(of, _)| *of == vrf);
            let deletes: Vec<_> = keys.map(|(_, prefix)| Operation::Delete(Key::Identity(vrf, *prefix))).collect();
            prop_assert_eq!(node.apply(&[Operation::Delete(Key::Vrf(vrf))]).is_err(), !deletes.is_empty());
            node.apply(&deletes).unwrap();
            prop_assert!(node.apply(&[Operation::Delete(Key::Vrf(vrf))]).is_ok());
        }
    }
}

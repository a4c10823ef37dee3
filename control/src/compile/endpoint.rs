//! The objects of one endpoint, here or elsewhere.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    frame::{Frame, Place, Target},
    ids, network,
    objects::{self, Local},
    plan::{Made, Strength},
    vocabulary::{host, is_host},
};
use crate::model::{Cidr, Encapsulation, Endpoint, Name};

/// What an endpoint is compiled into.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    pub(super) made: Made,
    /// Whole prefixes that it may use, by the network whose VRF they are in, with its groups there.
    pub(super) wide: Vec<(Name, Cidr, Arc<[u32]>)>,
}

/// What an endpoint of a network needs on a node that hosts the network, or one that reaches it. `local`: what it is given beside its
/// addresses, where it lives here; `groups`: those that it is in.
pub(super) fn compile(frame: &Frame, endpoint: &Endpoint, local: &Local, groups: &BTreeSet<Name>) -> Compiled {
    let network = &frame.network;
    let mut made = Made::default();
    // Where routed packets and where frames go.
    let (routed, switched) = match frame.place(endpoint) {
        Place::Nowhere => return Compiled::default(),
        Place::Here(interface) => {
            let gateways = if network.bridged {
                Vec::new()
            } else {
                frame.gateways_of(endpoint)
            };
            made.own(objects::port(network, endpoint, interface, gateways, local));
            made.own(objects::to_port(endpoint));
            if let Some(label) = ids::endpoint_label(endpoint.number).filter(|_| !network.bridged) {
                made.own(objects::endpoint_label(endpoint, label));
            }
            (ids::port(endpoint.number), ids::port(endpoint.number))
        }
        Place::There(node, remote) => {
            let shared = ids::shared_tunnel(network.number, node.number);
            if network.bridged {
                made.own(objects::mac_tunnel(network, endpoint, remote));
                (ids::elsewhere(endpoint.number), shared)
            } else if network::needs_shared_tunnel(frame, endpoint) {
                (shared, shared)
            } else {
                debug_assert_eq!(network.encapsulation, Encapsulation::MplsUdp);
                if let Some(label) = ids::endpoint_label(endpoint.number) {
                    made.own(objects::label_tunnel(endpoint, remote, label));
                }
                (ids::elsewhere(endpoint.number), shared)
            }
        }
    };
    if network.bridged && frame.part.hosted {
        made.own(objects::mac(network, endpoint, switched));
        for address in &endpoint.addresses {
            made.own(objects::neighbor(network, endpoint, *address));
        }
    }
    let mut wide = Vec::new();
    for target in &frame.part.targets {
        let groups = target.words.of_endpoint(&endpoint.network, groups);
        place(target, endpoint, &groups, routed, &mut made, &mut wide);
    }
    Compiled { made, wide }
}

/// Routes to an endpoint, and who it is, in one VRF.
fn place(
    target: &Target,
    endpoint: &Endpoint,
    groups: &[u32],
    next_hop: u64,
    made: &mut Made,
    wide: &mut Vec<(Name, Cidr, Arc<[u32]>)>,
) {
    let known = !target.words.is_empty() && (!groups.is_empty() || target.spell_all);
    let own = endpoint.addresses.iter().map(|a| (host(*a), Strength::Endpoint));
    let allowed = endpoint.allowed_addresses.iter().map(|p| (p.cidr(), Strength::Allowed));
    for (cidr, strength) in own.chain(allowed).filter(|(cidr, _)| target.filter.admits(*cidr)) {
        let strength = strength.joined(target.joined);
        made.add(strength, objects::route(target.vrf, cidr, next_hop));
        if is_host(cidr) {
            if known {
                let groups = target.words.with_ranges(groups, cidr);
                made.add(strength, objects::identity(target.vrf, cidr, groups));
            }
        } else {
            wide.push((target.network.clone(), cidr, groups.into()));
        }
    }
}

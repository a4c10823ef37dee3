//! What endpoints that live here are given beside their addresses: limits, marks and mirrors.

use std::collections::{BTreeMap, BTreeSet};

use vrouter_proto::dataplane::{self as pb, next_hop::Action, object::Object};

use super::{
    ids,
    objects::{next_hop, object},
    plan::{Made, Owner},
    policies::traffic,
};
use crate::{
    model::{Collector, Endpoint, EndpointRef, Mirror, Name, QosRate},
    state::State,
};

/// Most mirrors of one port.
const MAX_MIRRORS: usize = 4;

/// The limits and marks of an endpoint.
pub(super) fn qos(state: &State, endpoint: &Endpoint) -> Option<pb::Qos> {
    let spec = &state.qos_profile(endpoint.qos.as_ref()?)?.spec;
    let qos = pb::Qos {
        from_workload: spec.egress.as_ref().map(rate),
        to_workload: spec.ingress.as_ref().map(rate),
        dscp: spec.dscp.map(u32::from),
    };
    (qos != pb::Qos::default()).then_some(qos)
}

fn rate(rate: &QosRate) -> pb::Rate {
    pb::Rate {
        bits_per_second: rate.bits_per_second,
        packets_per_second: rate.packets_per_second,
        burst_bytes: rate.burst_bytes,
        burst_packets: rate.burst_packets,
        shape: rate.shape,
        queue_bytes: rate.queue_bytes,
    }
}

/// Numbers of the mirrors that get copies of an endpoint's packets: the first four in the order of their numbers. A collector on another node
/// gets none, and no endpoint is mirrored to itself.
pub(super) fn mirrors(state: &State, here: &Name, endpoint: &Endpoint) -> Vec<u32> {
    let this = EndpointRef::of(endpoint);
    let groups = state.groups_of(&this.scoped());
    let selected = |mirror: &Mirror| {
        mirror.spec.endpoints.contains(&this) || mirror.spec.group.as_ref().is_some_and(|g| groups.contains(g))
    };
    let found: BTreeSet<u32> = state
        .mirrors()
        .filter(|mirror| match &mirror.spec.collector {
            Some(Collector::Endpoint(collector)) => {
                *collector != this && collector_here(state, here, collector).is_some()
            }
            Some(Collector::Vxlan { .. } | Collector::Erspan { .. }) => true,
            None => false,
        })
        .filter(|mirror| selected(mirror))
        .map(|mirror| mirror.number)
        .collect();
    found.into_iter().take(MAX_MIRRORS).collect()
}

/// The next hop to a collector that is an endpoint here.
fn collector_here(state: &State, here: &Name, collector: &EndpointRef) -> Option<u64> {
    let endpoint = state.endpoint(&collector.network, &collector.name)?;
    (endpoint.attached_to() == Some(here)).then(|| ids::port(endpoint.number))
}

/// The mirrors that are used here.
pub(super) fn compile(state: &State, here: &Name, used: &BTreeSet<u32>) -> BTreeMap<Owner, Made> {
    let mut all = BTreeMap::new();
    for mirror in state.mirrors().filter(|m| used.contains(&m.number)) {
        let mut made = Made::default();
        if let Some(to) = collector(state, here, mirror, &mut made) {
            made.own(copies(mirror, to));
            all.insert(Owner::Mirror(mirror.name.clone()), made);
        }
    }
    all
}

/// The next hop to where copies go; a tunnel is made for those that are sent away.
fn collector(state: &State, here: &Name, mirror: &Mirror, made: &mut Made) -> Option<u64> {
    use pb::next_hop::Encapsulation;
    let (encapsulation, remote, vni) = match mirror.spec.collector.as_ref()? {
        Collector::Endpoint(endpoint) => return collector_here(state, here, endpoint),
        Collector::Vxlan { address, vni } => (Encapsulation::Vxlan, address, *vni),
        Collector::Erspan { address, session } => (Encapsulation::Erspan, address, u32::from(*session)),
    };
    let id = ids::collector(mirror.number);
    let tunnel = pb::next_hop::Tunnel {
        encapsulation: encapsulation.into(),
        remote: remote.to_string(),
        vni,
        label: 0,
        // Copies are whole frames already; this is only what the API fills in.
        inner_mac: match encapsulation {
            Encapsulation::Vxlan => crate::model::Mac::GATEWAY.to_string(),
            _ => String::new(),
        },
    };
    made.own(next_hop(
        id,
        format!("collector of {}", mirror.name),
        Action::Tunnel(tunnel),
    ));
    Some(id)
}

fn copies(mirror: &Mirror, next_hop: u64) -> pb::Object {
    let spec = &mirror.spec;
    let both = !spec.egress && !spec.ingress;
    object(Object::Mirror(pb::Mirror {
        id: mirror.number,
        name: mirror.name.to_string(),
        next_hop,
        from_workload: spec.egress || both,
        to_workload: spec.ingress || both,
        filter: spec.traffic.iter().map(traffic).collect(),
        prefixes: spec.prefixes.iter().map(ToString::to_string).collect(),
        snap_length: spec.snap_length,
    }))
}

//! The way out: the external network's VRF, source translation, floating addresses.
//!
//! A node has the external network's VRF when it hosts a network with a way out, or an endpoint that a floating address stands for. What it owns
//! there is only what is its own: the floating addresses of its endpoints and its `nat_addresses`. All others are out on the underlay, where the node
//! that owns them answers.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use vrouter_proto::dataplane::{self as pb, next_hop::Action, object::Object};

use super::{
    ids,
    objects::{self, full_name, next_hop, object},
    plan::{Made, Owner},
    reach::{Reach, WayOut},
    vocabulary::host,
};
use crate::{
    model::{Cidr, Endpoint, EndpointRef, Family, FloatingIp, Name, Network},
    state::State,
};

/// Ports that sources are translated to: those that no service is usually at.
const PORTS: (u32, u32) = (1024, 65535);

/// What is made, with identifiers that are still names: they are numbered together.
#[derive(Debug, Default)]
pub(super) struct Outside {
    pub(super) made: Vec<(Owner, Made)>,
    /// Services and source translations, whose identifiers are to be given.
    pub(super) services: Vec<(Owner, pb::Service)>,
    pub(super) source_nats: Vec<(Owner, pb::SourceNat)>,
}

/// Everything of the way out on the node `here`, which hosts networks `hosted`.
pub(super) fn compile(state: &State, here: &Name, hosted: &BTreeSet<Name>, reach: &Reach) -> Outside {
    let mut outside = Outside::default();
    let mut external: BTreeSet<Name> = BTreeSet::new();
    for name in hosted {
        if let (Some(network), Some(way)) = (state.network(name), reach.way_out(name))
            && let Some(to) = state.network(&way.network)
        {
            external.insert(to.name.clone());
            outside.ways(state, here, network, way, (to, reach.blocks(&to.name)));
        }
    }
    for floating in state.floating_ips() {
        if let Some(network) = state.network(&floating.given.network)
            && outside.floating(state, here, floating, network)
        {
            external.insert(network.name.clone());
        }
    }
    for name in external {
        if let Some(network) = state.network(&name) {
            let made = vrf(state, here, network);
            outside.made.push((Owner::Network(name), made));
        }
    }
    outside
}

fn everything(family: Family) -> Cidr {
    let any: IpAddr = match family {
        Family::V4 => std::net::Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    Cidr::covering(any, 0)
}

/// The external network itself: what is on the underlay's link, and its routers. Of several subnets of a family, the first one's gateway (in the
/// order of their names) is the router for all else.
fn vrf(state: &State, here: &Name, network: &Network) -> Made {
    let mut made = Made::default();
    made.own(objects::vrf(network));
    let out =
        |id, name: String, gateway: String| next_hop(id, name, Action::Underlay(pb::next_hop::Underlay { gateway }));
    let mut linked = false;
    let mut routed: Vec<Family> = Vec::new();
    for subnet in state.subnets_of(&network.name) {
        if !linked {
            linked = true;
            made.own(out(
                ids::link(network.number),
                format!("{} link", network.name),
                String::new(),
            ));
        }
        made.own(objects::route(network.number, subnet.cidr, ids::link(network.number)));
        let family = subnet.cidr.family();
        if !routed.contains(&family) {
            routed.push(family);
            let id = ids::router(network.number, family);
            made.own(out(id, format!("{} router", network.name), subnet.gateway.to_string()));
            made.own(objects::route(network.number, everything(family), id));
        }
    }
    for address in state.node(here).into_iter().flat_map(|node| &node.nat_addresses) {
        made.own(objects::host_route(network.number, *address, ids::LOCAL));
    }
    made
}

/// Where a floating address, or one port of it, leads to.
struct Inside<'a> {
    endpoint: &'a Arc<Endpoint>,
    network: &'a Arc<Network>,
}

fn inside<'a>(state: &'a State, name: &EndpointRef) -> Option<Inside<'a>> {
    Some(Inside {
        endpoint: state.endpoint(&name.network, &name.name)?,
        network: state.network(&name.network)?,
    })
}

impl Outside {
    /// The way out of one network: default routes, and translation behind the node's addresses.
    fn ways(
        &mut self,
        state: &State,
        here: &Name,
        network: &Network,
        way: &WayOut,
        (to, (block_size, blocks)): (&Network, (u32, u32)),
    ) {
        let mut made = Made::default();
        let owner = || Owner::Outside(network.name.clone());
        let id = ids::to_vrf(to.number);
        made.own(next_hop(
            id,
            to.name.to_string(),
            Action::Vrf(pb::next_hop::ToVrf {
                vrf: to.number,
                untranslated: false,
            }),
        ));
        for family in [Family::V4, Family::V6] {
            if !state.subnets_of(&to.name).any(|s| s.cidr.family() == family) {
                continue;
            }
            made.own(objects::route(network.number, everything(family), id));
            let addresses: Vec<String> = state
                .node(here)
                .into_iter()
                .flat_map(|node| &node.nat_addresses)
                .filter(|a| Family::of(**a) == family)
                .map(ToString::to_string)
                .collect();
            if way.translate && !addresses.is_empty() {
                let source_nat = pb::SourceNat {
                    id: 0,
                    name: format!("{} {family}", network.name),
                    inside: network.number,
                    outside: to.number,
                    prefix: everything(family).to_string(),
                    addresses,
                    first_port: PORTS.0,
                    last_port: PORTS.1,
                    block_size,
                    blocks_per_source: blocks,
                };
                self.source_nats.push((owner(), source_nat));
            }
        }
        self.made.push((owner(), made));
    }

    /// One floating address. Whether this node has it.
    fn floating(&mut self, state: &State, here: &Name, floating: &FloatingIp, external: &Network) -> bool {
        let spec = &floating.spec;
        let named = spec.endpoint.iter().chain(spec.forwards.iter().map(|f| &f.endpoint));
        // One node has the address: that of the first endpoint that is attached.
        let home = named.filter_map(|e| inside(state, e)?.endpoint.attached_to()).next();
        if home != Some(here) {
            return false;
        }
        let owner = || Owner::FloatingIp(floating.name.clone());
        let address = floating.given.address;
        let family = Family::of(address);
        let mut service = |protocol: u32, port: u32, to: &Inside, inner: IpAddr, target: u32| {
            let service = pb::Service {
                id: 0,
                name: format!("floating {}", floating.name),
                vrf: external.number,
                address: address.to_string(),
                protocol,
                port,
                backends: vec![pb::Backend {
                    address: inner.to_string(),
                    port: target,
                    vrf: to.network.number,
                    weight: 1,
                    draining: false,
                    name: full_name(to.endpoint),
                }],
                client_affinity: false,
                affinity_seconds: 0,
            };
            self.services.push((owner(), service));
        };
        for forward in &spec.forwards {
            let to = inside(state, &forward.endpoint).filter(|to| to.endpoint.attached_to() == Some(here));
            if let Some(to) = to
                && let Some(inner) = to.endpoint.address_of(family)
            {
                let (protocol, port) = (forward.protocol.number().into(), forward.port.into());
                service(protocol, port, &to, inner, forward.target_port.into());
            }
        }
        let whole = spec.endpoint.as_ref().and_then(|name| inside(state, name));
        if let Some(to) = whole.filter(|to| to.endpoint.attached_to() == Some(here))
            && let Some(inner) = state.fixed_address(floating)
        {
            service(0, 0, &to, inner, 0);
            let source_nat = pb::SourceNat {
                id: 0,
                name: format!("floating {}", floating.name),
                inside: to.network.number,
                outside: external.number,
                prefix: host(inner).to_string(),
                addresses: vec![address.to_string()],
                first_port: 0,
                last_port: 0,
                block_size: 0,
                blocks_per_source: 0,
            };
            self.source_nats.push((owner(), source_nat));
        }
        let mut made = Made::default();
        made.own(objects::host_route(external.number, address, ids::LOCAL));
        self.made.push((owner(), made));
        true
    }
}

/// What a source translation is numbered by: no two are for the same sources.
pub(super) fn source_nat_text(source_nat: &pb::SourceNat) -> String {
    format!("{} {} {}", source_nat.inside, source_nat.outside, source_nat.prefix)
}

/// What a service is numbered by: what clients ask for.
pub(super) fn service_text(service: &pb::Service) -> String {
    format!(
        "{} {} {} {}",
        service.vrf, service.address, service.protocol, service.port
    )
}

pub(super) fn source_nat(source_nat: pb::SourceNat) -> pb::Object {
    object(Object::SourceNat(source_nat))
}

pub(super) fn service(service: pb::Service) -> pb::Object {
    object(Object::Service(service))
}

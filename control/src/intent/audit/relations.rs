//! What is wished for consistently, and yet cannot work as things are: each in words for whoever can mend it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    intent::{references, space},
    model::{
        BackendName, Collector, EndpointRef, Family, FloatingIp, Mirror, Name, Prefix, Router, RouterSpec, Service,
    },
    state::{Holder, Kind, State},
};

/// Endpoints or addresses that one finding names, at most.
const NAMED: usize = 3;

/// All findings about what objects are to each other.
pub(super) fn findings(state: &State) -> Vec<String> {
    let mut found = Vec::new();
    dangling::<crate::model::GroupSpec>(state, &mut found);
    dangling::<crate::model::PolicySpec>(state, &mut found);
    dangling::<RouterSpec>(state, &mut found);
    dangling::<crate::model::FloatingIpSpec>(state, &mut found);
    dangling::<crate::model::ServiceSpec>(state, &mut found);
    dangling::<crate::model::MirrorSpec>(state, &mut found);
    state.routers().for_each(|o| router(state, o, &mut found));
    state.floating_ips().for_each(|o| floating(state, o, &mut found));
    state.services().for_each(|o| service(state, o, &mut found));
    state.mirrors().for_each(|o| mirror(state, o, &mut found));
    allowed(state, &mut found);
    for node in state.nodes() {
        for address in state.vteps(node).addresses() {
            if let Some(holder) = state.nat_address_holder(*address) {
                found.push(format!(
                    "{address} is a tunnel address of node {}, and node {holder} translates sources behind it",
                    node.name
                ));
            }
        }
    }
    found
}

/// References to what does not exist. The rules do not let it come to that.
fn dangling<K: Kind>(state: &State, found: &mut Vec<String>) {
    for object in state.objects::<K>() {
        for (field, target) in object.spec.references() {
            if let Err(refusal) = references::exists(state, &target, &field) {
                let key = K::key(K::id(&object.name, &object.spec));
                found.push(format!("{key}: {refusal}"));
            }
        }
    }
}

/// Some of all, and how many more.
fn some<T: ToString>(all: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = all.into_iter().map(|one| one.to_string()).collect();
    let more = all.len().saturating_sub(NAMED);
    let named = all.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    if more == 0 {
        named
    } else {
        format!("{named} and {more} more")
    }
}

fn families(state: &State, network: &Name) -> BTreeSet<Family> {
    state.subnets_of(network).map(|s| s.cidr.family()).collect()
}

fn router(state: &State, router: &Router, found: &mut Vec<String>) {
    let (name, spec) = (&router.name, &router.spec);
    for leak in &spec.leaks {
        if space::leaked(state, leak).is_empty() {
            found.push(format!(
                "router {name} leaks {} of network {}, where no subnet has such addresses any more",
                leak.prefix, leak.from
            ));
        }
    }
    let Some(external) = &spec.external_network else {
        return;
    };
    let outside = families(state, external);
    if outside.is_empty() {
        found.push(format!(
            "router {name} leads to network {external}, which has no subnet, so nobody gets out"
        ));
    }
    if !spec.translate_sources {
        return;
    }
    // Per family, the nodes that have endpoints and nothing to translate them to.
    let mut without: BTreeMap<Family, BTreeSet<&Name>> = BTreeMap::new();
    for endpoint in spec.networks.iter().flat_map(|network| state.endpoints_of(network)) {
        let Some(node) = endpoint.attached_to().and_then(|node| state.node(node)) else {
            continue;
        };
        for family in outside.iter().filter(|family| endpoint.address_of(**family).is_some()) {
            if !node.nat_addresses.iter().any(|a| Family::of(*a) == *family) {
                without.entry(*family).or_default().insert(&node.name);
            }
        }
    }
    for (family, nodes) in without {
        found.push(format!(
            "router {name} translates sources, but these nodes have no {family} address in nat_addresses to translate them to: {}",
            some(nodes)
        ));
    }
}

fn floating(state: &State, floating: &FloatingIp, found: &mut Vec<String>) {
    let (name, address) = (&floating.name, floating.given.address);
    let named = floating.spec.endpoint.iter();
    let endpoints: BTreeSet<&EndpointRef> = named
        .chain(floating.spec.forwards.iter().map(|f| &f.endpoint))
        .collect();
    let networks: BTreeSet<&Name> = endpoints.iter().map(|e| &e.network).collect();
    for network in networks {
        if state
            .way_out(network)
            .is_none_or(|(_, out)| *out != floating.given.network)
        {
            found.push(format!(
                "floating address {name} ({address}) stands for endpoints of network {network}, which no router connects with network {}",
                floating.given.network
            ));
        }
    }
    if floating.spec.endpoint.is_some() && state.fixed_address(floating).is_none() {
        found.push(format!(
            "floating address {name} ({address}) stands for an endpoint that has no such address"
        ));
    }
    let mut nodes: BTreeMap<&Name, &EndpointRef> = BTreeMap::new();
    for endpoint in endpoints {
        if let Some(node) = state.by_ref(endpoint).and_then(|e| e.attached_to()) {
            nodes.entry(node).or_insert(endpoint);
        }
    }
    if nodes.len() > 1 {
        let where_to = nodes.iter().map(|(node, endpoint)| format!("{endpoint} on {node}"));
        found.push(format!(
            "floating address {name} ({address}) forwards to endpoints on several nodes, but can be on one only: {}",
            some(where_to)
        ));
    }
}

fn service(state: &State, service: &Service, found: &mut Vec<String>) {
    let (network, name) = (&service.spec.network, &service.name);
    let backends = state.backends(service);
    let usable = |b: &&crate::state::Backend| b.endpoint.as_ref().is_none_or(|e| e.attached_to().is_some());
    let usable: Vec<_> = backends.iter().filter(usable).collect();
    if usable.is_empty() {
        let why = if backends.is_empty() {
            ""
        } else {
            " that is attached to a node"
        };
        found.push(format!("service {network}/{name} has no backend{why}"));
    } else {
        for address in &service.given {
            let family = Family::of(*address);
            let served = usable
                .iter()
                .any(|b| b.addresses.iter().any(|a| Family::of(*a) == family));
            if !served {
                found.push(format!(
                    "service {network}/{name} has the address {address}, but no backend with an {family} address"
                ));
            }
        }
    }
    let joined = state.joined(network);
    let apart = |b: &&crate::state::Backend| b.network != *network && !joined.contains(&b.network);
    let apart: Vec<&BackendName> = backends.iter().filter(apart).map(|b| &b.name).collect();
    if !apart.is_empty() {
        found.push(format!(
            "service {network}/{name} has backends in networks that network {network} does not reach: {}",
            some(apart)
        ));
    }
    let members = service.spec.group.as_ref().map(|group| state.members(group));
    let outside: Vec<String> = members
        .iter()
        .flatten()
        .filter(|id| id.0 != *network && !joined.contains(&id.0))
        .map(|(of, endpoint)| format!("{of}/{endpoint}"))
        .collect();
    if !outside.is_empty() {
        found.push(format!(
            "service {network}/{name} leaves out members of its group in networks that network {network} does not reach: {}",
            some(outside)
        ));
    }
}

fn mirror(state: &State, mirror: &Mirror, found: &mut Vec<String>) {
    let (name, spec) = (&mirror.name, &mirror.spec);
    let mut sources: BTreeSet<EndpointRef> = spec.endpoints.iter().cloned().collect();
    for (network, name) in spec.group.iter().flat_map(|group| state.members(group)) {
        sources.insert(EndpointRef { network, name });
    }
    if sources.is_empty() {
        found.push(format!("mirror {name} mirrors nobody"));
    }
    let Some(Collector::Endpoint(collector)) = &spec.collector else {
        return;
    };
    if sources.contains(collector) {
        found.push(format!(
            "mirror {name} sends copies to {collector}, which is a member of the group that it mirrors; it is left out"
        ));
    }
    let Some(node) = state.by_ref(collector).and_then(|e| e.attached_to()) else {
        found.push(format!(
            "mirror {name} sends copies to {collector}, which is not attached to a node"
        ));
        return;
    };
    let elsewhere: Vec<&EndpointRef> = sources
        .iter()
        .filter(|source| {
            let at = state.by_ref(source).and_then(|e| e.attached_to());
            at.is_some_and(|at| at != node)
        })
        .collect();
    if !elsewhere.is_empty() {
        found.push(format!(
            "mirror {name} sends copies to {collector} on node {node}, so these on other nodes are not mirrored: {}",
            some(elsewhere)
        ));
    }
}

/// Addresses that endpoints may send from beside their own, and that mean somebody else.
fn allowed(state: &State, found: &mut Vec<String>) {
    let mut users: BTreeMap<(&Name, Prefix), Vec<&Name>> = BTreeMap::new();
    for endpoint in state.endpoints() {
        let (network, name) = (&endpoint.network, &endpoint.name);
        for prefix in &endpoint.allowed_addresses {
            users.entry((network, *prefix)).or_default().push(name);
            if let Some(address) = prefix.as_host()
                && let Some(holder) = holder(state, network, address)
                && holder != Holder::Endpoint(name.clone())
            {
                found.push(format!(
                    "endpoint {network}/{name} may send from {address}, which is in use by {holder}"
                ));
            }
            if let Some((other, cidr)) = space::foreign(state, network, *prefix) {
                found.push(format!(
                    "endpoint {network}/{name} may send from {prefix}, which is in {cidr} of network {other}, joined by a router"
                ));
            }
        }
    }
    for ((network, prefix), names) in users.into_iter().filter(|(_, names)| names.len() > 1) {
        found.push(format!(
            "{prefix} of network {network} is allowed to several endpoints, but routes to it lead to one: {}",
            some(names)
        ));
    }
}

fn holder(state: &State, network: &Name, address: IpAddr) -> Option<Holder> {
    state.allocation(network, address).map(|a| a.holder.clone())
}

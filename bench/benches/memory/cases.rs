//! The bed of each figure that is time per packet.

use vrouter_bench::figures::table;

use super::{
    bed::{BATCH, Bed, Meets, UNREPLIED},
    lab::{Scene, Tunnel, Way, add_routes},
    packets::{Family, Order, Pattern},
};

/// Few and many flows.
const FEW: u32 = 10_000;
const MANY: u32 = 1_000_000;

/// Flows that live while each packet makes a new one, of the 1,048,576 that there is room for.
pub(crate) const ALIVE: u32 = 900_000;

/// Different flows until one comes again, long after it has ended.
pub(crate) const DIFFERENT: u32 = 1 << 26;

/// Clients of new sessions; each has some 55 at a time.
const CLIENTS: u32 = 1 << 14;

/// New flows that keep state and get no answer.
const NEW: Meets = Meets::New {
    alive: ALIVE,
    lifetime: UNREPLIED,
};

/// The bed that a figure is measured on, and the batch to use. `None`: it is no time per packet.
pub(crate) fn bed(name: &str) -> Option<(Bed, usize)> {
    let (plain, v6) = table::family(name);
    let family = Family::BOTH[usize::from(v6)];
    let scene = |way| Scene::new(family, way);
    let hits = |scene: Scene, flows, answered| clients(&scene, Meets::Known { flows, answered });
    let bed = match plain {
        "route_1" | "route_1_batch1" => hits(scene(Way::Local), 1, false),
        "route_1m" => routes(family, MANY as usize),
        "flow_hit_10k" => hits(scene(Way::Local).with_policy(), FEW, true),
        "flow_hit_1m" => hits(scene(Way::Local).with_policy(), MANY, true),
        "vxlan_encap_10k" => hits(scene(Way::Encapsulate(Tunnel::Vxlan)), FEW, false),
        "vxlan_decap_10k" => hits(scene(Way::Decapsulate(Tunnel::Vxlan)), FEW, false),
        "mplsudp_encap_10k" => hits(scene(Way::Encapsulate(Tunnel::Mpls)), FEW, false),
        "mplsudp_decap_10k" => hits(scene(Way::Decapsulate(Tunnel::Mpls)), FEW, false),
        "policy_vxlan_encap_10k" => hits(scene(Way::Encapsulate(Tunnel::Vxlan)).with_policy(), FEW, true),
        "policy_vxlan_encap_1m" => hits(scene(Way::Encapsulate(Tunnel::Vxlan)).with_policy(), MANY, true),
        "nat_hit_10k" => sources(family, FEW),
        "nat_hit_1m" => sources(family, MANY),
        "flow_setup" => clients(&scene(Way::Local).with_policy(), NEW),
        "nat_setup" => new_sources(family),
        _ => return None,
    };
    Some((bed, if plain.ends_with("_batch1") { 1 } else { BATCH }))
}

/// Clients' packets, or where they come out of a tunnel, those to them.
pub(crate) fn clients(scene: &Scene, meets: Meets) -> Bed {
    Bed::new(scene, scene.build(), meets, |_| {
        let pattern = match scene.way {
            Way::Decapsulate(_) => Pattern::Answers,
            _ => Pattern::Clients,
        };
        let order = match meets {
            Meets::Known { flows, .. } => Order::shuffled(flows / scene.pairs as u32),
            Meets::New { .. } => Order::Mixed { next: 0, of: DIFFERENT },
        };
        (pattern, order)
    })
}

/// So many routes, and a flow to an address in each.
pub(crate) fn routes(family: Family, count: usize) -> Bed {
    let flows = count.next_power_of_two().max(super::lab::FLOWS);
    let scene = Scene::new(family, Way::Local).with_flows(flows);
    let mut node = scene.build();
    let destinations = add_routes(&mut node, family, count);
    let meets = Meets::Known {
        flows: count as u32,
        answered: false,
    };
    Bed::new(&scene, node, meets, |_| {
        // They are in random order already.
        let list = (0..count as u32).collect();
        (
            Pattern::Destinations(destinations.clone()),
            Order::Again { list, at: 0 },
        )
    })
}

/// Established sessions with translated sources.
pub(crate) fn sources(family: Family, flows: u32) -> Bed {
    let scene = Scene::new(family, Way::Translate);
    let meets = Meets::Known { flows, answered: true };
    Bed::new(&scene, scene.build(), meets, |_| {
        (Pattern::Sources, Order::shuffled(flows))
    })
}

/// New sessions with translated sources.
fn new_sources(family: Family) -> Bed {
    let scene = Scene::new(family, Way::Translate);
    Bed::new(&scene, scene.build(), NEW, |_| {
        let order = Order::Mixed { next: 0, of: 1 << 28 };
        (Pattern::NewSources(CLIENTS), order)
    })
}

//! Whatever is asked for, in whatever order: no address leaks or is had twice, and nothing refers to what is not there.

use std::collections::BTreeSet;

use proptest::prelude::*;
use vrouter_proto::control as pb;

use super::*;
use crate::{
    compile::tests::World,
    model::{
        EndpointWish, FloatingIpSpec, GroupSpec, Mask, MirrorSpec, Name, PolicySpec, RouterSpec, ServiceSpec,
        SubnetWish, Wish,
    },
    state::{Holder, State},
};

#[derive(Debug, Clone)]
enum Step {
    Subnet(u8, u8, bool),
    Endpoint(u8, u8, Option<u8>),
    DropEndpoint(u8, u8),
    Service(u8, u8, Option<u8>, Vec<(u8, u8)>),
    MoveService(u8, u8, Option<u8>),
    DropService(u8, u8),
    Floating(u8, Option<u8>, Option<(u8, u8)>),
    PointFloating(u8, Option<(u8, u8)>),
    DropFloating(u8),
    Router(u8, BTreeSet<u8>, bool),
    DropRouter(u8),
    Group(u8, BTreeSet<u8>, BTreeSet<(u8, u8)>),
    DropGroup(u8),
    Policy(u8, u8),
    Mirror(u8, (u8, u8), (u8, u8)),
    DropMirror(u8),
}

fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    let network = 0..2_u8;
    let few = 0..4_u8;
    let low = prop::option::of(0..10_u8);
    let reference = || (0..2_u8, 0..4_u8);
    prop_oneof![
        (0..3_u8, 0..2_u8, any::<bool>()).prop_map(|(n, s, six)| Subnet(n, s, six)),
        (network.clone(), few.clone(), low.clone()).prop_map(|(n, e, a)| Endpoint(n, e, a)),
        (network.clone(), few.clone()).prop_map(|(n, e)| DropEndpoint(n, e)),
        (
            network.clone(),
            few.clone(),
            low.clone(),
            prop::collection::vec(reference(), 0..3)
        )
            .prop_map(|(n, s, a, b)| Service(n, s, a, b)),
        (network.clone(), few.clone(), low.clone()).prop_map(|(n, s, a)| MoveService(n, s, a)),
        (network, few.clone()).prop_map(|(n, s)| DropService(n, s)),
        (few.clone(), low, prop::option::of(reference())).prop_map(|(f, a, e)| Floating(f, a, e)),
        (few.clone(), prop::option::of(reference())).prop_map(|(f, e)| PointFloating(f, e)),
        few.clone().prop_map(DropFloating),
        (few.clone(), prop::collection::btree_set(0..2_u8, 0..3), any::<bool>()).prop_map(|(r, n, x)| Router(r, n, x)),
        few.clone().prop_map(DropRouter),
        (
            few.clone(),
            prop::collection::btree_set(0..4_u8, 0..2),
            prop::collection::btree_set(reference(), 0..2)
        )
            .prop_map(|(g, i, e)| Group(g, i, e)),
        few.clone().prop_map(DropGroup),
        (few.clone(), few.clone()).prop_map(|(p, g)| Policy(p, g)),
        (few.clone(), reference(), reference()).prop_map(|(m, s, c)| Mirror(m, s, c)),
        few.prop_map(DropMirror),
    ]
}

fn name(prefix: &str, number: u8) -> Name {
    Name::new(&format!("{prefix}{number}")).unwrap()
}

/// Network 2 is the external one.
fn network(number: u8) -> String {
    if number == 2 {
        "ext".into()
    } else {
        format!("n{number}")
    }
}

fn of(reference: (u8, u8)) -> String {
    format!("{}/e{}", network(reference.0), reference.1)
}

fn address(network: u8, low: u8) -> String {
    format!("10.{network}.0.{low}")
}

fn service(n: u8, s: u8, low: Option<u8>, backends: &[(u8, u8)]) -> pb::Service {
    let backend = |b: &(u8, u8)| pb::ServiceBackend {
        backend: Some(pb::service_backend::Backend::Endpoint(of(*b))),
        ..Default::default()
    };
    pb::Service {
        network: network(n),
        name: format!("s{s}"),
        // Low enough to meet endpoints, or outside of every subnet.
        addresses: low
            .map(|low| {
                if low < 8 {
                    address(n, low)
                } else {
                    format!("10.{}.9.9", n + 8)
                }
            })
            .into_iter()
            .collect(),
        ports: vec![pb::ServicePort {
            port: 80,
            ..Default::default()
        }],
        backends: backends.iter().map(backend).collect(),
        ..Default::default()
    }
}

fn floating(f: u8, low: Option<u8>, endpoint: Option<(u8, u8)>) -> pb::FloatingIp {
    pb::FloatingIp {
        name: format!("f{f}"),
        network: "ext".into(),
        address: low.map(|low| address(2, low)).unwrap_or_default(),
        endpoint: endpoint.map(of).unwrap_or_default(),
        ..Default::default()
    }
}

/// Does one step; a refusal is an answer, too.
fn run(world: &mut World, step: Step) -> Result<(), Refusal> {
    match step {
        Step::Subnet(n, s, six) => world.apply(|t| {
            let cidr = match (six, n, s) {
                (false, n, 0) => format!("10.{n}.0.0/29"),
                (false, n, _) => format!("10.{n}.8.0/21"),
                (true, n, s) => format!("fd00:{n}:{s}::/64"),
            };
            let subnet = pb::Subnet {
                network: network(n),
                name: format!("{}{s}", if six { "v6-" } else { "v4-" }),
                cidr,
                ..Default::default()
            };
            create_subnet(t, SubnetWish::from_proto(Some(subnet))?).map(drop)
        }),
        Step::Endpoint(n, e, low) => world.apply(|t| {
            let endpoint = pb::Endpoint {
                network: network(n),
                name: format!("e{e}"),
                addresses: low.map(|low| address(n, low)).into_iter().collect(),
                ..Default::default()
            };
            let wish = EndpointWish::from_proto(Some(endpoint))?;
            match t.endpoint(&wish.network, &wish.name) {
                None => create_endpoint(t, wish).map(drop),
                Some(_) => update_endpoint(t, wish, &Mask::Fields(vec!["addresses".into()])).map(drop),
            }
        }),
        Step::DropEndpoint(n, e) => world.apply(|t| delete_endpoint(t, &name("n", n), &name("e", e)).map(drop)),
        Step::Service(n, s, low, backends) => {
            world.apply(|t| create(t, Wish::<ServiceSpec>::from_proto(Some(service(n, s, low, &backends)))?).map(drop))
        }
        Step::MoveService(n, s, low) => world.apply(|t| {
            let wish = Wish::<ServiceSpec>::from_proto(Some(service(n, s, low, &[])))?;
            update(t, wish, &Mask::Fields(vec!["addresses".into()])).map(drop)
        }),
        Step::DropService(n, s) => world.apply(|t| delete::<ServiceSpec>(t, &(name("n", n), name("s", s))).map(drop)),
        Step::Floating(f, low, endpoint) => {
            world.apply(|t| create(t, Wish::<FloatingIpSpec>::from_proto(Some(floating(f, low, endpoint)))?).map(drop))
        }
        Step::PointFloating(f, endpoint) => world.apply(|t| {
            let wish = Wish::<FloatingIpSpec>::from_proto(Some(floating(f, None, endpoint)))?;
            update(t, wish, &Mask::Fields(vec!["endpoint".into()])).map(drop)
        }),
        Step::DropFloating(f) => world.apply(|t| delete::<FloatingIpSpec>(t, &name("f", f)).map(drop)),
        Step::Router(r, networks, out) => world.apply(|t| {
            let router = pb::Router {
                name: format!("r{r}"),
                networks: networks.into_iter().map(network).collect(),
                external_network: if out { "ext".into() } else { String::new() },
                ..Default::default()
            };
            create(t, Wish::<RouterSpec>::from_proto(Some(router))?).map(drop)
        }),
        Step::DropRouter(r) => world.apply(|t| delete::<RouterSpec>(t, &name("r", r)).map(drop)),
        Step::Group(g, inner, endpoints) => world.apply(|t| {
            let group = pb::Group {
                name: format!("g{g}"),
                groups: inner.iter().map(|i| format!("g{i}")).collect(),
                endpoints: endpoints.into_iter().map(of).collect(),
                ..Default::default()
            };
            let wish = Wish::<GroupSpec>::from_proto(Some(group))?;
            match t.group(&wish.name) {
                None => create_group(t, wish, false).map(drop),
                Some(_) => update_group(t, wish, &Mask::Whole, false).map(drop),
            }
        }),
        Step::DropGroup(g) => world.apply(|t| delete::<GroupSpec>(t, &name("g", g)).map(drop)),
        Step::Policy(p, g) => world.apply(|t| {
            let policy = pb::Policy {
                name: format!("p{p}"),
                applies_to: format!("g{g}"),
                ..Default::default()
            };
            create(t, Wish::<PolicySpec>::from_proto(Some(policy))?).map(drop)
        }),
        Step::Mirror(m, source, collector) => world.apply(|t| {
            let mirror = pb::Mirror {
                name: format!("m{m}"),
                endpoints: vec![of(source)],
                collector: Some(pb::mirror::Collector::Endpoint(of(collector))),
                ..Default::default()
            };
            create(t, Wish::<MirrorSpec>::from_proto(Some(mirror))?).map(drop)
        }),
        Step::DropMirror(m) => world.apply(|t| delete::<MirrorSpec>(t, &name("m", m)).map(drop)),
    }
}

/// What must never be found, unlike what merely cannot work.
fn broken(state: &State) -> Vec<String> {
    let words = ["leaked", "handed out", "does not exist", "there is no", "are taken"];
    let found = audit(state).findings.into_iter();
    found.filter(|f| words.iter().any(|word| f.contains(word))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn nothing_leaks_or_dangles(steps in prop::collection::vec(step(), 0..80)) {
        let mut world = World::default();
        for name in ["n0", "n1", "ext"] {
            world.network(pb::Network { name: name.into(), external: name == "ext", ..Default::default() });
        }
        for n in 0..3 {
            run(&mut world, Step::Subnet(n, 0, false)).unwrap();
        }
        for step in steps {
            let before = world.state.revision();
            let shown = format!("{step:?}");
            let refused = run(&mut world, step).is_err();
            prop_assert!(!refused || world.state.revision() == before, "what is refused changes nothing: {shown}");
            prop_assert_eq!(broken(&world.state), Vec::<String>::new(), "after {}", shown);
        }
        // Each address is had by the one that it is handed out to, and by nobody else.
        let state = &world.state;
        let mut held = Vec::new();
        for e in state.endpoints() {
            held.extend(e.addresses.iter().map(|a| (e.network.clone(), *a, Holder::Endpoint(e.name.clone()))));
        }
        for s in state.services() {
            let network = &s.spec.network;
            held.extend(s.given.iter().map(|a| (network.clone(), *a, Holder::Service(s.name.clone()))));
        }
        for f in state.floating_ips() {
            held.push((f.given.network.clone(), f.given.address, Holder::FloatingIp(f.name.clone())));
        }
        let handed_out: Vec<_> =
            state.allocations().map(|a| (a.network.clone(), a.address, a.holder.clone())).collect();
        held.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        prop_assert_eq!(held, handed_out);
        // A state made of the records alone says the same.
        let mut again = State::default();
        for record in state.records() {
            again.put(record, state.revision());
        }
        prop_assert_eq!(audit(&again), audit(state));
    }
}

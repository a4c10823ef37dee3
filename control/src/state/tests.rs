//! Membership against a naive evaluation, and what it costs.

use std::{collections::BTreeSet, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::model::{EndpointRef, GroupSpec, Labels, Operator, Requirement};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn endpoint(network: &str, of: &str, number: u32, labels: Labels) -> Record {
    Record::Endpoint(Arc::new(Endpoint {
        network: name(network),
        name: name(of),
        uid: String::new(),
        revision: 1,
        number,
        node: None,
        interface: None,
        mac: Mac::generated(0x76, number),
        addresses: Vec::new(),
        wished_addresses: Vec::new(),
        labels,
        client_id: None,
        allowed_addresses: Vec::new(),
        allowed_macs: Vec::new(),
        allow_router: false,
        allow_dhcp_server: false,
        qos: None,
    }))
}

fn group(of: &str, number: u32, spec: GroupSpec) -> Record {
    Record::Group(Arc::new(Group {
        name: name(of),
        uid: String::new(),
        revision: 1,
        number,
        given: (),
        spec,
    }))
}

/// Ten thousand endpoints and a thousand groups of ten: a group asks those ten, an endpoint asks its one group.
#[test]
fn membership_asks_only_who_can_be_a_member() {
    let (endpoints, groups) = (10_000, 1_000);
    let mut state = State::default();
    let of = |n: u32| labels(&[("app", &format!("a{}", n % groups)), ("zone", &format!("z{}", n % 3))]);
    for n in 0..endpoints {
        state.put(endpoint("blue", &format!("e{n}"), n + 1, of(n)), 1);
    }
    assert_eq!(state.membership_questions(), 0, "nobody to ask yet");
    for k in 0..groups {
        let spec = GroupSpec {
            match_labels: labels(&[("app", &format!("a{k}"))]),
            match_expressions: vec![Requirement {
                key: "zone".into(),
                operator: Operator::Exists,
                values: BTreeSet::new(),
            }],
            ..GroupSpec::default()
        };
        state.put(group(&format!("g{k}"), k + 1, spec), 2);
    }
    assert_eq!(
        state.membership_questions(),
        u64::from(endpoints),
        "each group asked its ten"
    );
    assert_eq!(state.members(&name("g7")).len(), 10);

    let before = state.membership_questions();
    state.put(endpoint("blue", "new", 20_000, of(7)), 3);
    assert_eq!(
        state.membership_questions() - before,
        1,
        "a new endpoint asks one group"
    );
    assert_eq!((state.members(&name("g7")).len(), state.membership_revision()), (11, 3));

    let mut moved = of(7);
    moved.insert("zone".into(), "z9".into());
    state.put(endpoint("blue", "new", 20_000, moved.clone()), 4);
    assert_eq!(state.membership_revision(), 3, "still in the same groups");
    let before = state.membership_questions();
    state.put(endpoint("blue", "new", 20_000, moved), 5);
    assert_eq!(state.membership_questions(), before, "unchanged labels ask nobody");
    state.remove(&Key::Endpoint((name("blue"), name("new"))), 6);
    assert_eq!((state.members(&name("g7")).len(), state.membership_revision()), (10, 6));
    assert_eq!(state.membership_questions(), before, "leaving asks nobody");
}

#[test]
fn nested_groups_have_the_members_of_those_in_them() {
    let mut state = State::default();
    state.put(endpoint("blue", "web", 1, labels(&[("app", "web")])), 1);
    state.put(endpoint("red", "db", 2, labels(&[("app", "db")])), 1);
    let by_label = |value: &str| GroupSpec {
        match_labels: labels(&[("app", value)]),
        ..GroupSpec::default()
    };
    let around = |inner: &[&str]| GroupSpec {
        groups: inner.iter().map(|n| name(n)).collect(),
        ..GroupSpec::default()
    };
    // Groups may come in any order, as they do when a store is loaded.
    state.put(group("all", 1, around(&["apps", "db"])), 1);
    state.put(group("apps", 2, around(&["web"])), 1);
    state.put(group("web", 3, by_label("web")), 1);
    state.put(group("db", 4, by_label("db")), 1);
    let (web, db) = ((name("blue"), name("web")), (name("red"), name("db")));
    assert_eq!(
        state.members(&name("all")).into_iter().collect::<Vec<_>>(),
        [web.clone(), db.clone()]
    );
    let names = |id| state.groups_of(id).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&web), ["all", "apps", "web"]);
    assert_eq!(names(&db), ["all", "db"]);
    let cycle = state.group_cycle(&name("web"), &around(&["all"])).unwrap();
    let cycle: Vec<_> = cycle.iter().map(Name::as_str).collect();
    assert_eq!(cycle, ["web", "all", "apps", "web"]);
    assert_eq!(state.group_cycle(&name("web"), &around(&["db"])), None);
    assert!(state.group_cycle(&name("x"), &around(&["x"])).is_some());
}

const GROUPS: usize = 5;

fn any_labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map("[abc]", "[xyz]", 0..4)
}

fn any_spec() -> impl Strategy<Value = GroupSpec> {
    let operator = prop_oneof![
        Just(Operator::In),
        Just(Operator::NotIn),
        Just(Operator::Exists),
        Just(Operator::DoesNotExist)
    ];
    let requirement =
        ("[abc]", operator, prop::collection::btree_set("[xyz]", 1..3)).prop_map(|(key, operator, values)| {
            let values = if matches!(operator, Operator::In | Operator::NotIn) {
                values
            } else {
                BTreeSet::new()
            };
            Requirement { key, operator, values }
        });
    (
        prop::collection::btree_map("[abc]", "[xy]", 0..2),
        prop::collection::vec(requirement, 0..3),
        prop::collection::btree_set("n[01]", 0..2),
        prop::collection::btree_set(0..GROUPS, 0..2),
        prop::collection::btree_set((0..2_u8, 0..6_u8), 0..2),
    )
        .prop_map(
            |(match_labels, match_expressions, networks, groups, endpoints)| GroupSpec {
                match_labels,
                match_expressions,
                networks: networks.iter().map(|n| name(n)).collect(),
                groups: groups.iter().map(|g| name(&format!("g{g}"))).collect(),
                endpoints: endpoints
                    .iter()
                    .map(|(n, e)| EndpointRef::new(&format!("n{n}/e{e}")).unwrap())
                    .collect(),
            },
        )
}

#[derive(Debug, Clone)]
enum Step {
    Endpoint(u8, u8, Option<Labels>),
    Group(usize, Option<GroupSpec>),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2_u8, 0..6_u8, prop::option::weighted(0.8, any_labels())).prop_map(|(n, e, l)| Step::Endpoint(n, e, l)),
        2 => (0..GROUPS, prop::option::weighted(0.8, any_spec())).prop_map(|(g, s)| Step::Group(g, s)),
    ]
}

/// Members by asking everybody, again and again until nothing more is found.
fn naive(state: &State, group: &Name) -> BTreeSet<Scoped> {
    let mut names = BTreeSet::from([group.clone()]);
    loop {
        let more: Vec<Name> = names
            .iter()
            .filter_map(|n| state.group(n))
            .flat_map(|g| g.spec.groups.clone())
            .collect();
        let before = names.len();
        names.extend(more);
        if names.len() == before {
            break;
        }
    }
    let groups: Vec<_> = names.iter().filter_map(|n| state.group(n)).collect();
    if state.group(group).is_none() {
        return BTreeSet::new();
    }
    state
        .endpoints()
        .filter(|e| groups.iter().any(|g| g.spec.is_direct(&e.network, &e.name, &e.labels)))
        .map(|e| (e.network.clone(), e.name.clone()))
        .collect()
}

proptest! {
    #[test]
    fn membership_agrees_with_asking_everybody(steps in prop::collection::vec(any_step(), 0..40)) {
        let mut state = State::default();
        for (revision, step) in (1..).zip(steps) {
            match step {
                Step::Endpoint(n, e, Some(labels)) => {
                    let number = u32::from(n) * 100 + u32::from(e) + 1;
                    state.put(endpoint(&format!("n{n}"), &format!("e{e}"), number, labels), revision);
                }
                Step::Endpoint(n, e, None) => {
                    state.remove(&Key::Endpoint((name(&format!("n{n}")), name(&format!("e{e}")))), revision);
                }
                Step::Group(g, Some(spec)) => state.put(group(&format!("g{g}"), g as u32 + 1, spec), revision),
                Step::Group(g, None) => state.remove(&Key::Group(name(&format!("g{g}"))), revision),
            }
            let mut by_endpoint: std::collections::BTreeMap<Scoped, BTreeSet<Name>> = Default::default();
            for g in 0..GROUPS {
                let g = name(&format!("g{g}"));
                let members: BTreeSet<Scoped> = state.members(&g).into_iter().collect();
                prop_assert_eq!(&members, &naive(&state, &g), "members of {}", g);
                for member in members {
                    by_endpoint.entry(member).or_default().insert(g.clone());
                }
            }
            for e in state.endpoints() {
                let id = (e.network.clone(), e.name.clone());
                // A group that does not exist has no members, though others may name it.
                let mut found = state.groups_of(&id);
                found.retain(|g| state.group(g).is_some());
                prop_assert_eq!(found, by_endpoint.remove(&id).unwrap_or_default(), "groups of {:?}", id);
            }
            // The same from the records alone.
            let mut again = State::default();
            for record in state.records() {
                again.put(record, revision);
            }
            for g in 0..GROUPS {
                let g = name(&format!("g{g}"));
                prop_assert_eq!(again.members(&g), state.members(&g));
            }
        }
    }
}

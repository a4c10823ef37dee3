//! What holds for every world: references are complete, the same world compiles to the same, and remembering changes nothing.

use proptest::prelude::*;

use super::{
    steps::{NODES, run, step, world},
    *,
};
use crate::compile::{Compiler, compile, is_ours};

/// What a dataplane takes only once, whatever its identifier.
fn no_two_claim_the_same(plan: &Plan) -> Result<(), String> {
    let mut seen = std::collections::BTreeSet::new();
    for planned in plan.values() {
        let claim = match planned.object.object.as_ref().unwrap() {
            Object::Vrf(vrf) if vrf.underlay => "the underlay".to_owned(),
            Object::Service(s) => format!("service {} {} {} {}", s.vrf, s.address, s.protocol, s.port),
            Object::SourceNat(s) => format!("source {} {} {}", s.inside, s.outside, s.prefix),
            Object::HealthCheck(c) => format!("question {} {}", c.name, c.address),
            Object::Port(p) if p.mirrors.len() > 4 => return Err(format!("port {} has {:?}", p.id, p.mirrors)),
            Object::Port(p) => format!("interface {}", p.interface),
            Object::Identity(i) if !i.groups.is_sorted_by(|a, b| a < b) => {
                return Err(format!("identity {} has {:?}", i.prefix, i.groups));
            }
            _ => continue,
        };
        if !seen.insert(claim.clone()) {
            return Err(format!("{claim} is there twice"));
        }
    }
    Ok(())
}

/// A law about nothing holds always. So: random worlds have everything in them, and what is hard about it.
#[test]
fn random_worlds_have_everything_in_them() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let steps = prop::collection::vec(step(), 30..90)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let mut world = world();
        steps.into_iter().for_each(|step| run(&mut world, step));
        for node in NODES {
            let plan = compile(&world.state, &Name::new(node).unwrap(), &world.health);
            for planned in plan.values() {
                seen.extend(features(planned));
            }
        }
    }
    let all = [
        "audit",
        "backend here and there",
        "backend",
        "blocks",
        "bridge",
        "check",
        "collector here",
        "collector away",
        "contest",
        "draining",
        "floating",
        "forward",
        "joined",
        "limits",
        "mirrored",
        "one to one",
        "peer",
        "policy",
        "two groups",
        "underlay",
        "way out",
    ];
    let missing: Vec<&str> = all.into_iter().filter(|feature| !seen.contains(feature)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "of {seen:?}");
}

fn features(planned: &crate::compile::Planned) -> Vec<&'static str> {
    use crate::compile::Strength;
    let mut found = Vec::new();
    let mut when = |is: bool, feature| found.extend(is.then_some(feature));
    when(planned.strength == Strength::JoinedEndpoint, "joined");
    when(planned.strength == Strength::Allowed, "contest");
    match planned.object.object.as_ref().unwrap() {
        Object::Bridge(_) => when(true, "bridge"),
        Object::Vrf(vrf) => when(vrf.underlay, "underlay"),
        Object::Port(port) => {
            when(port.policy != 0, "policy");
            when(port.qos.is_some(), "limits");
            when(!port.mirrors.is_empty(), "mirrored");
        }
        Object::Mirror(mirror) => {
            let here = mirror.next_hop < 2_000_000_000;
            when(here, "collector here");
            when(!here, "collector away");
        }
        Object::NextHop(next_hop) => when(matches!(next_hop.action, Some(Action::Vrf(_))), "way out"),
        Object::Policy(policy) => {
            let mut rules = policy.ingress.iter().chain(&policy.egress);
            when(rules.clone().any(|r| r.verdict() == pb::Verdict::Audit), "audit");
            when(rules.any(|r| !r.groups.is_empty()), "peer");
        }
        Object::Identity(identity) => when(identity.groups.len() > 1, "two groups"),
        Object::SourceNat(nat) => {
            when(nat.block_size != 0, "blocks");
            when(nat.block_size == 0, "one to one");
        }
        Object::Service(service) => {
            let floating = service.name.starts_with("floating");
            when(floating && service.protocol == 0, "floating");
            when(floating && service.protocol != 0, "forward");
            when(!floating && !service.backends.is_empty(), "backend");
            let draining = service.backends.iter().filter(|b| b.draining).count();
            when(draining > 0, "draining");
            when(
                draining > 0 && draining < service.backends.len(),
                "backend here and there",
            );
        }
        Object::HealthCheck(_) => when(true, "check"),
        _ => {}
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_reference_exists_and_remembering_changes_nothing(steps in prop::collection::vec((step(), any::<bool>()), 1..60)) {
        let mut world = world();
        let mut compilers = NODES.map(|n| Compiler::new(Name::new(n).unwrap()));
        for (step, look) in steps {
            run(&mut world, step);
            if !look {
                // Bursts are seen as one change.
                continue;
            }
            for (node, compiler) in NODES.iter().zip(&mut compilers) {
                let before = compiler.plan().clone();
                let dirty = compiler.update(&world.state, &world.health);
                let fresh = compile(&world.state, &Name::new(node).unwrap(), &world.health);
                prop_assert_eq!(compiler.plan(), &fresh, "at {}", node);
                for key in before.keys().chain(fresh.keys()) {
                    let changed = before.get(key).map(|p| &p.object) != fresh.get(key).map(|p| &p.object);
                    prop_assert_eq!(dirty.contains(key), changed, "{} at {}", key, node);
                }
                for (key, planned) in &fresh {
                    prop_assert_eq!(ObjectKey::of(&planned.object), Some(key.clone()));
                    for reference in references(&planned.object) {
                        prop_assert!(fresh.contains_key(&reference), "{} needs {} at {}", key, reference, node);
                    }
                    if let ObjectKey::NextHop(id) = key {
                        prop_assert!(is_ours(*id));
                    }
                }
                if let Err(twice) = no_two_claim_the_same(&fresh) {
                    prop_assert!(false, "at {}: {}", node, twice);
                }
            }
        }
    }
}

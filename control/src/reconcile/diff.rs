//! The difference between plan and mirror, as steps in an order that is valid at every moment.
//!
//! What refers comes after what it refers to, and goes before it:
//!
//! 1. What is in the way is let go of: mirrors that copy to a port that goes are taken off the ports that name them; a VRF that was the underlay's is not any more
//!    when another one becomes it.
//! 2. Ports that go, or attach to another interface, with all that leads to them: routes, MACs, labels and mirrors, next hops, then the ports. An
//!    interface is thus free before another port takes it.
//! 3. Everything that comes or changes: VRFs, identities, policies, tunnels, floods, bridges, ports, next hops to ports, mirrors, and what uses them. Who an address is and what
//!    a policy says of it is thus known before a port moves packets. A port that names mirrors that are not there yet comes twice: without them, and with them once
//!    they are there. Mirrors lead to ports which may be mirrored themselves, so no single order would do.
//! 4. Everything else that goes, the other way round.
//!
//! A batch is all or nothing and one revision, so the whole order usually takes effect at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use vrouter_proto::dataplane::{self as pb, next_hop::Action, object::Object};

use super::mirror::Mirror;
use crate::compile::{ObjectKey, Plan, references};

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) key: ObjectKey,
    /// `None`: delete.
    pub(super) object: Option<Arc<pb::Object>>,
}

/// Steps that may share batches. Between stages there is to be an answer: an interface has to be let go of before another port takes it.
pub(super) type Stage = Vec<Step>;

/// What has to be done about `keys`. Keys that agree already give nothing.
pub(super) fn difference(plan: &Plan, mirror: &Mirror, keys: impl IntoIterator<Item = ObjectKey>) -> Vec<Stage> {
    let mut puts: BTreeMap<ObjectKey, Arc<pb::Object>> = BTreeMap::new();
    let mut deletes: BTreeSet<ObjectKey> = BTreeSet::new();
    for key in keys {
        match (plan.get(&key), mirror.get(&key)) {
            (Some(wished), Some(there)) if *wished.object == **there => {}
            (Some(wished), _) => {
                puts.insert(key, wished.object.clone());
            }
            (None, Some(_)) => {
                deletes.insert(key);
            }
            (None, None) => {}
        }
    }
    let mut first = hand_over(&mut puts, plan, mirror);
    let (detached, taken_over) = detach(&mut puts, &mut deletes, plan, mirror);
    first.extend(detached);

    let gone: BTreeSet<ObjectKey> = first
        .iter()
        .filter(|s| s.object.is_none())
        .map(|s| s.key.clone())
        .collect();
    let mut coming: Vec<(u8, Step)> = Vec::with_capacity(puts.len());
    for (key, object) in puts {
        let there = |id: &u32| {
            let key = ObjectKey::Mirror(*id);
            mirror.get(&key).is_some() && !gone.contains(&key)
        };
        let early = without_mirrors(&object, there);
        let late = Some(if early.is_some() {
            PORT_WITH_MIRRORS
        } else {
            rank(&object)
        });
        for (rank, object) in early
            .map(|o| (rank(&object), o))
            .into_iter()
            .chain(late.map(|rank| (rank, object)))
        {
            let (key, object) = (key.clone(), Some(object));
            coming.push((rank, Step { key, object }));
        }
    }
    coming.sort_by_key(|(rank, _)| *rank);
    let mut coming: Vec<Step> = coming.into_iter().map(|(_, step)| step).collect();
    let mut going: Vec<Step> = deletes.into_iter().map(|key| Step { key, object: None }).collect();
    going.sort_by_key(|step| std::cmp::Reverse(mirror.get(&step.key).map(|o| rank(o))));
    coming.extend(going);

    let stages = if taken_over {
        vec![first, coming]
    } else {
        vec![first.into_iter().chain(coming).collect()]
    };
    stages.into_iter().filter(|stage| !stage.is_empty()).collect()
}

/// Step 1 above: of VRFs only one may be the underlay's.
fn hand_over(puts: &mut BTreeMap<ObjectKey, Arc<pb::Object>>, plan: &Plan, mirror: &Mirror) -> Stage {
    let underlay = |object: &pb::Object| matches!(&object.object, Some(Object::Vrf(vrf)) if vrf.underlay);
    if !puts.values().any(|o| underlay(o)) {
        return Vec::new();
    }
    let mut steps = Vec::new();
    for (key, there) in mirror
        .iter()
        .filter(|(key, there)| underlay(there) && matches!(key, ObjectKey::Vrf(_)))
    {
        let planned = plan.get(key).map(|p| &p.object);
        if planned.is_some_and(|o| underlay(o)) {
            continue;
        }
        let mut object = there.as_ref().clone();
        if let Some(Object::Vrf(vrf)) = &mut object.object {
            vrf.underlay = false;
        }
        if let Some(planned) = planned {
            puts.insert(key.clone(), planned.clone());
        }
        let (key, object) = (key.clone(), Some(Arc::new(object)));
        steps.push(Step { key, object });
    }
    steps
}

/// The port without those of its mirrors that are not `there`; `None`: all are, or it is no port.
fn without_mirrors(object: &pb::Object, there: impl Fn(&u32) -> bool) -> Option<Arc<pb::Object>> {
    match &object.object {
        Some(Object::Port(port)) if !port.mirrors.iter().all(&there) => {
            let mut port = port.clone();
            port.mirrors.retain(there);
            let object = Some(Object::Port(port));
            Some(Arc::new(pb::Object { object }))
        }
        _ => None,
    }
}

/// Steps 1 and 2 above: takes ports that go or attach elsewhere out of `deletes`, with all that leads to them; what is to come again is added to
/// `puts`. Whether an interface passes from one attachment to another.
fn detach(
    puts: &mut BTreeMap<ObjectKey, Arc<pb::Object>>,
    deletes: &mut BTreeSet<ObjectKey>,
    plan: &Plan,
    mirror: &Mirror,
) -> (Stage, bool) {
    let moved = |key: &ObjectKey| match (
        puts.get(key).and_then(|o| attachment(o)),
        mirror.get(key).and_then(|o| attachment(o)),
    ) {
        (Some(new), Some(old)) => new != old,
        _ => false,
    };
    let mut leaving: BTreeSet<ObjectKey> = deletes
        .iter()
        .filter(|key| matches!(key, ObjectKey::Port(_)))
        .cloned()
        .collect();
    leaving.extend(puts.keys().filter(|key| moved(key)).cloned());
    if leaving.is_empty() {
        return (Vec::new(), false);
    }
    let freed: BTreeSet<&str> = leaving
        .iter()
        .filter_map(|key| Some(attachment(mirror.get(key)?)?.0))
        .collect();
    let taken_over = puts
        .values()
        .filter_map(|o| attachment(o))
        .any(|(interface, _)| freed.contains(interface));

    // Two rounds reach everything: next hops lead to ports, and routes, MACs, labels and mirrors to next hops.
    for _ in 0..2 {
        let more: Vec<ObjectKey> = mirror
            .iter()
            .filter(|(_, object)| leads_somewhere(object) && references(object).iter().any(|r| leaving.contains(r)))
            .map(|(key, _)| key.clone())
            .collect();
        leaving.extend(more);
    }
    let mut released: Stage = Vec::new();
    if leaving.iter().any(|key| matches!(key, ObjectKey::Mirror(_))) {
        for (key, there) in mirror.iter() {
            let stays = |id: &u32| !leaving.contains(&ObjectKey::Mirror(*id));
            let Some(object) = without_mirrors(there, stays) else {
                continue;
            };
            if let Some(wished) = plan.get(key) {
                puts.insert(key.clone(), wished.object.clone());
            }
            let (key, object) = (key.clone(), Some(object));
            released.push(Step { key, object });
        }
    }
    let mut first: Stage = Vec::with_capacity(leaving.len());
    for key in leaving {
        deletes.remove(&key);
        if let Some(wished) = plan.get(&key) {
            puts.insert(key.clone(), wished.object.clone());
        }
        first.push(Step { key, object: None });
    }
    first.sort_by_key(|step| std::cmp::Reverse(mirror.get(&step.key).map(|o| rank(o))));
    released.extend(first);
    (released, taken_over)
}

/// Interface and mode of a port.
fn attachment(object: &pb::Object) -> Option<(&str, i32)> {
    match object.object.as_ref()? {
        Object::Port(port) => Some((&port.interface, port.mode)),
        _ => None,
    }
}

/// Whether it can lead to a port.
fn leads_somewhere(object: &pb::Object) -> bool {
    matches!(
        object.object,
        Some(Object::NextHop(_) | Object::Route(_) | Object::Mac(_) | Object::Label(_) | Object::Mirror(_))
    )
}

/// Position in the order of coming.
fn rank(object: &pb::Object) -> u8 {
    match &object.object {
        Some(Object::Vrf(_)) | None => 0,
        Some(Object::Identity(_)) => 1,
        Some(Object::Policy(_)) => 2,
        Some(Object::NextHop(next_hop)) => match next_hop.action {
            Some(Action::Flood(_)) => 4,
            Some(Action::Port(_)) => 7,
            Some(Action::Group(_)) => 8,
            Some(
                Action::Tunnel(_)
                | Action::Local(_)
                | Action::Drop(_)
                | Action::Unreachable(_)
                | Action::Vrf(_)
                | Action::Underlay(_),
            )
            | None => 3,
        },
        Some(Object::Bridge(_)) => 5,
        Some(Object::Port(_)) => 6,
        Some(Object::Mirror(_)) => 9,
        Some(Object::SourceNat(_)) => 11,
        Some(Object::Service(_)) => 12,
        Some(Object::Route(_)) => 13,
        Some(Object::Mac(_)) => 14,
        Some(Object::Neighbor(_)) => 15,
        Some(Object::Vni(_)) => 16,
        Some(Object::Label(_)) => 17,
        Some(Object::HealthCheck(_)) => 18,
    }
}

/// Position of a port that comes again, with its mirrors.
const PORT_WITH_MIRRORS: u8 = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        compile::{
            compile,
            tests::steps::{NODES, run, step, world},
        },
        model::Name,
    };

    /// What a strict dataplane would say to a step.
    fn check(mirror: &Mirror, step: &Step) -> Result<(), String> {
        let Some(object) = &step.object else {
            let user = mirror.iter().find(|(_, other)| references(other).contains(&step.key));
            return user.map_or(Ok(()), |(user, _)| {
                Err(format!("{} is deleted, but {user} needs it", step.key))
            });
        };
        for reference in references(object) {
            if mirror.get(&reference).is_none() {
                return Err(format!("{} needs {reference}", step.key));
            }
        }
        if let Some(Object::Vrf(vrf)) = &object.object
            && vrf.underlay
        {
            let other = |(key, o): &(&ObjectKey, &Arc<pb::Object>)| {
                **key != step.key && matches!(&o.object, Some(Object::Vrf(other)) if other.underlay)
            };
            if let Some((other, _)) = mirror.iter().find(other) {
                return Err(format!("{} becomes the underlay's, which {other} is", step.key));
            }
        }
        if let Some((interface, _)) = attachment(object) {
            for (key, other) in mirror.iter() {
                let Some((theirs, _)) = attachment(other) else { continue };
                if (*key == step.key) != (theirs == interface) {
                    return Err(format!("{} takes {interface}; {key} is on {theirs}", step.key));
                }
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// From any world to any other, at once: every step is valid when it comes, and in the end all is as wished.
        #[test]
        fn every_difference_is_in_a_valid_order_and_converges(
            worlds in prop::collection::vec(prop::collection::vec(step(), 1..40), 1..4),
        ) {
            let mut world = world();
            let mut mirrors = NODES.map(|_| Mirror::default());
            for steps in worlds {
                for step in steps {
                    run(&mut world, step);
                }
                for (node, mirror) in NODES.iter().zip(&mut mirrors) {
                    let plan = compile(&world.state, &Name::new(node).unwrap(), &world.health);
                    for planned in plan.values() {
                        let mut spelt = planned.object.as_ref().clone();
                        crate::reconcile::normal::spell(&mut spelt);
                        prop_assert_eq!(&spelt, planned.object.as_ref(), "plans are spelt as dumps are");
                    }
                    let keys: BTreeSet<ObjectKey> = plan.keys().chain(mirror.keys()).cloned().collect();
                    for step in difference(&plan, mirror, keys.clone()).into_iter().flatten() {
                        if let Err(refusal) = check(mirror, &step) {
                            prop_assert!(false, "at {}: {}", node, refusal);
                        }
                        mirror.note(step);
                    }
                    prop_assert!(difference(&plan, mirror, keys).is_empty(), "nothing is left to do");
                    prop_assert!(plan.iter().map(|(k, p)| (k, &p.object)).eq(mirror.iter()));
                }
            }
        }
    }
}

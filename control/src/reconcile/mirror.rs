//! What a dataplane holds of ours, as far as we know.

use std::{collections::BTreeMap, sync::Arc};

use vrouter_proto::dataplane::{self as pb, object::Object};

use super::{diff::Step, normal::spell};
use crate::compile::{ObjectKey, is_ours};

/// Objects by key, and what health checks found when they were dumped.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    objects: BTreeMap<ObjectKey, Arc<pb::Object>>,
    health: Vec<(u32, pb::HealthState)>,
}

impl Mirror {
    /// Takes in dumped objects; leaves out what is not ours.
    pub(super) fn learn(&mut self, objects: impl IntoIterator<Item = pb::Object>) {
        for object in objects {
            if let Some(Object::HealthCheck(check)) = &object.object {
                self.health.extend(check.state.clone().map(|state| (check.id, state)));
            }
            if let Some(object) = ours(object)
                && let Some(key) = ObjectKey::of(&object)
            {
                self.objects.insert(key, Arc::new(object));
            }
        }
    }

    /// Notes that a step was applied.
    pub(super) fn note(&mut self, step: Step) {
        match step.object {
            Some(object) => self.objects.insert(step.key, object),
            None => self.objects.remove(&step.key),
        };
    }

    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Arc<pb::Object>> {
        self.objects.get(key)
    }

    /// What health checks had found when they were dumped.
    pub(super) fn health(&self) -> &[(u32, pb::HealthState)] {
        &self.health
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.objects.keys()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Arc<pb::Object>)> {
        self.objects.iter()
    }
}

/// The object as we would have put it: without what only dumps say, defaults spelled out. `None` when it is not ours.
fn ours(mut object: pb::Object) -> Option<pb::Object> {
    let foreign = match object.object.as_ref()? {
        Object::Port(port) => port.uplink,
        Object::NextHop(next_hop) => !is_ours(next_hop.id),
        Object::Route(route) => route.source != 0,
        Object::Mac(mac) => mac.learned,
        Object::Neighbor(neighbor) => neighbor.bridge == 0,
        _ => false,
    };
    spell(&mut object);
    (!foreign).then_some(object)
}

//! What a dataplane holds of ours, as far as we know.

use std::{collections::BTreeMap, sync::Arc};

use vrouter_proto::dataplane::{self as pb, next_hop::Action, object::Object};

use super::diff::Step;
use crate::{
    compile::{ObjectKey, is_ours},
    model::Mac,
};

/// Objects by key.
#[derive(Debug, Default)]
pub(super) struct Mirror(BTreeMap<ObjectKey, Arc<pb::Object>>);

impl Mirror {
    /// Takes in dumped objects; leaves out what is not ours.
    pub(super) fn learn(&mut self, objects: impl IntoIterator<Item = pb::Object>) {
        for object in objects {
            if let Some(object) = ours(object)
                && let Some(key) = ObjectKey::of(&object)
            {
                self.0.insert(key, Arc::new(object));
            }
        }
    }

    /// Notes that a step was applied.
    pub(super) fn note(&mut self, step: Step) {
        match step.object {
            Some(object) => self.0.insert(step.key, object),
            None => self.0.remove(&step.key),
        };
    }

    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Arc<pb::Object>> {
        self.0.get(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.0.keys()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Arc<pb::Object>)> {
        self.0.iter()
    }
}

/// The object as we would have put it: without what only dumps say, defaults spelled out. `None` when it is not ours.
fn ours(mut object: pb::Object) -> Option<pb::Object> {
    let gateway = || Mac::GATEWAY.to_string();
    match object.object.as_mut()? {
        Object::HealthCheck(check) => check.state = None,
        Object::Identity(_) | Object::Policy(_) | Object::SourceNat(_) | Object::Service(_) | Object::Mirror(_) => {}
        Object::Port(port) => {
            if port.uplink {
                return None;
            }
            port.state = None;
            // We always leave the choice to the dataplane; should it tell what it chose here, that is no difference, and certainly no
            // reason to attach anew.
            port.mode = pb::port::Mode::Auto.into();
        }
        Object::NextHop(next_hop) => {
            if !is_ours(next_hop.id) {
                return None;
            }
            next_hop.state = None;
            if let Some(Action::Tunnel(tunnel)) = &mut next_hop.action
                && tunnel.encapsulation() == pb::next_hop::Encapsulation::Vxlan
                && tunnel.inner_mac.is_empty()
            {
                tunnel.inner_mac = gateway();
            }
        }
        Object::Bridge(bridge) => {
            if bridge.gateway_mac.is_empty() {
                bridge.gateway_mac = gateway();
            }
            if bridge.aging_seconds == 0 {
                bridge.aging_seconds = 300;
            }
        }
        Object::Route(route) => {
            if route.source != 0 {
                return None;
            }
            route.active = false;
        }
        Object::Mac(mac) => {
            if mac.learned {
                return None;
            }
            mac.age_seconds = 0;
            mac.port = 0;
            mac.vtep.clear();
        }
        Object::Neighbor(neighbor) => {
            if neighbor.bridge == 0 {
                return None;
            }
            neighbor.state.clear();
            neighbor.interface.clear();
        }
        Object::Vrf(_) | Object::Vni(_) | Object::Label(_) => {}
    }
    Some(object)
}

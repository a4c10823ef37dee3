//! Policies, QoS profiles and mirrors: what they refer to must make sense for them.

use super::{Refusal, object::Rules};
use crate::{
    model::{MirrorSpec, Name, Object, PolicySpec, QosProfileSpec, Spec as _, Target},
    state::Transaction,
};

impl Rules for PolicySpec {
    fn give(
        transaction: &mut Transaction,
        _name: &Name,
        spec: &Self,
        _existing: Option<&Object<Self>>,
    ) -> Result<(), Refusal> {
        for (field, target) in spec.references() {
            if let Target::Network(name) = target
                && transaction.network(&name).is_some_and(|n| n.external)
            {
                let message = format!("network {name} is external and has no endpoints; a cidr would be right");
                return Err(Refusal::invalid(&format!("policy.{field}"), message));
            }
        }
        Ok(())
    }
}

impl Rules for QosProfileSpec {
    fn give(
        _transaction: &mut Transaction,
        _name: &Name,
        _spec: &Self,
        _existing: Option<&Object<Self>>,
    ) -> Result<(), Refusal> {
        Ok(())
    }

    fn target(name: &Name) -> Option<Target> {
        Some(Target::QosProfile(name.clone()))
    }
}

impl Rules for MirrorSpec {
    fn give(
        _transaction: &mut Transaction,
        _name: &Name,
        spec: &Self,
        existing: Option<&Object<Self>>,
    ) -> Result<(), Refusal> {
        // One that lost its endpoints because they were deleted may be changed otherwise.
        let emptied = existing.is_some_and(|e| e.spec.group.is_none() && e.spec.endpoints.is_empty());
        if spec.group.is_none() && spec.endpoints.is_empty() && !emptied {
            let message = "is empty, and so is group: nobody's packets would be copied";
            return Err(Refusal::invalid("mirror.endpoints", message));
        }
        Ok(())
    }
}

//! Staging of health checks, and what is known of those who are asked.

use std::sync::Arc;

use super::{
    effects::Effects,
    object::HealthCheckSpec,
    problem::Refusal,
    state::{State, check_id},
};
use crate::tables::slots::VrfSlot;

/// Whether a workload is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthStatus {
    /// It is. False until the first success.
    pub healthy: bool,
    /// Why not, in words.
    pub detail: Arc<str>,
    /// Answers that were right.
    pub successes: u64,
    /// Answers that were wrong, or did not come.
    pub failures: u64,
}

impl Default for HealthStatus {
    /// Nobody has asked yet.
    fn default() -> Self {
        Self {
            healthy: false,
            detail: "not asked yet".into(),
            successes: 0,
            failures: 0,
        }
    }
}

/// What is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// By whom and how.
    pub spec: Arc<HealthCheckSpec>,
    /// Slot of its VRF, which stays as long as the check does.
    pub vrf: VrfSlot,
}

pub(super) fn asked(state: &State, id: u32) -> Option<Asked> {
    let (spec, _) = state.health_checks.get(&id)?;
    let vrf = state.vrf("health_check.vrf", spec.vrf).ok()?;
    Some(Asked {
        spec: spec.clone(),
        vrf,
    })
}

pub(super) fn put(state: &mut State, effects: &mut Effects, spec: HealthCheckSpec) -> Result<(), Refusal> {
    check_id("health_check.id", spec.id.into())?;
    let vrf = state.vrf("health_check.vrf", spec.vrf)?;
    let before = state.health_checks.get(&spec.id).cloned();
    // What was found out about another workload, or in another way, says nothing of this one.
    let status = match &before {
        Some((old, status)) if **old == spec => status.clone(),
        _ => HealthStatus::default(),
    };
    effects.health_checks.insert(spec.id);
    state.vrf_uses.add(vrf.index());
    if let Some((old, _)) = before {
        forget(state, &old);
    }
    state.health_checks.insert(spec.id, (Arc::new(spec), status));
    Ok(())
}

pub(super) fn delete(state: &mut State, effects: &mut Effects, id: u32) {
    effects.health_checks.insert(id);
    if let Some((old, _)) = state.health_checks.remove(&id) {
        forget(state, &old);
    }
}

fn forget(state: &mut State, old: &HealthCheckSpec) {
    if let Ok(vrf) = state.vrf("health_check.vrf", old.vrf) {
        state.vrf_uses.remove(vrf.index());
    }
}

//! Staging of policies.

use std::{collections::HashSet, sync::Arc};

use super::{
    effects::Effects,
    object::{PolicySpec, RuleSpec},
    problem::Refusal,
    state::{State, check_id},
};
use crate::tables::policy::{DEFAULT_RULE, Policy};

pub(super) fn put(state: &mut State, effects: &mut Effects, spec: PolicySpec) -> Result<(), Refusal> {
    check_id("policy.id", spec.id.into())?;
    check_rules(&spec)?;
    if state.policies.get(&spec.id).is_some_and(|(old, _)| **old == spec) {
        return Ok(());
    }
    let policy = Arc::new(Policy::compile(&spec));
    if state.policy_uses.count(spec.id) > 0 {
        effects.policies.insert(spec.id);
    }
    state.policies.insert(spec.id, (Arc::new(spec), policy));
    Ok(())
}

pub(super) fn delete(state: &mut State, id: u32) -> Result<(), Refusal> {
    let uses = state.policy_uses.count(id);
    if let Some((spec, _)) = state.policies.get(&id)
        && uses > 0
    {
        let message = format!("{uses} ports have policy {id} ({}); give them another first", spec.name);
        return Err(Refusal::in_use("policy", message));
    }
    state.policies.remove(&id);
    Ok(())
}

/// Verdicts are told by the identifiers of rules: each names one.
fn check_rules(spec: &PolicySpec) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    let sides = [
        ("policy.egress.id", "policy.egress.traffic", &spec.egress),
        ("policy.ingress.id", "policy.ingress.traffic", &spec.ingress),
    ];
    for (field, traffic, rules) in sides {
        for RuleSpec {
            id,
            name,
            traffic: kinds,
            ..
        } in rules.iter()
        {
            if *id == 0 || *id == DEFAULT_RULE {
                let most = DEFAULT_RULE - 1;
                let message = format!("{id} is not an identifier of rules ({name}); choose one of 1 to {most}");
                return Err(Refusal::invalid(field, message));
            }
            if !seen.insert(*id) {
                let message =
                    format!("rule {id} ({name}) is given twice; each rule of a policy needs its own identifier");
                return Err(Refusal::invalid(field, message));
            }
            if let Some(error) = kinds.iter().find_map(|kind| kind.check().err()) {
                return Err(Refusal::invalid(traffic, format!("rule {id} ({name}): {error}")));
            }
        }
    }
    Ok(())
}

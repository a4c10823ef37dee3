//! Whom addresses belong to, and who may talk to whom.

use std::sync::Arc;

use vrouter_proto::dataplane as pb;

use super::{
    field,
    traffic::{self, TrafficFields},
};
use crate::{
    program::{
        object::{IdentitySpec, PolicySpec, RuleSpec, Verdict},
        problem::Refusal,
    },
    tables::policy::DEFAULT_RULE,
};

/// Most groups of one identity, and of one rule.
const GROUPS_MAX: usize = 4096;

/// Most rules of one side of a policy.
const RULES_MAX: usize = 65_535;

/// Most kinds of traffic of one rule.
const TRAFFIC_MAX: usize = 1024;

pub(super) fn read_identity(identity: &pb::Identity) -> Result<IdentitySpec, Refusal> {
    let field = "identity.groups";
    field::at_most(field, identity.groups.len(), GROUPS_MAX)?;
    for group in &identity.groups {
        field::id(field, *group)?;
    }
    if let Some(pair) = identity.groups.windows(2).find(|pair| pair[0] >= pair[1]) {
        let message = format!(
            "{} comes before {}; give groups in ascending order, each once",
            pair[0], pair[1]
        );
        return Err(Refusal::invalid(field, message));
    }
    Ok(IdentitySpec {
        vrf: field::id("identity.vrf", identity.vrf)?,
        prefix: field::prefix("identity.prefix", &identity.prefix)?,
        groups: identity.groups.as_slice().into(),
    })
}

pub(super) fn show_identity(identity: &IdentitySpec) -> pb::Identity {
    pb::Identity {
        vrf: identity.vrf,
        prefix: identity.prefix.to_string(),
        groups: identity.groups.to_vec(),
    }
}

/// Names of the fields of one side's rules.
struct RuleFields {
    rules: &'static str,
    id: &'static str,
    name: &'static str,
    groups: &'static str,
    kinds: &'static str,
    traffic: TrafficFields,
    verdict: &'static str,
}

macro_rules! rule_fields {
    ($side:literal) => {
        RuleFields {
            rules: concat!("policy.", $side),
            id: concat!("policy.", $side, ".id"),
            name: concat!("policy.", $side, ".name"),
            groups: concat!("policy.", $side, ".groups"),
            kinds: concat!("policy.", $side, ".traffic"),
            traffic: TrafficFields {
                protocol: concat!("policy.", $side, ".traffic.protocol"),
                first_port: concat!("policy.", $side, ".traffic.first_port"),
                last_port: concat!("policy.", $side, ".traffic.last_port"),
                icmp_type: concat!("policy.", $side, ".traffic.icmp_type"),
                icmp_code: concat!("policy.", $side, ".traffic.icmp_code"),
            },
            verdict: concat!("policy.", $side, ".verdict"),
        }
    };
}

const EGRESS: RuleFields = rule_fields!("egress");
const INGRESS: RuleFields = rule_fields!("ingress");

pub(super) fn read(policy: &pb::Policy) -> Result<PolicySpec, Refusal> {
    let spec = PolicySpec {
        id: field::id("policy.id", policy.id)?,
        name: field::long_name("policy.name", &policy.name)?,
        egress: read_rules(&EGRESS, &policy.egress)?,
        ingress: read_rules(&INGRESS, &policy.ingress)?,
        egress_default: read_default("policy.egress_default", policy.egress_default)?,
        ingress_default: read_default("policy.ingress_default", policy.ingress_default)?,
    };
    field::no_repetition(EGRESS.id, spec.egress.iter().map(|rule| rule.id))?;
    field::no_repetition(
        INGRESS.id,
        spec.egress.iter().chain(spec.ingress.iter()).map(|rule| rule.id),
    )?;
    Ok(spec)
}

fn read_rules(fields: &RuleFields, rules: &[pb::Rule]) -> Result<Arc<[RuleSpec]>, Refusal> {
    field::at_most(fields.rules, rules.len(), RULES_MAX)?;
    // In a policy of thousands, a field alone does not say which rule it is of.
    let of = |rule: &pb::Rule, refusal: Refusal| {
        let message = format!("rule {}: {}", rule.id, refusal.message);
        Refusal { message, ..refusal }
    };
    let rules = rules
        .iter()
        .map(|rule| read_rule(fields, rule).map_err(|refusal| of(rule, refusal)));
    rules.collect()
}

fn read_rule(fields: &RuleFields, rule: &pb::Rule) -> Result<RuleSpec, Refusal> {
    field::at_most(fields.groups, rule.groups.len(), GROUPS_MAX)?;
    field::at_most(fields.kinds, rule.traffic.len(), TRAFFIC_MAX)?;
    for group in &rule.groups {
        field::id(fields.groups, *group)?;
    }
    field::no_repetition(fields.groups, rule.groups.iter())?;
    let traffic = rule.traffic.iter().map(|kind| traffic::read(&fields.traffic, kind));
    Ok(RuleSpec {
        id: field::number(fields.id, rule.id, 1, u64::from(DEFAULT_RULE) - 1)?,
        name: field::long_name(fields.name, &rule.name)?,
        groups: rule.groups.as_slice().into(),
        traffic: traffic.collect::<Result<_, _>>()?,
        verdict: read_verdict(fields.verdict, rule.verdict)?,
        log: rule.log,
    })
}

fn read_verdict(field: &'static str, verdict: i32) -> Result<Verdict, Refusal> {
    match pb::Verdict::try_from(verdict) {
        Ok(pb::Verdict::Allow) => Ok(Verdict::Allow),
        Ok(pb::Verdict::Deny) => Ok(Verdict::Deny),
        Ok(pb::Verdict::Audit) => Ok(Verdict::Audit),
        Ok(pb::Verdict::Unspecified) | Err(_) => {
            let message = format!("{verdict} is no verdict; give ALLOW (1), DENY (2) or AUDIT (3)");
            Err(Refusal::invalid(field, message))
        }
    }
}

/// What is not said is denied.
fn read_default(field: &'static str, verdict: i32) -> Result<Verdict, Refusal> {
    match pb::Verdict::try_from(verdict) {
        Ok(pb::Verdict::Allow) => Ok(Verdict::Allow),
        Ok(pb::Verdict::Deny | pb::Verdict::Unspecified) => Ok(Verdict::Deny),
        Ok(pb::Verdict::Audit) | Err(_) => {
            let message = format!("{verdict} is no default; give ALLOW (1) or DENY (2)");
            Err(Refusal::invalid(field, message))
        }
    }
}

pub(super) fn show(policy: &PolicySpec) -> pb::Policy {
    let rules = |rules: &[RuleSpec]| rules.iter().map(show_rule).collect();
    pb::Policy {
        id: policy.id,
        name: policy.name.to_string(),
        egress: rules(&policy.egress),
        ingress: rules(&policy.ingress),
        egress_default: show_verdict(policy.egress_default).into(),
        ingress_default: show_verdict(policy.ingress_default).into(),
    }
}

fn show_rule(rule: &RuleSpec) -> pb::Rule {
    pb::Rule {
        id: rule.id,
        name: rule.name.to_string(),
        groups: rule.groups.to_vec(),
        traffic: rule.traffic.iter().map(traffic::show).collect(),
        verdict: show_verdict(rule.verdict).into(),
        log: rule.log,
    }
}

fn show_verdict(verdict: Verdict) -> pb::Verdict {
    match verdict {
        Verdict::Allow => pb::Verdict::Allow,
        Verdict::Deny => pb::Verdict::Deny,
        Verdict::Audit => pb::Verdict::Audit,
    }
}

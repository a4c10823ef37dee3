//! What was decided about a flow, with the names of the rules that decided.

use crate::{
    pipeline::{FlowAction, FlowFlags},
    tables::{
        Tables, conntrack,
        next_hop::Action,
        policy::Verdict,
        slots::{NextHopSlot, PortSlot},
    },
};

/// A verdict and who gave it. Rules are named "policy/rule"; empty where no policy was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowVerdict {
    /// What is done.
    pub verdict: Verdict,
    /// Of the sender's policy.
    pub egress_rule: String,
    /// Of the receiver's policy.
    pub ingress_rule: String,
    /// Why packets are dropped; empty where they are not.
    pub drop_reason: &'static str,
}

/// The verdict that an action holds. `forward`: it is of the direction of the first packet. `account`: the port that pays for the flow,
/// by its slot, which is the only workload that a refused flow tells of.
pub(super) fn verdict(tables: &Tables, action: &FlowAction, forward: bool, account: u16) -> FlowVerdict {
    let way_in = (action.in_port != FlowAction::ANY_UPLINK).then(|| PortSlot::from_raw(action.in_port));
    let way_out = behind(tables, action.next_hop).or_else(|| action.is_denied().then(|| PortSlot::from_raw(account)));
    let (sender, receiver) = if forward { (way_in, way_out) } else { (way_out, way_in) };
    FlowVerdict {
        verdict: if action.is_denied() {
            Verdict::Deny
        } else if action.flags.has(FlowFlags::AUDIT) {
            Verdict::Audit
        } else {
            Verdict::Allow
        },
        egress_rule: rule(tables, sender, action.egress_rule),
        ingress_rule: rule(tables, receiver, action.ingress_rule),
        drop_reason: match action.reason {
            Some(reason) if action.is_denied() => reason.name(),
            _ => "",
        },
    }
}

/// The state of the connection in words. `words`: of the direction of the first packet, and of the other.
pub(super) fn state(protocol: u8, words: [u64; 2], denied: bool) -> &'static str {
    conntrack::phase(protocol, words[0], words[1], denied).name()
}

fn behind(tables: &Tables, next_hop: NextHopSlot) -> Option<PortSlot> {
    match &tables.next_hop(next_hop)?.action {
        Action::Port(hop) => Some(hop.port),
        _ => None,
    }
}

/// The name of a rule of the policy that a port has now. One that is there no more is shown by its number.
fn rule(tables: &Tables, port: Option<PortSlot>, rule: u32) -> String {
    if rule == 0 {
        return String::new();
    }
    match port.and_then(|port| tables.port(port)?.policy.as_ref()) {
        Some(policy) => policy.rule_name(rule).into_owned(),
        None => format!("rule {rule}"),
    }
}

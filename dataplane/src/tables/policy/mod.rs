//! Who may talk to whom: rules, compiled so that ten thousand of them answer as fast as ten.
//!
//! A policy is asked once per flow, about its first packet, with the groups that the peer's address belongs to. What groups
//! addresses have is told by [`identity`](super::identity); when a decision must be made anew is the pipeline's business.

mod classifier;
#[cfg(test)]
mod tests;
mod traffic;

use std::{borrow::Cow, sync::Arc};

use self::classifier::{Classifier, NO_RULE};
pub use self::traffic::{BadTraffic, Traffic, TrafficMatch};

/// Rule number of a [`Ruling`] that no rule matched: the default of the policy decided.
pub const DEFAULT_RULE: u32 = u32::MAX;

/// What is to be done with a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Let it through.
    Allow,
    /// Drop it.
    Deny,
    /// Let it through, and say that it would be dropped.
    Audit,
}

impl Verdict {
    /// Packets pass.
    pub const fn passes(self) -> bool {
        !matches!(self, Self::Deny)
    }
}

/// Which of a policy's two lists is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// What the workload begins: the peer is the destination.
    Egress,
    /// What is begun towards the workload: the peer is the source.
    Ingress,
}

/// A verdict and who gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// What to do.
    pub verdict: Verdict,
    /// Identifier of the rule; [`DEFAULT_RULE`] where none matched.
    pub rule: u32,
    /// Those who watch flows are to be told of it even if they did not ask.
    pub log: bool,
}

/// One rule, as programmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSpec {
    /// Identifier, unique within the policy: neither 0 nor [`DEFAULT_RULE`].
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// The peer is in one of these groups. Empty: any peer.
    pub groups: Arc<[u32]>,
    /// The packet is one of these kinds. Empty: all traffic.
    pub traffic: Arc<[TrafficMatch]>,
    /// What to do.
    pub verdict: Verdict,
    /// Tell those who watch flows.
    pub log: bool,
}

impl RuleSpec {
    /// The rule is for this packet of a peer in these groups: what [`Policy::decide`] answers fast, said plainly.
    pub fn matches(&self, groups: &[u32], traffic: &Traffic) -> bool {
        (self.groups.is_empty() || self.groups.iter().any(|group| groups.contains(group)))
            && (self.traffic.is_empty() || self.traffic.iter().any(|kind| kind.matches(traffic)))
    }
}

/// A policy, as programmed. In each list the first rule that matches wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySpec {
    /// Identifier, not 0.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// What the workload may begin.
    pub egress: Arc<[RuleSpec]>,
    /// What may be begun towards the workload.
    pub ingress: Arc<[RuleSpec]>,
    /// Where no egress rule matches.
    pub egress_default: Verdict,
    /// Where no ingress rule matches.
    pub ingress_default: Verdict,
}

/// A compiled policy.
#[derive(Debug)]
pub struct Policy {
    id: u32,
    name: Arc<str>,
    egress: List,
    ingress: List,
    /// Names by identifier, ascending.
    names: Box<[(u32, Arc<str>)]>,
}

/// One of the two lists.
#[derive(Debug)]
struct List {
    classifier: Classifier,
    /// What each rule says, in their order.
    rulings: Box<[Ruling]>,
    default: Verdict,
}

impl List {
    fn compile(rules: &[RuleSpec], default: Verdict) -> Self {
        let ruling = |rule: &RuleSpec| Ruling {
            verdict: rule.verdict,
            rule: rule.id,
            log: rule.log,
        };
        Self {
            classifier: Classifier::compile(rules),
            rulings: rules.iter().map(ruling).collect(),
            default,
        }
    }

    #[inline]
    fn decide(&self, groups: &[u32], traffic: &Traffic) -> Ruling {
        let default = Ruling {
            verdict: self.default,
            rule: DEFAULT_RULE,
            log: false,
        };
        match self.classifier.first(groups, traffic) {
            NO_RULE => default,
            index => self.rulings.get(index as usize).copied().unwrap_or(default),
        }
    }
}

impl Policy {
    /// Compiles a policy. Takes milliseconds for ten thousand rules: not for workers.
    pub fn compile(spec: &PolicySpec) -> Self {
        let rules = spec.egress.iter().chain(spec.ingress.iter());
        let mut names: Vec<_> = rules.map(|rule| (rule.id, rule.name.clone())).collect();
        names.sort_unstable_by_key(|(id, _)| *id);
        Self {
            id: spec.id,
            name: spec.name.clone(),
            egress: List::compile(&spec.egress, spec.egress_default),
            ingress: List::compile(&spec.ingress, spec.ingress_default),
            names: names.into(),
        }
    }

    /// The client's identifier.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Name for people.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The verdict on the first packet of a flow. `groups` are those of the peer's address, in any order.
    #[inline]
    pub fn decide(&self, side: Side, groups: &[u32], traffic: &Traffic) -> Ruling {
        match side {
            Side::Egress => self.egress.decide(groups, traffic),
            Side::Ingress => self.ingress.decide(groups, traffic),
        }
    }

    /// A rule of a [`Ruling`] as people know it: "policy/rule", or "policy/default". A rule whose own name has a slash already names the
    /// policy it came from (one of several merged into this), and is left alone. Empty for 0, which is no rule.
    pub fn rule_name(&self, rule: u32) -> Cow<'_, str> {
        match rule {
            0 => Cow::Borrowed(""),
            DEFAULT_RULE => Cow::Owned(format!("{}/default", self.name)),
            _ => match self.names.binary_search_by_key(&rule, |(id, _)| *id) {
                Ok(at) if self.names[at].1.contains('/') => Cow::Borrowed(&*self.names[at].1),
                Ok(at) if !self.names[at].1.is_empty() => Cow::Owned(format!("{}/{}", self.name, self.names[at].1)),
                _ => Cow::Owned(format!("{}/rule {rule}", self.name)),
            },
        }
    }
}

//! Policies: who may talk to whom.

use serde::{Deserialize, Serialize};
use vrouter_proto::control as pb;

use super::{
    error::{InField, Invalid},
    name::Name,
    object::{Object, Spec, Wish, fields},
    prefix::Prefix,
    reference::{Target, list, optional},
    traffic::Traffic,
};

/// The side of the protected endpoint that a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Towards the endpoints that the policy applies to.
    Ingress,
    /// From them.
    Egress,
}

/// What a rule does with what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleAction {
    /// Lets it through.
    Allow,
    /// Refuses it.
    Deny,
    /// Lets it through, and tells that it would be refused.
    Audit,
}

/// The other side of a rule's traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// Members of a group.
    Group(Name),
    /// Addresses of a prefix.
    Cidr {
        /// All of these...
        prefix: Prefix,
        /// ... but not these parts of it.
        except: Vec<Prefix>,
    },
    /// All endpoints of a network.
    Network(Name),
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Unique within the policy.
    pub name: Name,
    /// Which side it is about.
    pub direction: Direction,
    /// The smallest is asked first.
    pub priority: u16,
    /// What it does.
    pub action: RuleAction,
    /// Tell watchers of every flow that it decides.
    pub log: bool,
    /// Any of these. Empty: anybody.
    pub peers: Vec<Peer>,
    /// Any of these. Empty: all traffic.
    pub traffic: Vec<Traffic>,
}

/// What a client chooses of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySpec {
    /// The group whose members it protects; `None`: all endpoints.
    pub applies_to: Option<Name>,
    /// Only endpoints of this network.
    pub network: Option<Name>,
    /// The rules, as the client ordered them.
    pub rules: Vec<Rule>,
    /// Traffic to them that no rule decides is denied.
    pub isolate_ingress: bool,
    /// Traffic from them that no rule decides is denied.
    pub isolate_egress: bool,
}

/// A policy, as stored.
pub type Policy = Object<PolicySpec>;

impl PolicySpec {
    /// Most rules of a policy.
    pub const MAX_RULES: usize = 16_384;
    /// Most peers of a rule, and most exceptions of a peer.
    pub const MAX_PEERS: usize = 4096;
}

impl Rule {
    fn from_proto(field: &str, rule: pb::PolicyRule) -> Result<Self, Invalid> {
        use pb::policy_rule::{Action, Direction as Asked};
        let at = |name: &str| format!("{field}.{name}");
        let direction = match Asked::try_from(rule.direction) {
            Ok(Asked::Ingress) => Direction::Ingress,
            Ok(Asked::Egress) => Direction::Egress,
            Ok(Asked::Unspecified) | Err(_) => {
                return Err(Invalid::new(
                    at("direction"),
                    "is missing; INGRESS or EGRESS would be right",
                ));
            }
        };
        let action = match Action::try_from(rule.action) {
            Ok(Action::Allow) => RuleAction::Allow,
            Ok(Action::Deny) => RuleAction::Deny,
            Ok(Action::Audit) => RuleAction::Audit,
            Ok(Action::Unspecified) | Err(_) => {
                return Err(Invalid::new(
                    at("action"),
                    "is missing; ALLOW, DENY or AUDIT would be right",
                ));
            }
        };
        let priority = u16::try_from(rule.priority).map_err(|_| {
            let message = format!("{} is out of range; 0 to 65535 would be right", rule.priority);
            Invalid::new(at("priority"), message)
        })?;
        if rule.peers.len() > PolicySpec::MAX_PEERS {
            let message = format!("{} peers; at most {}", rule.peers.len(), PolicySpec::MAX_PEERS);
            return Err(Invalid::new(at("peers"), message));
        }
        let mut peers = Vec::with_capacity(rule.peers.len());
        for (index, peer) in rule.peers.into_iter().enumerate() {
            peers.push(Peer::from_proto(&format!("{field}.peers[{index}]"), peer)?);
        }
        Ok(Self {
            name: Name::new(&rule.name).in_field(&at("name"))?,
            direction,
            priority,
            action,
            log: rule.log,
            peers,
            traffic: Traffic::list(&at("traffic"), &rule.traffic)?,
        })
    }
}

impl Peer {
    fn from_proto(field: &str, peer: pb::Peer) -> Result<Self, Invalid> {
        let at = |name: &str| format!("{field}.{name}");
        if peer.except.len() > PolicySpec::MAX_PEERS {
            let message = format!("{} exceptions; at most {}", peer.except.len(), PolicySpec::MAX_PEERS);
            return Err(Invalid::new(at("except"), message));
        }
        let read = match &peer.peer {
            Some(pb::peer::Peer::Group(name)) => Self::Group(Name::new(name).in_field(&at("group"))?),
            Some(pb::peer::Peer::Network(name)) => Self::Network(Name::new(name).in_field(&at("network"))?),
            Some(pb::peer::Peer::Cidr(text)) => {
                let prefix = Prefix::new(text).in_field(&at("cidr"))?;
                let except = list(&at("except"), &peer.except, |text| {
                    let part = Prefix::new(text).map_err(|e| e.to_string())?;
                    match prefix.covers(part) {
                        true if part != prefix => Ok(part),
                        true => Err(format!("{part} is all of it, so nobody would be left")),
                        false => Err(format!("{part} is not in {prefix}")),
                    }
                })?;
                return Ok(Self::Cidr { prefix, except });
            }
            None => {
                let message = "names nobody; a group, a cidr or a network would be right";
                return Err(Invalid::new(field, message));
            }
        };
        if peer.except.is_empty() {
            Ok(read)
        } else {
            Err(Invalid::new(at("except"), "goes with a cidr only"))
        }
    }
}

impl Wish<PolicySpec> {
    /// Checks a request's policy.
    ///
    /// # Errors
    /// Names the field at fault.
    pub fn from_proto(policy: Option<pb::Policy>) -> Result<Self, Invalid> {
        let policy = policy.ok_or_else(|| Invalid::new("policy", "is missing"))?;
        if policy.rules.len() > PolicySpec::MAX_RULES {
            let message = format!("{} rules; at most {}", policy.rules.len(), PolicySpec::MAX_RULES);
            return Err(Invalid::new("policy.rules", message));
        }
        let mut rules: Vec<Rule> = Vec::with_capacity(policy.rules.len());
        let mut names = std::collections::HashMap::new();
        for (index, rule) in policy.rules.into_iter().enumerate() {
            let field = format!("policy.rules[{index}]");
            let rule = Rule::from_proto(&field, rule)?;
            if let Some(other) = names.insert(rule.name.clone(), index) {
                let message = format!(
                    "{} is the name of rules[{other}], too; names are unique within a policy",
                    rule.name
                );
                return Err(Invalid::new(format!("{field}.name"), message));
            }
            rules.push(rule);
        }
        let spec = PolicySpec {
            applies_to: optional(&policy.applies_to, Name::new).in_field("policy.applies_to")?,
            network: optional(&policy.network, Name::new).in_field("policy.network")?,
            rules,
            isolate_ingress: policy.isolate_ingress,
            isolate_egress: policy.isolate_egress,
        };
        Self::new(&policy.name, policy.revision, spec)
    }
}

impl Spec for PolicySpec {
    type Given = ();
    const KIND: &'static str = "policy";
    fields! {
        applies_to: "applies_to",
        network: "network",
        rules: "rules",
        isolate_ingress: "isolate_ingress",
        isolate_egress: "isolate_egress",
    }

    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }

    fn references(&self) -> Vec<(String, Target)> {
        let group = |name: &Name| ("applies_to".to_owned(), Target::Group(name.clone()));
        let network = |name: &Name| ("network".to_owned(), Target::Network(name.clone()));
        let mut all: Vec<_> = self.applies_to.iter().map(group).collect();
        all.extend(self.network.iter().map(network));
        for (r, rule) in self.rules.iter().enumerate() {
            for (p, peer) in rule.peers.iter().enumerate() {
                let (field, target) = match peer {
                    Peer::Group(name) => ("group", Target::Group(name.clone())),
                    Peer::Network(name) => ("network", Target::Network(name.clone())),
                    Peer::Cidr { .. } => continue,
                };
                all.push((format!("rules[{r}].peers[{p}].{field}"), target));
            }
        }
        all
    }
}

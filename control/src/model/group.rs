//! Groups: endpoints by their labels.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use vrouter_proto::control as pb;

use super::{
    error::{InField, Invalid},
    labels::{self, Labels},
    name::Name,
    object::{Object, Spec, Wish, fields},
    reference::{EndpointRef, Target, each, list},
};

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operator {
    /// The label has one of the values.
    In,
    /// The label has none of the values, or is not there.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
}

/// What is asked of one label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what; empty for `Exists` and `DoesNotExist`.
    pub values: BTreeSet<String>,
}

impl Requirement {
    fn from_proto(field: &str, requirement: pb::LabelRequirement) -> Result<Self, Invalid> {
        use pb::label_requirement::Operator as Asked;
        let at = |name: &str| format!("{field}.{name}");
        let operator = match Asked::try_from(requirement.operator) {
            Ok(Asked::In) => Operator::In,
            Ok(Asked::NotIn) => Operator::NotIn,
            Ok(Asked::Exists) => Operator::Exists,
            Ok(Asked::DoesNotExist) => Operator::DoesNotExist,
            Ok(Asked::Unspecified) | Err(_) => {
                let message = "is missing; IN, NOT_IN, EXISTS or DOES_NOT_EXIST would be right";
                return Err(Invalid::new(at("operator"), message));
            }
        };
        labels::check_text(&requirement.key).in_field(&at("key"))?;
        if requirement.key.is_empty() {
            return Err(Invalid::new(at("key"), "is empty"));
        }
        let count = requirement.values.len();
        match operator {
            Operator::In | Operator::NotIn if count == 0 => {
                return Err(Invalid::new(
                    at("values"),
                    "is empty; IN and NOT_IN compare with values",
                ));
            }
            Operator::Exists | Operator::DoesNotExist if count > 0 => {
                let message = "EXISTS and DOES_NOT_EXIST take none; IN or NOT_IN would compare with them";
                return Err(Invalid::new(at("values"), message));
            }
            _ if count > GroupSpec::MAX => {
                let message = format!("{count} values; at most {}", GroupSpec::MAX);
                return Err(Invalid::new(at("values"), message));
            }
            _ => {}
        }
        for (index, value) in requirement.values.iter().enumerate() {
            labels::check_text(value).in_field(&format!("{field}.values[{index}]"))?;
        }
        Ok(Self {
            key: requirement.key,
            operator,
            values: requirement.values.into_iter().collect(),
        })
    }

    /// Whether these labels meet it.
    #[must_use]
    pub fn is_met(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|v| self.values.contains(v)),
            Operator::NotIn => value.is_none_or(|v| !self.values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

/// What a client chooses of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// Endpoints that have all of these labels...
    pub match_labels: Labels,
    /// ... and meet all of these. Both empty: no endpoint by label.
    pub match_expressions: Vec<Requirement>,
    /// By label only endpoints of these networks. Empty: of all.
    pub networks: Vec<Name>,
    /// Members of these are members, too.
    pub groups: Vec<Name>,
    /// Single endpoints.
    pub endpoints: Vec<EndpointRef>,
}

/// A group, as stored.
pub type Group = Object<GroupSpec>;

impl GroupSpec {
    /// Most expressions, values, networks, groups, and single endpoints of a group.
    pub const MAX: usize = 4096;

    /// Whether it selects by label at all.
    #[must_use]
    pub fn selects(&self) -> bool {
        !self.match_labels.is_empty() || !self.match_expressions.is_empty()
    }

    /// Whether an endpoint is a member by its own labels or name; members of nested groups not counted.
    #[must_use]
    pub fn is_direct(&self, network: &Name, name: &Name, labels: &Labels) -> bool {
        self.selects_by_label(network, labels)
            || self.endpoints.iter().any(|e| e.network == *network && e.name == *name)
    }

    fn selects_by_label(&self, network: &Name, labels: &Labels) -> bool {
        self.selects()
            && (self.networks.is_empty() || self.networks.contains(network))
            && self
                .match_labels
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|e| e.is_met(labels))
    }
}

impl Wish<GroupSpec> {
    /// Checks a request's group.
    ///
    /// # Errors
    /// Names the field at fault.
    pub fn from_proto(group: Option<pb::Group>) -> Result<Self, Invalid> {
        let group = group.ok_or_else(|| Invalid::new("group", "is missing"))?;
        for (field, count) in [
            ("group.match_expressions", group.match_expressions.len()),
            ("group.networks", group.networks.len()),
            ("group.groups", group.groups.len()),
            ("group.endpoints", group.endpoints.len()),
        ] {
            if count > GroupSpec::MAX {
                return Err(Invalid::new(
                    field,
                    format!("{count} of them; at most {}", GroupSpec::MAX),
                ));
            }
        }
        let mut match_expressions = Vec::with_capacity(group.match_expressions.len());
        for (index, requirement) in group.match_expressions.into_iter().enumerate() {
            let field = format!("group.match_expressions[{index}]");
            match_expressions.push(Requirement::from_proto(&field, requirement)?);
        }
        let spec = GroupSpec {
            match_labels: labels::check_in("group.match_labels", group.match_labels)?,
            match_expressions,
            networks: list("group.networks", &group.networks, Name::new)?,
            groups: list("group.groups", &group.groups, Name::new)?,
            endpoints: list("group.endpoints", &group.endpoints, EndpointRef::new)?,
        };
        Self::new(&group.name, group.revision, spec)
    }
}

impl Spec for GroupSpec {
    type Given = ();
    const KIND: &'static str = "group";
    fields! {
        match_labels: "match_labels",
        match_expressions: "match_expressions",
        networks: "networks",
        groups: "groups",
        endpoints: "endpoints",
    }

    fn check(&self) -> Result<(), Invalid> {
        if !self.networks.is_empty() && !self.selects() {
            let message = "limits what is selected by labels, but no label is asked for; name a label, or let a policy's peer name the network";
            return Err(Invalid::new("group.networks", message));
        }
        Ok(())
    }

    fn references(&self) -> Vec<(String, Target)> {
        each("networks", &self.networks, Target::Network)
            .chain(each("groups", &self.groups, Target::Group))
            .chain(each("endpoints", &self.endpoints, Target::Endpoint))
            .collect()
    }
}

//! Which endpoints are in which groups, kept up to date change by change.
//!
//! A group asks an endpoint only when it can be a member at all: groups are filed under an *anchor*, a label that each of their members by
//! label must have, and endpoints under their labels. So an endpoint that comes asks the groups filed under its few labels, and a group
//! that comes asks the endpoints that have its rarest label, however many others there are. Groups whose only wish is what a label is
//! *not* have no anchor, and are asked about every endpoint (of their networks).
//!
//! Kept is who is a member by its own labels or name. Members of nested groups are found by walking, in [`super::State::members`].

use std::{collections::BTreeSet, sync::Arc};

use imbl::{OrdMap, OrdSet};

use super::Scoped;
use crate::model::{Endpoint, Group, GroupSpec, Labels, Name, Operator};

type Text = Arc<str>;
type Groups = OrdMap<Name, Arc<Group>>;
type Endpoints = OrdMap<Scoped, Arc<Endpoint>>;

/// What a group's members have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Anchor {
    /// A label with a value.
    Pair(Text, Text),
    /// A label, whatever its value.
    Key(Text),
    /// A network.
    Network(Name),
    /// A name.
    Endpoint(Scoped),
    /// Nothing.
    Any,
}

/// Who is a member of what, not counting nested groups.
#[derive(Debug, Clone, Default)]
pub(super) struct Membership {
    /// Endpoints by label and value.
    labels: OrdMap<Text, OrdMap<Text, OrdSet<Scoped>>>,
    anchors: OrdMap<Anchor, OrdSet<Name>>,
    members: OrdMap<Name, OrdSet<Scoped>>,
    groups: OrdMap<Scoped, OrdSet<Name>>,
    revision: u64,
    asked: u64,
}

impl Membership {
    /// Revision of the last time that an endpoint joined or left a group.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// How often, ever, a group was asked whether an endpoint is a member.
    pub(super) fn asked(&self) -> u64 {
        self.asked
    }

    pub(super) fn members(&self, group: &Name) -> Option<&OrdSet<Scoped>> {
        self.members.get(group)
    }

    pub(super) fn groups(&self, endpoint: &Scoped) -> Option<&OrdSet<Name>> {
        self.groups.get(endpoint)
    }

    /// Every label that an endpoint has, with its values.
    pub(super) fn labels(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = &str>)> {
        self.labels
            .iter()
            .map(|(key, values)| (&**key, values.keys().map(|value| &**value)))
    }

    /// The endpoints that have a label with this value.
    pub(super) fn labelled(&self, key: &str, value: &str) -> Option<&OrdSet<Scoped>> {
        self.labels.get(key)?.get(value)
    }

    pub(super) fn values(&self, key: &str) -> Option<impl Iterator<Item = &str>> {
        Some(self.labels.get(key)?.keys().map(|value| &**value))
    }

    /// An endpoint came, went or changed.
    pub(super) fn endpoint(
        &mut self,
        id: &Scoped,
        old: Option<&Endpoint>,
        new: Option<&Endpoint>,
        groups: &Groups,
        revision: u64,
    ) {
        if old.map(|e| &e.labels) == new.map(|e| &e.labels) {
            return;
        }
        if let Some(old) = old {
            self.file_endpoint(id, &old.labels, false);
        }
        let mut now = OrdSet::new();
        if let Some(new) = new {
            self.file_endpoint(id, &new.labels, true);
            for name in self.candidates(id, &new.labels) {
                self.asked += 1;
                if groups
                    .get(&name)
                    .is_some_and(|g| g.spec.is_direct(&id.0, &id.1, &new.labels))
                {
                    now.insert(name);
                }
            }
        }
        let before = self.groups.get(id).cloned().unwrap_or_default();
        for left in before.iter().filter(|name| !now.contains(*name)) {
            drop_from(&mut self.members, left, id);
            self.revision = revision;
        }
        for joined in now.iter().filter(|name| !before.contains(*name)) {
            add_to(&mut self.members, joined, id);
            self.revision = revision;
        }
        if now.is_empty() {
            self.groups.remove(id);
        } else {
            self.groups.insert(id.clone(), now);
        }
    }

    /// A group came, went or changed.
    pub(super) fn group(
        &mut self,
        name: &Name,
        old: Option<&Group>,
        new: Option<&Group>,
        endpoints: &Endpoints,
        revision: u64,
    ) {
        if old.map(|g| &g.spec) == new.map(|g| &g.spec) {
            return;
        }
        for anchor in old.map(|g| anchors(&g.spec)).into_iter().flatten() {
            drop_from(&mut self.anchors, &anchor, name);
        }
        let mut now = OrdSet::new();
        if let Some(new) = new {
            for anchor in anchors(&new.spec) {
                add_to(&mut self.anchors, &anchor, name);
            }
            now = self.select(&new.spec, endpoints);
        }
        let before = self.members.get(name).cloned().unwrap_or_default();
        for left in before.iter().filter(|id| !now.contains(*id)) {
            drop_from(&mut self.groups, left, name);
            self.revision = revision;
        }
        for joined in now.iter().filter(|id| !before.contains(*id)) {
            add_to(&mut self.groups, joined, name);
            self.revision = revision;
        }
        if now.is_empty() {
            self.members.remove(name);
        } else {
            self.members.insert(name.clone(), now);
        }
    }

    fn file_endpoint(&mut self, id: &Scoped, labels: &Labels, here: bool) {
        for (key, value) in labels {
            let key: Text = key.as_str().into();
            let value: Text = value.as_str().into();
            let mut values = self.labels.get(&key).cloned().unwrap_or_default();
            if here {
                add_to(&mut values, &value, id);
            } else {
                drop_from(&mut values, &value, id);
            }
            if values.is_empty() {
                self.labels.remove(&key);
            } else {
                self.labels.insert(key, values);
            }
        }
    }

    /// The groups that an endpoint with these labels can be a member of.
    fn candidates(&self, id: &Scoped, labels: &Labels) -> BTreeSet<Name> {
        let mut anchors = vec![Anchor::Any, Anchor::Network(id.0.clone()), Anchor::Endpoint(id.clone())];
        for (key, value) in labels {
            let key: Text = key.as_str().into();
            anchors.push(Anchor::Pair(key.clone(), value.as_str().into()));
            anchors.push(Anchor::Key(key));
        }
        let filed = anchors.iter().filter_map(|anchor| self.anchors.get(anchor));
        filed.flatten().cloned().collect()
    }

    /// The endpoints that are members by label or name.
    fn select(&mut self, spec: &GroupSpec, endpoints: &Endpoints) -> OrdSet<Scoped> {
        let mut found = OrdSet::new();
        let mut ask = |id: &Scoped| {
            self.asked += 1;
            if endpoints
                .get(id)
                .is_some_and(|e| spec.is_direct(&id.0, &id.1, &e.labels))
            {
                found.insert(id.clone());
            }
        };
        for endpoint in &spec.endpoints {
            ask(&endpoint.scoped());
        }
        if !spec.selects() {
            return found;
        }
        match rarest(spec, &self.labels) {
            Some(sets) => sets.iter().flat_map(|set| set.iter()).for_each(ask),
            None if spec.networks.is_empty() => endpoints.keys().for_each(ask),
            None => {
                for network in &spec.networks {
                    let all = endpoints.range(super::index::after(network));
                    all.map(|(id, _)| id)
                        .take_while(|id| id.0 == *network)
                        .for_each(&mut ask);
                }
            }
        }
        found
    }
}

/// Of the requirements that name labels which members have: the endpoints that meet the one that fewest meet.
fn rarest(spec: &GroupSpec, labels: &OrdMap<Text, OrdMap<Text, OrdSet<Scoped>>>) -> Option<Vec<OrdSet<Scoped>>> {
    let pair = |key: &str, value: &str| labels.get(key).and_then(|values| values.get(value)).cloned();
    let by_pair = spec
        .match_labels
        .iter()
        .map(|(key, value)| pair(key, value).into_iter().collect());
    let by_expression = spec.match_expressions.iter().filter_map(|e| match e.operator {
        Operator::In => Some(e.values.iter().filter_map(|value| pair(&e.key, value)).collect()),
        Operator::Exists => {
            let values = labels.get(e.key.as_str());
            Some(values.map(|v| v.values().cloned().collect()).unwrap_or_default())
        }
        Operator::NotIn | Operator::DoesNotExist => None,
    });
    let size = |sets: &Vec<OrdSet<Scoped>>| sets.iter().map(OrdSet::len).sum::<usize>();
    by_pair.chain(by_expression).min_by_key(size)
}

/// What a group is filed under.
fn anchors(spec: &GroupSpec) -> Vec<Anchor> {
    let mut anchors: Vec<Anchor> = spec.endpoints.iter().map(|e| Anchor::Endpoint(e.scoped())).collect();
    if !spec.selects() {
        return anchors;
    }
    let expressions = |operator| spec.match_expressions.iter().find(move |e| e.operator == operator);
    if let Some((key, value)) = spec.match_labels.iter().next() {
        anchors.push(Anchor::Pair(key.as_str().into(), value.as_str().into()));
    } else if let Some(one_of) = expressions(Operator::In) {
        let key: Text = one_of.key.as_str().into();
        let pair = |value: &String| Anchor::Pair(key.clone(), value.as_str().into());
        anchors.extend(one_of.values.iter().map(pair));
    } else if let Some(exists) = expressions(Operator::Exists) {
        anchors.push(Anchor::Key(exists.key.as_str().into()));
    } else if spec.networks.is_empty() {
        anchors.push(Anchor::Any);
    } else {
        anchors.extend(spec.networks.iter().cloned().map(Anchor::Network));
    }
    anchors
}

pub(super) fn add_to<K: Ord + Clone, V: Ord + Clone>(map: &mut OrdMap<K, OrdSet<V>>, key: &K, value: &V) {
    match map.get_mut(key) {
        Some(set) => {
            set.insert(value.clone());
        }
        None => {
            map.insert(key.clone(), OrdSet::unit(value.clone()));
        }
    }
}

pub(super) fn drop_from<K: Ord + Clone, V: Ord + Clone>(map: &mut OrdMap<K, OrdSet<V>>, key: &K, value: &V) {
    if let Some(set) = map.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            map.remove(key);
        }
    }
}

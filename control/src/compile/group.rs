//! Who is in a group, with all groups that are in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    model::{Endpoint, EndpointRef, Group, Name},
    state::{Scoped, State},
};

/// A group and all groups within it, as of one revision.
#[derive(Debug, Clone)]
pub(super) struct Selector {
    pub(super) number: u32,
    /// The group itself first.
    groups: Vec<Arc<Group>>,
    /// Single endpoints of all of them: groups may name thousands.
    single: BTreeSet<Scoped>,
}

/// Equal where they select alike: by the revisions of their groups.
impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        let of = |s: &Self| s.groups.iter().map(|g| (g.number, g.revision)).collect::<Vec<_>>();
        of(self) == of(other)
    }
}

impl Selector {
    fn of(state: &State, name: &Name) -> Option<Self> {
        let first = state.group(name)?;
        let (mut groups, mut single) = (Vec::new(), BTreeSet::new());
        let mut seen = BTreeSet::from([name.clone()]);
        let mut next = vec![first.clone()];
        while let Some(group) = next.pop() {
            for inner in &group.spec.groups {
                if seen.insert(inner.clone()) {
                    next.extend(state.group(inner).cloned());
                }
            }
            single.extend(group.spec.endpoints.iter().map(EndpointRef::scoped));
            groups.push(group);
        }
        Some(Self {
            number: first.number,
            groups,
            single,
        })
    }

    /// Whether an endpoint is in it.
    pub(super) fn contains(&self, endpoint: &Endpoint) -> bool {
        self.groups
            .iter()
            .any(|group| group.spec.selects_by_label(&endpoint.network, &endpoint.labels))
            || self.single.contains(&(endpoint.network.clone(), endpoint.name.clone()))
    }
}

/// Selectors by name, each made once.
#[derive(Debug, Default)]
pub(super) struct Selectors(BTreeMap<Name, Option<Arc<Selector>>>);

impl Selectors {
    /// The selector of a group; `None`: there is no such group.
    pub(super) fn get(&mut self, state: &State, name: &Name) -> Option<Arc<Selector>> {
        self.0
            .entry(name.clone())
            .or_insert_with(|| Selector::of(state, name).map(Arc::new))
            .clone()
    }
}

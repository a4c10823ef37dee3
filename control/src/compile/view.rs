//! What one node has to do with which network, and what its endpoints are given: all that crosses the borders of networks. Made anew with each change of the
//! state from what is small (rules, local endpoints); what is large is in here by reference, and remembered.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    frame::{Part, Target},
    locals,
    objects::Local,
    policies::{self, Applied, Rules},
    reach::{Filter, Reach},
    vocabulary::Vocabulary,
};
use crate::{
    model::{Endpoint, Name},
    state::{Scoped, State},
};

/// What is remembered from one view to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Revisions of all objects that rules are made of.
    revisions: Vec<u64>,
    reach: Reach,
    /// Of local endpoints: their revision, and the policies that apply.
    applied: HashMap<Scoped, (u64, Applied)>,
    sets: BTreeSet<(Name, Applied)>,
    rules: Arc<Rules>,
    /// By network: when it was looked at, and whether an endpoint of it may use addresses beside its own.
    shares: HashMap<Name, (u64, bool)>,
}

/// All that crosses the borders of networks, on one node.
#[derive(Debug)]
pub(super) struct View {
    /// Networks that an attached endpoint here is in.
    pub(super) hosted: BTreeSet<Name>,
    /// Networks that endpoints here are in or reach.
    pub(super) parts: BTreeMap<Name, Arc<Part>>,
    /// What endpoints here are given, by network.
    pub(super) locals: BTreeMap<Name, BTreeMap<Name, Local>>,
    pub(super) rules: Arc<Rules>,
    /// Mirrors in use.
    pub(super) mirrors: BTreeSet<u32>,
    /// What policies of endpoints that packets in a VRF may be delivered to tell apart, by network.
    pub(super) words: BTreeMap<Name, Arc<Vocabulary>>,
}

impl Memory {
    pub(super) fn reach(&self) -> &Reach {
        &self.reach
    }

    pub(super) fn view(&mut self, state: &State, here: &Name) -> View {
        self.look_at_rules(state);
        let attached: Vec<&Arc<Endpoint>> = state.endpoints_on(here).filter(|e| e.interface.is_some()).collect();
        let hosted: BTreeSet<Name> = attached.iter().map(|e| e.network.clone()).collect();
        let mut locals: BTreeMap<Name, BTreeMap<Name, Local>> = BTreeMap::new();
        let mut applied = HashMap::with_capacity(attached.len());
        let mut mirrors = BTreeSet::new();
        for endpoint in &attached {
            let scoped = (endpoint.network.clone(), endpoint.name.clone());
            let set = match self.applied.remove(&scoped) {
                Some((revision, set)) if revision == endpoint.revision => set,
                _ => policies::applied(state, endpoint),
            };
            applied.insert(scoped, (endpoint.revision, set));
        }
        let sets: BTreeSet<(Name, Applied)> = applied
            .iter()
            .map(|((network, _), (_, set))| (network.clone(), set.clone()))
            .collect();
        if sets != self.sets {
            self.rules = Arc::new(Rules::new(state, &sets));
            self.sets = sets;
        }
        for endpoint in &attached {
            let scoped = (endpoint.network.clone(), endpoint.name.clone());
            if let Some((_, set)) = applied.get(&scoped) {
                // Whether a collector lives here depends on other endpoints, so it is asked anew; there are few mirrors.
                let local = Local {
                    policy: self.rules.id(&endpoint.network, set),
                    qos: locals::qos(state, endpoint),
                    mirrors: locals::mirrors(state, here, endpoint),
                };
                mirrors.extend(local.mirrors.iter().copied());
                locals.entry(scoped.0).or_default().insert(scoped.1, local);
            }
        }
        self.applied = applied;
        let words = self.words(&hosted);
        let parts = self.parts(state, &hosted, &words);
        View {
            hosted,
            parts,
            locals,
            rules: self.rules.clone(),
            mirrors,
            words,
        }
    }

    /// Forgets what was made of rules when any of them changed.
    fn look_at_rules(&mut self, state: &State) {
        let groups = state.groups().map(|o| o.revision);
        let policies = state.policies().map(|o| o.revision);
        let routers = state.routers().map(|o| o.revision);
        let networks = state.networks().map(|o| o.revision);
        // Zeros between kinds: no object has revision 0.
        let revisions: Vec<u64> = groups
            .chain([0])
            .chain(policies)
            .chain([0])
            .chain(routers)
            .chain([0])
            .chain(networks)
            .collect();
        if revisions == self.revisions {
            return;
        }
        self.revisions = revisions;
        self.applied.clear();
        self.sets.clear();
        self.rules = Arc::default();
        self.reach = Reach::of(state.routers().map(AsRef::as_ref));
    }

    /// In a network's VRF, packets are decided by the policies of its own endpoints and, as they come to be delivered, by those of endpoints
    /// of the networks that it reaches.
    fn words(&self, hosted: &BTreeSet<Name>) -> BTreeMap<Name, Arc<Vocabulary>> {
        hosted
            .iter()
            .map(|name| {
                let mut words = Vocabulary::default();
                let reached = self.reach.seen_by(name).map(|(of, _)| of);
                for used in [name].into_iter().chain(reached.filter(|of| hosted.contains(*of))) {
                    if let Some(used) = self.rules.words(used) {
                        words.extend(used);
                    }
                }
                (name.clone(), Arc::new(words))
            })
            .collect()
    }

    fn parts(
        &mut self,
        state: &State,
        hosted: &BTreeSet<Name>,
        words: &BTreeMap<Name, Arc<Vocabulary>>,
    ) -> BTreeMap<Name, Arc<Part>> {
        let reach = self.reach.clone();
        let mut parts: BTreeMap<Name, Part> = BTreeMap::new();
        for by in hosted {
            let Some(network) = state.network(by) else { continue };
            let seen: Vec<(&Name, &Filter)> = [(by, &Filter::ALL)]
                .into_iter()
                .chain(reach.seen_by(by))
                .filter(|(of, _)| state.network(of).is_some_and(|n| !n.external))
                .collect();
            let spell_all = seen.iter().any(|(of, _)| self.shares(state, of));
            for (of, filter) in seen {
                let part = parts.entry(of.clone()).or_insert_with(|| Part {
                    hosted: hosted.contains(of),
                    targets: Vec::new(),
                });
                part.targets.push(Target {
                    network: by.clone(),
                    vrf: network.number,
                    filter: filter.clone(),
                    joined: of != by,
                    words: words.get(by).cloned().unwrap_or_default(),
                    spell_all,
                });
            }
        }
        self.shares.retain(|name, _| parts.contains_key(name));
        parts.into_iter().map(|(name, part)| (name, Arc::new(part))).collect()
    }

    fn shares(&mut self, state: &State, network: &Name) -> bool {
        let touched = state.touched(network);
        match self.shares.get(network) {
            Some((at, shares)) if *at == touched => *shares,
            _ => {
                let shares = state.endpoints_of(network).any(|e| !e.allowed_addresses.is_empty());
                self.shares.insert(network.clone(), (touched, shares));
                shares
            }
        }
    }
}

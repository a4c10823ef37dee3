//! Compiling again only what changed.
//!
//! A network is looked at again when it, its subnets, its endpoints, any node, or what its neighbours and rules make of it changed since; of its
//! endpoints, only those that changed are compiled again, unless what they have in common did. Attaching one endpoint, or changing its labels, thus costs one pass over
//! its network that compares numbers, and the making of a handful of objects. What is of no single network (services, ways out, mirrors) is few, and is made anew
//! and compared.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use vrouter_proto::dataplane as pb;

use super::{
    Health, ObjectKey, Plan, Probe,
    endpoint::{self, Compiled},
    frame::{Frame, FrameKey, Part},
    locals,
    network::{self, Peers},
    number::numbers,
    objects::{self, Local},
    outside,
    plan::{Claims, Made, Owner, Shift, Strength, Unit},
    services::{self, Programmed},
    view::{Memory, View},
};
use crate::{
    model::{Cidr, Name},
    state::State,
};

/// All objects for one node, compiled from nothing.
#[must_use]
pub fn compile(state: &State, node: &Name, health: &Health) -> Plan {
    let mut compiler = Compiler::new(node.clone());
    compiler.update(state, health);
    compiler.claims.into_plan()
}

#[derive(Debug)]
struct Network {
    uid: String,
    touched: u64,
    nodes: u64,
    part: Arc<Part>,
    locals: BTreeMap<Name, Local>,
    frame: FrameKey,
    own: Unit,
    endpoints: HashMap<Name, Entry>,
}

/// One endpoint.
#[derive(Debug)]
struct Entry {
    revision: u64,
    local: Local,
    unit: Unit,
    wide: Vec<(Name, Cidr, Arc<[u32]>)>,
}

/// Compiles for one node and remembers.
#[derive(Debug)]
pub struct Compiler {
    node: Name,
    memory: Memory,
    networks: BTreeMap<Name, Network>,
    /// What is of no single endpoint or network.
    others: BTreeMap<Owner, Unit>,
    claims: Claims,
    checks: BTreeMap<u32, Probe>,
    backends: BTreeMap<u32, Vec<(IpAddr, Probe)>>,
}

impl Compiler {
    /// Nothing is compiled yet.
    #[must_use]
    pub fn new(node: Name) -> Self {
        Self {
            node,
            memory: Memory::default(),
            networks: BTreeMap::new(),
            others: BTreeMap::new(),
            claims: Claims::default(),
            checks: BTreeMap::new(),
            backends: BTreeMap::new(),
        }
    }

    /// What is to be there as of the last update.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.claims.plan()
    }

    /// What each health check here asks after.
    #[must_use]
    pub fn checks(&self) -> &BTreeMap<u32, Probe> {
        &self.checks
    }

    /// Of each service here whose backends are asked: all who could serve, whether or not they are well.
    #[must_use]
    pub fn backends(&self) -> &BTreeMap<u32, Vec<(IpAddr, Probe)>> {
        &self.backends
    }

    /// Brings the plan to `state`; the keys of all objects that came, changed or went.
    pub fn update(&mut self, state: &State, health: &Health) -> BTreeSet<ObjectKey> {
        let view = self.memory.view(state, &self.node);
        let mut shift = Shift::default();
        self.networks.retain(|name, network| {
            let keep = view.parts.contains_key(name) && state.network(name).is_some_and(|now| now.uid == network.uid);
            if !keep {
                shift.remove(&network.own);
                network.endpoints.values().for_each(|entry| shift.remove(&entry.unit));
            }
            keep
        });
        let nobody = BTreeMap::new();
        for (name, part) in &view.parts {
            let locals = view.locals.get(name).unwrap_or(&nobody);
            let unchanged = |n: &Network| {
                n.touched == state.touched(name)
                    && n.nodes == state.nodes_revision()
                    && n.part == *part
                    && n.locals == *locals
            };
            if !self.networks.get(name).is_some_and(unchanged) {
                self.update_network(state, name, part, locals, &mut shift);
            }
        }
        self.update_others(state, health, &view, &mut shift);
        self.claims.apply(shift)
    }

    fn update_network(
        &mut self,
        state: &State,
        name: &Name,
        part: &Arc<Part>,
        locals: &BTreeMap<Name, Local>,
        shift: &mut Shift,
    ) {
        let Some(network) = state.network(name) else { return };
        let frame = Frame::new(state, &self.node, network, part);
        let key = Frame::key(state, network, part);
        let peers: Peers = network::peers(&frame, state.endpoints_of(name));
        let own = Unit::new(Owner::Network(name.clone()), network::compile(&frame, &peers));
        let old = self.networks.remove(name);
        shift.replace(old.as_ref().map(|o| &o.own), &own);
        let same_frame = old.as_ref().is_some_and(|o| o.frame == key);
        let mut known = old.map(|o| o.endpoints).unwrap_or_default();
        let mut endpoints = HashMap::with_capacity(known.len() + 1);
        let remote = Local::default();
        for e in state.endpoints_of(name) {
            let local = locals.get(&e.name).unwrap_or(&remote);
            let before = known.remove(&e.name);
            let entry = match before {
                Some(entry) if same_frame && entry.revision == e.revision && entry.local == *local => entry,
                before => {
                    let owner = Owner::Endpoint((name.clone(), e.name.clone()));
                    let groups = state.groups_of(&(name.clone(), e.name.clone()));
                    let Compiled { made, wide } = endpoint::compile(&frame, e, local, &groups);
                    let unit = Unit::new(owner, made);
                    shift.replace(before.as_ref().map(|old| &old.unit), &unit);
                    Entry {
                        revision: e.revision,
                        local: local.clone(),
                        unit,
                        wide,
                    }
                }
            };
            endpoints.insert(e.name.clone(), entry);
        }
        known.values().for_each(|entry| shift.remove(&entry.unit));
        let compiled = Network {
            uid: network.uid.clone(),
            touched: state.touched(name),
            nodes: state.nodes_revision(),
            part: part.clone(),
            locals: locals.clone(),
            frame: key,
            own,
            endpoints,
        };
        self.networks.insert(name.clone(), compiled);
    }

    fn update_others(&mut self, state: &State, health: &Health, view: &View, shift: &mut Shift) {
        let mut all: BTreeMap<Owner, Made> = BTreeMap::new();
        if !self.networks.is_empty() {
            all.insert(Owner::Node, [objects::local(), objects::nobody()].into_iter().collect());
        }
        all.extend(locals::compile(state, &self.node, &view.mirrors));
        all.extend(self.prefixes(state, view));

        let reach = self.memory.reach();
        let outside = outside::compile(state, &self.node, &view.hosted, reach);
        let services = services::compile(services::Given {
            state,
            here: &self.node,
            hosted: &view.hosted,
            reach,
            health,
        });
        for (owner, made) in outside.made.into_iter().chain(services.made) {
            all.entry(owner).or_default().extend(made);
        }
        let mut own = |owner: Owner, object: pb::Object| all.entry(owner).or_default().own(object);

        let texts = outside
            .source_nats
            .iter()
            .map(|(_, n)| outside::source_nat_text(n))
            .collect();
        let ids = numbers(&texts, 1, u32::MAX - 1);
        for (owner, mut source_nat) in outside.source_nats {
            source_nat.id = ids.get(&outside::source_nat_text(&source_nat)).copied().unwrap_or(0);
            own(owner, outside::source_nat(source_nat));
        }

        let floating = outside.services.into_iter().map(|(owner, service)| Programmed {
            owner,
            service,
            asked: Vec::new(),
        });
        let every: Vec<Programmed> = floating.chain(services.services).collect();
        let texts = every.iter().map(|p| outside::service_text(&p.service)).collect();
        let ids = numbers(&texts, 1, u32::MAX - 1);
        self.backends.clear();
        for mut programmed in every {
            let id = ids
                .get(&outside::service_text(&programmed.service))
                .copied()
                .unwrap_or(0);
            programmed.service.id = id;
            if !programmed.asked.is_empty() {
                self.backends.insert(id, programmed.asked);
            }
            own(programmed.owner, outside::service(programmed.service));
        }

        let texts = services
            .checks
            .iter()
            .map(|(_, probe, _)| services::check_text(probe))
            .collect();
        let ids = numbers(&texts, 1, u32::MAX - 1);
        self.checks.clear();
        for (owner, probe, mut check) in services.checks {
            check.id = ids.get(&services::check_text(&probe)).copied().unwrap_or(0);
            self.checks.insert(check.id, probe);
            own(owner, services::check(check));
        }

        let mut units: BTreeMap<Owner, Unit> = all
            .into_iter()
            .map(|(owner, made)| (owner.clone(), Unit::new(owner, made)))
            .collect();
        // Already made, and compared by reference where they are as before.
        units.extend(view.rules.units.iter().map(|unit| (unit.owner().clone(), unit.clone())));
        for (owner, old) in &self.others {
            if units.get(owner) != Some(old) {
                shift.remove(old);
            }
        }
        for (owner, new) in &units {
            if self.others.get(owner) != Some(new) {
                shift.add(new);
            }
        }
        self.others = units;
    }

    /// Identities of whole prefixes, by the network whose VRF they are in.
    fn prefixes(&self, state: &State, view: &View) -> BTreeMap<Owner, Made> {
        let mut wide: BTreeMap<&Name, BTreeMap<Cidr, BTreeSet<u32>>> = BTreeMap::new();
        let entries = self.networks.values().flat_map(|network| network.endpoints.values());
        for (network, cidr, groups) in entries.flat_map(|entry| &entry.wide) {
            let known = wide.entry(network).or_default().entry(*cidr).or_default();
            known.extend(groups.iter().copied());
        }
        let mut all = BTreeMap::new();
        for (name, words) in view.words.iter().filter(|(_, words)| !words.is_empty()) {
            let Some(network) = state.network(name) else { continue };
            let mut made = Made::default();
            for (cidr, groups) in words.prefixes(wide.get(name).unwrap_or(&BTreeMap::new())) {
                made.add(Strength::Prefix, objects::identity(network.number, cidr, groups));
            }
            all.insert(Owner::Prefixes(name.clone()), made);
        }
        all
    }
}

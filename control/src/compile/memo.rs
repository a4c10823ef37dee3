//! Compiling again only what changed.
//!
//! A network is looked at again when it, its subnets, its endpoints or any node changed since; of its endpoints, only those that changed are
//! compiled again, unless what they have in common did. Attaching one endpoint thus costs one pass over its network that compares numbers,
//! and the making of a handful of objects.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use vrouter_proto::dataplane as pb;

use super::{
    ObjectKey, endpoint,
    frame::{Frame, FrameKey},
    network::{self, Peers},
    objects,
};
use crate::{
    model::Name,
    state::{Scoped, State},
};

/// Whose wish an object comes of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// Any network needs it.
    Node,
    /// A network.
    Network(Name),
    /// An endpoint.
    Endpoint(Scoped),
}

/// An object that is to be there.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The object.
    pub object: Arc<pb::Object>,
    /// Whose wish it comes of.
    pub owner: Arc<Owner>,
}

/// All objects that a dataplane is to hold.
pub type Plan = BTreeMap<ObjectKey, Planned>;

/// All objects for one node, compiled from nothing.
#[must_use]
pub fn compile(state: &State, node: &Name) -> Plan {
    let mut compiler = Compiler::new(node.clone());
    compiler.update(state);
    compiler.plan
}

/// What one network, or one endpoint, was made into.
#[derive(Debug)]
struct Unit(Vec<(ObjectKey, Planned)>);

impl Unit {
    fn new(owner: Owner, objects: Vec<pb::Object>) -> Self {
        let owner = Arc::new(owner);
        let planned = |object: pb::Object| {
            let key = ObjectKey::of(&object)?;
            Some((
                key,
                Planned {
                    object: Arc::new(object),
                    owner: owner.clone(),
                },
            ))
        };
        Self(objects.into_iter().filter_map(planned).collect())
    }
}

#[derive(Debug)]
struct Network {
    uid: String,
    touched: u64,
    nodes: u64,
    frame: FrameKey,
    own: Unit,
    /// Revision and objects of each endpoint.
    endpoints: HashMap<Name, (u64, Unit)>,
}

/// Compiles for one node and remembers.
#[derive(Debug)]
pub struct Compiler {
    node: Name,
    networks: BTreeMap<Name, Network>,
    plan: Plan,
    shared: bool,
}

/// Units that go and units that come, of one update. All goes before anything comes, because an address may pass from one endpoint to
/// another in one step.
#[derive(Debug, Default)]
struct Shift {
    gone: Vec<ObjectKey>,
    come: Vec<(ObjectKey, Planned)>,
}

impl Shift {
    fn replace(&mut self, old: Option<&Unit>, new: &Unit) {
        self.gone
            .extend(old.into_iter().flat_map(|unit| &unit.0).map(|(key, _)| key.clone()));
        self.come.extend(new.0.iter().cloned());
    }

    fn remove(&mut self, network: &Network) {
        let units = network.endpoints.values().map(|(_, unit)| unit).chain([&network.own]);
        self.gone
            .extend(units.flat_map(|unit| &unit.0).map(|(key, _)| key.clone()));
    }
}

impl Compiler {
    /// Nothing is compiled yet.
    #[must_use]
    pub fn new(node: Name) -> Self {
        Self {
            node,
            networks: BTreeMap::new(),
            plan: Plan::new(),
            shared: false,
        }
    }

    /// What is to be there as of the last update.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Brings the plan to `state`; the keys of all objects that came, changed or went.
    pub fn update(&mut self, state: &State) -> BTreeSet<ObjectKey> {
        let node = self.node.clone();
        let hosted: BTreeSet<&Name> = state
            .endpoints_on(&node)
            .filter(|e| e.interface.is_some())
            .map(|e| &e.network)
            .collect();
        let mut shift = Shift::default();
        self.networks.retain(|name, network| {
            let keep = hosted.contains(name) && state.network(name).is_some_and(|now| now.uid == network.uid);
            if !keep {
                shift.remove(network);
            }
            keep
        });
        for name in hosted {
            let unchanged = |n: &Network| n.touched == state.touched(name) && n.nodes == state.nodes_revision();
            if !self.networks.get(name).is_some_and(unchanged) {
                self.update_network(state, name, &mut shift);
            }
        }
        let shared = !self.networks.is_empty();
        if shared != self.shared {
            self.shared = shared;
            let unit = Unit::new(Owner::Node, vec![objects::local()]);
            if shared {
                shift.come.extend(unit.0);
            } else {
                shift.gone.extend(unit.0.into_iter().map(|(key, _)| key));
            }
        }
        self.shift(shift)
    }

    fn update_network(&mut self, state: &State, name: &Name, shift: &mut Shift) {
        let Some(network) = state.network(name) else { return };
        let frame = Frame::new(state, &self.node, network);
        let key = Frame::key(state, network);
        let peers: Peers = network::peers(&frame, state.endpoints_of(name)).unwrap_or_default();
        let own = Unit::new(Owner::Network(name.clone()), network::compile(&frame, &peers));
        let old = self.networks.remove(name);
        shift.replace(old.as_ref().map(|o| &o.own), &own);
        let same_frame = old.as_ref().is_some_and(|o| o.frame == key);
        let mut known = old.map(|o| o.endpoints).unwrap_or_default();
        let mut endpoints = HashMap::with_capacity(known.len() + 1);
        for e in state.endpoints_of(name) {
            let before = known.remove(&e.name);
            let entry = match before {
                Some((revision, unit)) if same_frame && revision == e.revision => (revision, unit),
                before => {
                    let owner = Owner::Endpoint((name.clone(), e.name.clone()));
                    let unit = Unit::new(owner, endpoint::compile(&frame, e));
                    shift.replace(before.as_ref().map(|(_, old)| old), &unit);
                    (e.revision, unit)
                }
            };
            endpoints.insert(e.name.clone(), entry);
        }
        shift
            .gone
            .extend(known.into_values().flat_map(|(_, unit)| unit.0).map(|(key, _)| key));
        let compiled = Network {
            uid: network.uid.clone(),
            touched: state.touched(name),
            nodes: state.nodes_revision(),
            frame: key,
            own,
            endpoints,
        };
        self.networks.insert(name.clone(), compiled);
    }

    fn shift(&mut self, shift: Shift) -> BTreeSet<ObjectKey> {
        let mut before: BTreeMap<ObjectKey, Option<Planned>> = BTreeMap::new();
        for key in shift.gone {
            let old = self.plan.remove(&key);
            before.entry(key).or_insert(old);
        }
        for (key, planned) in shift.come {
            let old = self.plan.insert(key.clone(), planned);
            before.entry(key).or_insert(old);
        }
        let changed = |(key, old): (ObjectKey, Option<Planned>)| {
            let now = self.plan.get(&key);
            (old.as_ref().map(|o| &o.object) != now.map(|n| &n.object)).then_some(key)
        };
        before.into_iter().filter_map(changed).collect()
    }
}

//! What a dataplane is to hold, and who wants it. Two wishes may want the same object in different ways (an address that an endpoint may use
//! beside its own, and the address of another): the stronger claim has it, and the other one gets it when the stronger goes. So the outcome
//! depends on what is wished, never on what was wished first.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use vrouter_proto::dataplane as pb;

use super::{ObjectKey, label};
use crate::{model::Name, state::Scoped};

/// Whose wish an object comes of. The order decides between claims of equal strength.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// Any network needs it.
    Node,
    /// A network.
    Network(Name),
    /// An endpoint.
    Endpoint(Scoped),
    /// What policies of a network's endpoints are made into.
    Policies(Name),
    /// What policies tell apart in a network beside its endpoints: prefixes.
    Prefixes(Name),
    /// A service.
    Service(Scoped),
    /// A floating address.
    FloatingIp(Name),
    /// The way out of a network.
    Outside(Name),
    /// A mirror.
    Mirror(Name),
}

/// How strong a claim is; the least wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// What makes the network: gateways, the way out.
    Network,
    /// An endpoint's own.
    Endpoint,
    /// A service's address.
    Service,
    /// The gateway of a network that is joined to this one.
    JoinedNetwork,
    /// An endpoint of a network that is joined to this one.
    JoinedEndpoint,
    /// A service of such a network.
    JoinedService,
    /// What an endpoint may use beside its own.
    Allowed,
    /// What an endpoint of such a network may use.
    JoinedAllowed,
    /// What is said of a whole prefix, where nobody says more of it.
    Prefix,
    /// That a subnet's addresses are nobody's, but for those that are given.
    Nobody,
}

impl Strength {
    /// The same claim in a network that is joined to the one it is made for.
    pub(super) fn joined(self, joined: bool) -> Self {
        match self {
            Self::Network if joined => Self::JoinedNetwork,
            Self::Endpoint if joined => Self::JoinedEndpoint,
            Self::Service if joined => Self::JoinedService,
            Self::Allowed if joined => Self::JoinedAllowed,
            other => other,
        }
    }
}

/// An object that is to be there.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The object.
    pub object: Arc<pb::Object>,
    /// Whose wish it comes of.
    pub owner: Arc<Owner>,
    /// Against other wishes for the same object.
    pub strength: Strength,
}

impl Planned {
    fn order(&self) -> (Strength, &Owner) {
        (self.strength, &self.owner)
    }
}

/// All objects that a dataplane is to hold.
pub type Plan = BTreeMap<ObjectKey, Planned>;

/// Objects on their way into a [`Unit`].
#[derive(Debug, Default)]
pub(super) struct Made(Vec<(Strength, pb::Object)>);

impl Made {
    pub(super) fn add(&mut self, strength: Strength, mut object: pb::Object) {
        label::shorten(&mut object);
        self.0.push((strength, object));
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Adds what nobody else can want.
    pub(super) fn own(&mut self, object: pb::Object) {
        self.add(Strength::Network, object);
    }
}

impl FromIterator<pb::Object> for Made {
    fn from_iter<I: IntoIterator<Item = pb::Object>>(objects: I) -> Self {
        let mut made = Self::default();
        objects.into_iter().for_each(|object| made.own(object));
        made
    }
}

/// What one owner's wish was made into: its claims.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    owner: Arc<Owner>,
    claims: Arc<[(ObjectKey, Planned)]>,
}

impl Unit {
    pub(super) fn new(owner: Owner, made: Made) -> Self {
        let owner = Arc::new(owner);
        let planned = |(strength, object): (Strength, pb::Object)| {
            let key = ObjectKey::of(&object)?;
            let (object, owner) = (Arc::new(object), owner.clone());
            Some((
                key,
                Planned {
                    object,
                    owner,
                    strength,
                },
            ))
        };
        let mut claims: Vec<_> = made.0.into_iter().filter_map(planned).collect();
        // Nobody has two claims on one object: the strongest counts, the first of equal ones.
        let mut seen = BTreeMap::new();
        for (index, (key, planned)) in claims.iter().enumerate() {
            let best = seen.entry(key.clone()).or_insert((planned.strength, index));
            *best = (*best).min((planned.strength, index));
        }
        if seen.len() < claims.len() {
            let keep: BTreeSet<usize> = seen.into_values().map(|(_, index)| index).collect();
            let mut index = 0..;
            claims.retain(|_| index.next().is_some_and(|i| keep.contains(&i)));
        }
        Self {
            owner,
            claims: claims.into(),
        }
    }

    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }
}

/// Equal by content; the same one at a glance.
impl PartialEq for Unit {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.claims, &other.claims) || (self.owner == other.owner && self.claims == other.claims)
    }
}

/// Units that go and units that come, of one update. All goes before anything comes, because an address may pass from one endpoint to
/// another in one step.
#[derive(Debug, Default)]
pub(super) struct Shift {
    gone: Vec<(ObjectKey, Arc<Owner>)>,
    come: Vec<(ObjectKey, Planned)>,
}

impl Shift {
    pub(super) fn add(&mut self, unit: &Unit) {
        self.come.extend(unit.claims.iter().cloned());
    }

    pub(super) fn remove(&mut self, unit: &Unit) {
        self.gone
            .extend(unit.claims.iter().map(|(key, _)| (key.clone(), unit.owner.clone())));
    }

    pub(super) fn replace(&mut self, old: Option<&Unit>, new: &Unit) {
        if let Some(old) = old {
            self.remove(old);
        }
        self.add(new);
    }
}

/// The plan, with the claims that lose.
#[derive(Debug, Default)]
pub(super) struct Claims {
    plan: Plan,
    /// By key; never empty lists.
    losers: BTreeMap<ObjectKey, Vec<Planned>>,
}

impl Claims {
    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn into_plan(self) -> Plan {
        self.plan
    }

    /// The keys of all objects that came, changed or went.
    pub(super) fn apply(&mut self, shift: Shift) -> BTreeSet<ObjectKey> {
        let mut before: BTreeMap<ObjectKey, Option<Planned>> = BTreeMap::new();
        for (key, owner) in shift.gone {
            let old = self.withdraw(&key, &owner);
            before.entry(key).or_insert(old);
        }
        for (key, planned) in shift.come {
            let old = self.plan.get(&key).cloned();
            before.entry(key.clone()).or_insert(old);
            self.claim(key, planned);
        }
        let changed = |(key, old): (ObjectKey, Option<Planned>)| {
            let now = self.plan.get(&key);
            (old.as_ref().map(|o| &o.object) != now.map(|n| &n.object)).then_some(key)
        };
        before.into_iter().filter_map(changed).collect()
    }

    fn claim(&mut self, key: ObjectKey, planned: Planned) {
        let loser = match self.plan.get_mut(&key) {
            None => {
                self.plan.insert(key, planned);
                return;
            }
            Some(holder) if planned.order() < holder.order() => std::mem::replace(holder, planned),
            Some(_) => planned,
        };
        self.losers.entry(key).or_default().push(loser);
    }

    /// Takes back a claim; what was planned before.
    fn withdraw(&mut self, key: &ObjectKey, owner: &Owner) -> Option<Planned> {
        let old = self.plan.get(key).cloned();
        let holds = old.as_ref().is_some_and(|holder| *holder.owner == *owner);
        let Some(losers) = self.losers.get_mut(key) else {
            if holds {
                self.plan.remove(key);
            }
            return old;
        };
        if holds {
            let next = (0..losers.len()).min_by(|a, b| losers[*a].order().cmp(&losers[*b].order()));
            if let Some(next) = next {
                self.plan.insert(key.clone(), losers.swap_remove(next));
            }
        } else {
            losers.retain(|loser| *loser.owner != *owner);
        }
        if losers.is_empty() {
            self.losers.remove(key);
        }
        old
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compile::objects;

    fn unit(owner: u8, strength: Strength, route: u8) -> Unit {
        let owner = Owner::Mirror(Name::new(&format!("o{owner}")).unwrap());
        let mut made = Made::default();
        let address = std::net::IpAddr::from([10, 0, 0, route % 2]);
        made.add(strength, objects::host_route(1, address, u64::from(route)));
        Unit::new(owner, made)
    }

    proptest! {
        /// Whoever comes first and whoever goes: the strongest of those who are left has it.
        #[test]
        fn the_strongest_claim_wins_in_any_order(steps in prop::collection::vec((0_u8..5, 0_u8..4, any::<bool>()), 1..60)) {
            let strengths = [Strength::Allowed, Strength::Endpoint, Strength::JoinedEndpoint, Strength::Endpoint, Strength::Service];
            let mut held: BTreeMap<u8, Unit> = BTreeMap::new();
            let mut claims = Claims::default();
            for (owner, route, there) in steps {
                let mut shift = Shift::default();
                if let Some(old) = held.remove(&owner) {
                    shift.remove(&old);
                }
                if there {
                    let new = unit(owner, strengths[usize::from(owner)], route);
                    shift.add(&new);
                    held.insert(owner, new);
                }
                let before = claims.plan().clone();
                let changed = claims.apply(shift);
                let mut fresh = Claims::default();
                let mut all = Shift::default();
                held.values().rev().for_each(|unit| all.add(unit));
                fresh.apply(all);
                prop_assert_eq!(claims.plan(), fresh.plan());
                for key in before.keys().chain(fresh.plan().keys()) {
                    let differs = before.get(key).map(|p| &p.object) != fresh.plan().get(key).map(|p| &p.object);
                    prop_assert_eq!(changed.contains(key), differs);
                }
            }
            prop_assert!(claims.losers.values().all(|l| !l.is_empty()));
        }
    }

    #[test]
    fn an_owner_has_one_claim_on_an_object() {
        let mut made = Made::default();
        let address = "10.0.0.1".parse().unwrap();
        made.add(Strength::Allowed, objects::host_route(1, address, 1));
        made.add(Strength::Endpoint, objects::host_route(1, address, 2));
        made.add(Strength::Endpoint, objects::host_route(1, address, 3));
        let unit = Unit::new(Owner::Node, made);
        assert_eq!(unit.claims.len(), 1);
        assert_eq!(*unit.claims[0].1.object, objects::host_route(1, address, 2));
    }
}

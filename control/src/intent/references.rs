//! References between objects: that what is named exists, who names what, and what happens to a name when its object goes.

use std::sync::Arc;

use super::{Refusal, nearest, object::Rules, publish};
use crate::{
    model::{BackendName, Collector, EndpointRef, Name, Spec, Target, Wish},
    state::{Key, Kind, State, Transaction},
};

/// Users of an object that a message names, at most; the rest is counted.
const NAMED: usize = 5;

/// Checks that everything that a wish refers to exists.
pub(super) fn check<S: Spec>(state: &State, spec: &S) -> Result<(), Refusal> {
    for (field, target) in spec.references() {
        exists(state, &target, &format!("{}.{field}", S::KIND))?;
    }
    Ok(())
}

/// Checks that an object exists that `field` names.
pub(super) fn exists(state: &State, target: &Target, field: &str) -> Result<(), Refusal> {
    let there = match target {
        Target::Network(name) => state.network(name).is_some(),
        Target::Group(name) => state.group(name).is_some(),
        Target::Endpoint(name) => state.by_ref(name).is_some(),
        Target::QosProfile(name) => state.qos_profile(name).is_some(),
    };
    if there {
        return Ok(());
    }
    let hint = match target {
        Target::Network(name) => network_hint(state, name),
        Target::Group(name) => nearest::hint(name.as_str(), state.groups().map(|g| g.name.as_str())),
        Target::QosProfile(name) => nearest::hint(name.as_str(), state.qos_profiles().map(|q| q.name.as_str())),
        Target::Endpoint(name) => endpoint_hint(state, name),
    };
    Err(Refusal::not_found(field, format!("there is no {target}{hint}")))
}

/// What may be meant by the name of a network that does not exist.
pub(super) fn network_hint(state: &State, name: &Name) -> String {
    nearest::hint(name.as_str(), state.networks().map(|n| n.name.as_str()))
}

fn endpoint_hint(state: &State, name: &EndpointRef) -> String {
    if state.network(&name.network).is_some() {
        let names = state.endpoints_of(&name.network).map(|e| e.name.as_str());
        if let Some(near) = nearest::find(name.name.as_str(), names) {
            return format!("; did you mean {}/{near}?", name.network);
        }
        // Perhaps it is another network's.
        let elsewhere = state.networks().find(|n| state.endpoint(&n.name, &name.name).is_some());
        return elsewhere.map_or_else(String::new, |n| format!("; did you mean {}/{}?", n.name, name.name));
    }
    let networks = state.networks().map(|n| n.name.as_str());
    match nearest::find(name.network.as_str(), networks) {
        Some(near) => format!("; there is no network {} either, did you mean {near}?", name.network),
        None => format!("; there is no network {} either", name.network),
    }
}

/// The refusal of an update of what does not exist.
pub(super) fn no_object<K: Rules>(state: &State, wish: &Wish<K>) -> Refusal {
    let kind = K::KIND.replace('_', " ");
    let known = state
        .objects::<K>()
        .filter(|o| o.spec.scope() == wish.spec.scope())
        .map(|o| o.name.as_str());
    let hint = nearest::hint(wish.name.as_str(), known);
    let place = wish
        .spec
        .scope()
        .map_or_else(String::new, |n| format!(" in network {n}"));
    let message = format!("there is no {kind} {}{place}{hint}", wish.name);
    Refusal::not_found(&format!("{}.name", K::KIND), message)
}

/// Refuses while anybody refers to an object.
pub(super) fn unless_used(state: &State, target: &Target, field: &str) -> Result<(), Refusal> {
    let users: Vec<String> = state.users(target).take(NAMED).map(ToString::to_string).collect();
    if users.is_empty() {
        return Ok(());
    }
    let more = state.users(target).count() - users.len();
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    let message = format!(
        "{target} is used by {}{more}; take it out there first",
        users.join(", ")
    );
    Err(Refusal::in_use(field, message))
}

/// Takes an endpoint that is about to go out of everything that names it: groups, services, mirrors and floating addresses. A later
/// endpoint of the same name is another one and inherits nothing.
///
/// # Errors
/// It is where a mirror's copies go: they would have no place left.
pub(super) fn detach_endpoint(transaction: &mut Transaction, name: &EndpointRef) -> Result<(), Refusal> {
    let target = Target::Endpoint(name.clone());
    let users: Vec<Key> = transaction.users(&target).cloned().collect();
    for user in users {
        match user {
            Key::Group(id) => edit(transaction, &id, |spec: &mut crate::model::GroupSpec| {
                spec.endpoints.retain(|e| e != name);
            }),
            Key::Service(id) => edit(transaction, &id, |spec: &mut crate::model::ServiceSpec| {
                let gone = BackendName::Endpoint(name.clone());
                spec.backends.retain(|b| b.name != gone);
            }),
            Key::FloatingIp(id) => {
                edit(transaction, &id, |spec: &mut crate::model::FloatingIpSpec| {
                    if spec.endpoint.as_ref() == Some(name) {
                        spec.endpoint = None;
                        spec.fixed_address = None;
                    }
                    spec.forwards.retain(|f| f.endpoint != *name);
                });
                publish::delete_idle(transaction, &id)?;
            }
            Key::Mirror(id) => {
                let collects = |m: &&Arc<crate::model::Mirror>| matches!(&m.spec.collector, Some(Collector::Endpoint(collector)) if collector == name);
                if let Some(mirror) = transaction.mirror(&id).filter(collects) {
                    let message = format!(
                        "mirror {} sends its copies to {name}; delete it, or let it send them elsewhere, first",
                        mirror.name
                    );
                    return Err(Refusal::in_use("name", message));
                }
                edit(transaction, &id, |spec: &mut crate::model::MirrorSpec| {
                    spec.endpoints.retain(|e| e != name);
                });
            }
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn edit<K: Kind>(transaction: &mut Transaction, id: &K::Id, change: impl FnOnce(&mut K)) {
    let Some(mut object) = transaction.object::<K>(id).map(|o| o.as_ref().clone()) else {
        return;
    };
    change(&mut object.spec);
    object.revision = transaction.revision();
    transaction.put(K::record(object.into()));
}

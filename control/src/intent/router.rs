//! Routers: one way out per network, and no address that means two things.

use super::{Refusal, object::Rules, space};
use crate::{
    model::{Name, Object, RouterSpec},
    state::{State, Transaction},
};

impl Rules for RouterSpec {
    fn give(
        transaction: &mut Transaction,
        name: &Name,
        spec: &Self,
        _existing: Option<&Object<Self>>,
    ) -> Result<(), Refusal> {
        let external = |network: &Name| transaction.network(network).is_some_and(|n| n.external);
        for (index, network) in spec.networks.iter().enumerate() {
            if external(network) {
                let message = format!("{network} is external; external_network would be right");
                return Err(Refusal::invalid(&format!("router.networks[{index}]"), message));
            }
        }
        if let Some(network) = spec.external_network.as_ref().filter(|n| !external(n)) {
            let there: Vec<&str> = transaction
                .networks()
                .filter(|n| n.external)
                .map(|n| n.name.as_str())
                .collect();
            let there = match there.first() {
                Some(right) => format!("{right} would be right"),
                None => "create one with `external` first".to_owned(),
            };
            let message = format!("{network} is not external; {there}");
            return Err(Refusal::invalid("router.external_network", message));
        }
        if spec.external_network.is_some() {
            for (index, network) in spec.networks.iter().enumerate() {
                let other = transaction.routers_of(network).find(|r| {
                    r.name != *name && r.spec.external_network.is_some() && r.spec.networks.contains(network)
                });
                if let Some(other) = other {
                    let message = format!(
                        "{network} has a way out through router {} already; a network has one at most",
                        other.name
                    );
                    return Err(Refusal::taken(&format!("router.networks[{index}]"), message));
                }
            }
        }
        for (index, leak) in spec.leaks.iter().enumerate() {
            let at = |field: &str| format!("router.leaks[{index}].{field}");
            for (field, network) in [("from_network", &leak.from), ("to_network", &leak.to)] {
                if external(network) {
                    let message = format!("{network} is external; nothing is leaked from or to it");
                    return Err(Refusal::invalid(&at(field), message));
                }
            }
            if space::leaked(transaction, leak).is_empty() {
                let message = format!(
                    "{} is in no subnet of network {} and contains none: {}",
                    leak.prefix,
                    leak.from,
                    known(transaction, &leak.from)
                );
                return Err(Refusal::invalid(&at("prefix"), message));
            }
        }
        Ok(())
    }

    fn verify(transaction: &Transaction, router: &Object<Self>) -> Result<(), Refusal> {
        space::check(transaction, &router.spec.networks, "router.networks")?;
        let leaked = router.spec.leaks.iter().map(|leak| &leak.from);
        space::check(transaction, leaked, "router.leaks")
    }
}

fn known(state: &State, network: &Name) -> String {
    let all: Vec<String> = state
        .subnets_of(network)
        .map(|s| format!("{} ({})", s.cidr, s.name))
        .collect();
    if all.is_empty() {
        "it has no subnet".to_owned()
    } else {
        all.join(", ")
    }
}

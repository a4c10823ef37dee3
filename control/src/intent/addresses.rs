//! Addresses of endpoints, services and floating addresses: handing out and taking back, within the holder's own transaction.

use std::net::IpAddr;

use super::{Refusal, nearest};
use crate::{
    model::{AddressWish, Family, Name, Subnet, number},
    state::{Allocation, Cursor, Holder, Key, Record, Transaction},
};

/// For whom addresses of a network are taken.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    /// The field that wishes for them: `endpoint.addresses`.
    pub(super) field: &'a str,
    /// The network.
    pub(super) network: &'a Name,
    /// Who will hold them.
    pub(super) holder: Holder,
    /// Addresses that no subnet contains may be asked for, too.
    pub(super) outside: bool,
}

impl Claim<'_> {
    /// Turns a wish into addresses and takes those that the holder does not have yet; gives back those it has and does not need any more.
    /// `held` are its addresses so far; those that meet the wish stay.
    pub(super) fn resolve(
        &self,
        transaction: &mut Transaction,
        wishes: &[AddressWish],
        held: &[IpAddr],
    ) -> Result<Vec<IpAddr>, Refusal> {
        let network = self.network;
        let mut spare: Vec<IpAddr> = held.to_vec();
        let mut chosen: Vec<IpAddr> = Vec::with_capacity(wishes.len().max(2));
        let explicit: Vec<IpAddr> = wishes
            .iter()
            .filter_map(|w| {
                if let AddressWish::Address(a) = w {
                    Some(*a)
                } else {
                    None
                }
            })
            .collect();
        // What is asked for by address is not available to wishes that any address meets.
        spare.retain(|address| !explicit.contains(address));
        if wishes.is_empty() {
            // An address outside of every subnet was asked for by name, and is not any more.
            spare.retain(|address| transaction.subnet_around(network, *address).is_some());
            for family in [Family::V4, Family::V6] {
                if let Some(position) = spare.iter().position(|a| Family::of(*a) == family) {
                    chosen.push(spare.swap_remove(position));
                } else if let Some(address) = self.any_of_family(transaction, family, &[])? {
                    chosen.push(address);
                }
            }
            if chosen.is_empty() {
                return Err(Refusal::invalid(
                    self.field,
                    format!("network {network} has no subnet yet; create one first"),
                ));
            }
        }
        for (index, wish) in wishes.iter().enumerate() {
            let field = format!("{}[{index}]", self.field);
            chosen.push(match wish {
                AddressWish::Address(address) if held.contains(address) => *address,
                AddressWish::Address(address) => self.this(transaction, *address, &field)?,
                AddressWish::Subnet(name) => {
                    let subnet = transaction.subnet(network, name).cloned().ok_or_else(|| {
                        let message = format!("there is no subnet {name} in network {network}");
                        let known = transaction.subnets_of(network).map(|s| s.name.as_str());
                        Refusal::not_found(&field, message + &nearest::hint(name.as_str(), known))
                    })?;
                    match spare.iter().position(|a| subnet.cidr.contains(*a)) {
                        Some(position) => spare.swap_remove(position),
                        None => self
                            .any_of(transaction, &subnet, &explicit)
                            .ok_or_else(|| exhausted(transaction, &[&subnet], &field))?,
                    }
                }
            });
        }
        for address in held.iter().filter(|address| !chosen.contains(address)) {
            release(transaction, network, *address);
        }
        Ok(chosen)
    }

    /// The next free address of the family but for those to `avoid`, from the first subnet (by name) that has one. `None`: no subnet of
    /// this family.
    pub(super) fn any_of_family(
        &self,
        transaction: &mut Transaction,
        family: Family,
        avoid: &[IpAddr],
    ) -> Result<Option<IpAddr>, Refusal> {
        let subnets: Vec<_> = transaction
            .subnets_of(self.network)
            .filter(|s| s.cidr.family() == family)
            .cloned()
            .collect();
        for subnet in &subnets {
            let avoid: Vec<IpAddr> = avoid.iter().copied().filter(|a| subnet.cidr.contains(*a)).collect();
            if let Some(address) = self.any_of(transaction, subnet, &avoid) {
                return Ok(Some(address));
            }
        }
        if subnets.is_empty() {
            return Ok(None);
        }
        let all: Vec<&Subnet> = subnets.iter().map(AsRef::as_ref).collect();
        Err(exhausted(transaction, &all, self.field))
    }

    fn any_of(&self, transaction: &mut Transaction, subnet: &Subnet, avoid: &[IpAddr]) -> Option<IpAddr> {
        let cursor = Cursor::Addresses((subnet.network.clone(), subnet.name.clone()));
        let mut from = transaction.cursor(&cursor);
        // Addresses to avoid are stepped over, once each.
        for _ in 0..=avoid.len() {
            let free = transaction.pool(subnet)?.next_free(from)?;
            let address = subnet.cidr.family().address(free)?;
            from = free.saturating_add(1);
            if !avoid.contains(&address) {
                self.take(transaction, address);
                transaction.put(Record::Cursor(cursor, from));
                return Some(address);
            }
        }
        None
    }

    /// Takes this very address.
    pub(super) fn this(&self, transaction: &mut Transaction, address: IpAddr, field: &str) -> Result<IpAddr, Refusal> {
        let network = self.network;
        if let Some(allocation) = transaction.allocation(network, address) {
            return Err(Refusal::taken(
                field,
                format!("{address} is in use by {}", allocation.holder),
            ));
        }
        let Some(subnet) = transaction.subnet_around(network, address).cloned() else {
            if self.outside {
                self.take(transaction, address);
                return Ok(address);
            }
            let known: Vec<String> = transaction
                .subnets_of(network)
                .map(|s| format!("{} ({})", s.cidr, s.name))
                .collect();
            let known = if known.is_empty() {
                "it has none".to_owned()
            } else {
                known.join(", ")
            };
            return Err(Refusal::invalid(
                field,
                format!("{address} is in no subnet of network {network}: {known}"),
            ));
        };
        if address == subnet.gateway {
            return Err(Refusal::invalid(
                field,
                format!("{address} is the gateway of subnet {}", subnet.name),
            ));
        }
        if subnet.reserved.iter().any(|range| range.contains(address)) {
            return Err(Refusal::invalid(
                field,
                format!("{address} is reserved in subnet {}", subnet.name),
            ));
        }
        if !transaction
            .pool(&subnet)
            .is_some_and(|pool| pool.is_free(number(address)))
        {
            return Err(Refusal::invalid(
                field,
                format!("{address} is no host address of {}", subnet.cidr),
            ));
        }
        self.take(transaction, address);
        Ok(address)
    }

    fn take(&self, transaction: &mut Transaction, address: IpAddr) {
        let allocation = Allocation {
            network: self.network.clone(),
            address,
            holder: self.holder.clone(),
        };
        transaction.put(Record::Address(allocation.into()));
    }
}

/// Gives an address back.
pub(super) fn release(transaction: &mut Transaction, network: &Name, address: IpAddr) {
    transaction.delete(Key::Address(network.clone(), address));
}

fn exhausted(transaction: &Transaction, subnets: &[&Subnet], field: &str) -> Refusal {
    let all: Vec<String> = subnets
        .iter()
        .map(|subnet| {
            let taken = transaction.pool(subnet).map_or(0, crate::ipam::Pool::taken);
            format!(
                "subnet {} ({}) has no free address left, {taken} in use",
                subnet.name, subnet.cidr
            )
        })
        .collect();
    Refusal::exhausted(field, all.join("; "))
}

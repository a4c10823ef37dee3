//! Checks of single fields, shared by all objects.

use std::{collections::HashSet, fmt::Display, hash::Hash, net::IpAddr, sync::Arc};

use crate::{
    port::check_interface_name,
    program::problem::Refusal,
    tables::{
        gateway::{GatewayError, not_a_host},
        port::Gateway,
    },
    wire::{IpPrefix, Mac, PrefixError, proto},
};

/// Longest name, bytes.
pub(super) const NAME_MAX: usize = 63;

/// Longest name made of several, bytes.
pub(super) const LONG_NAME_MAX: usize = 255;

/// Most gateway addresses of one port or bridge.
pub(super) const GATEWAYS_MAX: usize = 64;

/// A name for people: anything short that stays on one line.
pub(super) fn name(field: &'static str, text: &str) -> Result<Arc<str>, Refusal> {
    if text.len() > NAME_MAX {
        let message = format!("{} bytes are too long for a name; use at most {NAME_MAX}", text.len());
        return Err(Refusal::invalid(field, message));
    }
    printable(field, text)
}

fn printable(field: &'static str, text: &str) -> Result<Arc<str>, Refusal> {
    if let Some(character) = text.chars().find(|c| c.is_control()) {
        let message = format!("{character:?} is a control character, which names may not contain");
        return Err(Refusal::invalid(field, message));
    }
    Ok(text.into())
}

/// A name made of several, like that of a rule, "policy/rule".
pub(super) fn long_name(field: &'static str, text: &str) -> Result<Arc<str>, Refusal> {
    if text.len() > LONG_NAME_MAX {
        let message = format!(
            "{} bytes are too long for a name; use at most {LONG_NAME_MAX}",
            text.len()
        );
        return Err(Refusal::invalid(field, message));
    }
    printable(field, text)
}

/// The name of a Linux interface, by the rules of the kernel.
pub(super) fn interface(field: &'static str, text: &str) -> Result<Arc<str>, Refusal> {
    check_interface_name(text).map_err(|error| Refusal::invalid(field, error.to_string()))?;
    Ok(text.into())
}

/// An identifier: any number but 0.
pub(super) fn id<Id: Copy + Default + PartialEq + Display>(field: &'static str, id: Id) -> Result<Id, Refusal> {
    if id == Id::default() {
        return Err(Refusal::invalid(field, "0 is not an identifier; give one of 1 or more"));
    }
    Ok(id)
}

/// A reference that may be absent, written as 0.
pub(super) fn optional_id<Id: Default + PartialEq>(id: Id) -> Option<Id> {
    (id != Id::default()).then_some(id)
}

/// A number from 0 to 15.
pub(super) fn nibble(field: &'static str, value: u32) -> Result<u8, Refusal> {
    u8::try_from(value)
        .ok()
        .filter(|value| *value <= 15)
        .ok_or_else(|| Refusal::invalid(field, format!("{value} is out of range: it must be from 0 to 15")))
}

/// The MAC address of one station.
pub(super) fn station(field: &'static str, text: &str) -> Result<Mac, Refusal> {
    let mac: Mac = text.parse().map_err(|error| quoted(field, text, &error))?;
    if !mac.is_unicast() {
        let message = format!("{mac} is a group's address or zero; give the address of one station");
        return Err(Refusal::invalid(field, message));
    }
    Ok(mac)
}

/// The MAC address of one station, unless the text is empty.
pub(super) fn optional_station(field: &'static str, text: &str) -> Result<Option<Mac>, Refusal> {
    (!text.is_empty()).then(|| station(field, text)).transpose()
}

/// An address that one host can have.
pub(super) fn host(field: &'static str, text: &str) -> Result<IpAddr, Refusal> {
    let address: IpAddr = text.parse().map_err(|_| {
        let right = "not an IP address: write one like 10.1.0.2 or 2001:db8::2";
        quoted(field, text, &right)
    })?;
    match not_a_host(address) {
        Some(why) => Err(Refusal::invalid(
            field,
            format!("{address} is {why}; give the address of one host"),
        )),
        None => Ok(address),
    }
}

/// A prefix without host bits.
pub(super) fn prefix(field: &'static str, text: &str) -> Result<IpPrefix, Refusal> {
    text.parse().map_err(|error| match error {
        PrefixError::NotAPrefix => quoted(field, text, &error),
        _ => Refusal::invalid(field, error.to_string()),
    })
}

/// The router's addresses on a port or bridge.
pub(super) fn gateways(field: &'static str, texts: &[String]) -> Result<Arc<[Gateway]>, Refusal> {
    if texts.len() > GATEWAYS_MAX {
        let message = format!("{} addresses are too many; give at most {GATEWAYS_MAX}", texts.len());
        return Err(Refusal::invalid(field, message));
    }
    let mut seen = HashSet::new();
    let gateways = texts.iter().map(|text| {
        let gateway: Gateway = text
            .parse()
            .map_err(|e: GatewayError| Refusal::invalid(field, e.to_string()))?;
        if !seen.insert(gateway.address) {
            return Err(Refusal::invalid(field, format!("{} is given twice", gateway.address)));
        }
        Ok(gateway)
    });
    gateways.collect()
}

/// Refers each to something, none twice.
pub(super) fn distinct(field: &'static str, ids: impl Iterator<Item = u64>) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    for next_hop in ids {
        id(field, next_hop)?;
        if !seen.insert(next_hop) {
            return Err(Refusal::invalid(field, format!("next hop {next_hop} is given twice")));
        }
    }
    Ok(())
}

/// An error that does not repeat the text it is about.
fn quoted(field: &'static str, text: &str, error: &dyn Display) -> Refusal {
    // Texts come from anywhere: no more of one is repeated than a person needs to recognise it.
    let shown: String = text.chars().take(NAME_MAX).collect();
    Refusal::invalid(field, format!("{shown:?} is {error}"))
}

/// A message that the enclosing one must have.
pub(super) fn required<T>(field: &'static str, value: Option<T>, right: &str) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::invalid(field, format!("missing; give {right}")))
}

/// A number within a range, as the smaller type that holds it.
pub(super) fn number<To>(field: &'static str, value: impl Into<u64>, least: u64, most: u64) -> Result<To, Refusal>
where
    To: TryFrom<u64>,
{
    let value = value.into();
    let refused = || {
        let message = format!("{value} is out of range: it must be from {least} to {most}");
        Refusal::invalid(field, message)
    };
    if !(least..=most).contains(&value) {
        return Err(refused());
    }
    To::try_from(value).map_err(|_| refused())
}

/// A number within a range, or 0 for `otherwise`.
pub(super) fn number_or<To>(
    field: &'static str,
    value: impl Into<u64>,
    (least, most): (u64, u64),
    otherwise: impl Display,
) -> Result<To, Refusal>
where
    To: TryFrom<u64> + Default,
{
    let value = value.into();
    if value == 0 {
        return Ok(To::default());
    }
    number(field, value, least, most).map_err(|refusal| {
        let message = format!("{}, or 0 for {otherwise}", refusal.message);
        Refusal::invalid(field, message)
    })
}

/// A transport protocol with ports: TCP, UDP or SCTP.
pub(super) fn has_ports(protocol: u8) -> bool {
    matches!(protocol, proto::TCP | proto::UDP | proto::SCTP)
}

/// No more than so many of something.
pub(super) fn at_most(field: &'static str, count: usize, most: usize) -> Result<(), Refusal> {
    if count > most {
        let message = format!("{count} are too many; give at most {most}");
        return Err(Refusal::invalid(field, message));
    }
    Ok(())
}

/// Each only once.
pub(super) fn no_repetition<T: Hash + Eq + Display>(
    field: &'static str,
    values: impl Iterator<Item = T>,
) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    for value in values {
        if seen.contains(&value) {
            return Err(Refusal::invalid(field, format!("{value} is given twice")));
        }
        seen.insert(value);
    }
    Ok(())
}

/// An address, or a prefix without host bits.
pub(super) fn claim(field: &'static str, text: &str) -> Result<IpPrefix, Refusal> {
    match text.parse() {
        Ok(address) => Ok(IpPrefix::host(address)),
        Err(_) => prefix(field, text),
    }
}

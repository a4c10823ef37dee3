//! Names for what a dataplane knows by number or address only.

use std::net::IpAddr;

use crate::{
    model::Name,
    state::{Holder, State},
};

/// The network that is this VRF on every node.
pub(super) fn network_of(state: &State, vrf: u32) -> Option<&Name> {
    state.networks().find(|n| n.number == vrf).map(|n| &n.name)
}

/// Who has an address, as people say it ("blue/web-1", "service blue/api"): in `network` if it is known there, else in the only network
/// where it is.
pub(super) fn holder_of(state: &State, network: Option<&Name>, address: &str) -> Option<String> {
    let address: IpAddr = address.parse().ok()?;
    let holder = |network: &Name| {
        Some(match &state.allocation(network, address)?.holder {
            Holder::Endpoint(name) => format!("{network}/{name}"),
            Holder::Service(name) => format!("service {network}/{name}"),
            Holder::FloatingIp(name) => format!("floating address {name}"),
        })
    };
    if let Some(found) = network.and_then(holder) {
        return Some(found);
    }
    // Another network, joined to this one by a router.
    let mut others = state.networks().filter_map(|n| holder(&n.name));
    match (others.next(), others.next()) {
        (found @ Some(_), None) => found,
        _ => None,
    }
}

/// IP protocols by the names that people use.
const PROTOCOLS: [(&str, u8); 7] = [
    ("icmp", 1),
    ("tcp", 6),
    ("udp", 17),
    ("gre", 47),
    ("esp", 50),
    ("icmpv6", 58),
    ("sctp", 132),
];

/// "tcp", or the number where there is no name.
pub(super) fn protocol_name(number: u32) -> String {
    PROTOCOLS
        .iter()
        .find(|(_, n)| u32::from(*n) == number)
        .map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

/// The number of a protocol by name or number.
pub(super) fn protocol_number(text: &str) -> Option<u8> {
    let name = text.to_ascii_lowercase();
    PROTOCOLS
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, number)| *number)
        .or_else(|| name.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_go_by_name_or_number() {
        assert_eq!(protocol_number("TCP"), Some(6));
        assert_eq!(protocol_number("89"), Some(89));
        assert_eq!(protocol_number("ospf"), None);
        assert_eq!(protocol_name(132), "sctp");
        assert_eq!(protocol_name(89), "89");
    }
}

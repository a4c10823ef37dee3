//! The node's uplinks, and by which neighbour a remote tunnel endpoint is reached.

use std::net::{IpAddr, Ipv4Addr};

use crate::wire::{IpPrefix, Mac};

/// An interface of the node towards the underlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// Number of its port, as in [`Resolver::on_frame`](super::Resolver::on_frame).
    pub port: u16,
    /// Name, for people.
    pub name: String,
    /// Its MAC.
    pub mac: Mac,
    /// Its addresses (those of tunnel endpoints first), each with the length of its on-link prefix.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Routers on its link, preferred ones first.
    pub gateways: Vec<IpAddr>,
    /// Nobody else answers ARP and neighbour solicitations for the addresses: the resolver does.
    pub answer: bool,
}

/// A way to a remote: ask for `via` on an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// Index of the uplink.
    pub(super) uplink: usize,
    /// The neighbour: the remote itself, or a gateway.
    pub(super) via: IpAddr,
    /// Outer source address.
    pub(super) source: IpAddr,
}

impl Uplink {
    /// Is the address one of this uplink's own?
    pub(super) fn owns(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(own, _)| *own == address)
    }

    /// The own address with the longest on-link prefix that holds `other`, and that prefix.
    fn on_link(&self, other: IpAddr) -> Option<(IpAddr, IpPrefix)> {
        let prefixes = self
            .addresses
            .iter()
            .filter_map(|(own, length)| Some((*own, IpPrefix::containing(*own, *length).ok()?)));
        // The first of those of equal length.
        prefixes
            .filter(|(own, prefix)| {
                IpPrefix::containing(other, prefix.prefix_len()).is_ok_and(|of| of == *prefix) && *own != other
            })
            .reduce(|best, next| {
                if next.1.prefix_len() > best.1.prefix_len() {
                    next
                } else {
                    best
                }
            })
    }

    /// The address that speaks for this uplink beyond its link.
    fn global(&self, like: IpAddr) -> Option<IpAddr> {
        let mut own = self.addresses.iter().map(|(own, _)| *own);
        own.find(|own| own.is_ipv4() == like.is_ipv4() && !is_link_local(*own))
    }

    /// The address from which to ask for a neighbour: one on the neighbour's link, else `owned`, an address that is this node's on
    /// whatever link, else the one for all links.
    pub(super) fn asks_from(&self, neighbor: IpAddr, owned: Option<IpAddr>) -> Option<IpAddr> {
        self.on_link(neighbor)
            .map(|(own, _)| own)
            .or(owned)
            .or_else(|| self.global(neighbor))
    }
}

/// Where a neighbour for packets in the clear may be: on the link of any uplink, first on those that have an address in its subnet.
///
/// # Errors
/// Why it cannot be anywhere, for people.
pub(super) fn links(uplinks: &[Uplink], neighbor: IpAddr) -> Result<Vec<Route>, String> {
    check_remote(uplinks, neighbor)?;
    if uplinks.is_empty() {
        return Err(format!("{neighbor} cannot be reached: there is no uplink"));
    }
    let mut links: Vec<_> = uplinks
        .iter()
        .enumerate()
        .map(|(index, uplink)| {
            let on_link = uplink.on_link(neighbor);
            let route = Route {
                uplink: index,
                via: neighbor,
                source: on_link.map_or(neighbor, |(own, _)| own),
            };
            (on_link.map(|(_, prefix)| prefix.prefix_len()), route)
        })
        .collect();
    links.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    Ok(links.into_iter().map(|(_, route)| route).collect())
}

/// It can be the address of another host.
fn check_remote(uplinks: &[Uplink], remote: IpAddr) -> Result<(), String> {
    let broadcast = remote == IpAddr::V4(Ipv4Addr::BROADCAST);
    if remote.is_unspecified() || remote.is_multicast() || remote.is_loopback() || broadcast {
        return Err(format!("{remote} is not the address of one host"));
    }
    match uplinks.iter().find(|uplink| uplink.owns(remote)) {
        Some(uplink) => Err(format!("{remote} is an address of this node ({})", uplink.name)),
        None => Ok(()),
    }
}

/// The ways to a remote, preferred ones first: on the link, else by the gateways of its family.
///
/// # Errors
/// Why there is none, for people.
pub(super) fn routes(uplinks: &[Uplink], remote: IpAddr) -> Result<Vec<Route>, String> {
    check_remote(uplinks, remote)?;
    let mut found = Vec::new();
    for (index, uplink) in uplinks.iter().enumerate() {
        let Some((source, prefix)) = uplink.on_link(remote) else {
            continue;
        };
        let (first, last) = (prefix.addr(), prefix.last());
        if remote.is_ipv4() && prefix.prefix_len() < 31 && (remote == first || remote == last) {
            return Err(format!(
                "{remote} is the network or broadcast address of {prefix} on {}",
                uplink.name
            ));
        }
        let route = Route {
            uplink: index,
            via: remote,
            source,
        };
        found.push((prefix.prefix_len(), route));
    }
    if !found.is_empty() {
        found.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        return Ok(found.into_iter().map(|(_, route)| route).collect());
    }
    let family = if remote.is_ipv4() { "IPv4" } else { "IPv6" };
    if is_link_local(remote) {
        return Err(format!(
            "no route to {remote}: it is link-local, and no uplink has a link-local prefix"
        ));
    }
    if uplinks.iter().all(|uplink| uplink.global(remote).is_none()) {
        return Err(format!("no route to {remote}: no uplink has an {family} address"));
    }
    let mut found = Vec::new();
    for (index, uplink) in uplinks.iter().enumerate() {
        let Some(source) = uplink.global(remote) else { continue };
        for via in &uplink.gateways {
            if via.is_ipv4() == remote.is_ipv4() && !uplink.owns(*via) {
                found.push(Route {
                    uplink: index,
                    via: *via,
                    source,
                });
            }
        }
    }
    if found.is_empty() {
        return Err(format!(
            "no route to {remote}: it is on the link of no uplink, and no {family} gateway is configured"
        ));
    }
    Ok(found)
}

/// Of significance on its own link only.
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn uplink(port: u16, addresses: &[(&str, u8)], gateways: &[&str]) -> Uplink {
        Uplink {
            port,
            name: format!("eth{port}"),
            mac: Mac([2, 0, 0, 0, 0, port as u8]),
            addresses: addresses
                .iter()
                .map(|(address, length)| (ip(address), *length))
                .collect(),
            gateways: gateways.iter().map(|gateway| ip(gateway)).collect(),
            answer: true,
        }
    }

    fn route(uplink: usize, via: &str, source: &str) -> Route {
        Route {
            uplink,
            via: ip(via),
            source: ip(source),
        }
    }

    #[test]
    fn the_longest_prefix_on_the_link_wins_over_gateways() {
        let uplinks = [
            uplink(
                0,
                &[("192.0.2.1", 24), ("192.0.2.129", 25), ("fd00::1", 64)],
                &["192.0.2.254"],
            ),
            uplink(1, &[("192.0.2.65", 26), ("fe80::1", 64)], &["fe80::fe"]),
        ];
        let to = |remote| routes(&uplinks, ip(remote)).unwrap();
        assert_eq!(to("192.0.2.7"), [route(0, "192.0.2.7", "192.0.2.1")]);
        assert_eq!(to("192.0.2.200"), [route(0, "192.0.2.200", "192.0.2.129")]);
        assert_eq!(
            to("192.0.2.70"),
            [
                route(1, "192.0.2.70", "192.0.2.65"),
                route(0, "192.0.2.70", "192.0.2.1")
            ]
        );
        assert_eq!(to("198.51.100.1"), [route(0, "192.0.2.254", "192.0.2.1")]);
        assert_eq!(to("fd00::2"), [route(0, "fd00::2", "fd00::1")]);
        assert_eq!(to("fe80::2"), [route(1, "fe80::2", "fe80::1")]);
        assert_eq!(uplinks[0].asks_from(ip("192.0.2.254"), None), Some(ip("192.0.2.129")));
    }

    #[test]
    fn a_host_address_goes_by_gateways_of_its_family_in_their_order() {
        let uplinks = [
            uplink(
                0,
                &[("10.9.9.9", 32), ("fe80::1", 64), ("fd00::1", 128)],
                &["10.0.0.1", "fe80::fe", "10.0.0.2"],
            ),
            uplink(1, &[("10.8.8.8", 32)], &["10.0.1.1"]),
        ];
        let to = |remote| routes(&uplinks, ip(remote)).unwrap();
        let by = [
            route(0, "10.0.0.1", "10.9.9.9"),
            route(0, "10.0.0.2", "10.9.9.9"),
            route(1, "10.0.1.1", "10.8.8.8"),
        ];
        assert_eq!(to("198.51.100.1"), by);
        assert_eq!(to("fd00::2"), [route(0, "fe80::fe", "fd00::1")]);
        assert_eq!(uplinks[0].asks_from(ip("10.0.0.1"), None), Some(ip("10.9.9.9")));
        assert_eq!(uplinks[0].asks_from(ip("fe80::fe"), None), Some(ip("fe80::1")));
    }

    #[test]
    fn why_there_is_no_route() {
        let uplinks = [uplink(0, &[("192.0.2.1", 24), ("fd00::1", 64)], &[])];
        let why = |remote| routes(&uplinks, ip(remote)).unwrap_err();
        assert_eq!(why("ff02::1"), "ff02::1 is not the address of one host");
        assert_eq!(why("255.255.255.255"), "255.255.255.255 is not the address of one host");
        assert_eq!(why("192.0.2.1"), "192.0.2.1 is an address of this node (eth0)");
        assert_eq!(
            why("192.0.2.255"),
            "192.0.2.255 is the network or broadcast address of 192.0.2.0/24 on eth0"
        );
        assert!(why("198.51.100.1").ends_with("no IPv4 gateway is configured"));
        assert!(why("2001:db8::1").ends_with("no IPv6 gateway is configured"));
        assert!(why("fe80::2").contains("link-local"));
        let four = [uplink(0, &[("192.0.2.1", 24)], &["fd00::fe"])];
        assert!(
            routes(&four, ip("fd00::2"))
                .unwrap_err()
                .ends_with("no uplink has an IPv6 address")
        );
        assert!(
            routes(&[], ip("192.0.2.1"))
                .unwrap_err()
                .ends_with("no uplink has an IPv4 address")
        );
    }
}

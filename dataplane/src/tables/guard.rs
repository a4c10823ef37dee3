//! What a workload may claim to be: anti-spoofing by MAC, by IP address, and by role (router, DHCP server).
//!
//! Pure questions about headers that are already read. Who asks them when is for the pipeline: MACs, ARP and neighbour discovery at
//! the port, sources of IP packets when a flow is decided.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use crate::{
    packet::{DropReason, FlowKey},
    wire::{IpPrefix, Mac, proto},
};

/// UDP ports of DHCP (RFC 2131).
const DHCP4_SERVER: u16 = 67;
const DHCP4_CLIENT: u16 = 68;
/// UDP ports of DHCPv6 (RFC 8415, section 7.2).
const DHCP6_CLIENT: u16 = 546;
const DHCP6_SERVER: u16 = 547;

/// What a client says of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardSpec {
    /// Addresses it may use as its own.
    pub addresses: Arc<[IpPrefix]>,
    /// MACs it may use besides its port's.
    pub macs: Arc<[Mac]>,
    /// It may send router advertisements and redirects.
    pub allow_router: bool,
    /// It may answer as a DHCP server.
    pub allow_dhcp_server: bool,
}

/// What a workload may claim to be, ready to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The port's own MAC first.
    macs: Arc<[Mac]>,
    /// Address and mask.
    v4: Arc<[(u32, u32)]>,
    /// Address and mask, with the link-local address of each MAC.
    v6: Arc<[(u128, u128)]>,
    allow_router: bool,
    allow_dhcp_server: bool,
}

impl Guard {
    /// The guard of a port whose workload has the MAC `own`.
    pub fn new(own: Mac, spec: &GuardSpec) -> Self {
        let macs: Arc<[Mac]> = std::iter::once(own).chain(spec.macs.iter().copied()).collect();
        let mut v4 = Vec::new();
        let mut v6: Vec<_> = macs.iter().map(|mac| (mac.link_local().to_bits(), u128::MAX)).collect();
        for prefix in spec.addresses.iter() {
            let len = u32::from(prefix.prefix_len());
            match prefix.addr() {
                IpAddr::V4(address) => {
                    let mask = u32::MAX.checked_shl(32 - len).unwrap_or(0);
                    v4.push((address.to_bits() & mask, mask));
                }
                IpAddr::V6(address) => {
                    let mask = u128::MAX.checked_shl(128 - len).unwrap_or(0);
                    v6.push((address.to_bits() & mask, mask));
                }
            }
        }
        Self {
            macs,
            v4: v4.into(),
            v6: v6.into(),
            allow_router: spec.allow_router,
            allow_dhcp_server: spec.allow_dhcp_server,
        }
    }

    /// An address of the workload's own: the first that is no prefix and not link-local.
    pub fn first_address(&self, v6: bool) -> Option<IpAddr> {
        if v6 {
            let addresses = self.v6.iter().filter(|(_, mask)| *mask == u128::MAX);
            let mut addresses = addresses.map(|(bits, _)| Ipv6Addr::from_bits(*bits));
            return addresses
                .find(|address| !address.is_unicast_link_local())
                .map(IpAddr::V6);
        }
        let mut addresses = self.v4.iter().filter(|(_, mask)| *mask == u32::MAX);
        addresses.next().map(|(bits, _)| Ipv4Addr::from_bits(*bits).into())
    }

    /// The workload may send from this MAC, and may say that an address is at it.
    #[inline]
    pub fn permits_mac(&self, mac: Mac) -> bool {
        self.macs.contains(&mac)
    }

    /// The workload may use this address as its own. Never true for the unspecified addresses (see [`check`](Self::check)), unless
    /// a prefix of length 0 is allowed.
    #[inline]
    pub fn permits(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.permits_v4(address),
            IpAddr::V6(address) => self.permits_v6(address),
        }
    }

    /// As [`permits`](Self::permits).
    #[inline]
    pub fn permits_v4(&self, address: Ipv4Addr) -> bool {
        let bits = address.to_bits();
        self.v4.iter().any(|(prefix, mask)| bits & mask == *prefix)
    }

    /// As [`permits`](Self::permits).
    #[inline]
    pub fn permits_v6(&self, address: Ipv6Addr) -> bool {
        let bits = address.to_bits();
        self.v6.iter().any(|(prefix, mask)| bits & mask == *prefix)
    }

    /// The workload may send router advertisements and redirects.
    pub fn allows_router(&self) -> bool {
        self.allow_router
    }

    /// Judges an IP packet that the workload sent, by its flow key as sent: the one question to ask when a flow of the
    /// workload is decided. Ports must be known: those of a later fragment are its head's.
    ///
    /// The unspecified source is good where a host without address must use it: a DHCP client's broadcast (RFC 2131 section
    /// 4.1), and ICMPv6 to groups of the link (duplicate address detection, RFC 4862, and the multicast listener reports that go
    /// before it, RFC 3810 section 5.2.13).
    ///
    /// # Errors
    /// [`DropReason::SpoofedIp`] for a source that is not the workload's, [`DropReason::RogueDhcp`] for what only a DHCP server or
    /// relay sends.
    pub fn check(&self, key: &FlowKey) -> Result<(), DropReason> {
        let (source, destination) = (key.src(), key.dst());
        let (from, to) = (key.src_port(), key.dst_port());
        let udp = key.protocol() == proto::UDP;
        let without_address = match (source, destination) {
            (IpAddr::V4(source), _) => source.is_unspecified() && udp && from == DHCP4_CLIENT && to == DHCP4_SERVER,
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                source.is_unspecified() && key.protocol() == proto::ICMPV6 && destination.segments()[0] == 0xff02
            }
            _ => false,
        };
        if !without_address && !self.permits(source) {
            return Err(DropReason::SpoofedIp);
        }
        let speaks_as_server = match source {
            IpAddr::V4(_) => from == DHCP4_SERVER || to == DHCP4_CLIENT,
            IpAddr::V6(_) => from == DHCP6_SERVER || to == DHCP6_CLIENT,
        };
        if udp && speaks_as_server && !self.allow_dhcp_server {
            return Err(DropReason::RogueDhcp);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;

//! Writing neighbour discovery messages (RFC 4861): each `emit` writes the whole ICMPv6 message, checksum included, and returns
//! its length. The IPv6 header around it is the caller's, with hop limit [`HOP_LIMIT`](super::ndisc::HOP_LIMIT).

use core::net::{IpAddr, Ipv6Addr};

use super::bytes::{put, put_u16, put_u32};
use super::ndisc::{self, PrefixInfo};
use super::{Mac, WireError, icmpv6};

/// Bytes of a link-layer address option, and of an MTU option.
const SHORT_OPTION: usize = 8;
/// Bytes of a prefix information option.
const PREFIX_OPTION: usize = 32;

/// The solicited-node multicast address of an address (RFC 4291 section 2.7.1).
pub const fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0000 | target.to_bits() & 0x00ff_ffff)
}

/// The first `need` bytes of `buf`, zeroed.
fn room(buf: &mut [u8], need: usize) -> Result<&mut [u8], WireError> {
    let have = buf.len();
    let message = buf.get_mut(..need).ok_or(WireError::NoRoom {
        header: "ND",
        need,
        have,
    })?;
    message.fill(0);
    Ok(message)
}

/// Writes a link-layer address option at `at`; returns where the next one goes.
fn put_mac(message: &mut [u8], at: usize, kind: u8, mac: Option<Mac>) -> usize {
    let Some(mac) = mac else { return at };
    put(message, at, [kind, 1]);
    put(message, at + 2, mac.0);
    at + SHORT_OPTION
}

const fn mac_len(mac: Option<Mac>) -> usize {
    if mac.is_some() { SHORT_OPTION } else { 0 }
}

/// Who has `target`?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeighborSolicit {
    /// The address asked for.
    pub target: Ipv6Addr,
    /// Our link-layer address; must be none if the source address is unspecified (duplicate address detection).
    pub source: Option<Mac>,
}

impl NeighborSolicit {
    /// Writes the message between `src` and `dst`.
    ///
    /// # Errors
    /// `buf` is too short.
    pub fn emit(&self, buf: &mut [u8], src: Ipv6Addr, dst: Ipv6Addr) -> Result<usize, WireError> {
        let message = room(buf, 24 + mac_len(self.source))?;
        put(message, 0, [ndisc::NEIGHBOR_SOLICIT]);
        put(message, 8, self.target.octets());
        put_mac(message, 24, ndisc::OPTION_SOURCE, self.source);
        icmpv6::fill(message, src, dst);
        Ok(message.len())
    }
}

/// I have `target`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeighborAdvert {
    /// The address.
    pub target: Ipv6Addr,
    /// Its link-layer address.
    pub target_mac: Option<Mac>,
    /// We are a router.
    pub router: bool,
    /// This answers a solicitation.
    pub solicited: bool,
    /// This replaces what the receiver knows.
    pub override_: bool,
}

impl NeighborAdvert {
    /// Writes the message between `src` and `dst`.
    ///
    /// # Errors
    /// `buf` is too short.
    pub fn emit(&self, buf: &mut [u8], src: Ipv6Addr, dst: Ipv6Addr) -> Result<usize, WireError> {
        let message = room(buf, 24 + mac_len(self.target_mac))?;
        let flag = |on, bit| if on { bit } else { 0 };
        let flags = flag(self.router, ndisc::FLAG_ROUTER)
            | flag(self.solicited, ndisc::FLAG_SOLICITED)
            | flag(self.override_, ndisc::FLAG_OVERRIDE);
        put(message, 0, [ndisc::NEIGHBOR_ADVERT, 0, 0, 0, flags]);
        put(message, 8, self.target.octets());
        put_mac(message, 24, ndisc::OPTION_TARGET, self.target_mac);
        icmpv6::fill(message, src, dst);
        Ok(message.len())
    }
}

/// Which routers are here?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouterSolicit {
    /// Our link-layer address; must be none if the source address is unspecified.
    pub source: Option<Mac>,
}

impl RouterSolicit {
    /// Writes the message between `src` and `dst`.
    ///
    /// # Errors
    /// `buf` is too short.
    pub fn emit(&self, buf: &mut [u8], src: Ipv6Addr, dst: Ipv6Addr) -> Result<usize, WireError> {
        let message = room(buf, 8 + mac_len(self.source))?;
        put(message, 0, [ndisc::ROUTER_SOLICIT]);
        put_mac(message, 8, ndisc::OPTION_SOURCE, self.source);
        icmpv6::fill(message, src, dst);
        Ok(message.len())
    }
}

/// I am a router, and this is the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouterAdvert<'a> {
    /// Hop limit that hosts should use; zero says nothing.
    pub hop_limit: u8,
    /// Addresses come from DHCPv6.
    pub managed: bool,
    /// Other settings come from DHCPv6.
    pub other: bool,
    /// Seconds for which we are a default router; zero if we are none.
    pub lifetime: u16,
    /// Our link-layer address.
    pub source: Option<Mac>,
    /// MTU of the link.
    pub mtu: Option<u32>,
    /// Prefixes of the link. Those that are not IPv6 are left out.
    pub prefixes: &'a [PrefixInfo],
}

impl RouterAdvert<'_> {
    /// Writes the message between `src` and `dst`.
    ///
    /// # Errors
    /// `buf` is too short.
    pub fn emit(&self, buf: &mut [u8], src: Ipv6Addr, dst: Ipv6Addr) -> Result<usize, WireError> {
        let prefixes = || self.prefixes.iter().filter(|info| !info.prefix.is_v4());
        let mtu_len = if self.mtu.is_some() { SHORT_OPTION } else { 0 };
        let message = room(
            buf,
            16 + mac_len(self.source) + mtu_len + PREFIX_OPTION * prefixes().count(),
        )?;
        let flags = if self.managed { ndisc::FLAG_MANAGED } else { 0 } | if self.other { ndisc::FLAG_OTHER } else { 0 };
        put(message, 0, [ndisc::ROUTER_ADVERT, 0, 0, 0, self.hop_limit, flags]);
        put_u16(message, 6, self.lifetime);
        let mut at = put_mac(message, 16, ndisc::OPTION_SOURCE, self.source);
        if let Some(mtu) = self.mtu {
            put(message, at, [ndisc::OPTION_MTU, 1]);
            put_u32(message, at + 4, mtu);
            at += SHORT_OPTION;
        }
        for info in prefixes() {
            let flags = if info.on_link { 0x80 } else { 0 } | if info.autonomous { 0x40 } else { 0 };
            put(message, at, [ndisc::OPTION_PREFIX, 4, info.prefix.prefix_len(), flags]);
            put_u32(message, at + 4, info.valid_lifetime);
            put_u32(message, at + 8, info.preferred_lifetime);
            if let IpAddr::V6(addr) = info.prefix.addr() {
                put(message, at + 16, addr.octets());
            }
            at += PREFIX_OPTION;
        }
        icmpv6::fill(message, src, dst);
        Ok(message.len())
    }
}

#[cfg(test)]
#[path = "ndisc_tests.rs"]
mod tests;

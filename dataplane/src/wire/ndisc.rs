//! Reading neighbour discovery messages (RFC 4861): solicitations and advertisements of neighbours and routers. They are
//! written by [`ndisc_emit`](super::ndisc_emit).

use core::net::Ipv6Addr;

use super::bytes::{get, get_u8, get_u16, get_u32};
use super::view::view;
use super::{IpPrefix, Mac, WireError};

/// ICMPv6 type: router solicitation.
pub const ROUTER_SOLICIT: u8 = 133;
/// ICMPv6 type: router advertisement.
pub const ROUTER_ADVERT: u8 = 134;
/// ICMPv6 type: neighbour solicitation.
pub const NEIGHBOR_SOLICIT: u8 = 135;
/// ICMPv6 type: neighbour advertisement.
pub const NEIGHBOR_ADVERT: u8 = 136;

/// The hop limit with which every such message is sent, and without which it is to be dropped (RFC 4861 section 6.1 and 7.1).
pub const HOP_LIMIT: u8 = 255;

pub(super) const FLAG_ROUTER: u8 = 0x80;
pub(super) const FLAG_SOLICITED: u8 = 0x40;
pub(super) const FLAG_OVERRIDE: u8 = 0x20;
pub(super) const FLAG_MANAGED: u8 = 0x80;
pub(super) const FLAG_OTHER: u8 = 0x40;
pub(super) const OPTION_SOURCE: u8 = 1;
pub(super) const OPTION_TARGET: u8 = 2;
pub(super) const OPTION_PREFIX: u8 = 3;
pub(super) const OPTION_MTU: u8 = 5;

view! {
    /// A neighbour discovery message, from its ICMPv6 header on and not beyond its end.
    Ndisc, check
}

/// Type, code, least length, and options whose lengths are not zero and lie within.
fn check(bytes: &[u8]) -> Result<(), WireError> {
    WireError::need("ND", 8, bytes.len())?;
    let kind = get_u8(bytes, 0);
    let Some(options) = options_offset(kind) else {
        return Err(WireError::invalid("ND", "type", u32::from(kind), "133 to 136"));
    };
    if get_u8(bytes, 1) != 0 {
        return Err(WireError::invalid("ND", "code", u32::from(get_u8(bytes, 1)), "0"));
    }
    WireError::need("ND", options, bytes.len())?;
    let mut at = options;
    while at < bytes.len() {
        WireError::need("ND option", at + 2, bytes.len())?;
        let units = get_u8(bytes, at + 1);
        if units == 0 {
            return Err(WireError::invalid("ND option", "length", 0, "at least 1"));
        }
        at += usize::from(units) * 8;
        WireError::need("ND option", at, bytes.len())?;
    }
    Ok(())
}

/// Where the options start.
const fn options_offset(kind: u8) -> Option<usize> {
    match kind {
        ROUTER_SOLICIT => Some(8),
        ROUTER_ADVERT => Some(16),
        NEIGHBOR_SOLICIT | NEIGHBOR_ADVERT => Some(24),
        _ => None,
    }
}

impl<T: AsRef<[u8]>> Ndisc<T> {
    /// ICMPv6 type.
    pub fn kind(&self) -> u8 {
        get_u8(self.as_bytes(), 0)
    }

    /// Neighbour solicitation or advertisement: the address in question. Zero in router messages.
    pub fn target(&self) -> Ipv6Addr {
        match self.kind() {
            NEIGHBOR_SOLICIT | NEIGHBOR_ADVERT => get::<16>(self.as_bytes(), 8).into(),
            _ => Ipv6Addr::UNSPECIFIED,
        }
    }

    fn advert_flag(&self, kind: u8, at: usize, flag: u8) -> bool {
        self.kind() == kind && get_u8(self.as_bytes(), at) & flag != 0
    }

    /// Neighbour advertisement: the sender is a router.
    pub fn is_router(&self) -> bool {
        self.advert_flag(NEIGHBOR_ADVERT, 4, FLAG_ROUTER)
    }

    /// Neighbour advertisement: it answers a solicitation.
    pub fn is_solicited(&self) -> bool {
        self.advert_flag(NEIGHBOR_ADVERT, 4, FLAG_SOLICITED)
    }

    /// Neighbour advertisement: it replaces what is known.
    pub fn is_override(&self) -> bool {
        self.advert_flag(NEIGHBOR_ADVERT, 4, FLAG_OVERRIDE)
    }

    /// Router advertisement: addresses come from DHCPv6.
    pub fn is_managed(&self) -> bool {
        self.advert_flag(ROUTER_ADVERT, 5, FLAG_MANAGED)
    }

    /// Router advertisement: seconds for which the sender is a default router; zero if it is none.
    pub fn router_lifetime(&self) -> u16 {
        if self.kind() == ROUTER_ADVERT {
            get_u16(self.as_bytes(), 6)
        } else {
            0
        }
    }

    /// The options, in their order. Ends early where a length is broken.
    pub fn options(&self) -> Options<'_> {
        let rest = options_offset(self.kind()).and_then(|at| self.as_bytes().get(at..));
        Options {
            rest: rest.unwrap_or_default(),
        }
    }

    /// The source link-layer address option.
    pub fn source_mac(&self) -> Option<Mac> {
        self.options().find_map(|option| {
            if let NdOption::Source(mac) = option {
                Some(mac)
            } else {
                None
            }
        })
    }

    /// The target link-layer address option.
    pub fn target_mac(&self) -> Option<Mac> {
        self.options().find_map(|option| {
            if let NdOption::Target(mac) = option {
                Some(mac)
            } else {
                None
            }
        })
    }
}

/// A prefix information option (RFC 4861 section 4.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixInfo {
    /// The prefix; always IPv6.
    pub prefix: IpPrefix,
    /// Its addresses are reached without a router.
    pub on_link: bool,
    /// Hosts may form addresses in it (SLAAC).
    pub autonomous: bool,
    /// Seconds for which it is on link.
    pub valid_lifetime: u32,
    /// Seconds for which addresses in it are preferred.
    pub preferred_lifetime: u32,
}

/// An option of a neighbour discovery message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NdOption<'a> {
    /// Link-layer address of the sender.
    Source(Mac),
    /// Link-layer address of the target.
    Target(Mac),
    /// A prefix of the link.
    Prefix(PrefixInfo),
    /// MTU of the link.
    Mtu(u32),
    /// Any other, or one of the above that is too short to be it.
    Other {
        /// Its type.
        kind: u8,
        /// All behind type and length.
        data: &'a [u8],
    },
}

/// The options of a message.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Options<'a> {
    type Item = NdOption<'a>;

    fn next(&mut self) -> Option<NdOption<'a>> {
        let [kind, units] = *self.rest.first_chunk::<2>()?;
        let len = usize::from(units) * 8;
        let option = self.rest.get(..len).filter(|option| !option.is_empty())?;
        self.rest = self.rest.get(len..).unwrap_or_default();
        Some(match kind {
            OPTION_SOURCE => NdOption::Source(Mac(get(option, 2))),
            OPTION_TARGET => NdOption::Target(Mac(get(option, 2))),
            OPTION_MTU => NdOption::Mtu(get_u32(option, 4)),
            OPTION_PREFIX => match prefix_info(option) {
                Some(info) => NdOption::Prefix(info),
                None => NdOption::Other {
                    kind,
                    data: option.get(2..).unwrap_or_default(),
                },
            },
            _ => NdOption::Other {
                kind,
                data: option.get(2..).unwrap_or_default(),
            },
        })
    }
}

/// Host bits of the prefix are to be ignored by the receiver (section 4.6.2).
fn prefix_info(option: &[u8]) -> Option<PrefixInfo> {
    let addr: [u8; 16] = *option.get(16..32)?.first_chunk()?;
    let prefix = IpPrefix::containing(Ipv6Addr::from(addr).into(), get_u8(option, 2)).ok()?;
    let flags = get_u8(option, 3);
    Some(PrefixInfo {
        prefix,
        on_link: flags & 0x80 != 0,
        autonomous: flags & 0x40 != 0,
        valid_lifetime: get_u32(option, 4),
        preferred_lifetime: get_u32(option, 8),
    })
}

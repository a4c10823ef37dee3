//! What packets need of the tables again and again, gathered in few cache lines: next hops with all that is behind them, and what the numbers of
//! tunnels mean.
//!
//! Each worker keeps its own, as far as it needs them. They are of one publication of the tables and forgotten with the next: nothing has to
//! be kept up to date. What is not here is not wrong, only longer: it goes the way of all packets.

use super::{
    forward::{ETHERNET, write_ethernet},
    rewrite,
};
use crate::{
    packet::{Frame, key::entropy_port},
    tables::{
        Tables,
        next_hop::{Action, LabelTarget, VniTarget},
        port::Role,
        slots::{NextHopSlot, PortSlot, VrfSlot},
    },
    wire::{
        Mac, ethertype,
        outer::{PerPacket, WIDE, WIDE_SHORT, Wide},
    },
};

/// Next hops that are kept: slots are dense, so that so many are no two in one place.
const HOPS: usize = 1024;

/// Numbers of tunnels that are kept.
const DOORS: usize = 256;

/// Bytes in front of a packet that are written at once with an Ethernet header.
const FRONT: usize = 16;

/// No publication has this number, nor any slot in one this name.
const NEVER: u64 = u64::MAX;

/// How a packet gets its outer headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The tables must be asked.
    Ask,
    /// An Ethernet header.
    Ethernet,
    /// Outer headers of up to [`WIDE_SHORT`] bytes.
    Short,
    /// Outer headers of up to [`WIDE`] bytes.
    Long,
}

/// A next hop, resolved: what is needed of it, of the port or tunnel that it leads to, and of what is behind these.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Hop {
    /// The slot, and above it the publication of the tables that this is of.
    name: u64,
    way: Way,
    /// Largest IP packet, bytes. 0 where the tables must be asked.
    mtu: u16,
    /// Bytes before the packet that are written to.
    room: u16,
    /// The port to send by.
    pub port: PortSlot,
    /// Ethernet headers of an IPv4 packet and of an IPv6 packet, each behind two bytes that mean nothing, so that they are written at once.
    ethernet: [[u8; FRONT]; 2],
    wide: Wide,
}

impl Hop {
    const NONE: Self = Self {
        name: NEVER,
        way: Way::Ask,
        mtu: 0,
        room: 0,
        port: PortSlot::MAX,
        ethernet: [[0; FRONT]; 2],
        wide: Wide::EMPTY,
    };

    fn resolve(tables: &Tables, slot: NextHopSlot) -> Self {
        let none = Self {
            name: name(tables, slot),
            ..Self::NONE
        };
        match tables.next_hop(slot).map(|n| &n.action) {
            Some(Action::Port(hop)) => {
                let Some(to) = tables.port(hop.port) else { return none };
                // The MAC that the workload knows as its gateway's.
                let source = match &to.role {
                    Role::Bridged { bridge } => tables.bridge(*bridge).map_or(Mac::GATEWAY, |b| b.gateway_mac),
                    _ => Mac::GATEWAY,
                };
                let ethernet = [ethertype::IPV4, ethertype::IPV6].map(|ethertype| {
                    let mut front = [0; FRONT];
                    write_ethernet(&mut front[2..], hop.mac.unwrap_or(to.mac), source, ethertype);
                    front
                });
                Self {
                    way: Way::Ethernet,
                    mtu: to.mtu,
                    room: FRONT as u16,
                    port: hop.port,
                    ethernet,
                    ..none
                }
            }
            Some(Action::Tunnel(hop)) => {
                let Some(path) = &hop.path else { return none };
                let Some(wide) = Wide::new(&path.routed) else {
                    return none;
                };
                let (way, room) = if wide.is_short() {
                    (Way::Short, WIDE_SHORT)
                } else {
                    (Way::Long, WIDE)
                };
                Self {
                    way,
                    mtu: path.mtu.min(u16::MAX - WIDE as u16),
                    room: room as u16,
                    port: path.port,
                    wide,
                    ..none
                }
            }
            _ => none,
        }
    }

    /// Counts the hop limit of an IP packet down. `false`, and nothing changes: it cannot go this way without another word, because it does not fit, may
    /// not travel on, or leaves no room for its outer headers.
    #[inline(always)]
    pub(super) fn takes(&self, frame: &mut Frame, v6: bool) -> bool {
        if frame.len() > usize::from(self.mtu) || frame.start() < self.room {
            return false;
        }
        frame
            .data_mut()
            .first_chunk_mut()
            .is_some_and(|ip| rewrite::travel_on(ip, v6))
    }

    /// Puts the outer headers in front of an IP packet that this hop [takes](Self::takes).
    #[inline(always)]
    pub(super) fn wrap(&self, frame: &mut Frame, v6: bool, hash: u64) {
        match self.way {
            Way::Ethernet => {
                if let Some(front) = frame.front::<FRONT>(ETHERNET) {
                    *front = self.ethernet[usize::from(v6)];
                }
            }
            Way::Short => self.encapsulate::<WIDE_SHORT>(frame, v6, hash),
            Way::Long => self.encapsulate::<WIDE>(frame, v6, hash),
            Way::Ask => {}
        }
    }

    #[inline(always)]
    fn encapsulate<const N: usize>(&self, frame: &mut Frame, v6: bool, hash: u64) {
        // Nobody looks for an open checksum within a tunnel.
        frame.complete();
        let inner_len = frame.len();
        let ip = frame.data();
        let fields = PerPacket {
            inner_len,
            entropy_port: entropy_port(hash),
            tos: rewrite::traffic_class(ip, v6),
            ttl: rewrite::hop_limit(ip, v6),
            ip_id: 0,
            inner_ethertype: if v6 { ethertype::IPV6 } else { ethertype::IPV4 },
        };
        if let Some(front) = frame.front::<N>(self.wide.len() as u16) {
            self.wide.apply(front, &fields);
        }
    }
}

/// Next hops of one worker.
#[derive(Debug)]
pub(super) struct Hops(Box<[Hop]>);

impl Hops {
    /// Room for them all.
    pub(super) fn new() -> Self {
        Self(vec![Hop::NONE; HOPS].into())
    }

    /// None, and no room for any: what stands in while they are used.
    pub(super) fn nowhere() -> Self {
        Self(Box::new([]))
    }

    /// A next hop as it is in these tables.
    #[inline(always)]
    pub(super) fn get(&mut self, tables: &Tables, slot: NextHopSlot) -> Option<&Hop> {
        let place = self.0.get_mut(slot.index() % HOPS)?;
        if place.name != name(tables, slot) {
            renew(place, tables, slot);
        }
        Some(place)
    }
}

/// A slot in these tables. (2^40 publications are never made.)
#[inline(always)]
fn name(tables: &Tables, slot: NextHopSlot) -> u64 {
    tables.publication << 24 | u64::from(slot.raw() & NextHopSlot::MAX.raw())
}

#[cold]
#[inline(never)]
fn renew(place: &mut Hop, tables: &Tables, slot: NextHopSlot) {
    *place = Hop::resolve(tables, slot);
}

/// What is behind a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inside {
    /// The tables must be asked.
    Ask,
    /// Routed in this VRF, by what stands in it or by the next hop.
    Vrf(VrfSlot, Option<NextHopSlot>),
}

/// The number of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// Of VXLAN.
    Vni(u32),
    /// Of MPLS.
    Label(u32),
}

#[derive(Clone, Copy, Debug)]
struct Door {
    publication: u64,
    number: Number,
    inside: Inside,
}

/// Numbers of tunnels, of one worker.
#[derive(Debug)]
pub(super) struct Doors(Box<[Door]>);

impl Default for Doors {
    fn default() -> Self {
        let none = Door {
            publication: NEVER,
            number: Number::Vni(0),
            inside: Inside::Ask,
        };
        Self(vec![none; DOORS].into())
    }
}

impl Doors {
    /// What is behind a number in these tables.
    #[inline(always)]
    pub(super) fn behind(&mut self, tables: &Tables, number: Number) -> Inside {
        let (Number::Vni(index) | Number::Label(index)) = number;
        let Some(place) = self.0.get_mut(index as usize % DOORS) else {
            return Inside::Ask;
        };
        if place.publication != tables.publication || place.number != number {
            *place = Door {
                publication: tables.publication,
                number,
                inside: look(tables, number),
            };
        }
        place.inside
    }
}

#[cold]
#[inline(never)]
fn look(tables: &Tables, number: Number) -> Inside {
    let found = match number {
        Number::Vni(vni) => match tables.vnis.get(&vni) {
            Some(VniTarget::Vrf(vrf)) => Some((*vrf, None)),
            _ => None,
        },
        Number::Label(label) => match tables.labels.get(&label) {
            Some(LabelTarget::Vrf(vrf)) => Some((*vrf, None)),
            Some(LabelTarget::NextHop(slot)) => {
                super::decapsulate::vrf_behind(tables, *slot).map(|vrf| (vrf, Some(*slot)))
            }
            None => None,
        },
    };
    found.map_or(Inside::Ask, |(vrf, via)| Inside::Vrf(vrf, via))
}

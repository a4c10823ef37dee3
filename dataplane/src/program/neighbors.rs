//! Neighbours of the underlay that packets in the clear are sent to: looked for when a packet misses one, forgotten when none
//! needs it any more.
//!
//! The routers that next hops name are looked for as long as a next hop does so. All others come and go with the packets, and are bounded
//! in number: a workload that scans a subnet keeps only as many questions open as are allowed, and those that nobody answers
//! are forgotten soon.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{
    service::underlay::{Resolved, Resolver},
    tables::{
        Tables,
        slots::PortSlot,
        underlay::{UnderlayNeighbor, UnderlayPath},
    },
    wire::Mac,
};

const SECOND: u64 = 1_000_000_000;

/// Most neighbours, beside the routers that next hops name.
const MOST: usize = 4096;

/// Most of these that have not answered (yet).
const MOST_UNANSWERED: usize = 1024;

/// How long a neighbour is kept after the last packet for it; seconds.
const KEEP: u32 = 120;

/// How long packets to a neighbour that does not answer are refused at once, before it is looked for anew; nanoseconds.
const KEEP_SILENT: u64 = 10 * SECOND;

/// How often it is looked which neighbours are not needed any more; nanoseconds.
const LOOK: u64 = SECOND;

#[derive(Debug)]
enum State {
    Asked,
    Reached { used: Arc<AtomicU32> },
    Silent { since: u64 },
}

#[derive(Debug)]
struct Known {
    /// Next hops that name it.
    next_hops: usize,
    /// Packets want it, too: it is wanted once for all of them.
    packets: bool,
    state: State,
}

/// What is looked for.
#[derive(Debug, Default)]
pub(super) struct Neighbors {
    known: HashMap<IpAddr, Known>,
    next_look: u64,
}

impl Neighbors {
    /// A next hop names this router.
    pub(super) fn add_gateway(&mut self, resolver: &mut Resolver, gateway: IpAddr, now: u64) {
        self.entry(gateway).next_hops += 1;
        resolver.want_neighbor(gateway, now);
    }

    /// A next hop names this router no more.
    pub(super) fn remove_gateway(&mut self, resolver: &mut Resolver, tables: &mut Tables, gateway: IpAddr) {
        let Some(known) = self.known.get_mut(&gateway).filter(|known| known.next_hops > 0) else {
            return;
        };
        known.next_hops -= 1;
        resolver.unwant_neighbor(gateway);
        if known.next_hops == 0 && !known.packets {
            self.known.remove(&gateway);
            tables.underlay_neighbors.remove(&gateway);
        }
    }

    /// A packet was to be sent to this neighbour. Gives whether it is looked for now.
    pub(super) fn miss(&mut self, resolver: &mut Resolver, neighbor: IpAddr, now: u64) -> bool {
        if self.known.contains_key(&neighbor) {
            return true;
        }
        let for_packets = self.known.values().filter(|known| known.next_hops == 0);
        let (mut all, mut unanswered) = (0, 0);
        for known in for_packets {
            all += 1;
            unanswered += usize::from(!matches!(known.state, State::Reached { .. }));
        }
        if all >= MOST || unanswered >= MOST_UNANSWERED {
            return false;
        }
        self.entry(neighbor).packets = true;
        resolver.want_neighbor(neighbor, now);
        true
    }

    /// A station that is about to send packets to an address of ours, and will want answers.
    pub(super) fn meet(&mut self, resolver: &mut Resolver, port: u16, neighbor: IpAddr, mac: Mac, now: u64) {
        if self.miss(resolver, neighbor, now) {
            resolver.meet(port, neighbor, mac, now);
        }
    }

    /// A neighbour is reached so. Gives whether tables changed.
    pub(super) fn reached(&mut self, tables: &mut Tables, found: &Resolved, now: u64) -> bool {
        let Some(known) = self.known.get_mut(&found.remote) else {
            return false;
        };
        let port = PortSlot::from_raw(found.port);
        let Some(mtu) = tables.port(port).map(|port| port.mtu) else {
            return false;
        };
        let used = match &known.state {
            State::Reached { used } => used.clone(),
            State::Asked | State::Silent { .. } => Arc::new(AtomicU32::new(seconds(now))),
        };
        let path = UnderlayPath {
            port,
            mac: found.destination_mac,
            source_mac: found.source_mac,
            mtu,
            used: used.clone(),
        };
        known.state = State::Reached { used };
        tables
            .underlay_neighbors
            .insert(found.remote, UnderlayNeighbor::Reached(path));
        true
    }

    /// A neighbour does not answer. Gives whether tables changed.
    pub(super) fn silent(&mut self, tables: &mut Tables, neighbor: IpAddr, now: u64) -> bool {
        let Some(known) = self.known.get_mut(&neighbor) else {
            return false;
        };
        known.state = State::Silent { since: now };
        tables.underlay_neighbors.insert(neighbor, UnderlayNeighbor::Silent);
        true
    }

    /// These addresses have become this node's own: no neighbour has them.
    pub(super) fn forget(&mut self, resolver: &mut Resolver, tables: &mut Tables, addresses: &[IpAddr]) {
        for address in addresses {
            self.forget_one(resolver, tables, *address);
        }
    }

    /// Forgets what is not needed any more. Gives whether tables changed.
    pub(super) fn look(&mut self, resolver: &mut Resolver, tables: &mut Tables, now: u64) -> bool {
        if now < self.next_look {
            return false;
        }
        self.next_look = now + LOOK;
        let unneeded = |known: &Known| match &known.state {
            State::Asked => false,
            State::Reached { used } => seconds(now).saturating_sub(used.load(Ordering::Relaxed)) > KEEP,
            State::Silent { since } => now.saturating_sub(*since) > KEEP_SILENT,
        };
        let old = self.known.iter().filter(|(_, known)| known.packets && unneeded(known));
        let old: Vec<IpAddr> = old.map(|(address, _)| *address).collect();
        for address in &old {
            self.forget_one(resolver, tables, *address);
        }
        !old.is_empty()
    }

    /// When [`look`](Self::look) has something to do; nanoseconds.
    pub(super) fn deadline(&self) -> Option<u64> {
        (!self.known.is_empty()).then_some(self.next_look)
    }

    fn entry(&mut self, neighbor: IpAddr) -> &mut Known {
        self.known.entry(neighbor).or_insert(Known {
            next_hops: 0,
            packets: false,
            state: State::Asked,
        })
    }

    /// Packets do not want it any more.
    fn forget_one(&mut self, resolver: &mut Resolver, tables: &mut Tables, neighbor: IpAddr) {
        let Some(known) = self.known.get_mut(&neighbor).filter(|known| known.packets) else {
            return;
        };
        known.packets = false;
        resolver.unwant_neighbor(neighbor);
        if known.next_hops == 0 {
            self.known.remove(&neighbor);
            tables.underlay_neighbors.remove(&neighbor);
        }
    }
}

/// As workers count them: see [`UnderlayPath::used`].
fn seconds(now: u64) -> u32 {
    (now / SECOND) as u32
}

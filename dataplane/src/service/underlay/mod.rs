//! Which MAC, on which uplink, carries packets to a remote tunnel endpoint, or in the clear to a neighbour.
//!
//! [`Resolver`] is a state machine without I/O or clock: it is told of wanted remotes, of ARP and neighbour discovery frames
//! seen on uplinks and of the time, and says what to send and what it has found. It runs off the workers and may allocate.

mod neighbor;
mod owned;
mod route;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
};

use neighbor::{Ask, Heard, Neighbor, SLOW_INTERVAL};
use owned::Owned;
use route::Route;
pub use route::Uplink;

use super::{
    arp::{self, Operation},
    nd::{self, Message},
};
use crate::wire::{Mac, ethertype};

/// How packets to a remote leave the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The remote tunnel endpoint; for packets in the clear, the neighbour.
    pub remote: IpAddr,
    /// Port of the uplink.
    pub port: u16,
    /// Outer source address. Without meaning for packets in the clear.
    pub source: IpAddr,
    /// Destination MAC.
    pub destination_mac: Mac,
    /// Source MAC: the uplink's.
    pub source_mac: Mac,
    /// The neighbour with the destination MAC: the remote itself or a gateway.
    pub via: IpAddr,
}

/// What the resolver wants done or has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this frame.
    Send {
        /// Port of the uplink.
        port: u16,
        /// The frame, from its Ethernet header on.
        frame: Vec<u8>,
    },
    /// A remote is reached so; replaces what was told of it before.
    Resolved(Resolved),
    /// A remote cannot be reached now; replaces what was told of it before. It is still looked for.
    Unresolved {
        /// The remote tunnel endpoint.
        remote: IpAddr,
        /// Why, for people.
        why: String,
    },
    /// A neighbour is reached so by packets in the clear; replaces what was told of it before.
    Reached(Resolved),
    /// A neighbour does not answer; replaces what was told of it before. It is still looked for.
    Silent {
        /// The neighbour.
        neighbor: IpAddr,
        /// Why, for people.
        why: String,
    },
    /// A station has asked for an address of ours alone: it is about to send packets to it, and will want answers. See
    /// [`Resolver::meet`].
    Met {
        /// Port of the uplink.
        port: u16,
        /// Its address.
        neighbor: IpAddr,
        /// Its MAC.
        mac: Mac,
    },
}

/// What a remote is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    /// Tunnels to it, over gateways where it is not on the link.
    Tunnel,
    /// Packets in the clear to it, a neighbour.
    Clear,
}

/// What is looked for.
type Target = (Purpose, IpAddr);

/// A neighbour, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighborInfo {
    /// Its address.
    pub address: IpAddr,
    /// Its MAC, if known.
    pub mac: Option<Mac>,
    /// `incomplete`, `reachable`, `probe` (being confirmed), `search` (the known MAC does not answer) or `failed`.
    pub state: &'static str,
    /// Name of the uplink.
    pub interface: String,
    /// Port of the uplink.
    pub port: u16,
    /// Remotes that are or could be reached by it.
    pub remotes: usize,
}

/// A neighbour's place: index of the uplink, and address.
type Place = (usize, IpAddr);

#[derive(Debug)]
struct Entry {
    neighbor: Neighbor,
    users: BTreeSet<Target>,
}

#[derive(Debug)]
struct Remote {
    wanted: usize,
    routes: Vec<Route>,
    told: Option<Result<Resolved, String>>,
}

/// Finds and watches the neighbours by which wanted remotes are reached.
#[derive(Debug)]
pub struct Resolver {
    uplinks: Vec<Uplink>,
    remotes: BTreeMap<Target, Remote>,
    neighbors: BTreeMap<Place, Entry>,
    owned: Owned,
    actions: Vec<Action>,
}

impl Resolver {
    /// A resolver of a node with these uplinks.
    pub fn new(uplinks: Vec<Uplink>) -> Self {
        Self {
            uplinks,
            remotes: BTreeMap::new(),
            neighbors: BTreeMap::new(),
            owned: Owned::default(),
            actions: Vec::new(),
        }
    }

    /// Starts looking for a remote. Counted: wanted twice, it must be given up twice. What is already told of a remote is
    /// not told again (see [`lookup`](Self::lookup)).
    pub fn want(&mut self, remote: IpAddr, now: u64) {
        self.look_for((Purpose::Tunnel, remote), now);
    }

    /// As [`want`](Self::want), of a neighbour that is to get packets in the clear: on the link of any uplink, whatever the uplink's
    /// own addresses are.
    pub fn want_neighbor(&mut self, neighbor: IpAddr, now: u64) {
        self.look_for((Purpose::Clear, neighbor), now);
    }

    fn look_for(&mut self, target: Target, now: u64) {
        if let Some(known) = self.remotes.get_mut(&target) {
            known.wanted += 1;
            return;
        }
        let (purpose, remote) = target;
        let routes = match purpose {
            Purpose::Tunnel => route::routes(&self.uplinks, remote),
            Purpose::Clear if self.owned.contains(remote) => Err(format!(
                "{remote} is an address of this node: there is no neighbor of that address"
            )),
            Purpose::Clear => route::links(&self.uplinks, remote),
        };
        let (routes, told) = match routes {
            Ok(routes) => (routes, None),
            Err(why) => {
                self.actions.push(news(target, &Err(why.clone())));
                (Vec::new(), Some(Err(why)))
            }
        };
        for route in &routes {
            let place = (route.uplink, route.via);
            let entry = self.neighbors.entry(place).or_insert_with(|| Entry {
                neighbor: Neighbor::new(seed(place), now),
                users: BTreeSet::new(),
            });
            entry.users.insert(target);
        }
        let places: Vec<Place> = routes.iter().map(|route| (route.uplink, route.via)).collect();
        let wanted = 1;
        self.remotes.insert(target, Remote { wanted, routes, told });
        self.settle(target);
        for place in places {
            self.poll(place, now);
        }
    }

    /// Gives a remote up, once for each time it was wanted; at the last it is forgotten. Unknown ones are passed over.
    pub fn unwant(&mut self, remote: IpAddr) {
        self.give_up((Purpose::Tunnel, remote));
    }

    /// As [`unwant`](Self::unwant), of a neighbour.
    pub fn unwant_neighbor(&mut self, neighbor: IpAddr) {
        self.give_up((Purpose::Clear, neighbor));
    }

    fn give_up(&mut self, target: Target) {
        let Some(known) = self.remotes.get_mut(&target) else {
            return;
        };
        known.wanted -= 1;
        if known.wanted > 0 {
            return;
        }
        let routes = std::mem::take(&mut known.routes);
        self.remotes.remove(&target);
        for route in routes {
            let place = (route.uplink, route.via);
            if let Some(entry) = self.neighbors.get_mut(&place) {
                entry.users.remove(&target);
                if entry.users.is_empty() {
                    self.neighbors.remove(&place);
                }
            }
        }
        self.actions.retain(|action| match action {
            Action::Send { .. } | Action::Met { .. } => true,
            Action::Resolved(resolved) => (Purpose::Tunnel, resolved.remote) != target,
            Action::Unresolved { remote, .. } => (Purpose::Tunnel, *remote) != target,
            Action::Reached(resolved) => (Purpose::Clear, resolved.remote) != target,
            Action::Silent { neighbor, .. } => (Purpose::Clear, *neighbor) != target,
        });
    }

    /// What is known of a remote: the way to it or why there is none. `None` when it is not wanted or still being asked for.
    pub fn lookup(&self, remote: IpAddr) -> Option<&Result<Resolved, String>> {
        self.remotes.get(&(Purpose::Tunnel, remote))?.told.as_ref()
    }

    /// Adds some addresses that are this node's alone, on all uplinks, and takes others away: the resolver answers for them, asks from
    /// them, and announces the new ones, some at a time.
    pub fn own(&mut self, added: &[IpAddr], removed: &[IpAddr], now: u64) {
        self.owned.change(added, removed, now);
        self.actions.extend(self.owned.announce(&self.uplinks, now));
    }

    /// Believes what a neighbour that is looked for has said of itself, until it has been asked: see [`Action::Met`].
    pub fn meet(&mut self, port: u16, neighbor: IpAddr, mac: Mac, now: u64) {
        let Some(uplink) = self.uplinks.iter().position(|uplink| uplink.port == port) else {
            return;
        };
        let heard = Heard {
            mac: Some(mac),
            solicited: false,
            override_known: true,
        };
        self.hear((uplink, neighbor), heard, now);
    }

    /// Tells all stations of our tunnel addresses. Only where the resolver answers for them.
    pub fn announce(&mut self) {
        for uplink in self.uplinks.iter().filter(|uplink| uplink.answer) {
            let own = uplink.addresses.iter();
            let actions = own.filter_map(|(address, _)| words::announcement(uplink, *address));
            self.actions.extend(actions);
        }
    }

    /// Takes note of a frame seen on an uplink, and answers it if it asks for an address of ours. Only untagged ARP and
    /// neighbour discovery matter; all else, and what is malformed or cut short, is passed over.
    pub fn on_frame(&mut self, port: u16, frame: &[u8], now: u64) {
        let Some(uplink) = self.uplinks.iter().position(|uplink| uplink.port == port) else {
            return;
        };
        let kind = frame
            .get(12..14)
            .and_then(|kind| kind.first_chunk().copied())
            .map(u16::from_be_bytes);
        match kind {
            Some(ethertype::ARP) => self.on_arp(uplink, frame, now),
            Some(ethertype::IPV6) => self.on_nd(uplink, frame, now),
            _ => {}
        }
    }

    fn on_arp(&mut self, index: usize, frame: &[u8], now: u64) {
        let Some(uplink) = self.uplinks.get(index) else { return };
        let Ok(arp) = arp::parse(frame) else { return };
        if arp.sender_mac == uplink.mac || self.is_ours(uplink, arp.sender_ip.into()) {
            // Our own words, or somebody with our address.
            return;
        }
        let to_us = self.is_ours(uplink, arp.target_ip.into());
        let mac = uplink.mac;
        if arp.operation == Operation::Request && self.answers(uplink, arp.target_ip.into()) {
            let frame = arp.answer(mac).to_frame(arp.sender_mac).to_vec();
            let port = uplink.port;
            self.actions.push(Action::Send { port, frame });
            if !arp.is_probe() && self.owned.contains(arp.target_ip.into()) {
                let (neighbor, mac) = (arp.sender_ip.into(), arp.sender_mac);
                self.actions.push(Action::Met { port, neighbor, mac });
            }
        }
        let heard = Heard {
            mac: Some(arp.sender_mac),
            solicited: arp.operation == Operation::Reply && to_us && arp.target_mac == mac,
            override_known: true,
        };
        self.hear((index, arp.sender_ip.into()), heard, now);
    }

    fn on_nd(&mut self, index: usize, frame: &[u8], now: u64) {
        let Some(uplink) = self.uplinks.get(index) else { return };
        let Ok(nd) = nd::parse(frame) else { return };
        if nd.ethernet_source == uplink.mac || self.is_ours(uplink, nd.source.into()) {
            return;
        }
        let unasked = |mac| Heard {
            mac,
            solicited: false,
            override_known: true,
        };
        let (address, heard) = match nd.message {
            Message::NeighborSolicitation { target, source_mac } => {
                if self.answers(uplink, target.into())
                    && let Ok(frame) = nd::neighbor_advertisement_frame(&nd, uplink.mac, false)
                {
                    let (port, frame) = (uplink.port, frame.to_vec());
                    self.actions.push(Action::Send { port, frame });
                    if let Some(mac) = source_mac.filter(|_| self.owned.contains(target.into())) {
                        let neighbor = nd.source.into();
                        self.actions.push(Action::Met { port, neighbor, mac });
                    }
                }
                (nd.source, unasked(source_mac))
            }
            Message::RouterSolicitation { source_mac } => (nd.source, unasked(source_mac)),
            Message::NeighborAdvertisement {
                target,
                target_mac,
                solicited,
                override_known,
                ..
            } => {
                let heard = Heard {
                    mac: target_mac,
                    solicited: solicited && self.is_ours(uplink, nd.destination.into()),
                    override_known,
                };
                (target, heard)
            }
        };
        self.hear((index, address.into()), heard, now);
    }

    /// The address is one of this node on this uplink.
    fn is_ours(&self, uplink: &Uplink, address: IpAddr) -> bool {
        uplink.owns(address) || self.owned.contains(address)
    }

    /// Who asks for the address on this uplink gets an answer from us.
    fn answers(&self, uplink: &Uplink, address: IpAddr) -> bool {
        self.owned.contains(address) || (uplink.answer && uplink.owns(address))
    }

    /// Tells a neighbour, if it is a known one, and its remotes what was heard.
    fn hear(&mut self, place: Place, heard: Heard, now: u64) {
        let Some(entry) = self.neighbors.get_mut(&place) else {
            return;
        };
        let before = entry.neighbor.mac();
        entry.neighbor.hear(heard, now);
        if entry.neighbor.mac() != before {
            self.settle_users(place);
        }
        // What nobody asked for is confirmed at once.
        self.poll(place, now);
    }

    /// Does all that is due at `now` (nanoseconds, never going back).
    pub fn tick(&mut self, now: u64) {
        let due = |(place, entry): (&Place, &Entry)| (entry.neighbor.deadline() <= now).then_some(*place);
        let due: Vec<Place> = self.neighbors.iter().filter_map(due).collect();
        for place in due {
            self.poll(place, now);
        }
        self.actions.extend(self.owned.announce(&self.uplinks, now));
    }

    /// When [`tick`](Self::tick) has something to do next; nanoseconds. `None`: not before a frame or a remote comes.
    pub fn next_deadline(&self) -> Option<u64> {
        let neighbors = self.neighbors.values().map(|entry| entry.neighbor.deadline());
        neighbors.chain(self.owned.deadline()).min()
    }

    /// What is to be done and told since the last call, in order.
    pub fn drain(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// All neighbours looked for, by uplink and address.
    pub fn neighbors(&self) -> Vec<NeighborInfo> {
        let info = |((index, address), entry): (&Place, &Entry)| {
            let uplink = self.uplinks.get(*index)?;
            Some(NeighborInfo {
                address: *address,
                mac: entry.neighbor.mac(),
                state: entry.neighbor.state_text(),
                interface: uplink.name.clone(),
                port: uplink.port,
                remotes: entry.users.len(),
            })
        };
        self.neighbors.iter().filter_map(info).collect()
    }

    /// Does what is due for one neighbour.
    fn poll(&mut self, place: Place, now: u64) {
        let Some(entry) = self.neighbors.get_mut(&place) else {
            return;
        };
        let failed = entry.neighbor.has_failed();
        // A neighbour that tunnels need is asked from a tunnel endpoint, if there is one for its family.
        let tunnels = entry.users.iter().any(|(purpose, _)| *purpose == Purpose::Tunnel);
        let known = match entry.neighbor.poll(now) {
            Ask::Nobody => None,
            Ask::All => Some(None),
            Ask::Station(mac) => Some(Some(mac)),
        };
        if entry.neighbor.has_failed() && !failed {
            self.settle_users(place);
        }
        if let Some(known) = known {
            let (index, neighbor) = place;
            let owned = self.owned.nearest(neighbor).filter(|_| !tunnels);
            let action = self.uplinks.get(index).and_then(|uplink| {
                let from = uplink.asks_from(neighbor, owned)?;
                words::question(uplink, from, neighbor, known)
            });
            self.actions.extend(action);
        }
    }

    fn settle_users(&mut self, place: Place) {
        let users = self
            .neighbors
            .get(&place)
            .map(|entry| entry.users.clone())
            .unwrap_or_default();
        for target in users {
            self.settle(target);
        }
    }

    /// Finds the best way to a remote and tells it if it is another than before.
    fn settle(&mut self, target: Target) {
        let Some(known) = self.remotes.get(&target) else { return };
        let Some(outcome) = self.outcome(target.1, &known.routes) else {
            return;
        };
        if known.told.as_ref() == Some(&outcome) {
            return;
        }
        self.actions.push(news(target, &outcome));
        if let Some(known) = self.remotes.get_mut(&target) {
            known.told = Some(outcome);
        }
    }

    /// The first route with a known neighbour, or why there is none. `None` while some are still being asked for.
    fn outcome(&self, remote: IpAddr, routes: &[Route]) -> Option<Result<Resolved, String>> {
        let mut why = Vec::new();
        for route in routes {
            let uplink = self.uplinks.get(route.uplink)?;
            let neighbor = &self.neighbors.get(&(route.uplink, route.via))?.neighbor;
            if let Some(destination_mac) = neighbor.mac() {
                return Some(Ok(Resolved {
                    remote,
                    port: uplink.port,
                    source: route.source,
                    destination_mac,
                    source_mac: uplink.mac,
                    via: route.via,
                }));
            }
            if neighbor.has_failed() {
                let who = if route.via == remote { "" } else { "gateway " };
                let was = neighbor
                    .lost()
                    .map(|mac| format!(" (it was at {mac})"))
                    .unwrap_or_default();
                why.push(format!("{who}{} does not answer on {}{was}", route.via, uplink.name));
            }
        }
        let all_failed = !why.is_empty() && why.len() == routes.len();
        let interval = SLOW_INTERVAL / 1_000_000_000;
        all_failed.then(|| Err(format!("{}; asking again every {interval} s", why.join(", "))))
    }
}

/// What is told of a target.
fn news((purpose, remote): Target, outcome: &Result<Resolved, String>) -> Action {
    match (purpose, outcome) {
        (Purpose::Tunnel, Ok(resolved)) => Action::Resolved(*resolved),
        (Purpose::Clear, Ok(resolved)) => Action::Reached(*resolved),
        (Purpose::Tunnel, Err(why)) => Action::Unresolved {
            remote,
            why: why.clone(),
        },
        (Purpose::Clear, Err(why)) => Action::Silent {
            neighbor: remote,
            why: why.clone(),
        },
    }
}

/// A number of a place, to spread the times of confirmation.
fn seed(place: Place) -> u64 {
    let mut hasher = DefaultHasher::new();
    place.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod clear_tests;
#[cfg(test)]
mod tests;

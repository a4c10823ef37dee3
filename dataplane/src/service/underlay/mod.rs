//! Which MAC, on which uplink, carries packets to a remote tunnel endpoint.
//!
//! [`Resolver`] is a state machine without I/O or clock: it is told of wanted remotes, of ARP and neighbour discovery frames
//! seen on uplinks and of the time, and says what to send and what it has found. It runs off the workers and may allocate.

mod neighbor;
mod route;

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use neighbor::{Ask, Heard, Neighbor, SLOW_INTERVAL};
use route::Route;
pub use route::Uplink;

use super::{
    arp::{self, Arp, Operation},
    nd::{self, Message, Nd, Station},
};
use crate::wire::{Mac, ethertype};

/// How packets to a remote leave the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The remote tunnel endpoint.
    pub remote: IpAddr,
    /// Port of the uplink.
    pub port: u16,
    /// Outer source address.
    pub source: IpAddr,
    /// Outer destination MAC.
    pub destination_mac: Mac,
    /// Outer source MAC: the uplink's.
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
}

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
    users: BTreeSet<IpAddr>,
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
    remotes: BTreeMap<IpAddr, Remote>,
    neighbors: BTreeMap<Place, Entry>,
    actions: Vec<Action>,
}

impl Resolver {
    /// A resolver of a node with these uplinks.
    pub fn new(uplinks: Vec<Uplink>) -> Self {
        Self {
            uplinks,
            remotes: BTreeMap::new(),
            neighbors: BTreeMap::new(),
            actions: Vec::new(),
        }
    }

    /// Starts looking for a remote. Counted: wanted twice, it must be given up twice. What is already told of a remote is
    /// not told again (see [`lookup`](Self::lookup)).
    pub fn want(&mut self, remote: IpAddr, now: u64) {
        if let Some(known) = self.remotes.get_mut(&remote) {
            known.wanted += 1;
            return;
        }
        let (routes, told) = match route::routes(&self.uplinks, remote) {
            Ok(routes) => (routes, None),
            Err(why) => {
                let action = Action::Unresolved {
                    remote,
                    why: why.clone(),
                };
                self.actions.push(action);
                (Vec::new(), Some(Err(why)))
            }
        };
        for route in &routes {
            let place = (route.uplink, route.via);
            let entry = self.neighbors.entry(place).or_insert_with(|| Entry {
                neighbor: Neighbor::new(seed(place), now),
                users: BTreeSet::new(),
            });
            entry.users.insert(remote);
        }
        let places: Vec<Place> = routes.iter().map(|route| (route.uplink, route.via)).collect();
        let wanted = 1;
        self.remotes.insert(remote, Remote { wanted, routes, told });
        self.settle(remote);
        for place in places {
            self.poll(place, now);
        }
    }

    /// Gives a remote up, once for each time it was wanted; at the last it is forgotten. Unknown ones are passed over.
    pub fn unwant(&mut self, remote: IpAddr) {
        let Some(known) = self.remotes.get_mut(&remote) else {
            return;
        };
        known.wanted -= 1;
        if known.wanted > 0 {
            return;
        }
        let routes = std::mem::take(&mut known.routes);
        self.remotes.remove(&remote);
        for route in routes {
            let place = (route.uplink, route.via);
            if let Some(entry) = self.neighbors.get_mut(&place) {
                entry.users.remove(&remote);
                if entry.users.is_empty() {
                    self.neighbors.remove(&place);
                }
            }
        }
        self.actions.retain(|action| match action {
            Action::Send { .. } => true,
            Action::Resolved(resolved) => resolved.remote != remote,
            Action::Unresolved { remote: other, .. } => *other != remote,
        });
    }

    /// What is known of a remote: the way to it or why there is none. `None` when it is not wanted or still being asked for.
    pub fn lookup(&self, remote: IpAddr) -> Option<&Result<Resolved, String>> {
        self.remotes.get(&remote)?.told.as_ref()
    }

    /// Tells all stations of our addresses, so that none keeps a MAC that they had before: gratuitous ARP (RFC 5227, section
    /// 3) and unsolicited neighbour advertisements (RFC 4861, section 7.2.6). Only where the resolver answers for them.
    pub fn announce(&mut self) {
        for uplink in self.uplinks.iter().filter(|uplink| uplink.answer) {
            for (address, _) in &uplink.addresses {
                let frame = match *address {
                    IpAddr::V4(own) => Some(arp_question(uplink.mac, own, own).to_frame(Mac::BROADCAST).to_vec()),
                    IpAddr::V6(target) => {
                        // What would answer a question from nowhere.
                        let question = Nd {
                            source: Ipv6Addr::UNSPECIFIED,
                            destination: nd::solicited_node(target),
                            ethernet_source: uplink.mac,
                            message: Message::NeighborSolicitation {
                                target,
                                source_mac: None,
                            },
                        };
                        let frame = nd::neighbor_advertisement_frame(&question, uplink.mac, false);
                        frame.ok().map(|frame| frame.to_vec())
                    }
                };
                let port = uplink.port;
                self.actions.extend(frame.map(|frame| Action::Send { port, frame }));
            }
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
        if arp.sender_mac == uplink.mac || uplink.owns(arp.sender_ip.into()) {
            // Our own words, or somebody with our address.
            return;
        }
        let to_us = uplink.owns(arp.target_ip.into());
        if arp.operation == Operation::Request && to_us && uplink.answer {
            let frame = arp.answer(uplink.mac).to_frame(arp.sender_mac).to_vec();
            let port = uplink.port;
            self.actions.push(Action::Send { port, frame });
        }
        let heard = Heard {
            mac: Some(arp.sender_mac),
            solicited: arp.operation == Operation::Reply && to_us && arp.target_mac == uplink.mac,
            override_known: true,
        };
        self.hear((index, arp.sender_ip.into()), heard, now);
    }

    fn on_nd(&mut self, index: usize, frame: &[u8], now: u64) {
        let Some(uplink) = self.uplinks.get(index) else { return };
        let Ok(nd) = nd::parse(frame) else { return };
        if nd.ethernet_source == uplink.mac || uplink.owns(nd.source.into()) {
            return;
        }
        let unasked = |mac| Heard {
            mac,
            solicited: false,
            override_known: true,
        };
        let (address, heard) = match nd.message {
            Message::NeighborSolicitation { target, source_mac } => {
                if uplink.answer
                    && uplink.owns(target.into())
                    && let Ok(frame) = nd::neighbor_advertisement_frame(&nd, uplink.mac, false)
                {
                    let (port, frame) = (uplink.port, frame.to_vec());
                    self.actions.push(Action::Send { port, frame });
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
                    solicited: solicited && uplink.owns(nd.destination.into()),
                    override_known,
                };
                (target, heard)
            }
        };
        self.hear((index, address.into()), heard, now);
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
    }

    /// When [`tick`](Self::tick) has something to do next; nanoseconds. `None`: not before a frame or a remote comes.
    pub fn next_deadline(&self) -> Option<u64> {
        self.neighbors.values().map(|entry| entry.neighbor.deadline()).min()
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
        let known = match entry.neighbor.poll(now) {
            Ask::Nobody => None,
            Ask::All => Some(None),
            Ask::Station(mac) => Some(Some(mac)),
        };
        if entry.neighbor.has_failed() && !failed {
            self.settle_users(place);
        }
        if let Some(known) = known {
            let action = self
                .uplinks
                .get(place.0)
                .and_then(|uplink| question(uplink, place.1, known));
            self.actions.extend(action);
        }
    }

    fn settle_users(&mut self, place: Place) {
        let users = self
            .neighbors
            .get(&place)
            .map(|entry| entry.users.clone())
            .unwrap_or_default();
        for remote in users {
            self.settle(remote);
        }
    }

    /// Finds the best way to a remote and tells it if it is another than before.
    fn settle(&mut self, remote: IpAddr) {
        let Some(known) = self.remotes.get(&remote) else { return };
        let Some(outcome) = self.outcome(remote, &known.routes) else {
            return;
        };
        if known.told.as_ref() == Some(&outcome) {
            return;
        }
        self.actions.push(match &outcome {
            Ok(resolved) => Action::Resolved(*resolved),
            Err(why) => Action::Unresolved {
                remote,
                why: why.clone(),
            },
        });
        if let Some(known) = self.remotes.get_mut(&remote) {
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

/// The question for a neighbour's MAC: to all, or to the station known so far.
fn question(uplink: &Uplink, neighbor: IpAddr, known: Option<Mac>) -> Option<Action> {
    let frame = match (uplink.asks_from(neighbor)?, neighbor) {
        (IpAddr::V4(own), IpAddr::V4(target)) => {
            let to = known.unwrap_or(Mac::BROADCAST);
            arp_question(uplink.mac, own, target).to_frame(to).to_vec()
        }
        (IpAddr::V6(address), IpAddr::V6(target)) => {
            let from = Station {
                address,
                mac: uplink.mac,
            };
            nd::neighbor_solicitation(from, target, known).to_vec()
        }
        _ => return None,
    };
    let port = uplink.port;
    Some(Action::Send { port, frame })
}

/// Who has `target_ip`?
fn arp_question(sender_mac: Mac, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Arp {
    Arp {
        operation: Operation::Request,
        sender_mac,
        sender_ip,
        target_mac: Mac::ZERO,
        target_ip,
    }
}

/// A number of a place, to spread the times of confirmation.
fn seed(place: Place) -> u64 {
    let mut hasher = DefaultHasher::new();
    place.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;

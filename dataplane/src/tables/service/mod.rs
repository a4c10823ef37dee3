//! Addresses and ports behind which there are others: services, floating addresses, forwarded ports.
//!
//! A service chooses a backend for the first packet of a flow. What is done with the packet then, and that the flow stays where it is, is the
//! pipeline's business; whether a backend is well was decided before it was programmed.

mod clients;
mod maglev;
#[cfg(test)]
#[cfg(not(vrouter_loom))]
mod tests;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use self::clients::Clients;
pub use self::{
    clients::CLIENTS,
    maglev::{Maglev, Member, SLOTS},
};
use super::{Tables, slots::VrfSlot};
use crate::packet::FlowKey;

/// Flows are spread by a hash with this seed, on all nodes the same, so that all send a flow to the same backend.
const SEED: u64 = 0x2545_f491_4f6c_dd1d;

/// Most backends of a service.
pub const MAX_BACKENDS: usize = 4096;

/// What a packet must be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServiceKey {
    /// In this VRF.
    pub vrf: VrfSlot,
    /// To this address.
    pub address: IpAddr,
    /// With this IP protocol; 0: any.
    pub protocol: u8,
    /// To this port; 0 where the protocol is 0.
    pub port: u16,
}

/// One of those behind a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its address.
    pub address: IpAddr,
    /// Its port; 0: as the client said.
    pub port: u16,
    /// VRF that its address is looked up in.
    pub vrf: VrfSlot,
    /// Its share. 0 counts as 1.
    pub weight: u8,
    /// It keeps its flows and gets no new ones.
    pub draining: bool,
    /// Name for people.
    pub name: Arc<str>,
}

impl Backend {
    fn is(&self, address: IpAddr, port: u16) -> bool {
        self.address == address && self.port == port
    }
}

/// What a [`Service`] is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceParts {
    /// The client's identifier.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// Its slot.
    pub slot: u16,
    /// Where it is.
    pub key: ServiceKey,
    /// Those behind it, at most [`MAX_BACKENDS`], no two with the same address and port.
    pub backends: Arc<[Backend]>,
    /// A client address keeps its backend.
    pub client_affinity: bool,
    /// Seconds that a client address is remembered beyond its last flow. 0: it is not.
    pub affinity_seconds: u32,
}

/// An address and port with others behind.
#[derive(Debug)]
pub struct Service {
    /// The client's identifier.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// Its slot, as flows know it.
    pub slot: u16,
    /// Where it is.
    pub key: ServiceKey,
    /// Those behind it.
    pub backends: Arc<[Backend]>,
    /// Who gets which flow, where there is a choice: of those that are not draining.
    pub maglev: Option<Arc<Maglev>>,
    /// A client address keeps its backend.
    pub client_affinity: bool,
    /// Seconds that clients are remembered.
    pub affinity_seconds: u32,
    /// The only backend that gets new flows.
    only: Option<u16>,
    /// What each backend was called when it came, as long as the service lives. Clients are remembered by it.
    numbers: Box<[u16]>,
    next_number: u16,
    /// Flows begun on each backend.
    flows: Box<[Arc<AtomicU64>]>,
    clients: Option<Arc<Clients>>,
}

impl Service {
    /// A service, and what it keeps of the one it replaces: counters of the backends that stay, clients remembered, and, if nothing about it
    /// changes, the table of flows. Fills a table otherwise, which takes a few milliseconds: not for workers.
    pub fn new(parts: ServiceParts, before: Option<&Self>) -> Self {
        let position = |backend: &Backend| before?.position(backend.address, backend.port).map(usize::from);
        let places: Vec<_> = parts.backends.iter().map(position).collect();
        let eligible = |(position, backend): (u16, &Backend)| {
            (!backend.draining).then_some(Member {
                address: backend.address,
                port: backend.port,
                weight: backend.weight,
                position,
            })
        };
        let members: Vec<_> = (0..u16::MAX).zip(parts.backends.iter()).filter_map(eligible).collect();
        let (maglev, only) = match &members[..] {
            [] => (None, None),
            [one] => (None, Some(one.position)),
            _ => {
                let kept = before.and_then(|before| before.maglev.clone());
                let kept = kept.filter(|table| table.is_of(&members));
                (kept.or_else(|| Maglev::build(&members).map(Arc::new)), None)
            }
        };
        let counter = |place: &Option<usize>| match (before, place) {
            (Some(before), Some(place)) => before.flows.get(*place).cloned().unwrap_or_default(),
            _ => Arc::default(),
        };
        let remembers = parts.client_affinity && parts.affinity_seconds > 0;
        let kept = before.and_then(|before| before.clients.clone());
        let clients = remembers.then(|| kept.unwrap_or_default());
        let (numbers, next_number) = numbers(before, &places);
        Self {
            flows: places.iter().map(counter).collect(),
            numbers,
            next_number,
            id: parts.id,
            name: parts.name,
            slot: parts.slot,
            key: parts.key,
            backends: parts.backends,
            maglev,
            client_affinity: parts.client_affinity,
            affinity_seconds: parts.affinity_seconds,
            only,
            clients,
        }
    }

    /// The backend for a hash, and its position. `None` if no backend takes new flows.
    #[inline]
    pub fn pick(&self, hash: u64) -> Option<(u16, &Backend)> {
        let position = match self.only {
            Some(only) => only,
            None => self.maglev.as_ref()?.pick(hash)?,
        };
        Some((position, self.backends.get(usize::from(position))?))
    }

    /// The hash to [`pick`](Self::pick) by: of the client's address with client affinity, of the whole flow without. VRFs are not in it,
    /// their slots being other ones on every node.
    pub fn hash(&self, key: &FlowKey) -> u64 {
        if self.client_affinity {
            client_hash(key.src())
        } else {
            key.with_context(0).hash(SEED)
        }
    }

    /// The backend for the first packet of a flow, and its position: the one that the client is remembered to be on, if it still takes flows, else by hash.
    /// Remembers the client where that is asked for, and counts nothing. `None` if no backend takes new flows.
    pub fn choose(&self, key: &FlowKey, now_ms: u64) -> Option<(u16, &Backend)> {
        let hash = self.hash(key);
        let Some(clients) = &self.clients else {
            return self.pick(hash);
        };
        let (position, backend) = self.recall(clients, hash, now_ms).or_else(|| self.pick(hash))?;
        self.note(clients, hash, position, now_ms);
        Some((position, backend))
    }

    /// As [`choose`](Self::choose), leaving no trace: to tell what would be done.
    pub fn would_choose(&self, key: &FlowKey, now_ms: u64) -> Option<(u16, &Backend)> {
        let hash = self.hash(key);
        let remembered = self.clients.as_ref().and_then(|c| self.recall(c, hash, now_ms));
        remembered.or_else(|| self.pick(hash))
    }

    /// A flow of a client ended that was answered by this address and port: from now on the time runs that the client is remembered.
    pub fn ended(&self, client: IpAddr, backend: IpAddr, port: u16, now_ms: u64) {
        if let Some(clients) = &self.clients
            && let Some(position) = self.position(backend, port).or_else(|| self.position(backend, 0))
        {
            self.note(clients, client_hash(client), position, now_ms);
        }
    }

    fn note(&self, clients: &Clients, client: u64, position: u16, now_ms: u64) {
        if let Some(number) = self.numbers.get(usize::from(position)) {
            clients.remember(client, now_ms / 1000, *number);
        }
    }

    fn recall(&self, clients: &Clients, client: u64, now_ms: u64) -> Option<(u16, &Backend)> {
        let number = clients.recall(client, now_ms / 1000, self.affinity_seconds.into())?;
        let position = self.numbers.iter().position(|n| *n == number)?;
        let backend = self.backends.get(position).filter(|backend| !backend.draining)?;
        Some((position as u16, backend))
    }

    /// Where the backend with this address and port is, draining ones included. A flow whose backend has no position any more must choose anew.
    pub fn position(&self, address: IpAddr, port: u16) -> Option<u16> {
        let found = self.backends.iter().position(|backend| backend.is(address, port));
        found.and_then(|position| u16::try_from(position).ok())
    }

    /// Counts a flow begun on a backend.
    #[inline]
    pub fn count(&self, position: u16) {
        if let Some(flows) = self.flows.get(usize::from(position)) {
            flows.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Flows begun, per backend, since each came.
    pub fn flows(&self) -> impl Iterator<Item = u64> {
        self.flows.iter().map(|flows| flows.load(Ordering::Relaxed))
    }
}

/// The hash of a client's address, the same on all nodes.
fn client_hash(client: IpAddr) -> u64 {
    maglev::identity_hash(client, 0)
}

/// Backends that stay keep their numbers; those that come get numbers that nobody had for as long as can be. And the number to go on with.
fn numbers(before: Option<&Service>, places: &[Option<usize>]) -> (Box<[u16]>, u16) {
    let old = before.map_or(&[][..], |before| &before.numbers);
    let mut next = before.map_or(0, |before| before.next_number);
    let mut fresh = || {
        while old.contains(&next) {
            next = next.wrapping_add(1);
        }
        next = next.wrapping_add(1);
        next.wrapping_sub(1)
    };
    let number = |place: &Option<usize>| place.and_then(|place| old.get(place).copied());
    let numbers = places
        .iter()
        .map(|place| number(place).unwrap_or_else(&mut fresh))
        .collect();
    (numbers, next)
}

impl Tables {
    /// The service that a packet in this VRF is for: the one of its destination's address, protocol and port, else the one of all that is sent to the address.
    #[inline]
    pub fn service_for(&self, vrf: VrfSlot, address: IpAddr, protocol: u8, port: u16) -> Option<&Arc<Service>> {
        if self.services.is_empty() {
            return None;
        }
        let key = |protocol, port| ServiceKey {
            vrf,
            address,
            protocol,
            port,
        };
        let found = self.services.get(&key(protocol, port));
        found.or_else(|| self.services.get(&key(0, 0)))
    }

    /// The service at a slot.
    #[inline]
    pub fn service(&self, slot: u16) -> Option<&Arc<Service>> {
        self.service_slots.get(usize::from(slot))
    }

    /// Adds a service, or replaces the one at its slot. Another service must not have its key.
    pub fn put_service(&mut self, service: Arc<Service>) {
        self.remove_service(service.slot);
        self.services.insert(service.key, service.clone());
        self.service_slots.set(usize::from(service.slot), service);
    }

    /// Takes out the service at a slot.
    pub fn remove_service(&mut self, slot: u16) -> Option<Arc<Service>> {
        let service = self.service_slots.remove(usize::from(slot))?;
        self.services.remove(&service.key);
        Some(service)
    }
}

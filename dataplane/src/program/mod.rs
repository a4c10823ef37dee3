//! The one writer of tables.
//!
//! A [`Programmer`] takes batches of [operations](object::Operation). Each is staged on a copy of what is programmed, checked as
//! it goes, and then published as one revision, or thrown away without a trace. Between batches it looks after what the tables
//! depend on: neighbours of the underlay, ports given up by workers, snapshots that nobody reads any more.
//!
//! One thread owns it; it may block on the machine (opening a port), which workers never notice.

mod claims;
mod dump;
mod effects;
mod forwarding;
mod health;
mod host;
mod identities;
mod mirrors;
mod neighbors;
mod next_hops;
pub mod object;
mod owned;
mod policies;
mod ports;
pub mod problem;
mod routes;
mod services;
mod settle;
mod slots;
mod source_nats;
mod state;
mod underlay;

use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
};

pub use dump::{Dumped, NeighborState, NextHopStatus, Snapshot};
pub use health::{Asked, HealthStatus};
pub use host::PortStatus;
pub use ports::{Attached, FIRST_UPLINK_ID, Hold, MTU, Opened, Opener};
pub use state::Limits;
pub use underlay::OuterOptions;

use self::{
    effects::Effects,
    host::Hosted,
    neighbors::Neighbors,
    object::{HealthCheckSpec, Key, Object, Operation},
    problem::{Problem, Refusal},
    state::State,
};
use crate::{
    packet::{FrameCache, FramePool},
    pipeline::Shared,
    service::underlay::{Action, Resolver, Uplink},
    tables::{
        Tables,
        lpm::{CannotReserve, LpmWriter, Retired},
        port::{Port, Role},
        publish::{Publisher, Reader, TooManyReaders},
        slots::PortSlot,
    },
    worker::Fleet,
};

/// An uplink to start with: already opened.
#[derive(Debug)]
pub struct OpenedUplink {
    /// Interface name.
    pub name: Arc<str>,
    /// Tunnel addresses with prefix length, at most one of each family.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Routers towards other subnets of the underlay.
    pub gateways: Vec<IpAddr>,
    /// Nobody else answers ARP and neighbour solicitations for these addresses: the host does not have them.
    pub answer: bool,
    /// The port.
    pub opened: Opened,
}

/// What changed, for those who watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A batch became this revision.
    Revision(u64),
    /// A port was added or changed.
    Port(u32),
    /// A port is gone.
    PortDeleted(u32),
    /// A next hop was resolved or lost.
    NextHop(u64),
    /// A health check found out something else than before.
    Health(u32),
}

/// What a programmer works with.
#[derive(Debug)]
pub struct Parts {
    /// Sizes.
    pub limits: Limits,
    /// How outer headers are written.
    pub outer: OuterOptions,
    /// Uplinks, opened.
    pub uplinks: Vec<OpenedUplink>,
    /// Shared with workers.
    pub shared: Arc<Shared>,
    /// Frames.
    pub pool: Arc<FramePool>,
}

/// The one writer of tables.
pub struct Programmer {
    state: State,
    revision: u64,
    writer: LpmWriter,
    publisher: Publisher<Tables>,
    /// Replaced snapshots that workers may still read, oldest first: route memory to release after them, and their leases.
    retired: VecDeque<(Retired, Arc<()>)>,
    /// The same, once no worker reads them: dumps may still do.
    leased: VecDeque<(Retired, Arc<()>)>,
    /// Held by those who dump the current state.
    lease: Arc<()>,
    hosted: Hosted,
    resolver: Resolver,
    /// For packets in the clear.
    clear: Neighbors,
    outer: OuterOptions,
    shared: Arc<Shared>,
    frames: FrameCache,
    changes: Vec<Change>,
    /// Health checks that were changed since they were last told.
    asked: BTreeSet<u32>,
}

impl std::fmt::Debug for Programmer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Programmer")
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// Tables and their memory, before there are workers: gives each worker its view.
pub struct Foundation {
    writer: LpmWriter,
    publisher: Publisher<Tables>,
}

impl std::fmt::Debug for Foundation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Foundation").finish_non_exhaustive()
    }
}

impl Foundation {
    /// Reserves memory for routes.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new(limits: &Limits) -> Result<Self, CannotReserve> {
        let writer = LpmWriter::new(limits.route_bytes)?;
        let publisher = Publisher::new(Box::new(Tables::new(writer.arena().clone())));
        Ok(Self { writer, publisher })
    }

    /// One more worker's view.
    ///
    /// # Errors
    /// Beyond the most readers.
    pub fn reader(&self) -> Result<Reader<Tables>, TooManyReaders> {
        self.publisher.reader()
    }
}

/// The operation bears on decisions only through the VRFs that it [notes](Effects::vrfs), or through a next hop that was there before
/// ([`Effects::everywhere`]).
fn is_of_one_vrf(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Put(Object::Route(_) | Object::Identity(_) | Object::NextHop(_))
            | Operation::Delete(Key::Route(_) | Key::Identity(..) | Key::NextHop(_))
    )
}

impl Programmer {
    /// Begins with the uplinks and nothing else programmed, at revision 0.
    ///
    /// # Errors
    /// When the uplinks contradict each other: several addresses of one family.
    pub fn new(
        foundation: Foundation,
        parts: Parts,
        fleet: Fleet,
        opener: Box<dyn Opener>,
        now: u64,
    ) -> Result<Self, Refusal> {
        let Foundation { writer, publisher } = foundation;
        let Parts {
            limits,
            outer,
            uplinks,
            shared,
            pool,
        } = parts;
        let mut state = State::new(Tables::new(writer.arena().clone()), &limits);
        let mut hosted = Hosted::new(fleet, opener, pool.cache());
        let mut resolving = Vec::new();
        for (index, uplink) in uplinks.into_iter().enumerate() {
            let slot = state.port_slots.take().and_then(PortSlot::new);
            let slot = slot.ok_or_else(|| Refusal::exhausted("uplink", "no room for ports"))?;
            note_vteps(&mut state.tables, &uplink.addresses)?;
            let (mac, mtu) = (uplink.opened.mac, uplink.opened.mtu);
            let workers = hosted.adopt(slot, &uplink.name, uplink.opened);
            let port = Port {
                id: FIRST_UPLINK_ID + index as u32,
                name: uplink.name.clone(),
                role: Role::Uplink,
                mac,
                gateways: Arc::from([]),
                mtu,
                workers,
                guard: None,
                qos: None,
                mirrors: Arc::default(),
                policy: None,
            };
            state.tables.ports.set(slot.index(), port);
            resolving.push(Uplink {
                port: slot.raw(),
                name: uplink.name.to_string(),
                mac,
                addresses: uplink.addresses,
                gateways: uplink.gateways,
                answer: uplink.answer,
            });
            hosted.activate(slot);
        }
        let mut programmer = Self {
            state,
            revision: 0,
            writer,
            publisher,
            retired: VecDeque::new(),
            leased: VecDeque::new(),
            lease: Arc::new(()),
            hosted,
            resolver: Resolver::new(resolving),
            clear: Neighbors::default(),
            outer,
            shared,
            frames: pool.cache(),
            changes: Vec::new(),
            asked: BTreeSet::new(),
        };
        programmer.publish();
        programmer.resolver.announce();
        programmer.attend(now);
        Ok(programmer)
    }

    /// Applies a batch as one revision.
    ///
    /// # Errors
    /// Why it was refused; nothing of it was applied then.
    pub fn apply(&mut self, operations: &[Operation], now: u64) -> Result<u64, Vec<Problem>> {
        let mut staged = self.state.clone();
        let mut effects = Effects::default();
        for (index, operation) in operations.iter().enumerate() {
            effects.operation = index;
            effects.common |= !is_of_one_vrf(operation);
            if let Err(refusal) = self.stage(&mut staged, &mut effects, operation) {
                return Err(vec![self.refuse(effects, refusal.at(index))]);
            }
        }
        if let Err(problem) = settle::settle(&mut staged, &mut effects) {
            return Err(vec![self.refuse(effects, problem)]);
        }
        let own = owned::change(&self.state.tables, &staged.tables, &effects).and_then(|own| {
            self.hosted.own(&self.state.tables, &own.added)?;
            Ok(own)
        });
        match own {
            Ok(own) => self.commit(staged, effects, &own, now),
            Err(refusal) => {
                let last = operations.len().saturating_sub(1);
                return Err(vec![self.refuse(effects, refusal.at(last))]);
            }
        }
        Ok(self.revision)
    }

    /// Takes back what a batch did to the machine.
    fn refuse(&mut self, effects: Effects, problem: Problem) -> Problem {
        self.writer.abort();
        for slot in effects.opened {
            self.hosted.abandon(slot);
        }
        problem
    }

    fn stage(&mut self, state: &mut State, effects: &mut Effects, operation: &Operation) -> Result<(), Refusal> {
        let (writer, hosted) = (&mut self.writer, &mut self.hosted);
        match operation {
            Operation::Put(Object::Port(spec)) => ports::put(state, hosted, effects, spec.clone()),
            Operation::Put(Object::Vrf(spec)) => forwarding::put_vrf(state, effects, spec.clone()),
            Operation::Put(Object::Bridge(spec)) => forwarding::put_bridge(state, effects, spec.clone()),
            Operation::Put(Object::NextHop(spec)) => next_hops::put(state, effects, spec.clone()),
            Operation::Put(Object::Route(spec)) => routes::put(state, writer, effects, spec),
            Operation::Put(Object::Mac(spec)) => forwarding::put_mac(state, *spec),
            Operation::Put(Object::Neighbor(spec)) => forwarding::put_neighbor(state, spec),
            Operation::Put(Object::Vni(spec)) => forwarding::put_vni(state, spec.clone()),
            Operation::Put(Object::Label(spec)) => forwarding::put_label(state, spec.clone()),
            Operation::Put(Object::Identity(spec)) => identities::put(state, writer, effects, spec),
            Operation::Put(Object::Policy(spec)) => policies::put(state, effects, spec.clone()),
            Operation::Put(Object::SourceNat(spec)) => source_nats::put(state, effects, spec.clone()),
            Operation::Put(Object::Service(spec)) => services::put(state, effects, spec.clone()),
            Operation::Put(Object::Mirror(spec)) => mirrors::put(state, effects, spec.clone()),
            Operation::Put(Object::HealthCheck(spec)) => health::put(state, effects, spec.clone()),
            Operation::Delete(Key::Port(id)) => ports::delete(state, effects, *id),
            Operation::Delete(Key::Vrf(id)) => forwarding::delete_vrf(state, effects, *id),
            Operation::Delete(Key::Bridge(id)) => forwarding::delete_bridge(state, effects, *id),
            Operation::Delete(Key::NextHop(id)) => next_hops::delete(state, effects, *id),
            Operation::Delete(Key::Route(key)) => routes::delete(state, writer, effects, key),
            Operation::Delete(Key::Mac(bridge, mac)) => {
                forwarding::delete_mac(state, *bridge, *mac);
                Ok(())
            }
            Operation::Delete(Key::Neighbor(bridge, address)) => {
                forwarding::delete_neighbor(state, *bridge, *address);
                Ok(())
            }
            Operation::Delete(Key::Vni(vni)) => {
                forwarding::delete_vni(state, *vni);
                Ok(())
            }
            Operation::Delete(Key::Label(label)) => {
                forwarding::delete_label(state, *label);
                Ok(())
            }
            Operation::Delete(Key::Identity(vrf, prefix)) => identities::delete(state, writer, effects, *vrf, *prefix),
            Operation::Delete(Key::Policy(id)) => policies::delete(state, *id),
            Operation::Delete(Key::SourceNat(id)) => {
                source_nats::delete(state, effects, *id);
                Ok(())
            }
            Operation::Delete(Key::Service(id)) => {
                services::delete(state, effects, *id);
                Ok(())
            }
            Operation::Delete(Key::Mirror(id)) => mirrors::delete(state, *id),
            Operation::Delete(Key::HealthCheck(id)) => {
                health::delete(state, effects, *id);
                Ok(())
            }
        }
    }

    fn commit(&mut self, mut staged: State, effects: Effects, own: &owned::Change, now: u64) {
        if effects.everywhere {
            staged.tables.next_hop_epoch = staged.tables.next_hop_epoch.wrapping_add(1);
        }
        if effects.everywhere || effects.common {
            staged.tables.common_epoch = staged.tables.common_epoch.wrapping_add(1);
        }
        for slot in &effects.vrfs {
            if let Some(vrf) = staged.tables.vrfs.get_mut(slot.index()) {
                vrf.epoch = vrf.epoch.wrapping_add(1);
            }
        }
        self.revision += 1;
        staged.tables.revision = self.revision;
        self.note_port_changes(&staged, &effects);
        self.state = staged;
        for remote in effects.wanted {
            self.resolver.want(remote, now);
            // What is known already is not told again.
            if let Some(Ok(found)) = self.resolver.lookup(remote).cloned() {
                underlay::resolve(&mut self.state, self.outer, &found);
            }
        }
        for remote in effects.unwanted {
            self.resolver.unwant(remote);
        }
        for gateway in effects.gateways {
            self.clear.add_gateway(&mut self.resolver, gateway, now);
        }
        for gateway in effects.no_gateways {
            self.clear
                .remove_gateway(&mut self.resolver, &mut self.state.tables, gateway);
        }
        self.clear
            .forget(&mut self.resolver, &mut self.state.tables, &own.added);
        self.publish();
        self.hosted.disown(&self.state.tables, &own.removed);
        self.resolver.own(&own.added, &own.removed, now);
        for slot in effects.opened {
            self.hosted.activate(slot);
        }
        for slot in effects.closed {
            self.shared.learned.forget_port(slot.raw());
            self.hosted.close(slot);
        }
        for slot in effects.forgotten {
            self.shared.learned.forget_next_hop(slot.raw());
        }
        for slot in effects.unbridged {
            self.shared.learned.forget_bridge(slot.raw());
        }
        for (slot, limit) in effects.flow_limits {
            let limit = if limit == 0 { self.equal_share() } else { limit };
            // Slots are within the table's bounds: both come from the same limits.
            let _ = self.shared.flows.set_port_limit(slot.raw(), limit);
        }
        self.asked.extend(effects.health_checks);
        self.changes.push(Change::Revision(self.revision));
        self.attend(now);
    }

    /// What a port may take of the flow table unless told otherwise: a sixteenth, so that no fifteen can starve another.
    fn equal_share(&self) -> u32 {
        u32::try_from(self.shared.flows.capacity() / 16)
            .unwrap_or(u32::MAX)
            .max(1)
    }

    fn note_port_changes(&mut self, staged: &State, effects: &Effects) {
        for slot in &effects.closed {
            if let Some(port) = self.state.tables.port(*slot) {
                self.changes.push(Change::PortDeleted(port.id));
            }
        }
        for (slot, _) in &effects.flow_limits {
            if let Some(port) = staged.tables.port(*slot) {
                self.changes.push(Change::Port(port.id));
            }
        }
    }

    /// Makes the state what workers see from their next batch on.
    fn publish(&mut self) {
        self.state.tables.publication += 1;
        self.publisher.publish(Box::new(self.state.tables.clone()));
        // The snapshot that was replaced is the last that sees what this batch replaced.
        let lease = std::mem::replace(&mut self.lease, Arc::new(()));
        self.retired.push_back((self.writer.commit(), lease));
        self.reclaim();
    }

    /// Frees what no worker and no dump can see any more.
    fn reclaim(&mut self) {
        let unread = self.publisher.reclaim().len();
        self.leased.extend(self.retired.drain(..unread.min(self.retired.len())));
        while let Some((retired, _)) = self.leased.pop_front_if(|(_, lease)| Arc::strong_count(lease) == 1) {
            self.writer.release(retired);
        }
    }

    /// A frame of the underlay's ARP or neighbour discovery was seen on an uplink.
    pub fn on_underlay_frame(&mut self, port: PortSlot, frame: &[u8], now: u64) {
        self.resolver.on_frame(port.raw(), frame, now);
    }

    /// Looks after everything that goes on between batches. Call it often: at [`next_deadline`](Self::next_deadline), and
    /// within some milliseconds of anything that workers may have left.
    pub fn attend(&mut self, now: u64) {
        while let Some(punt) = self.shared.punts.pop() {
            self.resolver.on_frame(punt.port.raw(), punt.bytes(), now);
        }
        for _ in 0..self.shared.wanted.capacity() {
            let Some(neighbor) = self.shared.wanted.pop() else {
                break;
            };
            self.clear.miss(&mut self.resolver, neighbor, now);
        }
        self.resolver.tick(now);
        let mut republish = self.clear.look(&mut self.resolver, &mut self.state.tables, now);
        let mut changed = Vec::new();
        // What is met is asked for: that makes more to do.
        let mut actions = VecDeque::from(self.resolver.drain());
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Send { port, frame } => {
                    let port = PortSlot::from_raw(port);
                    if self.hosted.send(&mut self.frames, &self.state.tables, port, &frame) {
                        self.shared.injected.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Action::Resolved(found) => changed.extend(underlay::resolve(&mut self.state, self.outer, &found)),
                Action::Unresolved { remote, why } => changed.extend(underlay::lose(&mut self.state, remote, &why)),
                Action::Reached(found) => {
                    republish |= self.clear.reached(&mut self.state.tables, &found, now);
                    changed.extend(next_hops::through(&self.state, found.remote));
                }
                Action::Silent { neighbor, .. } => {
                    republish |= self.clear.silent(&mut self.state.tables, neighbor, now);
                    changed.extend(next_hops::through(&self.state, neighbor));
                }
                Action::Met { port, neighbor, mac } => {
                    self.clear.meet(&mut self.resolver, port, neighbor, mac, now);
                    actions.extend(self.resolver.drain());
                }
            }
        }
        if republish || !changed.is_empty() {
            self.publish();
            self.changes.extend(changed.into_iter().map(Change::NextHop));
        }
        for slot in self.hosted.reap() {
            self.state.port_slots.give(slot.index());
        }
        self.reclaim();
    }

    /// When [`attend`](Self::attend) is due at the latest, if nothing else happens.
    pub fn next_deadline(&self) -> Option<u64> {
        let deadlines = [self.resolver.next_deadline(), self.clear.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// What changed since the last call.
    pub fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Health checks that were changed since the last call: what is to be asked now, or `None` for what is gone.
    pub fn health_changes(&mut self) -> Vec<(u32, Option<Asked>)> {
        let changed = std::mem::take(&mut self.asked).into_iter();
        changed.map(|id| (id, health::asked(&self.state, id))).collect()
    }

    /// A health check is still the same.
    pub fn is_asked(&self, spec: &HealthCheckSpec) -> bool {
        let current = self.state.health_checks.get(&spec.id);
        current.is_some_and(|(current, _)| **current == *spec)
    }

    /// Notes what a health check found out. Nothing, where it has gone meanwhile.
    pub fn note_health(&mut self, id: u32, found: HealthStatus) {
        let Some((_, status)) = self.state.health_checks.get_mut(&id) else {
            return;
        };
        // Counters alone are no change that anybody waits for.
        let changed = (status.healthy, &status.detail) != (found.healthy, &found.detail);
        *status = found;
        if changed {
            self.changes.push(Change::Health(id));
        }
    }

    /// The revision in force.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Everything programmed, from one revision; cheap to take and to keep.
    pub fn snapshot(&self) -> Snapshot {
        let (neighbors, ports) = (self.resolver.neighbors().into(), self.hosted.statuses());
        Snapshot::new(self.revision, self.state.clone(), neighbors, ports, self.lease.clone())
    }

    /// All workers.
    pub fn fleet(&self) -> &Fleet {
        self.hosted.fleet()
    }

    /// Ports given up and not yet closed.
    pub fn closing(&self) -> usize {
        self.hosted.closing()
    }
}

fn note_vteps(tables: &mut Tables, addresses: &[(IpAddr, u8)]) -> Result<(), Refusal> {
    for (address, _) in addresses {
        let taken = match address {
            IpAddr::V4(address) => tables.vtep4.replace(*address).is_some(),
            IpAddr::V6(address) => tables.vtep6.replace(*address).is_some(),
        };
        if taken {
            let message = format!("{address} is one tunnel address too many: one IPv4 and one IPv6 are possible");
            return Err(Refusal::invalid("uplink.vtep", message));
        }
    }
    Ok(())
}

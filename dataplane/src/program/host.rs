//! Ports from opening to closing: who holds what until a port is gone.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use super::{
    object::PortSpec,
    ports::{Attached, Hold, Host, Opened, Opener},
    problem::Refusal,
};
use crate::{
    packet::FrameCache,
    port::Queue,
    tables::{Tables, port::Role, slots::PortSlot},
    wire::Mac,
    worker::Fleet,
};

/// How long opening a port waits for workers to give up the port that had the interface before.
const CLOSING_PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

/// What is known of an open port, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// How it is attached.
    pub attached: Attached,
    /// MTU of its interface, bytes.
    pub mtu: u16,
    /// The interface's MAC.
    pub mac: Mac,
    /// Worker that owns each queue.
    pub workers: Arc<[usize]>,
}

struct Entry {
    status: PortStatus,
    interface: Arc<str>,
    /// Queues not yet given to workers.
    waiting: Vec<Box<dyn Queue>>,
    hold: Box<dyn Hold>,
}

/// Ports that are open or being closed.
pub(super) struct Hosted {
    fleet: Fleet,
    opener: Box<dyn Opener>,
    frames: FrameCache,
    open: HashMap<PortSlot, Entry>,
    /// Ports being given up: how many workers have not done so, and what keeps the attachment until then.
    closing: HashMap<PortSlot, (usize, Entry)>,
    /// Slots that became free while a port was opened, until `reap` tells.
    freed: Vec<PortSlot>,
}

impl Hosted {
    pub(super) fn new(fleet: Fleet, opener: Box<dyn Opener>, frames: FrameCache) -> Self {
        Self {
            fleet,
            opener,
            frames,
            open: HashMap::new(),
            closing: HashMap::new(),
            freed: Vec::new(),
        }
    }

    /// Takes an opened port. Gives the workers that will own its queues, as bits.
    pub(super) fn adopt(&mut self, slot: PortSlot, interface: &Arc<str>, opened: Opened) -> u64 {
        let Opened {
            queues,
            mtu,
            mac,
            attachment,
            hold,
        } = opened;
        let workers: Arc<[usize]> = self.fleet.assign(queues.len()).into();
        let bits = workers.iter().fold(0, |bits, worker| bits | 1_u64 << worker);
        let status = PortStatus {
            attached: attachment,
            mtu,
            mac,
            workers,
        };
        self.open.insert(
            slot,
            Entry {
                status,
                interface: interface.clone(),
                waiting: queues,
                hold,
            },
        );
        bits
    }

    /// Gives a port's queues to the workers: from here on packets move.
    pub(super) fn activate(&mut self, slot: PortSlot) {
        if let Some(entry) = self.open.get_mut(&slot) {
            let queues = std::mem::take(&mut entry.waiting);
            self.fleet.add_port(slot, queues, &entry.status.workers);
        }
    }

    /// Closes a port that no worker has seen.
    pub(super) fn abandon(&mut self, slot: PortSlot) {
        if let Some(entry) = self.open.remove(&slot) {
            self.fleet.release(&entry.status.workers);
            for queue in entry.waiting {
                queue.close(&mut self.frames);
            }
        }
    }

    /// Asks the workers to give a port up; [`reap`](Self::reap) closes it when all have.
    pub(super) fn close(&mut self, slot: PortSlot) {
        if let Some(entry) = self.open.remove(&slot) {
            self.fleet.remove_port(slot);
            self.closing.insert(slot, (self.fleet.len(), entry));
        }
    }

    /// Closes what workers have given up. Gives the slots that are free again.
    pub(super) fn reap(&mut self) -> Vec<PortSlot> {
        let mut free = std::mem::take(&mut self.freed);
        for returned in self.fleet.returned() {
            for frame in returned.frames {
                self.frames.free(frame);
            }
            for queue in returned.queues {
                queue.close(&mut self.frames);
            }
            if let Some((left, _)) = self.closing.get_mut(&returned.port) {
                *left -= 1;
                if *left == 0 {
                    self.closing.remove(&returned.port);
                    free.push(returned.port);
                }
            }
        }
        free
    }

    /// Leaves a frame of the router's own with the worker that sends by a port. Gives whether it took it: what cannot be sent
    /// now is asked for again by whoever waits for its answer.
    pub(super) fn send(&mut self, frames: &mut FrameCache, tables: &Tables, port: PortSlot, bytes: &[u8]) -> bool {
        let Some(worker) = tables.port(port).and_then(|p| p.sender(0)) else {
            return false;
        };
        let Some(mut frame) = frames.take() else {
            return false;
        };
        let left = match frame.copy_from(bytes) {
            Ok(()) => self.fleet.send(worker, port, frame),
            Err(_) => Err(frame),
        };
        match left {
            Ok(()) => true,
            Err(frame) => {
                frames.free(frame);
                false
            }
        }
    }

    /// Takes everything that is sent to these addresses from the host, on all uplinks.
    ///
    /// # Errors
    /// Why the machine refuses; nothing is taken then.
    pub(super) fn own(&mut self, tables: &Tables, addresses: &[IpAddr]) -> Result<(), Refusal> {
        if addresses.is_empty() {
            return Ok(());
        }
        let outcome = self
            .uplinks(tables)
            .try_for_each(|hold| hold.change_owned(addresses, &[]));
        if outcome.is_err() {
            self.disown(tables, addresses);
        }
        outcome
    }

    /// Leaves everything that is sent to these addresses to the host.
    pub(super) fn disown(&mut self, tables: &Tables, addresses: &[IpAddr]) {
        if addresses.is_empty() {
            return;
        }
        for hold in self.uplinks(tables) {
            // Taking an entry out of a table fails only if the interface is gone.
            let _ = hold.change_owned(&[], addresses);
        }
    }

    fn uplinks<'a>(&'a mut self, tables: &'a Tables) -> impl Iterator<Item = &'a mut Box<dyn Hold>> {
        let is_uplink = |slot: &PortSlot| tables.port(*slot).is_some_and(|port| port.role == Role::Uplink);
        let uplinks = self.open.iter_mut().filter(move |(slot, _)| is_uplink(slot));
        uplinks.map(|(_, entry)| &mut entry.hold)
    }

    pub(super) fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    pub(super) fn closing(&self) -> usize {
        self.closing.len()
    }

    pub(super) fn statuses(&self) -> HashMap<PortSlot, PortStatus> {
        self.open
            .iter()
            .map(|(slot, entry)| (*slot, entry.status.clone()))
            .collect()
    }
}

impl Host for Hosted {
    fn open(&mut self, slot: PortSlot, spec: &PortSpec) -> Result<(u16, u64), Refusal> {
        // A port of the same interface that is being given up must be gone first; workers take microseconds.
        let patience = std::time::Instant::now() + CLOSING_PATIENCE;
        while self
            .closing
            .values()
            .any(|(_, entry)| entry.interface == spec.interface)
        {
            self.freed = self.reap();
            if std::time::Instant::now() > patience {
                let message = format!(
                    "interface {} is still being given up by its port before; try again",
                    spec.interface
                );
                return Err(Refusal::in_use("port.interface", message));
            }
            std::thread::yield_now();
        }
        let opened = self.opener.open(spec)?;
        let mtu = opened.mtu;
        Ok((mtu, self.adopt(slot, &spec.interface, opened)))
    }

    fn opened(&self, slot: PortSlot) -> Option<(u16, u64)> {
        let status = &self.open.get(&slot)?.status;
        Some((
            status.mtu,
            status.workers.iter().fold(0, |bits, worker| bits | 1_u64 << worker),
        ))
    }
}

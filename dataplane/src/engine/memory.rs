//! A whole dataplane on memory ports, stepped by its caller: for tests, properties, fuzzing, benches and simulations.
//!
//! Nothing happens but in [`MemoryDataplane::step`], and time passes only when the clock is moved, so every run is the same.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use super::{AssembleError, Settings, assemble, clock::Manual};
use crate::{
    health::Line,
    packet::{FrameCache, FramePool, pool::PoolError},
    pipeline::Shared,
    port::memory::{self, MemoryPeer},
    program::{
        Attached, Opened, OpenedUplink, Opener, Programmer,
        object::{Mode, Operation, PortSpec},
        problem::{Problem, Refusal},
    },
    wire::Mac,
    worker::{Clock, Turn, Worker},
};

/// Frames on their way that a memory port holds in each direction.
const DEPTH: usize = 1024;

/// MTU of memory ports, bytes.
pub const MTU: u16 = 1500;

/// The outside ends of memory ports, by interface name.
type Peers = Arc<Mutex<HashMap<Arc<str>, MemoryPeer>>>;

/// Why a dataplane in memory cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// No frames.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// No tables or workers.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
}

/// An uplink on a memory port.
#[derive(Clone, Debug)]
pub struct MemoryUplink {
    /// Name of the interface.
    pub name: &'static str,
    /// Its MAC.
    pub mac: Mac,
    /// Tunnel addresses.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Routers.
    pub gateways: Vec<IpAddr>,
}

/// A dataplane without threads, devices or time of its own.
#[derive(Debug)]
pub struct MemoryDataplane {
    /// The one writer.
    pub programmer: Programmer,
    /// Counters, flows, learned MACs.
    pub shared: Arc<Shared>,
    /// Moves time.
    pub clock: Manual,
    /// Packet memory.
    pub pool: Arc<FramePool>,
    /// For a prober of health.
    pub line: Option<Line>,
    workers: Vec<Worker>,
    peers: Peers,
    frames: FrameCache,
}

/// Opens memory ports.
struct MemoryOpener(Peers);

impl Opener for MemoryOpener {
    fn open(&mut self, spec: &PortSpec) -> Result<Opened, Refusal> {
        if spec.mode != Mode::Memory {
            return Err(Refusal::refused("port.mode", "this dataplane has only memory ports"));
        }
        Ok(open(&self.0, &spec.interface, spec.mac))
    }
}

fn open(peers: &Peers, name: &Arc<str>, mac: Mac) -> Opened {
    let (queue, peer) = memory::pair(DEPTH);
    peers
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(name.clone(), peer);
    Opened {
        queues: vec![Box::new(queue)],
        mtu: MTU,
        mac,
        attachment: Attached {
            mode: Mode::Memory,
            why: "within the process".into(),
        },
        hold: Box::new(()),
    }
}

impl MemoryDataplane {
    /// Makes a dataplane with the given uplinks, `frames` frames of `chunk` bytes.
    ///
    /// # Errors
    /// When sizes are impossible or memory is short.
    pub fn new(settings: &Settings, uplinks: Vec<MemoryUplink>, frames: u32, chunk: u16) -> Result<Self, MemoryError> {
        let pool = FramePool::new(frames, chunk)?;
        let peers = Peers::default();
        let uplinks = uplinks
            .into_iter()
            .map(|uplink| OpenedUplink {
                name: uplink.name.into(),
                addresses: uplink.addresses,
                gateways: uplink.gateways,
                answer: true,
                opened: open(&peers, &uplink.name.into(), uplink.mac),
            })
            .collect();
        let clock = Manual::default();
        let opener = Box::new(MemoryOpener(peers.clone()));
        let assembly = assemble(settings, &pool, uplinks, opener, clock.now())?;
        let frames = pool.cache();
        Ok(Self {
            programmer: assembly.programmer,
            shared: assembly.shared,
            workers: assembly.workers,
            line: Some(assembly.line),
            clock,
            pool,
            peers,
            frames,
        })
    }

    /// Applies a batch.
    ///
    /// # Errors
    /// Why it was refused.
    pub fn apply(&mut self, operations: &[Operation]) -> Result<u64, Vec<Problem>> {
        self.programmer.apply(operations, self.clock.now())
    }

    /// One turn of every worker and of the programmer. Gives what the workers did, summed.
    pub fn step(&mut self) -> Turn {
        let mut sum = Turn::default();
        for worker in &mut self.workers {
            let turn = worker.turn(&self.clock);
            sum.received += turn.received;
            sum.sent += turn.sent;
        }
        self.programmer.attend(self.clock.now());
        sum
    }

    /// Steps until nothing moves any more.
    pub fn settle(&mut self) {
        // A frame that circled for ever would be a bug that the hop limit prevents; the bound keeps a test from hanging on it.
        for _ in 0..100_000 {
            let turn = self.step();
            if turn.received + turn.sent == 0 && self.programmer.closing() == 0 {
                return;
            }
        }
    }

    /// Sends a packet into a port. `false`: the port is unknown or full, or the packet does not fit.
    pub fn send(&mut self, interface: &str, packet: &[u8]) -> bool {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers
            .get_mut(interface)
            .is_some_and(|peer| peer.send(&mut self.frames, packet).is_ok())
    }

    /// Takes the next packet that came out of a port.
    pub fn receive(&mut self, interface: &str) -> Option<Vec<u8>> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.get_mut(interface)?.receive(&mut self.frames)
    }

    /// Takes the outside end of a port, to be driven by hand.
    pub fn take_peer(&mut self, interface: &str) -> Option<MemoryPeer> {
        self.peers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(interface)
    }

    /// Carries everything between a port of this dataplane and one of another, as a wire would. Gives how many frames.
    pub fn exchange(&mut self, interface: &str, other: &mut Self, other_interface: &str) -> usize {
        let mut moved = 0;
        while let Some(packet) = self.receive(interface) {
            moved += 1;
            other.send(other_interface, &packet);
        }
        while let Some(packet) = other.receive(other_interface) {
            moved += 1;
            self.send(interface, &packet);
        }
        moved
    }

    /// Takes all workers, each to be driven by a thread of its own. From then on nothing here drives them.
    pub fn take_workers(&mut self) -> Vec<Worker> {
        std::mem::take(&mut self.workers)
    }

    /// One of the workers, to be driven by hand.
    pub fn worker(&mut self, index: usize) -> Option<&mut Worker> {
        self.workers.get_mut(index)
    }
}

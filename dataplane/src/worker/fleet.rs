//! All workers of one dataplane, as seen from the control side.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
};

use super::{Captures, Core, Mailbox, Returned, Worker, cutting::Cutting, load::Load, mailbox::Command};
use crate::{
    packet::{Frame, FramePool},
    pipeline::{BATCH, Shared, State},
    port::Queue,
    tables::{Tables, flow::FlowOwner, publish::Reader, slots::PortSlot},
};

/// Most workers of one dataplane: one bit each in a port's set of owners.
pub const MAX_WORKERS: usize = 64;

/// Token of a worker's own waker among its poll events; ports use their slot.
const WAKER: mio::Token = mio::Token(usize::MAX);

/// Wake-ups taken at a time.
const EVENTS: usize = 256;

/// Handles on all workers: gives them ports, takes ports back, leaves frames to send.
#[derive(Debug)]
pub struct Fleet {
    mailboxes: Arc<[Arc<Mailbox>]>,
    loads: Vec<Arc<Load>>,
    /// Queues each worker owns, to give the next to the one with the fewest.
    queues: Vec<usize>,
    /// Owner of each queue, by port.
    owners: Vec<(PortSlot, usize)>,
    captures: Captures,
}

/// Leaves frames with workers, from any thread.
#[derive(Clone, Debug)]
pub struct Sender {
    mailboxes: Arc<[Arc<Mailbox>]>,
}

impl Sender {
    /// Leaves a frame to be sent by a port that the worker owns.
    ///
    /// # Errors
    /// Gives the frame back when there is no such worker or it does not keep up.
    pub fn send(&self, worker: usize, port: PortSlot, frame: Frame) -> Result<(), Frame> {
        let Some(mailbox) = self.mailboxes.get(worker) else {
            return Err(frame);
        };
        mailbox.hand_off(port, frame)?;
        mailbox.knock();
        Ok(())
    }
}

/// What a new worker is made from.
#[derive(Debug)]
pub struct Seat {
    /// Its view of the tables.
    pub reader: Reader<Tables>,
    /// Its part of the flow table.
    pub flows: FlowOwner,
}

impl Fleet {
    /// Makes a worker for each seat.
    ///
    /// # Errors
    /// When the system gives no descriptors to sleep on.
    pub fn new(seats: Vec<Seat>, shared: &Arc<Shared>, pool: &Arc<FramePool>) -> io::Result<(Self, Vec<Worker>)> {
        let polls = seats.iter().map(|_| mio::Poll::new()).collect::<io::Result<Vec<_>>>()?;
        let mailboxes = polls
            .iter()
            .map(|poll| Ok(Arc::new(Mailbox::new(mio::Waker::new(poll.registry(), WAKER)?))))
            .collect::<io::Result<Arc<[_]>>>()?;
        let count = seats.len();
        let loads: Vec<_> = seats.iter().map(|_| Arc::new(Load::default())).collect();
        let workers = seats
            .into_iter()
            .zip(polls)
            .enumerate()
            .map(|(index, (seat, poll))| Worker {
                reader: seat.reader,
                core: Core {
                    index,
                    shared: shared.clone(),
                    mailboxes: mailboxes.clone(),
                    load: loads[index].clone(),
                    state: State::new(seat.flows, pool.cache(), count, shared.seed).cutting_late(),
                    queues: Vec::new(),
                    by_port: Vec::new(),
                    active: Vec::new(),
                    next_token: 0,
                    turns_to_roll_call: 0,
                    was_busy: false,
                    turns_to_all: 0,
                    events: mio::Events::with_capacity(EVENTS),
                    batch: Vec::with_capacity(BATCH),
                    cutting: Cutting::new(),
                    poll,
                    learned_hand: 0,
                    kept_at: 0,
                    received: 0,
                    batches_to_timed: 0,
                },
            })
            .collect();
        Ok((
            Self {
                queues: vec![0; mailboxes.len()],
                captures: Captures::new(mailboxes.clone()),
                mailboxes,
                loads,
                owners: Vec::new(),
            },
            workers,
        ))
    }

    /// How many workers there are.
    pub fn len(&self) -> usize {
        self.mailboxes.len()
    }

    /// No workers.
    pub fn is_empty(&self) -> bool {
        self.mailboxes.is_empty()
    }

    /// What each worker has done.
    pub fn loads(&self) -> &[Arc<Load>] {
        &self.loads
    }

    /// Chooses the worker that will own each of a port's queues: different ones, the least loaded first. Counted at once, so
    /// that the ports of one batch are spread, too; [`release`](Self::release) takes back what comes to nothing.
    pub fn assign(&mut self, queues: usize) -> Vec<usize> {
        (0..queues)
            .filter_map(|_| {
                let worker = (0..self.queues.len()).min_by_key(|w| self.queues[*w])?;
                self.queues[worker] += 1;
                Some(worker)
            })
            .collect()
    }

    /// Takes back a choice of [`assign`](Self::assign) for a port that was never added.
    pub fn release(&mut self, workers: &[usize]) {
        for worker in workers {
            self.queues[*worker] -= 1;
        }
    }

    /// Gives a port's queues to the workers that [`assign`](Self::assign) chose, and makes the port known to all.
    pub fn add_port(&mut self, port: PortSlot, queues: Vec<Box<dyn Queue>>, workers: &[usize]) {
        for mailbox in self.mailboxes.iter() {
            mailbox.tell(Command::AddPort(port, None));
        }
        for (queue, worker) in queues.into_iter().zip(workers) {
            if let Some(mailbox) = self.mailboxes.get(*worker) {
                self.owners.push((port, *worker));
                mailbox.tell(Command::AddPort(port, Some(queue)));
            }
        }
    }

    /// Asks all workers to give a port up. What they had of it comes out of [`returned`](Self::returned), once from each.
    pub fn remove_port(&mut self, port: PortSlot) {
        for (_, worker) in self.owners.extract_if(.., |(p, _)| *p == port) {
            self.queues[worker] -= 1;
        }
        for mailbox in self.mailboxes.iter() {
            mailbox.tell(Command::RemovePort(port));
        }
    }

    /// What workers have given up since the last call.
    pub fn returned(&self) -> Vec<Returned> {
        self.mailboxes
            .iter()
            .flat_map(|m| std::iter::from_fn(|| m.returned.pop()))
            .collect()
    }

    /// Leaves a frame to be sent by a port that the worker owns.
    ///
    /// # Errors
    /// Gives the frame back when there is no such worker or it does not keep up.
    pub fn send(&self, worker: usize, port: PortSlot, frame: Frame) -> Result<(), Frame> {
        self.sender().send(worker, port, frame)
    }

    /// For those who capture packets.
    pub fn captures(&self) -> Captures {
        self.captures.clone()
    }

    /// For others who have frames to send.
    pub fn sender(&self) -> Sender {
        Sender {
            mailboxes: self.mailboxes.clone(),
        }
    }

    /// Tells all workers to leave their loops.
    pub fn stop(&self) {
        for mailbox in self.mailboxes.iter() {
            mailbox.tell(Command::Stop);
        }
    }

    /// How often workers had to be woken by messages.
    pub fn wakes(&self) -> u64 {
        self.mailboxes.iter().map(|m| m.wakes.load(Ordering::Relaxed)).sum()
    }
}

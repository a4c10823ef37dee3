//! A whole dataplane on memory ports: any changes to its tables and any packets, in any order.
//!
//! No panic; every frame is in one place, every packet received is sent or dropped for a counted reason (law 1 of the plan); a
//! refused batch changes nothing; and whatever a workload sends, only tunnel packets and the router's own ARP and neighbour
//! discovery leave by the uplink (law 6).
//!
//! An input is a row of steps; see [`Run::step`]. Tables start as [`topology::base`] has them, so that packets go somewhere.

pub(crate) mod law;
pub(crate) mod topology;
mod traffic;

use std::collections::BTreeSet;

use vrouter_dataplane::{engine::memory::MemoryDataplane, program::object::Operation};

use crate::{cursor::Cursor, packets::with_checksums};

/// Largest number of steps that are looked at.
const STEPS: usize = 200;

/// What a row of steps has brought about: whether seeds are worth starting from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Interfaces that packets left by.
    pub interfaces: BTreeSet<&'static str>,
    /// Reasons for which packets were dropped.
    pub reasons: BTreeSet<&'static str>,
    /// Batches that were applied.
    pub applied: usize,
    /// Batches that were refused.
    pub refused: usize,
}

/// Checks one row of steps.
///
/// # Panics
/// When a property does not hold.
pub fn check(bytes: &[u8]) {
    run(bytes);
}

/// Checks one row of steps, and tells what it brought about.
///
/// # Panics
/// When a property does not hold.
pub fn run(bytes: &[u8]) -> Reached {
    let mut cursor = Cursor::new(bytes);
    let mut run = Run::new(cursor.byte());
    for _ in 0..STEPS {
        if cursor.is_empty() {
            break;
        }
        run.step(&mut cursor);
    }
    run.settle();
    law::frames_are_conserved(&mut run.dataplane);
    run.reached.reasons.extend(law::reasons(&run.dataplane));
    run.reached
}

struct Run {
    dataplane: MemoryDataplane,
    /// ARP and neighbour discovery that left by the uplink: said by the programmer, of which no worker knows.
    said: u64,
    reached: Reached,
}

impl Run {
    fn new(choice: u8) -> Self {
        let mut run = Self {
            dataplane: topology::dataplane(1 + usize::from(choice & 1)),
            said: 0,
            reached: Reached::default(),
        };
        for batch in topology::base() {
            run.dataplane.apply(&batch).expect("the tables to start from");
        }
        run.settle();
        if choice & 2 == 0 {
            // The remote VTEPs answer; else tunnels begin without a path.
            for frame in topology::answers() {
                run.dataplane.send("up0", &frame);
            }
        }
        run.settle();
        run
    }

    /// Takes one step. The low three bits of its first byte say which:
    ///
    /// 0: a batch of changes, as many as the upper bits say; 1: time passes; 2: any frame, by any port; 3: the same, its
    /// checksums made right; else: a packet that makes sense, by any port (7: by the uplink, in a tunnel), sent as often as the
    /// upper bits say.
    fn step(&mut self, cursor: &mut Cursor<'_>) {
        let op = cursor.byte();
        let number = op >> 3;
        match op & 7 {
            0 => {
                let batch: Vec<Operation> = (0..=number % 8).map(|_| topology::operation(cursor)).collect();
                self.apply(&batch);
            }
            1 => {
                self.dataplane.clock.advance(u64::from(number) * 1_000_000_000);
                self.settle();
            }
            right @ (2 | 3) => {
                let interface = topology::INTERFACES[usize::from(number) % topology::INTERFACES.len()];
                let frame = cursor.bytes();
                let frame = if right == 3 {
                    with_checksums(frame)
                } else {
                    frame.into()
                };
                self.send(interface, &frame, 1);
            }
            7 => {
                let packet = traffic::tunnelled(cursor);
                self.send("up0", &packet, 1 + number % 4);
            }
            _ => {
                let interface = cursor.one_of(&topology::INTERFACES);
                let packet = traffic::packet(cursor);
                self.send(interface, &packet, 1 + number % 4);
            }
        }
    }

    fn send(&mut self, interface: &str, packet: &[u8], times: u8) {
        for _ in 0..times {
            // Refused when the port is gone or the packet is larger than a frame.
            self.dataplane.send(interface, packet);
        }
        self.settle();
    }

    fn apply(&mut self, batch: &[Operation]) {
        let before = law::state(&self.dataplane);
        match self.dataplane.apply(batch) {
            Ok(_) => {
                self.reached.applied += 1;
                law::references_hold(&self.dataplane);
            }
            Err(problems) => {
                self.reached.refused += 1;
                law::refused(&before, &self.dataplane, batch, &problems);
            }
        }
    }

    /// Lets everything that is under way arrive, and looks at what left.
    fn settle(&mut self) {
        self.dataplane.settle();
        for interface in topology::INTERFACES {
            while let Some(frame) = self.dataplane.receive(interface) {
                if interface.starts_with("up") && law::leaves_by_an_uplink(&frame) {
                    self.said += 1;
                }
                assert!(frame.len() >= 14, "{interface} got less than a header");
                self.reached.interfaces.insert(interface);
            }
        }
        law::packets_are_counted(&self.dataplane, self.said);
    }
}

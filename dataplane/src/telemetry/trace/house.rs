//! Everything that the pipeline needs to run once, beside the tables.

use super::{Output, Step, TraceError, Traced, words};
use crate::{
    packet::{DropReason, FlowKey, FramePool},
    pipeline::{self, Context, FlowAction, Shared, State, Witness, counters::Counters},
    tables::{
        Tables,
        flow::{FlowHit, FlowTable, NewDirection, NewFlow},
        learned::LearnedTable,
        port::Role,
        slots::PortSlot,
    },
};

/// Frames: the packet, its fragments, and copies for a flood.
const FRAMES: u32 = 256;

/// Bytes of one: room for the longest packet.
const CHUNK: u16 = 16_384;

/// Flows.
const FLOWS: usize = 16;

/// A house for one packet.
pub(super) struct House<'a> {
    tables: &'a Tables,
    live: &'a Shared,
    now: u64,
    shared: Shared,
    state: State,
    /// Ports there are, by slot.
    ports: Vec<PortSlot>,
}

/// What came of it.
pub(super) struct Run {
    pub(super) traced: Traced,
    /// The packet's key, where it was decided about.
    pub(super) key: Option<FlowKey>,
}

impl<'a> House<'a> {
    pub(super) fn new(tables: &'a Tables, live: &'a Shared, now: u64) -> Result<Self, TraceError> {
        let none = |_| TraceError::NoMemory;
        let room = |last: Option<usize>| last.map_or(1, |last| last + 1);
        let ports = room(tables.ports.iter().map(|(slot, _)| slot).max());
        let vrfs = room(tables.vrfs.iter().map(|(slot, _)| slot).max());
        let bridges = room(tables.bridges.iter().map(|(slot, _)| slot).max());
        let pool = FramePool::new(FRAMES, CHUNK).map_err(|_| TraceError::NoMemory)?;
        let (flows, mut owners) = FlowTable::new(FLOWS, 1, ports, vrfs, live.seed).map_err(none)?;
        let owner = owners.pop().ok_or(TraceError::NoMemory)?;
        let known = live.learned.entries().count();
        let learned = LearnedTable::new((2 * known).max(64), u32::MAX, bridges, live.seed).map_err(none)?;
        for entry in live.learned.entries() {
            learned.learn(entry.bridge, entry.mac, entry.place, entry.last_seen_s);
        }
        let counters = Box::new([Counters::new(ports, vrfs)]);
        let shared = Shared::new(flows, live.timeouts, learned, counters, live.seed);
        let mut state = State::new(owner, pool.cache(), 1, live.seed);
        state.witness = Some(Witness::default());
        let ports: Vec<PortSlot> = tables
            .ports
            .iter()
            .filter_map(|(slot, _)| PortSlot::new(slot))
            .collect();
        for port in &ports {
            state.out.add_port(*port);
        }
        Ok(Self {
            tables,
            live,
            now,
            shared,
            state,
            ports,
        })
    }

    /// Takes in a copy of a living flow. `false`: it went while it was looked at.
    pub(super) fn adopt(&mut self, hit: &FlowHit) -> bool {
        let flows = &self.live.flows;
        let sibling = flows.sibling(hit.flow);
        let (Some(entry), other) = (flows.entry_of(hit.flow), sibling.and_then(|s| flows.entry_of(s.flow))) else {
            return false;
        };
        let direction = |entry: &crate::tables::flow::FlowEntry| NewDirection {
            key: entry.key,
            hash: self.shared.flows.hash(&entry.key),
            epoch: entry.epoch,
            action: entry.action,
        };
        let (first, second) = if hit.flow.is_reverse() {
            (other.as_ref(), Some(&entry))
        } else {
            (Some(&entry), other.as_ref())
        };
        let Some(first) = first else { return false };
        let flow = NewFlow {
            forward: direction(first),
            reverse: second.map(direction),
            port: entry.port,
        };
        let now_ms = self.now / 1_000_000;
        let Ok(made) = self.shared.flows.insert(&mut self.state.flows, &flow, now_ms) else {
            return false;
        };
        self.shared.flows.set_state(made.flow, first.state);
        if let (Some(second), Some(sibling)) = (second, self.shared.flows.sibling(made.flow)) {
            self.shared.flows.set_state(sibling.flow, second.state);
        }
        true
    }

    /// Runs the frame through the pipeline.
    pub(super) fn run(mut self, port: PortSlot, bytes: &[u8]) -> Result<Run, TraceError> {
        let too_long = TraceError::TooLong {
            len: bytes.len(),
            max: self.state.frames.pool().max_packet(),
        };
        let mut frame = self.state.frames.take().ok_or(TraceError::NoMemory)?;
        if frame.copy_from(bytes).is_err() {
            self.state.frames.free(frame);
            return Err(too_long);
        }
        let before: Vec<FlowKey> = self.shared.flows.entries().map(|entry| entry.key).collect();
        let mut batch = vec![frame];
        let mut context = Context {
            tables: self.tables,
            shared: &self.shared,
            counters: &self.shared.counters[0],
            state: &mut self.state,
            now: self.now,
        };
        pipeline::process(&mut context, port, &mut batch);
        self.give_back_ports(&before);
        let witness = self.state.witness.take().unwrap_or_default();
        let mut steps = vec![words::arrival(self.tables, port, bytes)];
        steps.extend(
            witness
                .steps
                .into_iter()
                .map(|(stage, detail, object)| Step { stage, detail, object }),
        );
        let drop = self.dropped();
        let outputs = self.outputs();
        for output in &outputs {
            steps.extend(words::departure(output, drop.is_some()));
        }
        if self.shared.counters[0].punted.get() > 0 {
            steps.push(Step {
                stage: "local",
                detail: "handed to the control side".to_owned(),
                object: String::new(),
            });
        }
        steps.extend(drop.map(words::dropped));
        Ok(Run {
            traced: Traced { steps, outputs, drop },
            key: witness.key,
        })
    }

    /// Ports of source translations that flows took here are for packets.
    fn give_back_ports(&self, before: &[FlowKey]) {
        for entry in self.shared.flows.entries() {
            let action = FlowAction::unpack(entry.action);
            let nat = action.source_nat.and_then(|slot| self.tables.source_nat(slot));
            let taken_here = !entry.flow.is_reverse() && !before.contains(&entry.key);
            if let (Some(nat), true, Some(answers)) = (nat, taken_here, self.shared.flows.sibling_key(entry.flow)) {
                nat.pool.release(entry.key.src(), answers.dst(), answers.dst_port());
            }
        }
    }

    fn dropped(&self) -> Option<DropReason> {
        let counters = &self.shared.counters[0];
        DropReason::ALL.iter().copied().find(|reason| {
            self.ports
                .iter()
                .any(|port| counters.port(*port).drops.get(*reason) > 0)
        })
    }

    fn outputs(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        let mut spent = Vec::new();
        while let Some((slot, frames)) = self.state.out.take_dirty() {
            let port = self.tables.port(slot);
            for frame in frames {
                let uplink = port.is_some_and(|port| port.role == Role::Uplink);
                outputs.push(Output {
                    port: port.map_or(0, |port| port.id),
                    name: port.map(|port| port.name.to_string()).unwrap_or_default(),
                    vtep: uplink.then(|| words::remote_vtep(frame.data())).flatten(),
                    frame: frame.data().to_vec(),
                });
                spent.push(frame);
            }
        }
        for frame in spent {
            self.state.frames.free(frame);
        }
        outputs
    }
}

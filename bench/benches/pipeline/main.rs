//! The whole pipeline, from receive to transmit: one worker's turns on memory ports, flows hit, counters on.
//!
//! A batch of packets is put into one port's ring, the worker makes a turn, and the frames are taken from the other port's
//! ring. Every frame is filled with a fresh packet each time; that copy (64 bytes; IPv6: 80, the smallest with our payload;
//! with a tunnel header where one is taken off) and the rings' other ends are within what is measured, as they are with a
//! packet generator in a router's own graph. `baseline` measures them alone. Packets take 10,000 flows in turn; only those out
//! of MPLS need none, since their label names the next hop.
//!
//! Times are per packet, and of CPU: what neighbours on the machine take away does not count, what they evict from caches does.
#![allow(clippy::expect_used)] // A bench whose lab does not work has nothing to measure.

mod lab;

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vrouter_dataplane::{
    engine::{clock::Monotonic, memory::MemoryDataplane},
    packet::{DropReason, Frame, FramePool},
    port::{
        Queue,
        memory::{MemoryPeer, pair},
    },
    tables::slots::PortSlot,
    wire::{parse, parse_ip},
};

use lab::{Family, Tunnel, nodes, packet};

/// Flows that packets take in turn.
const FLOWS: u16 = 10_000;

/// Packets of a batch.
const BATCH: usize = 32;

/// CPU time of this thread.
fn cpu_time() -> Duration {
    #[cfg(target_os = "linux")]
    return vrouter_bench::linux::thread_time();
    #[cfg(not(target_os = "linux"))]
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

/// Fresh packets, one flow after the other.
struct Generator {
    packet: Vec<u8>,
    /// Where the source port is that makes the flow.
    port_at: usize,
    first_port: u16,
    flow: u16,
}

impl Generator {
    /// `port_at`: where the L4 header is whose source port makes the flow.
    fn new(packet: Vec<u8>, port_at: usize) -> Self {
        let first_port = u16::from_be_bytes([packet[port_at], packet[port_at + 1]]);
        Self {
            packet,
            port_at,
            first_port,
            flow: 0,
        }
    }

    /// Fills a frame. The UDP checksum is left alone: a router does not look at it.
    fn fill(&mut self, frame: &mut Frame) {
        frame.copy_from(&self.packet).expect("a frame has room");
        let port = (self.first_port + self.flow).to_be_bytes();
        frame.data_mut()[self.port_at..self.port_at + 2].copy_from_slice(&port);
        self.flow = if self.flow + 1 == FLOWS { 0 } else { self.flow + 1 };
    }
}

/// One worker between two ports.
struct Bed {
    dataplane: MemoryDataplane,
    clock: Monotonic,
    from: MemoryPeer,
    to: MemoryPeer,
    frames: Vec<Frame>,
    generator: Generator,
}

impl Bed {
    /// `flows`: how many the packets make. None where a label names their next hop.
    fn new(mut dataplane: MemoryDataplane, (from, to): (&str, &str), flows: u16, generator: Generator) -> Self {
        let mut cache = dataplane.pool.cache();
        let mut bed = Self {
            from: dataplane.take_peer(from).expect("a port"),
            to: dataplane.take_peer(to).expect("a port"),
            frames: (0..BATCH).map(|_| cache.take().expect("a free frame")).collect(),
            clock: Monotonic::start(),
            dataplane,
            generator,
        };
        // Once through all flows: the first packet of each is not what is measured.
        for _ in 0..=FLOWS as usize / BATCH {
            bed.turn(BATCH);
        }
        let before = bed.made();
        bed.turn(BATCH);
        assert_eq!(bed.made(), before, "every packet hits its flow");
        assert_eq!(before, (u64::from(flows), 0), "every flow was made");
        bed
    }

    /// Flows made, and packets that went without.
    fn made(&self) -> (u64, u64) {
        let counters = &self.dataplane.shared.counters[0];
        (counters.flows_created.get(), counters.uncached.get())
    }

    /// One batch, from fresh packets to empty frames.
    fn turn(&mut self, batch: usize) {
        for mut frame in self.frames.drain(..batch) {
            self.generator.fill(&mut frame);
            self.from.push(frame).expect("room in the ring");
        }
        let worker = self.dataplane.worker(0).expect("a worker");
        black_box(worker.turn(&self.clock));
        while let Some(frame) = self.to.pop() {
            self.frames.push(frame);
        }
        assert_eq!(
            self.frames.len(),
            BATCH,
            "what goes in comes out; dropped: {:?}",
            self.drops()
        );
    }

    fn drops(&self) -> Vec<(&'static str, u64)> {
        let port = |slot| self.dataplane.shared.counters[0].port(slot);
        let slots = || (0..8).filter_map(PortSlot::new);
        DropReason::ALL
            .iter()
            .map(|reason| (reason.name(), slots().map(|slot| port(slot).drops.get(*reason)).sum()))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

/// Measures `turn`, which carries `batch` packets: nanoseconds of CPU per packet.
fn measure(c: &mut Criterion, name: &str, batch: usize, mut turn: impl FnMut()) {
    let mut group = c.benchmark_group("pipeline");
    group.throughput(Throughput::Elements(1));
    group.bench_function(name, |b| {
        b.iter_custom(|packets| {
            let turns = packets.div_ceil(batch as u64);
            let start = cpu_time();
            (0..turns).for_each(|_| turn());
            let time = cpu_time().saturating_sub(start);
            time.mul_f64(packets as f64 / (turns * batch as u64) as f64)
        });
    });
    group.finish();
}

/// Copies and rings, with a port that gives back what it gets.
fn baseline(c: &mut Criterion) {
    let pool = FramePool::new(64, 2048).expect("frames");
    let mut cache = pool.cache();
    let (mut queue, mut peer) = pair(64);
    let plain = packet(Family::V4, (0, 0), (0, 1));
    let at = usize::from(parse(&plain).expect("a good packet").l4);
    let mut generator = Generator::new(plain, at);
    let mut frames: Vec<_> = (0..BATCH).map(|_| cache.take().expect("a free frame")).collect();
    let mut batch = Vec::with_capacity(BATCH);
    measure(c, "baseline: copy and rings alone", BATCH, || {
        for mut frame in frames.drain(..) {
            generator.fill(&mut frame);
            peer.push(frame).expect("room in the ring");
        }
        queue.receive(&mut cache, &mut batch, BATCH);
        queue.transmit(&mut cache, &mut batch);
        while let Some(frame) = peer.pop() {
            frames.push(frame);
        }
    });
}

/// From one workload to another of the same node.
fn flow_hit(c: &mut Criterion) {
    for family in [Family::V4, Family::V6] {
        let [node, _] = nodes(Tunnel::Vxlan, family);
        let plain = packet(family, (0, 0), (0, 1));
        let at = usize::from(parse(&plain).expect("a good packet").l4);
        let mut bed = Bed::new(node, ("w0", "w1"), FLOWS, Generator::new(plain, at));
        measure(c, &format!("flow hit, {family:?}"), BATCH, || bed.turn(BATCH));
        measure(c, &format!("flow hit, {family:?}, one packet per batch"), 1, || {
            bed.turn(1);
        });
    }
}

/// From a workload to the underlay, and from there to the other node's workload. The underlay is of the same family.
fn tunnels(c: &mut Criterion) {
    for tunnel in [Tunnel::Vxlan, Tunnel::Mpls] {
        for family in [Family::V4, Family::V6] {
            let [mut sender, receiver] = nodes(tunnel, family);
            let plain = packet(family, (0, 0), (1, 0));
            let at = usize::from(parse(&plain).expect("a good packet").l4);
            assert!(sender.send("w0", &plain), "room in the ring");
            sender.settle();
            let wrapped = sender.receive("up").expect("a packet in a tunnel");

            let mut bed = Bed::new(sender, ("w0", "up"), FLOWS, Generator::new(plain, at));
            measure(c, &format!("{tunnel:?} encapsulate, {family:?}"), BATCH, || {
                bed.turn(BATCH);
            });

            let at = inner_l4(tunnel, &wrapped);
            let flows = if tunnel == Tunnel::Vxlan { FLOWS } else { 0 };
            let mut bed = Bed::new(receiver, ("up", "w0"), flows, Generator::new(wrapped, at));
            measure(c, &format!("{tunnel:?} decapsulate, {family:?}"), BATCH, || {
                bed.turn(BATCH);
            });
        }
    }
}

/// Where the L4 header of the packet inside is.
fn inner_l4(tunnel: Tunnel, frame: &[u8]) -> usize {
    let outer = usize::from(parse(frame).expect("a good packet").l4) + 8;
    match tunnel {
        Tunnel::Vxlan => outer + 8 + usize::from(parse(&frame[outer + 8..]).expect("a good frame").l4),
        Tunnel::Mpls => outer + 4 + usize::from(parse_ip(&frame[outer + 4..]).expect("a good packet").l4),
    }
}

#[allow(missing_docs)] // Of what the macro makes.
mod groups {
    use super::*;
    criterion_group! {
        name = pipeline;
        config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(4));
        targets = baseline, flow_hit, tunnels
    }
}
criterion_main!(groups::pipeline);

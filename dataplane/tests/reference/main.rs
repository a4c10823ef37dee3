//! The pipeline against a naive reference router: on any packet and any tables, through any history of changes, both must do
//! the same. The reference shares no code with the pipeline: it parses by hand, scans lists, and remembers nothing but MACs and, where
//! policies, services and translations are, a list of connections.
#![allow(unreachable_pub)] // one crate, no public face
#![allow(clippy::unwrap_used, clippy::panic)] // what is not as it must be fails the test

#[path = "../lab/mod.rs"]
mod lab;

mod bridge;
mod connections;
mod decision;
mod generate;
mod headers;
mod nat;
mod packets;
mod policy;
mod reassembly;
mod router;
mod size;
mod speech;
mod town;
mod town_packets;
mod tunnel;
mod world;

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};

use generate::Dice;
use lab::node::{Dropped, Node, UPLINK};
use lab::outer::decode;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRng, TestRunner},
};
use router::{Flow, Out, Outcome};
use vrouter_dataplane::{
    packet::DropReason,
    program::{
        FIRST_UPLINK_ID,
        object::{Object, Operation},
    },
    wire::Mac,
};
use world::World;

/// The pipeline and the reference, side by side.
struct Both {
    node: Node,
    world: World,
    /// Entropy port that each flow was seen with.
    entropy: HashMap<(Flow, std::net::IpAddr), u16>,
    nanoseconds: u64,
    /// What came out did not tell what was chosen: nothing is known about what comes next.
    lost: bool,
}

impl Both {
    fn new(base: Vec<Object>) -> Self {
        let (mut node, mut world) = (Node::new(), World::default());
        for (index, (address, answers)) in generate::remotes().into_iter().enumerate() {
            if answers {
                let mac = Mac([2, 5, 0, 0, 0, index as u8]);
                node.underlay.push((address, mac));
                world.underlay.push((address, mac));
            }
        }
        let mut both = Self {
            node,
            world,
            entropy: HashMap::new(),
            nanoseconds: 0,
            lost: false,
        };
        let base: Vec<_> = base.into_iter().map(Operation::Put).collect();
        assert!(both.apply(&base), "the tables to begin with are refused");
        both
    }

    /// Applies a batch to both, unless it is refused.
    fn apply(&mut self, batch: &[Operation]) -> bool {
        let applied = self.node.apply(batch).is_ok();
        if applied {
            batch.iter().for_each(|operation| self.world.apply(operation));
        }
        self.node.check();
        applied
    }

    fn advance(&mut self, nanoseconds: u64) {
        self.nanoseconds += nanoseconds;
        self.node.advance(nanoseconds);
        self.world.now_s = self.nanoseconds / 1_000_000_000;
        self.world.now_ns = self.nanoseconds;
        self.node.pump();
    }

    /// Sends a frame through both and compares. Gives what came out.
    fn send(&mut self, interface: &str, frame: &[u8]) -> Vec<Out> {
        // Errors are limited to so many a second: give them time.
        self.advance(10_000_000);
        let before: BTreeMap<_, _> = totals(&self.node);
        let sent = self.node.send(interface, frame);
        let mut seen = Vec::new();
        for (interface, frame) in sent {
            seen.push(if interface == UPLINK {
                Out::Tunnel(decode(&frame))
            } else {
                Out::Port(interface, frame)
            });
        }
        let source = seen.first().and_then(source);
        let expected = router::receive(&mut self.world, interface, frame, source);
        let dropped = difference(&before, &totals(&self.node));
        let ingress = self
            .world
            .ports
            .iter()
            .find(|p| *p.interface == *interface)
            .map_or(FIRST_UPLINK_ID, |p| p.id);
        let fits = |outcome: &&Outcome| {
            let mut wanted = outcome.out.clone();
            wanted.sort();
            let mut got: Vec<_> = seen.iter().cloned().map(without_entropy).collect();
            got.sort();
            wanted == got && drops_of(outcome, ingress) == dropped
        };
        let fitting: Vec<_> = expected.iter().filter(fits).collect();
        let Some(outcome) = fitting.first() else {
            let mut shown = format!("{interface}: {}", hex(frame));
            for outcome in &expected {
                shown += &format!("\nreference: {} drops {:?}", show(&outcome.out), outcome.drops);
            }
            for connection in &self.world.connections {
                shown += &format!("\nknown: {connection:?}");
            }
            panic!("{shown}\npipeline:  {} drops {dropped:?}", show(&seen));
        };
        self.check_entropy(outcome, &seen);
        let blind = |c: &connections::Connection| {
            nat::source_of(&c.answers.turned()).1 == 0 && nat::source_of(&c.forward).1 != 0
        };
        self.lost |= outcome.connections.iter().any(blind)
            || fitting.iter().any(|other| other.connections != outcome.connections);
        self.world.connections.clone_from(&outcome.connections);
        seen
    }

    /// Packets of one flow have one entropy port, always.
    fn check_entropy(&mut self, outcome: &Outcome, seen: &[Out]) {
        let tunnels = outcome.out.iter().filter(|out| matches!(out, Out::Tunnel(_)));
        for (flow, wanted) in outcome.flows.iter().zip(tunnels) {
            let same = seen.iter().find(|out| without_entropy((*out).clone()) == *wanted);
            let Some(Out::Tunnel(outer)) = same else {
                panic!("found before, gone now")
            };
            // The underlay's family does not matter, nor does the remote: the port is of the inner flow.
            let known = self
                .entropy
                .entry((flow.clone(), outer.destination))
                .or_insert(outer.entropy);
            assert_eq!(*known, outer.entropy, "entropy port of {flow:?}");
        }
    }
}

/// Whom a packet that came out says it is from: address and port, or the identifier of an echo.
fn source(out: &Out) -> Option<(std::net::IpAddr, u16)> {
    let ip = headers::ip(ip_of(out)).ok()?;
    let port = if ip.ports.0 == 0 { ip.ports.1 } else { ip.ports.0 };
    Some((ip.source, port))
}

/// The IP packet in what came out. (An empty one, if it is something else.)
fn ip_of(out: &Out) -> &[u8] {
    match out {
        Out::Port(_, frame) => frame.get(14..).unwrap_or_default(),
        Out::Tunnel(outer) => match outer.shim {
            lab::outer::Shim::Vxlan { .. } => outer.inner.get(14..).unwrap_or_default(),
            lab::outer::Shim::Mpls { .. } => &outer.inner,
        },
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn show(out: &[Out]) -> String {
    let one = |out: &Out| match out {
        Out::Port(interface, frame) => format!("\n    {interface} {}", hex(frame)),
        Out::Tunnel(o) => {
            let (from, to) = (o.source, o.destination);
            format!(
                "\n    {:?} {from}->{to} tos {} {:?} {}",
                o.macs,
                o.tos,
                o.shim,
                hex(&o.inner)
            )
        }
    };
    out.iter().map(one).collect()
}

fn without_entropy(out: Out) -> Out {
    match out {
        Out::Tunnel(outer) => Out::Tunnel(lab::outer::Outer { entropy: 0, ..outer }),
        port @ Out::Port(..) => port,
    }
}

fn totals(node: &Node) -> BTreeMap<Dropped, u64> {
    node.drops().into_iter().collect()
}

fn difference(before: &BTreeMap<Dropped, u64>, after: &BTreeMap<Dropped, u64>) -> BTreeMap<Dropped, u64> {
    let grown = after
        .iter()
        .map(|(at, count)| (at.clone(), count - before.get(at).copied().unwrap_or(0)));
    grown.filter(|(_, count)| *count > 0).collect()
}

/// Law 4: each drop has one reason, counted at the port the frame came in by and at its VRF.
fn drops_of(outcome: &Outcome, ingress: u32) -> BTreeMap<Dropped, u64> {
    let mut drops = BTreeMap::new();
    for (reason, vrf) in &outcome.drops {
        let vrf = vrf.map(|vrf| format!("vrf {vrf}"));
        for at in std::iter::once(format!("port {ingress}")).chain(vrf) {
            *drops.entry(Dropped { reason, at }).or_default() += 1;
        }
    }
    drops
}

/// A history: tables, then steps, each a packet or a change.
fn run(tables: u64, steps: &[u64]) -> Vec<(Dropped, u64)> {
    let mut both = Both::new(generate::base(&mut Dice(tables)));
    let mut sent: Vec<(&'static str, Vec<u8>)> = Vec::new();
    for step in steps {
        let mut dice = Dice(*step);
        match dice.below(100) {
            0..18 => {
                let batch = generate::change(&mut dice);
                both.apply(&batch);
            }
            18..20 => {
                let all: Vec<_> = generate::base(&mut dice).into_iter().map(Operation::Put).collect();
                both.apply(&all);
            }
            20..22 => both.advance(dice.of(&[1, 4, 6, 100]) * 1_000_000_000),
            22..50 if !sent.is_empty() => {
                // A packet of a flow that is known, perhaps decided under other tables.
                let (interface, frame) = dice.of(&sent);
                send(&mut both, interface, &frame);
            }
            _ => {
                let (interface, frame) = packets::frame(&mut dice);
                send(&mut both, interface, &frame);
                sent.push((interface, frame));
            }
        }
    }
    for worker in &both.node.dp.shared.counters {
        assert_eq!(
            worker.errors_withheld.get(),
            0,
            "the clock moves slowly enough for every error"
        );
    }
    both.node.drops()
}

/// Sends a frame twice: with nothing changed between, a flow stays on its path.
fn send(both: &mut Both, interface: &str, frame: &[u8]) {
    let attached = interface == UPLINK || both.world.ports.iter().any(|p| *p.interface == *interface);
    if !attached || frame.is_empty() {
        return;
    }
    let fragments = both.world.fragments_seen;
    let first = both.send(interface, frame);
    let second_of_first = both.world.now_s;
    let second = both.send(interface, frame);
    // At the turn of a second, a learned MAC may be forgotten. A fragment that comes twice contradicts itself.
    if both.world.now_s == second_of_first && both.world.fragments_seen == fragments {
        assert_eq!(first, second, "the same frame twice on {interface}: {frame:02x?}");
    }
}

/// Runs a property on many histories. Gives the reasons of all drops on their ways. The cases are the same in every run; for more, and
/// others: set `VROUTER_REFERENCE_CASES`.
fn histories(cases: u32, property: impl Fn(u64, &[u64]) -> Vec<(Dropped, u64)>) -> BTreeMap<&'static str, u64> {
    let more = std::env::var("VROUTER_REFERENCE_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    let config = Config {
        cases: more.unwrap_or(cases),
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..Config::default()
    };
    let algorithm = config.rng_algorithm;
    let mut runner = match more {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(algorithm)),
    };
    let steps = prop::collection::vec(any::<u64>().no_shrink(), 8..70);
    let met = RefCell::new(BTreeMap::<_, u64>::new());
    let outcome = runner.run(&(any::<u64>().no_shrink(), steps), |(tables, steps)| {
        for (dropped, count) in property(tables, &steps) {
            *met.borrow_mut().entry(dropped.reason).or_default() += count;
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    println!("drops met: {:?}", met.borrow());
    met.into_inner()
}

#[test]
fn the_pipeline_agrees_with_the_reference() {
    let met = histories(256, run);
    let missed = DropReason::ALL.iter().filter(|reason| !met.contains_key(reason.name()));
    let missed: Vec<_> = missed
        .filter(|reason| ![&OUT_OF_REACH[..], &ELSEWHERE, &town::MET].concat().contains(reason))
        .collect();
    assert!(missed.is_empty(), "the packets made here never met {missed:?}");
}

/// Reasons that need a shortage or a race, which one packet at a time does not make.
const OUT_OF_REACH: [DropReason; 6] = [
    DropReason::UnknownPort,
    DropReason::NoFrame,
    DropReason::NoHeadroom,
    DropReason::TransmitQueueFull,
    DropReason::HandoffQueueFull,
    DropReason::PortDown,
];

/// Reasons of what the reference has not: tracking, limits, guards of neighbour discovery. Each has tests of its own.
const ELSEWHERE: [DropReason; 11] = [
    DropReason::FlowLimit,
    DropReason::FlowTableFull,
    DropReason::TcpOutOfWindow,
    DropReason::TcpBadReset,
    DropReason::TcpBadFlags,
    // Each frame is sent twice, and a fragment that comes twice loses what waits of its datagram at once.
    DropReason::FragmentTimeout,
    DropReason::FragmentQuota,
    DropReason::SpoofedNd,
    DropReason::RogueRa,
    DropReason::PolicerExceeded,
    DropReason::ShaperFull,
];

//! A worker between two ports, and the loop that is measured.

use std::{cell::Cell, collections::VecDeque, sync::Arc};

use vrouter_bench::figures::ticks::{self, Scale};
use vrouter_dataplane::{
    engine::{
        clock::{Monotonic, Ticking},
        memory::MemoryDataplane,
    },
    packet::{DropReason, Frame},
    pipeline::Shared,
    port::memory::MemoryPeer,
    tables::slots::PortSlot,
    worker::{Clock, Worker},
};

use super::{
    lab::{PAIR, Scene, Tunnel, Way, mac, owner},
    packets::{Family, Generator, Net, Order, Pattern, SIZE, answer, inside},
};

/// Packets of a batch, unless said otherwise.
pub(crate) const BATCH: usize = 32;

/// Frames that packets take in turn: as many as the ring of an uplink holds.
const FRAMES: usize = 2048;

/// Turns of a stretch at most, which is measured again when the scheduler took the CPU away meanwhile.
const STRETCH: u64 = 64;

/// Ticks after which a stretch ends with the turn: a small part of what a scheduler gives at a time, however slow the turns are.
const STRETCH_TICKS: u64 = 250_000;

/// How often in a row a stretch is measured again. On a machine as busy as that, what is measured means little.
const PATIENCE: u64 = 100;

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// Longer than the shortest of the daemon's timeouts, so that new flows are looked at once.
const LATER: u64 = 15 * SECOND;

/// The daemon's clock, which can be moved on.
#[derive(Debug)]
struct BedClock {
    clock: Ticking<Monotonic>,
    ahead: Cell<u64>,
}

impl Clock for BedClock {
    #[inline]
    fn now(&self) -> u64 {
        self.clock.now() + self.ahead.get()
    }
}

/// What turns took, in ticks.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Taken {
    /// The turns alone.
    pub(crate) turns: u64,
    /// With the feeding.
    pub(crate) all: u64,
    /// Packets.
    pub(crate) packets: u64,
    /// Stretches that were measured again.
    pub(crate) repeated: u64,
}

impl Taken {
    pub(crate) fn add(&mut self, other: Self) {
        self.turns += other.turns;
        self.all += other.all;
        self.packets += other.packets;
        self.repeated += other.repeated;
    }

    /// Nanoseconds of a packet: of turns alone, and with the feeding.
    pub(crate) fn nanoseconds(&self, scale: &Scale) -> (f64, f64) {
        let each = |ticks: u64| scale.nanoseconds(ticks as f64) / self.packets.max(1) as f64;
        (each(self.turns), each(self.all))
    }
}

/// One worker between two ports, with its own frames and packets: all that a thread needs.
pub(crate) struct Lane {
    worker: Worker,
    clock: BedClock,
    from: MemoryPeer,
    to: MemoryPeer,
    frames: VecDeque<Frame>,
    generator: Generator,
    shared: Arc<Shared>,
    way: Way,
    /// How far the clock is moved on for each packet, nanoseconds.
    pace: u64,
    empty: u64,
}

impl Lane {
    /// Puts fresh packets into the ring.
    fn feed(&mut self, packets: usize) {
        for _ in 0..packets {
            let mut frame = self.frames.pop_front().expect("a free frame");
            self.generator.fill(&mut frame);
            self.from.push(frame).expect("room in the ring");
        }
    }

    /// Takes the frames of a batch out of the ring; `look`: and looks what is in them.
    fn drain(&mut self, packets: usize, look: bool) {
        for _ in 0..packets {
            let frame = self.to.pop().expect("what goes in comes out");
            if look {
                check(self.way, frame.data());
            }
            self.frames.push_back(frame);
        }
        assert!(self.to.pop().is_none(), "nothing else comes out");
    }

    /// One batch. Gives the ticks of the turn.
    #[inline]
    fn turn(&mut self, batch: usize, look: bool) -> u64 {
        self.feed(batch);
        self.clock.ahead.set(self.clock.ahead.get() + self.pace * batch as u64);
        let begin = ticks::begin();
        let turn = self.worker.turn(&self.clock);
        let end = ticks::end();
        assert_eq!(
            (turn.received, turn.sent),
            (batch, batch),
            "received and sent; dropped: {:?}",
            drops(&self.shared)
        );
        self.drain(batch, look);
        (end - begin).saturating_sub(self.empty)
    }

    /// So many packets at least, in batches.
    pub(crate) fn run(&mut self, packets: u64, batch: usize) -> Taken {
        let mut left = packets.div_ceil(batch as u64);
        let (mut taken, mut again) = (Taken::default(), 0);
        while left > 0 {
            let (preempted, begin) = (ticks::preemptions(), ticks::begin());
            let (mut turns, mut spent, mut all) = (0, 0, 0);
            while turns < left.min(STRETCH) && all < STRETCH_TICKS {
                spent += self.turn(batch, turns == 0);
                turns += 1;
                all = ticks::end() - begin;
            }
            if ticks::preemptions() != preempted && again < PATIENCE {
                again += 1;
                taken.repeated += 1;
                continue;
            }
            again = 0;
            left -= turns;
            taken.add(Taken {
                turns: spent,
                all,
                packets: turns * batch as u64,
                repeated: 0,
            });
        }
        taken
    }

    /// The first packet of each flow, and with `answers` the answer to it.
    fn establish(&mut self, flows: u32, answers: bool) {
        let order = std::mem::replace(&mut self.generator.order, Order::Up(0));
        let mut left = flows as usize;
        while left > 0 {
            let batch = left.min(BATCH);
            self.turn(batch, true);
            if answers {
                self.answer(batch);
            }
            left -= batch;
        }
        self.generator.order = order;
    }

    /// Answers the packets that came out last.
    fn answer(&mut self, batch: usize) {
        for _ in 0..batch {
            let mut frame = self.frames.pop_back().expect("a frame that came out");
            let mut bytes = frame.data().to_vec();
            answer(&mut bytes);
            frame.copy_from(&bytes).expect("a frame has room");
            self.to.push(frame).expect("room in the ring");
        }
        self.worker.turn(&self.clock);
        for _ in 0..batch {
            let frame = self.from.pop().expect("answers come back");
            self.frames.push_back(frame);
        }
    }

    /// Has the worker look after all flows that were just made, as it would within seconds, so that it need not while it is measured.
    fn settle(&mut self, flows: usize) {
        self.clock.ahead.set(self.clock.ahead.get() + LATER);
        for _ in 0..1000 + flows / 64 {
            let turn = self.worker.turn(&self.clock);
            assert_eq!(turn.received + turn.sent, 0, "nothing moves by itself");
        }
    }
}

/// That a frame came out as it should.
fn check(way: Way, frame: &[u8]) {
    let (ip, ethernet) = inside(frame);
    let v4 = frame[ip] >> 4 == 4;
    let in_tunnel = ip > 14;
    let expected = match way {
        Way::Encapsulate(Tunnel::Vxlan) => in_tunnel && ethernet.is_some(),
        Way::Encapsulate(Tunnel::Mpls) => in_tunnel && ethernet.is_none(),
        Way::Local | Way::Decapsulate(_) | Way::Translate => !in_tunnel && frame.len() == SIZE,
    };
    assert!(expected, "{way:?} gave {frame:02x?}");
    assert_eq!(frame[ip + if v4 { 8 } else { 7 }], 63, "one hop less: {frame:02x?}");
    if way == Way::Translate {
        let family = if v4 { Family::V4 } else { Family::V6 };
        let net = match family.address(Net::Outside, 0) {
            std::net::IpAddr::V4(net) => net.octets()[..3] == frame[ip + 12..ip + 15],
            std::net::IpAddr::V6(net) => net.octets()[..14] == frame[ip + 8..ip + 22],
        };
        assert!(net, "the source is translated: {frame:02x?}");
    }
}

/// What the packets of a bed find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Meets {
    /// Flows that are there: so many, answered or not. None where a label names the next hop.
    Known { flows: u32, answered: bool },
    /// None: each is the first of its flow. The clock is moved on so that about so many flows live, and as many end as begin.
    New {
        alive: u32,
        /// How long a flow of theirs lives, nanoseconds.
        lifetime: u64,
    },
}

/// How long a flow without an answer lives, by the daemon's defaults.
pub(crate) const UNREPLIED: u64 = 30 * SECOND;

/// How long a flow that is not tracked lives, by the daemon's defaults.
pub(crate) const UNTRACKED: u64 = 120 * SECOND;

/// A dataplane whose workers are driven by hand.
pub(crate) struct Bed {
    dataplane: MemoryDataplane,
    pub(crate) lanes: Vec<Lane>,
    meets: Meets,
    before: Counts,
}

/// What workers have counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) created: u64,
    pub(crate) uncached: u64,
    pub(crate) refused: u64,
    pub(crate) expired: u64,
    pub(crate) evicted: u64,
    received: u64,
}

impl Bed {
    /// A lane for each pair of ports, whose packets `pattern` and `order` give.
    pub(crate) fn new(
        scene: &Scene,
        mut dataplane: MemoryDataplane,
        meets: Meets,
        traffic: impl Fn(usize) -> (Pattern, Order),
    ) -> Self {
        let scale = Scale::measure();
        let mut cache = dataplane.pool.cache();
        let mut workers: Vec<_> = dataplane.take_workers().into_iter().map(Some).collect();
        let lanes: Vec<_> = (0..scene.pairs)
            .map(|pair| {
                let (from, to) = scene.way.ports(pair, scene.pairs);
                let owners = (owner(&dataplane, &from), owner(&dataplane, &to));
                assert_eq!(owners.0, owners.1, "both ports of a pair are the same worker's");
                let (pattern, order) = traffic(pair);
                let (client, family) = (mac(pair as u32), (scene.family, pair as u32 * PAIR));
                Lane {
                    worker: workers[owners.0].take().expect("a worker has one pair"),
                    clock: BedClock {
                        clock: Monotonic::start().ticking(),
                        ahead: Cell::new(0),
                    },
                    from: dataplane.take_peer(&from).expect("a port"),
                    to: dataplane.take_peer(&to).expect("a port"),
                    frames: (0..FRAMES).map(|_| cache.take().expect("a free frame")).collect(),
                    generator: Generator::new(family, client, pattern, order, scene.wrapping()),
                    shared: dataplane.shared.clone(),
                    way: scene.way,
                    pace: 0,
                    empty: scale.empty,
                }
            })
            .collect();
        let mut bed = Self {
            dataplane,
            lanes,
            meets,
            before: Counts::default(),
        };
        bed.prepare();
        bed
    }

    /// Makes the flows that are to be there.
    fn prepare(&mut self) {
        let lanes = self.lanes.len() as u32;
        match self.meets {
            Meets::Known { flows, answered } => {
                for lane in &mut self.lanes {
                    lane.establish(flows / lanes, answered);
                    lane.settle((flows / lanes) as usize);
                }
            }
            Meets::New { alive, lifetime } => {
                for lane in &mut self.lanes {
                    lane.pace = lifetime / u64::from(alive / lanes);
                    // Until flows end as they begin.
                    lane.run(u64::from(alive / lanes) * 5 / 2, BATCH);
                }
            }
        }
        let counts = self.counts();
        if let Meets::Known { flows, .. } = self.meets {
            assert_eq!(
                (counts.created, counts.uncached),
                (u64::from(flows / lanes * lanes), 0),
                "every flow was made"
            );
        }
        self.before = counts;
    }

    /// The only lane.
    pub(crate) fn lane(&mut self) -> &mut Lane {
        &mut self.lanes[0]
    }

    /// What was counted since it was made, after seeing that packets met what they should.
    pub(crate) fn checked(&self) -> Counts {
        let (now, before) = (self.counts(), self.before);
        let since = Counts {
            created: now.created - before.created,
            uncached: now.uncached - before.uncached,
            refused: now.refused - before.refused,
            expired: now.expired - before.expired,
            evicted: now.evicted - before.evicted,
            received: now.received - before.received,
        };
        assert_eq!(
            (since.refused, since.uncached),
            (0, 0),
            "flows have room; dropped: {:?}",
            drops(self.shared())
        );
        match self.meets {
            Meets::Known { .. } => assert_eq!(
                (since.created, since.expired + since.evicted),
                (0, 0),
                "every packet hits"
            ),
            Meets::New { .. } => {
                assert_eq!(since.created, since.received, "every packet makes a flow");
                let ended = (since.expired + since.evicted) as f64 / since.created.max(1) as f64;
                assert!(
                    since.created < 1_000_000 || (0.9..1.1).contains(&ended),
                    "as many end as begin: {since:?}"
                );
            }
        }
        assert_eq!(drops(self.shared()), [], "nothing is dropped");
        since
    }

    fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for counters in &self.shared().counters {
            sum.created += counters.flows_created.get();
            sum.uncached += counters.uncached.get();
            sum.refused += counters.flows_refused.get();
            sum.expired += counters.flows_expired.get();
            sum.evicted += counters.flows_evicted.get();
            sum.received += slots().map(|slot| counters.port(slot).rx_packets.get()).sum::<u64>();
        }
        sum
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.dataplane.shared
    }
}

fn drops(shared: &Shared) -> Vec<(&'static str, u64)> {
    let counters = || shared.counters.iter();
    let of = |reason| {
        counters()
            .flat_map(|c| slots().map(|slot| c.port(slot).drops.get(reason)))
            .sum::<u64>()
    };
    let reasons = DropReason::ALL.iter().map(|reason| (reason.name(), of(*reason)));
    reasons.filter(|(_, count)| *count > 0).collect()
}

fn slots() -> impl Iterator<Item = PortSlot> {
    (0..16).filter_map(PortSlot::new)
}

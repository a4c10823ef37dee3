//! One node on memory ports. The test plays its workloads and its underlay, and after every step the frames are counted.

use std::{
    cell::RefCell,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use vrouter_dataplane::{
    engine::{
        Settings,
        memory::{MemoryDataplane, MemoryUplink},
    },
    packet::DropReason,
    program::{
        object::{Object, Operation},
        problem::Problem,
    },
    tables::slots::{PortSlot, VrfSlot},
    tap::{CaptureSpec, Point, Record},
    wire::Mac,
    worker::Running,
};

use super::{
    bytes::{advertisement, arp},
    outer::{address4, address6, mac, word},
    settings,
};

pub const UPLINK: &str = "up";
pub const UPLINK_MAC: Mac = Mac([2, 1, 0, 0, 0, 1]);
pub const VTEP4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const VTEP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// Nanoseconds of a second.
pub const SECOND: u64 = 1_000_000_000;

/// A frame that came out, and the interface it came out of.
pub type Sent = (String, Vec<u8>);

/// A drop as counted: reason, and whether per VRF.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dropped {
    pub reason: &'static str,
    pub at: String,
}

pub struct Node {
    pub dp: MemoryDataplane,
    /// Stations of the underlay that answer ARP and neighbour solicitations.
    pub underlay: Vec<(IpAddr, Mac)>,
    /// Frames that came out and nobody has looked at.
    out: Vec<Sent>,
    /// Of everything: what is captured is compared with what is counted.
    capture: Running,
    captured: RefCell<Captured>,
}

/// What was captured so far.
#[derive(Default)]
struct Captured {
    received: u64,
    transmitted: u64,
    /// By reason.
    drops: Vec<u64>,
    /// What was dropped since somebody looked, with its bytes.
    dropped: Vec<(Record, Vec<u8>)>,
}

impl Node {
    pub fn new() -> Self {
        Self::with(&settings(), 1024, 2048)
    }

    pub fn with(settings: &Settings, frames: u32, chunk: u16) -> Self {
        let uplink = MemoryUplink {
            name: UPLINK,
            mac: UPLINK_MAC,
            addresses: vec![(VTEP4.into(), 24), (VTEP6.into(), 64)],
            gateways: Vec::new(),
        };
        let dp = MemoryDataplane::new(settings, vec![uplink], frames, chunk).unwrap();
        let spec = CaptureSpec {
            filter: None,
            received: true,
            transmitted: true,
            dropped: true,
            snap: 128,
            sample: 1,
            rate: 0,
            buffer: 256 << 10,
        };
        let capture = dp.programmer.fleet().captures().begin(spec, |_| {}).unwrap();
        let mut node = Self {
            dp,
            underlay: Vec::new(),
            out: Vec::new(),
            capture,
            captured: RefCell::default(),
        };
        node.pump();
        node
    }

    pub fn put(&mut self, objects: impl IntoIterator<Item = Object>) {
        let operations: Vec<_> = objects.into_iter().map(Operation::Put).collect();
        if let Err(problems) = self.apply(&operations) {
            panic!("refused: {}", problems[0]);
        }
    }

    pub fn apply(&mut self, operations: &[Operation]) -> Result<u64, Vec<Problem>> {
        let outcome = self.dp.apply(operations);
        self.pump();
        outcome
    }

    pub fn advance(&mut self, nanoseconds: u64) {
        self.dp.clock.advance(nanoseconds);
    }

    /// Lets everything move until nothing does; the underlay's stations answer meanwhile.
    pub fn pump(&mut self) {
        loop {
            self.dp.settle();
            let mut answers = Vec::new();
            for interface in self.interfaces() {
                while let Some(frame) = self.dp.receive(&interface) {
                    if interface != UPLINK || !is_question(&frame) {
                        self.out.push((interface.clone(), frame));
                        continue;
                    }
                    answers.extend(self.answer(&frame));
                }
            }
            if answers.is_empty() {
                return;
            }
            for answer in answers {
                assert!(self.dp.send(UPLINK, &answer));
            }
        }
    }

    /// Sends a frame into a port. Gives all that came out then.
    pub fn send(&mut self, interface: &str, frame: &[u8]) -> Vec<Sent> {
        assert!(self.dp.send(interface, frame), "{interface} does not take the frame");
        self.pump();
        self.check();
        self.take()
    }

    /// As [`send`](Self::send), where one frame must come out of this interface, and nothing else.
    pub fn one(&mut self, interface: &str, frame: &[u8], from: &str) -> Vec<u8> {
        let mut out = self.send(interface, frame);
        assert_eq!(out.len(), 1, "{out:02x?}; drops so far: {:?}", self.drops());
        assert_eq!(out[0].0, from, "drops so far: {:?}", self.drops());
        out.remove(0).1
    }

    /// As [`send`](Self::send), where nothing must come out and the frame must be dropped for this reason.
    pub fn dropped(&mut self, interface: &str, frame: &[u8], reason: DropReason) {
        let before = self.count(reason);
        let out = self.send(interface, frame);
        assert_eq!(out, [], "{reason:?} expected; drops so far: {:?}", self.drops());
        assert_eq!(
            self.count(reason),
            before + 1,
            "{reason:?}; drops so far: {:?}",
            self.drops()
        );
    }

    /// Frames that came out since the last call.
    pub fn take(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.out)
    }

    /// Frames that wait: fragments for their head, packets for their limit.
    pub fn held(&self) -> u64 {
        let of = |c: &vrouter_dataplane::pipeline::counters::Counters| c.fragments_held.get() + c.shaped.get();
        self.dp.shared.counters.iter().map(of).sum()
    }

    /// Law 1: every frame is in exactly one place. All have come to rest here, and the test has taken out what came out.
    pub fn check(&self) {
        let (mut came, mut went) = (0, self.held());
        for counters in &self.dp.shared.counters {
            came += counters.originated.get();
            went += counters.punted.get() + counters.fragmented.get();
            went += counters.segmented.get() + counters.coalesced.get();
            for slot in port_slots() {
                let port = counters.port(slot);
                came += port.rx_packets.get();
                went += port.tx_packets.get() + port.drops.total();
            }
        }
        came += self.dp.shared.injected.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(
            came,
            went,
            "frames in and made, frames out, dropped and held; drops {:?}",
            self.drops()
        );
        self.check_captured();
        let free = self.dp.pool.free() + self.held() as usize;
        assert_eq!(free, self.dp.pool.total() as usize, "frames in the pool");
    }

    /// Law 4: what is dropped can be captured with its reason; and so can all that comes and goes.
    fn check_captured(&self) {
        let mut captured = self.captured.borrow_mut();
        let captured = &mut *captured;
        captured.drops.resize(DropReason::COUNT, 0);
        captured.dropped.clear();
        let capture = self.capture.capture();
        let mut bytes = Vec::new();
        for worker in 0..capture.workers() {
            while let Some(record) = capture.take(worker, &mut bytes) {
                match record.point {
                    Point::Received => captured.received += 1,
                    Point::Transmitted => captured.transmitted += 1,
                    Point::Dropped(reason) => {
                        captured.drops[reason as usize] += 1;
                        captured.dropped.push((record, bytes.clone()));
                    }
                }
            }
        }
        let sum = |count: fn(&vrouter_dataplane::pipeline::counters::PortCounters) -> u64| -> u64 {
            let all = &self.dp.shared.counters;
            all.iter()
                .flat_map(|c| port_slots().map(|slot| count(c.port(slot))))
                .sum()
        };
        let (received, sent) = (sum(|port| port.rx_packets.get()), sum(|port| port.tx_packets.get()));
        // What a queue did not take was captured on its way into it, and may be once more when it is taken or given up.
        let refused = self.count(DropReason::TransmitQueueFull);
        let dropped = sum(|port| port.drops.total());
        let counts = capture.counts();
        let least = received + sent + dropped;
        assert!(
            (least..=least + refused).contains(&counts.matched),
            "{counts:?}, {least} counted"
        );
        if counts.lost > 0 {
            // More than the ring holds between two looks.
            return;
        }
        assert_eq!(captured.received, received, "received");
        assert!((sent..=sent + refused).contains(&captured.transmitted), "sent");
        // For each reason that was captured, as many as were counted; and there are no others.
        for reason in DropReason::ALL {
            let seen = captured.drops[*reason as usize];
            assert!(seen == 0 || seen == self.count(*reason), "{reason:?}: {seen} captured");
        }
        assert_eq!(captured.drops.iter().sum::<u64>(), dropped, "dropped");
    }

    /// What was dropped by the last step, as it was captured.
    pub fn captured_drops(&self) -> Vec<(Record, Vec<u8>)> {
        std::mem::take(&mut self.captured.borrow_mut().dropped)
    }

    /// All drops so far, once per port and once per VRF they are counted at.
    pub fn drops(&self) -> Vec<(Dropped, u64)> {
        let snapshot = self.dp.programmer.snapshot();
        let mut found = Vec::new();
        let mut add = |reason: &DropReason, at: &str, count: u64| {
            if count > 0 {
                found.push((
                    Dropped {
                        reason: reason.name(),
                        at: at.to_string(),
                    },
                    count,
                ));
            }
        };
        for counters in &self.dp.shared.counters {
            for slot in port_slots() {
                let at = snapshot
                    .port_at(slot)
                    .map_or(format!("port slot {slot:?}"), |(id, _)| format!("port {id}"));
                for reason in DropReason::ALL {
                    add(reason, &at, counters.port(slot).drops.get(*reason));
                }
            }
            for slot in (0..64).filter_map(VrfSlot::new) {
                let at = snapshot
                    .vrf_at(slot)
                    .map_or(format!("VRF slot {slot:?}"), |(id, _)| format!("vrf {id}"));
                for reason in DropReason::ALL {
                    add(reason, &at, counters.vrf(slot).drops.get(*reason));
                }
            }
        }
        found
    }

    /// Drops for a reason so far, over all ports.
    pub fn count(&self, reason: DropReason) -> u64 {
        let ports = |slot| {
            self.dp
                .shared
                .counters
                .iter()
                .map(move |c| c.port(slot).drops.get(reason))
                .sum::<u64>()
        };
        port_slots().map(ports).sum()
    }

    fn interfaces(&self) -> Vec<String> {
        use vrouter_dataplane::program::Dumped;
        let snapshot = self.dp.programmer.snapshot();
        let ports = snapshot.ports().filter_map(|dumped| match dumped {
            Dumped::Port { spec, .. } => Some(spec.interface.to_string()),
            _ => None,
        });
        ports.collect()
    }

    /// What the underlay's stations say to a question.
    fn answer(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let known = |address: IpAddr| self.underlay.iter().find(|(a, _)| *a == address).map(|(_, mac)| *mac);
        let asker = mac(&frame[6..12]);
        if frame[12..14] == [8, 6] {
            let (own, target) = (address4(&frame[28..32]), address4(&frame[38..42]));
            let (IpAddr::V4(own), IpAddr::V4(to)) = (own, target) else {
                return None;
            };
            return Some(arp(asker, 2, (known(target)?, to), (asker, own)));
        }
        let (own, target) = (address6(&frame[22..38]), address6(&frame[62..78]));
        let (IpAddr::V6(own), IpAddr::V6(to)) = (own, target) else {
            return None;
        };
        Some(advertisement(known(target)?, to, (asker, own), 0x60))
    }
}

fn port_slots() -> impl Iterator<Item = PortSlot> {
    (0..64).filter_map(PortSlot::new)
}

/// ARP, a neighbour solicitation or advertisement of the node itself.
fn is_question(frame: &[u8]) -> bool {
    match word(frame, 12) {
        0x0806 => true,
        0x86dd => frame[20] == 58 && matches!(frame[54], 135 | 136),
        _ => false,
    }
}

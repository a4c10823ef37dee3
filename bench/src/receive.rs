//! The receiver's loop: counts what comes until time is up or all has come.

use std::{
    io,
    ops::RangeInclusive,
    sync::atomic::{AtomicBool, Ordering},
};

use hdrhistogram::CreationError;

use crate::{
    Clock, Live,
    classify::{Carried, Found, classify},
    latency::Latency,
    rate::l2_bits,
    report::{CarriedReport, ReceiveReport, per_second},
    sequence::Sequence,
};

/// Most streams that are followed: a bound for memory. Packets of more count as other frames.
const MAX_STREAMS: usize = 64;

/// Nanoseconds that a stopped receiver goes on for, if nothing else is said, for packets that are still under way.
pub const LINGER: u64 = 200_000_000;

/// Where packets come from.
pub trait Receive {
    /// Gives the frames that have come to `each`, with the number of their queue, and takes them back. Waits a little if there
    /// are none. Gives how many there were.
    ///
    /// # Errors
    /// The port is broken.
    fn receive(&mut self, each: &mut dyn FnMut(usize, &[u8])) -> io::Result<usize>;

    /// Frames that were dropped before we could see them, since the port was opened.
    fn dropped(&self) -> u64;
}

/// What to receive, and how long.
#[derive(Debug, Clone)]
pub struct ReceivePlan {
    /// Stop after so many nanoseconds.
    pub duration: u64,
    /// Stop once so many different packets have come.
    pub expect: Option<u64>,
    /// Receive only these streams.
    pub streams: Option<RangeInclusive<u16>>,
    /// Count all frames, though they carry no stamp: nothing is known of their order and latency.
    pub unstamped: bool,
    /// Once told to stop, go on for so many nanoseconds, for packets that are still under way.
    pub linger: u64,
}

/// What was received.
#[derive(Debug, Clone)]
pub struct Received {
    /// What there is to say.
    pub report: ReceiveReport,
    /// All latencies.
    pub latency: Latency,
}

/// Receives until the plan is done, or `stop` is set and what was under way has come. What [`Live::total`] tells while it runs is
/// expected too.
///
/// # Errors
/// The port is broken.
pub fn receive(
    port: &mut impl Receive,
    clock: &impl Clock,
    plan: &ReceivePlan,
    live: &Live,
    stop: &AtomicBool,
) -> io::Result<Received> {
    let mut tally = Tally::new(plan).map_err(io::Error::other)?;
    let dropped_before = port.dropped();
    let mut end = clock.now().saturating_add(plan.duration);
    let mut stopped = false;
    loop {
        // The time is read behind the first frame: only then had the batch come.
        let mut came_at = None;
        let count = port.receive(&mut |queue, frame| {
            let now = *came_at.get_or_insert_with(|| clock.now());
            tally.receive(queue, frame, now);
        })?;
        let now = clock.now();
        if count > 0 {
            live.received.store(tally.packets, Ordering::Relaxed);
        }
        if stop.load(Ordering::Relaxed) && !stopped {
            stopped = true;
            end = end.min(now.saturating_add(plan.linger));
        }
        let expect = plan.expect.unwrap_or_else(|| live.total.load(Ordering::Relaxed));
        if now >= end || tally.unique() >= expect {
            let dropped = port.dropped().saturating_sub(dropped_before);
            return Ok(Received {
                report: tally.report(plan.expect, dropped),
                latency: tally.latency,
            });
        }
    }
}

/// What has come so far.
#[derive(Debug)]
struct Tally {
    only: Option<RangeInclusive<u16>>,
    unstamped: bool,
    streams: Vec<(u16, Sequence)>,
    packets: u64,
    bytes: u64,
    l2_bits: u64,
    damaged: u64,
    other: u64,
    carried: CarriedReport,
    latency: Latency,
    first: u64,
    last: u64,
}

impl Tally {
    fn new(plan: &ReceivePlan) -> Result<Self, CreationError> {
        Ok(Self {
            only: plan.streams.clone(),
            unstamped: plan.unstamped,
            streams: Vec::new(),
            packets: 0,
            bytes: 0,
            l2_bits: 0,
            damaged: 0,
            other: 0,
            carried: CarriedReport::default(),
            latency: Latency::new()?,
            first: 0,
            last: 0,
        })
    }

    fn receive(&mut self, queue: usize, frame: &[u8], now: u64) {
        if self.unstamped {
            self.count(frame, now);
            return;
        }
        let wanted = |stream| self.only.as_ref().is_none_or(|only| only.contains(&stream));
        let ours = classify(frame).filter(|found| wanted(found.stamp.stream));
        let Some(found) = ours.filter(|found| self.follow(queue, found)) else {
            self.other += 1;
            return;
        };
        self.count(frame, now);
        self.damaged += u64::from(!found.intact);
        match found.carried {
            Carried::Plain => self.carried.plain += 1,
            Carried::Vxlan => self.carried.vxlan += 1,
            Carried::Mpls => self.carried.mpls += 1,
        }
        // Another machine's clock may be ahead of ours; then there is nothing to say.
        if let Some(latency) = now.checked_sub(found.stamp.sent_at) {
            self.latency.record(latency);
        }
    }

    fn count(&mut self, frame: &[u8], now: u64) {
        if self.packets == 0 {
            self.first = now;
        }
        self.last = now;
        self.packets += 1;
        self.bytes += frame.len() as u64;
        self.l2_bits += l2_bits(frame.len());
    }

    /// Follows the packet's stream; false if it is one too many.
    fn follow(&mut self, queue: usize, found: &Found) -> bool {
        let (stamp, full) = (found.stamp, self.streams.len() >= MAX_STREAMS);
        match self.streams.iter_mut().find(|(stream, _)| *stream == stamp.stream) {
            Some((_, sequence)) => sequence.receive(stamp.sequence, queue),
            None if full => return false,
            None => self.streams.push((stamp.stream, Sequence::new(stamp.sequence, queue))),
        }
        true
    }

    fn sum(&self, of: impl Fn(&Sequence) -> u64) -> u64 {
        self.streams.iter().map(|(_, sequence)| of(sequence)).sum()
    }

    fn unique(&self) -> u64 {
        if self.unstamped {
            return self.packets;
        }
        self.sum(|s| s.unique)
    }

    fn report(&self, expected: Option<u64>, dropped_by_kernel: u64) -> ReceiveReport {
        let time = self.last - self.first;
        let rate = per_second(self.packets, time);
        let mean_bits = self.l2_bits as f64 / self.packets.max(1) as f64;
        ReceiveReport {
            packets: self.packets,
            bytes: self.bytes,
            seconds: time as f64 / 1e9,
            packets_per_second: rate,
            l2_bits_per_second: rate * mean_bits,
            expected,
            lost: match expected {
                Some(expected) => expected.saturating_sub(self.unique()),
                None => self.sum(Sequence::lost),
            },
            duplicates: self.sum(|s| s.duplicates),
            reordered: self.sum(|s| s.reordered),
            damaged: self.damaged,
            other_frames: self.other,
            dropped_by_kernel,
            streams: self.streams.len(),
            carried: self.carried,
            latency: self.latency.report(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{stamp::Stamp, traffic::tests::traffic};
    use std::cell::Cell;

    struct FakeClock(Cell<u64>);

    impl Clock for FakeClock {
        fn now(&self) -> u64 {
            self.0.get()
        }
        fn wait(&self, _: u64) {}
    }

    /// Gives one batch per call, each a microsecond after the last.
    struct FakePort<'a> {
        clock: &'a FakeClock,
        batches: std::vec::IntoIter<Vec<Vec<u8>>>,
    }

    impl Receive for FakePort<'_> {
        fn receive(&mut self, each: &mut dyn FnMut(usize, &[u8])) -> io::Result<usize> {
            self.clock.0.set(self.clock.0.get() + 1_000);
            let batch = self.batches.next().unwrap_or_default();
            batch.iter().for_each(|frame| each(0, frame));
            Ok(batch.len())
        }
        fn dropped(&self) -> u64 {
            4
        }
    }

    fn packet(stream: u16, sequence: u32, sent_at: u64) -> Vec<u8> {
        let mut buffer = vec![0; 64];
        let stamp = Stamp {
            stream,
            sequence,
            sent_at,
        };
        traffic("10.0.0.1", "10.0.0.2", "64:1", 1).write(&mut buffer, 0, stamp);
        buffer
    }

    fn run(batches: Vec<Vec<Vec<u8>>>, plan: ReceivePlan, stop: bool) -> (ReceiveReport, u64) {
        let clock = FakeClock(Cell::new(0));
        let mut port = FakePort {
            clock: &clock,
            batches: batches.into_iter(),
        };
        let received = receive(&mut port, &clock, &plan, &Live::default(), &AtomicBool::new(stop)).unwrap();
        (received.report, clock.now())
    }

    const PLAN: ReceivePlan = ReceivePlan {
        duration: 1_000_000_000,
        expect: None,
        streams: None,
        unstamped: false,
        linger: LINGER,
    };

    #[test]
    fn tells_all_about_what_came() {
        let mut damaged = packet(1, 3, 0);
        damaged[63] ^= 1;
        let batches = vec![
            vec![packet(1, 0, 500), vec![0; 60]],
            vec![packet(1, 2, 500), packet(1, 1, 500), packet(1, 1, 500)],
            vec![damaged, packet(1, 6, 1_000_000_000_000)],
        ];
        let (report, end) = run(batches, PLAN, false);
        assert_eq!(end, 1_000_000_000);
        assert_eq!((report.packets, report.bytes, report.other_frames), (6, 384, 1));
        assert_eq!(
            (report.lost, report.duplicates, report.reordered, report.damaged),
            (2, 1, 1, 1)
        );
        assert_eq!((report.streams, report.dropped_by_kernel), (1, 0));
        assert_eq!(report.carried.plain, 6);
        assert_eq!((report.seconds, report.packets_per_second.round()), (2e-6, 2_500_000.0));
        let latency = report.latency.unwrap();
        assert_eq!((latency.min_us, latency.p50_us), (0.5, 1.5));
        assert!(
            (latency.max_us - 3.0).abs() < 0.01,
            "one from the future is left out: {latency:?}"
        );
    }

    #[test]
    fn ends_when_all_has_come() {
        let plan = ReceivePlan {
            expect: Some(2),
            ..PLAN
        };
        let batches = (0..9).map(|n| vec![packet(1, n / 2, 0)]).collect();
        let (report, end) = run(batches, plan.clone(), false);
        assert_eq!(
            (end, report.packets, report.lost),
            (3_000, 3, 0),
            "a repeated packet is not another one"
        );
        let (report, end) = run(vec![vec![packet(1, 0, 0)]], plan, false);
        assert_eq!((end, report.lost, report.expected), (PLAN.duration, 1, Some(2)));
    }

    #[test]
    fn stopped_it_waits_for_what_is_under_way() {
        let (report, end) = run(vec![vec![], vec![packet(1, 0, 0)]], PLAN, true);
        assert_eq!((report.packets, end), (1, LINGER + 1_000));
    }

    #[test]
    fn one_stream_can_be_asked_for_and_many_are_bounded() {
        let batches = || vec![(0..100).map(|stream| packet(stream, 0, 0)).collect()];
        let only = ReceivePlan {
            streams: Some(3..=3),
            ..PLAN
        };
        let (report, _) = run(batches(), only, false);
        assert_eq!((report.packets, report.other_frames), (1, 99));
        let (report, _) = run(batches(), PLAN, false);
        assert_eq!((report.streams, report.other_frames), (64, 36));
    }

    #[test]
    fn frames_without_stamps_are_only_counted() {
        let plan = ReceivePlan {
            unstamped: true,
            expect: Some(3),
            ..PLAN
        };
        let (report, end) = run(
            vec![vec![vec![1; 60], vec![2; 1514]], vec![vec![3; 60]], vec![]],
            plan,
            false,
        );
        assert_eq!((report.packets, report.bytes, report.lost, end), (3, 1634, 0, 2_000));
        assert_eq!((report.latency, report.other_frames), (None, 0));
    }

    #[test]
    fn a_total_that_becomes_known_ends_it() {
        let clock = FakeClock(Cell::new(0));
        let mut port = FakePort {
            clock: &clock,
            batches: vec![vec![packet(1, 0, 0)], vec![packet(1, 1, 0)]].into_iter(),
        };
        let live = Live::default();
        live.total.store(2, Ordering::Relaxed);
        let received = receive(&mut port, &clock, &PLAN, &live, &AtomicBool::new(true)).unwrap();
        assert_eq!((received.report.packets, clock.now()), (2, 2_000), "no lingering");
    }
}

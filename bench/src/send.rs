//! The sender's loop: packets of a template, at a rate, into a port.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{
    Clock, Live,
    pace::{MOST_BEHIND, Pacer},
    rate::{Rate, l1_bits, l2_bits},
    report::{SendReport, per_second},
    stamp::Stamp,
    traffic::Traffic,
};

/// Packets handed to a port at once: what the kernel sends per system call in copy mode.
pub const BATCH: u64 = 32;

/// A port that takes no packet for so long (nanoseconds) is broken.
const STALLED: u64 = 2_000_000_000;

/// Where packets go.
pub trait Transmit {
    /// Lets `write` fill up to `count` free buffers, one packet each, and sends them. `write` gives the packet's length. Gives
    /// how many there was room for; zero is no error.
    ///
    /// # Errors
    /// The port is broken.
    fn transmit(&mut self, count: usize, write: &mut dyn FnMut(&mut [u8]) -> usize) -> io::Result<usize>;

    /// Packets that were handed over and are not yet known to be sent; urges them on.
    ///
    /// # Errors
    /// The port is broken.
    fn pending(&mut self) -> io::Result<usize>;
}

/// When packets are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// At a rate.
    Rate(Rate),
    /// As the traffic was recorded.
    Recorded,
}

/// How much to send and how fast.
#[derive(Debug, Clone, Copy)]
pub struct SendPlan {
    /// When.
    pub timing: Timing,
    /// Stop after so many packets.
    pub count: Option<u64>,
    /// Stop after so many nanoseconds.
    pub duration: Option<u64>,
    /// The stream's number.
    pub stream: u16,
    /// The first packet of the traffic to send...
    pub first: u64,
    /// ...and how many further on the next is: several senders share one traffic. At least one.
    pub step: u64,
}

/// What is due when.
enum Schedule {
    Rate(Rate, Pacer),
    /// When packet 0 of the traffic was due.
    Recorded(u64),
}

impl Schedule {
    fn new(timing: Timing, traffic: &Traffic, now: u64) -> Self {
        match timing {
            Timing::Recorded => Self::Recorded(now),
            Timing::Rate(rate) => Self::Rate(rate, Pacer::new(rate, traffic.mean_cost(rate) as u64, now)),
        }
    }

    /// How many packets, whose numbers these are, are due at `now`.
    fn due(&mut self, traffic: &Traffic, numbers: impl Iterator<Item = u64>, now: u64) -> usize {
        match self {
            Self::Rate(rate, pacer) => {
                let mut left = pacer.due(now);
                numbers
                    .take_while(|number| {
                        let due = left > 0;
                        left = left.saturating_sub(rate.cost(cost_len(*rate, traffic, *number)));
                        due
                    })
                    .count()
            }
            Self::Recorded(start) => {
                let mut numbers = numbers.peekable();
                let time = |number| traffic.recorded_time(number).unwrap_or(0);
                if let Some(first) = numbers.peek() {
                    // Late is late: no burst follows.
                    *start = (*start).max(now.saturating_sub(time(*first).saturating_add(MOST_BEHIND)));
                }
                numbers
                    .take_while(|number| start.saturating_add(time(*number)) <= now)
                    .count()
            }
        }
    }

    /// Nanoseconds from `now` until the packet with this number, the next, is due.
    fn wait(&self, traffic: &Traffic, number: u64, now: u64) -> u64 {
        match self {
            Self::Rate(_, pacer) => pacer.wait(now),
            Self::Recorded(start) => {
                let time = traffic.recorded_time(number).unwrap_or(0);
                start.saturating_add(time).saturating_sub(now)
            }
        }
    }

    fn sent(&mut self, traffic: &Traffic, numbers: impl Iterator<Item = u64>) {
        if let Self::Rate(rate, pacer) = self {
            pacer.sent(numbers.map(|number| rate.cost(cost_len(*rate, traffic, number))).sum());
        }
    }
}

/// A frame's length, where the rate asks for it.
fn cost_len(rate: Rate, traffic: &Traffic, number: u64) -> usize {
    match rate {
        Rate::Max | Rate::Packets(_) => 0,
        Rate::L2Bits(_) | Rate::L1Bits(_) => traffic.len(number),
    }
}

/// Sends until the plan is done or `stop` is set.
///
/// # Errors
/// The port is broken, or has taken nothing for two seconds.
pub fn send(
    port: &mut impl Transmit,
    clock: &impl Clock,
    traffic: &Traffic,
    plan: &SendPlan,
    live: &Live,
    stop: &AtomicBool,
) -> io::Result<SendReport> {
    let start = clock.now();
    let mut schedule = Schedule::new(plan.timing, traffic, start);
    let (mut sent, mut progress, mut last) = (0u64, start, start);
    let (mut bytes, mut l2, mut l1) = (0u64, 0u64, 0u64);
    let number = |n: u64| plan.first + n * plan.step;
    while !stop.load(Ordering::Relaxed) {
        let now = clock.now();
        let left = plan.count.map_or(u64::MAX, |count| count - sent);
        if left == 0 || plan.duration.is_some_and(|duration| now - start >= duration) {
            break;
        }
        let due = schedule.due(traffic, (sent..sent + left.min(BATCH)).map(number), now);
        if due == 0 {
            clock.wait(schedule.wait(traffic, number(sent), now));
            progress = clock.now();
            continue;
        }
        let mut next = sent;
        let taken = port.transmit(due, &mut |buffer| {
            let stamp = Stamp {
                stream: plan.stream,
                sequence: next as u32,
                sent_at: now,
            };
            let len = traffic.write(buffer, number(next), stamp);
            next += 1;
            len
        })? as u64;
        if taken > 0 {
            let batch = sent..sent + taken;
            for len in batch.clone().map(|n| traffic.len(number(n))) {
                (bytes, l2, l1) = (bytes + len as u64, l2 + l2_bits(len), l1 + l1_bits(len));
            }
            schedule.sent(traffic, batch.map(number));
            sent += taken;
            live.sent.fetch_add(taken, Ordering::Relaxed);
            (progress, last) = (now, now);
        } else if now.saturating_sub(progress) > STALLED {
            return Err(stalled());
        } else {
            clock.wait(1_000);
        }
    }
    finish(port, clock)?;
    let rate = per_second(sent, last - start);
    let mean = |sum: u64| sum as f64 / sent.max(1) as f64;
    let asked = match plan.timing {
        Timing::Rate(rate) => rate.per_second().map(|asked| asked as f64 / traffic.mean_cost(rate)),
        Timing::Recorded => None,
    };
    Ok(SendReport {
        packets: sent,
        bytes,
        seconds: (last - start) as f64 / 1e9,
        packets_per_second: rate,
        l2_bits_per_second: rate * mean(l2),
        l1_bits_per_second: rate * mean(l1),
        asked: match plan.timing {
            Timing::Rate(rate) => rate.to_string(),
            Timing::Recorded => "as recorded".to_owned(),
        },
        asked_packets_per_second: asked,
        streams: vec![plan.stream],
    })
}

/// Waits until all is on its way.
fn finish(port: &mut impl Transmit, clock: &impl Clock) -> io::Result<()> {
    let (mut progress, mut before) = (clock.now(), usize::MAX);
    loop {
        let pending = port.pending()?;
        if pending == 0 {
            return Ok(());
        }
        let now = clock.now();
        if pending < before {
            (before, progress) = (pending, now);
        } else if now.saturating_sub(progress) > STALLED {
            return Err(stalled());
        }
        clock.wait(50_000);
    }
}

fn stalled() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "the interface has sent nothing for two seconds: is it (and its peer, or its cable) up?",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        classify::classify,
        replay::{Replay, Rewrite},
        traffic::tests::traffic,
    };
    use pcap_file::pcap::{PcapPacket, PcapWriter};
    use std::{cell::Cell, fs::File, time::Duration};

    /// Time passes only by waiting, and a little with every look.
    struct FakeClock(Cell<u64>);

    impl Clock for FakeClock {
        fn now(&self) -> u64 {
            self.0.set(self.0.get() + 10);
            self.0.get()
        }
        fn wait(&self, nanoseconds: u64) {
            self.0.set(self.0.get() + nanoseconds);
        }
    }

    /// A port with room for `room` packets per call.
    struct FakePort {
        room: usize,
        sent: Vec<Stamp>,
        lens: Vec<usize>,
        pending: usize,
    }

    impl Transmit for FakePort {
        fn transmit(&mut self, count: usize, write: &mut dyn FnMut(&mut [u8]) -> usize) -> io::Result<usize> {
            let count = count.min(self.room);
            for _ in 0..count {
                let mut buffer = [0; 2048];
                let len = write(&mut buffer);
                self.sent.extend(classify(&buffer[..len]).map(|found| found.stamp));
                self.lens.push(len);
            }
            Ok(count)
        }
        fn pending(&mut self) -> io::Result<usize> {
            self.pending = self.pending.saturating_sub(1);
            Ok(self.pending)
        }
    }

    fn run_with(traffic: &Traffic, room: usize, plan: SendPlan) -> (io::Result<SendReport>, FakePort) {
        let mut port = FakePort {
            room,
            sent: Vec::new(),
            lens: Vec::new(),
            pending: 5,
        };
        let clock = FakeClock(Cell::new(1_000));
        let live = Live::default();
        let report = send(&mut port, &clock, traffic, &plan, &live, &AtomicBool::new(false));
        assert!(report.is_err() || port.pending == 0, "waits until all is sent");
        assert!(
            report
                .as_ref()
                .map_or(true, |r| r.packets == live.sent.load(Ordering::Relaxed))
        );
        (report, port)
    }

    fn run(room: usize, plan: SendPlan) -> (io::Result<SendReport>, Vec<Stamp>) {
        let (report, port) = run_with(&traffic("::1", "::2", "100:1", 3), room, plan);
        (report, port.sent)
    }

    const PLAN: SendPlan = SendPlan {
        timing: Timing::Rate(Rate::Packets(1_000_000)),
        count: Some(1000),
        duration: None,
        stream: 9,
        first: 0,
        step: 1,
    };

    #[test]
    fn sends_the_count_at_the_rate_in_order() {
        // A port that takes three at a time loses nothing and breaks no order.
        for room in [1000, 3] {
            let (report, sent) = run(room, PLAN);
            let report = report.unwrap();
            assert_eq!((report.packets, report.bytes, report.streams[0]), (1000, 100_000, 9));
            assert!((report.packets_per_second / 1e6 - 1.0).abs() < 0.01, "{report:?}");
            assert!(sent.iter().map(|s| s.sequence).eq(0..1000));
            assert!(sent.is_sorted_by_key(|s| s.sent_at));
        }
    }

    #[test]
    fn ends_with_the_time() {
        let plan = SendPlan {
            count: None,
            duration: Some(5_000_000),
            ..PLAN
        };
        let (report, sent) = run(1000, plan);
        assert_eq!(report.unwrap().packets, sent.len() as u64);
        assert!((4_999..=5_001).contains(&sent.len()), "{}", sent.len());
    }

    #[test]
    fn a_port_that_takes_nothing_is_an_error() {
        let (report, _) = run(0, PLAN);
        assert_eq!(report.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn bits_per_second_are_kept_over_a_mix_of_sizes() {
        let mix = traffic("10.0.0.1", "10.0.0.2", "simple", 5);
        for (rate, got) in [
            (
                Rate::L2Bits(500_000_000),
                (|r| r.l2_bits_per_second) as fn(&SendReport) -> f64,
            ),
            (Rate::L1Bits(500_000_000), |r| r.l1_bits_per_second),
        ] {
            let plan = SendPlan {
                timing: Timing::Rate(rate),
                count: Some(12_000),
                ..PLAN
            };
            let (report, port) = run_with(&mix, 1000, plan);
            let report = report.unwrap();
            assert!((got(&report) / 5e8 - 1.0).abs() < 0.005, "{report:?}");
            assert_eq!(port.lens.iter().filter(|len| **len == 590).count(), 4_000);
            let asked = report.asked_packets_per_second.unwrap();
            assert!((report.packets_per_second / asked - 1.0).abs() < 0.005, "{report:?}");
        }
    }

    #[test]
    fn senders_share_one_traffic() {
        let mix = traffic("10.0.0.1", "10.0.0.2", "60:1,61:1,62:1,63:1", 1);
        let share = |first| {
            let plan = SendPlan {
                first,
                step: 2,
                count: Some(4),
                ..PLAN
            };
            run_with(&mix, 1000, plan).1.lens
        };
        let all: Vec<_> = (0..8).map(|number| mix.len(number)).collect();
        let (even, odd) = (share(0), share(1));
        let woven: Vec<_> = even.iter().zip(&odd).flat_map(|(a, b)| [*a, *b]).collect();
        assert_eq!(woven, all);
    }

    #[test]
    fn a_capture_goes_out_in_its_own_time_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.pcap");
        let mut writer = PcapWriter::new(File::create(&path).unwrap()).unwrap();
        for (ms, len) in [(0, 60), (1, 70), (3, 80)] {
            let data = vec![1; len];
            let packet = PcapPacket::new(Duration::from_millis(1_000 + ms), len as u32, &data);
            writer.write_packet(&packet).unwrap();
        }
        let replay = Traffic::Replay(Replay::load(&path, &Rewrite::default()).unwrap());
        let plan = SendPlan {
            timing: Timing::Recorded,
            count: Some(7),
            ..PLAN
        };
        let (report, port) = run_with(&replay, 1000, plan);
        let report = report.unwrap();
        assert_eq!(port.lens, [60, 70, 80, 60, 70, 80, 60]);
        // Two turns of three milliseconds and the mean gap.
        assert!((report.seconds / 0.009 - 1.0).abs() < 0.01, "{report:?}");
        let plan = SendPlan {
            timing: Timing::Rate(Rate::Packets(1_000)),
            ..plan
        };
        let report = run_with(&replay, 1000, plan).0.unwrap();
        assert!((report.seconds / 0.006 - 1.0).abs() < 0.01, "{report:?}");
    }
}

//! The sender's loop: packets of a template, at a rate, into a port.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{
    Clock,
    pace::Pacer,
    rate::Rate,
    report::{SendReport, per_second},
    stamp::Stamp,
    template::Template,
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

/// How much to send and how fast.
#[derive(Debug, Clone, Copy)]
pub struct SendPlan {
    /// Rate.
    pub rate: Rate,
    /// Stop after so many packets.
    pub count: Option<u64>,
    /// Stop after so many nanoseconds.
    pub duration: Option<u64>,
    /// The stream's number.
    pub stream: u16,
}

/// Sends until the plan is done or `stop` is set.
///
/// # Errors
/// The port is broken, or has taken nothing for two seconds.
pub fn send(
    port: &mut impl Transmit,
    clock: &impl Clock,
    template: &Template,
    plan: &SendPlan,
    stop: &AtomicBool,
) -> io::Result<SendReport> {
    let start = clock.now();
    let mut pacer = Pacer::new(plan.rate, start);
    let (mut sent, mut progress, mut last) = (0u64, start, start);
    while !stop.load(Ordering::Relaxed) {
        let now = clock.now();
        let left = plan.count.map_or(u64::MAX, |count| count - sent);
        if left == 0 || plan.duration.is_some_and(|duration| now - start >= duration) {
            break;
        }
        let due = pacer.due(now).min(left).min(BATCH);
        if due == 0 {
            clock.wait(pacer.wait(now));
            progress = clock.now();
            continue;
        }
        let mut sequence = sent as u32;
        let taken = port.transmit(due as usize, &mut |buffer| {
            let stamp = Stamp {
                stream: plan.stream,
                sequence,
                sent_at: now,
            };
            sequence = sequence.wrapping_add(1);
            template.write(buffer, stamp)
        })? as u64;
        if taken > 0 {
            pacer.sent(taken);
            sent += taken;
            (progress, last) = (now, now);
        } else if now.saturating_sub(progress) > STALLED {
            return Err(stalled());
        } else {
            clock.wait(1_000);
        }
    }
    finish(port, clock)?;
    let bytes = sent * template.frame_len() as u64;
    let rate = per_second(sent, last - start);
    Ok(SendReport {
        packets: sent,
        bytes,
        seconds: (last - start) as f64 / 1e9,
        packets_per_second: rate,
        bits_per_second: rate * template.frame_len() as f64 * 8.0,
        asked_packets_per_second: match plan.rate {
            Rate::Max => None,
            Rate::PerSecond(rate) => Some(rate),
        },
        stream: plan.stream,
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
    use crate::{classify::classify, template::TemplateSpec};
    use std::cell::Cell;
    use vrouter_dataplane::wire::{Mac, outer::Ends};

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
        pending: usize,
    }

    impl Transmit for FakePort {
        fn transmit(&mut self, count: usize, write: &mut dyn FnMut(&mut [u8]) -> usize) -> io::Result<usize> {
            let count = count.min(self.room);
            for _ in 0..count {
                let mut buffer = [0; 128];
                let len = write(&mut buffer);
                self.sent.push(classify(&buffer[..len]).unwrap().stamp);
            }
            Ok(count)
        }
        fn pending(&mut self) -> io::Result<usize> {
            self.pending = self.pending.saturating_sub(1);
            Ok(self.pending)
        }
    }

    fn run(room: usize, plan: SendPlan) -> (io::Result<SendReport>, Vec<Stamp>) {
        let template = Template::new(&TemplateSpec {
            to_mac: Mac::BROADCAST,
            from_mac: Mac([2; 6]),
            ends: Ends::V6 {
                src: 1.into(),
                dst: 2.into(),
            },
            src_port: 1,
            dst_port: 1,
            size: 100,
            flows: 3,
            outer: None,
        })
        .unwrap();
        let mut port = FakePort {
            room,
            sent: Vec::new(),
            pending: 5,
        };
        let clock = FakeClock(Cell::new(1_000));
        let report = send(&mut port, &clock, &template, &plan, &AtomicBool::new(false));
        assert!(report.is_err() || port.pending == 0, "waits until all is sent");
        (report, port.sent)
    }

    const PLAN: SendPlan = SendPlan {
        rate: Rate::PerSecond(1_000_000),
        count: Some(1000),
        duration: None,
        stream: 9,
    };

    #[test]
    fn sends_the_count_at_the_rate_in_order() {
        // A port that takes three at a time loses nothing and breaks no order.
        for room in [1000, 3] {
            let (report, sent) = run(room, PLAN);
            let report = report.unwrap();
            assert_eq!((report.packets, report.bytes, report.stream), (1000, 100_000, 9));
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
}

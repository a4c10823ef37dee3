//! A trial: senders and a receiver at once, over ports that stay open from trial to trial.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crate::{
    Clock, Live,
    latency::Latency,
    receive::{Receive, ReceivePlan, receive},
    report::{RunReport, SendReport},
    search::Outcome,
    send::{SendPlan, Timing, Transmit, send},
    traffic::Traffic,
};

/// What to send in a trial.
#[derive(Debug, Clone, Copy)]
pub struct TrialPlan {
    /// When packets are sent, by all senders together.
    pub timing: Timing,
    /// Stop after so many packets.
    pub count: Option<u64>,
    /// Stop after so many nanoseconds.
    pub duration: Option<u64>,
    /// How long to wait for packets that are still under way, nanoseconds.
    pub linger: u64,
    /// Number of the first sender's stream; the others' follow.
    pub stream: u16,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Trial {
    /// What there is to say.
    pub report: RunReport,
    /// All latencies.
    pub latency: Latency,
}

/// Why a trial failed.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// A sender.
    #[error("sending: {0}")]
    Send(io::Error),
    /// The receiver.
    #[error("receiving: {0}")]
    Receive(io::Error),
    /// A thread is gone.
    #[error("a thread ended too early")]
    Thread,
    /// No sender.
    #[error("there is no port to send on")]
    NoPort,
}

impl Outcome for Trial {
    fn offered(&self) -> f64 {
        self.report.sent.packets_per_second
    }

    fn loss(&self) -> f64 {
        self.report.loss()
    }
}

/// The plan of one of `senders`.
pub fn share(plan: &TrialPlan, sender: u64, senders: u64) -> SendPlan {
    SendPlan {
        timing: match plan.timing {
            Timing::Rate(rate) => Timing::Rate(rate.share(senders)),
            Timing::Recorded => Timing::Recorded,
        },
        count: plan
            .count
            .map(|count| count / senders + u64::from(sender < count % senders)),
        duration: plan.duration,
        stream: plan.stream.wrapping_add(sender as u16),
        first: sender,
        step: senders,
    }
}

/// Sends from all ports at once, each on a thread of its own.
///
/// # Errors
/// [`TrialError`]; the first of several.
pub fn send_all<T: Transmit + Send>(
    ports: &mut [T],
    clock: &(impl Clock + Sync),
    traffic: &Traffic,
    plan: &TrialPlan,
    live: &Live,
    stop: &AtomicBool,
) -> Result<SendReport, TrialError> {
    let senders = ports.len() as u64;
    let run = |port: &mut T, sender| {
        send(port, clock, traffic, &share(plan, sender, senders), live, stop).map_err(TrialError::Send)
    };
    let reports: Vec<Result<SendReport, TrialError>> = match ports {
        [port] => vec![run(port, 0)],
        ports => thread::scope(|scope| {
            let run = &run;
            let threads: Vec<_> = ports
                .iter_mut()
                .zip(0..)
                .map(|(port, sender)| scope.spawn(move || run(port, sender)))
                .collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().unwrap_or(Err(TrialError::Thread));
            threads.into_iter().map(join).collect()
        }),
    };
    let mut sum: Option<SendReport> = None;
    for report in reports {
        let report = report?;
        sum = Some(match sum {
            Some(sum) => sum.and(report),
            None => report,
        });
    }
    let mut sum = sum.ok_or(TrialError::NoPort)?;
    if let Timing::Rate(rate) = plan.timing {
        sum.asked = rate.to_string();
    }
    Ok(sum)
}

/// Sends and receives at once.
///
/// # Errors
/// [`TrialError`].
pub fn trial<T: Transmit + Send, R: Receive + Send>(
    senders: &mut [T],
    receiver: &mut R,
    clock: &(impl Clock + Sync),
    traffic: &Traffic,
    plan: &TrialPlan,
    live: &Live,
    stop: &AtomicBool,
) -> Result<Trial, TrialError> {
    live.total.store(u64::MAX, Ordering::Relaxed);
    let last = plan.stream.wrapping_add(senders.len().saturating_sub(1) as u16);
    let receive_plan = ReceivePlan {
        duration: u64::MAX,
        expect: None,
        streams: Some(plan.stream..=last),
        unstamped: !traffic.is_stamped(),
        linger: plan.linger,
    };
    let done = AtomicBool::new(false);
    let (sent, received) = thread::scope(|scope| {
        let receiving = scope.spawn(|| receive(receiver, clock, &receive_plan, live, &done));
        let sent = send_all(senders, clock, traffic, plan, live, stop);
        if let Ok(sent) = &sent {
            live.total.store(sent.packets, Ordering::Relaxed);
        }
        // Whatever happened, the receiver must not wait for ever.
        done.store(true, Ordering::Relaxed);
        (sent, receiving.join())
    });
    let (sent, received) = (
        sent?,
        received.map_err(|_| TrialError::Thread)?.map_err(TrialError::Receive)?,
    );
    let (mut report, latency) = (received.report, received.latency);
    report.expect(sent.packets);
    Ok(Trial {
        report: RunReport { sent, received: report },
        latency,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rate::Rate,
        search::{Bound, Goal, SearchPlan, search},
        traffic::tests::traffic,
    };
    use std::{
        collections::VecDeque,
        sync::{Arc, Mutex},
        time::Instant,
    };

    struct RealClock(Instant);

    impl Clock for RealClock {
        fn now(&self) -> u64 {
            self.0.elapsed().as_nanos() as u64
        }
        fn wait(&self, nanoseconds: u64) {
            thread::sleep(std::time::Duration::from_nanos(nanoseconds.min(1_000_000)));
        }
    }

    type Wire = Arc<Mutex<VecDeque<Vec<u8>>>>;

    /// Sends into a wire that loses each `lossy`th packet.
    struct Out(Wire, u64, u64);
    struct In(Wire);

    impl Transmit for Out {
        fn transmit(&mut self, count: usize, write: &mut dyn FnMut(&mut [u8]) -> usize) -> io::Result<usize> {
            for _ in 0..count {
                let mut buffer = [0; 128];
                let len = write(&mut buffer);
                self.1 += 1;
                if !self.1.is_multiple_of(self.2) {
                    self.0.lock().unwrap().push_back(buffer[..len].to_vec());
                }
            }
            Ok(count)
        }
        fn pending(&mut self) -> io::Result<usize> {
            Ok(0)
        }
    }

    impl Receive for In {
        fn receive(&mut self, each: &mut dyn FnMut(usize, &[u8])) -> io::Result<usize> {
            let frames: Vec<_> = self.0.lock().unwrap().drain(..).collect();
            frames.iter().for_each(|frame| each(0, frame));
            if frames.is_empty() {
                thread::yield_now();
            }
            Ok(frames.len())
        }
        fn dropped(&self) -> u64 {
            0
        }
    }

    const PLAN: TrialPlan = TrialPlan {
        timing: Timing::Rate(Rate::Max),
        count: Some(1001),
        duration: None,
        linger: 1_000_000,
        stream: 512,
    };

    #[test]
    fn several_senders_and_one_receiver_count_alike() {
        for lossy in [u64::MAX, 10] {
            let wire = Wire::default();
            let mut senders = [Out(wire.clone(), 0, lossy), Out(wire.clone(), 0, lossy)];
            let mut receiver = In(wire);
            let clock = RealClock(Instant::now());
            let traffic = traffic("10.0.0.1", "10.0.0.2", "64:1", 4);
            let stop = AtomicBool::new(false);
            let trial = trial(
                &mut senders,
                &mut receiver,
                &clock,
                &traffic,
                &PLAN,
                &Live::default(),
                &stop,
            )
            .unwrap();
            let lost = if lossy == 10 { 100 } else { 0 };
            let RunReport { sent, received } = &trial.report;
            assert_eq!(
                (sent.packets, received.packets, received.lost),
                (1001, 1001 - lost, lost)
            );
            assert_eq!((&sent.streams[..], received.streams), (&[512, 513][..], 2));
            assert_eq!(received.latency.unwrap().packets, 1001 - lost);
            assert!((trial.loss() - lost as f64 / 1001.0).abs() < 1e-9);
        }
    }

    #[test]
    fn shares_cover_the_whole() {
        for count in [0, 1, 7, 100] {
            let plan = TrialPlan {
                count: Some(count),
                ..PLAN
            };
            let shares: u64 = (0..3).map(|sender| share(&plan, sender, 3).count.unwrap()).sum();
            assert_eq!(shares, count);
        }
    }

    #[test]
    fn a_search_can_be_made_of_trials() {
        let wire = Wire::default();
        let (mut senders, mut receiver) = ([Out(wire.clone(), 0, 4)], In(wire));
        let clock = RealClock(Instant::now());
        let traffic = traffic("2001:db8::1", "2001:db8::2", "80:1", 4);
        let stop = AtomicBool::new(false);
        let goal = |loss: f64| Goal {
            name: loss.to_string(),
            loss,
        };
        let plan = SearchPlan {
            goals: vec![goal(0.0), goal(0.3)],
            least: 1e6,
            most: 1.1e6,
            resolution: 0.5,
            trials: 1,
            most_trials: 10,
        };
        let search = search(&plan, |_| {
            trial(
                &mut senders,
                &mut receiver,
                &clock,
                &traffic,
                &PLAN,
                &Live::default(),
                &stop,
            )
        })
        .unwrap();
        assert_eq!(
            search.found[0].bound,
            Bound::LowestRate,
            "a quarter is lost at any rate"
        );
        assert!(search.found[1].rate.is_some(), "which is within the other goal");
    }
}

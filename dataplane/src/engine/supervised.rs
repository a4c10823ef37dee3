//! What a service manager (systemd) is told: that the daemon is ready, what it does, that it ends, and, while it truly does its work, that it
//! is alive.
//!
//! Alive means: every worker has turned, and the programmer has looked around, since the last time; and the async runtime of the API runs, for it
//! is what tells. A daemon with a worker that hangs is not alive, however well the others do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sd_notify::NotifyState;
use tracing::{error, warn};

use crate::worker::load::Load;

/// Counts how often the programmer's thread has looked around.
pub type Rounds = Arc<AtomicU64>;

/// How often the service manager hears of us at least, where it asks for no watchdog.
const REPORT: Duration = Duration::from_secs(10);

/// How many signs of life fit into the time that the service manager waits for one.
const SIGNS: u32 = 4;

/// Watches the threads that packets and their programming need.
#[derive(Debug)]
pub struct Pulse {
    workers: Vec<(Arc<Load>, u64)>,
    programmer: (Rounds, u64),
}

impl Pulse {
    /// Watches these workers and this programmer.
    #[must_use]
    pub fn new(workers: Vec<Arc<Load>>, programmer: Rounds) -> Self {
        let workers = workers.into_iter().map(|load| {
            let turns = load.turns.get();
            (load, turns)
        });
        let rounds = programmer.load(Ordering::Relaxed);
        Self {
            workers: workers.collect(),
            programmer: (programmer, rounds),
        }
    }

    /// Who has not moved since the last time, in words; `None`: all are alive.
    pub fn stuck(&mut self) -> Option<String> {
        let mut stuck = Vec::new();
        for (index, (load, before)) in self.workers.iter_mut().enumerate() {
            let now = load.turns.get();
            if std::mem::replace(before, now) == now {
                stuck.push(format!("worker {index}"));
            }
        }
        let (rounds, before) = &mut self.programmer;
        let now = rounds.load(Ordering::Relaxed);
        if std::mem::replace(before, now) == now {
            stuck.push("the programmer".to_owned());
        }
        (!stuck.is_empty()).then(|| stuck.join(", "))
    }
}

/// Tells that the API answers, and from then on that all is alive. Never ends.
pub async fn report(mut pulse: Pulse, doing: String) {
    tell(&[NotifyState::Ready, NotifyState::Status(&doing)]);
    let watchdog = sd_notify::watchdog_enabled();
    let mut ticks = tokio::time::interval(watchdog.map_or(REPORT, |time| time / SIGNS));
    // The first comes at once: nothing has had time to move.
    ticks.tick().await;
    let mut well = true;
    loop {
        ticks.tick().await;
        match pulse.stuck() {
            None => {
                tell(&[NotifyState::Watchdog]);
                if !well {
                    tell(&[NotifyState::Status(&doing)]);
                }
                well = true;
            }
            Some(who) => {
                if well {
                    error!(%who, "hangs");
                }
                tell(&[NotifyState::Status(&format!("hangs: {who}"))]);
                well = false;
            }
        }
    }
}

/// Tells that the daemon ends.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("ending")]);
}

fn tell(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "the service manager cannot be told how we are");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_hangs_is_named() {
        let workers: Vec<_> = (0..2).map(|_| Arc::new(Load::default())).collect();
        let rounds = Rounds::default();
        let mut pulse = Pulse::new(workers.clone(), rounds.clone());
        let turn = |index: usize| workers[index].turns.add(1);
        turn(0);
        turn(1);
        rounds.fetch_add(1, Ordering::Relaxed);
        assert_eq!(pulse.stuck(), None);
        turn(0);
        rounds.fetch_add(1, Ordering::Relaxed);
        assert_eq!(pulse.stuck().unwrap(), "worker 1");
        turn(0);
        turn(1);
        assert_eq!(pulse.stuck().unwrap(), "the programmer");
        assert_eq!(pulse.stuck().unwrap(), "worker 0, worker 1, the programmer");
        turn(0);
        turn(1);
        rounds.fetch_add(7, Ordering::Relaxed);
        assert_eq!(pulse.stuck(), None);
    }
}

//! The loop of a worker's thread.

use std::{
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use tracing::debug;

use super::{Clock, Worker, company::Company, slice};

/// How a worker waits when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polling {
    /// It does not: lowest latency, one CPU always busy. Others that want the CPU get it between two looks.
    Busy,
    /// Looks for this long, then sleeps until a packet or a message wakes it. Others that want the CPU get it between two looks; where somebody keeps
    /// it for long, the worker sleeps after the first fruitless look.
    Adaptive {
        /// How long to look before sleeping.
        spin: Duration,
    },
}

impl Default for Polling {
    fn default() -> Self {
        Self::Adaptive {
            spin: Duration::from_millis(1),
        }
    }
}

/// Longest sleep: idle flows are still forgotten, and a port without a wake-up descriptor is still looked at.
const NAP: Duration = Duration::from_millis(100);

/// Sleep while a driver has not confirmed all that was sent.
const SENDING_NAP: Duration = Duration::from_millis(1);

/// How much earlier than what is due a sleep ends: timers of the system may be late by a millisecond.
const ALARM: Duration = Duration::from_millis(2);

/// Runs the worker until it is told to stop, and gives it back.
pub fn run(mut worker: Worker, clock: &impl Clock, polling: Polling) -> Worker {
    if let Err(error) = slice::shorten() {
        debug!(%error, "the system gives this worker no short slices: packets may wait for others on its CPU");
    }
    let mut idle_since = None;
    let mut company = Company::default();
    loop {
        let turn = worker.turn(clock);
        if turn.stop {
            return worker;
        }
        if turn.received + turn.sent > 0 {
            idle_since = None;
            continue;
        }
        let now = Instant::now();
        if let Polling::Adaptive { spin } = polling
            && (now - *idle_since.get_or_insert(now) >= spin || company.stays(now))
            && let Some(longest) = nap(&turn, clock.now())
        {
            sleep(&mut worker, longest);
            idle_since = None;
            continue;
        }
        // Whoever else wants this CPU, perhaps to answer what was just delivered, need not wait until the worker has used up its share. But the scheduler
        // gives the CPU back at its next tick, some milliseconds later, to him who yields, and at once to him who sleeps and is woken.
        thread::yield_now();
        company.had_the_cpu(now, Instant::now());
    }
}

/// How long to sleep after a turn that moved nothing; `None`: what waits is due too soon for that.
fn nap(turn: &super::Turn, now: u64) -> Option<Duration> {
    let longest = if turn.sending { SENDING_NAP } else { NAP };
    let Some(due) = turn.due else {
        return Some(longest);
    };
    let left = Duration::from_nanos(due.saturating_sub(now)).checked_sub(ALARM)?;
    Some(left.min(longest)).filter(|nap| !nap.is_zero())
}

/// Sleeps until a packet, a message or the timeout. Wake-ups are edges, so a packet that came since the last look is one.
fn sleep(worker: &mut Worker, longest: Duration) {
    let core = &mut worker.core;
    let mailbox = core.mailboxes[core.index].clone();
    mailbox.sleeping.store(true, Ordering::SeqCst);
    // Whoever knocked before `sleeping` was set did not wake us: look once more.
    if !mailbox.mail.load(Ordering::SeqCst) {
        core.load.sleeps.add(1);
        core.wait(longest);
    }
    mailbox.sleeping.store(false, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::{super::Turn, *};

    #[test]
    fn a_nap_ends_before_what_waits_is_due() {
        let turn = |sending, due| Turn {
            sending,
            due,
            ..Turn::default()
        };
        assert_eq!(nap(&turn(false, None), 7), Some(NAP));
        assert_eq!(nap(&turn(true, None), 7), Some(SENDING_NAP));
        let milliseconds = |n: u64| n * 1_000_000;
        assert_eq!(nap(&turn(false, Some(milliseconds(500))), 0), Some(NAP));
        assert_eq!(
            nap(&turn(false, Some(milliseconds(50))), milliseconds(10)),
            Some(Duration::from_millis(38))
        );
        assert_eq!(nap(&turn(true, Some(milliseconds(50))), 0), Some(SENDING_NAP));
        for soon in [0, 1, 2] {
            assert_eq!(nap(&turn(false, Some(milliseconds(10 + soon))), milliseconds(10)), None);
        }
        assert_eq!(nap(&turn(false, Some(0)), milliseconds(10)), None, "overdue");
    }
}

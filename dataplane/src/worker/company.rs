//! Who shares a worker's CPU: one who answers packets, or one who has long work of his own.
//!
//! The scheduler gives the CPU back to a thread that yields at its next tick, milliseconds later, if the other still wants it then; to one that sleeps
//! and is woken, at once. So beside long work a worker that waits should sleep; beside one who answers packets it should look, and yield.

use std::time::{Duration, Instant};

/// Whoever keeps the CPU for this long has work of his own to do: to answer a packet takes less.
const LONG: Duration = Duration::from_millis(1);

/// A second time within this makes it more than chance.
const SOON: Duration = Duration::from_millis(10);

/// How long it is then taken that he is still there.
const STAY: Duration = Duration::from_secs(1);

/// What a worker knows about whoever shares its CPU.
#[derive(Debug, Default)]
pub(super) struct Company {
    /// End of the last time that somebody kept the CPU for long.
    kept_until: Option<Instant>,
    /// Somebody with long work is there until then.
    stays_until: Option<Instant>,
}

impl Company {
    /// The worker gave its CPU away, and got it back.
    pub(super) fn had_the_cpu(&mut self, from: Instant, until: Instant) {
        if until - from < LONG {
            return;
        }
        if self.kept_until.is_some_and(|last| from - last < SOON) {
            self.stays_until = Some(until + STAY);
        }
        self.kept_until = Some(until);
    }

    /// Whether somebody with long work shares the CPU now.
    pub(super) fn stays(&self, now: Instant) -> bool {
        self.stays_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After these, each from and until a time in microseconds, whether somebody is taken to stay 1 ms later, and 2 s later.
    fn after(times: &[(u64, u64)]) -> (bool, bool) {
        let start = Instant::now();
        let mut company = Company::default();
        for (from, until) in times {
            company.had_the_cpu(
                start + Duration::from_micros(*from),
                start + Duration::from_micros(*until),
            );
        }
        let end = start + Duration::from_micros(times.last().map_or(0, |(_, until)| *until));
        (
            company.stays(end + Duration::from_millis(1)),
            company.stays(end + Duration::from_secs(2)),
        )
    }

    #[test]
    fn who_answers_packets_is_no_long_company() {
        assert_eq!(after(&[]), (false, false));
        let short: Vec<_> = (0..100).map(|n| (n * 300, n * 300 + 200)).collect();
        assert_eq!(after(&short), (false, false));
    }

    #[test]
    fn once_is_chance_and_twice_is_long_work_for_a_while() {
        assert_eq!(after(&[(0, 4_000)]), (false, false));
        assert_eq!(after(&[(0, 4_000), (20_000, 24_000)]), (false, false), "long after");
        assert_eq!(after(&[(0, 4_000), (5_000, 5_100), (6_000, 10_000)]), (true, false));
    }
}

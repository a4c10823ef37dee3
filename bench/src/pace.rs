//! When to send the next packets. Pure arithmetic: the time is given.

use crate::rate::Rate;

/// A pacer that has fallen this far behind its schedule (nanoseconds) gives the rest up, so that a pause is not followed by a
/// long burst...
pub(crate) const MOST_BEHIND: u64 = 20_000_000;

/// ...and so does one that owes so many packets: the rings of common drivers (256 and up) must be able to take them behind those
/// that still lie there.
const MOST_OWED: u64 = 128;

/// Nanoseconds per second.
const SECOND: u128 = 1_000_000_000;

/// Says how much is due, in what the rate counts: packets or bits.
///
/// What comes behind `n` packets or bits is due `n / rate` after the start: the schedule has no drift, however unevenly it is
/// asked.
#[derive(Debug, Clone)]
pub struct Pacer {
    per_second: Option<u64>,
    /// Most that may be owed.
    most_owed: u64,
    /// When the schedule started.
    start: u64,
    /// What of the schedule was sent.
    sent: u64,
}

impl Pacer {
    /// A pacer whose first packet is due at `now` (nanoseconds). `typical`: what a packet [costs](Rate::cost) on average.
    pub fn new(rate: Rate, typical: u64, now: u64) -> Self {
        Self {
            per_second: rate.per_second(),
            most_owed: MOST_OWED.saturating_mul(typical.max(1)),
            start: now,
            sent: 0,
        }
    }

    /// What is due at `now` and was not sent. A packet is due if any of it is; [`Pacer::sent`] then takes all of it.
    pub fn due(&mut self, now: u64) -> u64 {
        let Some(rate) = self.per_second else {
            return u64::MAX;
        };
        let owed_time = (u128::from(self.most_owed - 1) * SECOND / u128::from(rate)) as u64;
        let most_behind = MOST_BEHIND.min(owed_time);
        if now.saturating_sub(self.time_of(rate, self.sent)) > most_behind {
            // The next packet is due just as late as is allowed; the schedule starts again from there.
            self.start = now - most_behind;
            self.sent = 0;
        }
        let Some(passed) = now.checked_sub(self.start) else {
            return 0;
        };
        let due = (u128::from(passed) * u128::from(rate) / SECOND) as u64 + 1;
        due.saturating_sub(self.sent)
    }

    /// Nanoseconds from `now` until the next packet is due; zero if one is.
    pub fn wait(&self, now: u64) -> u64 {
        self.per_second
            .map_or(0, |rate| self.time_of(rate, self.sent).saturating_sub(now))
    }

    /// So much was sent.
    pub fn sent(&mut self, cost: u64) {
        self.sent += cost;
    }

    /// The first nanosecond in which what comes behind `n` of the schedule is due.
    fn time_of(&self, rate: u64, n: u64) -> u64 {
        self.start + (u128::from(n) * SECOND).div_ceil(u128::from(rate)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 7_000_000_000;

    fn pacer(rate: u64) -> Pacer {
        Pacer::new(Rate::Packets(rate), 1, START)
    }

    /// Sends all that is due whenever it is due; gives the times.
    fn times(mut pacer: Pacer, packets: usize) -> Vec<u64> {
        let (mut now, mut times) = (START, Vec::new());
        while times.len() < packets {
            let due = pacer.due(now);
            assert_eq!(due == 0, pacer.wait(now) > 0, "due and wait agree");
            times.extend((0..due).map(|_| now - START));
            pacer.sent(due);
            now += pacer.wait(now);
        }
        times
    }

    #[test]
    fn one_by_one_without_drift() {
        assert_eq!(times(pacer(1_000), 4), [0, 1_000_000, 2_000_000, 3_000_000]);
        // A third of a nanosecond more each time must not add up.
        let times = times(pacer(300_000_000), 3_000_001);
        assert_eq!(times[3_000_000], 10_000_000);
    }

    #[test]
    fn catches_up_a_little_and_gives_up_the_rest() {
        let mut fast = pacer(1_000_000);
        assert_eq!(fast.due(START), 1);
        fast.sent(1);
        assert_eq!(fast.due(START + 100_000), 100, "a little late: all is sent");
        fast.sent(100);
        let late = START + 3_000_000_000;
        assert_eq!(fast.due(late), MOST_OWED, "very late: what rings can take");
        fast.sent(MOST_OWED);
        assert_eq!(fast.due(late), 0);
        assert_eq!(fast.due(late + 1000), 1, "and then on at the rate");
        assert_eq!(pacer(1_000).due(late), 21, "a slow one: what was due in 20 ms");
    }

    #[test]
    fn what_the_port_did_not_take_stays_due() {
        let mut pacer = pacer(1_000_000);
        assert_eq!(pacer.due(START + 9_000), 10);
        pacer.sent(4);
        assert_eq!((pacer.due(START + 9_000), pacer.wait(START + 9_000)), (6, 0));
    }

    #[test]
    fn max_is_always_due() {
        let mut pacer = Pacer::new(Rate::Max, 1, START);
        pacer.sent(1 << 40);
        assert_eq!((pacer.due(START), pacer.wait(START)), (u64::MAX, 0));
    }

    #[test]
    fn a_slow_rate_is_not_taken_for_being_behind() {
        assert_eq!(times(pacer(2), 3), [0, 500_000_000, 1_000_000_000]);
    }

    #[test]
    fn bits_are_spread_by_the_length_of_packets() {
        // A megabit a second: 1000 bits take a millisecond, 250 a quarter of it.
        let mut pacer = Pacer::new(Rate::L2Bits(1_000_000), 600, START);
        let (mut now, mut times) = (START, Vec::new());
        for cost in [1000, 250, 250, 1000] {
            assert_eq!(pacer.due(now), 1, "exactly in time");
            times.push((now - START) / 1000);
            pacer.sent(cost);
            now += pacer.wait(now);
        }
        assert_eq!(times, [0, 1000, 1250, 1500]);
    }
}

//! When a workload is asked: in its interval, but never all workloads at once.

use std::time::Duration;

/// New workloads are asked for the first time within this time: until then, services do without them.
const FIRST: Duration = Duration::from_secs(1);

/// The moments of one check, as pauses between the beginnings of questions.
#[derive(Clone, Debug)]
pub(super) struct Rhythm {
    interval: Duration,
    random: u64,
    asked: u32,
}

impl Rhythm {
    /// Of a check with this interval. `seed` makes it different from all others.
    pub(super) fn new(interval: Duration, seed: u64) -> Self {
        Self {
            interval,
            random: seed,
            asked: 0,
        }
    }

    /// The pause before the next question: before the first a part of a second; before the second an interval, give or take a half, drawn so
    /// that checks that began together do not stay together; then the interval, give or take a twentieth.
    pub(super) fn next_pause(&mut self) -> Duration {
        let share = self.draw();
        let pause = match self.asked {
            0 => self.interval.min(FIRST).mul_f64(share),
            1 => self.interval.mul_f64(0.5 + share),
            _ => self.interval.mul_f64(0.95 + share / 10.0),
        };
        self.asked = self.asked.saturating_add(1);
        pause
    }

    /// From 0 to 1, by SplitMix64.
    fn draw(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from((z ^ (z >> 31)) as u32) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    #[test]
    fn checks_that_begin_together_are_spread_and_each_keeps_its_interval() {
        let (mut first, mut third) = ([0_u32; 10], [0_u32; 10]);
        for id in 0..5000 {
            let mut rhythm = Rhythm::new(INTERVAL, id);
            let mut at = rhythm.next_pause();
            assert!(at <= FIRST);
            first[(at.as_millis() / 100).min(9) as usize] += 1;
            let second = rhythm.next_pause();
            assert!((INTERVAL / 2..=INTERVAL * 3 / 2).contains(&second), "{second:?}");
            at += second;
            for _ in 0..20 {
                let pause = rhythm.next_pause();
                assert!(
                    (INTERVAL.mul_f64(0.95)..=INTERVAL.mul_f64(1.05)).contains(&pause),
                    "{pause:?}"
                );
                at += pause;
            }
            third[(at.as_millis() % 5000 / 500) as usize] += 1;
        }
        // A tenth of the time has a tenth of the questions, give or take a half.
        for tenth in first.iter().chain(&third) {
            assert!((250..=750).contains(tenth), "{first:?} {third:?}");
        }
    }

    #[test]
    fn short_intervals_begin_within_themselves() {
        for id in 0..100 {
            let short = Duration::from_millis(100);
            assert!(Rhythm::new(short, id).next_pause() <= short);
        }
    }
}

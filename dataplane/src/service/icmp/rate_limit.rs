//! How many ICMP errors a worker may send (RFC 4443, section 2.4(f); RFC 1812, section 4.3.2.8).

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
};

/// Sources are hashed into so many buckets.
const BUCKETS: usize = 64;

/// One bucket gets at most this part of the whole: one talkative source cannot silence the router for the others.
const SHARE: u64 = 4;

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// A token bucket for all errors of one worker, and within it smaller ones for the sources that provoke them.
///
/// The hash is keyed at random, so that nobody can choose a source address that shares a victim's bucket.
#[derive(Clone, Debug)]
pub struct RateLimit {
    all: Bucket,
    by_source: [Bucket; BUCKETS],
    whole: Rate,
    share: Rate,
    hasher: RandomState,
}

/// Time between tokens, and how much of it may be saved up; nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Rate {
    interval: u64,
    burst: u64,
}

/// A token bucket as the one moment when it will be full again; nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket(u64);

impl Rate {
    fn new(per_second: u64, burst: u64) -> Self {
        let interval = SECOND / per_second.clamp(1, SECOND);
        let burst = interval.saturating_mul(burst.max(1));
        Self { interval, burst }
    }
}

impl Bucket {
    /// The bucket with one token less; `None` when it is empty.
    fn take(self, rate: Rate, now: u64) -> Option<Self> {
        let full_at = self.0.max(now).saturating_add(rate.interval);
        (full_at - now <= rate.burst).then_some(Self(full_at))
    }
}

impl RateLimit {
    /// Errors a second, unless configured otherwise.
    pub const PER_SECOND: u32 = 1000;

    /// Errors at once, unless configured otherwise.
    pub const BURST: u32 = 100;

    /// At most `per_second` errors a second in the long run and `burst` at once; a source (rather, all sources of one hash
    /// bucket) gets a quarter of either. Zeros count as one.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let (per_second, burst) = (u64::from(per_second), u64::from(burst));
        Self {
            all: Bucket::default(),
            by_source: [Bucket::default(); BUCKETS],
            whole: Rate::new(per_second, burst),
            share: Rate::new(per_second / SHARE, burst / SHARE),
            hasher: RandomState::new(),
        }
    }

    /// May an error be sent to `source` at `now` (nanoseconds, never going back)? If so, it is counted.
    pub fn allow(&mut self, source: IpAddr, now: u64) -> bool {
        let index = self.hasher.hash_one(source) as usize % BUCKETS;
        let Some(bucket) = self.by_source.get_mut(index) else {
            return false;
        };
        match (bucket.take(self.share, now), self.all.take(self.whole, now)) {
            (Some(source), Some(all)) => {
                *bucket = source;
                self.all = all;
                true
            }
            _ => false,
        }
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        Self::new(Self::PER_SECOND, Self::BURST)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn source(number: u128) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from_bits(number))
    }

    #[test]
    fn a_source_gets_its_share_and_no_more() {
        let mut limit = RateLimit::new(1000, 100);
        let at_once = (0..1000).filter(|_| limit.allow(source(1), 0)).count();
        assert_eq!(at_once, 25);
        // A second later: a full burst has come back, and then 250 more over the next second.
        let later = (0..2_000)
            .filter(|step| limit.allow(source(1), SECOND + step * SECOND / 2_000))
            .count();
        assert!((250..=276).contains(&later), "{later}");
    }

    #[test]
    fn one_source_does_not_silence_the_others_but_the_sum_is_bounded() {
        let mut limit = RateLimit::new(1000, 100);
        for _ in 0..10_000 {
            limit.allow(source(1), 0);
        }
        let others = (2..10_000).filter(|number| limit.allow(source(*number), 0)).count();
        assert_eq!(others, 75);
        let whole = (0..100_000)
            .filter(|step| limit.allow(source(u128::from(*step)), SECOND + step * 10_000))
            .count();
        assert!((1000..=1100).contains(&whole), "{whole}");
    }

    #[test]
    fn zeros_and_the_end_of_time_are_harmless() {
        let mut limit = RateLimit::new(0, 0);
        assert!(limit.allow(source(1), 0));
        assert!(!limit.allow(source(1), 1));
        assert!(!limit.allow(source(1), SECOND - 1));
        assert!(limit.allow(source(1), SECOND));
        let mut fast = RateLimit::new(u32::MAX, u32::MAX);
        assert!(fast.allow(source(1), u64::MAX));
    }
}

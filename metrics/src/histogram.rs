//! How long things took: counts by fixed bounds, written by anyone at any time.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::page::Distribution;

/// Bounds for calls that people and programs wait for, in seconds.
pub const CALLS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Durations by bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// Of each bound, what is above the one before; the last: what is above all.
    counts: Box<[AtomicU64]>,
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// With these upper bounds, seconds, ascending.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            nanoseconds: AtomicU64::new(0),
        }
    }

    /// Counts one.
    pub fn record(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let place = self.bounds.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn read(&self) -> Distribution {
        let mut sum = 0;
        let buckets = self.bounds.iter().zip(&self.counts).map(|(bound, count)| {
            sum += count.load(Ordering::Relaxed);
            (*bound, sum)
        });
        let buckets = buckets.collect();
        let beyond = self.counts.last().map_or(0, |count| count.load(Ordering::Relaxed));
        // Nanoseconds of centuries: the last digits are lost long before.
        #[allow(clippy::cast_precision_loss)]
        let nanoseconds = self.nanoseconds.load(Ordering::Relaxed) as f64;
        Distribution {
            buckets,
            count: sum + beyond,
            sum: nanoseconds / 1e9,
        }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new(CALLS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let histogram = Histogram::new(&[0.001, 1.0]);
        for milliseconds in [0, 1, 2, 1000, 1001] {
            histogram.record(Duration::from_millis(milliseconds));
        }
        let read = histogram.read();
        assert_eq!(read.buckets, [(0.001, 2), (1.0, 4)]);
        assert_eq!((read.count, read.sum), (5, 2.004));
    }
}

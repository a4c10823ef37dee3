//! Times of many trips: from threads that measure to percentiles in microseconds.

use std::time::Duration;

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;

/// Longer trips count as this long, nanoseconds.
const LONGEST: u64 = 60_000_000_000;

/// Times, kept with three significant digits.
#[derive(Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Times {
    /// None yet.
    pub(crate) fn new() -> Result<Self> {
        Histogram::new_with_max(LONGEST, 3)
            .map(Self)
            .map_err(|error| anyhow!("no histogram: {error}"))
    }

    /// One more.
    pub(crate) fn record(&mut self, time: Duration) {
        self.0
            .saturating_record(u64::try_from(time.as_nanos()).unwrap_or(LONGEST));
    }

    /// All of another's, too.
    pub(crate) fn add(&mut self, other: &Self) -> Result<()> {
        self.0
            .add(&other.0)
            .map_err(|error| anyhow!("histograms differ: {error}"))
    }

    /// How many.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that a part (0 to 1) of all does not exceed, microseconds.
    pub(crate) fn us(&self, part: f64) -> f64 {
        self.0.value_at_quantile(part) as f64 / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_microseconds_of_all_threads() {
        let mut times = Times::new().unwrap();
        let mut more = Times::new().unwrap();
        (1..=500).for_each(|us| times.record(Duration::from_micros(us)));
        (501..=1000).for_each(|us| more.record(Duration::from_micros(us)));
        more.record(Duration::from_secs(3600));
        times.add(&more).unwrap();
        assert_eq!(times.count(), 1001);
        assert!((times.us(0.5) - 501.0).abs() < 1.0, "{}", times.us(0.5));
        assert!((times.us(0.99) - 991.0).abs() < 1.0, "{}", times.us(0.99));
        assert!((times.us(1.0) - 60e6).abs() < 60e3);
    }
}

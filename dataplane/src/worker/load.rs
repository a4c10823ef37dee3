//! How busy a worker is: turns, sleeps, batch sizes and time per batch.
//!
//! Written by the worker with plain stores, read by anyone at any time. Buckets are those of an HDR histogram with 4 significant
//! bits; reading turns them into one.

use hdrhistogram::Histogram;

use crate::pipeline::{BATCH, counters::Counter};

/// Sub-buckets per power of two: values are known to 1/16.
const SUB: usize = 16;
/// Powers of two above the first [`SUB`] exact values: up to about 17 s in nanoseconds.
const POWERS: usize = 30;

/// A histogram with one writer.
#[derive(Debug)]
pub struct Recorder(Box<[Counter]>);

impl Recorder {
    fn new() -> Self {
        Self((0..SUB * (POWERS + 1)).map(|_| Counter::default()).collect())
    }

    /// Counts one value. Only for the owner.
    #[inline]
    pub fn record(&self, value: u64) {
        let value = value.min((1 << (POWERS + 4)) - 1);
        let power = (63 - (value | (SUB as u64 - 1)).leading_zeros() as usize).saturating_sub(3);
        let index = if power == 0 {
            value as usize
        } else {
            power * SUB + ((value >> (power - 1)) as usize & (SUB - 1))
        };
        if let Some(counter) = self.0.get(index) {
            counter.add(1);
        }
    }

    /// Every bucket that has something, ascending: its lowest and highest value, and how many it has.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.0.iter().enumerate().filter_map(|(index, counter)| {
            let (power, sub) = (index / SUB, (index % SUB) as u64);
            let (lowest, width) = match power {
                0 => (sub, 1),
                _ => ((SUB as u64 + sub) << (power - 1), 1 << (power - 1)),
            };
            let count = counter.get();
            (count > 0).then_some((lowest, lowest + width - 1, count))
        })
    }

    /// The recorded values, each as the highest of its bucket.
    pub fn histogram(&self) -> Histogram<u64> {
        // Bounds and precision are constants that the library accepts; the fallback never is needed.
        // The range is given: one that resizes itself would clamp what is recorded to the range it has so far.
        let mut histogram = Histogram::new_with_max((1 << (POWERS + 4)) - 1, 2)
            .unwrap_or_else(|_| unreachable!("2 significant digits are supported"));
        for (_, highest, count) in self.buckets() {
            histogram.saturating_record_n(highest, count);
        }
        histogram
    }
}

/// What one worker has done.
#[derive(Debug)]
pub struct Load {
    /// Turns of the loop.
    pub turns: Counter,
    /// Turns that moved at least one packet.
    pub busy_turns: Counter,
    /// Times it went to sleep.
    pub sleeps: Counter,
    /// Packets per batch.
    pub batch_size: Recorder,
    /// Nanoseconds from receiving a batch to having sent it, of some batches.
    pub batch_nanoseconds: Recorder,
}

impl Default for Load {
    fn default() -> Self {
        const { assert!(BATCH < 1 << POWERS) };
        Self {
            turns: Counter::default(),
            busy_turns: Counter::default(),
            sleeps: Counter::default(),
            batch_size: Recorder::new(),
            batch_nanoseconds: Recorder::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_known_to_a_sixteenth() {
        for value in (0..5000).chain([65_535, 65_536, 1_000_000, 999_999_999, 17_000_000_000]) {
            let recorder = Recorder::new();
            recorder.record(value);
            let (lowest, highest, count) = recorder.buckets().next().unwrap();
            assert!(
                (lowest..=highest).contains(&value) && count == 1,
                "{lowest}..={highest}"
            );
            let seen = recorder.histogram().max();
            // The library rounds up within its own two digits, too.
            assert!(
                seen >= value && seen <= value + value / 12 + 1,
                "{value} read as {seen}"
            );
        }
    }
}

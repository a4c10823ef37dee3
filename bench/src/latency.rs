//! How long packets took: a histogram, and how much it changes from one packet to the next.

use std::{io, time::Duration, time::SystemTime};

use hdrhistogram::{
    CreationError, Histogram,
    serialization::{V2DeflateSerializer, interval_log::IntervalLogWriterBuilder},
};
use serde::Serialize;

/// Longest latency that is told apart, nanoseconds.
const MAX: u64 = 60_000_000_000;

/// Latencies of packets.
#[derive(Debug, Clone)]
pub struct Latency {
    histogram: Histogram<u64>,
    last: Option<u64>,
    changes: u64,
    sum_of_changes: u128,
}

impl Latency {
    /// None yet.
    ///
    /// # Errors
    /// There is no memory.
    pub fn new() -> Result<Self, CreationError> {
        Ok(Self {
            histogram: Histogram::new_with_bounds(1, MAX, 3)?,
            last: None,
            changes: 0,
            sum_of_changes: 0,
        })
    }

    /// The next packet took so many nanoseconds.
    pub fn record(&mut self, nanoseconds: u64) {
        self.histogram.saturating_record(nanoseconds);
        if let Some(last) = self.last.replace(nanoseconds) {
            self.changes += 1;
            self.sum_of_changes += u128::from(last.abs_diff(nanoseconds));
        }
    }

    /// What there is to say; none if nothing was recorded.
    pub fn report(&self) -> Option<LatencyReport> {
        let us = |nanoseconds: u64| nanoseconds as f64 / 1e3;
        let h = &self.histogram;
        (!h.is_empty()).then(|| LatencyReport {
            packets: h.len(),
            min_us: us(h.min()),
            mean_us: h.mean() / 1e3,
            p50_us: us(h.value_at_quantile(0.5)),
            p90_us: us(h.value_at_quantile(0.9)),
            p99_us: us(h.value_at_quantile(0.99)),
            p999_us: us(h.value_at_quantile(0.999)),
            max_us: us(h.max()),
            jitter_us: self.sum_of_changes as f64 / self.changes.max(1) as f64 / 1e3,
        })
    }

    /// Writes all percentiles as text, in microseconds: the `.hgrm` form that HdrHistogram's plotters read.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write_percentiles(&self, to: &mut impl io::Write) -> io::Result<()> {
        let h = &self.histogram;
        writeln!(
            to,
            "{:>12} {:>14} {:>10} {:>14}\n",
            "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
        )?;
        let mut total = 0;
        for value in h.iter_quantiles(5) {
            total += value.count_since_last_iteration();
            let quantile = value.quantile_iterated_to();
            let us = value.value_iterated_to() as f64 / 1e3;
            if quantile < 1.0 {
                writeln!(
                    to,
                    "{us:12.3} {quantile:14.12} {total:10} {:14.2}",
                    1.0 / (1.0 - quantile)
                )?;
            } else {
                writeln!(to, "{us:12.3} {quantile:14.12} {total:10}")?;
            }
        }
        let us = |nanoseconds: f64| nanoseconds / 1e3;
        writeln!(
            to,
            "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]",
            us(h.mean()),
            us(h.stdev())
        )?;
        writeln!(
            to,
            "#[Max     = {:12.3}, Total count    = {:12}]",
            us(h.max() as f64),
            h.len()
        )?;
        writeln!(
            to,
            "#[Buckets = {:12}, SubBuckets     = {:12}]",
            h.buckets(),
            h.distinct_values()
        )
    }

    /// Writes an HdrHistogram interval log with one interval of this length: values are nanoseconds, and readable by all
    /// HdrHistogram tools.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write_log(&self, to: &mut impl io::Write, length: Duration) -> io::Result<()> {
        let now = SystemTime::now();
        let mut serializer = V2DeflateSerializer::new();
        IntervalLogWriterBuilder::new()
            .with_base_time(now)
            .with_start_time(now)
            .with_max_value_divisor(1e3)
            .begin_log_with(to, &mut serializer)
            .and_then(|mut log| {
                log.write_comment("latencies in nanoseconds; maximum in microseconds")?;
                log.write_histogram(&self.histogram, Duration::ZERO, length, None)
                    .map_err(|error| io::Error::other(format!("{error:?}")))
            })
    }
}

/// Latency, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LatencyReport {
    /// Packets of which it is known.
    pub packets: u64,
    /// Lowest.
    pub min_us: f64,
    /// Mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 90 % are not above.
    pub p90_us: f64,
    /// 99 % are not above.
    pub p99_us: f64,
    /// 99.9 % are not above.
    pub p999_us: f64,
    /// Highest.
    pub max_us: f64,
    /// Mean difference between one packet and the next that came (RFC 3393, absolute).
    pub jitter_us: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency() -> Latency {
        let mut latency = Latency::new().unwrap();
        (1..=1000u64).for_each(|n| latency.record(n * 1000));
        latency
    }

    #[test]
    fn percentiles_are_microseconds() {
        assert_eq!(Latency::new().unwrap().report(), None);
        let report = latency().report().unwrap();
        let near = |value: f64, expected: f64| (value - expected).abs() <= expected * 0.002;
        assert_eq!(report.packets, 1000);
        assert!(near(report.min_us, 1.0) && near(report.mean_us, 500.5), "{report:?}");
        assert!(near(report.p50_us, 500.0) && near(report.p90_us, 900.0), "{report:?}");
        assert!(near(report.p99_us, 990.0) && near(report.p999_us, 999.0), "{report:?}");
        assert!(near(report.max_us, 1000.0) && near(report.jitter_us, 1.0), "{report:?}");
    }

    #[test]
    fn percentiles_are_written_as_plotters_read_them() {
        let mut text = Vec::new();
        latency().write_percentiles(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
            .collect();
        assert!(rows.len() > 20 && rows.iter().all(|row| row.len() >= 3), "{text}");
        assert!(rows.is_sorted_by_key(|row| row[0]) && rows.is_sorted_by_key(|row| row[1]));
        assert_eq!(rows.last().unwrap()[1..], [1.0, 1000.0]);
        assert!(text.contains("#[Mean    =      500."), "{text}");
    }

    #[test]
    fn the_log_can_be_read_back() {
        use hdrhistogram::serialization::{
            Deserializer,
            interval_log::{IntervalLogIterator, LogEntry},
        };
        let mut log = Vec::new();
        latency().write_log(&mut log, Duration::from_secs(2)).unwrap();
        let entries: Vec<_> = IntervalLogIterator::new(&log).map(Result::unwrap).collect();
        let interval = entries.iter().find_map(|entry| match entry {
            LogEntry::Interval(interval) => Some(interval),
            _ => None,
        });
        let bytes = interval.unwrap().encoded_histogram();
        let bytes = base64_of(bytes);
        let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        assert_eq!((histogram.len(), histogram == latency().histogram), (1000, true));
    }

    /// Reads base64 (RFC 4648).
    fn base64_of(text: &str) -> Vec<u8> {
        let value = |c: u8| match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        let (mut bytes, mut bits, mut held) = (Vec::new(), 0u32, 0);
        for c in text.bytes().take_while(|c| *c != b'=') {
            (bits, held) = (bits << 6 | u32::from(value(c)), held + 6);
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held) as u8);
                bits &= (1 << held) - 1;
            }
        }
        bytes
    }
}

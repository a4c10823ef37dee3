//! What is said about a run: numbers with their units, as JSON for programs and as a table for people.

use hdrhistogram::Histogram;
use serde::Serialize;

/// What a sender did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SendReport {
    /// Packets sent.
    pub packets: u64,
    /// Their bytes, tunnels included, without check sequence.
    pub bytes: u64,
    /// From the first packet to the last handed over.
    pub seconds: f64,
    /// Packets per second in that time.
    pub packets_per_second: f64,
    /// Bits per second in that time.
    pub bits_per_second: f64,
    /// Packets per second that were asked for; none: as many as possible.
    pub asked_packets_per_second: Option<u64>,
    /// The stream's number, as receivers see it.
    pub stream: u16,
}

/// What a receiver saw.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReceiveReport {
    /// Our packets, repeated ones included.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// From the first packet to the last.
    pub seconds: f64,
    /// Packets per second in that time.
    pub packets_per_second: f64,
    /// Bits per second in that time.
    pub bits_per_second: f64,
    /// Different packets that were expected, if that was said.
    pub expected: Option<u64>,
    /// Packets that did not come: the expected less those that came; if nothing was said, gaps between first and last.
    pub lost: u64,
    /// Packets that came more than once.
    pub duplicates: u64,
    /// Packets that came behind a later one, in the same receive queue (RFC 4737).
    pub reordered: u64,
    /// Packets with a wrong UDP checksum.
    pub damaged: u64,
    /// Frames of others.
    pub other_frames: u64,
    /// Frames that the kernel dropped because we were too slow.
    pub dropped_by_kernel: u64,
    /// Streams (runs of senders) seen.
    pub streams: usize,
    /// How the packets were carried.
    pub carried: CarriedReport,
    /// From the sender's stamp to reception; none if nothing came, or clocks differ.
    pub latency: Option<LatencyReport>,
}

impl ReceiveReport {
    /// Says afterwards how many different packets were sent.
    pub fn expect(&mut self, packets: u64) {
        self.expected = Some(packets);
        self.lost = packets.saturating_sub(self.packets - self.duplicates);
    }
}

/// Packets by what carried them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CarriedReport {
    /// As generated.
    pub plain: u64,
    /// In VXLAN.
    pub vxlan: u64,
    /// In MPLS over UDP.
    pub mpls: u64,
}

/// Latency, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LatencyReport {
    /// Lowest.
    pub min_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 99 % are not above.
    pub p99_us: f64,
    /// 99.9 % are not above.
    pub p999_us: f64,
    /// Highest.
    pub max_us: f64,
}

impl LatencyReport {
    /// Of a histogram of nanoseconds; none if it is empty.
    pub fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let us = |nanoseconds: u64| nanoseconds as f64 / 1e3;
        (!histogram.is_empty()).then(|| Self {
            min_us: us(histogram.min()),
            p50_us: us(histogram.value_at_quantile(0.5)),
            p99_us: us(histogram.value_at_quantile(0.99)),
            p999_us: us(histogram.value_at_quantile(0.999)),
            max_us: us(histogram.max()),
        })
    }
}

/// Both sides of a run in one process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// Sender.
    pub sent: SendReport,
    /// Receiver.
    pub received: ReceiveReport,
}

/// So many in so many nanoseconds, per second. The first of `count` starts the time, so `count - 1` intervals passed.
pub fn per_second(count: u64, nanoseconds: u64) -> f64 {
    if nanoseconds == 0 || count < 2 {
        return 0.0;
    }
    (count - 1) as f64 * 1e9 / nanoseconds as f64
}

/// A report that people can read.
pub trait Table: Serialize {
    /// Names with values.
    fn rows(&self) -> Vec<(String, String)>;

    /// The rows below each other.
    fn table(&self) -> String {
        let rows = self.rows();
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        rows.iter()
            .map(|(name, value)| format!("{name:width$}  {value}\n"))
            .collect()
    }
}

fn rate_rows(packets: f64, bits: f64) -> [(String, String); 2] {
    [
        row("rate", format!("{}packets/s", si(packets))),
        row("throughput", format!("{}bit/s", si(bits))),
    ]
}

/// A row of a table.
pub(crate) fn row(name: &str, value: String) -> (String, String) {
    (name.to_owned(), value)
}

/// A number with four significant digits and a prefix.
pub(crate) fn si(value: f64) -> String {
    let (value, prefix) = match value {
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e3 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let digits = if value >= 100.0 { 1 } else { 3 };
    format!("{value:.digits$} {prefix}")
}

impl Table for SendReport {
    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![
            row("sent", format!("{} packets, {} bytes", self.packets, self.bytes)),
            row("time", format!("{:.3} s", self.seconds)),
        ];
        rows.extend(rate_rows(self.packets_per_second, self.bits_per_second));
        let asked = self
            .asked_packets_per_second
            .map_or_else(|| "max".to_owned(), |rate| format!("{}packets/s", si(rate as f64)));
        rows.push(row("rate asked", asked));
        rows.push(row("stream", self.stream.to_string()));
        rows
    }
}

impl Table for ReceiveReport {
    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![
            row("received", format!("{} packets, {} bytes", self.packets, self.bytes)),
            row("time", format!("{:.3} s", self.seconds)),
        ];
        rows.extend(rate_rows(self.packets_per_second, self.bits_per_second));
        let CarriedReport { plain, vxlan, mpls } = self.carried;
        let lost = match self.expected {
            Some(expected) => format!("{} of {expected} expected", self.lost),
            None => format!("{} between first and last", self.lost),
        };
        rows.extend([
            row("lost", lost),
            row("duplicates", self.duplicates.to_string()),
            row("reordered", self.reordered.to_string()),
            row("damaged", self.damaged.to_string()),
            row("other frames", self.other_frames.to_string()),
            row("dropped by kernel", self.dropped_by_kernel.to_string()),
            row("streams", self.streams.to_string()),
            row("carried", format!("plain {plain}, VXLAN {vxlan}, MPLS {mpls}")),
        ]);
        let latency = self.latency.map_or_else(
            || "unknown".to_owned(),
            |l| {
                format!(
                    "min {:.1}, p50 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1} us",
                    l.min_us, l.p50_us, l.p99_us, l.p999_us, l.max_us
                )
            },
        );
        rows.push(row("latency", latency));
        rows
    }
}

impl Table for RunReport {
    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = self.sent.rows();
        rows.push(row("", String::new()));
        rows.extend(self.received.rows());
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_count_intervals() {
        assert_eq!(per_second(11, 1_000_000_000), 10.0);
        assert_eq!((per_second(1, 5), per_second(5, 0), per_second(0, 0)), (0.0, 0.0, 0.0));
    }

    #[test]
    fn numbers_keep_their_unit() {
        assert_eq!(si(0.0), "0.000 ");
        assert_eq!(si(999.4), "999.4 ");
        assert_eq!(si(1_234_567.0), "1.235 M");
        assert_eq!(si(12_345_678_900.0), "12.346 G");
    }

    #[test]
    fn percentiles_are_microseconds() {
        let mut histogram = Histogram::new(3).unwrap();
        assert_eq!(LatencyReport::of(&histogram), None);
        (1..=1000u64).for_each(|n| histogram.record(n * 1000).unwrap());
        let latency = LatencyReport::of(&histogram).unwrap();
        let near = |value: f64, expected: f64| (value - expected).abs() <= expected * 0.002;
        assert!(near(latency.min_us, 1.0) && near(latency.p50_us, 500.0) && near(latency.p99_us, 990.0));
        assert!(near(latency.p999_us, 999.0) && near(latency.max_us, 1000.0));
    }

    #[test]
    fn a_table_is_aligned() {
        let report = SendReport {
            packets: 10,
            bytes: 640,
            seconds: 1.0,
            packets_per_second: 10.0,
            bits_per_second: 5120.0,
            asked_packets_per_second: None,
            stream: 3,
        };
        let table = report.table();
        assert!(
            table.starts_with("sent        10 packets, 640 bytes\ntime        1.000 s\n"),
            "{table}"
        );
        assert!(table.contains("throughput  5.120 kbit/s\n"));
    }
}

//! What is said about a run: numbers with their units, as JSON for programs and as a table for people.

use serde::Serialize;

use crate::{latency::LatencyReport, rate::si};

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
    /// Bits per second of frames and their check sequences in that time.
    pub l2_bits_per_second: f64,
    /// Bits per second of a link that it took in that time: the same with preambles and gaps.
    pub l1_bits_per_second: f64,
    /// The rate that was asked for, in its own unit.
    pub asked: String,
    /// The same in packets per second; none: as many as possible, or as recorded.
    pub asked_packets_per_second: Option<f64>,
    /// The streams' numbers, as receivers see them: one per sender.
    pub streams: Vec<u16>,
}

impl SendReport {
    /// Adds what another sender did at the same time.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.seconds = self.seconds.max(other.seconds);
        self.packets_per_second += other.packets_per_second;
        self.l2_bits_per_second += other.l2_bits_per_second;
        self.l1_bits_per_second += other.l1_bits_per_second;
        self.asked_packets_per_second = self
            .asked_packets_per_second
            .zip(other.asked_packets_per_second)
            .map(|(a, b)| a + b);
        self.streams.extend(other.streams);
        self
    }
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
    /// Bits per second of frames and their check sequences in that time.
    pub l2_bits_per_second: f64,
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

/// Both sides of a run in one process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// Sender.
    pub sent: SendReport,
    /// Receiver.
    pub received: ReceiveReport,
}

impl RunReport {
    /// Share of the packets that were sent and did not come, 0 to 1.
    pub fn loss(&self) -> f64 {
        match self.sent.packets {
            0 => 0.0,
            sent => self.received.lost as f64 / sent as f64,
        }
    }
}

/// The same run several times.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RepeatReport {
    /// Received packets per second.
    pub received_packets_per_second: Spread,
    /// Share of packets lost.
    pub loss: Spread,
    /// Median latency in microseconds; none if it is unknown.
    pub latency_p50_us: Option<Spread>,
    /// 99th percentile of the latency, likewise.
    pub latency_p99_us: Option<Spread>,
    /// Each trial.
    pub trials: Vec<RunReport>,
}

/// How a figure differs between trials.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Lowest.
    pub min: f64,
    /// In the middle.
    pub median: f64,
    /// Mean.
    pub mean: f64,
    /// Highest.
    pub max: f64,
}

impl Spread {
    /// Of these figures; none if there are none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (first, last) = (*figures.first()?, *figures.last()?);
        let below = *figures.get((figures.len() - 1) / 2)?;
        let above = *figures.get(figures.len() / 2)?;
        Some(Self {
            min: first,
            median: f64::midpoint(below, above),
            mean: figures.iter().sum::<f64>() / figures.len() as f64,
            max: last,
        })
    }

    fn show(&self, unit: impl Fn(f64) -> String) -> String {
        format!(
            "median {}, mean {}, from {} to {}",
            unit(self.median),
            unit(self.mean),
            unit(self.min),
            unit(self.max)
        )
    }
}

impl RepeatReport {
    /// Of these trials; none if there are none.
    pub fn of(trials: Vec<RunReport>) -> Option<Self> {
        let latency = |figure: fn(&LatencyReport) -> f64| {
            Spread::of(
                trials
                    .iter()
                    .filter_map(|trial| trial.received.latency.as_ref().map(figure)),
            )
        };
        Some(Self {
            received_packets_per_second: Spread::of(trials.iter().map(|trial| trial.received.packets_per_second))?,
            loss: Spread::of(trials.iter().map(RunReport::loss))?,
            latency_p50_us: latency(|l| l.p50_us),
            latency_p99_us: latency(|l| l.p99_us),
            trials,
        })
    }
}

impl Table for RepeatReport {
    fn rows(&self) -> Vec<(String, String)> {
        let us = |figure: f64| format!("{figure:.1} us");
        let mut rows = vec![
            row("trials", self.trials.len().to_string()),
            row(
                "received",
                self.received_packets_per_second
                    .show(|rate| format!("{}packets/s", si(rate))),
            ),
            row("lost", self.loss.show(|loss| format!("{:.4} %", loss * 100.0))),
        ];
        let latencies = [
            ("latency p50", self.latency_p50_us),
            ("latency p99", self.latency_p99_us),
        ];
        rows.extend(
            latencies
                .into_iter()
                .filter_map(|(name, spread)| Some(row(name, spread?.show(us)))),
        );
        rows.extend(self.trials.iter().enumerate().map(|(number, trial)| {
            let (received, sent) = (&trial.received, &trial.sent);
            row(
                &format!("trial {}", number + 1),
                format!(
                    "sent {}packets/s, received {}packets/s, lost {} of {}",
                    si(sent.packets_per_second),
                    si(received.packets_per_second),
                    received.lost,
                    sent.packets
                ),
            )
        }));
        rows
    }
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

impl Table for SendReport {
    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![
            row("sent", format!("{} packets, {} bytes", self.packets, self.bytes)),
            row("time", format!("{:.3} s", self.seconds)),
        ];
        rows.extend(rate_rows(self.packets_per_second, self.l2_bits_per_second));
        rows.push(row("of the link", format!("{}bit/s", si(self.l1_bits_per_second))));
        rows.push(row("rate asked", self.asked.clone()));
        rows
    }
}

impl Table for ReceiveReport {
    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![
            row("received", format!("{} packets, {} bytes", self.packets, self.bytes)),
            row("time", format!("{:.3} s", self.seconds)),
        ];
        rows.extend(rate_rows(self.packets_per_second, self.l2_bits_per_second));
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
        rows.extend(latency_rows(self.latency));
        rows
    }
}

/// What is known of the latency.
pub(crate) fn latency_rows(latency: Option<LatencyReport>) -> Vec<(String, String)> {
    let Some(l) = latency else {
        return vec![row("latency", "unknown".to_owned())];
    };
    vec![
        row(
            "latency",
            format!(
                "min {:.1}, mean {:.1}, p50 {:.1}, p90 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1} us",
                l.min_us, l.mean_us, l.p50_us, l.p90_us, l.p99_us, l.p999_us, l.max_us
            ),
        ),
        row("jitter", format!("{:.1} us", l.jitter_us)),
    ]
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

    fn sent(stream: u16) -> SendReport {
        SendReport {
            packets: 10,
            bytes: 640,
            seconds: 1.0,
            packets_per_second: 10.0,
            l2_bits_per_second: 5440.0,
            l1_bits_per_second: 7040.0,
            asked: "10 packets/s".to_owned(),
            asked_packets_per_second: Some(10.0),
            streams: vec![stream],
        }
    }

    #[test]
    fn rates_count_intervals() {
        assert_eq!(per_second(11, 1_000_000_000), 10.0);
        assert_eq!((per_second(1, 5), per_second(5, 0), per_second(0, 0)), (0.0, 0.0, 0.0));
    }

    #[test]
    fn figures_of_trials_are_spread() {
        assert_eq!(Spread::of([]), None);
        let spread = Spread::of([4.0, 1.0, 3.0, 10.0]).unwrap();
        assert_eq!(
            (spread.min, spread.median, spread.mean, spread.max),
            (1.0, 3.5, 4.5, 10.0)
        );
        assert_eq!(Spread::of([7.0]).unwrap().median, 7.0);
    }

    #[test]
    fn senders_add_up() {
        let both = sent(1).and(sent(2));
        assert_eq!((both.packets, both.bytes, both.seconds), (20, 1280, 1.0));
        assert_eq!(both.streams, [1, 2]);
        assert_eq!(both.asked_packets_per_second, Some(20.0));
    }

    #[test]
    fn a_table_is_aligned() {
        let report = sent(3);
        let table = report.table();
        assert!(
            table.starts_with("sent         10 packets, 640 bytes\ntime         1.000 s\n"),
            "{table}"
        );
        assert!(table.contains("throughput   5.440 kbit/s\n"));
    }
}

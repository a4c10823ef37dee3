//! What can be measured, in which unit, and which way is better.

use crate::statistics::short;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
    /// It explains another number, and is not compared itself.
    Neither,
}

/// One kind of number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metric {
    /// As in the report.
    pub(crate) name: &'static str,
    /// Its unit; empty for plain counts.
    pub(crate) unit: &'static str,
    /// Which way is better.
    pub(crate) better: Better,
}

const fn metric(name: &'static str, unit: &'static str, better: Better) -> Metric {
    Metric { name, unit, better }
}

/// What the receiver got of a TCP transfer.
pub(crate) const THROUGHPUT: Metric = metric("throughput", "Gbit/s", Better::Higher);
/// TCP segments sent again.
pub(crate) const RETRANSMITS: Metric = metric("retransmits", "", Better::Neither);
/// Small packets that arrived.
pub(crate) const RECEIVED: Metric = metric("received", "Mpps", Better::Higher);
/// Small packets that were sent.
pub(crate) const OFFERED: Metric = metric("offered", "Mpps", Better::Neither);
/// Half of the trips took no longer.
pub(crate) const P50: Metric = metric("p50", "us", Better::Lower);
/// 99 % of the trips took no longer.
pub(crate) const P99: Metric = metric("p99", "us", Better::Lower);
/// 99.9 % of the trips took no longer.
pub(crate) const P999: Metric = metric("p99.9", "us", Better::Lower);
/// Connections made, used and closed.
pub(crate) const CONNECTIONS: Metric = metric("connections", "/s", Better::Higher);
/// Half of the connections lived no longer.
pub(crate) const LIFE_P50: Metric = metric("p50", "us", Better::Neither);
/// 99 % of the connections lived no longer.
pub(crate) const LIFE_P99: Metric = metric("p99", "us", Better::Neither);
/// Connections that came to nothing.
pub(crate) const FAILED: Metric = metric("failed", "", Better::Neither);
/// Packets lost, divided by the rate at which they were offered.
pub(crate) const BLOCKED: Metric = metric("blocked", "ms", Better::Lower);
/// Packets lost.
pub(crate) const LOST: Metric = metric("lost", "", Better::Neither);
/// Of the packets lost: those that nobody took from the veth in time.
pub(crate) const NOT_TAKEN: Metric = metric("not taken", "", Better::Neither);
/// Of the packets lost: those that the router dropped.
pub(crate) const DROPPED: Metric = metric("dropped", "", Better::Neither);
/// Of the packets lost: those that reached the receiver's ring when it was full.
pub(crate) const RECEIVER: Metric = metric("receiver full", "", Better::Neither);
/// The steady rate of packets.
pub(crate) const STEADY: Metric = metric("rate", "kpps", Better::Neither);
/// How long the change took.
pub(crate) const TOOK: Metric = metric("change took", "ms", Better::Neither);

impl Metric {
    /// How many times better `ours` is than `theirs`. `None` when this cannot be said.
    pub(crate) fn advantage(&self, ours: f64, theirs: f64) -> Option<f64> {
        let (better, worse) = match self.better {
            Better::Higher => (ours, theirs),
            Better::Lower => (theirs, ours),
            Better::Neither => return None,
        };
        (worse > 0.0 && better.is_finite()).then(|| better / worse)
    }

    /// A value of it, as people write it.
    pub(crate) fn write(&self, value: f64) -> String {
        if self.unit.is_empty() {
            format!("{value:.0}")
        } else {
            short(value)
        }
    }

    /// Name and unit.
    pub(crate) fn title(&self) -> String {
        if self.unit.is_empty() {
            self.name.to_owned()
        } else {
            format!("{}, {}", self.name, self.unit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_no_fractions() {
        assert_eq!(
            (RETRANSMITS.write(7.0), THROUGHPUT.write(7.0)),
            ("7".to_owned(), "7.00".to_owned())
        );
    }

    #[test]
    fn an_advantage_is_above_one_when_we_are_better() {
        assert_eq!(THROUGHPUT.advantage(20.0, 10.0), Some(2.0));
        assert_eq!(P50.advantage(20.0, 10.0), Some(0.5));
        assert_eq!(RETRANSMITS.advantage(20.0, 10.0), None);
        assert_eq!(THROUGHPUT.advantage(20.0, 0.0), None);
        assert_eq!(P50.advantage(0.0, 3.0), None);
    }
}

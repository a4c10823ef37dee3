//! How fast to send, as people write it: `100k`, `1.5M`, `10Gbit`, `10Gbit-l1`, `max`; and what a frame costs of it.

use std::{fmt, str::FromStr};

/// Bytes of the frame check sequence, which frames in memory do not have.
const CHECK_SEQUENCE: u64 = 4;

/// Shortest frame on the wire, check sequence included.
const SHORTEST: u64 = 64;

/// Bytes of preamble, start of frame and the gap to the next frame.
const AROUND: u64 = 20;

/// Bits of a frame of `len` bytes (without check sequence) on Ethernet: padded to 64 bytes, with its check sequence.
pub const fn l2_bits(len: usize) -> u64 {
    let len = len as u64 + CHECK_SEQUENCE;
    8 * if len < SHORTEST { SHORTEST } else { len }
}

/// Bits that such a frame takes of a link: [`l2_bits`] and preamble, start of frame and gap.
pub const fn l1_bits(len: usize) -> u64 {
    l2_bits(len) + 8 * AROUND
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

/// How fast to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// As fast as the port takes them.
    Max,
    /// Packets per second: 1 to [`Rate::MOST_PACKETS`].
    Packets(u64),
    /// Bits of frames and check sequences per second (layer 2): 1 to [`Rate::MOST_BITS`].
    L2Bits(u64),
    /// The same with preamble, start of frame and gap (layer 1): a link's own speed is its highest.
    L1Bits(u64),
}

impl Rate {
    /// Highest rate in packets that is not [`Max`](Self::Max): more than any port carries.
    pub const MOST_PACKETS: u64 = 1_000_000_000;

    /// Highest rate in bits, likewise.
    pub const MOST_BITS: u64 = 10_000_000_000_000;

    /// What a frame of `len` bytes takes of what [`Rate::per_second`] gives.
    pub const fn cost(self, len: usize) -> u64 {
        match self {
            Self::Max | Self::Packets(_) => 1,
            Self::L2Bits(_) => l2_bits(len),
            Self::L1Bits(_) => l1_bits(len),
        }
    }

    /// How much may be sent a second; none: as much as goes.
    pub const fn per_second(self) -> Option<u64> {
        match self {
            Self::Max => None,
            Self::Packets(rate) | Self::L2Bits(rate) | Self::L1Bits(rate) => Some(rate),
        }
    }

    /// One of so many equal parts.
    #[must_use]
    pub fn share(self, parts: u64) -> Self {
        let share = |rate: u64| (rate / parts.max(1)).max(1);
        match self {
            Self::Max => Self::Max,
            Self::Packets(rate) => Self::Packets(share(rate)),
            Self::L2Bits(rate) => Self::L2Bits(share(rate)),
            Self::L1Bits(rate) => Self::L1Bits(share(rate)),
        }
    }
}

/// A text that is not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a rate: write packets per second like 5000, 100k, 1.5M (1 to 1G), bits per second like 800Mbit or 2.5Gbit (frames with \
     check sequence) or 10Gbit-l1 (with preamble and gap), or max"
)]
pub struct RateError;

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        if text == "max" {
            return Ok(Self::Max);
        }
        /// What makes a rate of a number, and the highest number.
        type Unit = (fn(u64) -> Rate, u64);
        const L1: Unit = (Rate::L1Bits, Rate::MOST_BITS);
        const L2: Unit = (Rate::L2Bits, Rate::MOST_BITS);
        const PACKETS: Unit = (Rate::Packets, Rate::MOST_PACKETS);
        let units = [
            ("bit-l1", L1),
            ("bps-l1", L1),
            ("bit", L2),
            ("bps", L2),
            ("pps", PACKETS),
            ("", PACKETS),
        ];
        let found = units
            .iter()
            .find_map(|(unit, rate)| Some((text.strip_suffix(unit)?, *rate)));
        let (number, (rate, most)) = found.ok_or(RateError)?;
        let (digits, prefix) = match number.char_indices().next_back().ok_or(RateError)? {
            (at, 'k') => (&number[..at], 1e3),
            (at, 'M') => (&number[..at], 1e6),
            (at, 'G') => (&number[..at], 1e9),
            (at, 'T') => (&number[..at], 1e12),
            _ => (number, 1.0),
        };
        // Plain decimals only: no sign, exponent or "inf", which floats would take.
        if !digits.bytes().all(|c| c.is_ascii_digit() || c == b'.') {
            return Err(RateError);
        }
        let value = (digits.parse::<f64>().map_err(|_| RateError)? * prefix).round();
        if (1.0..=most as f64).contains(&value) {
            Ok(rate(value as u64))
        } else {
            Err(RateError)
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::Packets(rate) => write!(f, "{}packets/s", si(*rate as f64)),
            Self::L2Bits(rate) => write!(f, "{}bit/s", si(*rate as f64)),
            Self::L1Bits(rate) => write!(f, "{}bit/s of the link", si(*rate as f64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, rate) in [
            ("1", Rate::Packets(1)),
            ("5000", Rate::Packets(5000)),
            ("100k", Rate::Packets(100_000)),
            ("1.5Mpps", Rate::Packets(1_500_000)),
            ("1G", Rate::Packets(1_000_000_000)),
            ("2.5Gbit", Rate::L2Bits(2_500_000_000)),
            ("800Mbps", Rate::L2Bits(800_000_000)),
            ("10Gbit-l1", Rate::L1Bits(10_000_000_000)),
            ("1Tbps-l1", Rate::L1Bits(1_000_000_000_000)),
            ("max", Rate::Max),
        ] {
            assert_eq!(text.parse(), Ok(rate), "{text}");
        }
        for bad in [
            "", "k", "0", "-1", "+5", "1e3", "inf", "nan", "2G", "10K", "5 k", "1.2.3", "é", "0.1", "Gbit", "bit",
            "99Tbit", "1Gbit-l2", "-l1",
        ] {
            assert_eq!(bad.parse::<Rate>(), Err(RateError), "{bad}");
        }
    }

    #[test]
    fn frames_cost_what_they_take_of_the_wire() {
        // The well-known 14.88 million packets a second of 10 Gbit/s, with frames of 64 bytes.
        let link = Rate::L1Bits(10_000_000_000);
        assert_eq!(10_000_000_000 / link.cost(60), 14_880_952);
        assert_eq!(link.cost(42), link.cost(60), "padded");
        assert_eq!(Rate::L2Bits(1).cost(1514), 1518 * 8);
        assert_eq!(Rate::Packets(1).cost(1514), 1);
    }

    #[test]
    fn shares_add_up_but_are_never_nothing() {
        assert_eq!(Rate::Packets(100).share(4), Rate::Packets(25));
        assert_eq!(Rate::L1Bits(3).share(4), Rate::L1Bits(1));
        assert_eq!(Rate::Max.share(2), Rate::Max);
    }

    #[test]
    fn numbers_keep_their_unit() {
        assert_eq!(si(0.0), "0.000 ");
        assert_eq!(si(999.4), "999.4 ");
        assert_eq!(si(1_234_567.0), "1.235 M");
        assert_eq!(si(12_345_678_900.0), "12.346 G");
    }

    #[test]
    fn rates_are_shown_with_their_unit() {
        assert_eq!(Rate::Packets(1_500_000).to_string(), "1.500 Mpackets/s");
        assert_eq!(Rate::L1Bits(10_000_000_000).to_string(), "10.000 Gbit/s of the link");
    }
}

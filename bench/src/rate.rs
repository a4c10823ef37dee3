//! How fast to send, as people write it: `100k`, `1.5M`, `max`.

use std::{fmt, str::FromStr};

/// Packets per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// As fast as the port takes them.
    Max,
    /// So many per second: 1 to [`Rate::HIGHEST`].
    PerSecond(u64),
}

impl Rate {
    /// Highest rate that is not [`Max`](Self::Max): more than any port carries.
    pub const HIGHEST: u64 = 1_000_000_000;
}

/// A text that is not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a rate: write packets per second like 5000, 100k, 1.5M (1 to 1G), or max")]
pub struct RateError;

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let (digits, unit) = match text.char_indices().next_back().ok_or(RateError)? {
            (at, 'k') => (&text[..at], 1_000),
            (at, 'M') => (&text[..at], 1_000_000),
            (at, 'G') => (&text[..at], 1_000_000_000),
            _ => (text, 1),
        };
        // Plain decimals only: no sign, exponent or "inf", which floats would take.
        if !digits.bytes().all(|c| c.is_ascii_digit() || c == b'.') {
            return Err(RateError);
        }
        let rate = (digits.parse::<f64>().map_err(|_| RateError)? * f64::from(unit)).round();
        if (1.0..=Self::HIGHEST as f64).contains(&rate) {
            Ok(Self::PerSecond(rate as u64))
        } else {
            Err(RateError)
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::PerSecond(rate) => write!(f, "{rate}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, rate) in [
            ("1", 1),
            ("5000", 5000),
            ("100k", 100_000),
            ("1.5M", 1_500_000),
            ("1G", 1_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Rate::PerSecond(rate)), "{text}");
        }
        assert_eq!("max".parse(), Ok(Rate::Max));
        for bad in [
            "", "k", "0", "-1", "+5", "1e3", "inf", "nan", "2G", "10K", "5 k", "1.2.3", "é", "0.1",
        ] {
            assert_eq!(bad.parse::<Rate>(), Err(RateError), "{bad}");
        }
    }
}

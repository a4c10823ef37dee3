//! Limits: `100mbit`, `1gbit,pps=50000,burst=256k`, `20mbit,shape,queue=1m`.

use std::{fmt, str::FromStr};

use vrouter_proto::control as api;

use super::option;

/// A limit as it is written. Rates in bits per second (k, m, g are powers of 1000), sizes in bytes (k, m, g are powers of 1024).
#[derive(Clone, Debug, PartialEq)]
pub(in crate::intent) struct Rate(pub(in crate::intent) api::QosRate);

const WANTED: &str = "RATE[,pps=N][,burst=BYTES][,burst-packets=N][,shape][,queue=BYTES] is wanted, like 100mbit or 1gbit,pps=50000,burst=256k";

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || format!("{text:?} is no limit: {WANTED}");
        let mut rate = api::QosRate::default();
        for part in text.split(',') {
            match option(part) {
                ("pps", Some(value)) => rate.packets_per_second = scaled(value, 1000).ok_or_else(refused)?,
                ("burst", Some(value)) => rate.burst_bytes = scaled(value, 1024).ok_or_else(refused)?,
                ("burst-packets", Some(value)) => rate.burst_packets = scaled(value, 1000).ok_or_else(refused)?,
                ("queue", Some(value)) => rate.queue_bytes = scaled(value, 1024).ok_or_else(refused)?,
                ("shape", None) => rate.shape = true,
                (bits, None) => {
                    let number = bits.strip_suffix("bit").unwrap_or(bits);
                    rate.bits_per_second = scaled(number, 1000).ok_or_else(refused)?;
                }
                _ => return Err(refused()),
            }
        }
        Ok(Self(rate))
    }
}

fn scaled(text: &str, base: u64) -> Option<u64> {
    let (digits, power) = match text.char_indices().next_back()? {
        (at, 'k' | 'K') => (&text[..at], 1),
        (at, 'm' | 'M') => (&text[..at], 2),
        (at, 'g' | 'G') => (&text[..at], 3),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(base.pow(power))
}

/// The number with the largest suffix that loses nothing.
fn short(number: u64, base: u64) -> String {
    let scale = [(3, 'g'), (2, 'm'), (1, 'k')]
        .into_iter()
        .find(|(power, _)| number != 0 && number.is_multiple_of(base.pow(*power)));
    match scale {
        Some((power, suffix)) => format!("{}{suffix}", number / base.pow(power)),
        None => number.to_string(),
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = &self.0;
        let mut parts = Vec::new();
        if rate.bits_per_second != 0 {
            parts.push(format!("{}bit", short(rate.bits_per_second, 1000)));
        }
        for (name, value, base) in [
            ("pps", rate.packets_per_second, 1000),
            ("burst", rate.burst_bytes, 1024),
            ("burst-packets", rate.burst_packets, 1000),
        ] {
            if value != 0 {
                parts.push(format!("{name}={}", short(value, base)));
            }
        }
        if rate.shape {
            parts.push("shape".to_owned());
        }
        if rate.queue_bytes != 0 {
            parts.push(format!("queue={}", short(rate.queue_bytes, 1024)));
        }
        f.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_they_are_read() {
        for text in [
            "100mbit",
            "1500bit",
            "1gbit,pps=50k,burst=256k",
            "20mbit,shape,queue=1m",
            "pps=7",
        ] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        assert_eq!("100m".parse::<Rate>().unwrap().0.bits_per_second, 100_000_000);
        assert_eq!("burst=64k".parse::<Rate>().unwrap().0.burst_bytes, 65_536);
        for text in ["", "fast", "10mbit,burst", "10mbit,police", "-1", "99999999999g"] {
            assert!(text.parse::<Rate>().unwrap_err().contains("100mbit"), "{text}");
        }
    }
}

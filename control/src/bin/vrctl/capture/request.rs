//! From the command line to what the two servers are asked.

use std::time::Duration;

use vrouter_proto::{control as ctl, dataplane as dp};

use super::{Capture, Way};

/// "1/100": one of 100.
pub(super) fn sample(text: &str) -> Result<u32, String> {
    text.strip_prefix("1/")
        .and_then(|n| n.parse().ok())
        .filter(|n| *n > 0)
        .ok_or_else(|| "1/100 would be one of 100 packets".to_owned())
}

/// "64k": bytes, in powers of 1024.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.strip_suffix(['k', 'm', 'g']) {
        Some(number) if text.ends_with('k') => (number, 1 << 10),
        Some(number) if text.ends_with('m') => (number, 1 << 20),
        Some(number) => (number, 1 << 30),
        None => (text, 1),
    };
    number
        .parse::<u64>()
        .ok()
        .filter(|number| *number > 0)
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| "10m would be 10 times 1024 times 1024 bytes".to_owned())
}

/// "30s".
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(milliseconds))
        .filter(|milliseconds| *milliseconds > 0)
        .map(Duration::from_millis)
        .ok_or_else(|| "500ms, 30s, 5m or 1h would be right".to_owned())
}

impl Capture {
    fn milliseconds(&self) -> u64 {
        self.duration
            .map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn for_dataplane(&self) -> dp::CaptureRequest {
        dp::CaptureRequest {
            ports: Vec::new(),
            port_names: self.port.clone(),
            vrfs: Vec::new(),
            vrf_names: self.network.clone(),
            received: self.wants(Way::In),
            transmitted: self.wants(Way::Out),
            dropped: self.drops || self.drops_only,
            filter: self.filter.clone(),
            snap_length: self.snaplen,
            sample: self.sample,
            max_rate: self.max_rate,
            max_packets: self.count.unwrap_or(0),
            max_bytes: self.max_bytes.unwrap_or(0),
            max_milliseconds: self.milliseconds(),
        }
    }

    pub(super) fn for_control(&self) -> ctl::CaptureRequest {
        let asked = self.for_dataplane();
        ctl::CaptureRequest {
            node: self.node.clone(),
            ports: asked.port_names,
            networks: asked.vrf_names,
            received: asked.received,
            transmitted: asked.transmitted,
            dropped: asked.dropped,
            filter: asked.filter,
            snap_length: asked.snap_length,
            sample: asked.sample,
            max_rate: asked.max_rate,
            max_packets: asked.max_packets,
            max_bytes: asked.max_bytes,
            max_milliseconds: asked.max_milliseconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_with_their_units() {
        assert_eq!((sample("1/100"), sample("1/1")), (Ok(100), Ok(1)));
        assert!(["100", "1/0", "2/3", "1/x"].iter().all(|text| sample(text).is_err()));
        assert_eq!((bytes("10"), bytes("2k"), bytes("3g")), (Ok(10), Ok(2048), Ok(3 << 30)));
        assert!(
            ["", "0", "k", "-1", "5t", "99999999999g"]
                .iter()
                .all(|text| bytes(text).is_err())
        );
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(
            ["", "5", "s", "0s", "1d", "1.5s"]
                .iter()
                .all(|text| duration(text).is_err())
        );
    }
}

//! Flows: ranges of addresses and ports, and which of their combinations a packet takes.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use vrouter_dataplane::wire::outer::Ends;

/// Addresses that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    first: IpAddr,
    /// How many; of more than 2^32 the first 2^32.
    count: u64,
}

/// Ports that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Which flow comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// Any, by a fixed pseudo-random order: each packet's flow is where a cache does not expect it.
    Random,
}

/// Why flows cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// Not a range of addresses.
    #[error("not addresses: write one like 10.0.0.1, a range like 10.0.0.1-10.0.0.254, or a prefix like 2001:db8::/64")]
    Addresses,
    /// Ends before it starts.
    #[error("the range ends before it starts")]
    Backwards,
    /// Not a range of ports.
    #[error("not ports: write one like 53, or a range like 1024-65535")]
    Ports,
    /// Both ends of a packet are of one family.
    #[error("--src and --dst must both be IPv4 or both IPv6")]
    Families,
    /// No flow at all, or more than there are.
    #[error("{flows} flows are impossible: the addresses and ports give 1 to {most}")]
    Count {
        /// Asked for.
        flows: u32,
        /// Most that work.
        most: u128,
    },
}

impl AddressRange {
    /// The first address.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// Address number `n` of the range, which has it.
    fn nth(&self, n: u64) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits().wrapping_add(n as u32)).into(),
            IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits().wrapping_add(u128::from(n))).into(),
        }
    }
}

impl From<IpAddr> for AddressRange {
    fn from(first: IpAddr) -> Self {
        Self { first, count: 1 }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => write!(f, "{}", self.first),
            count => write!(f, "{}-{}", self.first, self.nth(count - 1)),
        }
    }
}

impl FromStr for AddressRange {
    type Err = FlowError;

    fn from_str(text: &str) -> Result<Self, FlowError> {
        let address = |text: &str| text.parse::<IpAddr>().map_err(|_| FlowError::Addresses);
        let number = |address| match address {
            IpAddr::V4(v4) => u128::from(Ipv4Addr::to_bits(v4)),
            IpAddr::V6(v6) => Ipv6Addr::to_bits(v6),
        };
        let limit = |count: u128| u64::try_from(count).unwrap_or(u64::MAX).min(1 << 32);
        if let Some((first, last)) = text.split_once('-') {
            let (first, last) = (address(first)?, address(last)?);
            if first.is_ipv4() != last.is_ipv4() {
                return Err(FlowError::Addresses);
            }
            let less = number(last).checked_sub(number(first)).ok_or(FlowError::Backwards)?;
            let count = limit(less.saturating_add(1));
            return Ok(Self { first, count });
        }
        let Some((first, length)) = text.split_once('/') else {
            return address(text).map(Self::from);
        };
        let first = address(first)?;
        let bits = if first.is_ipv4() { 32 } else { 128 };
        let length: u32 = length.parse().map_err(|_| FlowError::Addresses)?;
        let host = bits
            - Some(length)
                .filter(|length| *length <= bits)
                .ok_or(FlowError::Addresses)?;
        let size = 1u128.checked_shl(host).unwrap_or(u128::MAX);
        let base = number(first) & !(size - 1) & if host == 128 { 0 } else { u128::MAX };
        let first = match first {
            IpAddr::V4(_) => Ipv4Addr::from_bits(base as u32).into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(base).into(),
        };
        Ok(Self {
            first,
            count: limit(size),
        })
    }
}

impl PortRange {
    /// One port.
    pub const fn one(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }

    /// A single port with all above it; a range as it is.
    const fn grown(self) -> Self {
        let last = if self.first == self.last { u16::MAX } else { self.last };
        Self {
            first: self.first,
            last,
        }
    }

    const fn count(self) -> u64 {
        self.last as u64 - self.first as u64 + 1
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count() {
            1 => write!(f, "{}", self.first),
            _ => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl FromStr for PortRange {
    type Err = FlowError;

    fn from_str(text: &str) -> Result<Self, FlowError> {
        let port = |text: &str| text.parse::<u16>().map_err(|_| FlowError::Ports);
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (port(first)?, port(last)?),
            None => (port(text)?, port(text)?),
        };
        if last < first {
            return Err(FlowError::Backwards);
        }
        Ok(Self { first, last })
    }
}

/// What there is to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowSpec {
    /// Source addresses.
    pub src: AddressRange,
    /// Destination addresses.
    pub dst: AddressRange,
    /// Source ports.
    pub sport: PortRange,
    /// Destination ports.
    pub dport: PortRange,
    /// How many flows; none: all combinations (of more than 2^32 the first). More than there are combinations: a port that is
    /// no range becomes one, upwards, the source port first.
    pub flows: Option<u32>,
    /// Which comes next.
    pub order: Order,
}

/// Addresses and ports of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// Addresses.
    pub ends: Ends,
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
}

/// Flows by number.
#[derive(Debug, Clone, Copy)]
pub struct Flows {
    src: AddressRange,
    dst: AddressRange,
    sport: PortRange,
    dport: PortRange,
    flows: u64,
    order: Order,
}

impl Flows {
    /// Flow number `n` has the `n`th source port and, when those are used up, the next destination port, then the next source
    /// address, then the next destination address.
    ///
    /// # Errors
    /// [`FlowError::Families`], [`FlowError::Count`].
    pub fn new(spec: &FlowSpec) -> Result<Self, FlowError> {
        let FlowSpec {
            src,
            dst,
            mut sport,
            mut dport,
            flows,
            order,
        } = *spec;
        if src.first.is_ipv4() != dst.first.is_ipv4() {
            return Err(FlowError::Families);
        }
        let all = |sport: PortRange, dport: PortRange| {
            [src.count, dst.count, sport.count(), dport.count()]
                .into_iter()
                .fold(1u128, |product, count| product.saturating_mul(u128::from(count)))
        };
        let most_flows = 1u64 << 32;
        let flows = match flows {
            None => u64::try_from(all(sport, dport)).unwrap_or(u64::MAX).min(most_flows),
            Some(flows) => {
                let wanted = u128::from(flows);
                if wanted > all(sport, dport) {
                    sport = sport.grown();
                }
                if wanted > all(sport, dport) {
                    dport = dport.grown();
                }
                let most = all(sport, dport);
                if flows == 0 || wanted > most {
                    return Err(FlowError::Count { flows, most });
                }
                u64::from(flows)
            }
        };
        Ok(Self {
            src,
            dst,
            sport,
            dport,
            flows,
            order,
        })
    }

    /// How many flows there are.
    pub fn count(&self) -> u64 {
        self.flows
    }

    /// The flow of packet number `packet`.
    pub fn of_packet(&self, packet: u64) -> u64 {
        match (self.order, self.flows) {
            (_, 1) => 0,
            (Order::RoundRobin, flows) => packet % flows,
            (Order::Random, flows) => mix(packet) % flows,
        }
    }

    /// Addresses and ports of a flow.
    pub fn tuple(&self, flow: u64) -> Tuple {
        let (sport, rest) = digit(flow, self.sport.count());
        let (dport, rest) = digit(rest, self.dport.count());
        let (src, dst) = digit(rest, self.src.count);
        let ends = match (self.src.nth(src), self.dst.nth(dst)) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => Ends::V4 { src, dst },
            (IpAddr::V6(src), IpAddr::V6(dst)) => Ends::V6 { src, dst },
            // `new` saw to it that they are of one family.
            _ => Ends::V6 {
                src: Ipv6Addr::UNSPECIFIED,
                dst: Ipv6Addr::UNSPECIFIED,
            },
        };
        // Both sums stay below 65536: digits are below the counts.
        Tuple {
            ends,
            sport: self.sport.first.wrapping_add(sport as u16),
            dport: self.dport.first.wrapping_add(dport as u16),
        }
    }
}

/// The lowest digit of a number in base `base`, and the rest. Division is slow, and most ranges have one element.
fn digit(number: u64, base: u64) -> (u64, u64) {
    match base {
        1 => (0, number),
        base => (number % base, number / base),
    }
}

/// Mixes the bits of a number (the finalizer of SplitMix64).
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn spec(src: &str, dst: &str, sport: &str, dport: &str, flows: Option<u32>) -> FlowSpec {
        FlowSpec {
            src: src.parse().unwrap(),
            dst: dst.parse().unwrap(),
            sport: sport.parse().unwrap(),
            dport: dport.parse().unwrap(),
            flows,
            order: Order::RoundRobin,
        }
    }

    fn text(flows: &Flows, flow: u64) -> String {
        let Tuple { ends, sport, dport } = flows.tuple(flow);
        match ends {
            Ends::V4 { src, dst } => format!("{src}:{sport} {dst}:{dport}"),
            Ends::V6 { src, dst } => format!("[{src}]:{sport} [{dst}]:{dport}"),
        }
    }

    #[test]
    fn reads_ranges() {
        for (text, shown) in [
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.250-10.0.1.5", "10.0.0.250-10.0.1.5"),
            ("10.0.0.9/30", "10.0.0.8-10.0.0.11"),
            ("10.0.0.9/32", "10.0.0.9"),
            ("0.0.0.0/0", "0.0.0.0-255.255.255.255"),
            ("2001:db8::7-2001:db8::9", "2001:db8::7-2001:db8::9"),
            ("2001:db8::5/126", "2001:db8::4-2001:db8::7"),
            ("2001:db8:1::/48", "2001:db8:1::-2001:db8:1::ffff:ffff"),
            ("::/0", "::-::ffff:ffff"),
        ] {
            assert_eq!(text.parse::<AddressRange>().unwrap().to_string(), shown, "{text}");
        }
        for bad in [
            "",
            "10.0.0",
            "10.0.0.1-",
            "10.0.0.1-2001:db8::1",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/x",
        ] {
            assert_eq!(bad.parse::<AddressRange>(), Err(FlowError::Addresses), "{bad}");
        }
        assert_eq!("10.0.0.2-10.0.0.1".parse::<AddressRange>(), Err(FlowError::Backwards));
        assert_eq!("53".parse::<PortRange>().unwrap(), PortRange::one(53));
        assert_eq!("1-65535".parse::<PortRange>().unwrap().to_string(), "1-65535");
        assert_eq!("2-1".parse::<PortRange>(), Err(FlowError::Backwards));
        assert_eq!("65536".parse::<PortRange>(), Err(FlowError::Ports));
    }

    #[test]
    fn ports_turn_before_addresses() {
        let flows = Flows::new(&spec("10.0.0.1-10.0.0.2", "10.1.0.0/31", "1-2", "53", None)).unwrap();
        assert_eq!(flows.count(), 8);
        let seen: Vec<_> = (0..8).map(|packet| text(&flows, flows.of_packet(packet))).collect();
        assert_eq!(
            seen,
            [
                "10.0.0.1:1 10.1.0.0:53",
                "10.0.0.1:2 10.1.0.0:53",
                "10.0.0.2:1 10.1.0.0:53",
                "10.0.0.2:2 10.1.0.0:53",
                "10.0.0.1:1 10.1.0.1:53",
                "10.0.0.1:2 10.1.0.1:53",
                "10.0.0.2:1 10.1.0.1:53",
                "10.0.0.2:2 10.1.0.1:53",
            ]
        );
        assert_eq!(flows.of_packet(8), 0);
        let v6 = Flows::new(&spec("2001:db8::1", "2001:db8::8-2001:db8::9", "7", "9", None)).unwrap();
        assert_eq!(text(&v6, 1), "[2001:db8::1]:7 [2001:db8::9]:9");
    }

    #[test]
    fn single_ports_grow_when_more_flows_are_wanted() {
        let flows = Flows::new(&spec("10.0.0.1", "10.0.0.2", "65534", "1000", Some(5))).unwrap();
        let ports: Vec<_> = (0..5)
            .map(|flow| flows.tuple(flow))
            .map(|t| (t.sport, t.dport))
            .collect();
        assert_eq!(
            ports,
            [
                (65534, 1000),
                (65535, 1000),
                (65534, 1001),
                (65535, 1001),
                (65534, 1002)
            ]
        );
        let fixed = Flows::new(&spec("10.0.0.1-10.0.0.9", "10.0.0.2", "10", "53", Some(9))).unwrap();
        assert!((0..9).all(|flow| fixed.tuple(flow).sport == 10), "addresses are enough");
        let grown = Flows::new(&spec("10.0.0.1", "10.0.0.2", "10", "53", Some(100))).unwrap();
        assert!(
            (0..100).all(|flow| grown.tuple(flow).dport == 53),
            "source ports are enough"
        );
    }

    #[test]
    fn says_what_is_impossible() {
        let error = |spec: &FlowSpec| Flows::new(spec).unwrap_err().to_string();
        assert!(error(&spec("10.0.0.1", "2001:db8::1", "1", "1", None)).contains("both be IPv4 or both IPv6"));
        let many = spec("10.0.0.1", "10.0.0.2", "1-10", "1-10", Some(101));
        assert!(error(&many).ends_with("give 1 to 100"), "{}", error(&many));
        assert!(error(&FlowSpec { flows: Some(0), ..many }).starts_with("0 flows"));
    }

    #[test]
    fn a_random_order_comes_by_all_flows() {
        let spec = FlowSpec {
            order: Order::Random,
            ..spec("10.0.0.0/24", "10.1.0.1", "1-4", "1", None)
        };
        let flows = Flows::new(&spec).unwrap();
        let seen: HashSet<_> = (0..20_000).map(|packet| flows.of_packet(packet)).collect();
        assert_eq!(seen.len() as u64, flows.count());
        assert!(!(0..100).map(|packet| flows.of_packet(packet)).is_sorted());
    }

    proptest! {
        #[test]
        fn flows_are_all_different(src in 1u32..9, dst in 1u32..9, sports in 0u16..9, dports in 0u16..9, v6: bool) {
            let range = |base: &str, count: u32| format!("{base}1-{base}{count}").parse::<AddressRange>().unwrap();
            let (left, right) = if v6 { ("2001:db8::", "2001:db8:1::") } else { ("10.0.0.", "10.0.1.") };
            let flows = Flows::new(&FlowSpec {
                src: range(left, src),
                dst: range(right, dst),
                sport: PortRange { first: 100, last: 100 + sports },
                dport: PortRange { first: 200, last: 200 + dports },
                flows: None,
                order: Order::RoundRobin,
            }).unwrap();
            let all: HashSet<_> = (0..flows.count()).map(|flow| text(&flows, flow)).collect();
            prop_assert_eq!(all.len() as u64, flows.count());
            prop_assert_eq!(flows.count(), u64::from(src * dst) * u64::from(sports + 1) * u64::from(dports + 1));
        }
    }
}

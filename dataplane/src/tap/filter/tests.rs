//! Filters against packets whose description is known, and expressions that are none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::Filter;

/// What a packet was made from.
#[derive(Clone, Debug)]
struct Packet {
    macs: ([u8; 6], [u8; 6]),
    vlans: Vec<u16>,
    addresses: (IpAddr, IpAddr),
    /// Protocol and ports.
    protocol: u8,
    ports: (u16, u16),
    payload: usize,
}

impl Packet {
    fn bytes(&self) -> Vec<u8> {
        let start = PacketBuilder::ethernet2(self.macs.0, self.macs.1);
        let ip = match self.addresses {
            (IpAddr::V4(a), IpAddr::V4(b)) => start.ipv4(a.octets(), b.octets(), 9),
            (IpAddr::V6(a), IpAddr::V6(b)) => start.ipv6(a.octets(), b.octets(), 9),
            _ => unreachable!(),
        };
        let payload = vec![7; self.payload];
        let mut out = Vec::new();
        match self.protocol {
            6 => ip.tcp(self.ports.0, self.ports.1, 5, 6).write(&mut out, &payload),
            17 => ip.udp(self.ports.0, self.ports.1).write(&mut out, &payload),
            1 => ip.icmpv4_echo_request(self.ports.0, 1).write(&mut out, &payload),
            58 => ip.icmpv6_echo_request(self.ports.0, 1).write(&mut out, &payload),
            _ => unreachable!(),
        }
        .unwrap();
        for vlan in self.vlans.iter().rev() {
            out.splice(12..12, [&[0x81, 0][..], &vlan.to_be_bytes()].concat());
        }
        out
    }

    fn has_ports(&self) -> bool {
        matches!(self.protocol, 6 | 17)
    }
}

const V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(10, 1, 0, 1),
    Ipv4Addr::new(10, 1, 0, 2),
    Ipv4Addr::new(10, 2, 0, 1),
];

fn v6() -> [Ipv6Addr; 3] {
    ["fd00:1::1", "fd00:1::2", "fd00:2::1"].map(|text| text.parse().unwrap())
}

fn packet() -> impl Strategy<Value = Packet> {
    let macs = (0..2_u8, 0..2_u8).prop_map(|(a, b)| ([2, 0, 0, 0, 0, a], [2, 0, 0, 0, 0, b]));
    let ends = (any::<bool>(), 0..3_usize, 0..3_usize);
    let vlans = proptest::collection::vec(1..3_u16, 0..3);
    (macs, vlans, ends, 0..3_u8, (78..84_u16, 78..84_u16), 0..40_usize).prop_map(
        |(macs, vlans, (six, a, b), protocol, ports, payload)| Packet {
            macs,
            vlans,
            addresses: if six {
                (v6()[a].into(), v6()[b].into())
            } else {
                (V4[a].into(), V4[b].into())
            },
            protocol: match protocol {
                0 => 6,
                1 => 17,
                _ if six => 58,
                _ => 1,
            },
            ports,
            payload,
        },
    )
}

/// An expression and what it means, said of descriptions.
#[derive(Clone, Debug)]
enum Meaning {
    Leaf(Leaf),
    Not(Box<Meaning>),
    And(Box<Meaning>, Box<Meaning>),
    Or(Box<Meaning>, Box<Meaning>),
}

#[derive(Clone, Debug)]
enum Leaf {
    Kind(&'static str),
    Host(u8, IpAddr),
    Net(u8, IpAddr, u8),
    Port(u8, Option<u8>, u16, u16),
    Mac(u8, u8),
    Less(usize),
}

const ENDS: [&str; 4] = ["", "src ", "dst ", "src and dst "];

fn at_ends(end: u8, source: bool, destination: bool) -> bool {
    match end {
        0 => source || destination,
        1 => source,
        2 => destination,
        _ => source && destination,
    }
}

impl Leaf {
    fn text(&self) -> String {
        match self {
            Self::Kind(kind) => (*kind).to_owned(),
            Self::Host(end, address) => format!("{}host {address}", ENDS[usize::from(*end)]),
            Self::Net(end, address, len) => format!("{}net {address}/{len}", ENDS[usize::from(*end)]),
            Self::Port(end, transport, low, high) => {
                let front = match transport {
                    Some(6) => "tcp ",
                    Some(_) => "udp ",
                    None => "",
                };
                let end = ENDS[usize::from(*end)];
                if low == high {
                    format!("{front}{end}port {low}")
                } else {
                    format!("{front}{end}portrange {low}-{high}")
                }
            }
            Self::Mac(end, last) => format!("ether {}host 02:00:00:00:00:{last:02x}", ENDS[usize::from(*end)]),
            Self::Less(len) => format!("less {len}"),
        }
    }

    /// `tags`: so many were looked behind.
    fn holds(&self, packet: &Packet, tags: usize) -> bool {
        let (source, destination) = packet.addresses;
        if let Self::Mac(end, last) = self {
            return tags <= packet.vlans.len() && at_ends(*end, packet.macs.0[5] == *last, packet.macs.1[5] == *last);
        }
        if let Self::Less(len) = self {
            return tags <= packet.vlans.len() && packet.bytes().len() <= *len;
        }
        if packet.vlans.len() != tags {
            return false;
        }
        match self {
            Self::Kind(kind) => match *kind {
                "ip" => source.is_ipv4(),
                "ip6" => source.is_ipv6(),
                "tcp" | "proto 6" => packet.protocol == 6,
                "ip6 proto udp" => packet.protocol == 17 && source.is_ipv6(),
                "udp" => packet.protocol == 17,
                "icmp" => packet.protocol == 1,
                "icmp6" => packet.protocol == 58,
                _ => false,
            },
            Self::Host(end, address) => at_ends(*end, source == *address, destination == *address),
            Self::Net(end, address, len) => {
                let within = |a: IpAddr| match (a, *address) {
                    (IpAddr::V4(a), IpAddr::V4(b)) => {
                        a.octets()[..usize::from(*len / 8)] == b.octets()[..usize::from(*len / 8)]
                    }
                    (IpAddr::V6(a), IpAddr::V6(b)) => {
                        a.octets()[..usize::from(*len / 8)] == b.octets()[..usize::from(*len / 8)]
                    }
                    _ => false,
                };
                at_ends(*end, within(source), within(destination))
            }
            Self::Port(end, transport, low, high) => {
                packet.has_ports()
                    && transport.is_none_or(|transport| transport == packet.protocol)
                    && at_ends(
                        *end,
                        (*low..=*high).contains(&packet.ports.0),
                        (*low..=*high).contains(&packet.ports.1),
                    )
            }
            Self::Mac(..) | Self::Less(_) => unreachable!(),
        }
    }
}

impl Meaning {
    /// Both sides in parentheses, so that nothing depends on how operators bind.
    fn text(&self) -> String {
        match self {
            Self::Leaf(leaf) => leaf.text(),
            Self::Not(inner) => format!("not ({})", inner.text()),
            Self::And(a, b) => format!("({}) and ({})", a.text(), b.text()),
            Self::Or(a, b) => format!("({}) || ({})", a.text(), b.text()),
        }
    }

    fn holds(&self, packet: &Packet, tags: usize) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.holds(packet, tags),
            Self::Not(inner) => !inner.holds(packet, tags),
            Self::And(a, b) => a.holds(packet, tags) && b.holds(packet, tags),
            Self::Or(a, b) => a.holds(packet, tags) || b.holds(packet, tags),
        }
    }
}

fn meaning() -> impl Strategy<Value = Meaning> {
    let address =
        (any::<bool>(), 0..3_usize).prop_map(|(six, n)| if six { IpAddr::from(v6()[n]) } else { V4[n].into() });
    let kinds = prop::sample::select(vec![
        "ip",
        "ip6",
        "tcp",
        "udp",
        "icmp",
        "icmp6",
        "arp",
        "proto 6",
        "ip6 proto udp",
    ]);
    let nets = prop::sample::select(vec![
        (IpAddr::from(Ipv4Addr::new(10, 1, 0, 0)), 16),
        (Ipv4Addr::new(10, 0, 0, 0).into(), 8),
        ("fd00:1::".parse().unwrap(), 32),
        ("fd00::".parse().unwrap(), 16),
    ]);
    let leaf = prop_oneof![
        kinds.prop_map(Leaf::Kind),
        (0..4_u8, address).prop_map(|(end, address)| Leaf::Host(end, address)),
        (0..4_u8, nets).prop_map(|(end, (address, len))| Leaf::Net(end, address, len)),
        (
            0..4_u8,
            prop::option::of(prop::sample::select(vec![6_u8, 17])),
            78..84_u16,
            0..4_u16
        )
            .prop_map(|(end, transport, low, more)| Leaf::Port(end, transport, low, low + more)),
        (0..4_u8, 0..2_u8).prop_map(|(end, last)| Leaf::Mac(end, last)),
        (40..120_usize).prop_map(Leaf::Less),
    ];
    leaf.prop_map(Meaning::Leaf).prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Meaning::Not(Box::new(inner))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Meaning::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner).prop_map(|(a, b)| Meaning::Or(Box::new(a), Box::new(b))),
        ]
    })
}

fn filter(text: &str) -> Filter {
    Filter::new(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

proptest! {
    #[test]
    fn a_filter_says_of_bytes_what_its_meaning_says_of_their_description(packet in packet(), meaning in meaning(), tags in 0..3_usize) {
        let text = format!("{}({})", "vlan and ".repeat(tags), meaning.text());
        let expected = packet.vlans.len() >= tags && meaning.holds(&packet, tags);
        prop_assert_eq!(filter(&text).matches(&packet.bytes()), expected, "{}", text);
    }

    #[test]
    fn anything_is_read_or_refused_at_a_column_that_is_there(text in "[ ()!&|a-z0-9.:/-]{0,60}", bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        match Filter::new(&text) {
            Ok(filter) => {
                filter.matches(&bytes);
            }
            Err(error) => prop_assert!((1..=text.chars().count() + 1).contains(&error.column)),
        }
    }
}

fn tcp(source: &str, destination: &str, ports: (u16, u16)) -> Vec<u8> {
    Packet {
        macs: ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]),
        vlans: Vec::new(),
        addresses: (source.parse().unwrap(), destination.parse().unwrap()),
        protocol: 6,
        ports,
        payload: 0,
    }
    .bytes()
}

#[test]
fn and_and_or_bind_alike_and_values_take_what_stood_before() {
    let packet = tcp("10.1.0.1", "10.1.0.2", (1000, 443));
    for (text, wanted) in [
        ("tcp port 80 or 443", true),
        ("tcp port 80 or 8080", false),
        ("host 10.9.9.9 or 10.1.0.2", true),
        ("src host 10.9.9.9 or 10.1.0.2", false),
        ("10.1.0.1", true),
        ("10.1.0.0/24 and not 10.1.0.2", false),
        ("src 10.1.0.1 and dst 10.1.0.2", true),
        ("src or dst port 443", true),
        // From left to right: (tcp or udp) and port 53.
        ("tcp or udp and port 53", false),
        ("tcp or (udp and port 53)", true),
        ("port https", true),
        ("portrange 400-500", true),
        ("dst portrange 500-400", true),
        ("net 10 and dst net 10.1", true),
        ("ip host 10.1.0.1 && ! arp", true),
        ("arp host 10.1.0.1", false),
        ("ether src 02:00:00:00:00:01", true),
        ("ether proto 0x800", true),
        ("greater 55", false),
        ("vlan", false),
        ("not vlan and tcp", false),
    ] {
        assert_eq!(filter(text).matches(&packet), wanted, "{text}");
    }
}

#[test]
fn behind_vni_and_label_is_the_packet_within() {
    let inner = tcp("10.1.0.1", "10.1.0.2", (1000, 443));
    let outer = |port: u16, header: &[u8], inner: &[u8]| {
        let payload = [header, inner].concat();
        let mut out = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv6([0xfd; 16], [0xfe; 16], 9)
            .udp(5000, port)
            .write(&mut out, &payload)
            .unwrap();
        out
    };
    let vxlan = outer(4789, &[8, 0, 0, 0, 0, 0, 77, 0], &inner);
    let mpls = outer(6635, &[0, 1, 0x01, 64], &inner[14..]);
    for (text, in_vxlan, in_mpls) in [
        ("vni", true, false),
        ("vni 77", true, false),
        ("vni 78", false, false),
        ("label 16", false, true),
        ("vni 77 and host 10.1.0.2 and tcp port 443", true, false),
        ("label and host 10.1.0.2 and tcp port 443", false, true),
        ("host 10.1.0.2", false, false),
        ("ip6 and udp and vni and ip", true, false),
        ("vni and ether src 02:00:00:00:00:01", true, false),
        ("label and ether src 02:00:00:00:00:01", false, false),
        ("udp port 4789 or 6635", true, true),
    ] {
        let filter = filter(text);
        assert_eq!(
            (filter.matches(&vxlan), filter.matches(&mpls)),
            (in_vxlan, in_mpls),
            "{text}"
        );
    }
}

#[test]
fn a_mistake_is_told_with_its_column_and_what_would_be_right() {
    for (text, column, words) in [
        ("", 1, "expected a test"),
        ("tcp port", 9, "a port is expected"),
        ("tcp port foo", 10, "\"foo\" is no port"),
        ("tcp  portrang 5", 6, "cannot stand right behind tcp"),
        ("host 10.1.0", 6, "is no address"),
        ("host 10.1.0.0/24", 6, "say net"),
        ("net 10.1.0.1/24", 5, "bits set"),
        ("(tcp or udp", 12, "the ( of column 1"),
        ("tcp)", 4, "there is no ("),
        ("tcp udp", 5, "cannot stand right behind tcp"),
        ("port 80 port 90", 9, "and, or, or the end"),
        ("ip[0] = 4", 3, "single bytes"),
        ("tcp host 10.0.0.1", 10, "tcp has no addresses"),
        ("icmp port 5", 11, "has no ports"),
        ("ip6 host 10.0.0.1", 10, "no IPv4"),
        ("vlan 5000", 6, "up to 4095"),
        ("port 70000", 6, "from 0 to 65535"),
        ("wat", 1, "\"wat\" is not known"),
        ("tcp and and", 9, "expected a test"),
        ("ë", 1, "no meaning"),
        ("80", 1, "not known"),
        ("src", 4, "is expected"),
        ("src or tcp", 5, "src and dst want"),
        ("ether", 6, "ether wants"),
    ] {
        let error = Filter::new(text).unwrap_err();
        assert!(
            error.column == column && error.message.contains(words),
            "{text}: {error}"
        );
    }
    assert!(Filter::new(&"(".repeat(100)).is_err());
    assert!(Filter::new(&"!".repeat(4000)).is_err());
    assert!(Filter::new(&format!("tcp{}", " or tcp".repeat(511))).is_ok());
    assert!(Filter::new(&format!("tcp{}", " or tcp".repeat(512))).is_err());
    assert!(Filter::new(&"tcp or ".repeat(1000)).is_err());
}

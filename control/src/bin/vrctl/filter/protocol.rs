//! Names of IP protocols (IANA "Assigned Internet Protocol Numbers"); only those that people meet.

const NAMES: &[(u32, &str)] = &[
    (1, "icmp"),
    (2, "igmp"),
    (4, "ipip"),
    (6, "tcp"),
    (17, "udp"),
    (41, "ipv6"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (58, "icmpv6"),
    (89, "ospf"),
    (112, "vrrp"),
    (132, "sctp"),
    (136, "udplite"),
];

/// The name of protocol `number`, or the number where it has none here.
pub(crate) fn name(number: u32) -> String {
    NAMES
        .iter()
        .find(|(known, _)| *known == number)
        .map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

/// The number of a protocol given by name or number (0..255).
pub(crate) fn number(text: &str) -> Option<u32> {
    NAMES
        .iter()
        .find(|(_, name)| name.eq_ignore_ascii_case(text))
        .map(|(number, _)| *number)
        .or_else(|| text.parse::<u8>().ok().map(u32::from))
}

/// Its two 16-bit words are ports.
pub(crate) fn has_ports(number: u32) -> bool {
    matches!(number, 6 | 17 | 132 | 136)
}

//! The packets to send: built once, then copied and patched for each one.

use vrouter_dataplane::wire::{
    Mac,
    checksum::{self, Sum},
    eth, ethertype, icmpv4, icmpv6,
    ipv4::{self, Ipv4Header},
    ipv6::{self, Ipv6Header},
    outer::{Encap, Ends, Outer, OuterSpec, PerPacket},
    proto, udp,
};

use crate::{
    flows::{Flows, Tuple, mix},
    stamp::{self, Stamp},
};

/// What is in the IP packets. The headers of all are as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Proto {
    /// UDP.
    #[default]
    Udp,
    /// ICMP or ICMPv6 echo requests; a flow's source port is their identifier, its destination port their sequence number.
    IcmpEcho,
}

/// Bytes of a UDP header, and of that of an echo request.
const L4_HEADER: usize = udp::HEADER_LEN;

/// What packets look like.
#[derive(Debug, Clone, Copy)]
pub struct TemplateSpec {
    /// Ethernet destination. Unused with MPLS, which carries IP alone.
    pub to_mac: Mac,
    /// Ethernet source, likewise.
    pub from_mac: Mac,
    /// Addresses and ports.
    pub flows: Flows,
    /// What is in the IP packets.
    pub proto: Proto,
    /// Bytes of the Ethernet frame, without check sequence and before any encapsulation.
    pub size: usize,
    /// A tunnel around each.
    pub outer: Option<OuterSpec>,
}

/// Why packets cannot look like that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No room for headers and stamp.
    #[error(
        "a size of {size} is too small: {family} over Ethernet with 8 bytes of header and an 18-byte stamp takes {least} bytes"
    )]
    TooSmall {
        /// Asked for.
        size: usize,
        /// IPv4 or IPv6.
        family: &'static str,
        /// Smallest that works.
        least: usize,
    },
    /// Lengths in IP headers have 16 bits.
    #[error("a size of {0} is too large: the IP packet would be longer than 65535 bytes")]
    TooLarge(usize),
}

/// A prebuilt packet.
#[derive(Debug, Clone)]
pub struct Template {
    /// The inner packet; addresses, ports, stamp and checksums zero.
    inner: Vec<u8>,
    /// Where in `inner` the IP header starts.
    ip: usize,
    /// Where in `inner` the header behind it starts.
    l4: usize,
    /// Sum of the IP header as it stands in `inner`: of IPv4.
    ip_sum: Option<Sum>,
    /// Sum of the pseudo header (without addresses) and of what follows the IP header, as it stands in `inner`.
    l4_sum: Sum,
    proto: Proto,
    flows: Flows,
    outer: Option<Outer>,
}

/// The smallest size for packets between such addresses.
pub const fn least_size(ends: Ends) -> usize {
    let ip = match ends {
        Ends::V4 { .. } => ipv4::HEADER_LEN,
        Ends::V6 { .. } => ipv6::HEADER_LEN,
    };
    eth::HEADER_LEN + ip + L4_HEADER + stamp::LEN
}

impl Template {
    /// Builds it.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn new(spec: &TemplateSpec) -> Result<Self, TemplateError> {
        let ends = spec.flows.tuple(0).ends;
        let least = least_size(ends);
        let family = match ends {
            Ends::V4 { .. } => "IPv4",
            Ends::V6 { .. } => "IPv6",
        };
        if spec.size < least {
            return Err(TemplateError::TooSmall {
                size: spec.size,
                family,
                least,
            });
        }
        let outer = spec.outer.as_ref().map(Outer::new);
        // The tunnel's IP packet is the longer one.
        if spec.size + outer.as_ref().map_or(0, Outer::len) > 0xffff {
            return Err(TemplateError::TooLarge(spec.size));
        }

        let ip_only = spec
            .outer
            .is_some_and(|outer| matches!(outer.encap, Encap::Mpls { .. }));
        let mut inner = Vec::with_capacity(spec.size);
        if !ip_only {
            let ethertype = match ends {
                Ends::V4 { .. } => ethertype::IPV4,
                Ends::V6 { .. } => ethertype::IPV6,
            };
            inner.extend(eth::header(spec.to_mac, spec.from_mac, ethertype));
        }
        let ip = inner.len();
        let (ip_sum, pseudo) = push_ip(&mut inner, ends, spec.proto, spec.size - eth::HEADER_LEN);
        let l4 = inner.len();
        let l4_len = spec.size - eth::HEADER_LEN - (l4 - ip);
        inner.extend(match (spec.proto, ends) {
            (Proto::Udp, _) => udp::header(0, 0, l4_len - L4_HEADER),
            (Proto::IcmpEcho, Ends::V4 { .. }) => [icmpv4::ECHO_REQUEST, 0, 0, 0, 0, 0, 0, 0],
            (Proto::IcmpEcho, Ends::V6 { .. }) => [icmpv6::ECHO_REQUEST, 0, 0, 0, 0, 0, 0, 0],
        });
        inner.resize(l4 + l4_len, 0);
        let l4_sum = inner.get(l4..).map_or(pseudo, |bytes| pseudo.add_bytes(bytes));
        Ok(Self {
            inner,
            ip,
            l4,
            ip_sum,
            l4_sum,
            proto: spec.proto,
            flows: spec.flows,
            outer,
        })
    }

    /// Bytes of a packet, tunnel included.
    pub fn frame_len(&self) -> usize {
        self.inner.len() + self.outer.as_ref().map_or(0, Outer::len)
    }

    /// Writes packet number `number` of the traffic to the start of `buffer` and gives its length; zero, and nothing written,
    /// when the buffer is too small.
    pub fn write(&self, buffer: &mut [u8], number: u64, stamp: Stamp) -> usize {
        let headers = self.outer.as_ref().map_or(0, Outer::len);
        let Some((outer_bytes, rest)) = buffer.split_at_mut_checked(headers) else {
            return 0;
        };
        let Some(inner) = rest.get_mut(..self.inner.len()) else {
            return 0;
        };
        let flow = self.flows.of_packet(number);
        inner.copy_from_slice(&self.inner);
        self.patch(inner, &self.flows.tuple(flow), stamp);
        if let Some(outer) = &self.outer {
            let per_packet = PerPacket {
                inner_len: self.inner.len(),
                entropy_port: udp::entropy_port(mix(flow) as u32),
                tos: 0,
                ttl: 64,
                ip_id: 0,
                inner_ethertype: 0,
            };
            if outer.apply(outer_bytes, &per_packet).is_err() {
                return 0;
            }
        }
        headers + self.inner.len()
    }

    /// Puts addresses, ports, stamp and checksums into a copy of the inner packet.
    fn patch(&self, inner: &mut [u8], tuple: &Tuple, stamp: Stamp) {
        let addresses = match tuple.ends {
            Ends::V4 { src, dst } => {
                let addresses = Sum::ZERO.add_u32(src.to_bits()).add_u32(dst.to_bits());
                put(inner, self.ip + 12, &src.octets());
                put(inner, self.ip + 16, &dst.octets());
                if let Some(sum) = self.ip_sum {
                    put(inner, self.ip + 10, &sum.add_sum(addresses).checksum().to_be_bytes());
                }
                addresses
            }
            Ends::V6 { src, dst } => {
                let (src, dst) = (src.octets(), dst.octets());
                put(inner, self.ip + 8, &src);
                put(inner, self.ip + 24, &dst);
                Sum::of(&src).add_bytes(&dst)
            }
        };
        let bytes = stamp.to_bytes();
        let sum = self.l4_sum.add_u16(tuple.sport).add_u16(tuple.dport).add_bytes(&bytes);
        let (ports, check_at, sum) = match (self.proto, tuple.ends) {
            (Proto::Udp, _) => (0, 6, sum.add_sum(addresses)),
            // ICMP has no pseudo header, ICMPv6 has one.
            (Proto::IcmpEcho, Ends::V4 { .. }) => (4, 2, sum),
            (Proto::IcmpEcho, Ends::V6 { .. }) => (4, 2, sum.add_sum(addresses)),
        };
        // A computed zero is sent as all ones: zero means "no checksum" (RFC 768). To others both are the same.
        let check = match sum.checksum() {
            0 => 0xffff,
            check => check,
        };
        put(inner, self.l4 + ports, &tuple.sport.to_be_bytes());
        put(inner, self.l4 + ports + 2, &tuple.dport.to_be_bytes());
        put(inner, self.l4 + check_at, &check.to_be_bytes());
        put(inner, self.l4 + L4_HEADER, &bytes);
    }
}

fn put(packet: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = packet.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Appends an IP header without addresses for a packet of `ip_len` bytes; gives the sum of an IPv4 one and that of the pseudo
/// header.
fn push_ip(packet: &mut Vec<u8>, ends: Ends, kind: Proto, ip_len: usize) -> (Option<Sum>, Sum) {
    match ends {
        Ends::V4 { .. } => {
            let l4_len = (ip_len - ipv4::HEADER_LEN) as u32;
            let proto = match kind {
                Proto::Udp => proto::UDP,
                Proto::IcmpEcho => proto::ICMP,
            };
            let (src, dst) = ([0; 4].into(), [0; 4].into());
            let header = Ipv4Header {
                tos: 0,
                total_len: ip_len as u16,
                id: 0,
                dont_fragment: true,
                ttl: 64,
                proto,
                src,
                dst,
            };
            let mut bytes = header.to_bytes();
            put(&mut bytes, 10, &[0, 0]);
            packet.extend(bytes);
            let pseudo = match kind {
                Proto::Udp => checksum::pseudo_v4(src, dst, proto, l4_len),
                Proto::IcmpEcho => Sum::ZERO,
            };
            (Some(Sum::of(&bytes)), pseudo)
        }
        Ends::V6 { .. } => {
            let l4_len = ip_len - ipv6::HEADER_LEN;
            let next_header = match kind {
                Proto::Udp => proto::UDP,
                Proto::IcmpEcho => proto::ICMPV6,
            };
            let (src, dst) = ([0; 16].into(), [0; 16].into());
            let header = Ipv6Header {
                traffic_class: 0,
                flow_label: 0,
                payload_len: l4_len as u16,
                next_header,
                hop_limit: 64,
                src,
                dst,
            };
            packet.extend(header.to_bytes());
            (None, checksum::pseudo_v6(src, dst, next_header, l4_len as u32))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Carried, classify};
    use crate::flows::{FlowSpec, Order};
    use vrouter_dataplane::wire::{Ipv4, offload, parse};

    const V4: (&str, &str) = ("10.0.0.1", "10.0.0.2");
    const V6: (&str, &str) = ("2001:db8::1", "2001:db8::2");

    fn spec((src, dst): (&str, &str), size: usize) -> TemplateSpec {
        TemplateSpec {
            to_mac: Mac([2, 0, 0, 0, 0, 2]),
            from_mac: Mac([2, 0, 0, 0, 0, 1]),
            flows: Flows::new(&FlowSpec {
                src: src.parse().unwrap(),
                dst: dst.parse().unwrap(),
                sport: "65534".parse().unwrap(),
                dport: "1000".parse().unwrap(),
                flows: Some(5),
                order: Order::RoundRobin,
            })
            .unwrap(),
            proto: Proto::Udp,
            size,
            outer: None,
        }
    }

    fn stamp(sequence: u32) -> Stamp {
        Stamp {
            stream: 7,
            sequence,
            sent_at: 0xfedc_ba98_7654_3210,
        }
    }

    fn packet(spec: &TemplateSpec, sequence: u32) -> Vec<u8> {
        let template = Template::new(spec).unwrap();
        let mut buffer = [0xee; 2048];
        let len = template.write(&mut buffer, u64::from(sequence), stamp(sequence));
        assert_eq!(len, template.frame_len());
        assert_eq!(buffer[len], 0xee, "nothing behind is touched");
        buffer[..len].to_vec()
    }

    #[test]
    fn packets_of_both_families_are_right_in_every_size_and_flow() {
        for (ends, least) in [(V4, 60), (V6, 80)] {
            for size in [least, least + 1, 129, 1514] {
                for (sequence, ports) in [
                    (0, (65534, 1000)),
                    (1, (65535, 1000)),
                    (2, (65534, 1001)),
                    (6, (65535, 1000)),
                ] {
                    let packet = packet(&spec(ends, size), sequence);
                    assert_eq!(packet.len(), size);
                    let parsed = parse(&packet).unwrap();
                    assert_eq!((parsed.src_port, parsed.dst_port), ports);
                    assert_eq!(parsed.end as usize, size, "no padding");
                    assert!(offload::is_right(&packet, &parsed));
                    let udp_checksum = usize::from(parsed.l4) + 6;
                    assert_ne!(packet[udp_checksum..udp_checksum + 2], [0, 0], "a real checksum");
                    assert_eq!(
                        Stamp::from_payload(&packet[usize::from(parsed.l4) + 8..]),
                        Some(stamp(sequence))
                    );
                }
            }
        }
    }

    #[test]
    fn tunnels_of_both_families_carry_both_families() {
        let tunnels = ["vxlan,vni=5,", "mpls,label=99,"];
        for (inner, ends) in [(V4, V4), (V4, V6), (V6, V4), (V6, V6)] {
            for (kind, tunnel) in [Carried::Vxlan, Carried::Mpls].into_iter().zip(tunnels) {
                let encap = format!("{tunnel}src={},dst={},to-mac=02:00:00:00:00:09", ends.0, ends.1);
                let encap: crate::encap::EncapSpec = encap.parse().unwrap();
                let mut spec = spec(inner, 100);
                spec.outer = Some(encap.outer(Mac([2, 0, 0, 0, 0, 8])));
                let packet = packet(&spec, 3);
                let found = classify(&packet).unwrap();
                assert_eq!((found.carried, found.stamp, found.intact), (kind, stamp(3), true));
                let outer_ip = if ends == V4 { 20 } else { 40 };
                let expected = match kind {
                    Carried::Vxlan => 14 + outer_ip + 8 + 8 + 100,
                    _ => 14 + outer_ip + 8 + 4 + 100 - 14,
                };
                assert_eq!(packet.len(), expected);
            }
        }
    }

    #[test]
    fn says_what_is_impossible() {
        let error = |spec: &TemplateSpec| Template::new(spec).unwrap_err().to_string();
        assert_eq!(
            error(&spec(V6, 64)),
            "a size of 64 is too small: IPv6 over Ethernet with 8 bytes of header and an 18-byte stamp takes 80 bytes"
        );
        assert!(error(&spec(V4, 70_000)).contains("too large"));
    }

    #[test]
    fn a_small_buffer_stays_as_it_is() {
        let template = Template::new(&spec(V4, 64)).unwrap();
        let mut buffer = [0xee; 63];
        assert_eq!(template.write(&mut buffer, 0, stamp(0)), 0);
        assert_eq!(buffer, [0xee; 63]);
    }

    #[test]
    fn the_ip_header_is_plain() {
        let packet = packet(&spec(V4, 64), 0);
        let ip = Ipv4::new_checked(&packet[14..]).unwrap();
        assert!(ip.checksum_ok() && ip.dont_fragment());
        assert_eq!((ip.ttl(), ip.src().to_string()), (64, V4.0.to_owned()));
    }

    #[test]
    fn echo_requests_and_many_addresses_have_right_checksums() {
        for (src, dst) in [
            ("10.0.0.0/24", "10.255.255.250-10.255.255.255"),
            ("2001:db8::fffe-2001:db8::1:2", "2001:db8:1::/120"),
        ] {
            for proto in [Proto::Udp, Proto::IcmpEcho] {
                let mut spec = spec((src, dst), 97);
                (spec.proto, spec.flows) = (
                    proto,
                    Flows::new(&FlowSpec {
                        src: src.parse().unwrap(),
                        dst: dst.parse().unwrap(),
                        sport: "7-9".parse().unwrap(),
                        dport: "1".parse().unwrap(),
                        flows: None,
                        order: Order::Random,
                    })
                    .unwrap(),
                );
                for sequence in 0..200 {
                    let packet = packet(&spec, sequence);
                    let parsed = parse(&packet).unwrap();
                    assert!(offload::is_right(&packet, &parsed));
                    if matches!(spec.flows.tuple(0).ends, Ends::V4 { .. }) {
                        assert!(Ipv4::new_checked(&packet[14..]).unwrap().checksum_ok());
                    }
                    let found = classify(&packet).unwrap();
                    assert_eq!(
                        (found.carried, found.stamp, found.intact),
                        (Carried::Plain, stamp(sequence), true)
                    );
                }
            }
        }
    }
}

//! The packets to send: built once, then copied and patched for each one.

use vrouter_dataplane::wire::{
    Mac, checksum, eth, ethertype,
    ipv4::{self, Ipv4Header},
    ipv6::{self, Ipv6Header},
    outer::{Encap, Ends, Outer, OuterSpec, PerPacket},
    proto, udp,
};

use crate::stamp::{self, Stamp};

/// What packets look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateSpec {
    /// Ethernet destination. Unused with MPLS, which carries IP alone.
    pub to_mac: Mac,
    /// Ethernet source, likewise.
    pub from_mac: Mac,
    /// IP addresses.
    pub ends: Ends,
    /// UDP source port of flow 0.
    pub src_port: u16,
    /// UDP destination port of flow 0.
    pub dst_port: u16,
    /// Bytes of the Ethernet frame, without check sequence and before any encapsulation.
    pub size: usize,
    /// Flows; packets take them in turn. Flow `n` has the `n`th source port from `src_port` up and, when those are used up,
    /// the next destination port.
    pub flows: u32,
    /// A tunnel around each.
    pub outer: Option<OuterSpec>,
}

/// Why packets cannot look like that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No room for headers and stamp.
    #[error("a size of {size} is too small: {family} over Ethernet with UDP and an 18-byte stamp takes {least} bytes")]
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
    /// No flow at all, or more than there are port numbers.
    #[error(
        "{flows} flows are impossible: from source port {src_port} and destination port {dst_port} up there are 1 to {most}"
    )]
    Flows {
        /// Asked for.
        flows: u32,
        /// First source port.
        src_port: u16,
        /// First destination port.
        dst_port: u16,
        /// Most that work.
        most: u64,
    },
}

/// A prebuilt packet.
#[derive(Debug, Clone)]
pub struct Template {
    /// The inner packet, ports, stamp and UDP checksum zero.
    inner: Vec<u8>,
    /// Where in `inner` UDP starts.
    udp: usize,
    /// Sum of the pseudo header and of UDP as it stands in `inner`.
    sum: checksum::Sum,
    outer: Option<Outer>,
    src_port: u16,
    dst_port: u16,
    flows: u32,
}

/// The smallest size for packets between such addresses.
pub const fn least_size(ends: Ends) -> usize {
    let ip = match ends {
        Ends::V4 { .. } => ipv4::HEADER_LEN,
        Ends::V6 { .. } => ipv6::HEADER_LEN,
    };
    eth::HEADER_LEN + ip + udp::HEADER_LEN + stamp::LEN
}

impl Template {
    /// Builds it.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn new(spec: &TemplateSpec) -> Result<Self, TemplateError> {
        let least = least_size(spec.ends);
        let family = match spec.ends {
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
        let most = (0x1_0000 - u64::from(spec.src_port)) * (0x1_0000 - u64::from(spec.dst_port));
        if spec.flows == 0 || u64::from(spec.flows) > most {
            return Err(TemplateError::Flows {
                flows: spec.flows,
                src_port: spec.src_port,
                dst_port: spec.dst_port,
                most,
            });
        }

        let ip_only = spec
            .outer
            .is_some_and(|outer| matches!(outer.encap, Encap::Mpls { .. }));
        let mut inner = Vec::with_capacity(spec.size);
        if !ip_only {
            let ethertype = match spec.ends {
                Ends::V4 { .. } => ethertype::IPV4,
                Ends::V6 { .. } => ethertype::IPV6,
            };
            inner.extend(eth::header(spec.to_mac, spec.from_mac, ethertype));
        }
        let ip_len = spec.size - eth::HEADER_LEN;
        let (udp_len, pseudo) = push_ip(&mut inner, spec.ends, ip_len);
        let udp = inner.len();
        inner.extend(udp::header(0, 0, udp_len - udp::HEADER_LEN));
        inner.resize(udp + udp_len, 0);
        let sum = inner.get(udp..).map_or(pseudo, |bytes| pseudo.add_bytes(bytes));
        Ok(Self {
            inner,
            udp,
            sum,
            outer,
            src_port: spec.src_port,
            dst_port: spec.dst_port,
            flows: spec.flows,
        })
    }

    /// Bytes of a packet, tunnel included.
    pub fn frame_len(&self) -> usize {
        self.inner.len() + self.outer.as_ref().map_or(0, Outer::len)
    }

    /// Writes packet number `stamp.sequence` to the start of `buffer` and gives its length; zero, and nothing written, when the
    /// buffer is too small.
    pub fn write(&self, buffer: &mut [u8], stamp: Stamp) -> usize {
        let headers = self.outer.as_ref().map_or(0, Outer::len);
        let Some((outer_bytes, rest)) = buffer.split_at_mut_checked(headers) else {
            return 0;
        };
        let Some(inner) = rest.get_mut(..self.inner.len()) else {
            return 0;
        };
        let flow = stamp.sequence % self.flows;
        inner.copy_from_slice(&self.inner);
        self.patch(inner, flow, stamp);
        if let Some(outer) = &self.outer {
            let per_packet = PerPacket {
                inner_len: self.inner.len(),
                entropy_port: udp::entropy_port(flow.wrapping_mul(0x9e37_79b1)),
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

    /// Puts ports, stamp and checksum into a copy of the inner packet.
    fn patch(&self, inner: &mut [u8], flow: u32, stamp: Stamp) {
        let Some(udp) = inner.get_mut(self.udp..) else { return };
        let (header, payload) = udp.split_at_mut(udp::HEADER_LEN);
        let (src, dst) = self.ports(flow);
        let bytes = stamp.to_bytes();
        let sum = self.sum.add_u16(src).add_u16(dst).add_bytes(&bytes);
        // A computed zero is sent as all ones: zero means "no checksum" (RFC 768).
        let check = match sum.checksum() {
            0 => 0xffff,
            check => check,
        };
        for (at, value) in [(0, src), (2, dst), (6, check)] {
            if let Some(field) = header.get_mut(at..at + 2) {
                field.copy_from_slice(&value.to_be_bytes());
            }
        }
        if let Some(start) = payload.get_mut(..stamp::LEN) {
            start.copy_from_slice(&bytes);
        }
    }

    /// Ports of a flow.
    fn ports(&self, flow: u32) -> (u16, u16) {
        let sources = 0x1_0000 - u32::from(self.src_port);
        let (src, dst) = (flow % sources, flow / sources);
        // Both sums stay below 65536: `new` counted the flows.
        (self.src_port + src as u16, self.dst_port + dst as u16)
    }
}

/// Appends an IP header for a packet of `ip_len` bytes; gives the bytes behind it and their pseudo header.
fn push_ip(packet: &mut Vec<u8>, ends: Ends, ip_len: usize) -> (usize, checksum::Sum) {
    match ends {
        Ends::V4 { src, dst } => {
            let udp_len = ip_len - ipv4::HEADER_LEN;
            let header = Ipv4Header {
                tos: 0,
                total_len: ip_len as u16,
                id: 0,
                dont_fragment: true,
                ttl: 64,
                proto: proto::UDP,
                src,
                dst,
            };
            packet.extend(header.to_bytes());
            (udp_len, checksum::pseudo_v4(src, dst, proto::UDP, udp_len as u32))
        }
        Ends::V6 { src, dst } => {
            let udp_len = ip_len - ipv6::HEADER_LEN;
            let header = Ipv6Header {
                traffic_class: 0,
                flow_label: 0,
                payload_len: udp_len as u16,
                next_header: proto::UDP,
                hop_limit: 64,
                src,
                dst,
            };
            packet.extend(header.to_bytes());
            (udp_len, checksum::pseudo_v6(src, dst, proto::UDP, udp_len as u32))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Carried, classify};
    use crate::encap::ends;
    use vrouter_dataplane::wire::{Ipv4, offload, parse};

    const V4: (&str, &str) = ("10.0.0.1", "10.0.0.2");
    const V6: (&str, &str) = ("2001:db8::1", "2001:db8::2");

    fn spec((src, dst): (&str, &str), size: usize) -> TemplateSpec {
        TemplateSpec {
            to_mac: Mac([2, 0, 0, 0, 0, 2]),
            from_mac: Mac([2, 0, 0, 0, 0, 1]),
            ends: ends(src.parse().unwrap(), dst.parse().unwrap()).unwrap(),
            src_port: 65534,
            dst_port: 1000,
            size,
            flows: 5,
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
        let len = template.write(&mut buffer, stamp(sequence));
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
            "a size of 64 is too small: IPv6 over Ethernet with UDP and an 18-byte stamp takes 80 bytes"
        );
        assert!(error(&spec(V4, 70_000)).contains("too large"));
        let mut many = spec(V4, 64);
        many.flows = 2 * 64_536 + 1;
        assert!(error(&many).ends_with("there are 1 to 129072"), "{}", error(&many));
        many.flows = 0;
        assert!(Template::new(&many).is_err());
    }

    #[test]
    fn a_small_buffer_stays_as_it_is() {
        let template = Template::new(&spec(V4, 64)).unwrap();
        let mut buffer = [0xee; 63];
        assert_eq!(template.write(&mut buffer, stamp(0)), 0);
        assert_eq!(buffer, [0xee; 63]);
    }

    #[test]
    fn the_ip_header_is_plain() {
        let packet = packet(&spec(V4, 64), 0);
        let ip = Ipv4::new_checked(&packet[14..]).unwrap();
        assert!(ip.checksum_ok() && ip.dont_fragment());
        assert_eq!((ip.ttl(), ip.src().to_string()), (64, V4.0.to_owned()));
    }
}

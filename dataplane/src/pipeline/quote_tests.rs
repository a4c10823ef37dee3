//! Quotes of every transport, whole and cut short: translated, all checksums hold that held before.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::wire::{
    checksum::{Sum, fill_l4, pseudo_v6, verify_l4},
    parse_ip,
};

/// An IP packet: checksums right where they are whole.
fn ip(source: IpAddr, destination: IpAddr, protocol: u8, l4: &[u8]) -> Vec<u8> {
    let mut l4 = l4.to_vec();
    match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            let pseudo = match protocol {
                proto::ICMP => Sum::ZERO,
                _ => crate::wire::checksum::pseudo_v4(s, d, protocol, l4.len() as u32),
            };
            fill_l4(&mut l4, protocol, pseudo);
            let mut bytes = vec![0x45, 0, 0, 0, 1, 2, 0, 0, 64, protocol, 0, 0];
            bytes[2..4].copy_from_slice(&(20 + l4.len() as u16).to_be_bytes());
            bytes.extend([s.octets(), d.octets()].concat());
            let check = Sum::of(&bytes).checksum();
            bytes[10..12].copy_from_slice(&check.to_be_bytes());
            [bytes, l4].concat()
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            let pseudo = pseudo_v6(s, d, protocol, l4.len() as u32);
            fill_l4(&mut l4, protocol, pseudo);
            let mut bytes = vec![0x60, 0, 0, 0];
            bytes.extend((l4.len() as u16).to_be_bytes());
            bytes.extend([protocol, 64]);
            bytes.extend([s.octets(), d.octets()].concat());
            [bytes, l4].concat()
        }
        _ => unreachable!(),
    }
}

fn address(v6: bool, bits: u128) -> IpAddr {
    if v6 {
        Ipv6Addr::from_bits(bits).into()
    } else {
        Ipv4Addr::from_bits(bits as u32).into()
    }
}

fn transport(protocol: u8, kind: u8, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let words = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    let head = match protocol {
        proto::TCP => [&words[..], &[0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 1, 0, 0, 0, 0, 0]].concat(),
        proto::UDP => [&words[..], &(8 + payload.len() as u16).to_be_bytes(), &[0, 0]].concat(),
        _ => vec![kind, 0, 0, 0, (ports.0 | ports.1) as u8, 1, 0, 1],
    };
    [&head, payload].concat()
}

proptest! {
    #[test]
    fn translated_quotes_and_their_errors_keep_their_checksums(
        v6: bool,
        which in 0..4_usize,
        ends: [u128; 4], to: (u128, u128), new: (u16, u16),
        ports: (u16, u16),
        payload in prop::collection::vec(any::<u8>(), 0..60),
        cut in prop::option::of(8..80_usize),
    ) {
        let (protocol, kind) = match which {
            0 => (proto::TCP, 0),
            1 => (proto::UDP, 0),
            2 => if v6 { (proto::ICMPV6, 128) } else { (proto::ICMP, 8) },
            _ => if v6 { (proto::ICMPV6, 129) } else { (proto::ICMP, 0) },
        };
        let at = |index: usize| address(v6, ends[index]);
        let l4 = transport(protocol, kind, ports, &payload);
        let header = if v6 { 40 } else { 20 };
        let mut quoted = ip(at(0), at(1), protocol, &l4);
        let whole = cut.is_none_or(|cut| cut >= l4.len());
        quoted.truncate(header + cut.unwrap_or(l4.len()));
        let (icmp, error_kind) = if v6 { (proto::ICMPV6, 1) } else { (proto::ICMP, 3) };
        let mut bytes = ip(at(2), at(3), icmp, &[&[error_kind, 1, 0, 0, 0, 0, 0, 0][..], &quoted].concat());

        let parsed = parse_ip(&bytes).unwrap();
        let (quote, key) = Quote::read(&bytes, &parsed, 7).unwrap();
        prop_assert_eq!((key.src(), key.dst(), key.protocol(), key.context()), (at(0), at(1), protocol, 7));
        let new = match which { 0 | 1 => new, 2 => (new.0, 0), _ => (0, new.1) };
        let to = FlowKey::between(7, address(v6, to.0), address(v6, to.1), protocol, new).unwrap();
        quote.translate(&mut bytes, &to);

        let parsed = parse_ip(&bytes).unwrap();
        prop_assert_eq!(Quote::read(&bytes, &parsed, 7).unwrap().1, to);
        let pseudo = match (at(2), at(3)) {
            (IpAddr::V6(s), IpAddr::V6(d)) => pseudo_v6(s, d, icmp, (bytes.len() - 40) as u32),
            _ => Sum::ZERO,
        };
        prop_assert!(verify_l4(&bytes[header..], icmp, pseudo), "the error's checksum");
        let quoted = &bytes[header + 8..];
        if !v6 {
            prop_assert!(crate::wire::checksum::ipv4_header_ok(quoted.first_chunk().unwrap()));
        }
        if whole {
            let len = (quoted.len() - header) as u32;
            let pseudo = match (to.src(), to.dst()) {
                _ if protocol == proto::ICMP => Sum::ZERO,
                (IpAddr::V4(s), IpAddr::V4(d)) => crate::wire::checksum::pseudo_v4(s, d, protocol, len),
                (IpAddr::V6(s), IpAddr::V6(d)) => pseudo_v6(s, d, protocol, len),
                _ => unreachable!(),
            };
            prop_assert!(verify_l4(&quoted[header..], protocol, pseudo), "the quoted packet's checksum");
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(v6: bool, kind in 0..14_u8, bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let icmp = if v6 { proto::ICMPV6 } else { proto::ICMP };
        let mut packet = ip(address(v6, 1), address(v6, 2), icmp, &[&[kind, 0, 0, 0, 0, 0, 0, 0][..], &bytes].concat());
        let parsed = parse_ip(&packet).unwrap();
        if let Some((quote, key)) = Quote::read(&packet, &parsed, 0) {
            quote.translate(&mut packet, &key);
            prop_assert_eq!(Quote::read(&packet, &parsed, 0), Some((quote, key)));
        }
    }
}

#[test]
fn what_is_about_no_flow_is_not_read() {
    let quoted = ip(
        address(false, 1),
        address(false, 2),
        proto::UDP,
        &transport(proto::UDP, 0, (1, 2), b""),
    );
    let read = |kind: u8, quoted: &[u8]| {
        let error = [&[kind, 0, 0, 0, 0, 0, 0, 0][..], quoted].concat();
        let bytes = ip(address(false, 3), address(false, 1), proto::ICMP, &error);
        Quote::read(&bytes, &parse_ip(&bytes).unwrap(), 0).map(|(_, key)| key)
    };
    assert!([3, 4, 11, 12].iter().all(|kind| read(*kind, &quoted).is_some()));
    assert_eq!(read(5, &quoted), None, "a redirect");
    assert_eq!(read(13, &quoted), None, "a question");
    assert_eq!(read(3, &quoted[..23]), None, "no ports");
    let mut later = quoted.clone();
    later[7] = 1;
    assert_eq!(read(3, &later), None, "a later fragment");
}

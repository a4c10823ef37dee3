//! Every header view over any bytes: no panic in any getter or setter, checked or not.

use std::{hint::black_box, net::Ipv6Addr};

use vrouter_dataplane::wire::{
    Arp, Ethernet, Icmpv4, Icmpv6, Ipv4, Ipv6, Mac, Ndisc, Sctp, Tcp, Udp, Vxlan, WireError, arp::ArpMessage, icmpv4,
    icmpv6, mpls,
};

/// Calls getters on a view without a look and, if the bytes pass it, on one with.
macro_rules! read {
    ($bytes:expr, $($view:ident: $($get:ident)*;)*) => {$({
        let unchecked = $view::new_unchecked($bytes);
        $(black_box(unchecked.$get());)*
        if let Ok(view) = $view::new_checked($bytes) {
            assert_eq!(view.as_bytes(), $bytes);
            $(black_box(view.$get());)*
        }
    })*};
}

/// Calls setters on a view of a copy, checked or not: its length stays.
macro_rules! write {
    ($bytes:expr, $($view:ident: $($set:ident($($value:expr),*))*;)*) => {$({
        let mut copy = $bytes.to_vec();
        let mut view = $view::new_unchecked(&mut copy);
        $(let _ = view.$set($($value),*);)*
        assert_eq!(copy.len(), $bytes.len());
    })*};
}

/// Reads and writes the bytes as every header there is.
pub(super) fn read(bytes: &[u8]) {
    read! { bytes,
        Ethernet: dst src ethertype payload tag;
        Arp: operation sender_mac sender_ip target_mac target_ip is_gratuitous;
        Ipv4: version header_len tos dscp ecn total_len id dont_fragment more_fragments fragment_offset ttl proto checksum
            src dst options payload checksum_ok;
        Ipv6: version traffic_class dscp ecn flow_label payload_len next_header hop_limit src dst payload;
        Tcp: src_port dst_port seq ack flags window checksum urgent header_len options payload mss_offset mss;
        Udp: src_port dst_port len checksum payload is_empty;
        Sctp: src_port dst_port tag checksum compute_checksum;
        Icmpv4: kind code checksum rest ident seq mtu is_error payload checksum_ok;
        Icmpv6: kind code checksum rest ident seq is_error payload;
        Ndisc: kind target is_router is_solicited is_override is_managed router_lifetime source_mac target_mac;
        Vxlan: vni_raw vni payload;
    }
    let v6 = Ipv6Addr::from_bits(1);
    let v4 = [10, 0, 0, 1].into();
    write! { bytes,
        Ethernet: set_dst(Mac::BROADCAST) set_src(Mac::ZERO) set_ethertype(0xffff);
        Arp: set_operation(1) set_sender_mac(Mac::ZERO) set_target_ip(v4);
        Ipv4: decrement_ttl() replace_tos(255) replace_src(v4) replace_dst(v4) set_dont_fragment(true) set_src(v4)
            set_total_len(0) fill_checksum();
        Ipv6: decrement_hop_limit() replace_src(v6) replace_dst(v6) set_traffic_class(255) set_flow_label(u32::MAX)
            set_payload_len(9);
        Tcp: clamp_mss(500, false) clamp_mss(400, true) set_checksum(0) set_flags(255);
        Udp: set_len(0) set_checksum(1);
        Sctp: set_tag(1) fill_checksum();
        Icmpv4: set_mtu(1) fill_checksum();
        Icmpv6: set_rest(1) fill_checksum(v6, v6);
    }
    options(bytes);
    messages(bytes);
    labels(bytes);
}

/// Options end, and lie within the message.
fn options(bytes: &[u8]) {
    let message = Ndisc::new_unchecked(bytes);
    assert!(message.options().count() <= bytes.len() / 8 + 1);
    if let Ok(tcp) = Tcp::new_checked(bytes) {
        assert!(tcp.mss_offset().is_none_or(|at| at + 2 <= tcp.header_len()));
        assert_eq!(tcp.header_len() + tcp.payload().len(), bytes.len());
    }
    if let Ok(udp) = Udp::new_checked(bytes) {
        assert!(udp.payload().len() + 8 <= bytes.len());
    }
}

/// What is read and written again is what it was; errors quote any bytes in any room.
fn messages(bytes: &[u8]) {
    if let Ok(arp) = Arp::new_checked(bytes) {
        assert_eq!(ArpMessage::from(&arp).to_bytes()[..], bytes[..28]);
    }
    let mut room = vec![0; bytes.len() / 2];
    let header = icmpv6::ErrorHeader {
        kind: icmpv6::TOO_BIG,
        code: 0,
        rest: 1280,
        src: Ipv6Addr::from_bits(1),
        dst: Ipv6Addr::from_bits(2),
    };
    let written = |outcome: Result<usize, WireError>| outcome.is_ok_and(|len| len >= 8 && len <= bytes.len() / 2);
    if written(icmpv4::emit_error(&mut room, 3, 4, 1400, bytes)) {
        assert!(Icmpv4::new_checked(&room[..]).is_ok());
    }
    if written(icmpv6::emit_error(&mut room, &header, bytes)) {
        assert!(Icmpv6::new_checked(&room[..]).is_ok());
    }
}

/// A label stack ends; each entry is written as it was read.
fn labels(bytes: &[u8]) {
    let payload = mpls::payload(bytes).ok();
    let mut rest = bytes;
    for depth in 1..=mpls::MAX_DEPTH {
        let Ok((entry, behind)) = mpls::pop(rest) else {
            assert_eq!(payload, None);
            return;
        };
        assert_eq!(entry.to_bytes()[..], rest[..4]);
        rest = behind;
        if entry.bottom {
            assert_eq!(payload, Some(rest));
            return;
        }
        assert!(depth < mpls::MAX_DEPTH || payload.is_none());
    }
}

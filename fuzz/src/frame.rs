//! Any bytes as an Ethernet frame or IP packet: the walk and every header view over it.
//!
//! No panic; what is accepted lies within the frame; and where etherparse accepts the frame too, both read the same in it.

mod oracle;
mod views;

use vrouter_dataplane::{
    packet::FlowKey,
    wire::{Fragment, IpKind, Ipv4, Ipv6, ParseError, Parsed, checksum, ipv6_walk, offload, parse, parse_ip, proto},
};

use crate::packets::{with_header_checksum, with_ip_checksum};

/// Checks bytes as they are, and once more with the checksum of their IPv4 header made right.
///
/// # Panics
/// When a property does not hold.
pub fn check(bytes: &[u8]) {
    views::read(bytes);
    frame(bytes);
    frame(&with_header_checksum(bytes));
    packet(bytes);
    packet(&with_ip_checksum(bytes, 0));
    if let Some((&next, rest)) = bytes.split_first() {
        extensions(next, rest);
    }
}

fn frame(bytes: &[u8]) {
    let parsed = parse(bytes);
    oracle::compare(bytes, &parsed);
    accepted(bytes, &parsed);
    if let Ok(parsed) = parsed {
        assert!(parsed.l3 >= 14 && parsed.vlan_tags() <= 2, "{parsed:?}");
        // What lies behind the end of the packet is padding: it means nothing.
        if parsed.kind != IpKind::None {
            assert_eq!(parse(&bytes[..parsed.end as usize]), Ok(parsed));
        }
    }
}

fn packet(bytes: &[u8]) {
    let parsed = parse_ip(bytes);
    accepted(bytes, &parsed);
    if let Ok(parsed) = parsed {
        assert!(parsed.l3 == 0 && parsed.kind != IpKind::None, "{parsed:?}");
        // The same packet in a frame is the same packet.
        let header = [&[2; 12][..], &parsed.ethertype.to_be_bytes()].concat();
        let framed = parse(&[&header, bytes].concat());
        let expected = Parsed {
            l3: parsed.l3 + 14,
            l4: parsed.l4 + 14,
            end: parsed.end + 14,
            ..parsed
        };
        assert_eq!(framed, Ok(expected));
    }
}

/// What must hold for all that was believed.
fn accepted(bytes: &[u8], parsed: &Result<Parsed, ParseError>) {
    let Ok(p) = parsed else { return };
    let (l3, l4, end) = (usize::from(p.l3), usize::from(p.l4), p.end as usize);
    assert!(l3 <= l4 && l4 <= end && end <= bytes.len(), "{p:?}");
    let least = match (p.kind, p.fragment, p.proto) {
        (IpKind::None, ..) | (_, Fragment::Later, _) => 0,
        (_, _, proto::TCP) => 20,
        (_, _, proto::UDP) => 8,
        (_, _, proto::SCTP) => 12,
        (IpKind::V4, _, proto::ICMP) | (IpKind::V6, _, proto::ICMPV6) => 8,
        _ => 0,
    };
    assert!(end - l4 >= least, "{p:?}");
    views::read(&bytes[l4..end]);
    offloads(bytes, p);
    let ip = &bytes[l3..end];
    let key = match p.kind {
        IpKind::V4 => {
            let view = Ipv4::new_checked(ip).expect("what was walked is a header");
            assert!(view.checksum_ok());
            routed_v4(ip);
            FlowKey::v4(7, view.src(), view.dst(), p.proto, p.src_port, p.dst_port)
        }
        IpKind::V6 => {
            let view = Ipv6::new_checked(ip).expect("what was walked is a header");
            FlowKey::v6(7, view.src(), view.dst(), p.proto, p.src_port, p.dst_port)
        }
        IpKind::None => return,
    };
    assert_eq!(key.reversed().reversed(), key);
    assert_eq!(FlowKey::from_words(key.words()), key);
    assert_eq!((key.src_port(), key.dst_port()), (p.src_port, p.dst_port));
}

/// A router's changes to a header leave its checksum right.
fn routed_v4(ip: &[u8]) {
    let mut copy = ip.to_vec();
    let mut view = Ipv4::new_unchecked(&mut copy);
    let (source, destination, ttl) = (view.src(), view.dst(), view.ttl());
    assert_eq!(view.decrement_ttl(), ttl > 1, "TTL {ttl}");
    let tos = view.tos();
    view.replace_tos(!tos);
    let _ = view.replace_src(destination);
    let _ = view.replace_dst(source);
    assert!(view.checksum_ok());
}

/// Completing and clamping touch nothing but the packet's L4, and leave its checksum right.
fn offloads(bytes: &[u8], p: &Parsed) {
    let (l4, end) = (usize::from(p.l4), p.end as usize);
    let outside = |copy: &[u8]| copy[..l4] == bytes[..l4] && copy[end..] == bytes[end..];
    let partial = offload::is_partial(bytes, p);
    let right = offload::is_right(bytes, p);

    let mut completed = bytes.to_vec();
    assert_eq!(offload::complete(&mut completed, p), partial);
    assert!(outside(&completed));
    assert!(!partial || offload::is_right(&completed, p), "{p:?}");

    let mut clamped = bytes.to_vec();
    let changed = offload::clamp_mss(&mut clamped, p, 1000);
    assert!(outside(&clamped) && changed == (clamped != bytes), "{p:?}");
    if changed && right && !partial && !p.is_fragment() {
        assert!(offload::is_right(&clamped, p), "{p:?}");
    }
    assert!(
        !changed || !offload::clamp_mss(&mut clamped, p, 1000),
        "clamped twice: {p:?}"
    );

    if let Some(pseudo) = offload::pseudo_header(bytes, p) {
        let mut filled = bytes[l4..end].to_vec();
        if checksum::field_offset(p.proto).is_some_and(|at| filled.len() >= at + 2) {
            checksum::fill_l4(&mut filled, p.proto, pseudo);
            assert!(checksum::verify_l4(&filled, p.proto, pseudo), "{p:?}");
        }
    }
}

fn extensions(next: u8, payload: &[u8]) {
    if let Ok(walk) = ipv6_walk::walk(next, payload) {
        assert!(usize::from(walk.len) <= payload.len());
        assert!(walk.fragment == Fragment::Later || !ipv6_walk::is_extension(walk.proto));
    }
}

//! The walk against hand-made frames: each error and each kind of header once.

use super::*;
use etherparse::PacketBuilder;

pub(super) const MAC_A: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(super) const MAC_B: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn udp4(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    PacketBuilder::ethernet2(MAC_A, MAC_B)
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .udp(1000, 2000)
        .write(&mut out, payload)
        .unwrap();
    out
}

fn udp6(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    PacketBuilder::ethernet2(MAC_A, MAC_B)
        .ipv6([1; 16], [2; 16], 64)
        .udp(1000, 2000)
        .write(&mut out, payload)
        .unwrap();
    out
}

/// An IPv6 frame with these bytes behind the fixed header.
fn raw6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut f = [
        &MAC_B[..],
        &MAC_A,
        &[0x86, 0xdd, 0x60, 0, 0, 0],
        &(payload.len() as u16).to_be_bytes(),
        &[next, 64],
    ]
    .concat();
    f.extend([1; 32]);
    f.extend(payload);
    f
}

/// Writes the right header checksum into the IPv4 header of an untagged frame.
pub(super) fn fix4(frame: &mut [u8]) {
    let len = usize::from(frame[14] & 15) * 4;
    frame[24..26].fill(0);
    let check = Sum::of(&frame[14..14 + len]).checksum();
    frame[24..26].copy_from_slice(&check.to_be_bytes());
}

#[test]
fn it_is_small() {
    assert!(size_of::<Parsed>() <= 32, "{}", size_of::<Parsed>());
}

#[test]
fn plain_udp() {
    let mut f = udp4(b"hello");
    f.extend([0; 13]);
    let p = parse(&f).unwrap();
    assert_eq!((p.l3, p.l4, p.end, p.ethertype, p.vlan), (14, 34, 47, 0x0800, None));
    assert_eq!(
        (p.kind, p.proto, p.src_port, p.dst_port, p.fragment),
        (IpKind::V4, proto::UDP, 1000, 2000, Fragment::No)
    );
    assert_eq!(p.flags, Flags::default());
    let q = parse_ip(&f[14..]).unwrap();
    assert_eq!(
        q,
        Parsed {
            l3: 0,
            l4: 20,
            end: 33,
            ..p
        }
    );

    let f = udp6(b"hello");
    let p = parse(&f).unwrap();
    assert_eq!(
        (p.l3, p.l4, p.end, p.kind, p.src_port, p.dst_port),
        (14, 54, 67, IpKind::V6, 1000, 2000)
    );
    assert_eq!(
        parse_ip(&f[14..]).unwrap(),
        Parsed {
            l3: 0,
            l4: 40,
            end: 53,
            ..p
        }
    );
}

#[test]
fn ethernet_and_vlan() {
    assert_eq!(parse(&[0; 13]), Err(ParseError::TruncatedEthernet));
    let mut arp = [0u8; 42];
    arp[..6].fill(0xff);
    arp[12..14].copy_from_slice(&[8, 6]);
    let p = parse(&arp).unwrap();
    assert_eq!(
        (p.kind, p.ethertype, p.end, p.l3, p.l4),
        (IpKind::None, ethertype::ARP, 42, 14, 14)
    );
    assert!(p.flags.has(Flags::L2_BROADCAST) && p.flags.has(Flags::L2_MULTICAST));
    arp[5] = 0;
    let p = parse(&arp).unwrap();
    assert!(!p.flags.has(Flags::L2_BROADCAST) && p.flags.has(Flags::L2_MULTICAST));

    let tag = |tags: &[[u8; 4]]| [&udp4(b"x")[..12], &tags.concat(), &udp4(b"x")[12..]].concat();
    let p = parse(&tag(&[[0x81, 0, 0xe0, 7]])).unwrap();
    assert_eq!(
        (p.vlan.map(VlanId::get), p.l3, p.vlan_tags(), p.src_port),
        (Some(7), 18, 1, 1000)
    );
    let p = parse(&tag(&[[0x88, 0xa8, 0, 9], [0x81, 0, 0, 7]])).unwrap();
    assert_eq!(
        (p.vlan.map(VlanId::get), p.l3, p.l4, p.vlan_tags(), p.dst_port),
        (Some(9), 22, 42, 2, 2000)
    );
    assert_eq!(
        parse(&tag(&[[0x81, 0, 0xe0, 0]])).unwrap().vlan,
        None,
        "a priority tag is no VLAN"
    );
    assert_eq!(parse(&tag(&[[0x81, 0, 0x0f, 0xff]])), Err(ParseError::BadVlanId));
    assert_eq!(parse(&tag(&[[0x81, 0, 0, 1]; 3])), Err(ParseError::TooManyVlanTags));
    assert_eq!(parse(&tag(&[[0x81, 0, 0, 1]; 2])[..21]), Err(ParseError::TruncatedVlan));
}

#[test]
fn bad_ipv4() {
    let good = udp4(b"hello");
    let with = |at: usize, value: u8| {
        let mut f = good.clone();
        f[at] = value;
        if f[14] & 15 == 5 {
            fix4(&mut f);
        }
        parse(&f)
    };
    assert_eq!(parse(&good[..33]), Err(ParseError::TruncatedIp));
    assert_eq!(with(14, 0x65), Err(ParseError::BadIpVersion));
    assert_eq!(with(14, 0x44), Err(ParseError::BadIpHeaderLength));
    assert_eq!(with(14, 0x4f), Err(ParseError::TruncatedIp));
    assert_eq!(with(17, 34), Err(ParseError::BadTotalLength), "beyond the frame");
    assert_eq!(with(17, 19), Err(ParseError::BadTotalLength), "below the header");
    assert_eq!(with(17, 27), Err(ParseError::TruncatedL4));
    let mut f = good.clone();
    f[22] ^= 1;
    assert_eq!(parse(&f), Err(ParseError::BadIpv4Checksum));
    // Header of 24 bytes in a packet of 22.
    let mut f = good.clone();
    f[14] = 0x46;
    f[17] = 22;
    fix4(&mut f);
    assert_eq!(parse(&f), Err(ParseError::BadIpHeaderLength));
    assert_eq!(parse_ip(&[]), Err(ParseError::TruncatedIp));
    assert_eq!(parse_ip(&[0x50; 40]), Err(ParseError::BadIpVersion));
}

#[test]
fn ipv4_options() {
    let mut f = udp4(b"hello");
    f.splice(34..34, [0x94, 4, 0, 0, 1, 1, 1, 0]);
    f[14] = 0x47;
    f[17] += 8;
    fix4(&mut f);
    let p = parse(&f).unwrap();
    assert_eq!((p.l4, p.src_port, p.end), (42, 1000, 55));
    assert!(p.flags.has(Flags::V4_OPTIONS));
    f[35] ^= 0xff;
    assert_eq!(parse(&f), Err(ParseError::BadIpv4Checksum), "options are covered");
}

#[test]
fn ipv4_fragments() {
    let frag = |field: u16, payload: usize| {
        let mut f = udp4(&vec![0xaa; payload]);
        f[20..22].copy_from_slice(&field.to_be_bytes());
        fix4(&mut f);
        parse(&f)
    };
    assert_eq!(frag(0x4000, 8).unwrap().fragment, Fragment::No, "DF alone");
    let first = frag(0x2000, 8).unwrap();
    assert_eq!((first.fragment, first.src_port), (Fragment::First, 1000));
    let later = frag(0x0001, 3).unwrap();
    assert_eq!(
        (later.fragment, later.src_port, later.l4, later.is_fragment()),
        (Fragment::Later, 0, 34, true)
    );
    assert_eq!(frag(0x2001, 8).unwrap().fragment, Fragment::Later);
    assert_eq!(
        frag(0x2000, 3),
        Err(ParseError::BadFragment),
        "more to follow, no multiple of 8"
    );
    assert_eq!(frag(0x1fff, 0), Err(ParseError::BadFragment), "ends beyond 65535");
    // A later fragment shorter than any L4 header is fine.
    let mut f = udp4(b"")[..38].to_vec();
    f[17] = 24;
    f[21] = 2;
    fix4(&mut f);
    assert_eq!(parse(&f).unwrap().fragment, Fragment::Later);
}

#[test]
fn l4_headers() {
    let mut tcp = Vec::new();
    PacketBuilder::ethernet2(MAC_A, MAC_B)
        .ipv4([1; 4], [2; 4], 64)
        .tcp(5, 6, 7, 8)
        .syn()
        .write(&mut tcp, b"")
        .unwrap();
    let p = parse(&tcp).unwrap();
    assert!(p.is_tcp_syn() && p.tcp_flags == 2 && (p.src_port, p.dst_port) == (5, 6));
    tcp[46] = 0x40;
    assert_eq!(parse(&tcp), Err(ParseError::BadTcpHeaderLength));
    tcp[46] = 0x60;
    assert_eq!(parse(&tcp), Err(ParseError::TruncatedL4), "options are not there");
    assert_eq!(parse(&raw6(proto::TCP, &[0x50; 19])), Err(ParseError::TruncatedL4));
    assert_eq!(parse(&raw6(proto::UDP, &[0; 7])), Err(ParseError::TruncatedL4));
    assert_eq!(parse(&raw6(proto::SCTP, &[0; 11])), Err(ParseError::TruncatedL4));
    let p = parse(&raw6(proto::SCTP, &[0, 5, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0])).unwrap();
    assert_eq!((p.src_port, p.dst_port), (5, 6));

    let mut echo = Vec::new();
    PacketBuilder::ethernet2(MAC_A, MAC_B)
        .ipv4([1; 4], [2; 4], 64)
        .icmpv4_echo_request(77, 1)
        .write(&mut echo, b"")
        .unwrap();
    let p = parse(&echo).unwrap();
    assert_eq!((p.src_port, p.dst_port, p.flags.has(Flags::ICMP_ECHO)), (77, 77, true));
    echo[34] = 3;
    let p = parse(&echo).unwrap();
    assert_eq!(
        (p.src_port, p.dst_port, p.flags.has(Flags::ICMP_ECHO)),
        (0, 0, false),
        "errors have no ports"
    );
    let p = parse(&raw6(proto::ICMPV6, &[129, 0, 0, 0, 1, 2, 0, 0])).unwrap();
    assert_eq!((p.src_port, p.dst_port), (0x0102, 0x0102));
    assert_eq!(
        parse(&raw6(proto::ICMPV6, &[129, 0, 0, 0, 1, 2, 0])),
        Err(ParseError::TruncatedL4)
    );
    let p = parse(&raw6(proto::ICMP, &[8, 0])).unwrap();
    assert_eq!(p.src_port, 0, "ICMP for IPv4 within IPv6 is opaque");
    let p = parse(&raw6(proto::NO_NEXT, &[])).unwrap();
    assert_eq!((p.proto, p.end, p.l4), (proto::NO_NEXT, 54, 54));
}

#[test]
fn ipv6_extension_headers() {
    let udp = [3, 0xe8, 7, 0xd0, 0, 8, 0, 0];
    let hbh = |next| [next, 0, 5, 2, 0, 0, 1, 0];
    let frag = |next, field: u16| [&[next, 0], &field.to_be_bytes()[..], &[0; 4]].concat();

    let p = parse(&raw6(0, &[hbh(43), hbh(60), hbh(17), udp].concat())).unwrap();
    assert_eq!(
        (p.proto, p.l4, p.src_port, p.flags.has(Flags::V6_EXTENSIONS)),
        (17, 78, 1000, true)
    );
    // AH of 24 bytes: payload length field 4.
    let mut ah = vec![17, 4];
    ah.resize(24, 0);
    let p = parse(&raw6(proto::AH, &[&ah[..], &udp].concat())).unwrap();
    assert_eq!((p.proto, p.l4, p.dst_port), (17, 78, 2000));

    let p = parse(&raw6(44, &[&frag(17, 0)[..], &udp].concat())).unwrap();
    assert_eq!((p.fragment, p.src_port), (Fragment::No, 1000), "atomic fragment");
    let p = parse(&raw6(44, &[&frag(17, 1)[..], &udp].concat())).unwrap();
    assert_eq!((p.fragment, p.src_port), (Fragment::First, 1000));
    let p = parse(&raw6(44, &[&frag(6, 8)[..], &[1]].concat())).unwrap();
    assert_eq!((p.fragment, p.src_port, p.proto, p.l4), (Fragment::Later, 0, 6, 62));
    // What follows a later fragment's header is data, even if it is called an extension header.
    let p = parse(&raw6(44, &[&frag(60, 8)[..], &[1]].concat())).unwrap();
    assert_eq!((p.fragment, p.proto, p.l4), (Fragment::Later, 60, 62));
    assert_eq!(
        parse(&raw6(44, &[&frag(17, 1)[..], &udp, &[1]].concat())),
        Err(ParseError::BadFragment)
    );
    assert_eq!(
        parse(&raw6(44, &[&frag(17, 0xfff8)[..], &udp].concat())),
        Err(ParseError::BadFragment)
    );
    assert_eq!(
        parse(&raw6(44, &[frag(44, 0), frag(17, 0)].concat())),
        Err(ParseError::BadExtensionOrder)
    );

    assert_eq!(
        parse(&raw6(60, &[hbh(0), hbh(17), udp].concat())),
        Err(ParseError::BadExtensionOrder)
    );
    assert_eq!(parse(&raw6(60, &hbh(17)[..7])), Err(ParseError::TruncatedExtension));
    assert_eq!(
        parse(&raw6(60, &[17, 1, 0, 0, 0, 0, 0, 0])),
        Err(ParseError::TruncatedExtension)
    );
    assert_eq!(parse(&raw6(60, &hbh(17))), Err(ParseError::TruncatedL4));
    assert_eq!(
        parse(&raw6(0, &[])),
        Err(ParseError::BadTotalLength),
        "a jumbogram, or nothing"
    );
    assert_eq!(
        parse(&raw6(60, &[60, 0, 0, 0, 0, 0, 0, 0].repeat(9))),
        Err(ParseError::TooManyExtensions)
    );
    let mut long = vec![17, 63];
    long.resize(512, 0);
    assert!(parse(&raw6(60, &[&long[..], &udp].concat())).is_ok());
    long[1] = 64;
    assert_eq!(
        parse(&raw6(60, &[&long[..], &udp, &udp].concat())),
        Err(ParseError::ExtensionsTooLong)
    );
}

#[test]
fn bad_ipv6() {
    let good = udp6(b"hello");
    assert_eq!(parse(&good[..53]), Err(ParseError::TruncatedIp));
    assert_eq!(parse(&good[..66]), Err(ParseError::BadTotalLength));
    let mut f = good;
    f[14] = 0x40;
    assert_eq!(parse(&f), Err(ParseError::BadIpVersion));
}

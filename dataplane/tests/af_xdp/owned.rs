//! Addresses of an uplink that are ours alone.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Instant,
};

use vrouter_dataplane::port::af_xdp::{Mode, OpenPort, RingSizes};

use crate::{Bed, PATIENCE, SILENCE};

const HOST_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const HOST_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const OURS_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 70);
const OURS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x70);

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const FRAGMENT: u8 = 44;
const OPTIONS: u8 = 60;

fn bed() -> Option<Bed> {
    let bed = Bed::with_large()?;
    bed.pair.inside.ip("link set dev in0 address 02:00:00:00:00:01");
    bed.pair.outside.ip("link set dev out0 address 02:00:00:00:00:02");
    bed.pair.addresses();
    Some(bed)
}

fn open(bed: &Bed, mode: Mode) -> OpenPort {
    let vteps = [HOST_V4.into(), HOST_V6.into()];
    let open = || bed.afxdp.open_uplink("in0", mode, &vteps, RingSizes::UPLINK);
    bed.pair.inside.enter(open).unwrap()
}

/// An Ethernet frame to the inner end, with a VLAN tag or without.
fn ethernet(tag: bool, ethertype: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    if tag {
        frame.extend([0x81, 0, 0, 5]);
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(packet);
    frame.resize(frame.len().max(60), 0);
    frame
}

/// IPv4 with this protocol and field of flags and fragment offset, and 24 bytes behind the header.
fn ipv4(to: Ipv4Addr, protocol: u8, fragment: u16) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 44, 0, 1];
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 192, 0, 2, 2]);
    packet.extend(to.octets());
    packet.extend(payload());
    packet
}

/// IPv6 with this next header and 24 bytes behind the header.
fn ipv6(to: Ipv6Addr, next: u8, payload: [u8; 24]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 24, next, 64];
    packet.extend(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2).octets());
    packet.extend(to.octets());
    packet.extend(payload);
    packet
}

/// Ports 49152 to 4789, as far as a header has ports here.
fn payload() -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..6].copy_from_slice(&[0xc0, 0, 0x12, 0xb5, 0, 24]);
    bytes
}

/// A fragment header of this offset and flag field before a UDP header.
fn fragment(field: u16) -> [u8; 24] {
    let mut bytes = payload();
    bytes.copy_within(..16, 8);
    bytes[..2].copy_from_slice(&[UDP, 0]);
    bytes[2..4].copy_from_slice(&field.to_be_bytes());
    bytes
}

/// Whether the router, and whether the host, gets a frame that is sent from outside.
fn who_gets(bed: &mut Bed, port: &mut OpenPort, frame: &[u8], router: bool) -> (bool, bool) {
    // The stack takes a tag off before it shows a frame.
    let untagged: Vec<u8> = match frame[12..14] {
        [0x81, 0] => [&frame[..12], &frame[16..]].concat(),
        _ => frame.to_vec(),
    };
    let ethertype = u16::from_be_bytes([untagged[12], untagged[13]]);
    let (wire, host) = (bed.pair.raw(), bed.pair.tap(ethertype));
    wire.send(frame);
    let patience = if router { PATIENCE } else { SILENCE };
    let got = bed.receive(port.queues[0].as_mut(), 1, patience, |bytes| bytes == frame);
    let at_router = !got.is_empty();
    bed.free(got);
    let (start, patience) = (Instant::now(), if router { SILENCE } else { PATIENCE });
    let at_host = std::iter::from_fn(|| host.receive(patience.saturating_sub(start.elapsed())))
        .any(|bytes| bytes == frame || bytes == untagged);
    (at_router, at_host)
}

fn all(to4: Ipv4Addr, to6: Ipv6Addr) -> Vec<(&'static str, Vec<u8>)> {
    let v4 = |protocol, fragment| ethernet(false, 0x0800, &ipv4(to4, protocol, fragment));
    let v6 = |next, payload| ethernet(false, 0x86dd, &ipv6(to6, next, payload));
    let mut solicitation = [0; 24];
    solicitation[0] = 135;
    solicitation[8..].copy_from_slice(&to6.octets());
    vec![
        ("TCP", v4(TCP, 0)),
        ("UDP", v4(UDP, 0)),
        ("ping", v4(ICMP, 0)),
        ("any protocol", v4(132, 0)),
        ("first fragment", v4(UDP, 0x2000)),
        ("middle fragment", v4(UDP, 0x2010)),
        ("last fragment", v4(UDP, 0x0020)),
        ("IPv6 TCP", v6(TCP, payload())),
        ("IPv6 UDP", v6(UDP, payload())),
        ("IPv6 ping", v6(ICMPV6, [128; 24])),
        ("IPv6 options", v6(OPTIONS, [0; 24])),
        ("IPv6 first fragment", v6(FRAGMENT, fragment(0x0001))),
        ("IPv6 middle fragment", v6(FRAGMENT, fragment(0x0011))),
        ("IPv6 last fragment", v6(FRAGMENT, fragment(0x0010))),
        ("unicast neighbour solicitation", v6(ICMPV6, solicitation)),
    ]
}

#[test]
fn all_that_is_sent_to_our_own_addresses_is_the_routers() {
    let Some(mut bed) = bed() else { return };
    for mode in [Mode::Native, Mode::Generic, Mode::Packet] {
        let mut port = open(&bed, mode);
        for (name, frame) in all(OURS_V4, OURS_V6) {
            let got = who_gets(&mut bed, &mut port, &frame, false);
            assert_eq!(got, (false, true), "{mode}: {name}, before it is ours");
        }
        port.change_owned(&[OURS_V4.into(), OURS_V6.into()], &[]).unwrap();
        for (name, frame) in all(OURS_V4, OURS_V6) {
            let got = who_gets(&mut bed, &mut port, &frame, true);
            assert_eq!(got, (true, false), "{mode}: {name}");
        }
        for (ethertype, packet) in [(0x0800, ipv4(OURS_V4, TCP, 0)), (0x86dd, ipv6(OURS_V6, TCP, payload()))] {
            let tagged = ethernet(true, ethertype, &packet);
            let got = who_gets(&mut bed, &mut port, &tagged, false);
            assert_eq!(got, (false, true), "{mode}: a VLAN of the host");
        }
        bed.close(port);
    }
}

#[test]
fn the_host_keeps_what_is_sent_to_its_own_addresses() {
    let Some(mut bed) = bed() else { return };
    for mode in [Mode::Native, Mode::Generic, Mode::Packet] {
        let mut port = open(&bed, mode);
        port.change_owned(&[OURS_V4.into(), OURS_V6.into()], &[]).unwrap();
        for (name, frame) in all(HOST_V4, HOST_V6) {
            // Port 4789 is a tunnel's, but for later fragments, which show no port.
            let tunnel = matches!(name, "UDP" | "first fragment" | "IPv6 UDP" | "IPv6 first fragment");
            let got = who_gets(&mut bed, &mut port, &frame, tunnel);
            assert_eq!(got, (tunnel, !tunnel), "{mode}: {name}");
        }
        for address in [IpAddr::from(HOST_V4), HOST_V6.into()] {
            let ping = format!("ping -c 2 -i 0.1 -W 2 {address}");
            bed.pair.outside.exec(&ping).unwrap();
        }
        bed.close(port);
    }
}

fn many(offset: u32) -> Vec<IpAddr> {
    let v4 = (0..10_000).map(|n| Ipv4Addr::from_bits(0x0a00_0000 + offset + n).into());
    let v6 = (0..10_000).map(|n| Ipv6Addr::from_bits((0x2001_0db8_000f << 80) + u128::from(offset + n)).into());
    v4.chain(v6).collect()
}

#[test]
fn ten_thousand_addresses_come_and_go() {
    let Some(mut bed) = bed() else { return };
    let mut port = open(&bed, Mode::Auto);
    let (old, new) = (many(1), many(5001));
    port.change_owned(&old, &[]).unwrap();
    let old_only: Vec<_> = old.iter().copied().filter(|a| !new.contains(a)).collect();
    port.change_owned(&new, &old_only).unwrap();
    let gone = IpAddr::from(Ipv4Addr::new(192, 0, 2, 99));
    port.change_owned(&[], &[gone]).unwrap();
    let mut ask = |v4: u32, v6: u128, expected| {
        let to = Ipv4Addr::from_bits(0x0a00_0000 + v4);
        let v4 = ethernet(false, 0x0800, &ipv4(to, TCP, 0));
        let to = Ipv6Addr::from_bits((0x2001_0db8_000f << 80) + v6);
        let v6 = ethernet(false, 0x86dd, &ipv6(to, TCP, payload()));
        for frame in [v4, v6] {
            let got = who_gets(&mut bed, &mut port, &frame, expected);
            assert_eq!(got, (expected, !expected), "{frame:02x?}");
        }
    };
    for (number, expected) in [
        (1, false),
        (5000, false),
        (5001, true),
        (10_000, true),
        (15_000, true),
        (15_001, false),
    ] {
        ask(number, number.into(), expected);
    }
    port.change_owned(&[], &new).unwrap();
    for number in [5001, 15_000] {
        let frame = ethernet(false, 0x0800, &ipv4(Ipv4Addr::from_bits(0x0a00_0000 + number), TCP, 0));
        assert_eq!(who_gets(&mut bed, &mut port, &frame, false), (false, true));
    }
    bed.close(port);

    let mut access = bed.open(Mode::Auto);
    let refusal = access.change_owned(&[OURS_V4.into()], &[]).unwrap_err().to_string();
    assert!(refusal.contains("access port"), "{refusal}");
    bed.close(access);
}

#[test]
fn all_multicast_is_let_in_while_an_ipv6_address_is_ours() {
    let Some(mut bed) = bed() else { return };
    let mut port = open(&bed, Mode::Auto);
    let all = |bed: &Bed| bed.pair.inside.ip("-d link show dev in0").contains("allmulti 1");
    port.change_owned(&[OURS_V4.into()], &[]).unwrap();
    assert!(!all(&bed));
    port.change_owned(&[OURS_V6.into()], &[]).unwrap();
    assert!(all(&bed));
    port.change_owned(&[], &[OURS_V6.into()]).unwrap();
    assert!(!all(&bed));
    port.change_owned(&[OURS_V6.into()], &[]).unwrap();
    bed.close(port);
    assert!(!all(&bed), "the port is gone");
}

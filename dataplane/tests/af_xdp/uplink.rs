//! Ports shared with the host.

use std::{
    env,
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    process::{Command, Stdio},
    time::Instant,
};

use vrouter_dataplane::{
    packet::FramePool,
    port::af_xdp::{AfXdp, AttachMode, Mode, OpenPort, RingSizes},
    wire::checksum::Sum,
};

use crate::{
    Bed, PATIENCE, SILENCE,
    namespaces::{self, Namespace, Pair},
};

const INSIDE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const INSIDE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
const TUNNEL_PORTS: [u16; 3] = [4789, 6635, 51234];
const INSIDE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OUTSIDE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn bed() -> Option<Bed> {
    let bed = Bed::with_large()?;
    bed.pair.inside.ip("link set dev in0 address 02:00:00:00:00:01");
    bed.pair.outside.ip("link set dev out0 address 02:00:00:00:00:02");
    bed.pair.addresses();
    Some(bed)
}

fn open(bed: &Bed, mode: Mode) -> OpenPort {
    let vteps = [INSIDE_V4, INSIDE_V6];
    bed.pair
        .inside
        .enter(|| bed.afxdp.open_uplink("in0", mode, &vteps, RingSizes::UPLINK))
        .unwrap()
}

fn udp(namespace: &Namespace, address: IpAddr, port: u16) -> UdpSocket {
    let socket = namespace.enter(|| UdpSocket::bind((address, port))).unwrap();
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    socket
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Sends a datagram from outside and tells whether the socket and whether the host got it.
fn who_gets(bed: &mut Bed, port: &mut OpenPort, to: SocketAddr, payload: &[u8]) -> (bool, bool) {
    let host = udp(&bed.pair.inside, to.ip(), to.port());
    let sender = udp(&bed.pair.outside, unspecified(to.ip()), 0);
    sender.send_to(payload, to).unwrap();
    let mut buffer = [0; 2048];
    let host = host.recv(&mut buffer).is_ok_and(|length| &buffer[..length] == payload);
    let got = bed.receive(port.queues[0].as_mut(), 1, SILENCE, |frame| frame.ends_with(payload));
    let router = !got.is_empty();
    bed.free(got);
    (router, host)
}

const ROUTER: (bool, bool) = (true, false);
const HOST: (bool, bool) = (false, true);

#[test]
fn tunnels_go_to_the_router_and_all_else_to_the_host() {
    let Some(mut bed) = bed() else { return };
    for mode in [Mode::Native, Mode::Generic, Mode::Packet] {
        let mut port = open(&bed, mode);
        for address in [INSIDE_V4, INSIDE_V6] {
            for tunnel in TUNNEL_PORTS {
                let to = SocketAddr::new(address, tunnel);
                assert_eq!(who_gets(&mut bed, &mut port, to, b"tunnelled"), ROUTER, "{mode}, {to}");
            }
            let to = SocketAddr::new(address, 5000);
            assert_eq!(who_gets(&mut bed, &mut port, to, b"ordinary"), HOST, "{mode}, {to}");
            bed.pair
                .outside
                .exec(&format!("ping -c 3 -i 0.1 -W 2 {address}"))
                .unwrap();
        }
        bed.close(port);
    }
}

#[test]
fn endpoints_change_while_it_runs() {
    let Some(mut bed) = bed() else { return };
    bed.pair.inside.ip("address add 192.0.2.77/24 dev in0");
    let second = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77));
    let mut port = open(&bed, Mode::Auto);
    let [v4, v6, other] = [INSIDE_V4, INSIDE_V6, second].map(|address| SocketAddr::new(address, 4789));
    assert_eq!(who_gets(&mut bed, &mut port, other, b"1"), HOST);
    port.set_vteps(&[INSIDE_V6, second]).unwrap();
    assert_eq!(who_gets(&mut bed, &mut port, v4, b"2"), HOST);
    assert_eq!(who_gets(&mut bed, &mut port, v6, b"3"), ROUTER);
    assert_eq!(who_gets(&mut bed, &mut port, other, b"4"), ROUTER);
    port.set_vteps(&[]).unwrap();
    for to in [v4, v6, other] {
        assert_eq!(who_gets(&mut bed, &mut port, to, b"5"), HOST);
    }
    let many: Vec<IpAddr> = (0..200u8).map(|n| Ipv4Addr::new(198, 51, 100, n).into()).collect();
    let text = port.set_vteps(&many).unwrap_err().to_string();
    assert!(text.contains("200 tunnel endpoints"), "{text}");
    bed.close(port);

    let mut access = bed.open(Mode::Auto);
    assert!(access.set_vteps(&[]).unwrap_err().to_string().contains("access port"));
    bed.close(access);
}

#[test]
fn without_a_socket_the_host_has_everything() {
    let Some(mut bed) = bed() else { return };
    let mut port = open(&bed, Mode::Auto);
    for queue in port.queues.drain(..) {
        queue.close(&mut bed.frames);
    }
    let host = udp(&bed.pair.inside, INSIDE_V4, 4789);
    let sender = udp(&bed.pair.outside, unspecified(INSIDE_V4), 0);
    sender.send_to(b"nobody's", (INSIDE_V4, 4789)).unwrap();
    let mut buffer = [0; 64];
    assert_eq!(host.recv(&mut buffer).unwrap(), 8);
}

/// Ethernet with or without a VLAN tag, then `rest`.
fn ethernet(vlan: bool, ethertype: u16, rest: &[u8]) -> Vec<u8> {
    let mut frame = [INSIDE_MAC, OUTSIDE_MAC].concat();
    if vlan {
        frame.extend([0x81, 0x00, 0x00, 0x05]);
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(rest);
    frame.resize(frame.len().max(60), 0);
    frame
}

/// IPv4 and UDP to port 4789 of ours; `options` words of IPv4 options; `fragment` is the field of flags and offset.
fn ipv4(fragment: u16, options: u8) -> Vec<u8> {
    let mut packet = vec![0x45 + options, 0, 0, 0, 0, 1];
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, 17, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1]);
    packet.extend(std::iter::repeat_n(1, usize::from(options) * 4));
    packet.extend([0xc0, 0, 0x12, 0xb5, 0, 16, 0, 0, 8, 0, 0, 0, 0, 0, 7, 0]);
    let length = packet.len() as u16;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet
}

/// IPv6 and UDP to port 4789 of ours; with a fragment header of this offset and flag field.
fn ipv6(fragment: Option<u16>) -> Vec<u8> {
    let Ok(addresses) = <[[u8; 16]; 2]>::try_from(
        ["2001:db8::2", "2001:db8::1"]
            .map(|text| text.parse::<Ipv6Addr>().unwrap().octets())
            .to_vec(),
    ) else {
        unreachable!("two addresses");
    };
    let mut packet = vec![0x60, 0, 0, 0, 0, 16 + 8 * u8::from(fragment.is_some())];
    packet.extend([if fragment.is_some() { 44 } else { 17 }, 64]);
    packet.extend(addresses.concat());
    if let Some(field) = fragment {
        packet.extend([17, 0]);
        packet.extend(field.to_be_bytes());
        packet.extend([0, 0, 0, 1]);
    }
    packet.extend([0xc0, 0, 0x12, 0xb5, 0, 16, 0, 0, 8, 0, 0, 0, 0, 0, 7, 0]);
    packet
}

#[test]
fn tags_options_and_fragments_are_steered() {
    let Some(mut bed) = bed() else { return };
    let wire = bed.pair.raw();
    let mut cut = ethernet(false, 0x0800, &ipv4(0, 0));
    cut.truncate(14 + 20 + 4);
    let frames = [
        ("VXLAN", ethernet(false, 0x0800, &ipv4(0, 0)), true),
        ("with a tag", ethernet(true, 0x0800, &ipv4(0, 0)), true),
        ("with options", ethernet(false, 0x0800, &ipv4(0, 3)), true),
        ("do not fragment", ethernet(false, 0x0800, &ipv4(0x4000, 0)), true),
        ("first fragment", ethernet(false, 0x0800, &ipv4(0x2000, 0)), true),
        ("later fragment", ethernet(false, 0x0800, &ipv4(0x2010, 0)), false),
        ("last fragment", ethernet(false, 0x0800, &ipv4(0x0010, 0)), false),
        ("cut UDP header", cut, false),
        ("IPv6", ethernet(false, 0x86dd, &ipv6(None)), true),
        ("IPv6 with a tag", ethernet(true, 0x86dd, &ipv6(None)), true),
        ("IPv6 first fragment", ethernet(false, 0x86dd, &ipv6(Some(1))), true),
        ("IPv6 later fragment", ethernet(false, 0x86dd, &ipv6(Some(0x11))), false),
        ("unknown ethertype", ethernet(false, 0x88b5, &ipv4(0, 0)), false),
    ];
    for mode in [Mode::Native, Mode::Generic, Mode::Packet] {
        let mut port = open(&bed, mode);
        for (name, frame, steered) in &frames {
            let host = bed.pair.tap(u16::from_be_bytes([frame[12], frame[13]]));
            wire.send(frame);
            let patience = if *steered { PATIENCE } else { SILENCE };
            let got = bed.receive(port.queues[0].as_mut(), 1, patience, |bytes| bytes == frame);
            assert_eq!(got.len(), usize::from(*steered), "{mode}: {name}: at the router");
            bed.free(got);
            if !steered {
                let start = Instant::now();
                let seen = std::iter::from_fn(|| host.receive(PATIENCE))
                    .take_while(|_| start.elapsed() < PATIENCE)
                    .any(|bytes| bytes == *frame);
                assert!(seen, "{mode}: {name}: at the host");
            }
        }
        bed.close(port);
    }
}

#[test]
fn neighbours_are_heard_by_the_router_and_answered_by_the_host() {
    let Some(mut bed) = bed() else { return };
    let wire = bed.pair.raw();
    let request = ethernet(
        false,
        0x0806,
        &[
            0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2, 192, 0, 2, 2, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1,
        ],
    );
    let mut reverse = request.clone();
    reverse[21] = 3;
    let heard = |port: &mut OpenPort, frame: &[u8], patience| {
        let control = port.control.as_mut().unwrap();
        let start = Instant::now();
        let mut found = false;
        while !found && start.elapsed() < patience {
            namespaces::readable(control.epoll_fd(), SILENCE);
            control.poll(|packet| found |= packet == &frame[..frame.len().min(256)]);
        }
        found
    };
    for mode in [Mode::Native, Mode::Generic, Mode::Packet] {
        let mut port = open(&bed, mode);
        wire.send(&request);
        assert!(heard(&mut port, &request, PATIENCE), "{mode}");
        let start = Instant::now();
        let answered = std::iter::from_fn(|| wire.receive(PATIENCE))
            .take_while(|_| start.elapsed() < PATIENCE)
            .any(|frame| frame[12..14] == [8, 6] && frame[20..22] == [0, 2]);
        assert!(answered, "{mode}: the host answers ARP");

        // A neighbour advertisement, a router advertisement too long for the copy, an echo request.
        for (kind, length, expected) in [(136u8, 24, true), (134, 400, true), (128, 24, false)] {
            let mut packet = ipv6(None);
            packet.truncate(40);
            (packet[4], packet[5]) = ((length >> 8) as u8, length as u8);
            packet[6] = 58;
            packet.push(kind);
            packet.resize(40 + length, 0);
            let frame = ethernet(false, 0x86dd, &packet);
            wire.send(&frame);
            let patience = if expected { PATIENCE } else { SILENCE };
            assert_eq!(heard(&mut port, &frame, patience), expected, "{mode}: type {kind}");
        }
        wire.send(&reverse);
        assert!(!heard(&mut port, &reverse, SILENCE), "{mode}: reverse ARP");

        // Real ones, as a host resolves its peer.
        bed.pair.outside.ip("neighbour flush dev out0");
        bed.pair.outside.exec(&format!("ping -c 1 -W 2 {INSIDE_V6}")).unwrap();
        let (mut solicited, start) = (false, Instant::now());
        while !solicited && start.elapsed() < PATIENCE {
            let control = port.control.as_mut().unwrap();
            control.poll(|packet| solicited |= packet[12..14] == [0x86, 0xdd] && packet[54] == 135);
        }
        assert!(solicited, "{mode}: neighbour solicitation");
        bed.close(port);
    }
}

#[test]
fn joined_datagrams_come_as_they_were() {
    const SIZE: u16 = 500;
    let Some(mut bed) = bed() else { return };
    for carries_whole in [true, false] {
        let on = if carries_whole { "on" } else { "off" };
        let outside = &bed.pair.outside;
        outside
            .exec(&format!("ethtool -K out0 tx-udp-segmentation {on}"))
            .unwrap();
        let mut port = open(&bed, Mode::Packet);
        assert_eq!(port.attachment.why, "packet, behind receive offload, 1 queue");
        let payload: Vec<u8> = (0..20 * u32::from(SIZE) + 123).map(|n| (n % 251) as u8).collect();
        for address in [INSIDE_V4, INSIDE_V6] {
            let to = SocketAddr::new(address, 4789);
            let sender = udp(&bed.pair.outside, unspecified(address), 0);
            namespaces::send_at_once(&sender, to, &payload, SIZE);
            let (l4, pseudo) = match address {
                IpAddr::V4(_) => (34, 26),
                IpAddr::V6(_) => (54, 22),
            };
            let ours = |frame: &[u8]| frame.get(l4 + 2..l4 + 4) == Some(&[0x12, 0xb5]);
            let got = bed.receive(port.queues[0].as_mut(), 21, PATIENCE, ours);
            let data: Vec<u8> = got.iter().flat_map(|frame| &frame.data()[l4 + 8..]).copied().collect();
            assert!(data == payload, "{to}: {} packets, {} bytes", got.len(), data.len());
            for (index, frame) in got.iter().enumerate() {
                let bytes = frame.data();
                assert!(!frame.is_large());
                assert_eq!(bytes.len() - l4 - 8, if index == 20 { 123 } else { usize::from(SIZE) });
                let word = |at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
                assert_eq!(word(l4 + 4), bytes.len() - l4);
                if address.is_ipv4() {
                    assert_eq!(word(16), bytes.len() - 14);
                    assert!(Sum::of(&bytes[14..34]).is_valid());
                    assert_eq!(word(18), word_of(got[0].data(), 18).wrapping_add(index) & 0xffff);
                } else {
                    assert_eq!(word(18), bytes.len() - l4);
                }
                let sum = Sum::of(&bytes[pseudo..l4]).add_u16(17).add_u16(word(l4 + 4) as u16);
                // As the kernel at the other end of a veth leaves it, or summed.
                let open = sum.fold() == word(l4 + 6) as u16;
                assert!(open || sum.add_bytes(&bytes[l4..]).is_valid(), "{to}: packet {index}");
            }
            bed.free(got);
        }
        assert_eq!(port.queues[0].receive_lost(), 0);
        bed.close(port);
    }
}

fn word_of(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))
}

#[test]
fn what_the_kernel_joins_for_us_ends_with_us() {
    let Some(mut bed) = bed() else { return };
    let joins = |bed: &Bed| {
        let text = bed.pair.inside.exec("ethtool -k in0").unwrap();
        ["generic-receive-offload: on", "rx-udp-gro-forwarding: on"].map(|feature| text.contains(feature))
    };
    let before = joins(&bed);
    assert_eq!(before, [false; 2], "a veth joins nothing of itself");
    let port = open(&bed, Mode::Packet);
    assert_eq!(joins(&bed), [true; 2]);
    let text = bed.pair.inside.enter(|| {
        let again = bed
            .afxdp
            .open_uplink("in0", Mode::Auto, &[INSIDE_V4], RingSizes::UPLINK);
        again.unwrap_err().to_string()
    });
    assert!(
        text.contains("open already") && text.contains("'vrouter_keep'"),
        "{text}"
    );
    bed.close(port);
    assert_eq!(joins(&bed), before);
    bed.pair.inside.exec("ethtool -K in0 gro on").unwrap();
    let port = open(&bed, Mode::Packet);
    bed.close(port);
    assert_eq!(joins(&bed), [true, false], "what was on stays on");
}

#[test]
fn left_to_itself_a_veth_is_received_behind_its_offload() {
    let Some(mut bed) = bed() else { return };
    let port = open(&bed, Mode::Auto);
    assert_eq!(port.attachment.mode, AttachMode::Packet);
    bed.close(port);
    // Without large frames for what comes joined, by XDP.
    let Some(mut bed) = Bed::new() else { return };
    let port = open(&bed, Mode::Auto);
    assert_eq!(port.attachment.mode, AttachMode::Native);
    assert!(
        port.attachment.why.contains("no large frames"),
        "{}",
        port.attachment.why
    );
    bed.close(port);
    let text = bed.refusal(Mode::Packet);
    assert!(text.contains("belongs to vrouter alone"), "{text}");
}

const HOLD_IN: &str = "VROUTER_TEST_HOLD_UPLINK";
const HOLD_BY: &str = "VROUTER_TEST_HOLD_BY";

/// Not a test: the process that the next one kills.
#[test]
#[ignore = "run by a_crash_leaves_the_uplink_to_the_host"]
fn hold_an_uplink() {
    let Ok(namespace) = env::var(HOLD_IN) else { return };
    let afxdp = AfXdp::new(FramePool::with_large(4096, 2048, 8).unwrap()).unwrap();
    let mode = env::var(HOLD_BY).unwrap().parse().unwrap();
    let _port = namespaces::enter(&namespace, || {
        afxdp.open_uplink("in0", mode, &[INSIDE_V4], RingSizes::UPLINK).unwrap()
    });
    println!("\nholding");
    std::thread::sleep(PATIENCE * 10);
}

#[test]
fn a_crash_leaves_the_uplink_to_the_host() {
    let Some(bed) = bed() else { return };
    let Pair { inside, outside } = &bed.pair;
    for mode in [Mode::Native, Mode::Packet] {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "uplink::hold_an_uplink"])
            .env(HOLD_IN, inside.name())
            .env(HOLD_BY, mode.name())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let holding = output.lines().map_while(Result::ok).any(|line| line == "holding");
        let attached = || match mode {
            Mode::Native => inside.ip("link show dev in0").contains("prog/xdp"),
            _ => inside.exec("ss --packet --no-header").unwrap().contains("in0"),
        };
        let was_attached = attached();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(holding && was_attached);
        let start = Instant::now();
        while attached() {
            assert!(start.elapsed() < PATIENCE, "the program is still there");
        }
        let host = udp(inside, INSIDE_V4, 4789);
        let sender = udp(outside, unspecified(INSIDE_V4), 0);
        sender.send_to(b"anybody?", (INSIDE_V4, 4789)).unwrap();
        assert_eq!(host.recv(&mut [0; 64]).unwrap(), 8);
    }
}

//! Writes the inputs that fuzzing starts from: `cargo run --no-default-features --example seeds`, in `fuzz/`.
//!
//! Small packets of every kind that the router reads, made by etherparse where it can, so that they do not come from the code
//! that is to read them. What is written is committed; run this again only to add some.

use std::{fs, path::Path};

use etherparse::{
    PacketBuilder,
    TcpOptionElement::{MaximumSegmentSize, Noop, WindowScale},
    VlanId,
};

use prost::Message as _;
use vrouter_proto::dataplane as pb;

const A: [u8; 6] = [2, 0, 0, 0, 0, 1];
const B: [u8; 6] = [2, 0, 0, 0, 1, 1];
const GATEWAY: [u8; 6] = [0, 0, 0x5e, 0, 1, 0];
const A4: [u8; 4] = [10, 0, 0, 1];
const B4: [u8; 4] = [10, 0, 0, 254];

/// Filters of captures.
const FILTERS: [(&str, &str); 4] = [
    ("ports", "tcp port 80 or 443 or (udp and not dst portrange 1-100)"),
    ("hosts", "src net 10.0.0.0/8 and not ether host 02:00:00:00:00:09"),
    ("inner", "vlan or vni 5000 and ip6 or label and tcp"),
    ("wrong", "host 10.0.0.1 and and"),
];

fn v6(subnet: u8, host: u8) -> [u8; 16] {
    [0xfd, 0, 0, 0, 0, 0, 0, subnet, 0, 0, 0, 0, 0, 0, 0, host]
}

fn main() {
    let frames = frames();
    for (name, frame) in &frames {
        write("frame", name, frame);
        write("service", name, frame);
        // Behind VXLAN over IPv4, with each of the other choices by some.
        let choice = name.len() as u8 & 7;
        write("tunnel", name, &[&[choice], &frame[..]].concat());
        if frame[12..14] == [8, 0] || frame[12..14] == [0x86, 0xdd] {
            let packet = &frame[14..];
            write("frame", &format!("packet-{name}"), packet);
            write("tunnel", &format!("mpls-{name}"), &[&[0x10 | choice], packet].concat());
            write(
                "tunnel",
                &format!("routed-{name}"),
                &[&[0x08 | choice], packet].concat(),
            );
        }
        for (kind, expression) in FILTERS {
            let length = expression.len() as u8;
            write(
                "filter",
                &format!("{kind}-{name}"),
                &[&[length], expression.as_bytes(), frame].concat(),
            );
        }
        // By the first port as it is, and by the uplink.
        write("pipeline", &format!("raw-{name}"), &step(&[0], 2, frame));
        write(
            "pipeline",
            &format!("raw-uplink-{name}"),
            &step(&[1], 2 | 5 << 3, frame),
        );
    }
    write(
        "frame",
        "vxlan-header",
        &[8, 0, 0, 0, 0, 0x13, 0x88, 0, 2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 8, 0],
    );
    write("frame", "two-labels", &[0, 0x06, 0x40, 64, 0, 0x07, 0x41, 64, 0x45]);
    underlay(&frames);
    segments();
    pipeline();
    requests();
    settings();
}

/// Segments of a connection of either family, alone and beside another.
fn segments() {
    let first = |v6_family: bool, port: u16| {
        let ethernet = PacketBuilder::ethernet2(GATEWAY, A);
        let ip = if v6_family {
            ethernet.ipv6(v6(1, 1), v6(1, 2), 64)
        } else {
            ethernet.ipv4(A4, B4, 64)
        };
        let mut frame = Vec::new();
        let builder = ip.tcp(port, 80, 7, 1000).ack(9);
        builder.write(&mut frame, &[5; 100]).expect("a packet");
        [&[1, frame.len() as u8][..], &frame].concat()
    };
    // As the one before, one hundred bytes later; likewise, but shorter and with PSH; behind the one before the last.
    let (next, last, across) = ([2, 0, 0, 0], [2, 30, 8, 0], [2 | 1 << 2, 0, 0, 0]);
    for (name, family) in [("v4", false), ("v6", true)] {
        let alone = [&[0][..], &first(family, 1000), &next, &next, &last, &next, &next].concat();
        write("coalesce", name, &alone);
        let limited = [&[3][..], &first(family, 1000), &next, &next, &next].concat();
        write("coalesce", &format!("limited-{name}"), &limited);
        let two = [first(family, 1000), first(!family, 1001)].concat();
        let beside = [&[0][..], &two, &across, &across, &across, &across, &last].concat();
        write("coalesce", &format!("beside-{name}"), &beside);
        // Damage in the data, and another class of traffic.
        let damaged = [&[0][..], &first(family, 1000), &next, &[2, 0, 0, 101], &next].concat();
        write("coalesce", &format!("damaged-{name}"), &damaged);
        let other = [&[0][..], &first(family, 1000), &next, &[2, 0, 0, 16], &next].concat();
        write("coalesce", &format!("other-{name}"), &other);
    }
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&directory).expect("a directory for seeds");
    fs::write(directory.join(name), bytes).expect("a seed");
}

/// A step that carries a frame: its length in one byte.
fn step(before: &[u8], op: u8, frame: &[u8]) -> Vec<u8> {
    let length = frame.len().min(255);
    [before, &[op, length as u8], &frame[..length]].concat()
}

fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    macro_rules! built {
        ($name:literal, $builder:expr, $payload:expr) => {
            let mut frame = Vec::new();
            $builder.write(&mut frame, $payload).expect("a packet");
            all.push(($name, frame));
        };
    }
    let ether = || PacketBuilder::ethernet2(A, GATEWAY);
    let options = [MaximumSegmentSize(8960), Noop, WindowScale(7)];
    built!("udp4", ether().ipv4(A4, B4, 64).udp(40000, 53), b"query");
    built!("udp6", ether().ipv6(v6(1, 1), v6(1, 0xfe), 64).udp(40000, 53), b"query");
    built!(
        "syn4",
        ether()
            .ipv4(A4, B4, 64)
            .tcp(40000, 80, 7, 1024)
            .syn()
            .options(&options)
            .expect("options"),
        b""
    );
    built!(
        "syn6",
        ether()
            .ipv6(v6(1, 1), v6(9, 1), 64)
            .tcp(40000, 80, 7, 1024)
            .syn()
            .options(&options)
            .expect("options"),
        b""
    );
    built!(
        "data4",
        ether().ipv4(A4, [10, 9, 0, 1], 64).tcp(40000, 80, 7, 1024).ack(9).psh(),
        &[0x2e; 40]
    );
    built!(
        "rst6",
        ether().ipv6(v6(1, 1), v6(9, 1), 1).tcp(40000, 80, 7, 0).rst(),
        b""
    );
    built!("ping4", ether().ipv4(A4, B4, 64).icmpv4_echo_request(7, 1), b"abcdefgh");
    built!(
        "ping6",
        ether().ipv6(v6(1, 1), v6(1, 0xfe), 64).icmpv6_echo_request(7, 1),
        b"abcdefgh"
    );
    built!(
        "unreachable4",
        ether().ipv4(A4, B4, 64).icmpv4_raw(3, 4, [0, 0, 5, 0x78]),
        &[0x45; 28]
    );
    built!(
        "vlan",
        ether()
            .single_vlan(VlanId::try_new(7).expect("an id"))
            .ipv4(A4, B4, 64)
            .udp(1, 2),
        b"tagged"
    );
    built!(
        "qinq",
        ether()
            .double_vlan(VlanId::try_new(7).expect("an id"), VlanId::try_new(8).expect("an id"))
            .ipv6(v6(1, 1), v6(1, 2), 64)
            .udp(1, 2),
        b"tagged twice"
    );
    let ip = [0, 17, 0, 0, 0, 0, 0, 0];
    // IPv6 by hand: hop-by-hop options, a routing header, a fragment, AH and destination options.
    for (name, next, extensions) in [
        ("hop-by-hop", 0, &[17u8, 0, 5, 2, 0, 0, 1, 0][..]),
        (
            "routing",
            43,
            &[17, 2, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8],
        ),
        ("fragment6-first", 44, &[17, 0, 0, 1, 0, 0, 0, 9]),
        ("fragment6-later", 44, &[17, 0, 0, 0x10, 0, 0, 0, 9]),
        (
            "authenticated6",
            51,
            &[17, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
        ),
        ("destination", 60, &[17, 0, 1, 4, 0, 0, 0, 0]),
    ] {
        all.push((
            name,
            ipv6(next, &[extensions, &[0x9c, 0x40, 0, 53, 0, 16, 0, 0], &ip].concat()),
        ));
    }
    all.push(("no-next", ipv6(59, b"")));
    all.push((
        "sctp4",
        ipv4(132, 0, &[], &[0, 1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 1, 0, 0, 4]),
    ));
    all.push(("gre4", ipv4(47, 0, &[], &[0, 0, 0x88, 0x47, 0, 6, 0x41, 64])));
    all.push((
        "fragment4-first",
        ipv4(17, 0x2000, &[], &[0, 1, 0, 2, 0, 40, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
    ));
    all.push(("fragment4-later", ipv4(17, 0x0002, &[], &[7; 24])));
    all.push((
        "record-route",
        ipv4(1, 0, &[7, 7, 4, 0, 0, 0, 0, 0], &[8, 0, 0xf7, 0xfd, 0, 1, 0, 1]),
    ));
    all.push((
        "source-route",
        ipv4(1, 0, &[0x83, 7, 4, 10, 0, 0, 9, 0], &[8, 0, 0xf7, 0xfd, 0, 1, 0, 1]),
    ));
    all.push((
        "big4",
        ipv4(17, 0, &[], &[&[0, 1, 0, 2, 3, 232, 0, 0][..], &[7; 992]].concat()),
    ));
    all.push(("arp-request", arp(1, [0; 6], A4, B4)));
    all.push(("arp-reply", arp(2, B, A4, B4)));
    all.push(("arp-probe", arp(1, [0; 6], [0; 4], B4)));
    all.push(("gratuitous-arp", arp(1, [0; 6], A4, A4)));
    let (all_nodes, solicited) = (
        [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0xfe],
    );
    let target = v6(1, 0xfe);
    let own = [1, 1, 2, 0, 0, 0, 0, 1];
    let message = |kind: u8, flags: u8, target: &[u8], options: &[u8]| {
        [&[kind, 0, 0, 0, flags, 0, 0, 0], target, options].concat()
    };
    all.push((
        "solicitation",
        icmpv6(v6(1, 1), solicited, &message(135, 0, &target, &own)),
    ));
    all.push((
        "duplicate-detection",
        icmpv6([0; 16], solicited, &message(135, 0, &target, &[])),
    ));
    all.push((
        "advertisement",
        icmpv6(
            v6(1, 1),
            all_nodes,
            &message(136, 0xa0, &v6(1, 1), &[2, 1, 2, 0, 0, 0, 0, 1]),
        ),
    ));
    all.push((
        "router-solicitation",
        icmpv6(
            v6(1, 1),
            [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
            &message(133, 0, &[], &own),
        ),
    ));
    let information = [
        &[3u8, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0][..],
        &v6(1, 0),
        &[5, 1, 0, 0, 0, 0, 5, 0xdc],
    ]
    .concat();
    all.push((
        "router-advertisement",
        icmpv6(v6(1, 1), all_nodes, &message(134, 0, &[0; 8], &information)),
    ));
    all.push((
        "too-big6",
        icmpv6(
            v6(1, 1),
            v6(9, 1),
            &[&[2, 0, 0, 0, 0, 0, 5, 0][..], &[0x60; 48]].concat(),
        ),
    ));
    all
}

fn ethernet(kind: [u8; 2], payload: &[u8]) -> Vec<u8> {
    [&GATEWAY[..], &A, &kind, payload].concat()
}

fn arp(operation: u8, target_mac: [u8; 6], sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let fixed = [0, 1, 8, 0, 6, 4, 0, operation];
    ethernet(
        [8, 6],
        &[&fixed[..], &A, &sender, &target_mac, &target, &[0; 18]].concat(),
    )
}

fn ipv4(number: u8, fragment: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header = 20 + options.len();
    let total = ((header + payload.len()) as u16).to_be_bytes();
    let fragment = fragment.to_be_bytes();
    let first = [
        0x40 | (header / 4) as u8,
        0,
        total[0],
        total[1],
        0,
        9,
        fragment[0],
        fragment[1],
        64,
        number,
        0,
        0,
    ];
    let mut packet = [&first[..], &A4, &B4, options, payload].concat();
    let sum = checksum(&packet[..header], 0);
    packet[10..12].copy_from_slice(&sum);
    ethernet([8, 0], &packet)
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(
        [0x86, 0xdd],
        &[&ipv6_header(next, 64, payload.len(), v6(1, 1), v6(9, 1))[..], payload].concat(),
    )
}

fn ipv6_header(next: u8, hops: u8, length: usize, source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
    let length = (length as u16).to_be_bytes();
    [
        &[0x60, 0, 0, 0, length[0], length[1], next, hops][..],
        &source,
        &destination,
    ]
    .concat()
}

fn icmpv6(source: [u8; 16], destination: [u8; 16], message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let pseudo = [&source[..], &destination].concat();
    let sum = checksum(&[&pseudo[..], &message].concat(), 58 + message.len() as u32);
    message[2..4].copy_from_slice(&sum);
    ethernet(
        [0x86, 0xdd],
        &[&ipv6_header(58, 255, message.len(), source, destination)[..], &message].concat(),
    )
}

/// RFC 1071, as plainly as it can be said.
fn checksum(bytes: &[u8], start: u32) -> [u8; 2] {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    let mut sum = start + bytes.chunks(2).map(word).sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// Want and give up, ask and answer, forget and ask again.
fn underlay(frames: &[(&str, Vec<u8>)]) {
    let want = |remote: u8| remote << 3;
    let unwant = |remote: u8| remote << 3 | 1;
    let wait = |seconds: u8| seconds << 3 | 3;
    let everything: Vec<u8> = (0..8).map(want).chain([wait(1), wait(1), wait(10), 4]).collect();
    write("underlay", "nobody-answers", &everything);
    write(
        "underlay",
        "want-and-give-up",
        &[want(0), want(0), unwant(0), unwant(0), want(4), wait(31), unwant(4)],
    );
    let mut reply = arp(2, B, [192, 0, 2, 2], [192, 0, 2, 1]);
    reply[38 - 6..38].copy_from_slice(&B);
    let solicited = icmpv6(
        v6(0, 2),
        v6(0, 1),
        &[&[136, 0, 0, 0, 0x60, 0, 0, 0][..], &v6(0, 2), &[2, 1, 2, 0, 0, 0, 0, 1]].concat(),
    );
    for (name, frame) in [("arp-answer", &reply), ("nd-answer", &solicited)] {
        let asked = step(&[want(0), want(2), want(4), want(6), wait(0)], 7, frame);
        write(
            "underlay",
            name,
            &[&asked[..], &[wait(20), wait(31), wait(31), unwant(0), unwant(4)]].concat(),
        );
        write("underlay", &format!("{name}-unasked"), &step(&[], 5, frame));
    }
    let kinds = ["arp", "solicitation", "advertisement", "detection"];
    for (name, frame) in frames
        .iter()
        .filter(|(name, _)| kinds.iter().any(|kind| name.contains(kind)))
    {
        write(
            "underlay",
            name,
            &[&step(&[want(0), want(4)], 5, frame)[..], &[wait(2)]].concat(),
        );
    }
}

/// Rows of steps: see `vrouter_fuzz::pipeline`.
fn pipeline() {
    // A packet: what it is, from which MAC, protocol above IP (source port, destination port, length), addresses, TTL, no spoiling.
    let packet = |choice: u8, from: u8, to: u8| [choice, 1, 7, 1, 3, from, to, 0, 0];
    let step = |interface: u8, packet: &[u8]| [&[4, interface][..], packet].concat();
    for (name, protocol) in [("udp", 0u8), ("tcp", 2), ("ping", 4), ("other", 6)] {
        for v6 in [0, 1] {
            let family = if v6 == 0 { 4 } else { 6 };
            let each: Vec<u8> = (0..12).flat_map(|to| step(0, &packet(protocol | v6, 0, to))).collect();
            write(
                "pipeline",
                &format!("{name}{family}-everywhere"),
                &[&[v6], &each[..]].concat(),
            );
            let back: Vec<u8> = (0..5)
                .flat_map(|port| step(port, &packet(protocol | v6, port, 1)))
                .collect();
            write(
                "pipeline",
                &format!("{name}{family}-from-all"),
                &[&[2], &back[..], &[1 | 31 << 3, 1 | 31 << 3]].concat(),
            );
        }
    }
    for v6 in [0, 1] {
        // Larger than the second port carries, and than the tunnel does.
        let big = |choice: u8, to: u8| [choice | v6, 1, 7, 1, 180, 0, to, 0, 0];
        write(
            "pipeline",
            &format!("too-big-{v6}"),
            &[
                &[0][..],
                &step(0, &big(0, 1)),
                &step(0, &big(8, 1)),
                &step(0, &big(0, 6)),
            ]
            .concat(),
        );
        // Flooded, and switched once learned.
        let switched = |to: u8| [0x20 | v6, to << 3 | 3, 7, 1, 3, 3, 4, 0, 0];
        write(
            "pipeline",
            &format!("switched-{v6}"),
            &[
                &[0][..],
                &step(2, &switched(4)),
                &step(3, &switched(3)),
                &step(2, &switched(6)),
            ]
            .concat(),
        );
        // Who has it?
        let ask = |address: u8| [0x7e | v6, 3, 3, address];
        let asked: Vec<u8> = (0..12).flat_map(|address| step(2, &ask(address))).collect();
        write("pipeline", &format!("asked-{v6}"), &[&[0], &asked[..]].concat());
    }
    for choice in [0u8, 1, 8, 9, 16, 17, 0x20, 0x29, 0x30, 0x31, 4, 5] {
        let inner: Vec<u8> = if choice >> 3 & 3 == 0 {
            packet(0, 6, 0).to_vec()
        } else {
            vec![0, 7, 1, 3, 6, 0, 0]
        };
        write(
            "pipeline",
            &format!("tunnelled-{choice:02x}"),
            &[&[0, 7, choice], &inner[..], &[0, 0, 0]].concat(),
        );
    }
    // One thing wrong with a tunnel packet over IPv4: checksum, protocol, address, UDP length and checksum, flags, VNI or label.
    for (name, at, change) in [
        ("checksum", 24, 1u8),
        ("address", 33, 1),
        ("port", 36, 1),
        ("udp-length", 39, 1),
        ("udp-checksum", 40, 1),
        ("flags", 42, 8),
        ("vni", 48, 0x40),
        ("label", 43, 0x40),
        ("inner-version", 64, 0x10),
    ] {
        for choice in [0u8, 8, 16] {
            let inner: Vec<u8> = if choice == 0 {
                packet(0, 6, 0).to_vec()
            } else {
                vec![0, 7, 1, 3, 6, 0, 0]
            };
            let row = [&[0, 7, choice][..], &inner, &[0, 1, at, change]].concat();
            write("pipeline", &format!("wrong-{name}-{choice:02x}"), &row);
        }
    }
    // Congestion met by a packet that cannot carry the mark.
    write("pipeline", "congested", &[0, 7, 16, 0, 7, 1, 3, 6, 0, 0, 3, 0]);
    // Fragments of IPv4 and IPv6, first and later; and what no host may send or be sent to.
    write(
        "pipeline",
        "fragments",
        &[
            &[0][..],
            &step(0, &[0x80, 1, 7, 1, 3, 0, 1, 0, 0, 0, 0]),
            &step(0, &[0x80, 1, 7, 1, 3, 0, 1, 0, 0, 9, 0]),
            &step(0, &packet(0x81, 0, 1)),
        ]
        .concat(),
    );
    write(
        "pipeline",
        "odd-addresses",
        &[
            &[0][..],
            &step(0, &packet(0, 10, 1)),
            &step(0, &packet(1, 11, 1)),
            &step(0, &packet(0, 11, 10)),
        ]
        .concat(),
    );
    // A route to nowhere, and a group without a way; then a packet for each.
    write(
        "pipeline",
        "blackhole",
        &[
            &[0][..],
            &[0, 4, 0, 6, 6, 32, 40],
            &[0, 4, 0, 7, 7, 32, 41],
            &step(0, &packet(0, 0, 6)),
            &step(0, &packet(0, 0, 7)),
        ]
        .concat(),
    );
    // More flows than a port may have.
    let many: Vec<u8> = (0..12)
        .flat_map(|number| step(4, &[0, 1, number, 1, 3, 2, 0, 0, 0]))
        .collect();
    write("pipeline", "many-flows", &[&[0], &many[..]].concat());
    for kind in 0..9u8 {
        // Put, delete and put again: alone, and as one batch; then a packet each way.
        let (put, delete) = ([kind, 1, 0, 0, 1, 2, 3], [0x80 | kind, 1, 0, 0, 24]);
        let row = [
            &[0u8][..],
            &[0],
            &put,
            &[0],
            &delete,
            &[2 << 3],
            &put,
            &delete,
            &put,
            &step(0, &packet(0, 0, 1)),
            &step(0, &packet(1, 0, 6)),
        ]
        .concat();
        write("pipeline", &format!("changed-{kind}"), &row);
    }
}

/// Each kind of object put and deleted, in the tables that `vrouter_fuzz::pipeline` starts from.
fn requests() {
    use pb::{key::Key as K, next_hop as nh, next_hop::Action as A, object::Object as O};
    let text = str::to_owned;
    let mac = || text("02:00:00:00:00:09");
    let hop = |action| {
        O::NextHop(pb::NextHop {
            id: 45,
            name: text("hop"),
            action: Some(action),
            state: None,
        })
    };
    let tunnel = |encapsulation: nh::Encapsulation, remote: &str| {
        A::Tunnel(nh::Tunnel {
            encapsulation: encapsulation.into(),
            remote: text(remote),
            vni: 5000 * u32::from(encapsulation == nh::Encapsulation::Vxlan),
            label: 100 * u32::from(encapsulation == nh::Encapsulation::MplsUdp),
            inner_mac: String::new(),
        })
    };
    let port = pb::Port {
        id: 6,
        name: text("six"),
        interface: text("p6"),
        mode: pb::port::Mode::Memory.into(),
        vrf: 1,
        mac: mac(),
        gateways: vec![text("10.0.0.254/24"), text("fd00::fe/64")],
        mtu: 1400,
        max_flows: 8,
        ..pb::Port::default()
    };
    let route = |prefix: &str, next_hop| {
        O::Route(pb::Route {
            vrf: 1,
            prefix: text(prefix),
            next_hop,
            source: 1,
            preference: 2,
            active: false,
        })
    };
    let traffic = || pb::Traffic {
        protocol: 6,
        first_port: 443,
        last_port: 8443,
        ..pb::Traffic::default()
    };
    let policy = |id| pb::Policy {
        id,
        name: text("web"),
        egress: vec![pb::Rule {
            id: 1,
            name: text("web/out"),
            groups: vec![1, 7],
            traffic: vec![traffic()],
            verdict: pb::Verdict::Allow.into(),
            log: true,
        }],
        ingress: vec![pb::Rule {
            id: 2,
            name: text("web/ping"),
            traffic: vec![pb::Traffic {
                protocol: 58,
                icmp_type: Some(128),
                icmp_code: Some(0),
                ..pb::Traffic::default()
            }],
            verdict: pb::Verdict::Audit.into(),
            ..pb::Rule::default()
        }],
        egress_default: pb::Verdict::Allow.into(),
        ingress_default: pb::Verdict::Deny.into(),
    };
    let backend = |address: &str, port| pb::Backend {
        address: text(address),
        port,
        weight: 3,
        name: text("b"),
        ..pb::Backend::default()
    };
    let guarded = pb::Port {
        id: 2,
        interface: text("p2"),
        policy: 1,
        guard: Some(pb::Guard {
            addresses: vec![text("10.0.0.2"), text("fd00:0:0:1::/64")],
            macs: vec![text("02:00:00:00:00:0a")],
            ..pb::Guard::default()
        }),
        qos: Some(pb::Qos {
            from_workload: Some(pb::Rate {
                packets_per_second: 1000,
                ..pb::Rate::default()
            }),
            to_workload: Some(pb::Rate {
                bits_per_second: 1_000_000,
                shape: true,
                ..pb::Rate::default()
            }),
            dscp: Some(46),
        }),
        mirrors: vec![1],
        ..port.clone()
    };
    let puts = [
        ("port", O::Port(port.clone())),
        (
            "bridged-port",
            O::Port(pb::Port {
                vrf: 0,
                bridge: 1,
                gateways: Vec::new(),
                ..port
            }),
        ),
        (
            "vrf",
            O::Vrf(pb::Vrf {
                id: 3,
                name: text("three"),
                underlay: false,
            }),
        ),
        (
            "bridge",
            O::Bridge(pb::Bridge {
                id: 3,
                name: text("three"),
                vrf: 1,
                gateway_mac: mac(),
                gateways: vec![text("10.0.3.1/24")],
                learn: true,
                aging_seconds: 60,
                flood: 30,
            }),
        ),
        ("hop-drop", hop(A::Drop(nh::Drop {}))),
        ("hop-local", hop(A::Local(nh::Local {}))),
        ("hop-port", hop(A::Port(nh::ToPort { port: 1, mac: mac() }))),
        ("hop-vxlan", hop(tunnel(nh::Encapsulation::Vxlan, "192.0.2.7"))),
        ("hop-mpls", hop(tunnel(nh::Encapsulation::MplsUdp, "fd00::7"))),
        (
            "hop-group",
            hop(A::Group(nh::Group {
                members: vec![
                    nh::Member { next_hop: 1, weight: 1 },
                    nh::Member {
                        next_hop: 10,
                        weight: 255,
                    },
                ],
            })),
        ),
        (
            "hop-flood",
            hop(A::Flood(nh::Flood {
                next_hops: vec![3, 4, 14],
            })),
        ),
        ("route4", route("10.7.0.0/16", 10)),
        ("route6", route("fd07::/64", 20)),
        ("default-route", route("0.0.0.0/0", 40)),
        ("host-bits", route("10.7.0.1/16", 10)),
        (
            "mac",
            O::Mac(pb::Mac {
                bridge: 1,
                mac: mac(),
                next_hop: 14,
                ..pb::Mac::default()
            }),
        ),
        (
            "neighbor",
            O::Neighbor(pb::Neighbor {
                bridge: 1,
                address: text("10.0.2.9"),
                mac: mac(),
                ..pb::Neighbor::default()
            }),
        ),
        (
            "vni",
            O::Vni(pb::Vni {
                vni: 7000,
                target: Some(pb::vni::Target::Bridge(1)),
                name: text("net"),
            }),
        ),
        (
            "label",
            O::Label(pb::Label {
                label: 200,
                target: Some(pb::label::Target::NextHop(1)),
                name: text("one"),
            }),
        ),
        (
            "hop-vrf",
            hop(A::Vrf(nh::ToVrf {
                vrf: 3,
                untranslated: false,
            })),
        ),
        (
            "hop-underlay",
            hop(A::Underlay(nh::Underlay {
                gateway: text("192.0.2.254"),
            })),
        ),
        ("hop-erspan", hop(tunnel(nh::Encapsulation::Erspan, "192.0.2.7"))),
        (
            "identity4",
            O::Identity(pb::Identity {
                vrf: 1,
                prefix: text("10.0.0.2/32"),
                groups: vec![1, 7],
            }),
        ),
        (
            "identity6",
            O::Identity(pb::Identity {
                vrf: 1,
                prefix: text("fd00::/16"),
                groups: vec![],
            }),
        ),
        ("policy", O::Policy(policy(2))),
        ("policy-of-a-port", O::Policy(policy(1))),
        (
            "source-nat",
            O::SourceNat(pb::SourceNat {
                id: 2,
                name: text("out"),
                inside: 1,
                outside: 3,
                prefix: text("10.0.0.0/16"),
                addresses: vec![text("203.0.113.2"), text("203.0.113.3")],
                first_port: 2000,
                last_port: 9000,
                block_size: 128,
                blocks_per_source: 4,
            }),
        ),
        (
            "source-nat-single",
            O::SourceNat(pb::SourceNat {
                id: 3,
                inside: 1,
                outside: 3,
                prefix: text("fd00::2/128"),
                addresses: vec![text("2001:db8:f::7")],
                ..pb::SourceNat::default()
            }),
        ),
        (
            "service",
            O::Service(pb::Service {
                id: 2,
                name: text("dns"),
                vrf: 1,
                address: text("10.96.0.10"),
                protocol: 17,
                port: 53,
                backends: vec![backend("10.0.0.1", 5353), backend("10.0.0.2", 0)],
                client_affinity: true,
                affinity_seconds: 60,
            }),
        ),
        (
            "service-floating",
            O::Service(pb::Service {
                id: 3,
                vrf: 3,
                address: text("2001:db8:f::7"),
                backends: vec![pb::Backend {
                    vrf: 1,
                    ..backend("fd00::2", 0)
                }],
                ..pb::Service::default()
            }),
        ),
        (
            "mirror",
            O::Mirror(pb::Mirror {
                id: 1,
                name: text("copies"),
                next_hop: 10,
                from_workload: true,
                filter: vec![traffic()],
                prefixes: vec![text("10.0.0.0/8")],
                snap_length: 128,
                ..pb::Mirror::default()
            }),
        ),
        (
            "health-check",
            O::HealthCheck(pb::HealthCheck {
                id: 2,
                name: text("web"),
                vrf: 1,
                address: text("10.0.0.2"),
                port: 80,
                kind: pb::health_check::Kind::Http.into(),
                target: text("/healthz"),
                interval_ms: 2000,
                timeout_ms: 500,
                rise: 2,
                fall: 2,
                ..pb::HealthCheck::default()
            }),
        ),
        ("guarded-port", O::Port(guarded)),
    ];
    let put = |object: &O| {
        pb::operation::Operation::Put(pb::Object {
            object: Some(object.clone()),
        })
    };
    let delete = |key: K| pb::operation::Operation::Delete(pb::Key { key: Some(key) });
    let keys = [
        ("port", K::Port(1)),
        ("vrf", K::Vrf(2)),
        ("bridge", K::Bridge(1)),
        ("next-hop", K::NextHop(41)),
        (
            "route",
            K::Route(pb::RouteKey {
                vrf: 1,
                prefix: text("10.0.0.1/32"),
                source: 1,
            }),
        ),
        (
            "mac",
            K::Mac(pb::MacKey {
                bridge: 1,
                mac: text("02:00:00:00:00:03"),
            }),
        ),
        (
            "neighbor",
            K::Neighbor(pb::NeighborKey {
                bridge: 1,
                address: text("10.0.2.3"),
            }),
        ),
        ("vni", K::Vni(5000)),
        ("label", K::Label(100)),
        (
            "identity",
            K::Identity(pb::IdentityKey {
                vrf: 1,
                prefix: text("10.0.0.1/32"),
            }),
        ),
        ("policy", K::Policy(1)),
        ("source-nat", K::SourceNat(1)),
        ("service", K::Service(1)),
        ("mirror", K::Mirror(1)),
        ("health-check", K::HealthCheck(1)),
    ];
    let request = |name: &str, operations: Vec<pb::operation::Operation>| {
        let operations = operations
            .into_iter()
            .map(|operation| pb::Operation {
                operation: Some(operation),
            })
            .collect();
        write("api", name, &pb::ApplyRequest { batch: 7, operations }.encode_to_vec());
    };
    for (name, object) in &puts {
        request(&format!("put-{name}"), vec![put(object)]);
    }
    for (name, key) in &keys {
        request(&format!("delete-{name}"), vec![delete(key.clone())]);
    }
    request(
        "everything",
        puts.iter()
            .map(|(_, object)| put(object))
            .chain(keys.into_iter().map(|(_, key)| delete(key)))
            .collect(),
    );
}

/// Files and command lines of both daemons.
fn settings() {
    let texts = [
        ("empty", ""),
        (
            "dataplane",
            "node = \"a\"\nlisten = [\"unix:/run/v.sock\", \"http://127.0.0.1:7001\"]\nvtep = [\"192.0.2.1/24\", \"fd00::1/64\"]\ngateway = [\"192.0.2.254\"]\nworkers = 2\ncpus = \"0,2-3\"\npoll = \"busy\"\nframes = 65536\nframe-size = 4096\nflows = 65536\nlog = \"info,vrouter_dataplane=debug\"\nlog-format = \"json\"\n[flow-timeout]\ntcp = 3600\n[[uplink]]\ninterface = \"eth1\"\nmode = \"native\"\n",
        ),
        (
            "uplinks",
            "[[uplink]]\ninterface = \"eth1\"\nvtep = [\"192.0.2.1/24\"]\n[[uplink]]\ninterface = \"eth2\"\nmode = \"generic\"\nvtep = [\"fd00::1/64\"]\ngateway = [\"fe80::1\"]\n",
        ),
        (
            "control",
            "listen = [\"http://[::1]:7000\"]\nstore = \"/var/lib/v.redb\"\nlog-format = \"text\"\n[dataplane]\nnode-a = \"unix:/run/v.sock\"\nnode-b = \"http://10.0.0.2:7001\"\n",
        ),
        (
            "dataplane-flags",
            "--node a --listen unix:/run/v.sock --uplink eth1,mode=native-zc --vtep 192.0.2.1/24 --vtep fd00::1/64 --gateway 192.0.2.254 --workers 2 --cpus 0,2-3 --poll adaptive --frames 65536 --flows 65536 --log debug --log-format json",
        ),
        (
            "control-flags",
            "--listen http://[::1]:7000 --store /v.redb --dataplane node-a=unix:/run/v.sock --log info",
        ),
        ("wrong", "cpus = \"3-1\"\nworkers = -1\nframes = 1e9\n"),
    ];
    for (name, text) in texts {
        write("config", name, text.as_bytes());
    }
}

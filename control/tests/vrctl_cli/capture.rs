//! `vrctl capture`: what it asks for, and what it makes of what it is told.

use pcap_file::pcapng::{Block, PcapNgReader, blocks::enhanced_packet::EnhancedPacketOption};

use crate::harness::House;

/// Comments, flags and counts of lost copies, packet by packet.
fn read(bytes: &[u8]) -> Vec<(u32, Vec<EnhancedPacketOption<'static>>)> {
    let mut reader = PcapNgReader::new(bytes).unwrap();
    let mut packets = Vec::new();
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block.unwrap().into_owned() {
            packets.push((packet.original_len, packet.options));
        }
    }
    packets
}

/// Runs to its end with success; what was printed. (The counts at the end go to standard error.)
fn shown(house: &House, arguments: &[&str]) -> String {
    let output = house.run(arguments);
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn packets_go_to_a_pipe_as_pcapng_with_the_reason_they_were_dropped_for() {
    let house = House::new();
    let output = house.run(&[
        "capture",
        "--port",
        "web-1",
        "--filter",
        "tcp port 443",
        "--drops",
        "-w",
        "-",
    ]);
    assert!(output.status.success());
    let packets = read(&output.stdout);
    assert_eq!(packets.len(), 2);
    assert_eq!(packets[0], (60, vec![EnhancedPacketOption::Flags(1)]));
    let comment = "dropped: policy_denied_ingress (rule db/sql) vrf blue".into();
    assert_eq!(
        packets[1].1,
        [
            EnhancedPacketOption::DropCount(4),
            EnhancedPacketOption::Comment(comment)
        ]
    );
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("9 packets wanted, 2 captured, 4 copies lost: not read fast enough, 3 beyond --max-rate"),
        "{said}"
    );
    let asked = house.dataplane.state().captures.remove(0);
    assert_eq!(
        (asked.port_names, asked.filter),
        (vec!["web-1".to_owned()], "tcp port 443".to_owned())
    );
    assert!(asked.received && asked.transmitted && asked.dropped);
    assert_eq!((asked.sample, asked.snap_length), (1, 0));
}

#[test]
fn limits_and_ways_are_asked_for() {
    let house = House::new();
    shown(
        &house,
        &[
            "capture",
            "--drops-only",
            "--network",
            "blue",
            "-c",
            "5",
            "--duration",
            "2s",
            "--max-rate",
            "100",
            "--sample",
            "1/10",
            "-s",
            "96",
            "--max-bytes",
            "1m",
        ],
    );
    let asked = house.dataplane.state().captures.remove(0);
    assert!(!asked.received && !asked.transmitted && asked.dropped);
    assert_eq!(
        (asked.max_packets, asked.max_milliseconds, asked.max_rate),
        (5, 2000, 100)
    );
    assert_eq!((asked.sample, asked.snap_length, asked.max_bytes), (10, 96, 1 << 20));
    assert_eq!(asked.vrf_names, ["blue"]);
    shown(&house, &["capture", "--direction", "out"]);
    let asked = house.dataplane.state().captures.remove(0);
    assert!(!asked.received && asked.transmitted && !asked.dropped);
}

#[test]
fn without_a_file_there_is_a_line_or_an_object_for_each_packet() {
    let house = House::new();
    let lines = shown(&house, &["capture"]);
    let expected =
        "00:00:01.000000 blue/web-1 in   11:11:11:11:11:11 > 11:11:11:11:11:11 ethertype 0x1111 length 40 (60 bytes)\n";
    assert!(lines.starts_with(expected), "{lines}");
    assert!(
        lines.ends_with("dropped: policy_denied_ingress (rule db/sql) vrf blue\n"),
        "{lines}"
    );
    let objects = shown(&house, &["capture", "-o", "json"]);
    let last: serde_json::Value = serde_json::from_str(objects.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["point"], &last["rule"], &last["port_name"]),
        (&"drop".into(), &"db/sql".into(), &"blue/web-1".into())
    );
    assert_eq!(last["data"].as_str().unwrap().len(), 80);
}

#[test]
fn with_a_node_control_is_asked() {
    let house = House::new();
    let output = house.run(&["capture", "--node", "node1", "--port", "blue/web-1", "-w", "-"]);
    let packets = read(&output.stdout);
    assert_eq!(packets, [(60, vec![EnhancedPacketOption::Flags(2)])]);
    let wish = house.control.state().wishes.pop().unwrap();
    assert!(
        wish.contains("node: \"node1\"") && wish.contains("blue/web-1"),
        "{wish}"
    );
}

#[test]
fn a_mistake_in_a_filter_is_shown_where_it_is() {
    let house = House::new();
    let said = house.fails(1, &["capture", "--filter", "tcp port foo"]);
    assert!(said.contains("\n  tcp port foo\n           ^"), "{said}");
    let said = house.fails(2, &["capture", "--sample", "5"]);
    assert!(said.contains("1/100"), "{said}");
    house.fails(2, &["capture", "-C", "5"]);
}

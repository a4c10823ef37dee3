//! A reader of IPFIX that knows only what templates say, and messages byte for byte.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use proptest::prelude::*;

use super::super::{EndReason, ExporterRecord, Firewall, FlowRecord, Forwarding, NameRecord};
use super::*;

/// Values of a record by element.
type Values = HashMap<u16, Vec<u8>>;

#[derive(Default)]
struct Reader {
    templates: HashMap<u16, Vec<(u16, u16)>>,
    /// Data records so far.
    count: u32,
}

fn two(bytes: &[u8]) -> u16 {
    u16::from_be_bytes(bytes[..2].try_into().unwrap())
}

impl Reader {
    fn read(&mut self, message: &[u8]) -> Vec<(u16, Values)> {
        assert!(message.len() <= MAX_MESSAGE);
        assert_eq!((two(message), usize::from(two(&message[2..]))), (10, message.len()));
        assert_eq!(
            u32::from_be_bytes(message[8..12].try_into().unwrap()),
            self.count,
            "the sequence"
        );
        let (mut at, mut all) = (16, Vec::new());
        while at < message.len() {
            let (id, length) = (two(&message[at..]), usize::from(two(&message[at + 2..])));
            let mut rest = &message[at + 4..at + length];
            at += length;
            while !rest.is_empty() {
                if id < 256 {
                    let (template, count) = (two(rest), usize::from(two(&rest[2..])));
                    rest = &rest[if id == 3 { 6 } else { 4 }..];
                    let elements = rest.chunks(4).take(count).map(|e| (two(e), two(&e[2..]))).collect();
                    rest = &rest[count * 4..];
                    self.templates.insert(template, elements);
                    continue;
                }
                let mut values = Values::new();
                for (element, length) in &self.templates[&id] {
                    let mut length = usize::from(*length);
                    if length == 0xffff {
                        length = usize::from(rest[0]);
                        rest = &rest[1..];
                    }
                    values.insert(*element, rest[..length].to_vec());
                    rest = &rest[length..];
                }
                self.count += 1;
                all.push((id, values));
            }
        }
        all
    }
}

fn number(values: &Values, element: u16) -> u64 {
    values[&element].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn address(values: &Values, v4: u16, v6: u16) -> IpAddr {
    match (values.get(&v4), values.get(&v6)) {
        (Some(bytes), None) => <[u8; 4]>::try_from(&bytes[..]).unwrap().into(),
        (None, Some(bytes)) => <[u8; 16]>::try_from(&bytes[..]).unwrap().into(),
        _ => panic!("one family"),
    }
}

fn agrees(record: &FlowRecord, values: &Values) {
    for (element, value) in [
        (152, record.start),
        (153, record.end),
        (148, record.flow),
        (2, record.packets),
        (1, record.bytes),
        (10, record.in_port.into()),
        (14, record.out_port.into()),
        (234, record.vrf.into()),
        (235, record.out_vrf.into()),
        (7, record.source.1.into()),
        (11, record.destination.1.into()),
        (4, record.protocol.into()),
        (61, u64::from(!record.from_workload)),
        (239, if record.forward { 1 } else { 2 }),
        (136, record.reason as u64),
        (233, record.firewall as u64),
        (89, record.forwarding as u64),
    ] {
        assert_eq!(number(values, element), value, "element {element}");
    }
    assert_eq!(address(values, 8, 27), record.source.0);
    assert_eq!(address(values, 12, 28), record.destination.0);
    match record.translated {
        Some([source, destination]) => {
            assert_eq!(address(values, 225, 281), source.0);
            assert_eq!(address(values, 226, 282), destination.0);
            assert_eq!(number(values, 227), u64::from(source.1));
            assert_eq!(number(values, 228), u64::from(destination.1));
        }
        None => assert!(!values.contains_key(&227)),
    }
}

fn end(v4: bool) -> BoxedStrategy<(IpAddr, u16)> {
    if v4 {
        (any::<Ipv4Addr>(), any::<u16>())
            .prop_map(|(a, p)| (a.into(), p))
            .boxed()
    } else {
        (any::<Ipv6Addr>(), any::<u16>())
            .prop_map(|(a, p)| (a.into(), p))
            .boxed()
    }
}

fn record() -> impl Strategy<Value = FlowRecord> {
    any::<bool>().prop_flat_map(|v4| {
        let ends = (end(v4), end(v4), proptest::option::of([end(v4), end(v4)]));
        let reason = prop_oneof![
            Just(EndReason::Idle),
            Just(EndReason::Active),
            Just(EndReason::End),
            Just(EndReason::LackOfResources)
        ];
        let firewall = prop_oneof![Just(Firewall::Deleted), Just(Firewall::Denied), Just(Firewall::Update)];
        let forwarding = prop_oneof![
            Just(Forwarding::Forwarded),
            Just(Forwarding::Dropped),
            Just(Forwarding::DroppedByPolicy)
        ];
        (
            ends,
            any::<[u64; 5]>(),
            any::<[u32; 4]>(),
            any::<(u8, bool, bool)>(),
            reason,
            firewall,
            forwarding,
        )
            .prop_map(
                |(
                    (source, destination, translated),
                    long,
                    short,
                    (protocol, forward, from_workload),
                    reason,
                    firewall,
                    forwarding,
                )| {
                    FlowRecord {
                        start: long[0],
                        end: long[1],
                        flow: long[2],
                        packets: long[3],
                        bytes: long[4],
                        in_port: short[0],
                        out_port: short[1],
                        vrf: short[2],
                        out_vrf: short[3],
                        source,
                        destination,
                        protocol,
                        forward,
                        from_workload,
                        reason,
                        firewall,
                        forwarding,
                        translated,
                    }
                },
            )
    })
}

proptest! {
    #[test]
    fn what_templates_say_is_what_records_are(
        records in proptest::collection::vec(record(), 0..60),
        names in proptest::collection::vec(("\\PC{0,200}", any::<(bool, u32)>()), 0..8),
        again in any::<bool>(),
    ) {
        let mut exporter = Exporter::new(7);
        exporter.templates();
        for (index, record) in records.iter().enumerate() {
            exporter.flow(record);
            if again && index % 7 == 0 {
                exporter.templates();
            }
        }
        let names: Vec<NameRecord> = names
            .into_iter()
            .map(|(name, (vrf, id))| if vrf { NameRecord::Vrf(id, name) } else { NameRecord::Interface(id, name) })
            .collect();
        names.iter().for_each(|name| exporter.name(name));
        let mut reader = Reader::default();
        let mut read: Vec<_> = exporter.take(1).iter().flat_map(|message| reader.read(message)).collect();
        prop_assert_eq!(read.len(), records.len() + names.len());
        for (record, (_, values)) in records.iter().zip(read.drain(..records.len())) {
            agrees(record, &values);
        }
        for (name, (_, values)) in names.iter().zip(read) {
            let (NameRecord::Interface(id, text) | NameRecord::Vrf(id, text)) = name;
            let (scope, element) = if matches!(name, NameRecord::Vrf(..)) { (234, 236) } else { (10, 82) };
            prop_assert_eq!(number(&values, scope), u64::from(*id));
            let told = String::from_utf8(values[&element].clone()).unwrap();
            prop_assert!(text.starts_with(&told) && (told == *text || told.len() > 250));
        }
    }
}

#[test]
fn a_message_byte_for_byte() {
    let mut exporter = Exporter::new(0x0102_0304);
    exporter.flow(&FlowRecord {
        start: 0x11,
        end: 0x22,
        flow: 0x33,
        packets: 0x44,
        bytes: 0x55,
        in_port: 1,
        out_port: 2,
        vrf: 3,
        out_vrf: 4,
        source: ("10.1.0.2".parse().unwrap(), 0x1234),
        destination: ("192.0.2.7".parse().unwrap(), 80),
        protocol: 6,
        forward: true,
        from_workload: true,
        reason: EndReason::End,
        firewall: Firewall::Deleted,
        forwarding: Forwarding::Forwarded,
        translated: Some([
            ("198.51.100.9".parse().unwrap(), 0x0400),
            ("192.0.2.7".parse().unwrap(), 80),
        ]),
    });
    exporter.exporter(&ExporterRecord {
        messages: 1,
        records: 2,
        not_sent: 3,
        one_of: 10,
    });
    let messages = exporter.take(0x5555_6666);
    let bytes: String = messages.concat().iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = concat!(
        // Version, length, time, sequence, domain.
        "000a",
        "0092",
        "55556666",
        "00000000",
        "01020304",
        // Set 258.
        "0102",
        "005a",
        "0000000000000011",
        "0000000000000022",
        "0000000000000033",
        "0000000000000044",
        "0000000000000055",
        "00000001",
        "00000002",
        "00000003",
        "00000004",
        "1234",
        "0050",
        "06",
        "00",
        "01",
        "03",
        "02",
        "40",
        "0a010002",
        "c0000207",
        "c6336409",
        "c0000207",
        "0400",
        "0050",
        // Set 260.
        "0104",
        "0028",
        "01020304",
        "0000000000000001",
        "0000000000000002",
        "0000000000000003",
        "00000001",
        "00000009",
    );
    assert_eq!(bytes, expected);
    // Two data records came before the next message.
    exporter.templates();
    let next = exporter.take(0).concat();
    assert_eq!(next[8..12], [0, 0, 0, 2]);
}

use super::*;

fn mirror(spec: &MirrorSpec) -> Mirror {
    Mirror::new(spec, NextHopSlot::from_raw(1), None)
}

fn sight(source: &str, destination: &str, protocol: u8, ports: Option<(u16, u16)>) -> Sight {
    Sight {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol,
        ports,
        icmp: None,
    }
}

#[test]
fn without_a_direction_both_are_meant() {
    let both = mirror(&MirrorSpec::default());
    assert!(both.from_workload && both.to_workload);
    let one = mirror(&MirrorSpec {
        to_workload: true,
        ..MirrorSpec::default()
    });
    assert!(!one.from_workload && one.to_workload);
}

#[test]
fn a_mirror_without_filter_wants_what_is_not_ip_too() {
    assert!(mirror(&MirrorSpec::default()).wants(None));
    let picky = mirror(&MirrorSpec {
        prefixes: ["10.0.0.0/8".parse().unwrap()].into(),
        ..MirrorSpec::default()
    });
    assert!(!picky.wants(None));
}

#[test]
fn filters_see_either_side_and_both_families() {
    let web = mirror(&MirrorSpec {
        filter: [MirrorMatch {
            protocol: proto::TCP,
            first_port: 443,
            last_port: 444,
            ..MirrorMatch::default()
        }]
        .into(),
        prefixes: ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()].into(),
        ..MirrorSpec::default()
    });
    assert!(web.wants(Some(&sight("10.0.0.1", "192.0.2.1", proto::TCP, Some((5000, 443))))));
    assert!(web.wants(Some(&sight("192.0.2.1", "10.0.0.1", proto::TCP, Some((444, 5000))))));
    assert!(web.wants(Some(&sight("fd00::1", "2001:db8::1", proto::TCP, Some((1, 443))))));
    assert!(!web.wants(Some(&sight("192.0.2.1", "192.0.2.2", proto::TCP, Some((1, 443))))));
    assert!(!web.wants(Some(&sight("10.0.0.1", "192.0.2.1", proto::UDP, Some((1, 443))))));
    assert!(!web.wants(Some(&sight("10.0.0.1", "192.0.2.1", proto::TCP, Some((1, 445))))));
    assert!(!web.wants(Some(&sight("10.0.0.1", "192.0.2.1", proto::TCP, None))));
}

#[test]
fn icmp_is_chosen_by_type_and_code() {
    let echo = mirror(&MirrorSpec {
        filter: [MirrorMatch {
            icmp_type: Some(8),
            ..MirrorMatch::default()
        }]
        .into(),
        ..MirrorSpec::default()
    });
    let mut packet = sight("10.0.0.1", "10.0.0.2", proto::ICMP, None);
    assert!(!echo.wants(Some(&packet)));
    packet.icmp = Some((8, 0));
    assert!(echo.wants(Some(&packet)));
    packet.icmp = Some((0, 0));
    assert!(!echo.wants(Some(&packet)));
    packet.protocol = proto::UDP;
    packet.icmp = Some((8, 0));
    assert!(!echo.wants(Some(&packet)));
}

#[test]
fn numbers_go_on_over_a_change() {
    let before = mirror(&MirrorSpec::default());
    assert_eq!((before.next_sequence(), before.next_sequence()), (0, 1));
    let after = Mirror::new(&MirrorSpec::default(), NextHopSlot::from_raw(2), Some(&before));
    assert_eq!((after.next_sequence(), before.next_sequence()), (2, 3));
}

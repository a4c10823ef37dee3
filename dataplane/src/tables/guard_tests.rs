use proptest::prelude::*;

use super::*;

const OWN: Mac = Mac([2, 0, 0, 0, 0, 7]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 8]);

fn guard(addresses: &[&str]) -> Guard {
    Guard::new(
        OWN,
        &GuardSpec {
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            ..GuardSpec::default()
        },
    )
}

fn key(source: &str, destination: &str, protocol: u8, from: u16, to: u16) -> FlowKey {
    match (source.parse().unwrap(), destination.parse().unwrap()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => FlowKey::v4(1, source, destination, protocol, from, to),
        (IpAddr::V6(source), IpAddr::V6(destination)) => FlowKey::v6(1, source, destination, protocol, from, to),
        _ => panic!("one family"),
    }
}

#[test]
fn own_addresses_prefixes_and_link_locals_are_permitted_and_no_others() {
    let guard = guard(&["10.1.0.7/32", "10.2.0.0/24", "fd00::7/128", "fd00:1::/64"]);
    for good in ["10.1.0.7", "10.2.0.200", "fd00::7", "fd00:1::9", "fe80::ff:fe00:7"] {
        assert!(guard.permits(good.parse().unwrap()), "{good}");
    }
    for bad in [
        "10.1.0.8",
        "10.2.1.1",
        "0.0.0.0",
        "fd00::8",
        "::",
        "fe80::ff:fe00:8",
        "::a01:7",
    ] {
        assert!(!guard.permits(bad.parse().unwrap()), "{bad}");
    }
    assert!(guard.permits_mac(OWN) && !guard.permits_mac(OTHER));
}

#[test]
fn further_macs_bring_their_link_locals() {
    let spec = GuardSpec {
        macs: [OTHER].into(),
        ..GuardSpec::default()
    };
    let guard = Guard::new(OWN, &spec);
    assert!(guard.permits_mac(OTHER) && guard.permits_mac(OWN));
    assert!(guard.permits_v6(OTHER.link_local()));
}

#[test]
fn a_prefix_of_length_zero_permits_its_family_only() {
    let guard = guard(&["0.0.0.0/0"]);
    assert!(guard.permits("203.0.113.9".parse().unwrap()));
    assert!(!guard.permits("2001:db8::1".parse().unwrap()));
}

#[test]
fn the_unspecified_source_is_for_dhcp_and_address_detection_only() {
    let guard = guard(&["10.1.0.7/32", "fd00::7/128"]);
    let check = |source, destination, protocol, from, to| guard.check(&key(source, destination, protocol, from, to));
    assert_eq!(check("0.0.0.0", "255.255.255.255", proto::UDP, 68, 67), Ok(()));
    assert_eq!(
        check("0.0.0.0", "255.255.255.255", proto::UDP, 69, 67),
        Err(DropReason::SpoofedIp)
    );
    assert_eq!(
        check("0.0.0.0", "10.1.0.9", proto::TCP, 68, 67),
        Err(DropReason::SpoofedIp)
    );
    assert_eq!(check("::", "ff02::1:ff00:7", proto::ICMPV6, 0, 0), Ok(()));
    assert_eq!(check("::", "ff02::16", proto::ICMPV6, 0, 0), Ok(()));
    assert_eq!(check("::", "fd00::9", proto::ICMPV6, 0, 0), Err(DropReason::SpoofedIp));
    assert_eq!(
        check("::", "ff02::1:2", proto::UDP, 546, 547),
        Err(DropReason::SpoofedIp)
    );
    assert_eq!(check("fe80::ff:fe00:7", "ff02::1:2", proto::UDP, 546, 547), Ok(()));
}

#[test]
fn only_a_dhcp_server_speaks_as_one() {
    let addresses = ["10.1.0.7/32", "fd00::7/128"];
    let client = guard(&addresses);
    let server = Guard {
        allow_dhcp_server: true,
        ..client.clone()
    };
    for offer in [
        key("10.1.0.7", "255.255.255.255", proto::UDP, 67, 68),
        key("10.1.0.7", "10.1.0.9", proto::UDP, 6767, 68),
        key("10.1.0.7", "10.1.0.9", proto::UDP, 67, 67),
        key("fd00::7", "fe80::9", proto::UDP, 547, 546),
        key("fd00::7", "fe80::9", proto::UDP, 5000, 546),
    ] {
        assert_eq!(client.check(&offer), Err(DropReason::RogueDhcp), "{offer:?}");
        assert_eq!(server.check(&offer), Ok(()), "{offer:?}");
    }
    // The same ports mean nothing in TCP, and a client may renew.
    assert_eq!(client.check(&key("10.1.0.7", "10.1.0.9", proto::TCP, 67, 68)), Ok(()));
    assert_eq!(client.check(&key("10.1.0.7", "10.1.0.9", proto::UDP, 68, 67)), Ok(()));
}

proptest! {
    #[test]
    fn permits_what_the_prefixes_contain(
        prefixes in prop::collection::vec((any::<[u8; 16]>(), any::<bool>(), 0_u8..=128), 0..6),
        address: [u8; 16],
        near: prop::sample::Index,
        flip in 0_u32..128,
        six: bool,
    ) {
        let ip = |bytes: [u8; 16], six: bool| -> IpAddr {
            if six { Ipv6Addr::from(bytes).into() } else { Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into() }
        };
        let prefixes: Vec<IpPrefix> = prefixes
            .into_iter()
            .map(|(bytes, six, len)| {
                IpPrefix::containing(ip(bytes, six), if six { len } else { len % 33 }).unwrap()
            })
            .collect();
        let spec = GuardSpec { addresses: prefixes.clone().into(), ..GuardSpec::default() };
        let guard = Guard::new(OWN, &spec);
        // Far away, and one bit beside a prefix's first address.
        let mut probes = vec![ip(address, six)];
        if !prefixes.is_empty() {
            probes.push(match prefixes[near.index(prefixes.len())].addr() {
                IpAddr::V4(a) => Ipv4Addr::from_bits(a.to_bits() ^ 1 << (flip % 32)).into(),
                IpAddr::V6(a) => Ipv6Addr::from_bits(a.to_bits() ^ 1 << flip).into(),
            });
        }
        for probe in probes {
            let expected = prefixes.iter().any(|p| p.contains(probe)) || probe == IpAddr::V6(OWN.link_local());
            prop_assert_eq!(guard.permits(probe), expected, "{}", probe);
        }
    }
}

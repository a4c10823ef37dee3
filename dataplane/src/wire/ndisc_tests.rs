//! What is written is read back the same, and smoltcp, which reads it on its own, agrees.

use super::*;
use crate::wire::ndisc::{NdOption, Ndisc};
use crate::wire::{IpPrefix, icmpv6::Icmpv6};
use proptest::prelude::*;
use smoltcp::wire::{Icmpv6Packet, NdiscRepr, RawHardwareAddress};

const SRC: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const DST: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

#[test]
fn solicited_node_is_that_of_rfc_4291() {
    let target: Ipv6Addr = "4037::01:800:200e:8c6c".parse().unwrap();
    assert_eq!(solicited_node(target), "ff02::1:ff0e:8c6c".parse::<Ipv6Addr>().unwrap());
}

#[test]
fn refuses_broken_messages() {
    let error = |bytes: &[u8]| Ndisc::new_checked(bytes).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error(&[135; 7]), "ND: needs 8 bytes, only 7 are there");
    assert_eq!(
        error(&[128, 0, 0, 0, 0, 0, 0, 0]),
        "ND: type is 128, expected 133 to 136"
    );
    assert_eq!(error(&[133, 1, 0, 0, 0, 0, 0, 0]), "ND: code is 1, expected 0");
    assert_eq!(
        error(&[135, 0, 0, 0, 0, 0, 0, 0]),
        "ND: needs 24 bytes, only 8 are there"
    );
    assert_eq!(
        error(&[133, 0, 0, 0, 0, 0, 0, 0, 1, 0]),
        "ND option: length is 0, expected at least 1"
    );
    assert_eq!(
        error(&[133, 0, 0, 0, 0, 0, 0, 0, 1]),
        "ND option: needs 10 bytes, only 9 are there"
    );
    assert_eq!(
        error(&[133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0]),
        "ND option: needs 16 bytes, only 11 are there"
    );
}

/// smoltcp's reading of a message.
fn smol(bytes: &[u8]) -> NdiscRepr<'_> {
    NdiscRepr::parse(&Icmpv6Packet::new_checked(bytes).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn neighbours(target: u128, mac: [u8; 6], with_mac: bool, router: bool, solicited: bool, override_: bool) {
        let target = Ipv6Addr::from(target);
        let mac = with_mac.then_some(Mac(mac));
        let raw = mac.map(|mac| RawHardwareAddress::from_bytes(&mac.0));
        let mut buf = [0xaa; 40];
        let len = NeighborSolicit { target, source: mac }.emit(&mut buf, SRC, DST).unwrap();
        let view = Ndisc::new_checked(&buf[..len]).unwrap();
        prop_assert_eq!((view.kind(), view.target(), view.source_mac()), (135, target, mac));
        prop_assert!(Icmpv6::new_checked(&buf[..len]).unwrap().checksum_ok(SRC, DST));
        prop_assert_eq!(smol(&buf[..len]), NdiscRepr::NeighborSolicit { target_addr: target, lladdr: raw });

        let advert = NeighborAdvert { target, target_mac: mac, router, solicited, override_ };
        let len = advert.emit(&mut buf, SRC, DST).unwrap();
        let view = Ndisc::new_checked(&buf[..len]).unwrap();
        prop_assert_eq!((view.target(), view.target_mac()), (target, mac));
        prop_assert_eq!((view.is_router(), view.is_solicited(), view.is_override()), (router, solicited, override_));
        prop_assert!(Icmpv6::new_checked(&buf[..len]).unwrap().checksum_ok(SRC, DST));
        let flags = u8::from(router) << 7 | u8::from(solicited) << 6 | u8::from(override_) << 5;
        let flags = smoltcp::wire::NdiscNeighborFlags::from_bits_truncate(flags);
        prop_assert_eq!(smol(&buf[..len]), NdiscRepr::NeighborAdvert { flags, target_addr: target, lladdr: raw });
        prop_assert!(advert.emit(&mut buf[..len - 1], SRC, DST).is_err());
    }

    #[test]
    fn routers(mac: [u8; 6], mtu: u32, lifetime: u16, addr: u128, prefix_len in 0u8..=128, on_link: bool, autonomous: bool, valid: u32) {
        let mut buf = [0xaa; 128];
        let len = RouterSolicit { source: Some(Mac(mac)) }.emit(&mut buf, SRC, DST).unwrap();
        prop_assert_eq!(Ndisc::new_checked(&buf[..len]).unwrap().source_mac(), Some(Mac(mac)));
        prop_assert_eq!(smol(&buf[..len]), NdiscRepr::RouterSolicit { lladdr: Some(RawHardwareAddress::from_bytes(&mac)) });

        let prefix = IpPrefix::containing(Ipv6Addr::from(addr).into(), prefix_len).unwrap();
        let info = PrefixInfo { prefix, on_link, autonomous, valid_lifetime: valid, preferred_lifetime: !valid };
        let v4 = PrefixInfo { prefix: IpPrefix::V4_DEFAULT, ..info };
        let advert = RouterAdvert { hop_limit: 64, managed: on_link, other: autonomous, lifetime, source: Some(Mac(mac)),
            mtu: Some(mtu), prefixes: &[info, v4, info] };
        let len = advert.emit(&mut buf, SRC, DST).unwrap();
        let view = Ndisc::new_checked(&buf[..len]).unwrap();
        prop_assert_eq!((view.router_lifetime(), view.is_managed()), (lifetime, on_link));
        let options: Vec<_> = view.options().collect();
        prop_assert_eq!(options, [NdOption::Source(Mac(mac)), NdOption::Mtu(mtu), NdOption::Prefix(info), NdOption::Prefix(info)]);
        prop_assert!(Icmpv6::new_checked(&buf[..len]).unwrap().checksum_ok(SRC, DST));
        let NdiscRepr::RouterAdvert { hop_limit, router_lifetime, lladdr, mtu: smol_mtu, prefix_info, .. } = smol(&buf[..len]) else {
            return Err(TestCaseError::fail("not a router advertisement"));
        };
        prop_assert_eq!((hop_limit, router_lifetime.secs(), smol_mtu), (64, u64::from(lifetime), Some(mtu)));
        prop_assert_eq!(lladdr, Some(RawHardwareAddress::from_bytes(&mac)));
        let smol_prefix = prefix_info.unwrap();
        prop_assert_eq!(IpAddr::V6(smol_prefix.prefix), prefix.addr());
        prop_assert_eq!((smol_prefix.prefix_len, smol_prefix.valid_lifetime.secs()), (prefix_len, u64::from(valid)));
    }

    #[test]
    fn never_panics(kind in 130u8..140, mut bytes in proptest::collection::vec(prop_oneof![0u8..6, any::<u8>()], 0..120)) {
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        let view = Ndisc::new_unchecked(&bytes);
        let count = view.options().count();
        prop_assert!(count <= bytes.len() / 8);
        let _ = (view.target(), view.is_router(), view.router_lifetime());
        if let Ok(view) = Ndisc::new_checked(&bytes) {
            // Checked options are all there to the last byte.
            prop_assert!(view.options().last().is_some() || bytes.len() <= 24);
        }
    }
}

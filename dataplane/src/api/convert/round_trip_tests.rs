//! Whatever is programmed comes back the same when it is dumped and put again.

use std::{net::IpAddr, sync::Arc};

use proptest::{collection::vec, option, prelude::*};
use vrouter_proto::dataplane as pb;

use super::{object, show};
use crate::{
    program::{
        Attached, Dumped, NextHopStatus, PortStatus,
        object::{
            ActionSpec, Attachment, BridgeSpec, Key, LabelSpec, LabelTo, MacSpec, Mode, NeighborSpec, NextHopSpec,
            Object, PortSpec, RouteKey, RouteSpec, VniSpec, VniTo, VrfSpec,
        },
    },
    tables::{gateway::not_a_host, next_hop::Encapsulation, port::Gateway},
    wire::{IpPrefix, Label, Mac, Vni},
};

fn name() -> impl Strategy<Value = Arc<str>> {
    "[a-zA-Z0-9 äß._/-]{0,20}".prop_map(Into::into)
}

fn station() -> impl Strategy<Value = Mac> {
    any::<[u8; 6]>().prop_map(|mut mac| {
        mac[0] &= 0xfe;
        mac[5] |= 1;
        Mac(mac)
    })
}

fn address() -> impl Strategy<Value = IpAddr> {
    any::<IpAddr>().prop_filter("a host's", |address| not_a_host(*address).is_none())
}

fn gateways() -> impl Strategy<Value = Arc<[Gateway]>> {
    vec((address(), 1..=128_u8), 0..4).prop_map(|addresses| {
        let mut gateways: Vec<Gateway> = Vec::new();
        for (address, prefix_len) in addresses {
            let prefix_len = if address.is_ipv4() {
                prefix_len.min(32)
            } else {
                prefix_len
            };
            // Only those that can be written down: no network's own or broadcast address.
            let written = Gateway { address, prefix_len }.to_string().parse();
            gateways.extend(
                written
                    .ok()
                    .filter(|g: &Gateway| gateways.iter().all(|o| o.address != g.address)),
            );
        }
        gateways.into()
    })
}

fn port() -> impl Strategy<Value = PortSpec> {
    let modes = vec![
        Mode::Auto,
        Mode::NativeZeroCopy,
        Mode::NativeCopy,
        Mode::Generic,
        Mode::Memory,
    ];
    let attachment = prop_oneof![
        (1..=u32::MAX).prop_map(Attachment::Vrf),
        (1..=u32::MAX).prop_map(Attachment::Bridge)
    ];
    let mtu = prop_oneof![Just(0), 576..=9216_u16];
    (
        (1..=u32::MAX, name(), "[a-z][a-z0-9]{0,14}", prop::sample::select(modes)),
        (attachment, station(), gateways(), mtu, any::<u32>()),
    )
        .prop_map(
            |((id, name, interface, mode), (attachment, mac, gateways, mtu, max_flows))| PortSpec {
                id,
                name,
                interface: interface.into(),
                mode,
                attachment,
                mac,
                gateways,
                mtu,
                max_flows,
            },
        )
}

fn bridge() -> impl Strategy<Value = BridgeSpec> {
    (
        (1..=u32::MAX, name(), option::of(1..=u32::MAX), station()),
        (gateways(), any::<bool>(), 0..=1_000_000_u32, option::of(1..=u64::MAX)),
    )
        .prop_map(
            |((id, name, vrf, gateway_mac), (gateways, learn, aging_seconds, flood))| BridgeSpec {
                id,
                name,
                vrf,
                gateway_mac,
                gateways,
                learn,
                aging_seconds,
                flood,
            },
        )
}

fn action() -> impl Strategy<Value = ActionSpec> {
    let vxlan = (1..=Vni::MAX, station()).prop_map(|(vni, inner_mac)| Encapsulation::Vxlan { vni, inner_mac });
    let label = prop_oneof![Just(0), Just(2), 16..=Label::MAX];
    let mpls = label.prop_map(|label| Encapsulation::MplsUdp { label });
    let ids = prop::collection::btree_map(1..=u64::MAX, 1..=u8::MAX, 1..20);
    prop_oneof![
        Just(ActionSpec::Drop),
        Just(ActionSpec::Local),
        (1..=u32::MAX, option::of(station())).prop_map(|(port, mac)| ActionSpec::Port { port, mac }),
        (address(), prop_oneof![vxlan, mpls])
            .prop_map(|(remote, encapsulation)| ActionSpec::Tunnel { remote, encapsulation }),
        ids.clone().prop_map(|ids| ActionSpec::Group(ids.into_iter().collect())),
        ids.prop_map(|ids| ActionSpec::Flood(ids.into_keys().collect())),
    ]
}

fn prefix() -> impl Strategy<Value = IpPrefix> {
    (any::<IpAddr>(), any::<u8>()).prop_map(|(address, length)| {
        let most = if address.is_ipv4() { 32 } else { 128 };
        IpPrefix::containing(address, length.min(most)).unwrap()
    })
}

fn route() -> impl Strategy<Value = RouteSpec> {
    (1..=u32::MAX, prefix(), 1..=u64::MAX, 0..16_u8, 0..16_u8).prop_map(
        |(vrf, prefix, next_hop, source, preference)| RouteSpec {
            vrf,
            prefix,
            next_hop,
            source,
            preference,
        },
    )
}

/// An object with all that a dump says of it.
fn any_dumped() -> impl Strategy<Value = (Object, Dumped)> {
    let status = |mode| PortStatus {
        attached: Attached {
            mode,
            why: "because".into(),
        },
        mtu: 1500,
        mac: Mac([2, 0, 0, 0, 0, 9]),
        workers: [0, 1].into(),
    };
    let unresolved = || NextHopStatus {
        resolved: false,
        detail: "no answer".into(),
        mtu: 0,
    };
    prop_oneof![
        port().prop_map(move |spec| {
            let (status, uplink, mtu) = (Some(status(spec.mode)), false, 1400);
            (
                Object::Port(spec.clone()),
                Dumped::Port {
                    spec,
                    uplink,
                    mtu,
                    status,
                },
            )
        }),
        (1..=u32::MAX, name()).prop_map(|(id, name)| {
            let spec = VrfSpec { id, name };
            (Object::Vrf(spec.clone()), Dumped::Vrf(spec))
        }),
        bridge().prop_map(|spec| (Object::Bridge(spec.clone()), Dumped::Bridge(spec))),
        (1..=u64::MAX, name(), action()).prop_map(move |(id, name, action)| {
            let (spec, status) = (NextHopSpec { id, name, action }, unresolved());
            (Object::NextHop(spec.clone()), Dumped::NextHop { spec, status })
        }),
        (route(), any::<bool>()).prop_map(|(spec, active)| (Object::Route(spec), Dumped::Route { spec, active })),
        (1..=u32::MAX, station(), 1..=u64::MAX).prop_map(|(bridge, mac, next_hop)| {
            let spec = MacSpec { bridge, mac, next_hop };
            (Object::Mac(spec), Dumped::Mac(spec))
        }),
        (any::<u32>(), address(), station()).prop_map(|(bridge, address, mac)| {
            let spec = NeighborSpec { bridge, address, mac };
            (Object::Neighbor(spec), Dumped::Neighbor(spec))
        }),
        (1..=Vni::MAX, any::<bool>(), 1..=u32::MAX, name()).prop_map(|(vni, bridged, id, name)| {
            let target = if bridged { VniTo::Bridge(id) } else { VniTo::Vrf(id) };
            let vni = Vni::new(vni).unwrap();
            let spec = VniSpec { vni, target, name };
            (Object::Vni(spec.clone()), Dumped::Vni(spec))
        }),
        (16..=Label::MAX, any::<bool>(), 1..=u32::MAX, name()).prop_map(|(label, routed, id, name)| {
            let target = if routed {
                LabelTo::Vrf(id)
            } else {
                LabelTo::NextHop(u64::from(id) << 20)
            };
            let label = Label::new(label).unwrap();
            let spec = LabelSpec { label, target, name };
            (Object::Label(spec.clone()), Dumped::Label(spec))
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_dumped_can_be_put_again((object, dumped) in any_dumped()) {
        let shown = show::dumped(&dumped, 100);
        prop_assert_eq!(object::object(&shown), Ok(object));
    }

    #[test]
    fn keys_are_read(route in route(), mac in station(), address in address(), id in 1..=u32::MAX) {
        let key = |key| object::key(&pb::Key { key: Some(key) }).unwrap();
        let of_route = pb::RouteKey { vrf: route.vrf, prefix: route.prefix.to_string(), source: route.source.into() };
        let RouteSpec { vrf, prefix, source, .. } = route;
        prop_assert_eq!(key(pb::key::Key::Route(of_route)), Key::Route(RouteKey { vrf, prefix, source }));
        let of_mac = pb::MacKey { bridge: id, mac: mac.to_string() };
        prop_assert_eq!(key(pb::key::Key::Mac(of_mac)), Key::Mac(id, mac));
        let of_neighbor = pb::NeighborKey { bridge: id, address: address.to_string() };
        prop_assert_eq!(key(pb::key::Key::Neighbor(of_neighbor)), Key::Neighbor(id, address));
        prop_assert_eq!(key(pb::key::Key::Port(id)), Key::Port(id));
        prop_assert_eq!(key(pb::key::Key::Vrf(id)), Key::Vrf(id));
        prop_assert_eq!(key(pb::key::Key::Bridge(id)), Key::Bridge(id));
        prop_assert_eq!(key(pb::key::Key::NextHop(u64::from(id) << 31)), Key::NextHop(u64::from(id) << 31));
    }
}

#[test]
fn what_only_dumps_tell_is_told() {
    let learned = Dumped::LearnedMac {
        bridge: 3,
        mac: Mac([2, 0, 0, 0, 0, 7]),
        port: 0,
        next_hop: 12,
        vtep: Some("2001:db8::9".parse().unwrap()),
        last_seen_s: 40,
    };
    let Some(pb::object::Object::Mac(mac)) = show::dumped(&learned, 100).object else {
        panic!()
    };
    assert!(mac.learned);
    assert_eq!(
        (mac.age_seconds, mac.next_hop, mac.vtep.as_str()),
        (60, 12, "2001:db8::9")
    );
    // It cannot be put back as if it had been programmed.
    assert_eq!(super::bridging::read_mac(&mac).unwrap_err().field, "mac.learned");

    let uplink = Dumped::Port {
        spec: PortSpec {
            id: u32::MAX,
            name: "wire0".into(),
            interface: "wire0".into(),
            mode: Mode::Auto,
            attachment: Attachment::Vrf(0),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            gateways: Arc::from([]),
            mtu: 1500,
            max_flows: 0,
        },
        uplink: true,
        mtu: 1500,
        status: None,
    };
    let Some(pb::object::Object::Port(port)) = show::dumped(&uplink, 0).object else {
        panic!()
    };
    assert!(port.uplink);
    let state = port.state.unwrap();
    assert_eq!(
        (state.up, state.attachment.as_str(), state.mtu),
        (false, "not attached", 1500)
    );
}

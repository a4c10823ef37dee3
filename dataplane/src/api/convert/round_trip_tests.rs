//! Whatever is programmed comes back the same when it is dumped and put again.

use std::sync::Arc;

use proptest::prelude::*;
use vrouter_proto::dataplane as pb;

use super::{
    arbitrary::{
        action, address, bridge, health_check, identity, mirror, name, policy, port, route, service, source_nat,
        station,
    },
    object, show,
};
use crate::{
    program::{
        Attached, Dumped, HealthStatus, NextHopStatus, PortStatus,
        object::{
            Attachment, Key, LabelSpec, LabelTo, MacSpec, Mode, NeighborSpec, NextHopSpec, Object, PortSpec, RouteKey,
            RouteSpec, VniSpec, VniTo, VrfSpec,
        },
    },
    wire::{Label, Mac, Vni},
};

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
        (1..=u32::MAX, name(), any::<bool>()).prop_map(|(id, name, underlay)| {
            let spec = VrfSpec { id, name, underlay };
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
        identity().prop_map(|spec| (Object::Identity(spec.clone()), Dumped::Identity(spec))),
        policy().prop_map(|spec| (Object::Policy(spec.clone()), Dumped::Policy(spec))),
        source_nat().prop_map(|spec| (Object::SourceNat(spec.clone()), Dumped::SourceNat(spec))),
        service().prop_map(|spec| (Object::Service(spec.clone()), Dumped::Service(spec))),
        mirror().prop_map(|spec| (Object::Mirror(spec.clone()), Dumped::Mirror(spec))),
        health_check().prop_map(|spec| {
            let status = HealthStatus::default();
            (Object::HealthCheck(spec.clone()), Dumped::HealthCheck { spec, status })
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
        for (shown, read) in [
            (pb::key::Key::Policy(id), Key::Policy(id)),
            (pb::key::Key::SourceNat(id), Key::SourceNat(id)),
            (pb::key::Key::Service(id), Key::Service(id)),
            (pb::key::Key::Mirror(id), Key::Mirror(id)),
            (pb::key::Key::HealthCheck(id), Key::HealthCheck(id)),
        ] {
            prop_assert_eq!(key(shown), read);
        }
        let of_identity = pb::IdentityKey { vrf: route.vrf, prefix: route.prefix.to_string() };
        prop_assert_eq!(key(pb::key::Key::Identity(of_identity)), Key::Identity(route.vrf, route.prefix));
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
            policy: None,
            guard: None,
            qos: None,
            mirrors: [].into(),
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

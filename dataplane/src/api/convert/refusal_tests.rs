//! Bad fields of every kind of object: each is refused by its path, with what would be right.

use vrouter_proto::dataplane::{self as pb, key::Key as PbKey, next_hop as pbn, object::Object as PbObject};

use super::object::{MAX_OPERATIONS, key, object, operations};
use crate::program::problem::{Code, Refusal};

pub(super) fn put(object: PbObject) -> pb::Object {
    pb::Object { object: Some(object) }
}

fn refused(wrong: PbObject) -> Refusal {
    let refusal = object(&put(wrong)).unwrap_err();
    assert_eq!(refusal.code, Code::Invalid);
    refusal
}

#[track_caller]
pub(super) fn check(wrong: PbObject, field: &str, words: &str) {
    let refusal = refused(wrong);
    assert_eq!(refusal.field, field, "{}", refusal.message);
    assert!(
        refusal.message.contains(words),
        "{field}: {words:?} is not in: {}",
        refusal.message
    );
}

pub(super) fn port() -> pb::Port {
    pb::Port {
        id: 1,
        name: "web".into(),
        interface: "veth1".into(),
        vrf: 7,
        mac: "02:00:00:00:00:01".into(),
        gateways: vec!["10.1.0.1/24".into(), "fd00::1/64".into()],
        ..pb::Port::default()
    }
}

#[test]
fn ports() {
    type Change = fn(&mut pb::Port);
    let cases: [(Change, &str, &str); 28] = [
        (|p| p.id = 0, "port.id", "1 or more"),
        (|p| p.name = "x".repeat(64), "port.name", "at most 63"),
        (|p| p.name = "a\nb".into(), "port.name", "control character"),
        (|p| p.name = "a\u{85}b".into(), "port.name", "control character"),
        (|p| p.interface = String::new(), "port.interface", "like eth0"),
        (
            |p| p.interface = "sixteen-bytes-xx".into(),
            "port.interface",
            "at most 15",
        ),
        (
            |p| p.interface = "a/b".into(),
            "port.interface",
            "no name of an interface",
        ),
        (|p| p.mode = 6, "port.mode", "NATIVE_COPY (2)"),
        (|p| p.mode = -1, "port.mode", "NATIVE_COPY (2)"),
        (|p| p.vrf = 0, "port.vrf", "missing; give the VRF"),
        (|p| p.bridge = 2, "port.vrf", "leave port.vrf 0"),
        (|p| p.mac = String::new(), "port.mac", "02:00:00:00:00:01"),
        (
            |p| p.mac = "02:00:00:00:00".into(),
            "port.mac",
            "\"02:00:00:00:00\" is not an Ethernet address",
        ),
        (|p| p.mac = "ff:ff:ff:ff:ff:ff".into(), "port.mac", "one station"),
        (|p| p.mac = "01:00:5e:00:00:01".into(), "port.mac", "one station"),
        (|p| p.mac = "00:00:00:00:00:00".into(), "port.mac", "one station"),
        (|p| p.mac = "x".repeat(1 << 20), "port.mac", "Ethernet address"),
        (
            |p| p.gateways = vec!["10.1.0.1".into()],
            "port.gateways",
            "write one like 10.1.0.1/24",
        ),
        (
            |p| p.gateways = vec!["10.1.0.0/24".into()],
            "port.gateways",
            "network's own",
        ),
        (
            |p| p.gateways = vec!["10.1.0.1/33".into()],
            "port.gateways",
            "from 1 to 32",
        ),
        (|p| p.gateways = vec!["gateway".into()], "port.gateways", "10.1.0.1/24"),
        (
            |p| p.gateways.push("10.1.0.1/16".into()),
            "port.gateways",
            "10.1.0.1 is given twice",
        ),
        (|p| p.gateways = vec![String::new(); 65], "port.gateways", "at most 64"),
        (|p| p.mtu = 575, "port.mtu", "from 576 to 65535"),
        (|p| p.mtu = 65_536, "port.mtu", "from 576 to 65535"),
        (|p| p.mtu = 65_536 + 1500, "port.mtu", "from 576 to 65535"),
        (|p| p.uplink = true, "port.uplink", "configured on vrouterd"),
        (
            |p| {
                p.mode = 4;
                p.interface = "x".repeat(64);
            },
            "port.interface",
            "at most 63",
        ),
    ];
    object(&put(PbObject::Port(port()))).unwrap();
    for (change, field, words) in cases {
        let mut wrong = port();
        change(&mut wrong);
        check(PbObject::Port(wrong), field, words);
    }
    let long = refused(PbObject::Port(pb::Port {
        mac: "x".repeat(1 << 20),
        ..port()
    }));
    assert!(
        long.message.len() < 300,
        "a text of any length makes a message of {}",
        long.message.len()
    );
}

#[test]
fn vrfs_and_bridges() {
    check(
        PbObject::Vrf(pb::Vrf {
            id: 0,
            name: String::new(),
            underlay: false,
        }),
        "vrf.id",
        "1 or more",
    );
    check(
        PbObject::Vrf(pb::Vrf {
            id: 1,
            name: "\0".into(),
            underlay: false,
        }),
        "vrf.name",
        "control",
    );
    let bridge = |change: fn(&mut pb::Bridge)| {
        let mut bridge = pb::Bridge {
            id: 1,
            vrf: 7,
            ..pb::Bridge::default()
        };
        change(&mut bridge);
        PbObject::Bridge(bridge)
    };
    object(&put(bridge(|_| ()))).unwrap();
    check(bridge(|b| b.id = 0), "bridge.id", "1 or more");
    check(bridge(|b| b.name = "x".repeat(64)), "bridge.name", "63");
    check(
        bridge(|b| b.gateway_mac = "x".into()),
        "bridge.gateway_mac",
        "\"x\" is not an Ethernet address",
    );
    check(
        bridge(|b| b.gateway_mac = "33:33:00:00:00:01".into()),
        "bridge.gateway_mac",
        "one station",
    );
    check(
        bridge(|b| b.gateways = vec!["::1/64".into()]),
        "bridge.gateways",
        "loopback",
    );
    check(
        bridge(|b| b.aging_seconds = 1_000_001),
        "bridge.aging_seconds",
        "from 1 to 1000000",
    );
}

#[test]
fn an_empty_gateway_mac_means_the_well_known_one() {
    let bridge = pb::Bridge {
        id: 1,
        ..pb::Bridge::default()
    };
    let read = super::bridging::read_bridge(&bridge).unwrap();
    assert_eq!(read.gateway_mac.to_string(), "00:00:5e:00:01:00");
    assert_eq!((read.vrf, read.flood), (None, None));
}

pub(super) fn next_hop(action: pbn::Action) -> PbObject {
    PbObject::NextHop(pb::NextHop {
        id: 1,
        action: Some(action),
        ..pb::NextHop::default()
    })
}

#[test]
fn next_hops() {
    let drop = pbn::Action::Drop(pbn::Drop {});
    check(
        PbObject::NextHop(pb::NextHop {
            id: 1,
            ..pb::NextHop::default()
        }),
        "next_hop.action",
        "vrf or underlay",
    );
    let nameless = pb::NextHop {
        id: 0,
        action: Some(drop),
        ..pb::NextHop::default()
    };
    check(PbObject::NextHop(nameless), "next_hop.id", "1 or more");
    let to = |port, mac: &str| next_hop(pbn::Action::Port(pbn::ToPort { port, mac: mac.into() }));
    check(to(0, ""), "next_hop.port.port", "1 or more");
    check(to(1, "ff:ff:ff:ff:ff:ff"), "next_hop.port.mac", "one station");
    let group = |members: &[(u64, u32)]| {
        let members = members.iter().map(|(next_hop, weight)| pbn::Member {
            next_hop: *next_hop,
            weight: *weight,
        });
        next_hop(pbn::Action::Group(pbn::Group {
            members: members.collect(),
        }))
    };
    check(group(&[]), "next_hop.group.members", "from 1 to 256");
    check(group(&[(2, 1); 257]), "next_hop.group.members", "from 1 to 256");
    check(group(&[(0, 1)]), "next_hop.group.members.next_hop", "1 or more");
    check(
        group(&[(2, 1), (2, 1)]),
        "next_hop.group.members.next_hop",
        "2 is given twice",
    );
    check(group(&[(2, 0)]), "next_hop.group.members.weight", "from 1 to 255");
    check(group(&[(2, 256)]), "next_hop.group.members.weight", "from 1 to 255");
    let flood = |next_hops: Vec<u64>| next_hop(pbn::Action::Flood(pbn::Flood { next_hops }));
    object(&put(flood(Vec::new()))).unwrap();
    check(flood(vec![2, 0]), "next_hop.flood.next_hops", "1 or more");
    check(flood(vec![2, 2]), "next_hop.flood.next_hops", "2 is given twice");
    check(flood(vec![2; 65_537]), "next_hop.flood.next_hops", "at most 65536");
}

#[test]
fn tunnels() {
    let vxlan = |change: fn(&mut pbn::Tunnel)| {
        let mut tunnel = pbn::Tunnel {
            encapsulation: 1,
            remote: "192.0.2.2".into(),
            vni: 5,
            ..pbn::Tunnel::default()
        };
        change(&mut tunnel);
        next_hop(pbn::Action::Tunnel(tunnel))
    };
    object(&put(vxlan(|_| ()))).unwrap();
    check(
        vxlan(|t| t.encapsulation = 0),
        "next_hop.tunnel.encapsulation",
        "VXLAN (1), MPLS_UDP (2)",
    );
    check(
        vxlan(|t| t.encapsulation = 9),
        "next_hop.tunnel.encapsulation",
        "9 is no encapsulation",
    );
    check(
        vxlan(|t| t.remote = String::new()),
        "next_hop.tunnel.remote",
        "10.1.0.2 or 2001:db8::2",
    );
    check(
        vxlan(|t| t.remote = "192.0.2.2/32".into()),
        "next_hop.tunnel.remote",
        "not an IP address",
    );
    check(
        vxlan(|t| t.remote = "224.0.0.1".into()),
        "next_hop.tunnel.remote",
        "multicast",
    );
    check(
        vxlan(|t| t.remote = "::".into()),
        "next_hop.tunnel.remote",
        "unspecified",
    );
    check(vxlan(|t| t.vni = 0), "next_hop.tunnel.vni", "from 1 to 16777215");
    check(vxlan(|t| t.vni = 1 << 24), "next_hop.tunnel.vni", "from 1 to 16777215");
    check(vxlan(|t| t.label = 16), "next_hop.tunnel.label", "leave this unset");
    check(
        vxlan(|t| t.inner_mac = "x".into()),
        "next_hop.tunnel.inner_mac",
        "Ethernet address",
    );
    let mpls = |change: fn(&mut pbn::Tunnel)| {
        let mut tunnel = pbn::Tunnel {
            encapsulation: 2,
            remote: "2001:db8::2".into(),
            label: 16,
            ..pbn::Tunnel::default()
        };
        change(&mut tunnel);
        next_hop(pbn::Action::Tunnel(tunnel))
    };
    type Change = fn(&mut pbn::Tunnel);
    let good: [Change; 4] = [
        |t| t.label = 0,
        |t| t.label = 2,
        |t| t.label = 16,
        |t| t.label = (1 << 20) - 1,
    ];
    for label in good {
        object(&put(mpls(label))).unwrap();
    }
    check(
        mpls(|t| t.label = 1),
        "next_hop.tunnel.label",
        "0 or 2 for explicit null",
    );
    check(mpls(|t| t.label = 15), "next_hop.tunnel.label", "reserved");
    check(mpls(|t| t.label = 1 << 20), "next_hop.tunnel.label", "1048575");
    check(mpls(|t| t.vni = 5), "next_hop.tunnel.vni", "leave this unset");
    check(
        mpls(|t| t.inner_mac = "02:00:00:00:00:01".into()),
        "next_hop.tunnel.inner_mac",
        "leave this unset",
    );
}

#[test]
fn routes() {
    let route = |change: fn(&mut pb::Route)| {
        let mut route = pb::Route {
            vrf: 7,
            prefix: "10.1.2.0/24".into(),
            next_hop: 1,
            ..pb::Route::default()
        };
        change(&mut route);
        PbObject::Route(route)
    };
    object(&put(route(|_| ()))).unwrap();
    check(route(|r| r.vrf = 0), "route.vrf", "1 or more");
    check(route(|r| r.next_hop = 0), "route.next_hop", "1 or more");
    check(route(|r| r.prefix = String::new()), "route.prefix", "10.1.0.0/16");
    check(
        route(|r| r.prefix = "10.1.2.3/24".into()),
        "route.prefix",
        "the prefix is 10.1.2.0/24",
    );
    check(route(|r| r.prefix = "10.1.2.0".into()), "route.prefix", "10.1.2.0/32");
    check(route(|r| r.prefix = "10.1.2.0/33".into()), "route.prefix", "32");
    check(route(|r| r.prefix = "fd00::1/64".into()), "route.prefix", "fd00::/64");
    check(route(|r| r.prefix = "fd00::/129".into()), "route.prefix", "128");
    check(route(|r| r.source = 16), "route.source", "from 0 to 15");
    check(route(|r| r.preference = 256), "route.preference", "from 0 to 15");
}

#[test]
fn macs_and_neighbors() {
    let mac = |change: fn(&mut pb::Mac)| {
        let mut mac = pb::Mac {
            bridge: 1,
            mac: "02:00:00:00:00:01".into(),
            next_hop: 2,
            ..pb::Mac::default()
        };
        change(&mut mac);
        PbObject::Mac(mac)
    };
    check(mac(|m| m.bridge = 0), "mac.bridge", "1 or more");
    check(mac(|m| m.mac = "01:00:00:00:00:00".into()), "mac.mac", "one station");
    check(mac(|m| m.next_hop = 0), "mac.next_hop", "1 or more");
    check(mac(|m| m.learned = true), "mac.learned", "leave this unset");
    let neighbor = |address: &str, mac: &str| {
        PbObject::Neighbor(pb::Neighbor {
            bridge: 1,
            address: address.into(),
            mac: mac.into(),
            ..pb::Neighbor::default()
        })
    };
    check(
        neighbor("10.1.0.300", "02:00:00:00:00:01"),
        "neighbor.address",
        "\"10.1.0.300\" is not an IP address",
    );
    check(
        neighbor("255.255.255.255", "02:00:00:00:00:01"),
        "neighbor.address",
        "broadcast",
    );
    check(
        neighbor("10.1.0.3", ""),
        "neighbor.mac",
        "\"\" is not an Ethernet address",
    );
}

#[test]
fn bindings() {
    let vni = |vni, target| {
        PbObject::Vni(pb::Vni {
            vni,
            target,
            name: String::new(),
        })
    };
    check(vni(0, Some(pb::vni::Target::Vrf(1))), "vni.vni", "from 1 to 16777215");
    check(
        vni(1 << 24, Some(pb::vni::Target::Vrf(1))),
        "vni.vni",
        "from 1 to 16777215",
    );
    check(vni(5, None), "vni.target", "a bridge or a VRF");
    check(vni(5, Some(pb::vni::Target::Vrf(0))), "vni.vrf", "1 or more");
    check(vni(5, Some(pb::vni::Target::Bridge(0))), "vni.bridge", "1 or more");
    let label = |label, target| {
        PbObject::Label(pb::Label {
            label,
            target,
            name: String::new(),
        })
    };
    check(
        label(15, Some(pb::label::Target::Vrf(1))),
        "label.label",
        "from 16 to 1048575",
    );
    check(
        label(1 << 20, Some(pb::label::Target::Vrf(1))),
        "label.label",
        "from 16 to 1048575",
    );
    check(label(16, None), "label.target", "a VRF or a next hop");
    check(label(16, Some(pb::label::Target::Vrf(0))), "label.vrf", "1 or more");
    check(
        label(16, Some(pb::label::Target::NextHop(0))),
        "label.next_hop",
        "1 or more",
    );
}

#[test]
fn keys() {
    let refused = |wrong| key(&pb::Key { key: wrong }).unwrap_err();
    assert_eq!(refused(None).field, "delete.key");
    for (wrong, field) in [
        (PbKey::Port(0), "port"),
        (PbKey::Vrf(0), "vrf"),
        (PbKey::Bridge(0), "bridge"),
        (PbKey::NextHop(0), "next_hop"),
        (
            PbKey::Route(pb::RouteKey {
                vrf: 1,
                prefix: "10.0.0.1/8".into(),
                source: 0,
            }),
            "route.prefix",
        ),
        (
            PbKey::Route(pb::RouteKey {
                vrf: 1,
                prefix: "10.0.0.0/8".into(),
                source: 99,
            }),
            "route.source",
        ),
        (
            PbKey::Mac(pb::MacKey {
                bridge: 1,
                mac: String::new(),
            }),
            "mac.mac",
        ),
        (
            PbKey::Neighbor(pb::NeighborKey {
                bridge: 1,
                address: "x".into(),
            }),
            "neighbor.address",
        ),
        (PbKey::Vni(0), "vni.vni"),
        (PbKey::Label(3), "label.label"),
    ] {
        assert_eq!(refused(Some(wrong)).field, field);
    }
}

#[test]
fn batches() {
    let vrf = |id| pb::Operation {
        operation: Some(pb::operation::Operation::Put(put(PbObject::Vrf(pb::Vrf {
            id,
            name: String::new(),
            underlay: false,
        })))),
    };
    assert_eq!(operations(&[vrf(1), vrf(2)]).unwrap().len(), 2);
    let empty = pb::Operation { operation: None };
    let objectless = pb::Operation {
        operation: Some(pb::operation::Operation::Put(pb::Object { object: None })),
    };
    let problems = operations(&[vrf(1), empty, vrf(0), objectless]).unwrap_err();
    let told: Vec<_> = problems.iter().map(|p| (p.operation, p.field)).collect();
    assert_eq!(told, [(1, "operation"), (2, "vrf.id"), (3, "put.object")]);
    // Nobody reads more than so many.
    assert_eq!(operations(&vec![vrf(0); 5000]).unwrap_err().len(), 100);
    assert_eq!(operations(&vec![vrf(1); MAX_OPERATIONS]).unwrap().len(), MAX_OPERATIONS);
    let problems = operations(&vec![vrf(1); MAX_OPERATIONS + 1]).unwrap_err();
    assert!(problems[0].message.contains("at most 100000"), "{}", problems[0]);
}

#[test]
fn filters_of_flows_and_dumps() {
    let flows = |change: fn(&mut pb::ListFlowsRequest)| {
        let mut request = pb::ListFlowsRequest::default();
        change(&mut request);
        super::filter(&request)
    };
    assert_eq!(flows(|_| ()).unwrap().1, 10_000);
    assert_eq!(
        flows(|r| r.address = "10.1.0.2".into())
            .unwrap()
            .0
            .address
            .unwrap()
            .to_string(),
        "10.1.0.2/32"
    );
    assert_eq!(
        flows(|r| r.address = "fd00::/8".into())
            .unwrap()
            .0
            .address
            .unwrap()
            .to_string(),
        "fd00::/8"
    );
    assert_eq!(flows(|r| r.address = "10.1.0.2/8".into()).unwrap_err().field, "address");
    assert_eq!(flows(|r| r.address = "x".into()).unwrap_err().field, "address");
    assert_eq!(flows(|r| r.l4_port = 65_536).unwrap_err().field, "l4_port");
    assert_eq!(flows(|r| r.protocol = 256).unwrap_err().field, "protocol");
    let dump = |kinds: &[i32]| {
        super::selection(&pb::DumpRequest {
            kinds: kinds.to_vec(),
            vrf: 0,
        })
    };
    assert!(dump(&[]).is_ok() && dump(&[1, 15]).is_ok());
    for wrong in [0, 16, -1] {
        assert!(dump(&[wrong]).unwrap_err().message.contains("HEALTH_CHECK (15)"));
    }
}

//! One spelling for what can be said in several ways: what a dataplane fills in, or writes otherwise, is no difference.

use std::net::IpAddr;

use vrouter_proto::dataplane::{self as pb, next_hop::Action, object::Object};

use crate::model::{Cidr, Mac, Prefix};

/// Spells an object as the API's comments define it: defaults are explicit, addresses and prefixes in their canonical form, sets in order, and nothing is said that
/// only dumps say.
pub(super) fn spell(object: &mut pb::Object) {
    match &mut object.object {
        Some(Object::Port(port)) => self::port(port),
        Some(Object::NextHop(next_hop)) => {
            next_hop.state = None;
            if let Some(Action::Tunnel(tunnel)) = &mut next_hop.action {
                address(&mut tunnel.remote);
                if tunnel.encapsulation() == pb::next_hop::Encapsulation::Vxlan {
                    gateway_mac(&mut tunnel.inner_mac);
                }
            }
            if let Some(Action::Underlay(underlay)) = &mut next_hop.action {
                address(&mut underlay.gateway);
            }
        }
        Some(Object::Bridge(bridge)) => {
            gateway_mac(&mut bridge.gateway_mac);
            default(&mut bridge.aging_seconds, 300);
            bridge.gateways.iter_mut().for_each(with_length);
        }
        Some(Object::Route(route)) => {
            prefix(&mut route.prefix);
            route.active = false;
        }
        Some(Object::Mac(mac)) => {
            mac.mac.make_ascii_lowercase();
            mac.age_seconds = 0;
            mac.port = 0;
            mac.vtep.clear();
        }
        Some(Object::Neighbor(neighbor)) => {
            address(&mut neighbor.address);
            neighbor.mac.make_ascii_lowercase();
            neighbor.state.clear();
            neighbor.interface.clear();
        }
        Some(Object::Identity(identity)) => {
            prefix(&mut identity.prefix);
            set(&mut identity.groups);
        }
        Some(Object::Policy(policy)) => self::policy(policy),
        Some(Object::SourceNat(source_nat)) => self::source_nat(source_nat),
        Some(Object::Service(service)) => {
            address(&mut service.address);
            for backend in &mut service.backends {
                address(&mut backend.address);
                default(&mut backend.vrf, service.vrf);
                default(&mut backend.weight, 1);
            }
        }
        Some(Object::Mirror(mirror)) => {
            if !mirror.from_workload && !mirror.to_workload {
                (mirror.from_workload, mirror.to_workload) = (true, true);
            }
            mirror.prefixes.iter_mut().for_each(prefix);
        }
        Some(Object::HealthCheck(check)) => {
            address(&mut check.address);
            check.state = None;
            default(&mut check.interval_ms, 5000);
            default(&mut check.timeout_ms, 1000);
            default(&mut check.rise, 1);
            default(&mut check.fall, 3);
            if check.kind() == pb::health_check::Kind::Http && check.target.is_empty() {
                "/".clone_into(&mut check.target);
            }
        }
        Some(Object::Vrf(_) | Object::Vni(_) | Object::Label(_)) | None => {}
    }
}

fn port(port: &mut pb::Port) {
    port.state = None;
    // We always leave the choice to the dataplane; should it tell what it chose here, that is no difference, and certainly no
    // reason to attach anew.
    port.mode = pb::port::Mode::Auto.into();
    port.mac.make_ascii_lowercase();
    port.gateways.iter_mut().for_each(with_length);
    set(&mut port.mirrors);
    if let Some(guard) = &mut port.guard {
        guard.addresses.iter_mut().for_each(prefix);
        guard.addresses.sort_unstable();
        guard.addresses.dedup();
        guard.macs.iter_mut().for_each(|mac| mac.make_ascii_lowercase());
        guard.macs.sort_unstable();
        guard.macs.dedup();
    }
    if let Some(qos) = &mut port.qos {
        // A limit of nothing is none.
        let limits = |rate: &pb::Rate| rate.bits_per_second != 0 || rate.packets_per_second != 0;
        qos.from_workload = qos.from_workload.filter(limits);
        qos.to_workload = qos.to_workload.filter(limits);
    }
    port.qos = port.qos.filter(|qos| *qos != pb::Qos::default());
}

fn policy(policy: &mut pb::Policy) {
    let closed = |verdict: &mut i32| default(verdict, pb::Verdict::Deny.into());
    closed(&mut policy.egress_default);
    closed(&mut policy.ingress_default);
    for rule in policy.egress.iter_mut().chain(&mut policy.ingress) {
        set(&mut rule.groups);
    }
}

fn source_nat(source_nat: &mut pb::SourceNat) {
    prefix(&mut source_nat.prefix);
    source_nat.addresses.iter_mut().for_each(address);
    let host = source_nat.prefix.parse::<Prefix>().is_ok_and(|p| p.as_host().is_some());
    if host && source_nat.addresses.len() == 1 {
        // Ports are kept: no blocks are given out.
        (source_nat.first_port, source_nat.last_port) = (0, 0);
        (source_nat.block_size, source_nat.blocks_per_source) = (0, 0);
        return;
    }
    if source_nat.first_port == 0 && source_nat.last_port == 0 {
        (source_nat.first_port, source_nat.last_port) = (1024, 65535);
    }
    default(&mut source_nat.block_size, 64);
    default(&mut source_nat.blocks_per_source, 16);
}

fn default<T: Default + PartialEq>(value: &mut T, meaning: T) {
    if *value == T::default() {
        *value = meaning;
    }
}

fn set(values: &mut Vec<u32>) {
    values.sort_unstable();
    values.dedup();
}

fn gateway_mac(mac: &mut String) {
    mac.make_ascii_lowercase();
    if mac.is_empty() {
        *mac = Mac::GATEWAY.to_string();
    }
}

fn address(text: &mut String) {
    if let Ok(address) = text.parse::<IpAddr>() {
        *text = address.to_string();
    }
}

/// A prefix, or an address that stands for one of full length.
fn prefix(text: &mut String) {
    if let Ok(prefix) = text.parse::<Prefix>() {
        *text = prefix.to_string();
    }
}

/// An address with the length of its subnet.
fn with_length(text: &mut String) {
    if let Some((address, length)) = text.split_once('/')
        && let Ok(address) = address.parse::<IpAddr>()
        && length
            .parse::<u8>()
            .is_ok_and(|l| l <= Cidr::covering(address, 128).family().bits())
    {
        *text = format!("{address}/{length}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelt(object: Object) -> Object {
        let mut object = pb::Object { object: Some(object) };
        spell(&mut object);
        let once = object.clone();
        spell(&mut object);
        assert_eq!(object, once, "spelling again changes nothing");
        object.object.unwrap()
    }

    #[test]
    fn what_a_dataplane_fills_in_or_writes_otherwise_is_the_same() {
        let nat = |prefix: &str, ports: (u32, u32), blocks: (u32, u32)| {
            Object::SourceNat(pb::SourceNat {
                prefix: prefix.into(),
                addresses: vec!["2001:DB8::1".into()],
                first_port: ports.0,
                last_port: ports.1,
                block_size: blocks.0,
                blocks_per_source: blocks.1,
                ..Default::default()
            })
        };
        assert_eq!(
            spelt(nat("::/0", (0, 0), (0, 0))),
            spelt(nat("::/0", (1024, 65535), (64, 16)))
        );
        assert_eq!(
            spelt(nat("fd00::7", (1024, 65535), (64, 16))),
            spelt(nat("fd00::7/128", (0, 0), (0, 0)))
        );
        let service = |vrf, weight| {
            let backend = pb::Backend {
                address: "fd00:0::5".into(),
                vrf,
                weight,
                ..Default::default()
            };
            Object::Service(pb::Service {
                vrf: 7,
                address: "10.0.0.9".into(),
                backends: vec![backend],
                ..Default::default()
            })
        };
        assert_eq!(spelt(service(0, 0)), spelt(service(7, 1)));
        assert_ne!(spelt(service(8, 1)), spelt(service(7, 1)));
        let check = |interval_ms, target: &str, state| {
            Object::HealthCheck(pb::HealthCheck {
                kind: pb::health_check::Kind::Http.into(),
                interval_ms,
                target: target.into(),
                state,
                ..Default::default()
            })
        };
        assert_eq!(
            spelt(check(0, "", Some(pb::HealthState::default()))),
            spelt(check(5000, "/", None))
        );
        let port = |addresses: &[&str], mirrors: Vec<u32>, qos| {
            let guard = pb::Guard {
                addresses: addresses.iter().map(ToString::to_string).collect(),
                macs: vec!["02:AA:00:00:00:01".into()],
                ..Default::default()
            };
            Object::Port(pb::Port {
                guard: Some(guard),
                mirrors,
                qos,
                state: Some(pb::PortState::default()),
                ..Default::default()
            })
        };
        assert_eq!(
            spelt(port(&["10.0.0.7", "FD00::1"], vec![3, 1], Some(pb::Qos::default()))),
            spelt(port(&["fd00::1/128", "10.0.0.7/32"], vec![1, 3], None))
        );
        let policy = |verdict: pb::Verdict, groups: &[u32]| {
            let rule = pb::Rule {
                groups: groups.to_vec(),
                ..Default::default()
            };
            Object::Policy(pb::Policy {
                ingress: vec![rule],
                ingress_default: verdict.into(),
                ..Default::default()
            })
        };
        assert_eq!(
            spelt(policy(pb::Verdict::Unspecified, &[2, 1])),
            spelt(policy(pb::Verdict::Deny, &[1, 2]))
        );
        let both = |from_workload, to_workload| {
            Object::Mirror(pb::Mirror {
                from_workload,
                to_workload,
                prefixes: vec!["10.0.0.1".into()],
                ..Default::default()
            })
        };
        assert_eq!(spelt(both(false, false)), spelt(both(true, true)));
        assert_ne!(spelt(both(true, false)), spelt(both(true, true)));
    }
}

//! Objects as dumps show them, and what is said of batches and of the process.

use vrouter_proto::dataplane::{self as pb, object::Object as PbObject};

use super::{address, binding, bridging, health, mirror, next_hop, policy, port, route};
use crate::{
    api::view::View,
    program::{
        Dumped,
        problem::{Code, Problem},
    },
};

/// An object as a dump shows it. `now_s`: seconds of the workers' clock.
pub fn dumped(dumped: &Dumped, now_s: u64) -> pb::Object {
    let object = match dumped {
        Dumped::Port {
            spec,
            uplink,
            mtu,
            status,
        } => {
            let state = Some(port::show_state(status.as_ref(), *mtu));
            PbObject::Port(if *uplink {
                port::show_uplink(spec, state)
            } else {
                pb::Port {
                    state,
                    ..port::show(spec)
                }
            })
        }
        Dumped::Vrf(vrf) => PbObject::Vrf(bridging::show_vrf(vrf)),
        Dumped::Bridge(bridge) => PbObject::Bridge(bridging::show_bridge(bridge)),
        Dumped::NextHop { spec, status } => PbObject::NextHop(pb::NextHop {
            state: Some(next_hop::show_state(status)),
            ..next_hop::show(spec)
        }),
        Dumped::Route { spec, active } => PbObject::Route(pb::Route {
            active: *active,
            ..route::show(spec)
        }),
        Dumped::Mac(mac) => PbObject::Mac(bridging::show_mac(mac)),
        Dumped::LearnedMac {
            bridge,
            mac,
            port,
            next_hop,
            vtep,
            last_seen_s,
        } => PbObject::Mac(pb::Mac {
            bridge: *bridge,
            mac: mac.to_string(),
            next_hop: *next_hop,
            learned: true,
            age_seconds: u32::try_from(now_s.saturating_sub(u64::from(*last_seen_s))).unwrap_or(u32::MAX),
            port: *port,
            vtep: vtep.map_or_else(String::new, |vtep| vtep.to_string()),
        }),
        Dumped::Neighbor(neighbor) => PbObject::Neighbor(bridging::show_neighbor(neighbor)),
        Dumped::Underlay(neighbor) => PbObject::Neighbor(pb::Neighbor {
            bridge: 0,
            address: neighbor.address.to_string(),
            mac: neighbor.mac.map_or_else(String::new, |mac| mac.to_string()),
            state: neighbor.state.to_owned(),
            interface: neighbor.interface.clone(),
        }),
        Dumped::Vni(vni) => PbObject::Vni(binding::show_vni(vni)),
        Dumped::Label(label) => PbObject::Label(binding::show_label(label)),
        Dumped::Identity(identity) => PbObject::Identity(policy::show_identity(identity)),
        Dumped::Policy(policy) => PbObject::Policy(policy::show(policy)),
        Dumped::SourceNat(nat) => PbObject::SourceNat(address::show_source_nat(nat)),
        Dumped::Service(service) => PbObject::Service(address::show_service(service)),
        Dumped::Mirror(mirror) => PbObject::Mirror(mirror::show(mirror)),
        Dumped::HealthCheck { spec, status } => PbObject::HealthCheck(pb::HealthCheck {
            state: Some(health::show_state(status)),
            ..health::show(spec)
        }),
    };
    pb::Object { object: Some(object) }
}

/// A reason for a refusal.
pub(in crate::api) fn problem(problem: &Problem) -> pb::Problem {
    let code = match problem.code {
        Code::Invalid => pb::problem::Code::Invalid,
        Code::NotFound => pb::problem::Code::NotFound,
        Code::InUse => pb::problem::Code::InUse,
        Code::Exhausted => pb::problem::Code::Exhausted,
        Code::Refused => pb::problem::Code::Refused,
    };
    pb::Problem {
        operation: u32::try_from(problem.operation).unwrap_or(u32::MAX),
        code: code.into(),
        field: problem.field.to_owned(),
        message: problem.message.clone(),
    }
}

/// What the process is.
pub(in crate::api) fn info(view: &View) -> pb::GetInfoResponse {
    let (about, sources) = (&view.about, &view.sources);
    let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    pb::GetInfoResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance: about.instance.clone(),
        revision: view.revision(),
        node: about.node.clone(),
        vtep_addresses: about.vteps.iter().map(ToString::to_string).collect(),
        uplinks: about.uplinks.clone(),
        underlay_mtu: view.underlay_mtu(),
        limits: Some(pb::Limits {
            ports: small(about.limits.ports),
            vrfs: small(about.limits.vrfs),
            next_hops: small(about.limits.next_hops),
            flows: sources.shared.flows.capacity() as u64,
            frames: sources.pool.total().into(),
        }),
    }
}

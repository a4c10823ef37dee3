//! The kinds that were made of one mould, as the API shows them.

use std::collections::BTreeSet;

use vrouter_proto::control as pb;

use super::super::objects::Shown;
use crate::{
    compile,
    model::{
        BackendName, Collector, Direction, Family, FloatingIp, FloatingIpSpec, Group, GroupSpec, HealthCheck,
        HealthKind, Mirror, MirrorSpec, Name, Operator, Peer, Policy, PolicySpec, QosProfile, QosProfileSpec,
        Requirement, Router, RouterSpec, Rule, RuleAction, Service, ServiceBackend, ServiceSpec,
    },
    reconcile::Board,
    state::State,
};

fn texts<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn text<T: ToString>(one: Option<&T>) -> String {
    one.map(ToString::to_string).unwrap_or_default()
}

impl Shown for GroupSpec {
    type Message = pb::Group;

    fn show(state: &State, _board: &Board, group: &Group) -> pb::Group {
        let spec = &group.spec;
        pb::Group {
            name: group.name.to_string(),
            uid: group.uid.clone(),
            revision: group.revision,
            match_labels: spec.match_labels.clone().into_iter().collect(),
            match_expressions: spec.match_expressions.iter().map(requirement).collect(),
            networks: texts(&spec.networks),
            groups: texts(&spec.groups),
            endpoints: texts(&spec.endpoints),
            number: group.number,
            members: state.members(&group.name).len() as u64,
        }
    }
}

fn requirement(requirement: &Requirement) -> pb::LabelRequirement {
    use pb::label_requirement::Operator as Shown;
    let operator = match requirement.operator {
        Operator::In => Shown::In,
        Operator::NotIn => Shown::NotIn,
        Operator::Exists => Shown::Exists,
        Operator::DoesNotExist => Shown::DoesNotExist,
    };
    pb::LabelRequirement {
        key: requirement.key.clone(),
        operator: operator.into(),
        values: requirement.values.iter().cloned().collect(),
    }
}

impl Shown for PolicySpec {
    type Message = pb::Policy;

    fn show(state: &State, _board: &Board, policy: &Policy) -> pb::Policy {
        let spec = &policy.spec;
        pb::Policy {
            name: policy.name.to_string(),
            uid: policy.uid.clone(),
            revision: policy.revision,
            applies_to: text(spec.applies_to.as_ref()),
            network: text(spec.network.as_ref()),
            rules: spec.rules.iter().map(rule).collect(),
            isolate_ingress: spec.isolate_ingress,
            isolate_egress: spec.isolate_egress,
            number: policy.number,
            endpoints: state.policy_endpoints(policy) as u64,
        }
    }
}

fn rule(rule: &Rule) -> pb::PolicyRule {
    use pb::policy_rule as shown;
    let direction = match rule.direction {
        Direction::Ingress => shown::Direction::Ingress,
        Direction::Egress => shown::Direction::Egress,
    };
    let action = match rule.action {
        RuleAction::Allow => shown::Action::Allow,
        RuleAction::Deny => shown::Action::Deny,
        RuleAction::Audit => shown::Action::Audit,
    };
    pb::PolicyRule {
        name: rule.name.to_string(),
        direction: direction.into(),
        priority: rule.priority.into(),
        action: action.into(),
        log: rule.log,
        peers: rule.peers.iter().map(peer).collect(),
        traffic: rule.traffic.iter().map(crate::model::Traffic::to_proto).collect(),
    }
}

fn peer(peer: &Peer) -> pb::Peer {
    let (peer, except) = match peer {
        Peer::Group(name) => (pb::peer::Peer::Group(name.to_string()), Vec::new()),
        Peer::Network(name) => (pb::peer::Peer::Network(name.to_string()), Vec::new()),
        Peer::Cidr { prefix, except } => (pb::peer::Peer::Cidr(prefix.to_string()), texts(except)),
    };
    pb::Peer {
        peer: Some(peer),
        except,
    }
}

impl Shown for RouterSpec {
    type Message = pb::Router;

    fn show(_state: &State, _board: &Board, router: &Router) -> pb::Router {
        let spec = &router.spec;
        let leak = |leak: &crate::model::RouteLeak| pb::RouteLeak {
            from_network: leak.from.to_string(),
            to_network: leak.to.to_string(),
            prefix: leak.prefix.to_string(),
        };
        pb::Router {
            name: router.name.to_string(),
            uid: router.uid.clone(),
            revision: router.revision,
            networks: texts(&spec.networks),
            external_network: text(spec.external_network.as_ref()),
            translate_sources: spec.translate_sources,
            leaks: spec.leaks.iter().map(leak).collect(),
            port_block_size: spec.port_block_size,
            port_blocks_per_endpoint: spec.port_blocks_per_endpoint,
        }
    }
}

impl Shown for FloatingIpSpec {
    type Message = pb::FloatingIp;

    fn show(_state: &State, _board: &Board, floating: &FloatingIp) -> pb::FloatingIp {
        let (spec, given) = (&floating.spec, &floating.given);
        let forward = |forward: &crate::model::PortForward| pb::PortForward {
            protocol: forward.protocol.to_string(),
            port: forward.port.into(),
            endpoint: forward.endpoint.to_string(),
            target_port: forward.target_port.into(),
        };
        pb::FloatingIp {
            name: floating.name.to_string(),
            uid: floating.uid.clone(),
            revision: floating.revision,
            network: given.network.to_string(),
            address: given.address.to_string(),
            family: if given.address.is_ipv4() { 4 } else { 6 },
            endpoint: text(spec.endpoint.as_ref()),
            fixed_address: text(spec.fixed_address.as_ref()),
            forwards: spec.forwards.iter().map(forward).collect(),
            ephemeral: spec.ephemeral,
        }
    }
}

impl Shown for ServiceSpec {
    type Message = pb::Service;

    fn show(state: &State, board: &Board, service: &Service) -> pb::Service {
        let spec = &service.spec;
        let port = |port: &crate::model::ServicePort| pb::ServicePort {
            name: text(port.name.as_ref()),
            protocol: port.protocol.to_string(),
            port: port.port.into(),
            target_port: port.target_port.into(),
        };
        pb::Service {
            network: spec.network.to_string(),
            name: service.name.to_string(),
            uid: service.uid.clone(),
            revision: service.revision,
            addresses: texts(&service.given),
            ports: spec.ports.iter().map(port).collect(),
            group: text(spec.group.as_ref()),
            backends: spec.backends.iter().map(backend).collect(),
            affinity_seconds: spec.affinity_seconds,
            prefer_local: spec.prefer_local,
            health_check: spec.health_check.as_ref().map(health_check),
            labels: spec.labels.clone().into_iter().collect(),
            status: status(state, board, service),
            number: service.number,
        }
    }
}

fn backend(backend: &ServiceBackend) -> pb::ServiceBackend {
    let name = match &backend.name {
        BackendName::Endpoint(name) => pb::service_backend::Backend::Endpoint(name.to_string()),
        BackendName::Address(address) => pb::service_backend::Backend::Address(address.to_string()),
    };
    pb::ServiceBackend {
        backend: Some(name),
        weight: backend.weight.into(),
        draining: backend.draining,
    }
}

fn health_check(check: &HealthCheck) -> pb::ServiceHealthCheck {
    let kind = match check.kind {
        HealthKind::Tcp => "tcp",
        HealthKind::Http => "http",
        HealthKind::Grpc => "grpc",
    };
    pb::ServiceHealthCheck {
        kind: kind.to_owned(),
        port: check.port.map_or(0, u32::from),
        target: check.target.clone(),
        interval_ms: check.interval_ms,
        timeout_ms: check.timeout_ms,
        rise: check.rise,
        fall: check.fall,
    }
}

impl Shown for QosProfileSpec {
    type Message = pb::QosProfile;

    fn show(_state: &State, _board: &Board, profile: &QosProfile) -> pb::QosProfile {
        pb::QosProfile {
            name: profile.name.to_string(),
            uid: profile.uid.clone(),
            revision: profile.revision,
            egress: profile.spec.egress.map(|rate| rate.to_proto()),
            ingress: profile.spec.ingress.map(|rate| rate.to_proto()),
            dscp: profile.spec.dscp.map(u32::from),
            ephemeral: profile.spec.ephemeral,
        }
    }
}

impl Shown for MirrorSpec {
    type Message = pb::Mirror;

    fn show(_state: &State, _board: &Board, mirror: &Mirror) -> pb::Mirror {
        let spec = &mirror.spec;
        let collector = |collector: &Collector| match collector {
            Collector::Endpoint(name) => pb::mirror::Collector::Endpoint(name.to_string()),
            Collector::Vxlan { address, vni } => pb::mirror::Collector::Vxlan(pb::VxlanCollector {
                address: address.to_string(),
                vni: *vni,
            }),
            Collector::Erspan { address, session } => pb::mirror::Collector::Erspan(pb::ErspanCollector {
                address: address.to_string(),
                session: (*session).into(),
            }),
        };
        pb::Mirror {
            name: mirror.name.to_string(),
            uid: mirror.uid.clone(),
            revision: mirror.revision,
            group: text(spec.group.as_ref()),
            endpoints: texts(&spec.endpoints),
            egress: spec.egress,
            ingress: spec.ingress,
            traffic: spec.traffic.iter().map(crate::model::Traffic::to_proto).collect(),
            prefixes: texts(&spec.prefixes),
            snap_length: spec.snap_length,
            collector: spec.collector.as_ref().map(collector),
            number: mirror.number,
        }
    }
}

/// What became of each backend, per address.
pub(in crate::api) fn status(state: &State, board: &Board, service: &Service) -> Vec<pb::BackendStatus> {
    let families: BTreeSet<Family> = service.given.iter().map(|a| Family::of(*a)).collect();
    let health = board.health().health();
    let mut all = Vec::new();
    for backend in state.backends(service) {
        let node = backend.endpoint.as_ref().and_then(|e| e.attached_to());
        let placed = backend.endpoint.is_none() || node.is_some();
        let probes = compile::probes(state, service, &backend);
        for address in &backend.addresses {
            let probe = probes.iter().find(|probe| probe.address == *address);
            let condition = compile::condition(service, probe, &health);
            let detail = if !families.contains(&Family::of(*address)) {
                "the service has no address of this family".to_owned()
            } else if !placed {
                "it is not attached to a node".to_owned()
            } else {
                condition.detail
            };
            all.push(pb::BackendStatus {
                backend: backend.name.to_string(),
                address: address.to_string(),
                node: node.map(Name::to_string).unwrap_or_default(),
                healthy: condition.healthy && placed && families.contains(&Family::of(*address)),
                draining: backend.draining,
                detail,
            });
        }
    }
    all
}

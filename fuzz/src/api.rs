//! Any bytes as an `ApplyRequest`: decoded, read, and applied to a dataplane that has something in it.
//!
//! No panic; what is refused, when it is read or when it is applied, says which operation is at fault and changes nothing; what
//! is applied leaves no reference to nothing; and what a dump shows is what may be sent again.

use prost::Message as _;
use vrouter_dataplane::{
    api::{dumped, operations},
    engine::memory::MemoryDataplane,
    program::{
        Dumped,
        object::{
            ActionSpec, BackendSpec, HealthCheckSpec, HealthKind, IdentitySpec, MirrorSpec, NextHopSpec, Object,
            Operation, PolicySpec, RuleSpec, ServiceSpec, SourceNatSpec, Verdict, VrfSpec,
        },
    },
};
use vrouter_proto::dataplane as pb;

use crate::pipeline::{
    law::{frames_are_conserved, programmed, references_hold, refused, state},
    topology,
};

/// Most operations that are looked at: more say nothing new.
const MOST: usize = 64;

/// Checks one encoded request.
///
/// # Panics
/// When a property does not hold.
pub fn check(bytes: &[u8]) {
    let Ok(mut request) = pb::ApplyRequest::decode(bytes) else {
        return;
    };
    request.operations.truncate(MOST);
    let batch = match operations(&request.operations) {
        Ok(batch) => batch,
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(problem.operation < request.operations.len(), "{problem:?}");
                assert!(!problem.message.is_empty() && !problem.field.is_empty(), "{problem:?}");
            }
            return;
        }
    };
    assert_eq!(batch.len(), request.operations.len());
    let mut dataplane = topology::dataplane(1);
    for batch in topology::base() {
        dataplane.apply(&batch).expect("the tables to start from");
    }
    dataplane.apply(&beyond()).expect("the tables to start from");
    // Twice: what could be put can be put again.
    for _ in 0..2 {
        let before = state(&dataplane);
        match dataplane.apply(&batch) {
            Ok(_) => {
                references_hold(&dataplane);
                shown_and_sent_again(&dataplane);
            }
            Err(problems) => refused(&before, &dataplane, &batch, &problems),
        }
        dataplane.settle();
    }
    frames_are_conserved(&mut dataplane);
}

/// What the tables of packets do without: policies, translations, services and observers, and who refers to them.
fn beyond() -> Vec<Operation> {
    let address = |text: &str| text.parse().expect("an address");
    let prefix = |text: &str| text.parse().expect("a prefix");
    let rule = |id| RuleSpec {
        id,
        name: "r".into(),
        groups: [1].into(),
        traffic: [].into(),
        verdict: Verdict::Allow,
        log: false,
    };
    let policy = PolicySpec {
        id: 1,
        name: "p".into(),
        egress: [rule(1)].into(),
        ingress: [rule(2)].into(),
        egress_default: Verdict::Deny,
        ingress_default: Verdict::Deny,
    };
    let nat = |id, of: &str, to: &str| {
        Object::SourceNat(SourceNatSpec {
            id,
            name: "n".into(),
            inside: 1,
            outside: 3,
            prefix: prefix(of),
            addresses: [address(to)].into(),
            first_port: 0,
            last_port: 0,
            block_size: 0,
            blocks_per_source: 0,
        })
    };
    let service = ServiceSpec {
        id: 1,
        name: "s".into(),
        vrf: 3,
        address: address("203.0.113.7"),
        protocol: 6,
        port: 443,
        backends: [BackendSpec {
            address: address("10.0.0.1"),
            port: 8443,
            vrf: Some(1),
            weight: 1,
            draining: false,
            name: "b".into(),
        }]
        .into(),
        client_affinity: false,
        affinity_seconds: 0,
    };
    let check = HealthCheckSpec {
        id: 1,
        name: "h".into(),
        vrf: 1,
        address: address("10.0.0.1"),
        port: 80,
        kind: HealthKind::Tcp,
        target: "".into(),
        interval_ms: 0,
        timeout_ms: 0,
        rise: 0,
        fall: 0,
    };
    let objects = [
        Object::Vrf(VrfSpec {
            id: 3,
            name: "out".into(),
            underlay: true,
        }),
        Object::NextHop(NextHopSpec {
            id: 42,
            name: "out".into(),
            action: ActionSpec::Vrf {
                vrf: 3,
                untranslated: false,
            },
        }),
        Object::NextHop(NextHopSpec {
            id: 43,
            name: "wire".into(),
            action: ActionSpec::Underlay { gateway: None },
        }),
        Object::Policy(policy),
        Object::Mirror(MirrorSpec {
            id: 1,
            next_hop: 10,
            ..MirrorSpec::default()
        }),
        topology::guarded_port(),
        Object::Identity(IdentitySpec {
            vrf: 1,
            prefix: prefix("10.0.0.1/32"),
            groups: [1, 7].into(),
        }),
        nat(1, "10.0.0.1/32", "203.0.113.7"),
        nat(4, "fd00::/16", "2001:db8:f::1"),
        Object::Service(service),
        Object::HealthCheck(check),
    ];
    objects.map(Operation::Put).to_vec()
}

/// A dumped object, sent back, is the object that was put.
fn shown_and_sent_again(dataplane: &MemoryDataplane) {
    for object in programmed(&dataplane.programmer.snapshot()) {
        let Some(original) = put(&object) else { continue };
        let shown = dumped(&object, 0);
        let request = pb::Operation {
            operation: Some(pb::operation::Operation::Put(shown.clone())),
        };
        let again = operations(&[request]);
        assert_eq!(again.as_deref(), Ok(&[Operation::Put(original)][..]), "{shown:?}");
    }
}

/// What was put; none for what only dumps know.
fn put(object: &Dumped) -> Option<Object> {
    Some(match object.clone() {
        Dumped::Port {
            spec, uplink: false, ..
        } => Object::Port(spec),
        Dumped::Vrf(spec) => Object::Vrf(spec),
        Dumped::Bridge(spec) => Object::Bridge(spec),
        Dumped::NextHop { spec, .. } => Object::NextHop(spec),
        Dumped::Route { spec, .. } => Object::Route(spec),
        Dumped::Mac(spec) => Object::Mac(spec),
        Dumped::Neighbor(spec) => Object::Neighbor(spec),
        Dumped::Vni(spec) => Object::Vni(spec),
        Dumped::Label(spec) => Object::Label(spec),
        Dumped::Identity(spec) => Object::Identity(spec),
        Dumped::Policy(spec) => Object::Policy(spec),
        Dumped::SourceNat(spec) => Object::SourceNat(spec),
        Dumped::Service(spec) => Object::Service(spec),
        Dumped::Mirror(spec) => Object::Mirror(spec),
        Dumped::HealthCheck { spec, .. } => Object::HealthCheck(spec),
        Dumped::Port { .. } | Dumped::LearnedMac { .. } | Dumped::Underlay(_) => return None,
    })
}

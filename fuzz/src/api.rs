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
        object::{Object, Operation},
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

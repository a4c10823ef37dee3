//! Operations, objects and keys of any kind.

use vrouter_proto::dataplane::{self as pb, key::Key as PbKey, object::Object as PbObject};

use super::{address, binding, bridging, field, health, mirror, next_hop, policy, port, route};
use crate::{
    api::selection::{Kind, Selection},
    program::{
        object::{Key, Object, Operation},
        problem::{Problem, Refusal},
    },
};

/// Most operations of one batch. A batch is staged and published as one, so its size is how long others wait.
pub const MAX_OPERATIONS: usize = 100_000;

/// Most problems told of one batch: who wrote the batch needs to see what is wrong, not every repetition of it.
const MAX_PROBLEMS: usize = 100;

/// Reads a batch: checks every field by itself, and nothing between objects.
///
/// # Errors
/// What is wrong with each operation, up to a hundred.
pub fn operations(batch: &[pb::Operation]) -> Result<Vec<Operation>, Vec<Problem>> {
    if batch.len() > MAX_OPERATIONS {
        let message = format!(
            "{} operations are too many for one batch; send at most {MAX_OPERATIONS} in each",
            batch.len()
        );
        return Err(vec![Refusal::invalid("operations", message).at(MAX_OPERATIONS)]);
    }
    let mut operations = Vec::with_capacity(batch.len());
    let mut problems = Vec::new();
    for (index, request) in batch.iter().enumerate() {
        match operation(request) {
            Ok(operation) => operations.push(operation),
            Err(refusal) => problems.push(refusal.at(index)),
        }
        if problems.len() == MAX_PROBLEMS {
            break;
        }
    }
    if problems.is_empty() {
        Ok(operations)
    } else {
        Err(problems)
    }
}

fn operation(operation: &pb::Operation) -> Result<Operation, Refusal> {
    let operation = field::required("operation", operation.operation.as_ref(), "put or delete")?;
    Ok(match operation {
        pb::operation::Operation::Put(put) => Operation::Put(object(put)?),
        pb::operation::Operation::Delete(delete) => Operation::Delete(key(delete)?),
    })
}

const KINDS: &str = "one of port, vrf, bridge, next_hop, route, mac, neighbor, vni, label, identity, policy, source_nat, service, \
                     mirror or health_check";

/// Reads an object.
pub(super) fn object(object: &pb::Object) -> Result<Object, Refusal> {
    Ok(match field::required("put.object", object.object.as_ref(), KINDS)? {
        PbObject::Port(port) => Object::Port(port::read(port)?),
        PbObject::Vrf(vrf) => Object::Vrf(bridging::read_vrf(vrf)?),
        PbObject::Bridge(bridge) => Object::Bridge(bridging::read_bridge(bridge)?),
        PbObject::NextHop(next_hop) => Object::NextHop(next_hop::read(next_hop)?),
        PbObject::Route(route) => Object::Route(route::read(route)?),
        PbObject::Mac(mac) => Object::Mac(bridging::read_mac(mac)?),
        PbObject::Neighbor(neighbor) => Object::Neighbor(bridging::read_neighbor(neighbor)?),
        PbObject::Vni(vni) => Object::Vni(binding::read_vni(vni)?),
        PbObject::Label(label) => Object::Label(binding::read_label(label)?),
        PbObject::Identity(identity) => Object::Identity(policy::read_identity(identity)?),
        PbObject::Policy(policy) => Object::Policy(policy::read(policy)?),
        PbObject::SourceNat(nat) => Object::SourceNat(address::read_source_nat(nat)?),
        PbObject::Service(service) => Object::Service(address::read_service(service)?),
        PbObject::Mirror(mirror) => Object::Mirror(mirror::read(mirror)?),
        PbObject::HealthCheck(check) => Object::HealthCheck(health::read(check)?),
    })
}

/// Reads a key.
pub(super) fn key(key: &pb::Key) -> Result<Key, Refusal> {
    Ok(match field::required("delete.key", key.key.as_ref(), KINDS)? {
        PbKey::Port(port) => Key::Port(field::id("port", *port)?),
        PbKey::Vrf(vrf) => Key::Vrf(field::id("vrf", *vrf)?),
        PbKey::Bridge(bridge) => Key::Bridge(field::id("bridge", *bridge)?),
        PbKey::NextHop(next_hop) => Key::NextHop(field::id("next_hop", *next_hop)?),
        PbKey::Route(route) => Key::Route(route::read_key(route)?),
        PbKey::Mac(mac) => Key::Mac(
            field::id("mac.bridge", mac.bridge)?,
            field::station("mac.mac", &mac.mac)?,
        ),
        PbKey::Neighbor(neighbor) => {
            Key::Neighbor(neighbor.bridge, field::host("neighbor.address", &neighbor.address)?)
        }
        PbKey::Vni(vni) => Key::Vni(binding::vni(*vni)?),
        PbKey::Label(label) => Key::Label(binding::label(*label)?),
        PbKey::Identity(identity) => Key::Identity(
            field::id("identity.vrf", identity.vrf)?,
            field::prefix("identity.prefix", &identity.prefix)?,
        ),
        PbKey::Policy(policy) => Key::Policy(field::id("policy", *policy)?),
        PbKey::SourceNat(nat) => Key::SourceNat(field::id("source_nat", *nat)?),
        PbKey::Service(service) => Key::Service(field::id("service", *service)?),
        PbKey::Mirror(mirror) => Key::Mirror(field::id("mirror", *mirror)?),
        PbKey::HealthCheck(check) => Key::HealthCheck(field::id("health_check", *check)?),
    })
}

/// Which objects a dump is about.
///
/// # Errors
/// A number that stands for no kind.
pub(in crate::api) fn selection(request: &pb::DumpRequest) -> Result<Selection, Refusal> {
    let kinds = request.kinds.iter().map(|kind| match pb::Kind::try_from(*kind) {
        Ok(pb::Kind::Port) => Ok(Kind::Port),
        Ok(pb::Kind::Vrf) => Ok(Kind::Vrf),
        Ok(pb::Kind::Bridge) => Ok(Kind::Bridge),
        Ok(pb::Kind::NextHop) => Ok(Kind::NextHop),
        Ok(pb::Kind::Route) => Ok(Kind::Route),
        Ok(pb::Kind::Mac) => Ok(Kind::Mac),
        Ok(pb::Kind::Neighbor) => Ok(Kind::Neighbor),
        Ok(pb::Kind::Vni) => Ok(Kind::Vni),
        Ok(pb::Kind::Label) => Ok(Kind::Label),
        Ok(pb::Kind::Identity) => Ok(Kind::Identity),
        Ok(pb::Kind::Policy) => Ok(Kind::Policy),
        Ok(pb::Kind::SourceNat) => Ok(Kind::SourceNat),
        Ok(pb::Kind::Service) => Ok(Kind::Service),
        Ok(pb::Kind::Mirror) => Ok(Kind::Mirror),
        Ok(pb::Kind::HealthCheck) => Ok(Kind::HealthCheck),
        Ok(pb::Kind::Unspecified) | Err(_) => Err(Refusal::invalid(
            "kinds",
            format!("{kind} is no kind of object; give PORT (1) to HEALTH_CHECK (15), or none for all"),
        )),
    });
    Ok(Selection::new(
        &kinds.collect::<Result<Vec<_>, _>>()?,
        field::optional_id(request.vrf),
    ))
}

//! Operations, objects and keys of any kind.

use vrouter_proto::dataplane::{self as pb, key::Key as PbKey, object::Object as PbObject};

use super::{binding, bridging, field, next_hop, port, route};
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

const KINDS: &str = "one of port, vrf, bridge, next_hop, route, mac, neighbor, vni or label";

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
        _ => return Err(Refusal::invalid("put.object", "this kind is not known yet")),
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
        _ => return Err(Refusal::invalid("delete.key", "this kind is not known yet")),
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
        Ok(_) | Err(_) => Err(Refusal::invalid(
            "kinds",
            format!("{kind} is no kind of object; give PORT (1) to LABEL (9), or none for all"),
        )),
    });
    Ok(Selection::new(
        &kinds.collect::<Result<Vec<_>, _>>()?,
        field::optional_id(request.vrf),
    ))
}

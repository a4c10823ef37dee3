//! What arrives in tunnels: bindings of VNIs and labels.

use vrouter_proto::dataplane as pb;

use super::field;
use crate::{
    program::{
        object::{LabelSpec, LabelTo, VniSpec, VniTo},
        problem::Refusal,
    },
    wire::{Label, Vni},
};

pub(super) fn vni(value: u32) -> Result<Vni, Refusal> {
    Vni::new(value).map_err(|error| Refusal::invalid("vni.vni", error.to_string()))
}

/// A label that may be bound: none of the reserved ones.
pub(super) fn label(value: u32) -> Result<Label, Refusal> {
    match Label::new(value) {
        Ok(label) if !label.is_reserved() => Ok(label),
        _ => {
            let (least, most) = (Label::FIRST_UNRESERVED, Label::MAX);
            let message = format!("label {value} is out of range: it must be from {least} to {most}");
            Err(Refusal::invalid("label.label", message))
        }
    }
}

pub(super) fn read_vni(binding: &pb::Vni) -> Result<VniSpec, Refusal> {
    let target = field::required("vni.target", binding.target.as_ref(), "a bridge or a VRF")?;
    Ok(VniSpec {
        vni: vni(binding.vni)?,
        target: match *target {
            pb::vni::Target::Bridge(bridge) => VniTo::Bridge(field::id("vni.bridge", bridge)?),
            pb::vni::Target::Vrf(vrf) => VniTo::Vrf(field::id("vni.vrf", vrf)?),
        },
        name: field::name("vni.name", &binding.name)?,
    })
}

pub(super) fn show_vni(binding: &VniSpec) -> pb::Vni {
    pb::Vni {
        vni: binding.vni.get(),
        name: binding.name.to_string(),
        target: Some(match binding.target {
            VniTo::Bridge(bridge) => pb::vni::Target::Bridge(bridge),
            VniTo::Vrf(vrf) => pb::vni::Target::Vrf(vrf),
        }),
    }
}

pub(super) fn read_label(binding: &pb::Label) -> Result<LabelSpec, Refusal> {
    let target = field::required("label.target", binding.target.as_ref(), "a VRF or a next hop")?;
    Ok(LabelSpec {
        label: label(binding.label)?,
        target: match *target {
            pb::label::Target::Vrf(vrf) => LabelTo::Vrf(field::id("label.vrf", vrf)?),
            pb::label::Target::NextHop(next_hop) => LabelTo::NextHop(field::id("label.next_hop", next_hop)?),
        },
        name: field::name("label.name", &binding.name)?,
    })
}

pub(super) fn show_label(binding: &LabelSpec) -> pb::Label {
    pb::Label {
        label: binding.label.get(),
        name: binding.name.to_string(),
        target: Some(match binding.target {
            LabelTo::Vrf(vrf) => pb::label::Target::Vrf(vrf),
            LabelTo::NextHop(next_hop) => pb::label::Target::NextHop(next_hop),
        }),
    }
}

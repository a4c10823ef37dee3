//! Ports.

use std::sync::Arc;

use vrouter_proto::dataplane as pb;

use super::{field, workload};
use crate::program::{
    MTU, PortStatus,
    object::{Attachment, Mode, PortSpec},
    problem::Refusal,
};

pub(super) fn read(port: &pb::Port) -> Result<PortSpec, Refusal> {
    if port.uplink {
        let message = "uplinks are configured on vrouterd and cannot be put; leave this unset";
        return Err(Refusal::invalid("port.uplink", message));
    }
    let mode = read_mode(port.mode)?;
    let interface = if mode == Mode::Memory {
        field::name("port.interface", &port.interface)?
    } else {
        field::interface("port.interface", &port.interface)?
    };
    let attachment = match (port.vrf, port.bridge) {
        (0, 0) => {
            let message = "missing; give the VRF that routes this port's packets, or a bridge in port.bridge";
            return Err(Refusal::invalid("port.vrf", message));
        }
        (vrf, 0) => Attachment::Vrf(vrf),
        (0, bridge) => Attachment::Bridge(bridge),
        (vrf, bridge) => {
            let message = format!(
                "both VRF {vrf} and bridge {bridge} are given; a bridged port is routed in its bridge's VRF: leave port.vrf 0"
            );
            return Err(Refusal::invalid("port.vrf", message));
        }
    };
    let mtu = match u16::try_from(port.mtu) {
        Ok(mtu) if mtu == 0 || MTU.contains(&mtu) => mtu,
        _ => {
            let (least, most) = (MTU.start(), MTU.end());
            let message = format!(
                "{} is out of range: it must be from {least} to {most}, or 0 for the interface's",
                port.mtu
            );
            return Err(Refusal::invalid("port.mtu", message));
        }
    };
    Ok(PortSpec {
        id: field::id("port.id", port.id)?,
        name: field::name("port.name", &port.name)?,
        interface,
        mode,
        attachment,
        mac: field::station("port.mac", &port.mac)?,
        gateways: field::gateways("port.gateways", &port.gateways)?,
        mtu,
        max_flows: port.max_flows,
        policy: field::optional_id(port.policy),
        guard: port.guard.as_ref().map(workload::read_guard).transpose()?.map(Arc::new),
        qos: port.qos.as_ref().map(workload::read_qos).transpose()?,
        mirrors: workload::read_mirrors(&port.mirrors)?,
    })
}

fn read_mode(mode: i32) -> Result<Mode, Refusal> {
    match pb::port::Mode::try_from(mode) {
        Ok(pb::port::Mode::Auto) => Ok(Mode::Auto),
        Ok(pb::port::Mode::NativeZerocopy) => Ok(Mode::NativeZeroCopy),
        Ok(pb::port::Mode::NativeCopy) => Ok(Mode::NativeCopy),
        Ok(pb::port::Mode::Generic) => Ok(Mode::Generic),
        Ok(pb::port::Mode::Packet) => Ok(Mode::Packet),
        Ok(pb::port::Mode::Memory) => Ok(Mode::Memory),
        Err(_) => {
            let message = format!(
                "{mode} is no mode; give AUTO (0), NATIVE_ZEROCOPY (1), NATIVE_COPY (2), GENERIC (3), MEMORY (4) or PACKET (5)"
            );
            Err(Refusal::invalid("port.mode", message))
        }
    }
}

fn mode(mode: Mode) -> pb::port::Mode {
    match mode {
        Mode::Auto => pb::port::Mode::Auto,
        Mode::NativeZeroCopy => pb::port::Mode::NativeZerocopy,
        Mode::NativeCopy => pb::port::Mode::NativeCopy,
        Mode::Generic => pb::port::Mode::Generic,
        Mode::Packet => pb::port::Mode::Packet,
        Mode::Memory => pb::port::Mode::Memory,
    }
}

pub(super) fn show(port: &PortSpec) -> pb::Port {
    let (vrf, bridge) = match port.attachment {
        Attachment::Vrf(vrf) => (vrf, 0),
        Attachment::Bridge(bridge) => (0, bridge),
    };
    pb::Port {
        id: port.id,
        name: port.name.to_string(),
        interface: port.interface.to_string(),
        mode: mode(port.mode).into(),
        vrf,
        bridge,
        mac: port.mac.to_string(),
        gateways: port.gateways.iter().map(ToString::to_string).collect(),
        mtu: port.mtu.into(),
        max_flows: port.max_flows,
        uplink: false,
        state: None,
        policy: port.policy.unwrap_or(0),
        guard: port.guard.as_deref().map(workload::show_guard),
        qos: port.qos.as_ref().map(workload::show_qos),
        mirrors: port.mirrors.to_vec(),
    }
}

/// An uplink: what it is, in the shape of what might have been put.
pub(super) fn show_uplink(port: &PortSpec, state: Option<pb::PortState>) -> pb::Port {
    pb::Port {
        vrf: 0,
        bridge: 0,
        mtu: 0,
        uplink: true,
        state,
        ..show(port)
    }
}

/// How a port is; `mtu`: the one in force.
pub(super) fn show_state(status: Option<&PortStatus>, mtu: u16) -> pb::PortState {
    let mtu = u32::from(mtu);
    let Some(status) = status else {
        return pb::PortState {
            attachment: "not attached".to_owned(),
            mtu,
            ..pb::PortState::default()
        };
    };
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    pb::PortState {
        up: true,
        attachment: status.attached.why.to_string(),
        mode: mode(status.attached.mode).into(),
        queues: small(status.workers.len()),
        workers: status.workers.iter().map(|worker| small(*worker)).collect(),
        mtu,
        interface_mac: status.mac.to_string(),
    }
}

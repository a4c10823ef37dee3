//! Uplinks and their addresses, put together.

use std::net::IpAddr;

use super::{ConfigError, file::Uplink, given::Given};
use crate::{
    engine::interfaces::UplinkSettings,
    port::af_xdp::{self, RingSizes},
    program::object::Mode,
    tables::{gateway::not_a_host, port::Gateway},
};

/// The word for a mode.
pub(super) fn mode(word: &str) -> Result<Mode, String> {
    match word.parse() {
        Ok(af_xdp::Mode::Auto) => Ok(Mode::Auto),
        Ok(af_xdp::Mode::Native) => Ok(Mode::NativeCopy),
        Ok(af_xdp::Mode::NativeZeroCopy) => Ok(Mode::NativeZeroCopy),
        Ok(af_xdp::Mode::Generic) => Ok(Mode::Generic),
        Ok(af_xdp::Mode::Packet) => Ok(Mode::Packet),
        Err(error) => Err(error.to_string()),
    }
}

/// Uplinks with their addresses. Those given for the node as a whole belong to its only uplink.
pub(super) fn uplinks(
    uplinks: Option<Given<Vec<Uplink>>>,
    vteps: Option<Given<Vec<Gateway>>>,
    gateways: Option<Given<Vec<IpAddr>>>,
    rings: RingSizes,
) -> Result<Vec<UplinkSettings>, ConfigError> {
    let Some(mut uplinks) = uplinks else {
        for wrong in [
            vteps.map(|vteps| vteps.wrong("an address without uplink leads nowhere; name one with --uplink")),
            gateways.map(|gateways| gateways.wrong("a router without uplink leads nowhere; name one with --uplink")),
        ] {
            wrong.map_or(Ok(()), Err)?;
        }
        return Ok(Vec::new());
    };
    let count = uplinks.value.len();
    let many = format!("there are {count} uplinks; say which in its own [[uplink]] in the config file");
    if let Some(vteps) = vteps {
        match uplinks.value.as_mut_slice() {
            [only] => only.vtep = vteps.value,
            _ => return Err(vteps.wrong(many)),
        }
    }
    if let Some(gateways) = gateways {
        match uplinks.value.as_mut_slice() {
            [only] => only.gateway = gateways.value,
            _ => return Err(gateways.wrong(many)),
        }
    }
    check_together(&uplinks)?;
    let settings = uplinks.value.iter().map(|uplink| {
        check(uplink).map_err(|message| uplinks.wrong(format!("{}: {message}", uplink.interface)))?;
        Ok(UplinkSettings {
            interface: uplink.interface.clone(),
            mode: uplink.mode,
            vteps: uplink.vtep.iter().map(|vtep| (vtep.address, vtep.prefix_len)).collect(),
            gateways: uplink.gateway.clone(),
            rings,
        })
    });
    settings.collect()
}

/// What several uplinks may not share.
fn check_together(uplinks: &Given<Vec<Uplink>>) -> Result<(), ConfigError> {
    for (index, uplink) in uplinks.value.iter().enumerate() {
        if uplinks.value[..index]
            .iter()
            .any(|other| other.interface == uplink.interface)
        {
            return Err(uplinks.wrong(format!("{} is given twice", uplink.interface)));
        }
    }
    for (family, v6) in [("IPv4", false), ("IPv6", true)] {
        let vteps = uplinks.value.iter().flat_map(|uplink| &uplink.vtep);
        let count = vteps.filter(|vtep| vtep.address.is_ipv6() == v6).count();
        if count > 1 {
            let message = format!("{count} {family} tunnel addresses; a node has at most one of each family");
            return Err(uplinks.wrong(message));
        }
    }
    Ok(())
}

/// What one uplink must have.
fn check(uplink: &Uplink) -> Result<(), String> {
    if uplink.vtep.is_empty() {
        return Err("an uplink needs a tunnel address; give one like --vtep 192.0.2.1/24".to_owned());
    }
    for vtep in &uplink.vtep {
        if is_link_local(vtep.address) {
            return Err(format!(
                "{vtep} is link-local; give an address that other nodes can reach"
            ));
        }
    }
    for (index, gateway) in uplink.gateway.iter().enumerate() {
        if let Some(what) = not_a_host(*gateway) {
            return Err(format!("gateway {gateway} is {what}; give the address of a router"));
        }
        if uplink.gateway[..index].contains(gateway) {
            return Err(format!("gateway {gateway} is given twice"));
        }
        if uplink.vtep.iter().any(|vtep| vtep.address == *gateway) {
            return Err(format!("gateway {gateway} is this node's own address"));
        }
        let mut family = uplink
            .vtep
            .iter()
            .filter(|vtep| vtep.address.is_ipv6() == gateway.is_ipv6());
        let on_link = |vtep: &Gateway| vtep.subnet().is_some_and(|subnet| subnet.contains(*gateway));
        // Routers are often known by their link-local address, which is on every link.
        let reachable = (is_link_local(*gateway) && family.clone().next().is_some()) || family.any(on_link);
        if !reachable {
            return Err(format!(
                "gateway {gateway} is in the subnet of no tunnel address; give a router on the same link"
            ));
        }
    }
    Ok(())
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

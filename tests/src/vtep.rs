//! A node without vrouter: the Linux kernel's own VXLAN device in a bridge, as a third party's VTEP.

use std::net::IpAddr;

use anyhow::Result;

use crate::{
    container::Container,
    node::{Family, Node, UPLINK},
};

/// The bridge that containers and tunnel are ports of.
pub const BRIDGE: &str = "br0";
/// The VXLAN device.
pub const TUNNEL: &str = "vxlan0";

/// The kernel as VTEP of one VNI.
#[derive(Debug)]
pub struct KernelVtep<'a> {
    node: &'a Node,
}

impl<'a> KernelVtep<'a> {
    /// Makes bridge and VXLAN device on a node: MACs are learned, broadcasts go to each of `remotes`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(node: &'a Node, vni: u32, family: Family, remotes: &[IpAddr]) -> Result<Self> {
        let local = node.underlay(family);
        let mut lines = format!(
            "link add {TUNNEL} type vxlan id {vni} dstport 4789 local {local} dev {UPLINK}\n\
             link add {BRIDGE} type bridge mcast_snooping 0\n\
             link set {TUNNEL} master {BRIDGE} up\n\
             link set {BRIDGE} up"
        );
        if family == Family::V6 {
            // RFC 6935: the zero checksum is for tunnels that both ends agreed on; the kernel's own default is a real one.
            lines = lines.replacen("dstport 4789", "dstport 4789 udp6zerocsumrx", 1);
        }
        node.netns.ip(&lines)?;
        for remote in remotes {
            node.netns.sh(&format!(
                "bridge fdb append 00:00:00:00:00:00 dev {TUNNEL} dst {remote}"
            ))?;
        }
        Ok(Self { node })
    }

    /// A container on the bridge, with addresses on link ("10.1.0.9/24").
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn container(&self, name: &str, addresses: &[&str], mtu: u32) -> Result<Container> {
        let mut container = Container::with_mtu(self.node, name, 1500)?;
        self.node.netns.ip(&format!("link set dev {name} master {BRIDGE}"))?;
        container.mtu(mtu)?;
        for address in addresses {
            container.address(address)?;
        }
        Ok(container)
    }
}

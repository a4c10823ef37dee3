//! Two nodes, on each a Linux bridge with the kernel's VXLAN device.

use anyhow::Result;
use vrouter_tests::{
    node::{Family, Node, WIRE_MTU, Wire},
    topology::Topology,
    vtep::KernelVtep,
};

use super::{Setting, addresses};
use crate::{
    measure::Effort,
    scene::{Scene, Side},
};

const VNI: u32 = 4242;
/// What VXLAN over IPv4 leaves of the wire's MTU.
const MTU: u32 = WIRE_MTU - 50;

pub(super) fn build(topology: &Topology, setting: Setting, _: &Effort) -> Result<Scene> {
    let (left, right) = (Node::new(topology, "node1", 1)?, Node::new(topology, "node2", 2)?);
    Wire::direct_carrying(&left, &right, WIRE_MTU, setting.carries())?;
    let side = |node: &Node, remote: &Node, name: &str, number| {
        let vtep = KernelVtep::new(node, VNI, Family::V4, &[remote.underlay(Family::V4)])?;
        let addresses = addresses(number);
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        Side::of(vtep.container(name, &addresses, MTU)?)
    };
    let mut scene = Scene::new(side(&left, &right, "client", 1)?, side(&right, &left, "server", 2)?);
    scene.nodes.extend([left, right]);
    Ok(scene)
}

//! A veth pair between the containers: what the kernel does for any two of them, and the most that can be had.

use anyhow::Result;
use vrouter_tests::{container::LINK, topology::Topology};

use super::{Setting, addresses};
use crate::{
    measure::Effort,
    scene::{Scene, Side},
};

pub(super) fn build(topology: &Topology, _: Setting, _: &Effort) -> Result<Scene> {
    let (client, server) = (topology.netns("client")?, topology.netns("server")?);
    client.veth(LINK, &server, LINK, 1500)?;
    let side = |netns: vrouter_tests::netns::Netns, number| {
        let with_length = addresses(number);
        let mut bare = Vec::new();
        for address in &with_length {
            netns.address(LINK, address)?;
            bare.extend(address.split('/').next().map(str::parse));
        }
        Side::new(netns, bare.into_iter().collect::<Result<_, _>>()?)
    };
    Ok(Scene::new(side(client, 1)?, side(server, 2)?))
}

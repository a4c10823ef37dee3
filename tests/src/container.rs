//! Containers: namespaces whose only link is a veth, the other end of which is in their node.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};
use vrouter_proto::control::Endpoint;

use crate::{
    netns::Netns,
    node::{Family, Node},
};

/// Name of the link inside every container.
pub const LINK: &str = "eth0";

/// What the link carries at most, unless its endpoint says less: packets of many segments, which the router cuts and joins.
const LINK_MTU: u32 = 60_000;

/// A container on a node.
#[derive(Debug)]
pub struct Container {
    /// Name, also of its link on the node.
    pub name: String,
    /// Where it lives.
    pub netns: Netns,
    /// The node it is on.
    pub node: String,
    addresses: Vec<IpAddr>,
}

impl Container {
    /// A container with a link to its node and no address yet. Its name becomes the link's name on the node: up to 15
    /// characters.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(node: &Node, name: &str) -> Result<Self> {
        Self::with_mtu(node, name, LINK_MTU)
    }

    /// As [`new`](Self::new), with this MTU at both ends of the link.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn with_mtu(node: &Node, name: &str, mtu: u32) -> Result<Self> {
        let netns = node.netns.topology().netns(name)?;
        // The node's end belongs to the router or bridge there: no addresses of the node's own on it.
        node.netns.sysctl("ipv6.conf.default.disable_ipv6", "1")?;
        let made = node.netns.veth(name, &netns, LINK, mtu);
        node.netns.sysctl("ipv6.conf.default.disable_ipv6", "0")?;
        made?;
        Ok(Self {
            name: name.to_owned(),
            netns,
            node: node.name.clone(),
            addresses: Vec::new(),
        })
    }

    /// Its MAC address.
    ///
    /// # Errors
    /// When the link is gone.
    pub fn mac(&self) -> Result<String> {
        self.netns.mac(LINK)
    }

    /// Gives it an address with prefix length, on link.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn address(&mut self, cidr: &str) -> Result<()> {
        self.netns.address(LINK, cidr)?;
        let address = cidr.split('/').next().unwrap_or_default();
        self.addresses
            .push(address.parse().with_context(|| format!("not an address: {cidr}"))?);
        Ok(())
    }

    /// Sends everything that is not on link to `gateway`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn gateway(&self, gateway: &str) -> Result<()> {
        self.netns.route("default", &format!("via {gateway}"))
    }

    /// Sets the largest IP packet it sends.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn mtu(&self, bytes: u32) -> Result<()> {
        self.netns.ip(&format!("link set {LINK} mtu {bytes}"))
    }

    /// Configures it as the control process says: MAC, addresses with the prefix length of their gateways, default routes,
    /// MTU.
    ///
    /// # Errors
    /// When the endpoint has an address that no gateway is for, or the kernel refuses.
    pub fn configure(&mut self, endpoint: &Endpoint) -> Result<()> {
        if !endpoint.mac.is_empty() && endpoint.mac != self.mac()? {
            self.netns.ip(&format!("link set {LINK} address {}", endpoint.mac))?;
        }
        if endpoint.mtu > 0 {
            self.mtu(endpoint.mtu)?;
        }
        for text in &endpoint.addresses {
            let text = text.split('/').next().unwrap_or_default();
            let address: IpAddr = text.parse().with_context(|| format!("endpoint.addresses: {text}"))?;
            let Some((gateway, length)) = gateway_of(address, &endpoint.gateways) else {
                bail!(
                    "endpoint {}: no gateway for {address} in {:?}",
                    endpoint.name,
                    endpoint.gateways
                );
            };
            self.address(&format!("{address}/{length}"))?;
            if gateway != address {
                self.gateway(&gateway.to_string())?;
            }
        }
        Ok(())
    }

    /// Its address of a family.
    ///
    /// # Errors
    /// When it has none.
    pub fn ip(&self, family: Family) -> Result<IpAddr> {
        let found = self
            .addresses
            .iter()
            .copied()
            .find(|address| Family::of(*address) == family);
        found.with_context(|| format!("{} has no {family:?} address", self.name))
    }

    /// All its addresses.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }
}

fn gateway_of(address: IpAddr, gateways: &[String]) -> Option<(IpAddr, u8)> {
    gateways.iter().find_map(|text| {
        let (gateway, length) = text.split_once('/')?;
        let (gateway, length): (IpAddr, u8) = (gateway.parse().ok()?, length.parse().ok()?);
        shares_prefix(address, gateway, length).then_some((gateway, length))
    })
}

fn shares_prefix(one: IpAddr, other: IpAddr, length: u8) -> bool {
    let differing = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => return false,
    };
    differing >= u32::from(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_finds_the_gateway_of_its_subnet() {
        let gateways = [
            "10.1.0.1/24".to_owned(),
            "10.2.0.1/16".to_owned(),
            "fd00:1::1/64".to_owned(),
        ];
        let find = |text: &str| {
            gateway_of(text.parse().unwrap(), &gateways).map(|(gateway, length)| format!("{gateway}/{length}"))
        };
        assert_eq!(find("10.1.0.200").as_deref(), Some("10.1.0.1/24"));
        assert_eq!(find("10.2.9.9").as_deref(), Some("10.2.0.1/16"));
        assert_eq!(find("fd00:1::abcd").as_deref(), Some("fd00:1::1/64"));
        assert_eq!(find("10.1.1.1"), None);
        assert_eq!(find("fd00:2::1"), None);
    }
}

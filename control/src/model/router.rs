//! Routers: what joins networks.

use serde::{Deserialize, Serialize};
use vrouter_proto::control as pb;

use super::{
    error::{InField, Invalid},
    name::Name,
    object::{Object, Spec, Wish, fields},
    prefix::Prefix,
    reference::{Target, each, list, optional},
};

/// A part of one network that another reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteLeak {
    /// The network whose addresses they are.
    pub from: Name,
    /// The network that reaches them.
    pub to: Name,
    /// Which addresses.
    pub prefix: Prefix,
}

/// What a client chooses of a router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterSpec {
    /// Networks whose endpoints reach each other.
    pub networks: Vec<Name>,
    /// The external network that they reach.
    pub external_network: Option<Name>,
    /// Sources without a floating address are translated behind their node.
    pub translate_sources: bool,
    /// Selected routes beyond `networks`.
    pub leaks: Vec<RouteLeak>,
    /// Ports per block, a power of two, 8..=4096.
    pub port_block_size: u32,
    /// Blocks that one endpoint may have, at least 1.
    pub port_blocks_per_endpoint: u32,
}

/// A router, as stored.
pub type Router = Object<RouterSpec>;

impl RouterSpec {
    /// Ports per block unless asked otherwise.
    pub const DEFAULT_BLOCK_SIZE: u32 = 64;
    /// Blocks per endpoint unless asked otherwise.
    pub const DEFAULT_BLOCKS: u32 = 16;
    /// Most networks, and most leaks, of a router.
    pub const MAX: usize = 1024;
    /// Ports of one address that sources are translated to: 1024..=65535.
    const PORTS: u32 = 64_512;
}

impl Wish<RouterSpec> {
    /// Checks a request's router.
    ///
    /// # Errors
    /// Names the field at fault.
    pub fn from_proto(router: Option<pb::Router>) -> Result<Self, Invalid> {
        let router = router.ok_or_else(|| Invalid::new("router", "is missing"))?;
        for (field, count) in [
            ("router.networks", router.networks.len()),
            ("router.leaks", router.leaks.len()),
        ] {
            if count > RouterSpec::MAX {
                return Err(Invalid::new(
                    field,
                    format!("{count} of them; at most {}", RouterSpec::MAX),
                ));
            }
        }
        let mut leaks = Vec::with_capacity(router.leaks.len());
        for (index, leak) in router.leaks.iter().enumerate() {
            let at = |name: &str| format!("router.leaks[{index}].{name}");
            let leak = RouteLeak {
                from: Name::new(&leak.from_network).in_field(&at("from_network"))?,
                to: Name::new(&leak.to_network).in_field(&at("to_network"))?,
                prefix: Prefix::new(&leak.prefix).in_field(&at("prefix"))?,
            };
            if leak.from == leak.to {
                let message = format!("{} reaches itself already; another network would be right", leak.to);
                return Err(Invalid::new(at("to_network"), message));
            }
            if leaks.contains(&leak) {
                let message = format!("{} of {} is there twice", leak.prefix, leak.from);
                return Err(Invalid::new(format!("router.leaks[{index}]"), message));
            }
            leaks.push(leak);
        }
        let or = |value: u32, default: u32| if value == 0 { default } else { value };
        let spec = RouterSpec {
            networks: list("router.networks", &router.networks, Name::new)?,
            external_network: optional(&router.external_network, Name::new).in_field("router.external_network")?,
            translate_sources: router.translate_sources,
            leaks,
            port_block_size: or(router.port_block_size, RouterSpec::DEFAULT_BLOCK_SIZE),
            port_blocks_per_endpoint: or(router.port_blocks_per_endpoint, RouterSpec::DEFAULT_BLOCKS),
        };
        Self::new(&router.name, router.revision, spec)
    }
}

impl Spec for RouterSpec {
    type Given = ();
    const KIND: &'static str = "router";
    fields! {
        networks: "networks",
        external_network: "external_network",
        translate_sources: "translate_sources",
        leaks: "leaks",
        port_block_size: "port_block_size",
        port_blocks_per_endpoint: "port_blocks_per_endpoint",
    }

    fn check(&self) -> Result<(), Invalid> {
        let size = self.port_block_size;
        if !size.is_power_of_two() || !(8..=4096).contains(&size) {
            let message = format!("{size}; a power of two from 8 to 4096 would be right, or 0 for 64");
            return Err(Invalid::new("router.port_block_size", message));
        }
        // No dataplane gives one source more blocks; larger ones give it more ports.
        let most = (Self::PORTS / size).min(256);
        if !(1..=most).contains(&self.port_blocks_per_endpoint) {
            let message = format!(
                "{}; 1 to {most} blocks of {size} ports would be right, or 0 for {}",
                self.port_blocks_per_endpoint,
                Self::DEFAULT_BLOCKS
            );
            return Err(Invalid::new("router.port_blocks_per_endpoint", message));
        }
        if self.networks.is_empty() && self.leaks.is_empty() {
            return Err(Invalid::new(
                "router.networks",
                "is empty; a router joins at least one network",
            ));
        }
        if self.translate_sources && self.external_network.is_none() {
            let message = "sources are translated on the way to an external network; name one in external_network";
            return Err(Invalid::new("router.translate_sources", message));
        }
        if self.external_network.is_some() && self.networks.is_empty() {
            let message = "is empty, so nobody would reach the external network";
            return Err(Invalid::new("router.networks", message));
        }
        Ok(())
    }

    fn references(&self) -> Vec<(String, Target)> {
        let external = |name: &Name| ("external_network".to_owned(), Target::Network(name.clone()));
        let mut all: Vec<_> = each("networks", &self.networks, Target::Network).collect();
        all.extend(self.external_network.iter().map(external));
        for (index, leak) in self.leaks.iter().enumerate() {
            let (from, to) = (leak.from.clone(), leak.to.clone());
            all.push((format!("leaks[{index}].from_network"), Target::Network(from)));
            all.push((format!("leaks[{index}].to_network"), Target::Network(to)));
        }
        all
    }
}

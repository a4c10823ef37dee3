//! Floating addresses: addresses of the external network that stand for endpoints, or whose ports do.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use vrouter_proto::control as pb;

use super::{
    cidr::{Family, parse_address},
    error::{InField, Invalid},
    name::Name,
    object::{Object, Spec, Wish, fields},
    reference::{EndpointRef, Target, optional},
    traffic::{self, Protocol},
};

/// A port that stands for a port of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortForward {
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// Of the floating address.
    pub port: u16,
    /// The endpoint.
    pub endpoint: EndpointRef,
    /// The endpoint's port.
    pub target_port: u16,
}

/// What a client chooses of a floating address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloatingIpSpec {
    /// The external network. There always is one once it is stored.
    pub network: Option<Name>,
    /// The address asked for; `None`: the server's choice. What it has is in [`FloatingIpGiven`].
    pub address: Option<IpAddr>,
    /// The family asked for.
    pub family: Option<AddressFamily>,
    /// The endpoint that it stands for with all ports.
    pub endpoint: Option<EndpointRef>,
    /// Which of the endpoint's addresses; `None`: its first of the family.
    pub fixed_address: Option<IpAddr>,
    /// Ports that stand for ports of endpoints.
    pub forwards: Vec<PortForward>,
    /// It goes with its last forward.
    #[serde(default)]
    pub ephemeral: bool,
}

/// [`Family`] as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl From<AddressFamily> for Family {
    fn from(family: AddressFamily) -> Self {
        match family {
            AddressFamily::V4 => Self::V4,
            AddressFamily::V6 => Self::V6,
        }
    }
}

/// What the server gave a floating address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloatingIpGiven {
    /// The external network whose address it is.
    pub network: Name,
    /// The address.
    pub address: IpAddr,
}

/// A floating address, as stored.
pub type FloatingIp = Object<FloatingIpSpec>;

impl FloatingIpSpec {
    /// Most forwards of one address.
    pub const MAX_FORWARDS: usize = 4096;
}

impl Wish<FloatingIpSpec> {
    /// Checks a request's floating address.
    ///
    /// # Errors
    /// Names the field at fault.
    pub fn from_proto(floating: Option<pb::FloatingIp>) -> Result<Self, Invalid> {
        let floating = floating.ok_or_else(|| Invalid::new("floating_ip", "is missing"))?;
        if floating.forwards.len() > FloatingIpSpec::MAX_FORWARDS {
            let message = format!(
                "{} forwards; at most {}",
                floating.forwards.len(),
                FloatingIpSpec::MAX_FORWARDS
            );
            return Err(Invalid::new("floating_ip.forwards", message));
        }
        let mut taken = std::collections::HashMap::new();
        let mut forwards: Vec<PortForward> = Vec::with_capacity(floating.forwards.len());
        for (index, forward) in floating.forwards.iter().enumerate() {
            let at = |name: &str| format!("floating_ip.forwards[{index}].{name}");
            let protocol = Protocol::with_ports(&forward.protocol).in_field(&at("protocol"))?;
            let port = traffic::port(forward.port).in_field(&at("port"))?;
            if let Some(other) = taken.insert((protocol, port), index) {
                let message = format!("{protocol} port {port} is forwarded by forwards[{other}] already");
                return Err(Invalid::new(at("port"), message));
            }
            forwards.push(PortForward {
                protocol,
                port,
                endpoint: EndpointRef::new(&forward.endpoint).in_field(&at("endpoint"))?,
                target_port: match forward.target_port {
                    0 => port,
                    target => traffic::port(target).in_field(&at("target_port"))?,
                },
            });
        }
        let spec = FloatingIpSpec {
            network: optional(&floating.network, Name::new).in_field("floating_ip.network")?,
            address: optional(&floating.address, parse_address).in_field("floating_ip.address")?,
            family: match floating.family {
                0 => None,
                4 => Some(AddressFamily::V4),
                6 => Some(AddressFamily::V6),
                other => {
                    let message = format!("{other} is no family; 4, 6, or 0 for what the network has, would be right");
                    return Err(Invalid::new("floating_ip.family", message));
                }
            },
            endpoint: optional(&floating.endpoint, EndpointRef::new).in_field("floating_ip.endpoint")?,
            fixed_address: optional(&floating.fixed_address, parse_address).in_field("floating_ip.fixed_address")?,
            forwards,
            ephemeral: floating.ephemeral,
        };
        Self::new(&floating.name, floating.revision, spec)
    }
}

impl Spec for FloatingIpSpec {
    type Given = FloatingIpGiven;
    const KIND: &'static str = "floating_ip";
    const FIXED: &'static [&'static str] = &["network", "address", "family"];
    fields! {
        network: "network",
        address: "address",
        family: "family",
        endpoint: "endpoint",
        fixed_address: "fixed_address",
        forwards: "forwards",
        ephemeral: "ephemeral",
    }

    fn settle(&mut self, existing: &Object<Self>) {
        let (wished, given) = (&existing.spec, &existing.given);
        if self.network.is_none() {
            self.network.clone_from(&wished.network);
        }
        if self.address.is_none_or(|address| address == given.address) {
            self.address = wished.address;
        }
        if self
            .family
            .is_none_or(|family| Family::from(family) == Family::of(given.address))
        {
            self.family = wished.family;
        }
    }

    fn check(&self) -> Result<(), Invalid> {
        if self.endpoint.is_some() && !self.forwards.is_empty() {
            let message = "an address stands for an endpoint with all ports, or forwards ports, not both";
            return Err(Invalid::new("floating_ip.forwards", message));
        }
        if self.fixed_address.is_some() && self.endpoint.is_none() {
            return Err(Invalid::new("floating_ip.fixed_address", "goes with an endpoint only"));
        }
        let family = self.family.map(Family::from);
        if let Some((family, address)) = family.zip(self.address).filter(|(f, a)| *f != Family::of(*a)) {
            return Err(Invalid::new(
                "floating_ip.family",
                format!("{address} is no {family} address"),
            ));
        }
        Ok(())
    }

    fn references(&self) -> Vec<(String, Target)> {
        let network = |name: &Name| ("network".to_owned(), Target::Network(name.clone()));
        let endpoint = |name: &EndpointRef| ("endpoint".to_owned(), Target::Endpoint(name.clone()));
        let forward = |(index, f): (usize, &PortForward)| {
            (
                format!("forwards[{index}].endpoint"),
                Target::Endpoint(f.endpoint.clone()),
            )
        };
        let network = self.network.iter().map(network);
        let endpoint = self.endpoint.iter().map(endpoint);
        network
            .chain(endpoint)
            .chain(self.forwards.iter().enumerate().map(forward))
            .collect()
    }
}

//! What the plugin remembers: pools, networks and endpoints that dockerd asked for.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use vrouter_control::model::{Cidr, Family};

/// A pool that dockerd holds, by the last part of the pool's identifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pool {
    /// Its prefix.
    pub(crate) cidr: Cidr,
    /// The part of it that containers of this node get addresses of. `None`: all.
    pub(crate) range: Option<Cidr>,
    /// The gateway that dockerd was told, or that it asked for.
    pub(crate) gateway: IpAddr,
    /// Control's network, where dockerd or the user said which.
    pub(crate) network: Option<String>,
    /// Docker's network, once there is one.
    pub(crate) docker_network: Option<String>,
    /// Addresses of it that no container may get.
    pub(crate) auxiliary: Vec<IpAddr>,
    /// When it was asked for, seconds since 1970.
    pub(crate) since: u64,
}

/// A network of dockerd's, by its identifier there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Network {
    /// Control's network.
    pub(crate) name: String,
    /// No way out of it for containers.
    pub(crate) internal: bool,
    /// Dockerd has its addresses from this plugin.
    pub(crate) own_addresses: bool,
    /// Its subnets, as control calls them.
    pub(crate) subnets: Vec<Subnet>,
    /// Dockerd has deleted it, and control does not know yet.
    pub(crate) deleting: bool,
}

/// A subnet of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subnet {
    /// Its prefix.
    pub(crate) cidr: Cidr,
    /// Its name in control.
    pub(crate) name: String,
}

impl Network {
    /// The name of the subnet of a prefix.
    pub(crate) fn subnet(&self, cidr: Cidr) -> Option<&str> {
        let found = self.subnets.iter().find(|subnet| subnet.cidr == cidr);
        found.map(|subnet| subnet.name.as_str())
    }
}

/// Where an endpoint is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// Addresses are kept for it.
    Reserved,
    /// It is being made.
    Claimed,
    /// A container can use it.
    Attached,
    /// Nobody needs it any more, and control may not know yet.
    Deleting,
}

/// An endpoint of control's that this plugin made, by [`key`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// Control's network.
    pub(crate) network: String,
    /// Its name there.
    pub(crate) name: String,
    /// Where it is in its life.
    pub(crate) phase: Phase,
    /// MAC address. Empty: control's choice, not known yet.
    pub(crate) mac: String,
    /// Its addresses, as far as they are known.
    pub(crate) addresses: Vec<IpAddr>,
    /// Docker's endpoint and network, once there is one.
    pub(crate) docker: Option<DockerEndpoint>,
    /// Name of the host's end of its veth.
    pub(crate) link: Option<String>,
    /// Name of the end that dockerd moves.
    pub(crate) peer: Option<String>,
    /// Gateways that the container is to use.
    pub(crate) gateways: Vec<IpAddr>,
    /// Ports that are published: "192.0.2.50 tcp/8080 -> 80".
    pub(crate) published: Vec<String>,
    /// Ports were published, are not to be any more, and control does not know yet.
    #[serde(default)]
    pub(crate) withdraw: bool,
    /// A container has it, whose name and labels control has yet to hear.
    #[serde(default)]
    pub(crate) undescribed: bool,
    /// When its addresses were asked for, seconds since 1970.
    pub(crate) since: u64,
}

/// What dockerd calls an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DockerEndpoint {
    /// The endpoint's identifier.
    pub(crate) endpoint: String,
    /// The network's identifier.
    pub(crate) network: String,
}

impl Endpoint {
    /// One that has a name and perhaps a MAC address (else empty), and nothing else yet.
    pub(crate) fn reserved(network: &str, name: &str, mac: String, since: u64) -> Self {
        Self {
            network: network.to_owned(),
            name: name.to_owned(),
            phase: Phase::Reserved,
            mac,
            addresses: Vec::new(),
            docker: None,
            link: None,
            peer: None,
            gateways: Vec::new(),
            published: Vec::new(),
            withdraw: false,
            undescribed: false,
            since,
        }
    }

    /// The name of its record.
    pub(crate) fn key(&self) -> String {
        key(&self.network, &self.name)
    }

    /// The gateway of a family that the container is to use.
    pub(crate) fn gateway(&self, family: Family) -> String {
        let found = self.gateways.iter().find(|gateway| Family::of(**gateway) == family);
        found.map(ToString::to_string).unwrap_or_default()
    }

    /// Whether it is dockerd's endpoint of this identifier.
    pub(crate) fn is(&self, endpoint: &str) -> bool {
        self.docker.as_ref().is_some_and(|docker| docker.endpoint == endpoint)
    }
}

/// The name of an endpoint's record.
pub(crate) fn key(network: &str, name: &str) -> String {
    format!("{network}.{name}")
}

/// The name of the endpoint that has a MAC address.
pub(crate) fn name_of(mac: &str) -> String {
    format!("docker-{}", mac.replace(':', ""))
}

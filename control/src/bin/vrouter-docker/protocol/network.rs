//! The remote network driver.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Options, nullable};

/// `NetworkDriver.GetCapabilities`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Capabilities {
    /// Who keeps networks: `local`: each dockerd its own.
    pub(crate) scope: &'static str,
    /// How far endpoints of a network reach.
    pub(crate) connectivity_scope: &'static str,
    /// `GwAllocCheck` is answered.
    pub(crate) gw_alloc_checker: bool,
}

/// A pool of a network.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct IpamData {
    /// Names the IPAM driver that gave it.
    #[serde(deserialize_with = "nullable")]
    pub(crate) address_space: String,
    /// Prefix.
    #[serde(deserialize_with = "nullable")]
    pub(crate) pool: String,
    /// Address with prefix length.
    #[serde(deserialize_with = "nullable")]
    pub(crate) gateway: String,
    /// Further addresses that no container may get, by names.
    #[serde(deserialize_with = "nullable")]
    pub(crate) aux_addresses: HashMap<String, Value>,
}

/// `CreateNetwork`, and `AllocateNetwork`, which swarm managers say.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CreateNetwork {
    #[serde(rename = "NetworkID", deserialize_with = "nullable")]
    pub(crate) network: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) options: Options,
    #[serde(rename = "IPv4Data", deserialize_with = "nullable")]
    pub(crate) ipv4: Vec<IpamData>,
    #[serde(rename = "IPv6Data", deserialize_with = "nullable")]
    pub(crate) ipv6: Vec<IpamData>,
}

/// The answer to `AllocateNetwork`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Allocated {
    pub(crate) options: HashMap<String, String>,
}

/// `GwAllocCheck`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct GatewayCheck {
    #[serde(deserialize_with = "nullable")]
    pub(crate) options: Options,
}

/// The answer to `GwAllocCheck`: whether dockerd needs no gateway address of its IPAM driver.
#[derive(Debug, Default, Serialize)]
pub(crate) struct GatewayNeeds {
    #[serde(rename = "SkipIPv4")]
    pub(crate) skip_ipv4: bool,
    #[serde(rename = "SkipIPv6")]
    pub(crate) skip_ipv6: bool,
}

/// `DeleteNetwork`, `FreeNetwork`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NetworkOnly {
    #[serde(rename = "NetworkID", deserialize_with = "nullable")]
    pub(crate) network: String,
}

/// The interface of an endpoint. What is empty is left to the other side.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Interface {
    /// IPv4 address with prefix length.
    #[serde(rename = "Address", deserialize_with = "nullable")]
    pub(crate) address: String,
    /// IPv6 address with prefix length.
    #[serde(rename = "AddressIPv6", deserialize_with = "nullable")]
    pub(crate) address_ipv6: String,
    #[serde(rename = "MacAddress", deserialize_with = "nullable")]
    pub(crate) mac: String,
}

/// `CreateEndpoint`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CreateEndpoint {
    #[serde(rename = "NetworkID", deserialize_with = "nullable")]
    pub(crate) network: String,
    #[serde(rename = "EndpointID", deserialize_with = "nullable")]
    pub(crate) endpoint: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) interface: Interface,
    #[serde(deserialize_with = "nullable")]
    pub(crate) options: Options,
}

/// The answer to `CreateEndpoint`: what the request left open.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Created {
    pub(crate) interface: Interface,
}

/// `DeleteEndpoint`, `EndpointOperInfo`, `Leave`, `RevokeExternalConnectivity`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EndpointOnly {
    #[serde(rename = "NetworkID", deserialize_with = "nullable")]
    pub(crate) network: String,
    #[serde(rename = "EndpointID", deserialize_with = "nullable")]
    pub(crate) endpoint: String,
}

/// The answer to `EndpointOperInfo`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EndpointInfo {
    pub(crate) value: Options,
}

/// `Join`, `ProgramExternalConnectivity`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Join {
    #[serde(rename = "NetworkID", deserialize_with = "nullable")]
    pub(crate) network: String,
    #[serde(rename = "EndpointID", deserialize_with = "nullable")]
    pub(crate) endpoint: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) options: Options,
}

/// The answer to `Join`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Joined {
    pub(crate) interface_name: InterfaceName,
    pub(crate) gateway: String,
    #[serde(rename = "GatewayIPv6")]
    pub(crate) gateway_ipv6: String,
    /// No way out beside ours.
    pub(crate) disable_gateway_service: bool,
}

/// The link that dockerd moves into the container, and what its name there begins with.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InterfaceName {
    pub(crate) src_name: String,
    pub(crate) dst_prefix: &'static str,
}

/// `DiscoverNew`, `DiscoverDelete`: nodes of a cluster that come and go.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Discovery {}

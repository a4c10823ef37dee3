//! The remote IPAM driver.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::nullable;

/// `IpamDriver.GetCapabilities`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Capabilities {
    /// Each request for an endpoint's address comes with the endpoint's MAC address, by which those of one endpoint find together.
    #[serde(rename = "RequiresMACAddress")]
    pub(crate) requires_mac_address: bool,
    /// Pools and addresses are to be asked for again when dockerd starts.
    pub(crate) requires_request_replay: bool,
}

/// `GetDefaultAddressSpaces`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AddressSpaces {
    pub(crate) local_default_address_space: &'static str,
    pub(crate) global_default_address_space: &'static str,
}

/// `RequestPool`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct RequestPool {
    /// Prefix; empty: the driver's choice.
    #[serde(deserialize_with = "nullable")]
    pub(crate) pool: String,
    /// Part of it that containers get addresses of (`--ip-range`).
    #[serde(deserialize_with = "nullable")]
    pub(crate) sub_pool: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) options: HashMap<String, String>,
    pub(crate) v6: bool,
}

/// The answer to `RequestPool`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Pool {
    #[serde(rename = "PoolID")]
    pub(crate) id: String,
    pub(crate) pool: String,
    pub(crate) data: HashMap<&'static str, String>,
}

/// `ReleasePool`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ReleasePool {
    #[serde(rename = "PoolID", deserialize_with = "nullable")]
    pub(crate) pool: String,
}

/// `RequestAddress`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct RequestAddress {
    #[serde(rename = "PoolID", deserialize_with = "nullable")]
    pub(crate) pool: String,
    /// Empty: the driver's choice.
    #[serde(deserialize_with = "nullable")]
    pub(crate) address: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) options: HashMap<String, String>,
}

/// The answer to `RequestAddress`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Address {
    /// With prefix length.
    pub(crate) address: String,
    pub(crate) data: HashMap<&'static str, String>,
}

/// `ReleaseAddress`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ReleaseAddress {
    #[serde(rename = "PoolID", deserialize_with = "nullable")]
    pub(crate) pool: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) address: String,
}

//! What dockerd and a plugin say to each other: the remote network and IPAM drivers of libnetwork, JSON over HTTP.
//!
//! Field names are dockerd's. Fields that are missing, `null` or unknown are taken as their defaults: dockers of different age say more or less.
//! What the words mean is decided elsewhere.

pub(crate) mod ipam;
pub(crate) mod network;

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Options of any shape, as dockerd passes them on.
pub(crate) type Options = HashMap<String, Value>;

/// The answer to `/Plugin.Activate`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Activation {
    /// The kinds of plugin that this is.
    pub(crate) implements: [&'static str; 2],
}

/// An answer without content.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Done {}

/// Go writes empty maps, lists and pointers as `null`.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

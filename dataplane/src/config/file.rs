//! The TOML file: the same keys as the flags.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{ConfigError, CpuList, LogFormat, Poll, flags::UplinkFlag, uplinks};
use crate::{
    api::{Address, Collector},
    port::check_interface_name,
    program::object::Mode,
    tables::port::Gateway,
};

/// Largest file that is read, bytes. Nobody's settings are that long; a device or a log is.
const MAX_FILE: u64 = 1 << 20;

/// What stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct File {
    pub(super) node: Option<String>,
    pub(super) listen: Vec<Address>,
    pub(super) uplink: Vec<Uplink>,
    #[serde(deserialize_with = "vteps")]
    pub(super) vtep: Vec<Gateway>,
    pub(super) gateway: Vec<IpAddr>,
    pub(super) workers: Option<u64>,
    pub(super) cpus: Option<CpuList>,
    pub(super) poll: Option<Poll>,
    pub(super) spin: Option<u64>,
    pub(super) frames: Option<u64>,
    pub(super) frame_size: Option<u64>,
    pub(super) large_frames: Option<u64>,
    pub(super) access_rings: Option<u64>,
    pub(super) uplink_rings: Option<u64>,
    pub(super) flows: Option<u64>,
    pub(super) vrf_flows: Option<u64>,
    /// Seconds, by kind.
    pub(super) flow_timeout: BTreeMap<String, u64>,
    pub(super) ipfix: Vec<Collector>,
    pub(super) ipfix_domain: Option<u64>,
    pub(super) ipfix_active: Option<u64>,
    pub(super) ipfix_sample: Option<u64>,
    pub(super) ipfix_rate: Option<u64>,
    pub(super) metrics: Option<SocketAddr>,
    pub(super) metrics_max_names: Option<u64>,
    pub(super) log: Option<String>,
    pub(super) log_format: Option<LogFormat>,
}

/// One `[[uplink]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Uplink {
    #[serde(deserialize_with = "interface")]
    pub(super) interface: String,
    #[serde(default, deserialize_with = "mode")]
    pub(super) mode: Mode,
    #[serde(default, deserialize_with = "vteps")]
    pub(super) vtep: Vec<Gateway>,
    #[serde(default)]
    pub(super) gateway: Vec<IpAddr>,
}

impl From<UplinkFlag> for Uplink {
    fn from(flag: UplinkFlag) -> Self {
        Self {
            interface: flag.interface,
            mode: flag.mode,
            vtep: Vec::new(),
            gateway: Vec::new(),
        }
    }
}

impl File {
    /// Reads the file.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        let length = fs::metadata(path).map_err(read)?.len();
        if length > MAX_FILE {
            return Err(ConfigError::Value {
                place: path.display().to_string(),
                message: format!("{length} bytes are too long for a config file; it has at most {MAX_FILE}"),
            });
        }
        let text = fs::read_to_string(path).map_err(read)?;
        toml::from_str(&text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            error: Box::new(error),
        })
    }
}

fn vteps<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Gateway>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts
        .iter()
        .map(|text| text.parse().map_err(D::Error::custom))
        .collect()
}

fn mode<'de, D: Deserializer<'de>>(from: D) -> Result<Mode, D::Error> {
    uplinks::mode(&String::deserialize(from)?).map_err(D::Error::custom)
}

fn interface<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    check_interface_name(&text).map_err(D::Error::custom)?;
    Ok(text)
}

//! Networks.

use serde::{Deserialize, Serialize};
use vrouter_proto::control as pb;

use super::{
    encapsulation::Encapsulation,
    error::{InField, Invalid},
    labels::{self, Labels},
    name::Name,
};

/// Largest IP packet of workloads in bytes, 1280..=65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkloadMtu(u32);

impl WorkloadMtu {
    /// What IPv6 asks of every link (RFC 8200).
    pub const MIN: u32 = 1280;
    /// A jumbo frame.
    pub const MAX: u32 = 65_535;

    /// Checks `bytes`.
    ///
    /// # Errors
    /// In words, when out of range.
    pub fn new(bytes: u32) -> Result<Self, String> {
        if (Self::MIN..=Self::MAX).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(format!(
                "{bytes} bytes; {} to {}, or 0 for what the underlay carries, would be right",
                Self::MIN,
                Self::MAX
            ))
        }
    }

    /// In bytes.
    #[must_use]
    pub fn bytes(self) -> u32 {
        self.0
    }
}

/// What is done with traffic that no policy rule decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultVerdict {
    /// Let through.
    #[default]
    Allow,
    /// Refused.
    Deny,
}

impl DefaultVerdict {
    fn from_proto(field: &str, value: i32) -> Result<Self, Invalid> {
        match pb::DefaultVerdict::try_from(value) {
            Ok(pb::DefaultVerdict::Unspecified | pb::DefaultVerdict::DefaultAllow) => Ok(Self::Allow),
            Ok(pb::DefaultVerdict::DefaultDeny) => Ok(Self::Deny),
            Err(_) => Err(Invalid::new(
                field,
                format!("{value} is no verdict; DEFAULT_ALLOW (1) or DEFAULT_DENY (2) would be right"),
            )),
        }
    }

    /// As the API says it.
    #[must_use]
    pub fn to_proto(self) -> pb::DefaultVerdict {
        match self {
            Self::Allow => pb::DefaultVerdict::DefaultAllow,
            Self::Deny => pb::DefaultVerdict::DefaultDeny,
        }
    }
}

/// A logical network as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its name.
    pub name: Name,
    /// Unique for ever.
    pub uid: String,
    /// Store revision of the last change.
    pub revision: u64,
    /// VRF (and bridge) number on every node; not reused while in use.
    pub number: u32,
    /// One broadcast domain.
    pub bridged: bool,
    /// How its packets travel between nodes.
    pub encapsulation: Encapsulation,
    /// VXLAN network identifier, 1..=16777215.
    pub vni: u32,
    /// Largest IP packet of workloads; `None`: what the underlay carries.
    pub mtu: Option<WorkloadMtu>,
    /// Notes.
    pub labels: Labels,
    /// Its addresses live on the underlay, in the clear.
    #[serde(default)]
    pub external: bool,
    /// What is done with traffic to its endpoints that no policy rule decides.
    #[serde(default)]
    pub default_ingress: DefaultVerdict,
    /// The same for traffic from its endpoints.
    #[serde(default)]
    pub default_egress: DefaultVerdict,
}

/// What a client asks of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkWish {
    /// Its name.
    pub name: Name,
    /// The revision that an update expects; 0: any.
    pub revision: u64,
    /// One broadcast domain.
    pub bridged: bool,
    /// How its packets travel between nodes.
    pub encapsulation: Encapsulation,
    /// VXLAN network identifier; `None`: the server's choice.
    pub vni: Option<u32>,
    /// Largest IP packet of workloads; `None`: what the underlay carries.
    pub mtu: Option<WorkloadMtu>,
    /// Notes.
    pub labels: Labels,
    /// Its addresses live on the underlay, in the clear.
    pub external: bool,
    /// What is done with traffic to its endpoints that no policy rule decides.
    pub default_ingress: DefaultVerdict,
    /// The same for traffic from its endpoints.
    pub default_egress: DefaultVerdict,
}

impl NetworkWish {
    /// Fields that an update mask may name.
    pub const FIELDS: &'static [&'static str] = &[
        "bridged",
        "encapsulation",
        "vni",
        "mtu",
        "labels",
        "external",
        "default_ingress",
        "default_egress",
    ];

    /// Checks a request's network.
    ///
    /// # Errors
    /// Names the field at fault.
    pub fn from_proto(network: Option<pb::Network>) -> Result<Self, Invalid> {
        let network = network.ok_or_else(|| Invalid::new("network", "is missing"))?;
        let wish = Self {
            name: Name::new(&network.name).in_field("network.name")?,
            revision: network.revision,
            bridged: network.bridged,
            encapsulation: Encapsulation::from_proto("network.encapsulation", network.encapsulation)?,
            vni: match network.vni {
                0 => None,
                1..=0xff_ffff => Some(network.vni),
                vni => {
                    return Err(Invalid::new(
                        "network.vni",
                        format!("{vni} is out of range; 1 to 16777215, or 0 for the server's choice"),
                    ));
                }
            },
            mtu: match network.mtu {
                0 => None,
                bytes => Some(WorkloadMtu::new(bytes).in_field("network.mtu")?),
            },
            labels: labels::check("network", network.labels)?,
            external: network.external,
            default_ingress: DefaultVerdict::from_proto("network.default_ingress", network.default_ingress)?,
            default_egress: DefaultVerdict::from_proto("network.default_egress", network.default_egress)?,
        };
        Ok(wish)
    }
}

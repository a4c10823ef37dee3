//! How packets travel between nodes.

use serde::{Deserialize, Serialize};
use vrouter_proto::control as pb;

use super::{cidr::Family, error::Invalid};

/// Encapsulation of a network's packets between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encapsulation {
    /// VXLAN (RFC 7348).
    Vxlan,
    /// MPLS over UDP (RFC 7510).
    MplsUdp,
}

impl Encapsulation {
    pub(super) fn from_proto(field: &str, value: i32) -> Result<Self, Invalid> {
        match pb::Encapsulation::try_from(value) {
            Ok(pb::Encapsulation::Unspecified | pb::Encapsulation::Vxlan) => Ok(Self::Vxlan),
            Ok(pb::Encapsulation::MplsUdp) => Ok(Self::MplsUdp),
            Err(_) => Err(Invalid::new(
                field,
                format!("{value} is no encapsulation; VXLAN (1) or MPLS_UDP (2) would be right"),
            )),
        }
    }

    /// As the API says it.
    #[must_use]
    pub fn to_proto(self) -> pb::Encapsulation {
        match self {
            Self::Vxlan => pb::Encapsulation::Vxlan,
            Self::MplsUdp => pb::Encapsulation::MplsUdp,
        }
    }

    /// Bytes that it adds to an inner IP packet, the outer IP header of `underlay` included, the outer Ethernet header not.
    #[must_use]
    pub fn overhead(self, underlay: Family) -> u32 {
        let ip = match underlay {
            Family::V4 => 20,
            Family::V6 => 40,
        };
        let udp = 8;
        match self {
            Self::Vxlan => ip + udp + 8 + 14,
            Self::MplsUdp => ip + udp + 4,
        }
    }
}

//! Subnets.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use vrouter_proto::control as pb;

use super::{
    cidr::{Cidr, Family, number, parse_address},
    error::{InField, Invalid},
    name::Name,
    reserved::AddressRange,
};

/// A range of addresses of a network, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The network it belongs to.
    pub network: Name,
    /// Its name in that network.
    pub name: Name,
    /// Unique for ever.
    pub uid: String,
    /// Store revision of the last change.
    pub revision: u64,
    /// The range.
    pub cidr: Cidr,
    /// The gateway's address, one of the range's hosts.
    pub gateway: IpAddr,
    /// Never handed out; sorted.
    pub reserved: Vec<AddressRange>,
}

impl Subnet {
    /// The gateway with the prefix length, as workloads configure it: `10.1.0.1/24`.
    #[must_use]
    pub fn gateway_with_length(&self) -> String {
        format!("{}/{}", self.gateway, self.cidr.length())
    }
}

/// What a client asks of a subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetWish {
    /// The network it belongs to.
    pub network: Name,
    /// Its name in that network.
    pub name: Name,
    /// The revision that an update expects; 0: any.
    pub revision: u64,
    /// The range. `None` in updates that leave it.
    pub cidr: Option<Cidr>,
    /// The gateway's address; `None`: the first host's.
    pub gateway: Option<IpAddr>,
    /// Never handed out; sorted, without doubles.
    pub reserved: Vec<AddressRange>,
}

impl SubnetWish {
    /// Fields that an update mask may name.
    pub const FIELDS: &'static [&'static str] = &["cidr", "gateway", "reserved"];

    /// Checks a request's subnet. What depends on the prefix is checked when there is one.
    ///
    /// # Errors
    /// Names the field at fault.
    pub fn from_proto(subnet: Option<pb::Subnet>) -> Result<Self, Invalid> {
        let subnet = subnet.ok_or_else(|| Invalid::new("subnet", "is missing"))?;
        let mut reserved = Vec::with_capacity(subnet.reserved.len());
        for (index, text) in subnet.reserved.iter().enumerate() {
            reserved.push(AddressRange::new(text).in_field(&format!("subnet.reserved[{index}]"))?);
        }
        reserved.sort_unstable();
        reserved.dedup();
        let wish = Self {
            network: Name::new(&subnet.network).in_field("subnet.network")?,
            name: Name::new(&subnet.name).in_field("subnet.name")?,
            revision: subnet.revision,
            cidr: match subnet.cidr.as_str() {
                "" => None,
                text => Some(Cidr::new(text).in_field("subnet.cidr")?),
            },
            gateway: match subnet.gateway.as_str() {
                "" => None,
                text => Some(parse_address(text).in_field("subnet.gateway")?),
            },
            reserved,
        };
        if let Some(cidr) = wish.cidr {
            wish.check_within(cidr)?;
        }
        Ok(wish)
    }

    /// Checks gateway and reserved ranges against the prefix.
    ///
    /// # Errors
    /// Names the field at fault.
    pub fn check_within(&self, cidr: Cidr) -> Result<(), Invalid> {
        let (first, last) = cidr.hosts();
        if let Some(gateway) = self.gateway {
            if !cidr.contains(gateway) {
                return Err(Invalid::new("subnet.gateway", format!("{gateway} is not in {cidr}")));
            }
            if !(first..=last).contains(&number(gateway)) {
                return Err(Invalid::new(
                    "subnet.gateway",
                    format!("{gateway} is no host address of {cidr}"),
                ));
            }
        }
        for range in &self.reserved {
            let (first, last) = range.ends();
            if !cidr.contains(first) || !cidr.contains(last) {
                return Err(Invalid::new("subnet.reserved", format!("{range} is not in {cidr}")));
            }
        }
        Ok(())
    }

    /// The gateway asked for, else the first host of `cidr`.
    #[must_use]
    pub fn gateway_in(&self, cidr: Cidr) -> Option<IpAddr> {
        self.gateway.or_else(|| Family::address(cidr.family(), cidr.hosts().0))
    }
}

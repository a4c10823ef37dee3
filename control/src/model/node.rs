//! Nodes and their tunnel addresses.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use vrouter_proto::control as pb;

use super::{
    cidr::{Family, parse_address},
    error::{InField, Invalid},
    labels::{self, Labels},
    name::Name,
    reference::list,
};

/// Tunnel addresses of a node: at most one of each family, the preferred family first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<IpAddr>", into = "Vec<IpAddr>")]
pub struct Vteps(Vec<IpAddr>);

impl Vteps {
    /// Checks addresses.
    ///
    /// # Errors
    /// In words, when two are of one family.
    pub fn new(addresses: Vec<IpAddr>) -> Result<Self, String> {
        for family in [Family::V4, Family::V6] {
            let count = addresses.iter().filter(|&&a| Family::of(a) == family).count();
            if count > 1 {
                return Err(format!("{count} {family} addresses; at most one of each family"));
            }
        }
        Ok(Self(addresses))
    }

    /// The first address of each family in `addresses`; the rest is left out.
    #[must_use]
    pub fn first_of_each(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut chosen: Vec<IpAddr> = Vec::new();
        for address in addresses {
            if chosen.iter().all(|c| Family::of(*c) != Family::of(address)) {
                chosen.push(address);
            }
        }
        Self(chosen)
    }

    /// The addresses, the preferred family first.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The address of `remote` to send to from here: of the first family here that both have.
    #[must_use]
    pub fn towards(&self, remote: &Self) -> Option<IpAddr> {
        self.0.iter().find_map(|here| {
            remote
                .0
                .iter()
                .copied()
                .find(|there| Family::of(*there) == Family::of(*here))
        })
    }
}

impl TryFrom<Vec<IpAddr>> for Vteps {
    type Error = String;
    fn try_from(addresses: Vec<IpAddr>) -> Result<Self, String> {
        Self::new(addresses)
    }
}

impl From<Vteps> for Vec<IpAddr> {
    fn from(vteps: Vteps) -> Self {
        vteps.0
    }
}

/// A compute node, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: Name,
    /// Unique for ever.
    pub uid: String,
    /// Store revision of the last change.
    pub revision: u64,
    /// Node number; not reused while in use.
    pub number: u32,
    /// Tunnel addresses wished for; empty: what its dataplane says.
    pub vteps: Vteps,
    /// Notes.
    pub labels: Labels,
    /// A VTEP that runs no vrouter.
    pub external: bool,
    /// Made by the server because a dataplane is configured for it; the first create of a client adopts it.
    #[serde(default)]
    pub implicit: bool,
    /// Addresses on the underlay behind which it translates sources.
    #[serde(default)]
    pub nat_addresses: Vec<IpAddr>,
}

/// What a client asks of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeWish {
    /// Its name.
    pub name: Name,
    /// The revision that an update expects; 0: any.
    pub revision: u64,
    /// Tunnel addresses; empty: what its dataplane says.
    pub vteps: Vteps,
    /// Notes.
    pub labels: Labels,
    /// A VTEP that runs no vrouter.
    pub external: bool,
    /// Addresses on the underlay behind which it translates sources.
    pub nat_addresses: Vec<IpAddr>,
}

impl NodeWish {
    /// Fields that an update mask may name.
    pub const FIELDS: &'static [&'static str] = &["vtep_addresses", "labels", "external", "nat_addresses"];
    /// Most addresses of one family to translate behind.
    pub const MAX_NAT_ADDRESSES: usize = 8;

    /// Checks a request's node.
    ///
    /// # Errors
    /// Names the field at fault.
    pub fn from_proto(node: Option<pb::Node>) -> Result<Self, Invalid> {
        let node = node.ok_or_else(|| Invalid::new("node", "is missing"))?;
        let mut vteps = Vec::with_capacity(node.vtep_addresses.len());
        for (index, text) in node.vtep_addresses.iter().enumerate() {
            vteps.push(parse_address(text).in_field(&format!("node.vtep_addresses[{index}]"))?);
        }
        let nat_addresses = list("node.nat_addresses", &node.nat_addresses, parse_address)?;
        for family in [Family::V4, Family::V6] {
            let count = nat_addresses.iter().filter(|a| Family::of(**a) == family).count();
            if count > Self::MAX_NAT_ADDRESSES {
                let message = format!("{count} {family} addresses; at most {}", Self::MAX_NAT_ADDRESSES);
                return Err(Invalid::new("node.nat_addresses", message));
            }
        }
        Ok(Self {
            name: Name::new(&node.name).in_field("node.name")?,
            revision: node.revision,
            vteps: Vteps::new(vteps).in_field("node.vtep_addresses")?,
            labels: labels::check("node", node.labels)?,
            external: node.external,
            nat_addresses,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vteps(list: &[&str]) -> Vteps {
        Vteps::new(list.iter().map(|t| t.parse().unwrap()).collect()).unwrap()
    }

    #[test]
    fn the_senders_first_shared_family_is_used() {
        let both = vteps(&["192.0.2.1", "2001:db8::1"]);
        let six_first = vteps(&["2001:db8::2", "192.0.2.2"]);
        let four = vteps(&["192.0.2.3"]);
        assert_eq!(both.towards(&six_first), Some("192.0.2.2".parse().unwrap()));
        assert_eq!(six_first.towards(&both), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(six_first.towards(&four), Some("192.0.2.3".parse().unwrap()));
        assert_eq!(four.towards(&vteps(&["2001:db8::4"])), None);
    }

    #[test]
    fn two_of_a_family_are_refused() {
        let two = vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        assert!(Vteps::new(two.clone()).is_err());
        assert_eq!(Vteps::first_of_each(two).addresses().len(), 1);
    }
}

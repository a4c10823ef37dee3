//! Endpoints.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};
use vrouter_proto::control as pb;

use super::{
    cidr::{Family, parse_address},
    error::{InField, Invalid},
    labels::{self, Labels},
    mac::Mac,
    name::Name,
    prefix::Prefix,
    reference::{self, optional},
};

macro_rules! checked_text {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// As text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                Self::new(&text)
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

checked_text! {
    /// Name of a Linux network interface: 1 to 15 bytes, no slash, white space or control character, not `.` or `..`.
    InterfaceName
}

checked_text! {
    /// An idempotency key that a client chose: 1 to 128 printable ASCII characters.
    ClientId
}

impl InterfaceName {
    /// Checks `text`.
    ///
    /// # Errors
    /// In words, when Linux would not accept the name.
    pub fn new(text: &str) -> Result<Self, String> {
        let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
        if text.is_empty() || text.len() > 15 {
            Err(format!(
                "{text:?} has {} bytes; the name of a Linux interface has 1 to 15",
                text.len()
            ))
        } else if matches!(text, "." | "..") || text.contains(bad) {
            Err(format!(
                "{text:?} is no name of a Linux interface: no slash, colon or white space may be in it"
            ))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl ClientId {
    /// Checks `text`.
    ///
    /// # Errors
    /// In words, when it is too long or not printable.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > 128 || !text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            Err("is to be 1 to 128 printable ASCII characters".to_owned())
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

/// One wish for an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressWish {
    /// This very address.
    Address(IpAddr),
    /// Any address of this subnet. Written `subnet:NAME`.
    Subnet(Name),
}

impl AddressWish {
    /// Reads a list in which no address is twice.
    pub(super) fn list(field: &str, texts: &[String]) -> Result<Vec<Self>, Invalid> {
        let mut wishes = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let field = format!("{field}[{index}]");
            let wish = Self::new(text).in_field(&field)?;
            if matches!(wish, Self::Address(_)) && wishes.contains(&wish) {
                return Err(Invalid::new(field, format!("{text} is there twice")));
            }
            wishes.push(wish);
        }
        Ok(wishes)
    }

    /// Whether the wishes name just these addresses, in this order.
    #[must_use]
    pub fn name_exactly(wishes: &[Self], addresses: &[IpAddr]) -> bool {
        wishes.len() == addresses.len()
            && wishes
                .iter()
                .zip(addresses)
                .all(|(wish, address)| *wish == Self::Address(*address))
    }

    fn new(text: &str) -> Result<Self, String> {
        match text.strip_prefix("subnet:") {
            Some(name) => Name::new(name).map(Self::Subnet).map_err(|e| e.to_string()),
            None => parse_address(text)
                .map(Self::Address)
                .map_err(|e| format!("{e}, or \"subnet:NAME\"")),
        }
    }
}

/// A container, VM or host behind one port, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The network it is in.
    pub network: Name,
    /// Its name in that network.
    pub name: Name,
    /// Unique for ever.
    pub uid: String,
    /// Store revision of the last change.
    pub revision: u64,
    /// Port number; not reused while in use.
    pub number: u32,
    /// Node it lives on.
    pub node: Option<Name>,
    /// Linux interface on that node. `None`: not attached.
    pub interface: Option<InterfaceName>,
    /// MAC address of the workload.
    pub mac: Mac,
    /// Its addresses, in the order of the wish.
    pub addresses: Vec<IpAddr>,
    /// The wish the addresses come of.
    pub wished_addresses: Vec<AddressWish>,
    /// Notes.
    pub labels: Labels,
    /// Chosen by the client.
    pub client_id: Option<ClientId>,
    /// What it may send from beside its own addresses; routes to it lead to the endpoint.
    #[serde(default)]
    pub allowed_addresses: Vec<Prefix>,
    /// MAC addresses that it may send from beside its own.
    #[serde(default)]
    pub allowed_macs: Vec<Mac>,
    /// It may send router advertisements.
    #[serde(default)]
    pub allow_router: bool,
    /// It may answer as DHCP server.
    #[serde(default)]
    pub allow_dhcp_server: bool,
    /// Name of its QoS profile.
    #[serde(default)]
    pub qos: Option<Name>,
}

impl Endpoint {
    /// Its first address of a family.
    #[must_use]
    pub fn address_of(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|a| Family::of(*a) == family)
    }

    /// The node whose dataplane has a port for it: it lives on a node and has an interface there.
    #[must_use]
    pub fn attached_to(&self) -> Option<&Name> {
        self.interface.as_ref().and(self.node.as_ref())
    }
}

/// What a client asks of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointWish {
    /// The network it is in.
    pub network: Name,
    /// Its name in that network.
    pub name: Name,
    /// The revision that an update expects; 0: any.
    pub revision: u64,
    /// Node it lives on.
    pub node: Option<Name>,
    /// Linux interface on that node.
    pub interface: Option<InterfaceName>,
    /// MAC address; `None`: the server's choice.
    pub mac: Option<Mac>,
    /// Addresses; empty: one of each family.
    pub addresses: Vec<AddressWish>,
    /// Notes.
    pub labels: Labels,
    /// Chosen by the client.
    pub client_id: Option<ClientId>,
    /// What it may send from beside its own addresses.
    pub allowed_addresses: Vec<Prefix>,
    /// MAC addresses that it may send from beside its own.
    pub allowed_macs: Vec<Mac>,
    /// It may send router advertisements.
    pub allow_router: bool,
    /// It may answer as DHCP server.
    pub allow_dhcp_server: bool,
    /// Name of a QoS profile.
    pub qos: Option<Name>,
}

impl EndpointWish {
    /// Fields that an update mask may name.
    pub const FIELDS: &'static [&'static str] = &[
        "node",
        "interface",
        "mac",
        "addresses",
        "labels",
        "client_id",
        "allowed_addresses",
        "allowed_macs",
        "allow_router",
        "allow_dhcp_server",
        "qos",
    ];
    /// Most allowed addresses, and most allowed MAC addresses, of one endpoint.
    pub const MAX_ALLOWED: usize = 256;
    /// Most addresses of one endpoint.
    pub const MAX_ADDRESSES: usize = 64;

    /// Checks a request's endpoint.
    ///
    /// # Errors
    /// Names the field at fault.
    pub fn from_proto(endpoint: Option<pb::Endpoint>) -> Result<Self, Invalid> {
        let endpoint = endpoint.ok_or_else(|| Invalid::new("endpoint", "is missing"))?;
        let count = endpoint.addresses.len();
        if count > Self::MAX_ADDRESSES {
            return Err(Invalid::new(
                "endpoint.addresses",
                format!("{count} addresses; at most {}", Self::MAX_ADDRESSES),
            ));
        }
        for (field, allowed) in [
            ("endpoint.allowed_addresses", endpoint.allowed_addresses.len()),
            ("endpoint.allowed_macs", endpoint.allowed_macs.len()),
        ] {
            if allowed > Self::MAX_ALLOWED {
                let message = format!("{allowed} of them; at most {}", Self::MAX_ALLOWED);
                return Err(Invalid::new(field, message));
            }
        }
        Ok(Self {
            network: Name::new(&endpoint.network).in_field("endpoint.network")?,
            name: Name::new(&endpoint.name).in_field("endpoint.name")?,
            revision: endpoint.revision,
            node: optional(&endpoint.node, Name::new).in_field("endpoint.node")?,
            interface: optional(&endpoint.interface, InterfaceName::new).in_field("endpoint.interface")?,
            mac: optional(&endpoint.mac, Mac::new).in_field("endpoint.mac")?,
            addresses: AddressWish::list("endpoint.addresses", &endpoint.addresses)?,
            labels: labels::check("endpoint", endpoint.labels)?,
            client_id: optional(&endpoint.client_id, ClientId::new).in_field("endpoint.client_id")?,
            allowed_addresses: reference::list("endpoint.allowed_addresses", &endpoint.allowed_addresses, source)?,
            allowed_macs: reference::list("endpoint.allowed_macs", &endpoint.allowed_macs, Mac::new)?,
            allow_router: endpoint.allow_router,
            allow_dhcp_server: endpoint.allow_dhcp_server,
            qos: optional(&endpoint.qos, Name::new).in_field("endpoint.qos")?,
        })
    }
}

/// A prefix that packets can come from.
fn source(text: &str) -> Result<Prefix, String> {
    let prefix = Prefix::new(text).map_err(|e| e.to_string())?;
    let first = prefix.family().address(prefix.cidr().first());
    if first.is_some_and(|a| a.is_multicast() || a.is_loopback()) {
        return Err(format!("{prefix} is no range of addresses that packets come from"));
    }
    Ok(prefix)
}

//! Intent as values that cannot be wrong: names, prefixes, MACs, and the four objects of the API.
//!
//! Every type has one checked constructor; what exists is valid by itself. Rules between objects (does the network exist? is the
//! address free?) live in [`crate::intent`]. No I/O and no store in here.

mod cidr;
mod encapsulation;
mod endpoint;
mod error;
mod labels;
mod mac;
mod mask;
mod name;
mod network;
mod node;
mod reserved;
mod subnet;

pub(crate) use cidr::number;
pub use cidr::{Cidr, Family, parse_address};
pub use encapsulation::Encapsulation;
pub use endpoint::{AddressWish, ClientId, Endpoint, EndpointWish, InterfaceName};
pub use error::Invalid;
pub use labels::Labels;
pub use mac::Mac;
pub use mask::Mask;
pub use name::Name;
pub use network::{Network, NetworkWish, WorkloadMtu};
pub use node::{Node, NodeWish, Vteps};
pub use reserved::AddressRange;
pub use subnet::{Subnet, SubnetWish};

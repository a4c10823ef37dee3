//! Intent as values that cannot be wrong: names, prefixes, MACs, traffic, and the objects of the API.
//!
//! Every type has one checked constructor; what exists is valid by itself. Rules between objects (does the network exist? is the
//! address free?) live in [`crate::intent`]. No I/O and no store in here.

mod cidr;
mod encapsulation;
mod endpoint;
mod error;
mod floating_ip;
mod group;
mod labels;
mod mac;
mod mask;
mod mirror;
mod name;
mod network;
mod node;
mod object;
mod policy;
mod prefix;
mod publication;
mod qos_profile;
mod reference;
mod reserved;
mod router;
mod service;
mod subnet;
mod traffic;

pub(crate) use cidr::number;
pub use cidr::{Cidr, Family, parse_address};
pub use encapsulation::Encapsulation;
pub use endpoint::{AddressWish, ClientId, Endpoint, EndpointWish, InterfaceName};
pub use error::Invalid;
pub use floating_ip::{AddressFamily, FloatingIp, FloatingIpGiven, FloatingIpSpec, PortForward};
pub use group::{Group, GroupSpec, Operator, Requirement};
pub use labels::Labels;
pub use mac::Mac;
pub use mask::Mask;
pub use mirror::{Collector, Mirror, MirrorSpec};
pub use name::Name;
pub use network::{DefaultVerdict, Network, NetworkWish, WorkloadMtu};
pub use node::{Node, NodeWish, Vteps};
pub use object::{Object, Spec, Wish};
pub use policy::{Direction, Peer, Policy, PolicySpec, Rule, RuleAction};
pub use prefix::Prefix;
pub use publication::{Publication, PublishedPort, Withdrawal};
pub use qos_profile::{QosProfile, QosProfileSpec, QosRate};
pub use reference::{EndpointRef, Target};
pub use reserved::AddressRange;
pub use router::{RouteLeak, Router, RouterSpec};
pub use service::{BackendName, HealthCheck, HealthKind, Service, ServiceBackend, ServicePort, ServiceSpec};
pub use subnet::{Subnet, SubnetWish};
pub use traffic::{PortRange, Protocol, Traffic};

#[cfg(test)]
mod tests {
    //! No text makes a constructor panic, and what one accepts it writes such that it is read again as the same.

    use proptest::prelude::*;

    use super::*;

    fn round<T: std::fmt::Display + PartialEq + std::fmt::Debug, E>(text: &str, parse: impl Fn(&str) -> Result<T, E>) {
        if let Ok(value) = parse(text) {
            assert_eq!(parse(&value.to_string()).ok().as_ref(), Some(&value), "{text:?}");
        }
    }

    fn all(text: &str) {
        round(text, Name::new);
        round(text, Mac::new);
        round(text, Cidr::new);
        round(text, AddressRange::new);
        round(text, InterfaceName::new);
        round(text, ClientId::new);
        round(text, parse_address);
        round(text, Prefix::new);
        round(text, EndpointRef::new);
        round(text, Protocol::new);
        round(text, PortRange::new);
        round(text, str::parse::<crate::transport::Address>);
    }

    proptest! {
        #[test]
        fn any_text(text in any::<String>()) {
            all(&text);
        }

        #[test]
        fn text_that_is_nearly_right(text in "[0-9a-f:.]{0,12}[/:-]{0,2}[0-9a-f:.]{0,12}") {
            all(&text);
        }

        #[test]
        fn prefixes_cover_their_hosts(address in any::<std::net::IpAddr>(), length in 0_u8..=140) {
            let cidr = Cidr::covering(address, length);
            let (first, last) = cidr.hosts();
            prop_assert!(cidr.contains(address));
            prop_assert!(cidr.first() <= first && first <= last && last <= cidr.last());
            prop_assert!(cidr.overlaps(cidr));
        }
    }
}

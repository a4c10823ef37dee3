//! Attaching containers: what a plugin of a container engine needs of `vrouter-control` and of the kernel of its node.
//!
//! - [`Client`]: a client of control that never waits longer than it was told, and says [`Error::Away`] when control is not there
//! - [`endpoints`](Client::create_endpoint): endpoints made and deleted so that doing it again changes nothing
//! - [`Client::publish`]: ports of the node's floating addresses for ports of a container
//! - [`links`]: veth pairs and the interface inside a container, by netlink
//! - [`names`]: names that only depend on container and interface, so that nothing has to be remembered
//!
//! The endpoint is the anchor: it is made first and deleted last, and whatever else control keeps for an attachment (ports, limits)
//! goes with it in one step. So what a killed plugin leaves behind hangs off an endpoint, and deleting that is all that cleaning takes.
//!
//! Nothing here knows CNI or Docker, and nothing is kept between calls.

mod addressing;
mod client;
mod endpoints;
mod error;
pub mod links;
pub mod names;
mod netns;
mod publish;

pub use addressing::{Addressing, addressing};
pub use client::Client;
pub use error::Error;
pub use netns::Netns;
pub use publish::{Publication, Published};

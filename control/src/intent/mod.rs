//! The rules between objects: what may be created, changed and deleted, given everything else.
//!
//! Functions on a [`Transaction`](crate::state::Transaction): they either change it consistently, or refuse. Addresses and numbers are taken
//! in the same transaction as the object that needs them. No I/O, no clock; the only thing from outside is the uid.

mod addresses;
mod audit;
mod endpoint;
mod floating_ip;
mod group;
pub mod nearest;
mod network;
mod node;
mod numbers;
mod object;
mod policy;
mod publish;
mod references;
mod refusal;
mod router;
mod service;
mod space;
mod subnet;

pub use audit::{AuditReport, Counts, audit};
pub use endpoint::{create_endpoint, create_endpoint_with, delete_endpoint, update_endpoint};
pub use group::{create_group, update_group};
pub use network::{create_network, delete_network, update_network};
pub use node::{create_node, delete_node, observe_node, update_node};
pub use object::{Rules, create, delete, update};
pub use publish::{publish_ports, withdraw_ports};
pub use refusal::Refusal;
pub use subnet::{create_subnet, delete_subnet, update_subnet};

#[cfg(test)]
mod tests;

/// A new uid.
fn uid() -> String {
    uuid::Uuid::new_v4().to_string()
}

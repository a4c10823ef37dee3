//! From wish to dataplane objects, pure.

mod mtu;

pub use mtu::workload_mtu;

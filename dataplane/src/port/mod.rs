//! Where packets come and go.
//!
//! A port has one or more queues; each queue belongs to one worker, which alone calls it. Three kinds: [`af_xdp`] (Linux
//! interfaces), [`memory`] (tests, benches and simulation, many dataplanes in one process) and, later, packet captures.
//! Ports know frames and nothing of what is in them.

#[cfg(target_os = "linux")]
pub mod af_xdp;
mod interface_name;
pub mod memory;
mod queue;
mod ring;

pub use interface_name::{BadInterfaceName, INTERFACE_NAME_MAX, check_interface_name};
pub use queue::{Queue, Received, SentUnits, Units};

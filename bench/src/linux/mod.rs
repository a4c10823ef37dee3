//! The one room of pktgen with `unsafe`: AF_XDP sockets, and what else only the system can tell or do.

mod clock;
mod error;
mod interface;
mod log;
mod namespace;
mod signal;
mod xsk;

pub use clock::{Monotonic, thread_time};
pub use error::{NamespaceError, OpenError};
pub use interface::Interface;
pub use log::silence as silence_libraries;
pub use namespace::enter;
pub use signal::stop_flag;
pub use xsk::{ReceivePort, TransmitPort, XdpMode};

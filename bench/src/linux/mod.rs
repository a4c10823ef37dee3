//! The one room of pktgen with `unsafe`: AF_XDP sockets, and what else only the system can tell or do.

mod clock;
mod error;
mod inlet;
mod interface;
mod log;
mod namespace;
mod reflector;
mod signal;
mod socket;
mod transmit;

pub use clock::{Monotonic, thread_time};
pub use error::{NamespaceError, OpenError};
pub use inlet::ReceivePort;
pub use interface::Interface;
pub use log::silence as silence_libraries;
pub use namespace::{Homed, within};
pub use reflector::Reflector;
pub use signal::stop_flag;
pub use socket::XdpMode;
pub use transmit::TransmitPort;

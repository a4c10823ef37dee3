//! `vrouter.dataplane.v1`: the gRPC server in front of the one thread that programs tables.
//!
//! A request is read and checked here ([`convert`]), carried to that thread ([`Handle`]), and answered there ([`Desk`]). Whatever
//! takes long (reading a big batch, writing out a dump) happens on this side, from a [`view`] of one moment, so that the
//! programming thread does nothing but program. No rule between objects lives here.

mod apply;
mod capture;
mod convert;
mod desk;
mod event;
mod flow_export;
mod flow_watch;
mod handle;
mod listen;
mod metrics;
mod outlet;
mod selection;
mod server;
mod service;
mod view;
mod watch;

pub use convert::{MAX_OPERATIONS, dumped, operations};
pub use desk::Desk;
pub use flow_export::{Collector, ExportCounts, ExportSettings, FlowExport};
pub use flow_watch::FlowFeed;
pub use handle::{Handle, Request, Stopped};
pub use listen::{Address, BadAddress, ListenError, Listener, SocketFile};
pub use metrics::{DEFAULT_NAMED, Metrics};
pub use server::{ServeError, Server, call_counts};
pub use service::MAX_MESSAGE;
pub use view::About;

#[cfg(test)]
mod tests;

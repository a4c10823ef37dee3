//! What both daemons need to be watched by Prometheus. It knows nothing of packets or intent: the daemons say what there is to tell.
//!
//! - [`page`]: the two text formats that Prometheus reads
//! - [`histogram`]: how long things took
//! - [`log`]: what they say, as text or as JSON
//! - [`process`]: what the kernel counts for this process
//! - [`rpc`]: counts gRPC calls by method and code
//! - [`server`]: a small HTTP server that no client can make large

pub mod histogram;
pub mod log;
pub mod page;
pub mod process;
pub mod rpc;
pub mod server;

pub use histogram::Histogram;
pub use page::{Family, Format, Page, Value};
pub use rpc::RpcMetrics;
pub use server::{Server, Source};

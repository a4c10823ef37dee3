//! Makes each dataplane hold what is compiled for its node, and tells how far it is.
//!
//! One [`Driver`] per dataplane. Whatever happened before (this process or vrouterd restarted, the connection broke, somebody else changed
//! something), the way is the same: dump what is there, compare it with the plan, apply the difference. From then on changes of the store
//! become changes of the plan, and only those are compared. What is not ours is not touched: uplinks, learned MACs, neighbours of the
//! underlay, routes of other sources, next hops outside our ranges.
//!
//! Dataplanes also tell how backends of services are doing. That is gathered from all of them ([`HealthBoard`]), and plans are compiled with it.

mod diff;
mod driver;
mod health;
mod mirror;
mod normal;
mod refused;
mod session;
mod status;

pub use driver::{Driver, Timing};
pub use health::HealthBoard;
pub use status::{Board, DataplaneStatus, DriverCounts};

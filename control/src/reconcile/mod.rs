//! Makes each dataplane hold what is compiled for its node, and tells how far it is.
//!
//! One [`Driver`] per dataplane. Whatever happened before (this process or vrouterd restarted, the connection broke, somebody else changed
//! something), the way is the same: dump what is there, compare it with the plan, apply the difference. From then on changes of the store
//! become changes of the plan, and only those are compared. What is not ours is not touched: uplinks, learned MACs, neighbours of the
//! underlay, routes of other sources, next hops outside our ranges.

mod diff;
mod driver;
mod mirror;
mod refused;
mod session;
mod status;

pub use driver::{Driver, Timing};
pub use status::{Board, DataplaneStatus};

//! Intent and the programming of dataplanes: what `vrouter-control` is made of.
//!
//! Rooms, lowest floor first; imports go only down:
//!
//! - [`model`]: values that cannot be wrong
//! - [`ipam`]: numbers and addresses from ranges
//! - [`state`]: everything wished for, as one persistent value with its indices
//! - [`reservation`]: addresses kept for somebody who has not come yet
//! - [`store`]: the same on disk; one durable transaction per change
//! - [`intent`]: the rules between objects, as functions on a transaction
//! - [`compile`]: from wish to dataplane objects, pure
//! - [`reconcile`]: makes each dataplane hold what is compiled
//! - [`sight`]: what dataplanes tell of packets, joined over nodes and named
//! - [`api`]: gRPC in front of all that
//! - [`config`], [`daemon`], [`supervised`]: the process around it
//!
//! Beside all of these, and importing only [`transport`] of them: [`attach`], what plugins of container engines are made of

pub mod api;
pub mod attach;
pub mod compile;
pub mod config;
pub mod daemon;
pub mod intent;
pub mod ipam;
pub mod model;
pub mod reconcile;
pub mod reservation;
pub mod sight;
pub mod state;
pub mod store;
pub mod supervised;
pub mod transport;

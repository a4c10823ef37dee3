//! Makes each dataplane hold what is compiled for its node, and tells how far it is.

mod status;

pub use status::{Board, DataplaneStatus};

//! Between the messages of the API and the objects of `program`: reading checks every field, showing writes every field.
//!
//! Reading never looks at tables: whether a reference leads anywhere is for `program` to say. A field's text or number that
//! cannot be right is refused here, with its path and with what would be right. What only dumps say (states, counters) is
//! ignored in what clients send, so that a dumped object can be sent back.

mod address;
mod binding;
mod bridging;
mod capture;
mod event;
mod field;
mod flow;
mod health;
mod mirror;
mod next_hop;
mod object;
mod policy;
mod port;
mod route;
mod show;
mod statistics;
mod trace;
mod traffic;
mod workload;

pub(super) use capture::{capture_port, capture_wish, captured_packet};
pub(super) use event::event;
pub(super) use flow::{filter, flow, flow_event, watch_filter};
pub(super) use object::selection;
pub use object::{MAX_OPERATIONS, operations};
pub use show::dumped;
pub(super) use show::{info, problem};
pub(super) use statistics::statistics;
pub(super) use trace::{Asked, trace_request, traced};

#[cfg(test)]
mod arbitrary;
#[cfg(test)]
mod refusal_address_tests;
#[cfg(test)]
mod refusal_policy_tests;
#[cfg(test)]
mod refusal_tests;
#[cfg(test)]
mod round_trip_tests;

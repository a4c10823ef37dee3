//! wip
pub mod object;
pub mod problem;

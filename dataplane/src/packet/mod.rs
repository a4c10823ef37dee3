//! A frame and what is known of it on its way: its memory, its flow key, and why it was dropped.
//!
//! Knows headers (`wire`) but no tables and no ports.

pub mod drop_reason;
pub mod frame;
pub mod key;
pub mod pool;
pub mod shelf;

pub use drop_reason::DropReason;
pub use frame::{Cut, Frame, Partial, Segments};
pub use key::FlowKey;
pub use pool::{FrameCache, FramePool};

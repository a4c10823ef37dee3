//! What workers copy for people who capture packets: which packets ([`filter`]), at which points, and the rings that the copies go through.
//!
//! A worker holds a [`Taps`]. While nobody captures, it asks one flag per batch and one per drop. While somebody does, it compares each packet
//! with each capture, and copies those that are wanted into a ring of its own: nothing is allocated, nothing waits, and a full ring loses the
//! copy, never the packet. Nothing here knows tables: which ports and VRFs are meant is said by whoever started the capture.

mod capture;
pub mod filter;
mod record;
mod ring;
mod slots;
mod taps;

pub use capture::{Capture, CaptureCounts, CaptureSet, CaptureSpec, MAX_CAPTURES, MAX_SNAP};
pub use record::{Blame, Point, Record};
pub use slots::Selection;
pub use taps::{Taps, Where};

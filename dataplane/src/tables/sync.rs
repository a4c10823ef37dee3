//! The atomics of the lock-free tables: the machine's own, or loom's under `--cfg vrouter_loom`, where every interleaving of a
//! small test is tried:
//!
//! `RUSTFLAGS="--cfg vrouter_loom" CARGO_TARGET_DIR=target/loom cargo test -p vrouter-dataplane --release --lib loom_`
//!
//! (The name is not `loom` because tokio and others change under that one.)

#[cfg(not(vrouter_loom))]
pub(super) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};

#[cfg(vrouter_loom)]
pub(super) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};

//! Frames for the tests of this room.

use crate::packet::{Frame, FramePool};

/// Runs `test` on a frame that holds `packet`.
pub(super) fn with_frame<T>(packet: &[u8], test: impl FnOnce(&mut Frame) -> T) -> T {
    let pool = FramePool::new(64, 4096).unwrap();
    let mut cache = pool.cache();
    let mut frame = cache.take().unwrap();
    frame.copy_from(packet).unwrap();
    let outcome = test(&mut frame);
    cache.free(frame);
    outcome
}

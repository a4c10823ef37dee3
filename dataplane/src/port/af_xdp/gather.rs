//! Puts packets together that the kernel hands over in parts, because they are larger than a chunk.

use crate::packet::{Frame, FrameCache};

/// The packet that is being put together. Its parts may come with more than one call.
#[derive(Debug, Default)]
pub(super) enum Gather {
    /// None: the next part starts a packet.
    #[default]
    Idle,
    /// This much of it is here.
    Growing(Frame),
    /// There was no room for it. Its parts are thrown away.
    Lost,
}

/// What came of a part.
#[derive(Debug)]
pub(super) enum Gathered {
    /// The packet is whole.
    Whole(Frame),
    /// More is to come, or nothing was lost yet.
    NotYet,
    /// This was the last part of a packet that is lost.
    Lost,
}

impl Gather {
    /// The next part starts a packet.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    /// Adds a part, whose frame is free again after this.
    pub(super) fn add(&mut self, frames: &mut FrameCache, part: Frame, goes_on: bool) -> Gathered {
        let grown = match std::mem::take(self) {
            Self::Idle => frames.take_large(),
            Self::Growing(frame) => Some(frame),
            Self::Lost => None,
        };
        let grown = grown.and_then(|mut frame| match frame.append(part.data()) {
            Ok(()) => Some(frame),
            Err(_) => {
                frames.free(frame);
                None
            }
        });
        frames.free(part);
        match (grown, goes_on) {
            (Some(frame), true) => {
                *self = Self::Growing(frame);
                Gathered::NotYet
            }
            (Some(frame), false) => Gathered::Whole(frame),
            (None, true) => {
                *self = Self::Lost;
                Gathered::NotYet
            }
            (None, false) => Gathered::Lost,
        }
    }

    /// Gives up what there is.
    pub(super) fn close(&mut self, frames: &mut FrameCache) {
        if let Self::Growing(frame) = std::mem::take(self) {
            frames.free(frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::FramePool;

    fn part(frames: &mut FrameCache, byte: u8, len: usize) -> Frame {
        let mut frame = frames.take().unwrap();
        frame.fill_zero(len).unwrap().fill(byte);
        frame
    }

    #[test]
    fn parts_make_a_whole_and_nothing_is_lost() {
        let pool = FramePool::with_large(64, 2048, 1).unwrap();
        let mut frames = pool.cache();
        let mut gather = Gather::default();
        for byte in 0..3 {
            let next = part(&mut frames, byte, 1792);
            assert!(matches!(gather.add(&mut frames, next, true), Gathered::NotYet));
        }
        let last = part(&mut frames, 3, 10);
        let Gathered::Whole(whole) = gather.add(&mut frames, last, false) else {
            panic!("not whole");
        };
        assert_eq!(whole.len(), 3 * 1792 + 10);
        assert_eq!(
            (whole.data()[1791], whole.data()[1792], whole.data()[3 * 1792]),
            (0, 1, 3)
        );

        // The only large frame is in use: the next packet is lost as one, and the one after it too.
        for _ in 0..2 {
            let next = part(&mut frames, 0, 1792);
            assert!(matches!(gather.add(&mut frames, next, true), Gathered::NotYet));
            let next = part(&mut frames, 0, 1);
            assert!(matches!(gather.add(&mut frames, next, false), Gathered::Lost));
            assert!(gather.is_idle());
        }
        frames.free(whole);
        // More than a large frame holds.
        for _ in 0..40 {
            let next = part(&mut frames, 0, 1792);
            assert!(matches!(gather.add(&mut frames, next, true), Gathered::NotYet));
        }
        let next = part(&mut frames, 0, 1);
        assert!(matches!(gather.add(&mut frames, next, false), Gathered::Lost));

        let next = part(&mut frames, 0, 9);
        gather.add(&mut frames, next, true);
        gather.close(&mut frames);
        assert!(frames.take_large().is_some(), "it came back");
        assert_eq!(pool.free(), 64);
    }
}

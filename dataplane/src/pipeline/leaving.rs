//! Takes frames out of a vector from its front, some one by one and some in runs, without moving those that stay.
#![allow(unsafe_code)]

use std::{ptr, slice};

use crate::packet::Frame;

/// Frames that leave a vector in order. Those that have not left when this is dropped are in the vector again.
#[derive(Debug)]
pub(super) struct Leaving<'a> {
    /// Of length 0 meanwhile: its frames are ours, from `next` to `count`.
    frames: &'a mut Vec<Frame>,
    next: usize,
    count: usize,
}

impl<'a> Leaving<'a> {
    /// All frames of this vector.
    #[inline]
    pub(super) fn new(frames: &'a mut Vec<Frame>) -> Self {
        let count = frames.len();
        // SAFETY: shorter than it was; the frames beyond are ours to take, or are given back when we are dropped.
        unsafe { frames.set_len(0) };
        Self { frames, next: 0, count }
    }

    /// The frames that have not left yet, but for so many of them that come first.
    #[inline(always)]
    pub(super) fn behind(&mut self, count: usize) -> &mut [Frame] {
        let first = self.count.min(self.next + count);
        // SAFETY: between `next` and `count` stand frames that are ours.
        unsafe { slice::from_raw_parts_mut(self.frames.as_mut_ptr().add(first), self.count - first) }
    }

    /// The next frame leaves.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Frame> {
        if self.next == self.count {
            return None;
        }
        // SAFETY: as in `get`; it is not ours any more once `next` has passed it.
        let frame = unsafe { ptr::read(self.frames.as_ptr().add(self.next)) };
        self.next += 1;
        Some(frame)
    }

    /// The next `count` frames, or as many as there are and as fit without more memory, move to the end of `to`. Gives how many.
    #[inline]
    pub(super) fn move_to(&mut self, to: &mut Vec<Frame>, count: usize) -> usize {
        let count = count.min(self.count - self.next).min(to.capacity() - to.len());
        // SAFETY: from `next` on stand so many frames that are ours; `to` has room for them, and is another vector, since we have this one
        // borrowed; they are not ours any more once `next` has passed them.
        unsafe {
            let from = self.frames.as_ptr().add(self.next);
            ptr::copy_nonoverlapping(from, to.as_mut_ptr().add(to.len()), count);
            to.set_len(to.len() + count);
        }
        self.next += count;
        count
    }
}

impl Drop for Leaving<'_> {
    #[inline]
    fn drop(&mut self) {
        let left = self.count - self.next;
        if left == 0 {
            return;
        }
        // SAFETY: the frames that are still ours move to the front of the vector, which has room for them, and are its own again.
        unsafe {
            let base = self.frames.as_mut_ptr();
            ptr::copy(base.add(self.next), base, left);
            self.frames.set_len(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::FramePool;

    #[test]
    fn every_frame_leaves_once_or_stays() {
        let pool = FramePool::new(64, 2048).unwrap();
        let mut cache = pool.cache();
        let mut frames: Vec<Frame> = std::iter::from_fn(|| cache.take()).take(10).collect();
        let indices: Vec<u32> = frames.iter().map(Frame::index).collect();
        let mut out = Vec::with_capacity(4);
        let mut leaving = Leaving::new(&mut frames);
        let seen =
            |leaving: &mut Leaving<'_>, count| leaving.behind(count).iter().map(Frame::index).collect::<Vec<_>>();
        assert_eq!(seen(&mut leaving, 0), indices);
        assert_eq!(seen(&mut leaving, 9), indices[9..]);
        assert!(seen(&mut leaving, 10).is_empty() && seen(&mut leaving, 11).is_empty());
        let first = leaving.take().unwrap();
        assert_eq!(seen(&mut leaving, 0), indices[1..], "it has left");
        assert_eq!(leaving.move_to(&mut out, 2), 2);
        assert_eq!(leaving.move_to(&mut out, 5), 2, "no more room");
        drop(leaving);
        assert!(frames.iter().map(Frame::index).eq(indices[5..].iter().copied()));
        let mut leaving = Leaving::new(&mut frames);
        out.reserve_exact(64);
        assert_eq!(leaving.move_to(&mut out, 64), 5);
        assert!(leaving.take().is_none());
        drop(leaving);
        assert!(frames.is_empty());
        assert_eq!(first.index(), indices[0]);
        assert!(out.iter().map(Frame::index).eq(indices[1..].iter().copied()));
        out.into_iter().chain([first]).for_each(|frame| cache.free(frame));
        assert_eq!(pool.free(), 64);
    }
}

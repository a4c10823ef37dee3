//! Ports within the process: for tests, benches and simulation.
//!
//! [`pair`] gives the two ends of one port. The dataplane's worker owns the [`MemoryQueue`]; whoever plays the outside world
//! holds the [`MemoryPeer`], sends and receives bytes (or whole frames, without a copy), or joins two dataplanes' ports with
//! [`wire`]. No threads, no clock, no system call: what happens, and when, is the caller's alone.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    Queue, Received,
    ring::{Receiver, Sender, ring},
};
use crate::packet::{Frame, FrameCache, frame::HEADROOM};

/// Makes a port that holds up to `depth` frames on their way in each direction. A depth of zero counts as one.
#[must_use]
pub fn pair(depth: usize) -> (MemoryQueue, MemoryPeer) {
    let (to_dataplane, inward) = ring(depth);
    let (outward, from_dataplane) = ring(depth);
    let lost = Arc::new(AtomicU64::new(0));
    let queue = MemoryQueue {
        inward,
        outward,
        lost: lost.clone(),
    };
    let peer = MemoryPeer {
        inward: to_dataplane,
        outward: from_dataplane,
        lost,
    };
    (queue, peer)
}

/// The dataplane's end of a memory port.
#[derive(Debug)]
pub struct MemoryQueue {
    inward: Receiver<Frame>,
    outward: Sender<Frame>,
    /// Frames that [`wire`] could not fit into our chunks.
    lost: Arc<AtomicU64>,
}

impl Queue for MemoryQueue {
    fn receive(&mut self, _: &mut FrameCache, into: &mut Vec<Frame>, max: usize) -> Received {
        let frames = self.inward.pop_all(into, max);
        Received {
            frames,
            more: frames == max && !self.inward.is_empty(),
        }
    }

    fn transmit(&mut self, _: &mut FrameCache, from: &mut Vec<Frame>) {
        // Nobody behind this port would.
        from.iter_mut().for_each(Frame::complete);
        self.outward.push_all(from);
    }

    fn flush(&mut self, _: &mut FrameCache) {}

    fn receive_lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Frees the frames on their way in. Those on their way out are the peer's to receive or to close, if it is still there.
    fn close(self: Box<Self>, frames: &mut FrameCache) {
        let left = self.inward.close().chain(self.outward.close());
        left.for_each(|frame| frames.free(frame));
    }
}

/// Why a packet cannot be given to a dataplane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The dataplane has not yet received what was sent before.
    #[error("the port is full: {depth} frames wait to be received")]
    Full {
        /// Frames that the port holds.
        depth: usize,
    },
    /// The pool is used up.
    #[error("no free frame")]
    NoFrame,
    /// The packet is larger than a frame of the pool.
    #[error("a packet of {len} bytes does not fit into a frame, which holds {max}")]
    TooLong {
        /// Bytes of the packet.
        len: usize,
        /// Bytes that fit.
        max: usize,
    },
}

/// The outside world's end of a memory port.
///
/// The frame caches given to it are of the pool of the dataplane that owns the other end: frames sent come from there, frames
/// received go back there.
#[derive(Debug)]
pub struct MemoryPeer {
    inward: Sender<Frame>,
    outward: Receiver<Frame>,
    /// Of the other end.
    lost: Arc<AtomicU64>,
}

impl MemoryPeer {
    /// Sends a copy of `packet` to the dataplane.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    pub fn send(&mut self, frames: &mut FrameCache, packet: &[u8]) -> Result<(), SendError> {
        if self.inward.is_full() {
            return Err(SendError::Full {
                depth: self.inward.depth(),
            });
        }
        let fits = packet.len() <= frames.pool().max_packet();
        let frame = if fits { frames.take() } else { frames.take_large() };
        // Where there are no large frames at all, an ordinary one tells the size that would fit.
        let mut frame = frame.or_else(|| frames.take()).ok_or(SendError::NoFrame)?;
        if let Err(no_room) = frame.copy_from(packet) {
            frames.free(frame);
            return Err(SendError::TooLong {
                len: no_room.wanted,
                max: no_room.available,
            });
        }
        let _ = self.inward.push(frame);
        Ok(())
    }

    /// A copy of the next packet that the dataplane sent.
    pub fn receive(&mut self, frames: &mut FrameCache) -> Option<Vec<u8>> {
        let frame = self.outward.pop()?;
        let packet = frame.data().to_vec();
        frames.free(frame);
        Some(packet)
    }

    /// Copies of all packets that the dataplane sent.
    pub fn receive_all(&mut self, frames: &mut FrameCache) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.receive(frames)).collect()
    }

    /// Sends a frame without copying it.
    ///
    /// # Errors
    /// The frame itself, when the port is full.
    pub fn push(&mut self, frame: Frame) -> Result<(), Frame> {
        self.inward.push(frame)
    }

    /// Receives a frame without copying it.
    #[must_use = "a frame that is dropped is lost: free it to a FrameCache or pass it on"]
    pub fn pop(&mut self) -> Option<Frame> {
        self.outward.pop()
    }

    /// Frames that wait for the dataplane to receive them.
    pub fn waiting_inward(&self) -> usize {
        self.inward.len()
    }

    /// Frames that the dataplane sent and nobody has received.
    pub fn waiting_outward(&self) -> usize {
        self.outward.len()
    }

    /// Unplugs: frees the frames on their way out and, when the dataplane has closed its end, those on their way in.
    pub fn close(self, frames: &mut FrameCache) {
        let left = self.outward.close().chain(self.inward.close());
        left.for_each(|frame| frames.free(frame));
    }
}

/// Carries all frames that wait from `a`'s dataplane to `b`'s and the other way round; gives how many. What finds no room, or
/// no free frame, at its destination waits where it is, so a wire loses nothing; a frame that fits into no chunk of the
/// destination is counted as lost there ([`Queue::receive_lost`]).
///
/// Each peer comes with a cache of its own dataplane's pool. Frames move when the pool is the same and are copied when not.
pub fn wire(a: (&mut MemoryPeer, &mut FrameCache), b: (&mut MemoryPeer, &mut FrameCache)) -> usize {
    let (a, a_frames) = a;
    let (b, b_frames) = b;
    carry(a, a_frames, b, b_frames) + carry(b, b_frames, a, a_frames)
}

fn carry(
    from: &mut MemoryPeer,
    from_frames: &mut FrameCache,
    to: &mut MemoryPeer,
    to_frames: &mut FrameCache,
) -> usize {
    let same_pool = Arc::ptr_eq(from_frames.pool(), to_frames.pool());
    let mut carried = 0;
    while !to.inward.is_full() && !from.outward.is_empty() {
        let arrived = if same_pool {
            let Some(mut frame) = from.outward.pop() else { break };
            frame.unmark();
            if restore_headroom(&mut frame) {
                Some(frame)
            } else {
                from_frames.free(frame);
                None
            }
        } else {
            // First the empty frame: once taken out, a packet could not go back to the head of the ring.
            let Some(mut copy) = to_frames.take() else { break };
            let Some(frame) = from.outward.pop() else {
                to_frames.free(copy);
                break;
            };
            if frame.len() > to_frames.pool().max_packet()
                && let Some(large) = to_frames.take_large()
            {
                to_frames.free(std::mem::replace(&mut copy, large));
            }
            let fits = copy.copy_from(frame.data()).is_ok();
            from_frames.free(frame);
            if fits {
                Some(copy)
            } else {
                to_frames.free(copy);
                None
            }
        };
        match arrived {
            Some(frame) => {
                let _ = to.inward.push(frame);
                carried += 1;
            }
            None => {
                to.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    carried
}

/// A received packet always has the whole headroom in front; one that was encapsulated in place has not.
fn restore_headroom(frame: &mut Frame) -> bool {
    let missing = HEADROOM.saturating_sub(frame.start());
    if missing == 0 {
        return true;
    }
    let (start, len) = (frame.start(), frame.len());
    if frame.place(start, len + usize::from(missing)).is_err() {
        return false;
    }
    frame.data_mut().copy_within(..len, usize::from(missing));
    frame.strip(missing);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::FramePool;

    #[test]
    fn bytes_cross_in_both_directions_in_order() {
        let pool = FramePool::new(64, 2048).unwrap();
        let (mut inside, mut outside) = (pool.cache(), pool.cache());
        let (mut queue, mut peer) = pair(4);
        peer.send(&mut outside, b"first").unwrap();
        peer.send(&mut outside, b"second").unwrap();
        peer.send(&mut outside, b"third").unwrap();

        let mut batch = Vec::new();
        let received = queue.receive(&mut inside, &mut batch, 2);
        assert_eq!(received, Received { frames: 2, more: true });
        let received = queue.receive(&mut inside, &mut batch, 2);
        assert_eq!(received, Received { frames: 1, more: false });
        assert!(batch.iter().all(|frame| frame.start() == HEADROOM));
        assert_eq!(batch[1].data(), b"second");

        queue.transmit(&mut inside, &mut batch);
        assert!(batch.is_empty());
        let packets = peer.receive_all(&mut outside);
        assert_eq!(packets, [&b"first"[..], b"second", b"third"]);
        assert_eq!(pool.free(), 64);
    }

    #[test]
    fn a_full_port_keeps_what_it_cannot_take() {
        let pool = FramePool::new(64, 2048).unwrap();
        let mut frames = pool.cache();
        let (mut queue, mut peer) = pair(2);
        let mut batch: Vec<_> = (0..5u8)
            .map(|n| {
                let mut frame = frames.take().unwrap();
                frame.copy_from(&[n]).unwrap();
                frame
            })
            .collect();
        queue.transmit(&mut frames, &mut batch);
        assert_eq!(batch.iter().map(|f| f.data()[0]).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(peer.receive_all(&mut frames), [[0], [1]]);

        peer.push(batch.pop().unwrap()).unwrap();
        peer.push(batch.pop().unwrap()).unwrap();
        let refused = peer.push(batch.pop().unwrap()).unwrap_err();
        assert_eq!(refused.data(), [2]);
        frames.free(refused);
        assert_eq!(peer.send(&mut frames, b"x"), Err(SendError::Full { depth: 2 }));
        Box::new(queue).close(&mut frames);
        peer.close(&mut frames);
        assert_eq!(pool.free(), 64);
    }

    #[test]
    fn what_cannot_be_sent_costs_no_frame() {
        let pool = FramePool::new(64, 2048).unwrap();
        let mut frames = pool.cache();
        let (_queue, mut peer) = pair(64);
        let too_long = SendError::TooLong { len: 2000, max: 1792 };
        assert_eq!(peer.send(&mut frames, &[0; 2000]), Err(too_long));
        let held: Vec<_> = std::iter::from_fn(|| frames.take()).collect();
        assert_eq!(peer.send(&mut frames, b"x"), Err(SendError::NoFrame));
        held.into_iter().for_each(|frame| frames.free(frame));
        assert_eq!(pool.free(), 64);
    }

    /// Whichever end closes first, and with frames under way in both directions.
    #[test]
    fn closing_conserves_frames() {
        for queue_first in [true, false] {
            let pool = FramePool::new(64, 2048).unwrap();
            let mut frames = pool.cache();
            let (mut queue, mut peer) = pair(8);
            let mut batch: Vec<_> = (0..5).map(|_| frames.take().unwrap()).collect();
            queue.transmit(&mut frames, &mut batch);
            for _ in 0..3 {
                peer.send(&mut frames, b"packet").unwrap();
            }
            assert_eq!((peer.waiting_inward(), peer.waiting_outward()), (3, 5));
            if queue_first {
                Box::new(queue).close(&mut frames);
                // Sent into the void, yet not lost.
                peer.send(&mut frames, b"late").unwrap();
                peer.close(&mut frames);
            } else {
                peer.close(&mut frames);
                batch.push(frames.take().unwrap());
                queue.transmit(&mut frames, &mut batch);
                Box::new(queue).close(&mut frames);
            }
            assert_eq!(pool.free(), 64, "queue first: {queue_first}");
        }
    }

    #[test]
    fn a_wire_between_pools_copies_and_loses_nothing() {
        let (pool_a, pool_b) = (FramePool::new(64, 2048).unwrap(), FramePool::new(64, 4096).unwrap());
        let (mut frames_a, mut frames_b) = (pool_a.cache(), pool_b.cache());
        let ((mut queue_a, mut peer_a), (mut queue_b, mut peer_b)) = (pair(8), pair(4));
        let mut batch = Vec::new();
        for n in 0..6u8 {
            let mut frame = frames_a.take().unwrap();
            frame.copy_from(&[n; 60]).unwrap();
            batch.push(frame);
        }
        queue_a.transmit(&mut frames_a, &mut batch);
        let mut large = frames_b.take().unwrap();
        large.fill_zero(3000).unwrap();
        batch.push(large);
        queue_b.transmit(&mut frames_b, &mut batch);

        // Four fit; the large frame fits into no chunk of a.
        let carried = wire((&mut peer_a, &mut frames_a), (&mut peer_b, &mut frames_b));
        assert_eq!(carried, 4);
        assert_eq!((queue_a.receive_lost(), queue_b.receive_lost()), (1, 0));
        queue_b.receive(&mut frames_b, &mut batch, 64);
        assert_eq!(wire((&mut peer_a, &mut frames_a), (&mut peer_b, &mut frames_b)), 2);
        queue_b.receive(&mut frames_b, &mut batch, 64);
        assert_eq!(
            batch.iter().map(|f| f.data()[59]).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4, 5]
        );
        assert_eq!(pool_a.free(), 64);
        batch.into_iter().for_each(|frame| frames_b.free(frame));
        assert_eq!(pool_b.free(), 64);
    }

    #[test]
    fn a_wire_within_a_pool_moves_frames_and_restores_their_headroom() {
        let pool = FramePool::new(64, 2048).unwrap();
        let (mut frames_a, mut frames_b) = (pool.cache(), pool.cache());
        let ((mut queue_a, mut peer_a), (mut queue_b, mut peer_b)) = (pair(8), pair(8));
        let mut frame = frames_a.take().unwrap();
        frame.copy_from(b"inner").unwrap();
        frame.prepend(50).unwrap()[..50].fill(9);
        let (index, sent) = (frame.index(), frame.data().to_vec());
        let mut batch = vec![frame];
        // A frame that leaves no room behind it cannot get its headroom back.
        let mut full = frames_a.take().unwrap();
        full.place(0, 2048).unwrap();
        batch.push(full);
        queue_a.transmit(&mut frames_a, &mut batch);
        assert_eq!(wire((&mut peer_a, &mut frames_a), (&mut peer_b, &mut frames_b)), 1);
        queue_b.receive(&mut frames_b, &mut batch, 64);
        assert_eq!(batch.len(), 1);
        assert_eq!(
            (batch[0].index(), batch[0].start(), batch[0].data()),
            (index, HEADROOM, &sent[..])
        );
        assert_eq!(queue_b.receive_lost(), 1);
        batch.into_iter().for_each(|frame| frames_b.free(frame));
        assert_eq!(pool.free(), 64);
    }
}

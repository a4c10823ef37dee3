//! Linux interfaces as ports, on veths between network namespaces that the tests make and remove.
#![allow(clippy::panic)] // a test crate: helpers outside of test functions, too
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod access;
mod namespaces;
mod owned;
mod permissions;
mod uplink;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use namespaces::{Pair, TEST_ETHERTYPE};
use vrouter_dataplane::{
    packet::{Frame, FrameCache, FramePool},
    port::{
        Queue,
        af_xdp::{AfXdp, Mode, OpenError, OpenPort, RingSizes},
    },
};

/// How long something may take that happens at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long we wait to see that something does not happen.
const SILENCE: Duration = Duration::from_millis(200);

/// A veth and a dataplane's ports at its inner end.
struct Bed {
    pair: Pair,
    pool: Arc<FramePool>,
    afxdp: AfXdp,
    frames: FrameCache,
}

impl Bed {
    fn new() -> Option<Self> {
        Self::on(Pair::new()?, 4096, 2048)
    }

    /// With frames for packets larger than a chunk.
    fn with_large() -> Option<Self> {
        Self::over(Pair::new()?, FramePool::with_large(4096, 2048, 8).unwrap())
    }

    /// `None`, and said so, when AF_XDP is not permitted here.
    fn on(pair: Pair, frames: u32, chunk: u16) -> Option<Self> {
        Self::over(pair, FramePool::new(frames, chunk).unwrap())
    }

    fn over(pair: Pair, pool: Arc<FramePool>) -> Option<Self> {
        let afxdp = match AfXdp::new(pool.clone()) {
            Ok(afxdp) => afxdp,
            Err(error @ (OpenError::Permission { .. } | OpenError::Kernel { .. })) => {
                namespaces::skip(&error.to_string());
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        Some(Self {
            pair,
            frames: pool.cache(),
            pool,
            afxdp,
        })
    }

    fn try_open(&self, mode: Mode) -> Result<OpenPort, OpenError> {
        self.pair
            .inside
            .enter(|| self.afxdp.open_access("in0", mode, RingSizes::ACCESS))
    }

    fn open(&self, mode: Mode) -> OpenPort {
        self.try_open(mode).unwrap()
    }

    fn refusal(&self, mode: Mode) -> String {
        self.try_open(mode).unwrap_err().to_string()
    }

    fn free(&mut self, frames: impl IntoIterator<Item = Frame>) {
        frames.into_iter().for_each(|frame| self.frames.free(frame));
    }

    fn frame_with(&mut self, packet: &[u8]) -> Frame {
        let mut frame = self.frames.take().unwrap();
        frame.copy_from(packet).unwrap();
        frame
    }

    /// Receives frames for which `wanted` holds until there are `count` or patience ends; frees all others.
    fn receive(
        &mut self,
        queue: &mut dyn Queue,
        count: usize,
        patience: Duration,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Vec<Frame> {
        let start = Instant::now();
        let (mut got, mut batch) = (Vec::new(), Vec::new());
        while got.len() < count && start.elapsed() < patience {
            queue.receive(&mut self.frames, &mut batch, 64);
            for frame in batch.drain(..) {
                if wanted(frame.data()) {
                    got.push(frame);
                } else {
                    self.frames.free(frame);
                }
            }
            std::thread::yield_now();
        }
        got
    }

    /// As `receive`, of test frames.
    fn receive_test_frames(&mut self, queue: &mut dyn Queue, count: usize) -> Vec<Frame> {
        self.receive(queue, count, PATIENCE, |frame| {
            frame.get(12..14) == Some(&TEST_ETHERTYPE)
        })
    }

    /// Closes a port and checks that every frame is back.
    fn close(&mut self, port: OpenPort) {
        let OpenPort { queues, .. } = port;
        queues.into_iter().for_each(|queue| queue.close(&mut self.frames));
        assert_eq!(self.pool.free(), self.pool.total() as usize, "frames are missing");
    }
}

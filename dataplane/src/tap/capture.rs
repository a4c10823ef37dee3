//! A capture: what is wanted, and where copies wait.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    Selection,
    filter::Filter,
    record::{Point, Record, WORDS},
    ring::Ring,
};

/// Captures at a time.
pub const MAX_CAPTURES: usize = 8;

/// Bytes that wait for the reader, per worker, if there are few of those.
const RING: usize = 4 << 20;

/// The same of all workers, at most.
const RINGS: usize = 64 << 20;

/// The least bytes that wait per worker: some of the largest packets.
const LEAST_RING: usize = 512 << 10;

/// Longest copy, bytes: any packet.
pub const MAX_SNAP: u32 = 1 << 17;

/// How much of a second's packets may come at once, beyond the rate, as a part of a second.
const BURST: u64 = 10;

/// What is wanted.
#[derive(Debug)]
pub struct CaptureSpec {
    /// Which packets, by what is in them. `None`: all.
    pub filter: Option<Filter>,
    /// Those that come in.
    pub received: bool,
    /// Those that go out.
    pub transmitted: bool,
    /// Those that are dropped.
    pub dropped: bool,
    /// Most bytes of each, from the Ethernet header on.
    pub snap: u32,
    /// One of so many.
    pub sample: u32,
    /// Most packets in a second; 0: any number.
    pub rate: u32,
    /// Bytes of copies that may wait for the reader, per worker; 0: as many as are good for most.
    pub buffer: usize,
}

/// What one worker does for a capture. Its own to write.
#[derive(Debug)]
struct Side {
    ring: Ring<WORDS>,
    /// Packets that were wanted.
    matched: AtomicU64,
    /// Copies put into the ring.
    copied: AtomicU64,
    /// Copies that found the ring full.
    lost: AtomicU64,
    /// Packets beyond the rate.
    limited: AtomicU64,
}

/// Adds one, for the only writer.
#[inline]
fn count(counter: &AtomicU64) -> u64 {
    let before = counter.load(Ordering::Relaxed);
    counter.store(before.wrapping_add(1), Ordering::Relaxed);
    before
}

/// How many packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureCounts {
    /// Were wanted: by port or VRF, point and filter.
    pub matched: u64,
    /// Were copied.
    pub copied: u64,
    /// Were lost as copies because nobody read fast enough.
    pub lost: u64,
    /// Were not copied because they were beyond the rate.
    pub limited: u64,
}

/// A capture.
#[derive(Debug)]
pub struct Capture {
    spec: CaptureSpec,
    selection: Selection,
    /// One for each worker.
    sides: Box<[Side]>,
    /// When the next packet is within the rate, nanoseconds.
    next: AtomicU64,
}

impl Capture {
    /// For so many workers. At first it is about everything; [`selection`](Self::selection) changes that.
    pub fn new(mut spec: CaptureSpec, workers: usize) -> Self {
        spec.snap = spec.snap.clamp(1, MAX_SNAP);
        spec.sample = spec.sample.max(1);
        let workers = workers.max(1);
        let ring = match spec.buffer {
            0 => (RINGS / workers).clamp(LEAST_RING, RING),
            bytes => bytes.min(RING),
        };
        Self {
            spec,
            selection: Selection::all(),
            sides: (0..workers)
                .map(|_| Side {
                    ring: Ring::new(ring),
                    matched: AtomicU64::new(0),
                    copied: AtomicU64::new(0),
                    lost: AtomicU64::new(0),
                    limited: AtomicU64::new(0),
                })
                .collect(),
            next: AtomicU64::new(0),
        }
    }

    /// Which ports and VRFs it is about.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// What is wanted.
    pub fn spec(&self) -> &CaptureSpec {
        &self.spec
    }

    /// Wants packets at this point.
    #[inline]
    pub(super) fn is_at(&self, point: Point) -> bool {
        match point {
            Point::Received => self.spec.received,
            Point::Transmitted => self.spec.transmitted,
            Point::Dropped(_) => self.spec.dropped,
        }
    }

    /// Copies a packet of this worker, if it is wanted.
    #[inline]
    pub(super) fn offer(&self, worker: usize, record: &Record, bytes: &[u8]) {
        let Some(side) = self.sides.get(worker) else { return };
        if !self.is_at(record.point)
            || !self.selection.has(record.port, record.vrf)
            || !self.spec.filter.as_ref().is_none_or(|filter| filter.matches(bytes))
        {
            return;
        }
        if !count(&side.matched).is_multiple_of(u64::from(self.spec.sample)) {
            return;
        }
        if !self.is_within_rate(record.at) {
            count(&side.limited);
            return;
        }
        let copy = bytes.get(..self.spec.snap as usize).unwrap_or(bytes);
        if side.ring.push(&record.pack(), copy) {
            count(&side.copied);
        } else {
            count(&side.lost);
        }
    }

    /// Takes one from the rate, which all workers share.
    fn is_within_rate(&self, now: u64) -> bool {
        if self.spec.rate == 0 {
            return true;
        }
        let each = 1_000_000_000 / u64::from(self.spec.rate);
        let ahead = now.saturating_add(1_000_000_000 / BURST);
        let taken = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
            let next = next.max(now).saturating_add(each);
            (next <= ahead.saturating_add(each)).then_some(next)
        });
        taken.is_ok()
    }

    /// Takes out the oldest copy of a worker, into `bytes`. Only for one reader at a time.
    pub fn take(&self, worker: usize, bytes: &mut Vec<u8>) -> Option<Record> {
        let ring = &self.sides.get(worker)?.ring;
        loop {
            if let Some(record) = Record::unpack(ring.pop(bytes)?) {
                return Some(record);
            }
        }
    }

    /// Workers that copy for it.
    pub fn workers(&self) -> usize {
        self.sides.len()
    }

    /// How many packets so far, of all workers.
    pub fn counts(&self) -> CaptureCounts {
        let mut counts = CaptureCounts::default();
        for side in &self.sides {
            counts.matched += side.matched.load(Ordering::Relaxed);
            counts.copied += side.copied.load(Ordering::Relaxed);
            counts.lost += side.lost.load(Ordering::Relaxed);
            counts.limited += side.limited.load(Ordering::Relaxed);
        }
        counts
    }
}

/// All captures of one moment. Workers hold it, but whoever gave it to them frees it.
#[derive(Debug, Default)]
pub struct CaptureSet {
    /// One by one; at most [`MAX_CAPTURES`].
    pub captures: Vec<Arc<Capture>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::slots::PortSlot;

    fn spec() -> CaptureSpec {
        CaptureSpec {
            filter: None,
            received: true,
            transmitted: false,
            dropped: false,
            snap: 64,
            sample: 1,
            rate: 0,
            buffer: 0,
        }
    }

    fn record(at: u64) -> Record {
        Record {
            point: Point::Received,
            at,
            len: 100,
            port: PortSlot::from_raw(3),
            vrf: None,
            blame: None,
            made_up: false,
        }
    }

    #[test]
    fn copies_are_as_long_as_asked_and_say_how_long_the_packet_was() {
        let capture = Capture::new(spec(), 2);
        capture.offer(1, &record(7), &[5; 100]);
        let mut bytes = Vec::new();
        assert_eq!(capture.take(0, &mut bytes), None);
        assert_eq!(capture.take(1, &mut bytes), Some(record(7)));
        assert_eq!(bytes, [5; 64]);
        let sent = Record {
            point: Point::Transmitted,
            ..record(8)
        };
        capture.offer(1, &sent, &[5; 100]);
        assert_eq!(capture.take(1, &mut bytes), None, "not wanted");
        assert_eq!(capture.counts().matched, 1);
    }

    #[test]
    fn one_of_so_many_is_copied() {
        let capture = Capture::new(CaptureSpec { sample: 10, ..spec() }, 1);
        (0..95).for_each(|at| capture.offer(0, &record(at), &[0; 60]));
        let counts = capture.counts();
        assert_eq!((counts.matched, counts.copied), (95, 10));
    }

    #[test]
    fn no_more_than_the_rate_is_copied_over_time() {
        let capture = Capture::new(CaptureSpec { rate: 1000, ..spec() }, 1);
        // Ten seconds of ten thousand packets each.
        (0..100_000).for_each(|n| capture.offer(0, &record(n * 100_000), &[0; 60]));
        let counts = capture.counts();
        assert!((10_000..=10_110).contains(&counts.copied), "{counts:?}");
        assert_eq!(counts.limited + counts.copied, 100_000);
    }

    #[test]
    fn a_full_ring_loses_copies_and_counts_them() {
        let capture = Capture::new(
            CaptureSpec {
                snap: MAX_SNAP,
                ..spec()
            },
            1,
        );
        (0..1000).for_each(|at| capture.offer(0, &record(at), &[1; 60_000]));
        let counts = capture.counts();
        assert!(counts.copied >= 60 && counts.copied < 80, "{counts:?}");
        assert_eq!(counts.lost + counts.copied, 1000);
        let mut bytes = Vec::new();
        let taken = std::iter::from_fn(|| capture.take(0, &mut bytes)).count();
        assert_eq!(taken as u64, counts.copied);
        capture.offer(0, &record(0), &[1; 60_000]);
        assert!(capture.take(0, &mut bytes).is_some(), "there is room again");
    }
}

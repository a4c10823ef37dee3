//! Which pairs other workers want their owner to look at soon: flows that were removed, and flows whose timeout became shorter.
//!
//! One stack per region, linked through an array beside the pairs: any worker pushes, the owner takes all at once, so that nothing can be
//! taken and pushed again under a pusher's hands. Nothing is ever lost or refused: a pair is on the stack at most once.
//!
//! A pair that is wanted already is not pushed again. Whoever finds it so has marked it in the same atomic step; the owner clears the mark by a
//! swap, and looks at the pair after it: it sees all that was done before any mark that it cleared.
#![allow(unsafe_code)]

use super::super::memory::{Slab, TableError, Zeroable};
use super::super::sync::{AtomicU32, Ordering};
use crossbeam::utils::CachePadded;

/// The pair is wanted; the other bits are the next one's number plus one.
const WANTED: u32 = 1 << 31;

struct Link(AtomicU32);

// SAFETY: an atomic of zero (not wanted) is zeros and needs no drop.
unsafe impl Zeroable for Link {
    #[cfg(any(test, vrouter_loom))]
    fn zero() -> Self {
        Self(AtomicU32::new(0))
    }
}

pub(super) struct Attention {
    links: Slab<Link>,
    /// The top of each region's stack, plus one.
    tops: Box<[CachePadded<AtomicU32>]>,
    per_region: u32,
}

/// Pairs that were taken off the stack and not yet looked at. Private to the owner.
#[derive(Debug, Default)]
pub(super) struct Wanted(u32);

impl Attention {
    pub(super) fn new(regions: usize, per_region: u32) -> Result<Self, TableError> {
        Ok(Self {
            links: Slab::new(regions * per_region as usize)?,
            tops: (0..regions).map(|_| CachePadded::new(AtomicU32::new(0))).collect(),
            per_region,
        })
    }

    /// Has the pair's owner look at it. What the caller did before is seen then.
    pub(super) fn want(&self, pair: u32) {
        let link = &self.links[pair as usize].0;
        if link.fetch_or(WANTED, Ordering::AcqRel) & WANTED != 0 {
            return;
        }
        let top = &self.tops[(pair / self.per_region) as usize];
        let mut first = top.load(Ordering::Relaxed);
        loop {
            // A swap, not a store: the owner's swap must still see what came with the marks before it.
            link.swap(WANTED | first, Ordering::AcqRel);
            match top.compare_exchange_weak(first, pair + 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    /// The next pair of the region that is wanted, for its owner.
    #[inline]
    pub(super) fn next(&self, region: usize, wanted: &mut Wanted) -> Option<u32> {
        if wanted.0 == 0 {
            let top = &self.tops[region];
            if top.load(Ordering::Relaxed) == 0 {
                return None;
            }
            wanted.0 = top.swap(0, Ordering::AcqRel);
        }
        let pair = wanted.0.checked_sub(1)?;
        wanted.0 = self.links[pair as usize].0.swap(0, Ordering::AcqRel) & !WANTED;
        Some(pair)
    }
}

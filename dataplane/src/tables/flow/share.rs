//! How many flows each port and each VRF has and may have, so that one workload, or one tenant, cannot fill the table for all (law 6 of
//! the design).

use super::super::sync::{AtomicU32, Ordering};
use crossbeam::utils::CachePadded;

struct Share {
    used: AtomicU32,
    limit: AtomicU32,
}

/// Why nothing can be taken from a share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    /// There is no such share.
    Unknown,
    /// It is used up.
    UsedUp {
        /// Its size.
        limit: u32,
    },
}

/// One share per slot; without limits until they are set.
pub(super) struct Shares(Box<[CachePadded<Share>]>);

impl Shares {
    pub(super) fn new(slots: usize) -> Self {
        let share = |_| {
            CachePadded::new(Share {
                used: AtomicU32::new(0),
                limit: AtomicU32::new(u32::MAX),
            })
        };
        Self((0..slots).map(share).collect())
    }

    /// How many shares there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, slot: usize) -> Option<&Share> {
        self.0.get(slot).map(|share| &**share)
    }

    /// False if there is no such share.
    pub(super) fn set_limit(&self, slot: usize, limit: u32) -> bool {
        self.get(slot)
            .map(|share| share.limit.store(limit, Ordering::Relaxed))
            .is_some()
    }

    pub(super) fn used(&self, slot: usize) -> u32 {
        self.get(slot).map_or(0, |share| share.used.load(Ordering::Relaxed))
    }

    pub(super) fn limit(&self, slot: usize) -> u32 {
        self.get(slot).map_or(0, |share| share.limit.load(Ordering::Relaxed))
    }

    /// Takes one flow from the share.
    pub(super) fn take(&self, slot: usize) -> Result<(), Refused> {
        let share = self.get(slot).ok_or(Refused::Unknown)?;
        let limit = share.limit.load(Ordering::Relaxed);
        let mut used = share.used.load(Ordering::Relaxed);
        loop {
            if used >= limit {
                return Err(Refused::UsedUp { limit });
            }
            match share
                .used
                .compare_exchange_weak(used, used + 1, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(now) => used = now,
            }
        }
    }

    /// As [`take`](Self::take), for one who is the only one ever to take or give back: nothing is exchanged.
    #[inline]
    pub(super) fn take_alone(&self, slot: usize) -> Result<(), Refused> {
        let share = self.get(slot).ok_or(Refused::Unknown)?;
        let (used, limit) = (share.used.load(Ordering::Relaxed), share.limit.load(Ordering::Relaxed));
        if used >= limit {
            return Err(Refused::UsedUp { limit });
        }
        share.used.store(used + 1, Ordering::Relaxed);
        Ok(())
    }

    /// Gives so many flows back.
    pub(super) fn give_back(&self, slot: usize, count: u32) {
        if let Some(share) = self.get(slot) {
            share.used.fetch_sub(count, Ordering::Relaxed);
        }
    }
}

//! How many flows each port has and may have, so that one workload cannot fill the table for all (law 6 of the design).

use super::super::sync::{AtomicU32, Ordering};
use super::InsertError;
use crossbeam::utils::CachePadded;

struct Share {
    used: AtomicU32,
    limit: AtomicU32,
}

/// One share per port; without limits until they are set.
pub(super) struct Shares(Box<[CachePadded<Share>]>);

impl Shares {
    pub(super) fn new(ports: usize) -> Self {
        let share = |_| {
            CachePadded::new(Share {
                used: AtomicU32::new(0),
                limit: AtomicU32::new(u32::MAX),
            })
        };
        Self((0..ports).map(share).collect())
    }

    fn get(&self, port: u16) -> Result<&Share, InsertError> {
        self.0
            .get(usize::from(port))
            .map(|share| &**share)
            .ok_or(InsertError::NoSuchPort {
                port,
                ports: self.0.len(),
            })
    }

    pub(super) fn set_limit(&self, port: u16, limit: u32) -> Result<(), InsertError> {
        self.get(port).map(|share| share.limit.store(limit, Ordering::Relaxed))
    }

    pub(super) fn used(&self, port: u16) -> u32 {
        self.get(port).map_or(0, |share| share.used.load(Ordering::Relaxed))
    }

    pub(super) fn limit(&self, port: u16) -> u32 {
        self.get(port).map_or(0, |share| share.limit.load(Ordering::Relaxed))
    }

    /// Takes one flow from the port's share.
    pub(super) fn take(&self, port: u16) -> Result<(), InsertError> {
        let share = self.get(port)?;
        let limit = share.limit.load(Ordering::Relaxed);
        let mut used = share.used.load(Ordering::Relaxed);
        loop {
            if used >= limit {
                return Err(InsertError::PortShareUsed { port, limit });
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

    /// Gives one flow back.
    pub(super) fn give_back(&self, port: u16) {
        if let Ok(share) = self.get(port) {
            share.used.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

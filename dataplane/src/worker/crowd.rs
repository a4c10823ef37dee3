//! Whether a worker shares its CPU with others that want it.
//!
//! To look for packets for a while before going to sleep saves a wake-up where the CPU would otherwise be idle. Where workloads run on the same
//! CPU it takes from them what they need to answer. A look at idle queues takes a microsecond: if the next one is long in coming, somebody else
//! had the CPU meanwhile.

/// Nanoseconds between two looks after which somebody has had more of the CPU than it takes to answer one packet.
const AWAY: u64 = 30_000;

/// Nanoseconds for which a CPU that others have had is held to be wanted.
const MEMORY: u64 = 5_000_000;

/// What a worker knows of others on its CPU.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// When the last look was, if nothing was found since, nanoseconds.
    looked: Option<u64>,
    /// Until when others are held to want the CPU, nanoseconds.
    until: u64,
}

impl Crowd {
    /// Looked at `now` (nanoseconds) and found nothing: do others want the CPU?
    pub(super) fn is_here(&mut self, now: u64) -> bool {
        let away = self.looked.replace(now).map_or(0, |looked| now.saturating_sub(looked));
        if away > AWAY {
            self.until = now.saturating_add(MEMORY);
        }
        now < self.until
    }

    /// Something was found, or the worker slept: the time until the next look says nothing.
    pub(super) fn forget_look(&mut self) {
        self.looked = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_away_for_long_has_company_for_a_while() {
        let mut crowd = Crowd::default();
        assert!(!crowd.is_here(1_000_000));
        assert!(!crowd.is_here(1_000_000 + AWAY));
        crowd.forget_look();
        assert!(!crowd.is_here(2_000_000), "it was at work");
        let back = 2_000_001 + AWAY;
        assert!(crowd.is_here(back));
        crowd.forget_look();
        assert!(crowd.is_here(back + MEMORY - 1));
        crowd.forget_look();
        assert!(!crowd.is_here(back + MEMORY));
    }
}

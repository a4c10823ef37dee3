//! The timer wheel of one region: which pairs are to be looked at when. Private to the owner; knows numbers and times, no flows.
//!
//! One turn of the wheel is [`SLOTS`] ticks. What is due later is looked at once a turn and put in again, so that a flow's slot need not
//! move when its packets come (which any worker may see, and only the owner could write): the owner works out anew when it is due
//! only when it meets it. Nothing is met before it is due, and nothing later than one tick after, if the owner comes by as often.

use super::links::Lists;

/// Milliseconds of a tick.
pub(super) const TICK_MS: u64 = 100;

/// Ticks of a turn: nearly seven minutes.
pub(super) const SLOTS: u64 = if cfg!(vrouter_loom) { 16 } else { 4096 };

#[derive(Debug)]
pub(super) struct Wheel {
    lists: Lists,
    /// The tick that is being looked at. Nothing is due before it.
    cursor: u64,
    armed: usize,
}

impl Wheel {
    /// For pairs `0..pairs`.
    pub(super) fn new(pairs: usize) -> Self {
        Self {
            lists: Lists::new(pairs, SLOTS as usize),
            cursor: 0,
            armed: 0,
        }
    }

    /// Whether the pair is to be looked at some time.
    #[inline]
    pub(super) fn contains(&self, pair: u32) -> bool {
        self.lists.contains(pair)
    }

    /// Has the pair looked at once `due_ms` is reached, or a turn from now if that is sooner; not as it was said before.
    pub(super) fn arm(&mut self, pair: u32, due_ms: u64, now_ms: u64) {
        if self.armed == 0 {
            self.cursor = now_ms / TICK_MS;
        }
        let tick = due_ms.div_ceil(TICK_MS);
        let tick = tick.clamp(self.cursor, self.cursor.saturating_add(SLOTS - 1));
        self.armed += usize::from(!self.lists.contains(pair));
        self.lists.push_back((tick % SLOTS) as usize, pair);
    }

    /// The first pairs of those that are due, at most as many as there is room for; gives how many. They stay as they are.
    pub(super) fn coming(&mut self, now_ms: u64, pairs: &mut [u32]) -> usize {
        let mut next = self.due(now_ms);
        let mut count = 0;
        for (place, pair) in pairs.iter_mut().zip(std::iter::from_fn(|| {
            let pair = next?;
            next = self.lists.behind(pair);
            Some(pair)
        })) {
            *place = pair;
            count += 1;
        }
        count
    }

    /// Forgets the pair.
    pub(super) fn disarm(&mut self, pair: u32) {
        if self.lists.contains(pair) {
            self.lists.unlink(pair);
            self.armed -= 1;
        }
    }

    /// A pair that is due. It stays until it is armed anew or disarmed; one of these must follow. Takes at most a turn's steps, however long
    /// nobody came.
    pub(super) fn due(&mut self, now_ms: u64) -> Option<u32> {
        let now = now_ms / TICK_MS;
        if self.armed == 0 {
            self.cursor = now;
            return None;
        }
        // After more than a turn every slot is due once, in whatever order.
        self.cursor = self.cursor.max(now.saturating_sub(SLOTS - 1));
        while self.cursor <= now {
            if let Some(pair) = self.lists.front((self.cursor % SLOTS) as usize) {
                return Some(pair);
            }
            if self.cursor == now {
                break;
            }
            self.cursor += 1;
        }
        None
    }
}

#[cfg(test)]
#[cfg(not(vrouter_loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn take(wheel: &mut Wheel, now: u64) -> Vec<u32> {
        let mut taken = Vec::new();
        while let Some(pair) = wheel.due(now) {
            wheel.disarm(pair);
            taken.push(pair);
        }
        taken
    }

    #[test]
    fn nothing_is_due_before_its_time_nor_a_tick_after() {
        let mut wheel = Wheel::new(10);
        wheel.arm(1, 1_000, 0);
        wheel.arm(2, 1_001, 0);
        wheel.arm(3, 1_100, 0);
        assert!(take(&mut wheel, 999).is_empty());
        assert_eq!(take(&mut wheel, 1_000), [1]);
        assert!(take(&mut wheel, 1_099).is_empty());
        assert_eq!(take(&mut wheel, 1_100), [2, 3]);
        assert!(take(&mut wheel, 1 << 40).is_empty());
    }

    #[test]
    fn what_is_due_later_than_a_turn_is_looked_at_once_a_turn() {
        let mut wheel = Wheel::new(10);
        wheel.arm(7, 10 * SLOTS * TICK_MS, 0);
        let turn = (SLOTS - 1) * TICK_MS;
        assert_eq!(wheel.due(turn - 1), None);
        assert_eq!(wheel.due(turn), Some(7));
    }

    #[test]
    fn arming_again_forgets_the_first_time() {
        let mut wheel = Wheel::new(2);
        wheel.arm(0, 5_000, 0);
        wheel.arm(0, 1_000, 0);
        assert_eq!(take(&mut wheel, 1_000), [0]);
        assert!(take(&mut wheel, 10_000).is_empty());
        assert_eq!(wheel.armed, 0);
    }

    proptest! {
        /// Whatever is armed, and however far apart the looks are: each pair is met in the first look at or after its tick.
        #[test]
        fn meets_each_pair_in_the_first_look_at_or_after_its_tick(
            dues in proptest::collection::vec(0..300_000u64, 1..40),
            mut looks in proptest::collection::vec(0..2_000_000u64, 1..60),
        ) {
            let mut wheel = Wheel::new(dues.len());
            for (pair, due) in dues.iter().enumerate() {
                wheel.arm(pair as u32, *due, 0);
            }
            looks.push(3_000_000);
            looks.sort_unstable();
            let mut met = vec![None; dues.len()];
            for look in &looks {
                for pair in take(&mut wheel, *look) {
                    prop_assert_eq!(met[pair as usize].replace(*look), None);
                }
            }
            for (due, met) in dues.iter().zip(met) {
                let tick = due.div_ceil(TICK_MS) * TICK_MS;
                prop_assert_eq!(met, looks.iter().find(|look| **look >= tick).copied());
            }
        }
    }
}

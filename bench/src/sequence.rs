//! What was lost, came twice or came late, told from sequence numbers.

/// Sequence numbers, counted back from the highest, of which it is known whether they came. Repeated packets that are older
/// are taken for late ones.
const WINDOW: u64 = 1 << 16;

const WORDS: usize = (WINDOW / 64) as usize;

/// Follows the sequence numbers of one stream.
#[derive(Debug, Clone)]
pub struct Sequence {
    /// Lowest and highest number seen, beyond 32 bits; the first packet's is `u32::MAX + 1` and what it says, so that earlier
    /// ones have room.
    lowest: u64,
    highest: u64,
    /// A bit per number of the window.
    seen: Vec<u64>,
    /// Highest number by receive queue: packets of different queues are in no order.
    by_queue: Vec<u64>,
    /// Numbers that came at least once.
    pub unique: u64,
    /// Packets whose number had come before.
    pub duplicates: u64,
    /// Packets that came behind one with a higher number (RFC 4737), in the same receive queue.
    pub reordered: u64,
}

impl Sequence {
    /// A stream whose first received packet, from this queue, has this number.
    pub fn new(first: u32, queue: usize) -> Self {
        let first = u64::from(first) + (1 << 32);
        let mut sequence = Self {
            lowest: first,
            highest: first,
            seen: vec![0; WORDS],
            by_queue: Vec::new(),
            unique: 1,
            duplicates: 0,
            reordered: 0,
        };
        sequence.mark(first);
        sequence.follow_queue(first, queue);
        sequence
    }

    /// The next received packet.
    pub fn receive(&mut self, number: u32, queue: usize) {
        // The nearest number to the highest with these low 32 bits.
        let ahead = number.wrapping_sub(self.highest as u32) as i32;
        let number = self.highest.saturating_add_signed(i64::from(ahead));
        if number > self.highest {
            self.forget(number);
            self.highest = number;
        }
        self.lowest = self.lowest.min(number);
        if self.highest - number < WINDOW && !self.mark(number) {
            self.duplicates += 1;
            return;
        }
        self.unique += 1;
        self.follow_queue(number, queue);
    }

    /// Numbers between the first and the last that did not come.
    pub fn lost(&self) -> u64 {
        (self.highest - self.lowest + 1).saturating_sub(self.unique)
    }

    /// Marks a number of the window; false if it was.
    fn mark(&mut self, number: u64) -> bool {
        let at = number % WINDOW;
        let (word, bit) = ((at / 64) as usize, 1 << (at % 64));
        let Some(word) = self.seen.get_mut(word) else {
            return true;
        };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Moves the window up to end with `number`: what comes into it was not seen.
    fn forget(&mut self, number: u64) {
        if number - self.highest >= WINDOW {
            self.seen.fill(0);
            return;
        }
        for n in self.highest + 1..=number {
            let at = n % WINDOW;
            if let Some(word) = self.seen.get_mut((at / 64) as usize) {
                *word &= !(1 << (at % 64));
            }
        }
    }

    fn follow_queue(&mut self, number: u64, queue: usize) {
        if self.by_queue.len() <= queue {
            self.by_queue.resize(queue + 1, 0);
        }
        let Some(highest) = self.by_queue.get_mut(queue) else {
            return;
        };
        if number < *highest {
            self.reordered += 1;
        } else {
            *highest = number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(numbers: &[u32]) -> Sequence {
        let mut sequence = Sequence::new(numbers[0], 0);
        numbers[1..].iter().for_each(|n| sequence.receive(*n, 0));
        sequence
    }

    fn facts(numbers: &[u32]) -> (u64, u64, u64, u64) {
        let s = of(numbers);
        (s.unique, s.lost(), s.duplicates, s.reordered)
    }

    #[test]
    fn counts_what_went_wrong() {
        assert_eq!(facts(&[0, 1, 2, 3]), (4, 0, 0, 0));
        assert_eq!(facts(&[0, 1, 4]), (3, 2, 0, 0), "gap");
        assert_eq!(facts(&[0, 2, 1, 3]), (4, 0, 0, 1), "late, not lost");
        assert_eq!(facts(&[0, 1, 1, 1]), (2, 0, 2, 0), "repeated");
        assert_eq!(facts(&[5, 3, 4]), (3, 0, 0, 2), "earlier than the first");
    }

    #[test]
    fn wraps_around() {
        assert_eq!(facts(&[u32::MAX - 1, u32::MAX, 0, 1]), (4, 0, 0, 0));
        assert_eq!(facts(&[0, u32::MAX]), (2, 0, 0, 1));
        let mut s = of(&[0]);
        (1..6u32).for_each(|n| s.receive(n.wrapping_mul(0x4000_0000), 0));
        assert_eq!(
            s.lost() + s.unique,
            5 * 0x4000_0000 + 1,
            "one and a quarter times around"
        );
    }

    #[test]
    fn repeated_packets_are_known_within_the_window() {
        let window = WINDOW as u32;
        let mut s = of(&[0]);
        (1..window).for_each(|n| s.receive(n, 0));
        s.receive(0, 0);
        assert_eq!((s.duplicates, s.lost()), (1, 0));
        s.receive(2 * window - 1, 0);
        (window..2 * window - 1).for_each(|n| s.receive(n, 0));
        assert_eq!((s.duplicates, s.lost(), s.reordered), (1, 0, u64::from(window) - 1));
        s.receive(5 * window, 0);
        s.receive(4 * window + 1, 0);
        assert_eq!(
            (s.duplicates, s.unique),
            (1, 2 * u64::from(window) + 2),
            "a far jump clears the window"
        );
    }

    #[test]
    fn queues_have_their_own_order() {
        let mut s = Sequence::new(1, 0);
        s.receive(0, 1);
        s.receive(2, 1);
        s.receive(3, 0);
        assert_eq!((s.reordered, s.lost()), (0, 0));
        s.receive(5, 1);
        s.receive(4, 1);
        assert_eq!(s.reordered, 1);
    }
}

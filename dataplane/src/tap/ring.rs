//! A ring of bytes from one worker to one reader. The worker never waits: what does not fit is not put in.
//!
//! Memory is made of atomic words, so that nothing here can go wrong with memory, whoever calls what: two readers at once would only read nonsense.

use crossbeam::utils::CachePadded;

#[cfg(vrouter_loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(vrouter_loom))]
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a word.
const WORD: usize = 8;

/// Words that say how long a record is.
const LENGTH: usize = 1;

/// The ring. Records are `N` words and some bytes.
#[derive(Debug)]
pub(super) struct Ring<const N: usize> {
    /// A power of two of them.
    words: Box<[AtomicU64]>,
    /// Words written so far.
    written: CachePadded<AtomicU64>,
    /// Words read so far.
    read: CachePadded<AtomicU64>,
}

impl<const N: usize> Ring<N> {
    /// Room for about so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let words = (bytes / WORD).max(LENGTH + N + 1).next_power_of_two();
        Self {
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            written: CachePadded::new(AtomicU64::new(0)),
            read: CachePadded::new(AtomicU64::new(0)),
        }
    }

    #[inline]
    fn word(&self, count: u64) -> Option<&AtomicU64> {
        self.words.get(count as usize & (self.words.len() - 1))
    }

    #[inline]
    fn put(&self, count: u64, value: u64) {
        if let Some(word) = self.word(count) {
            word.store(value, Ordering::Relaxed);
        }
    }

    #[inline]
    fn get(&self, count: u64) -> u64 {
        self.word(count).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Puts a record in. Only for the one who writes. `false`: there is no room for it.
    pub(super) fn push(&self, head: &[u64; N], bytes: &[u8]) -> bool {
        let written = self.written.load(Ordering::Relaxed);
        let used = written.wrapping_sub(self.read.load(Ordering::Acquire));
        let needed = (LENGTH + N + bytes.len().div_ceil(WORD)) as u64;
        if (self.words.len() as u64).saturating_sub(used) < needed {
            return false;
        }
        let mut at = written;
        self.put(at, bytes.len() as u64);
        at = at.wrapping_add(1);
        for word in head {
            self.put(at, *word);
            at = at.wrapping_add(1);
        }
        let (whole, rest) = bytes.as_chunks::<WORD>();
        for chunk in whole {
            self.put(at, u64::from_le_bytes(*chunk));
            at = at.wrapping_add(1);
        }
        if !rest.is_empty() {
            let mut last = [0; WORD];
            for (to, from) in last.iter_mut().zip(rest) {
                *to = *from;
            }
            self.put(at, u64::from_le_bytes(last));
            at = at.wrapping_add(1);
        }
        self.written.store(at, Ordering::Release);
        true
    }

    /// Takes the oldest record out; its bytes replace those in `bytes`. Only for the one who reads.
    pub(super) fn pop(&self, bytes: &mut Vec<u8>) -> Option<[u64; N]> {
        let read = self.read.load(Ordering::Relaxed);
        if self.written.load(Ordering::Acquire) == read {
            return None;
        }
        let mut at = read;
        let len = (self.get(at) as usize).min(self.words.len() * WORD);
        at = at.wrapping_add(1);
        let mut head = [0; N];
        for word in &mut head {
            *word = self.get(at);
            at = at.wrapping_add(1);
        }
        bytes.clear();
        bytes.reserve(len + WORD);
        for _ in 0..len.div_ceil(WORD) {
            bytes.extend_from_slice(&self.get(at).to_le_bytes());
            at = at.wrapping_add(1);
        }
        bytes.truncate(len);
        self.read.store(at, Ordering::Release);
        Some(head)
    }
}

#[cfg(all(test, not(vrouter_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_come_out_as_they_went_in_and_what_does_not_fit_is_refused(
            steps in proptest::collection::vec((any::<bool>(), any::<[u64; 2]>(), proptest::collection::vec(any::<u8>(), 0..70)), 1..200),
        ) {
            let ring = Ring::<2>::new(256);
            let mut model = std::collections::VecDeque::new();
            let mut bytes = vec![9; 3];
            for (push, head, data) in steps {
                if push {
                    let used: usize = model.iter().map(|(_, data): &([u64; 2], Vec<u8>)| 3 + data.len().div_ceil(8)).sum();
                    let fits = used + 3 + data.len().div_ceil(8) <= 32;
                    prop_assert_eq!(ring.push(&head, &data), fits);
                    if fits {
                        model.push_back((head, data));
                    }
                } else {
                    let expected = model.pop_front();
                    prop_assert_eq!(ring.pop(&mut bytes), expected.as_ref().map(|(head, _)| *head));
                    if let Some((_, data)) = expected {
                        prop_assert_eq!(&bytes, &data);
                    }
                }
            }
        }
    }

    #[test]
    fn a_reader_on_another_thread_sees_whole_records_in_order() {
        let ring = std::sync::Arc::new(Ring::<1>::new(4096));
        let writer = {
            let ring = ring.clone();
            std::thread::spawn(move || {
                let mut next = 0_u64;
                while next < 20_000 {
                    let data = vec![next as u8; next as usize % 100];
                    if ring.push(&[next], &data) {
                        next += 1;
                    } else {
                        std::thread::yield_now();
                    }
                }
            })
        };
        let mut bytes = Vec::new();
        let mut expected = 0;
        while expected < 20_000 {
            let Some([number]) = ring.pop(&mut bytes) else {
                std::thread::yield_now();
                continue;
            };
            assert_eq!(number, expected);
            assert_eq!(bytes, vec![number as u8; number as usize % 100]);
            expected += 1;
        }
        writer.join().unwrap();
    }
}

#[cfg(all(test, vrouter_loom))]
mod loom_tests {
    use super::*;

    /// Whatever the order of steps: what is read is whole, in order, and nothing is read twice.
    #[test]
    fn loom_a_record_is_read_whole_or_not_yet() {
        loom::model(|| {
            let ring = loom::sync::Arc::new(Ring::<1>::new(0));
            let writer = {
                let ring = ring.clone();
                loom::thread::spawn(move || {
                    (1..=2_u64)
                        .filter(|number| ring.push(&[*number], &[*number as u8]))
                        .count()
                })
            };
            let mut bytes = Vec::new();
            let mut seen = Vec::new();
            for _ in 0..2 {
                if let Some([number]) = ring.pop(&mut bytes) {
                    assert_eq!(bytes, [number as u8]);
                    seen.push(number);
                }
            }
            let pushed = writer.join().unwrap();
            while let Some([number]) = ring.pop(&mut bytes) {
                assert_eq!(bytes, [number as u8]);
                seen.push(number);
            }
            assert_eq!(seen.len(), pushed);
            assert!(seen.is_sorted());
        });
    }
}

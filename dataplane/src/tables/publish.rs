//! Publishing snapshots: one writer replaces the whole, readers go on with what they hold (RCU by hazard pointers).
//!
//! A worker pins the snapshot for a batch of packets, so that a packet sees one revision from parse to transmit. Readers
//! never wait, never allocate and never free: a snapshot that was replaced goes to a queue, and the writer takes it back once no
//! reader can hold it. Snapshots are given back strictly oldest first, so that what they share is let go in the order
//! in which it was made.
//!
//! Why it holds: a reader writes the address into its hazard, then looks whether it is still the current one; the
//! writer replaces the current one, then looks at the hazards. A sequentially consistent fence between the two steps on either
//! side means that at least one of them sees the other.
#![allow(unsafe_code)]

use super::sync::{AtomicBool, AtomicPtr, Ordering, fence};
use crossbeam::utils::CachePadded;
use std::cell::Cell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, PoisonError};

/// The greatest number of readers of one publisher.
pub const MAX_READERS: usize = if cfg!(vrouter_loom) { 2 } else { 65 };

/// All places for readers are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all {MAX_READERS} readers of the tables are taken: run fewer workers")]
pub struct TooManyReaders;

struct Hazard<T> {
    /// The snapshot its reader may be looking at; null if there is none.
    held: AtomicPtr<T>,
    taken: AtomicBool,
}

struct Shared<T> {
    current: AtomicPtr<T>,
    hazards: Box<[CachePadded<Hazard<T>>]>,
    /// What a dropped publisher could not yet give back: freed with the last reader.
    orphans: Mutex<Vec<NonNull<T>>>,
}

// SAFETY: snapshots are shared between threads by reference (T: Sync) and freed on whichever thread comes last (T: Send).
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above; all fields are atomics or behind a lock.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let orphans = std::mem::take(self.orphans.get_mut().unwrap_or_else(PoisonError::into_inner));
        for snapshot in orphans {
            // SAFETY: came from Box::into_raw in `publish`, was moved here by the publisher's drop and is in no other list; with
            // the last owner of Shared gone no reader is left.
            drop(unsafe { Box::from_raw(snapshot.as_ptr()) });
        }
        let current = self.current.load(Ordering::Acquire);
        // SAFETY: as above; the current snapshot is in no list of retired ones.
        drop(unsafe { Box::from_raw(current) });
    }
}

/// The writer's end: there is one, and only it replaces and frees.
pub struct Publisher<T> {
    shared: Arc<Shared<T>>,
    /// Replaced snapshots, oldest first.
    retired: VecDeque<NonNull<T>>,
}

// SAFETY: the publisher owns its retired snapshots like boxes.
unsafe impl<T: Send + Sync> Send for Publisher<T> {}

impl<T> Publisher<T> {
    /// A publisher whose current snapshot is `first`.
    #[must_use]
    pub fn new(first: Box<T>) -> Self {
        let hazard = || {
            CachePadded::new(Hazard {
                held: AtomicPtr::new(ptr::null_mut()),
                taken: AtomicBool::new(false),
            })
        };
        Self {
            shared: Arc::new(Shared {
                current: AtomicPtr::new(Box::into_raw(first)),
                hazards: (0..MAX_READERS).map(|_| hazard()).collect(),
                orphans: Mutex::new(Vec::new()),
            }),
            retired: VecDeque::new(),
        }
    }

    /// A new reader. Readers may be sent to other threads and dropped at any time; their place is then free again.
    ///
    /// # Errors
    /// [`TooManyReaders`] when [`MAX_READERS`] are alive.
    pub fn reader(&self) -> Result<Reader<T>, TooManyReaders> {
        let place = self
            .shared
            .hazards
            .iter()
            .position(|h| {
                h.taken
                    .compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
            })
            .ok_or(TooManyReaders)?;
        Ok(Reader {
            shared: Arc::clone(&self.shared),
            place,
            not_sync: PhantomData,
        })
    }

    /// The current snapshot.
    #[must_use]
    pub fn current(&self) -> &T {
        // SAFETY: only `publish` (which needs &mut self) retires the current snapshot, so it lives as long as this borrow.
        unsafe { &*self.shared.current.load(Ordering::Relaxed) }
    }

    /// Makes `next` the current snapshot. Pins made from here on see it; those held go on with theirs.
    pub fn publish(&mut self, next: Box<T>) {
        let old = self.shared.current.swap(Box::into_raw(next), Ordering::AcqRel);
        self.retired.extend(NonNull::new(old));
    }

    /// Takes back the replaced snapshots that no reader can hold any more: oldest first, stopping at the first that one may hold.
    pub fn reclaim(&mut self) -> Vec<Box<T>> {
        // Pairs with the fence in `Reader::pin`.
        fence(Ordering::SeqCst);
        let mut held = [ptr::null_mut(); MAX_READERS];
        for (held, hazard) in held.iter_mut().zip(&self.shared.hazards) {
            *held = hazard.held.load(Ordering::Acquire);
        }
        let free = self
            .retired
            .iter()
            .take_while(|snapshot| !held.contains(&snapshot.as_ptr()))
            .count();
        self.retired
            .drain(..free)
            // SAFETY: came from Box::into_raw; it left `current` before the fence above, and no hazard shows it after: a reader
            // that writes it into its hazard later finds, behind its own fence, that it is no longer current.
            .map(|snapshot| unsafe { Box::from_raw(snapshot.as_ptr()) })
            .collect()
    }

    /// How many replaced snapshots wait for their readers.
    #[must_use]
    pub fn retired(&self) -> usize {
        self.retired.len()
    }
}

impl<T> Drop for Publisher<T> {
    fn drop(&mut self) {
        let mut orphans = self.shared.orphans.lock().unwrap_or_else(PoisonError::into_inner);
        orphans.extend(self.retired.drain(..));
    }
}

/// A reader's end: one per worker.
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    place: usize,
    not_sync: PhantomData<Cell<()>>,
}

impl<T> std::fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl<T> Reader<T> {
    /// Pins the current snapshot: it stays whole until the guard is dropped. Lock-free: it goes round again only when the writer
    /// published in the same instant. A reader holds one pin at a time, hence `&mut`.
    #[inline]
    pub fn pin(&mut self) -> Guard<'_, T> {
        let hazard = &self.shared.hazards[self.place].held;
        let mut snapshot = self.shared.current.load(Ordering::Acquire);
        loop {
            // Release: whoever sees this knows that the reads of an earlier pin are over.
            hazard.store(snapshot, Ordering::Release);
            // Pairs with the fence in `Publisher::reclaim`.
            fence(Ordering::SeqCst);
            let now = self.shared.current.load(Ordering::Acquire);
            if now == snapshot {
                break;
            }
            snapshot = now;
        }
        Guard {
            hazard,
            // SAFETY: it was current after it stood in the hazard, so it is not reclaimed until the hazard is cleared, which
            // the guard does when dropped.
            snapshot: unsafe { &*snapshot },
        }
    }

    /// As [`pin`](Self::pin), but the snapshot stays pinned until a later call finds another one current, or
    /// [`let_go`](Self::let_go): to hold the same one again costs no fence. For readers that come by all the time.
    #[inline]
    pub fn hold(&mut self) -> &T {
        let hazard = &self.shared.hazards[self.place].held;
        let current = self.shared.current.load(Ordering::Acquire);
        // We alone write our hazard. If it shows the current snapshot, that has been pinned without a gap since it was put there, so it was
        // not reclaimed meanwhile, and its address is no other's.
        if hazard.load(Ordering::Relaxed) != current {
            std::mem::forget(self.pin());
        }
        // SAFETY: it stands in the hazard, and was current after it was put there (see `pin`); it stays there until this borrow is over.
        unsafe { &*self.shared.hazards[self.place].held.load(Ordering::Relaxed) }
    }

    /// Ends what [`hold`](Self::hold) began: before a pause of unknown length.
    #[inline]
    pub fn let_go(&mut self) {
        self.shared.hazards[self.place]
            .held
            .store(ptr::null_mut(), Ordering::Release);
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        let hazard = &self.shared.hazards[self.place];
        hazard.held.store(ptr::null_mut(), Ordering::Release);
        hazard.taken.store(false, Ordering::Release);
    }
}

/// A pinned snapshot.
pub struct Guard<'a, T> {
    hazard: &'a AtomicPtr<T>,
    snapshot: &'a T,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.snapshot
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.hazard.store(ptr::null_mut(), Ordering::Release);
    }
}

#[cfg(test)]
#[cfg(not(vrouter_loom))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    #[test]
    fn a_pin_keeps_its_snapshot_and_all_younger_ones() {
        let mut publisher = Publisher::new(Box::new(1));
        let mut a = publisher.reader().unwrap();
        let mut b = publisher.reader().unwrap();
        let one = a.pin();
        publisher.publish(Box::new(2));
        let two = b.pin();
        publisher.publish(Box::new(3));
        assert_eq!((*one, *two, *publisher.current()), (1, 2, 3));
        assert!(publisher.reclaim().is_empty());
        drop(two);
        assert!(publisher.reclaim().is_empty(), "2 is free but 1 is older and held");
        assert_eq!(publisher.retired(), 2);
        drop(one);
        assert_eq!(publisher.reclaim().into_iter().map(|b| *b).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(*a.pin(), 3);
        assert!(publisher.reclaim().is_empty());
    }

    #[test]
    fn what_is_held_stays_until_the_next_look_or_until_let_go() {
        let mut publisher = Publisher::new(Box::new(1));
        let mut reader = publisher.reader().unwrap();
        assert_eq!((*reader.hold(), *reader.hold()), (1, 1));
        publisher.publish(Box::new(2));
        assert!(publisher.reclaim().is_empty());
        assert_eq!(*reader.hold(), 2);
        assert_eq!(publisher.reclaim().len(), 1);
        publisher.publish(Box::new(3));
        assert!(publisher.reclaim().is_empty());
        reader.let_go();
        assert_eq!(publisher.reclaim().len(), 1);
        assert_eq!(*reader.hold(), 3);
        assert_eq!(*reader.pin(), 3);
    }

    #[test]
    fn readers_places_come_back() {
        let publisher = Publisher::new(Box::new(()));
        let mut readers: Vec<_> = (0..MAX_READERS).map(|_| publisher.reader().unwrap()).collect();
        assert_eq!(publisher.reader().err(), Some(TooManyReaders));
        readers.swap_remove(17);
        assert!(publisher.reader().is_ok());
    }

    struct Counted<'a>(&'a AtomicUsize);

    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn every_snapshot_is_freed_exactly_once_whoever_goes_first() {
        let freed = AtomicUsize::new(0);
        let mut publisher = Publisher::new(Box::new(Counted(&freed)));
        let mut reader = publisher.reader().unwrap();
        let pin = reader.pin();
        for _ in 0..5 {
            publisher.publish(Box::new(Counted(&freed)));
        }
        drop(publisher);
        assert_eq!(freed.load(SeqCst), 0);
        drop(pin);
        drop(reader);
        assert_eq!(freed.load(SeqCst), 6);
    }

    /// Each snapshot says who it is in two words; freed ones are overwritten first, so that a reader would notice.
    #[test]
    fn readers_under_a_storm_of_publishing_see_whole_and_ever_younger_snapshots() {
        const SNAPSHOTS: u64 = 20_000;
        struct Pair(AtomicU64, AtomicU64);
        use std::sync::atomic::AtomicU64;
        let mut publisher = Publisher::new(Box::new(Pair(AtomicU64::new(0), AtomicU64::new(0))));
        let mut readers: Vec<_> = (0..3).map(|_| publisher.reader().unwrap()).collect();
        let mut next = 0;
        let mut check = |returned: Vec<Box<Pair>>| {
            for old in returned {
                assert_eq!(old.0.swap(u64::MAX, SeqCst), next, "oldest first, none left out");
                next += 1;
            }
        };
        std::thread::scope(|scope| {
            for reader in &mut readers {
                scope.spawn(move || {
                    let mut last = 0;
                    while last < SNAPSHOTS {
                        let pin = reader.pin();
                        let (a, b) = (pin.0.load(SeqCst), pin.1.load(SeqCst));
                        assert_eq!(a, b);
                        assert!(a >= last && a <= SNAPSHOTS, "{a} after {last}");
                        last = a;
                    }
                });
            }
            for n in 1..=SNAPSHOTS {
                publisher.publish(Box::new(Pair(AtomicU64::new(n), AtomicU64::new(n))));
                check(publisher.reclaim());
            }
        });
        check(publisher.reclaim());
        assert_eq!(next, SNAPSHOTS, "with no pin left all but the current one come back");
    }
}

#[cfg(test)]
#[cfg(vrouter_loom)]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;

    /// Loom watches the cell: a write (made on what `reclaim` gave back) that a reader's read may meet fails the test.
    struct Watched(UnsafeCell<u32>);

    // SAFETY: for the test: loom itself reports unsynchronised use of the cell.
    unsafe impl Sync for Watched {}

    fn watched(n: u32) -> Box<Watched> {
        Box::new(Watched(UnsafeCell::new(n)))
    }

    fn overwrite(boxes: &[Box<Watched>]) {
        for old in boxes {
            // SAFETY: exclusive if `reclaim` is right, which is what loom checks.
            old.0.with_mut(|value| unsafe { *value = 99 });
        }
    }

    fn read(reader: &mut Reader<Watched>) -> u32 {
        let pin = reader.pin();
        // SAFETY: shared reads of a pinned snapshot; loom checks that nobody writes.
        pin.0.with(|value| unsafe { *value })
    }

    #[test]
    fn loom_publish_never_gives_back_what_a_reader_holds() {
        loom::model(|| {
            let mut publisher = Publisher::new(watched(1));
            let mut reader = publisher.reader().unwrap();
            let thread = loom::thread::spawn(move || {
                let first = read(&mut reader);
                let second = read(&mut reader);
                assert!(first <= second && second <= 3);
            });
            publisher.publish(watched(2));
            let mut old = publisher.reclaim();
            overwrite(&old);
            publisher.publish(watched(3));
            let more = publisher.reclaim();
            overwrite(&more);
            old.extend(more);
            thread.join().unwrap();
            let rest = publisher.reclaim();
            overwrite(&rest);
            assert_eq!(old.len() + rest.len(), 2);
        });
    }

    #[test]
    fn loom_publish_never_gives_back_what_a_reader_holds_on_to() {
        loom::model(|| {
            let mut publisher = Publisher::new(watched(1));
            let mut reader = publisher.reader().unwrap();
            let thread = loom::thread::spawn(move || {
                let look = |reader: &mut Reader<Watched>| {
                    let held = reader.hold();
                    // SAFETY: as in `read`.
                    held.0.with(|value| unsafe { *value })
                };
                let (first, second) = (look(&mut reader), look(&mut reader));
                reader.let_go();
                assert!(first <= second && second <= 3);
            });
            publisher.publish(watched(2));
            let old = publisher.reclaim();
            overwrite(&old);
            publisher.publish(watched(3));
            let more = publisher.reclaim();
            overwrite(&more);
            thread.join().unwrap();
            let rest = publisher.reclaim();
            assert_eq!(old.len() + more.len() + rest.len(), 2);
        });
    }

    #[test]
    fn loom_publish_with_two_readers() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let mut publisher = Publisher::new(watched(1));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let mut reader = publisher.reader().unwrap();
                    loom::thread::spawn(move || assert!(read(&mut reader) <= 2))
                })
                .collect();
            publisher.publish(watched(2));
            let old = publisher.reclaim();
            overwrite(&old);
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }
}

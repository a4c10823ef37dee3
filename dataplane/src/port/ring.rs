//! A ring between two owners: one puts in, the other takes out, in order, many at a time, and neither ever waits.
//!
//! Each end is owned, so that there is one of each: a place is written before the count that shows it is raised, and read before the count
//! that gives it back is. Each end remembers what it last saw of the other, so that it looks at the other's cache line only when it
//! must: once per batch at most, and without any instruction that locks.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
#[cfg(not(vrouter_loom))]
use std::ptr;

use crossbeam::utils::CachePadded;

#[cfg(vrouter_loom)]
use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
#[cfg(not(vrouter_loom))]
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

#[cfg(not(vrouter_loom))]
#[derive(Debug)]
#[repr(transparent)]
struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

/// As loom's.
#[cfg(not(vrouter_loom))]
impl<T> UnsafeCell<T> {
    fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    #[inline(always)]
    fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}

#[derive(Debug)]
struct Ring<T> {
    /// A power of two of places, so that counts may run on for ever.
    places: Box<[UnsafeCell<MaybeUninit<T>>]>,
    /// How many may be in it.
    depth: usize,
    /// How many were taken out so far, wrapping.
    taken: CachePadded<AtomicUsize>,
    /// How many were put in so far, wrapping.
    put: CachePadded<AtomicUsize>,
}

// SAFETY: values cross from the sender's thread to the receiver's; a place is touched by one of them at a time (see the room's page).
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    #[inline(always)]
    fn place(&self, count: usize) -> &UnsafeCell<MaybeUninit<T>> {
        &self.places[count & (self.places.len() - 1)]
    }

    /// The places from this one on, once around: a run of so many to the end of the ring, and the others from its beginning on.
    #[cfg(not(vrouter_loom))]
    #[inline(always)]
    fn runs(&self, from: usize, count: usize) -> [(*mut T, usize); 2] {
        let first = from & (self.places.len() - 1);
        let near = count.min(self.places.len() - first);
        // A cell is no more than what is in it, to be written through a shared reference.
        let base = self.places.as_ptr().cast_mut().cast::<T>();
        // SAFETY: `first` is one of the places.
        [(unsafe { base.add(first) }, near), (base, count - near)]
    }

    fn len(&self) -> usize {
        let taken = self.taken.load(Ordering::Acquire);
        self.put.load(Ordering::Acquire).wrapping_sub(taken)
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        let mut count = self.taken.load(Ordering::Relaxed);
        while count != self.put.load(Ordering::Relaxed) {
            // SAFETY: counts between `taken` and `put` are of places that hold a value; we are the last to have the ring.
            self.place(count)
                .with_mut(|place| unsafe { (*place).assume_init_drop() });
            count = count.wrapping_add(1);
        }
    }
}

/// A ring that holds up to `depth` (one at least).
pub(super) fn ring<T>(depth: usize) -> (Sender<T>, Receiver<T>) {
    let depth = depth.max(1);
    let places = (0..depth.next_power_of_two()).map(|_| UnsafeCell::new(MaybeUninit::uninit()));
    let ring = Arc::new(Ring {
        places: places.collect(),
        depth,
        taken: CachePadded::new(AtomicUsize::new(0)),
        put: CachePadded::new(AtomicUsize::new(0)),
    });
    let sender = Sender {
        ring: ring.clone(),
        put: 0,
        taken: 0,
    };
    (sender, Receiver { ring, taken: 0, put: 0 })
}

/// The end that puts in.
#[derive(Debug)]
pub(super) struct Sender<T> {
    ring: Arc<Ring<T>>,
    put: usize,
    /// As last seen.
    taken: usize,
}

impl<T> Sender<T> {
    /// How many it holds at most.
    pub(super) fn depth(&self) -> usize {
        self.ring.depth
    }

    /// How many it holds.
    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Room for at least so many, as far as there is.
    #[inline]
    fn room(&mut self, wanted: usize) -> usize {
        let depth = self.ring.depth;
        if depth - self.put.wrapping_sub(self.taken) < wanted {
            self.taken = self.ring.taken.load(Ordering::Acquire);
        }
        depth - self.put.wrapping_sub(self.taken)
    }

    /// It can take no more now.
    pub(super) fn is_full(&mut self) -> bool {
        self.room(1) == 0
    }

    #[inline(always)]
    fn write(&mut self, value: T) {
        // SAFETY: there is room (the callers looked), so the receiver is done with this place and will not look at it before `put` is
        // raised beyond it.
        self.ring
            .place(self.put)
            .with_mut(|place| unsafe { (*place).write(value) });
        self.put = self.put.wrapping_add(1);
    }

    /// Puts one in.
    ///
    /// # Errors
    /// Gives it back when the ring is full.
    #[inline]
    pub(super) fn push(&mut self, value: T) -> Result<(), T> {
        if self.room(1) == 0 {
            return Err(value);
        }
        self.write(value);
        self.ring.put.store(self.put, Ordering::Release);
        Ok(())
    }

    /// Puts in the first ones of `from`, as many as there is room for; the others stay, in order.
    #[inline]
    pub(super) fn push_all(&mut self, from: &mut Vec<T>) {
        let count = self.room(from.len()).min(from.len());
        #[cfg(vrouter_loom)]
        from.drain(..count).for_each(|value| self.write(value));
        #[cfg(not(vrouter_loom))]
        {
            let [(near, some), (far, others)] = self.ring.runs(self.put, count);
            let left = from.len() - count;
            // SAFETY: there is room for `count`, so the receiver is done with these places and will not look at them before `put` is raised beyond
            // them. What is written there is not the vector's any more; the rest moves to its front.
            unsafe {
                from.set_len(0);
                let values = from.as_mut_ptr();
                ptr::copy_nonoverlapping(values, near, some);
                ptr::copy_nonoverlapping(values.add(some), far, others);
                ptr::copy(values.add(count), values, left);
                from.set_len(left);
            }
            self.put = self.put.wrapping_add(count);
        }
        self.ring.put.store(self.put, Ordering::Release);
    }

    /// Gives up this end. What is still in the ring comes back to whoever is the last to close.
    pub(super) fn close(self) -> impl Iterator<Item = T> {
        last(self.ring).into_iter().flatten()
    }
}

/// The end that takes out.
#[derive(Debug)]
pub(super) struct Receiver<T> {
    ring: Arc<Ring<T>>,
    taken: usize,
    /// As last seen.
    put: usize,
}

impl<T> Receiver<T> {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    /// How many wait, looking again only if fewer than `wanted` were seen before.
    #[inline]
    fn waiting(&mut self, wanted: usize) -> usize {
        if self.put.wrapping_sub(self.taken) < wanted {
            self.put = self.ring.put.load(Ordering::Acquire);
        }
        self.put.wrapping_sub(self.taken)
    }

    /// Nothing waits.
    #[inline]
    pub(super) fn is_empty(&mut self) -> bool {
        self.waiting(1) == 0
    }

    #[inline(always)]
    fn read(&mut self) -> T {
        // SAFETY: something waits here (the callers looked): the sender wrote it before it raised `put`, and will not touch the place before
        // `taken` is raised beyond it, which makes this the only reading of the value.
        let value = self
            .ring
            .place(self.taken)
            .with(|place| unsafe { (*place).assume_init_read() });
        self.taken = self.taken.wrapping_add(1);
        value
    }

    /// Takes one out.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.waiting(1) == 0 {
            return None;
        }
        let value = self.read();
        self.ring.taken.store(self.taken, Ordering::Release);
        Some(value)
    }

    /// Takes out up to `max`; gives how many.
    #[inline]
    pub(super) fn pop_all(&mut self, into: &mut Vec<T>, max: usize) -> usize {
        let count = self.waiting(max).min(max);
        if count > 0 {
            #[cfg(vrouter_loom)]
            into.extend((0..count).map(|_| self.read()));
            #[cfg(not(vrouter_loom))]
            {
                into.reserve(count);
                let [(near, some), (far, others)] = self.ring.runs(self.taken, count);
                // SAFETY: so many wait: the sender wrote them before it raised `put`, and will not touch the places before `taken` is raised
                // beyond them, which makes this the only reading of the values. The vector has room for them.
                unsafe {
                    let end = into.as_mut_ptr().add(into.len());
                    ptr::copy_nonoverlapping(near, end, some);
                    ptr::copy_nonoverlapping(far, end.add(some), others);
                    into.set_len(into.len() + count);
                }
                self.taken = self.taken.wrapping_add(count);
            }
            self.ring.taken.store(self.taken, Ordering::Release);
        }
        count
    }

    /// Gives up this end, with what waits now; what comes later goes to whoever is the last to close.
    pub(super) fn close(mut self) -> impl Iterator<Item = T> {
        let waiting: Vec<T> = std::iter::from_fn(|| self.pop()).collect();
        waiting.into_iter().chain(last(self.ring).into_iter().flatten())
    }
}

/// What is in the ring, if nobody else has an end of it.
fn last<T>(ring: Arc<Ring<T>>) -> Option<Vec<T>> {
    #[cfg(not(vrouter_loom))]
    let mut ring = Arc::into_inner(ring)?;
    #[cfg(vrouter_loom)]
    let mut ring = Arc::try_unwrap(ring).ok()?;
    let mut left = Vec::new();
    let (mut count, put) = (ring.taken.load(Ordering::Acquire), ring.put.load(Ordering::Acquire));
    while count != put {
        // SAFETY: as in `drop`; the place is given up below.
        left.push(ring.place(count).with(|place| unsafe { (*place).assume_init_read() }));
        count = count.wrapping_add(1);
    }
    *ring.taken = AtomicUsize::new(put);
    Some(left)
}

#[cfg(test)]
#[cfg(not(vrouter_loom))]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever its depth, and in whatever handfuls: it does what a queue does, and every value is dropped once.
        #[test]
        fn is_a_queue_of_bounded_depth(depth in 0..9_usize, steps in prop::collection::vec((0..4_u8, 0..12_usize), 0..200)) {
            let token = Arc::new(());
            let (mut sender, mut receiver) = ring(depth);
            let (depth, mut model, mut next) = (depth.max(1), VecDeque::new(), 0);
            for (what, count) in steps {
                match what {
                    0 => {
                        let refused = sender.push((next, token.clone())).is_err();
                        prop_assert_eq!(refused, model.len() == depth);
                        if !refused {
                            model.push_back(next);
                        }
                        next += 1;
                    }
                    1 => {
                        let mut given: Vec<_> = (next..next + count).map(|n| (n, token.clone())).collect();
                        sender.push_all(&mut given);
                        let taken = count.min(depth - model.len());
                        model.extend(next..next + taken);
                        prop_assert!(given.iter().map(|(n, _)| *n).eq(next + taken..next + count));
                        next += count;
                    }
                    2 => prop_assert_eq!(receiver.pop().map(|(n, _)| n), model.pop_front()),
                    _ => {
                        let mut got = Vec::new();
                        prop_assert_eq!(receiver.pop_all(&mut got, count), got.len());
                        prop_assert_eq!(got.len(), count.min(model.len()));
                        prop_assert!(got.into_iter().map(|(n, _)| n).eq(model.drain(..count.min(model.len()))));
                    }
                }
                prop_assert_eq!((sender.len(), receiver.len()), (model.len(), model.len()));
                prop_assert_eq!((sender.is_full(), receiver.is_empty()), (model.len() == depth, model.is_empty()));
                prop_assert_eq!(Arc::strong_count(&token), model.len() + 1);
            }
            prop_assert_eq!(sender.depth(), depth);
            drop(sender);
            drop(receiver);
            prop_assert_eq!(Arc::strong_count(&token), 1);
        }
    }

    #[test]
    fn what_is_left_comes_back_to_the_last_to_close() {
        for receiver_first in [true, false] {
            let (mut sender, mut receiver) = ring(4);
            sender.push_all(&mut vec![1, 2, 3]);
            assert_eq!(receiver.pop(), Some(1));
            if receiver_first {
                assert!(receiver.close().eq([2, 3]));
                sender.push(4).unwrap();
                assert!(sender.close().eq([4]));
            } else {
                assert_eq!(sender.close().count(), 0);
                assert!(receiver.close().eq([2, 3]));
            }
        }
    }

    #[test]
    fn two_threads_pass_many_in_order() {
        let (mut sender, mut receiver) = ring(37);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let (mut next, mut hand) = (0_u32, Vec::new());
                while next < 100_000 || !hand.is_empty() {
                    let more = (next..100_000).take(next as usize % 50);
                    next += more.len() as u32;
                    hand.extend(more);
                    if hand.is_empty() && next < 100_000 {
                        hand.push(next);
                        next += 1;
                    }
                    sender.push_all(&mut hand);
                    std::thread::yield_now();
                }
            });
            let (mut expected, mut got) = (0, Vec::new());
            while expected < 100_000 {
                receiver.pop_all(&mut got, 64);
                for value in got.drain(..) {
                    assert_eq!(value, expected);
                    expected += 1;
                }
                std::thread::yield_now();
            }
        });
    }
}

#[cfg(test)]
#[cfg(vrouter_loom)]
mod loom_tests {
    use super::*;

    /// Around the end of the ring, with both ends at work: loom watches every place.
    #[test]
    fn loom_ring_passes_each_value_once_and_in_order() {
        loom::model(|| {
            let (mut sender, mut receiver) = ring(2);
            let thread = loom::thread::spawn(move || {
                let mut hand = vec![1, 2, 3];
                sender.push_all(&mut hand);
                let _ = sender.push(4);
                3 - hand.len()
            });
            let mut got = Vec::new();
            receiver.pop_all(&mut got, 2);
            got.extend(receiver.pop());
            let first = thread.join().unwrap();
            receiver.pop_all(&mut got, 4);
            assert!(got[..first].iter().copied().eq(1..=first as i32), "{got:?}");
            assert!(got.len() == first || got[first..] == [4], "{got:?}");
        });
    }
}

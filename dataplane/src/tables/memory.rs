//! The memory of the lock-free tables: one zeroed array each, taken at start, given by the kernel page by page as it is
//! first touched, in huge pages where the kernel has them. Nothing but memory here.
#![allow(unsafe_code)]

use std::ops::Deref;

/// A table could not be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The size asked for is outside of what the table can address.
    #[error("a table of {asked} entries was asked for: it must be 1 to {max}")]
    Size {
        /// What was asked for.
        asked: usize,
        /// The greatest size.
        max: usize,
    },
    /// The operating system has not that much memory.
    #[error("no memory for a table of {bytes} bytes: ask for a smaller one or give the process more")]
    Memory {
        /// Bytes asked for.
        bytes: usize,
    },
}

/// A type that starts its life as zeros.
///
/// # Safety
/// All bytes zero must be a valid value, and the type must need no drop.
pub(super) unsafe trait Zeroable: Sized {
    /// The value that all-zero bytes mean.
    #[cfg(any(test, vrouter_loom))]
    fn zero() -> Self;
}

macro_rules! zeroable_atomics {
    ($($atomic:ident),+) => {$(
        // SAFETY: an atomic of zero is zeros and needs no drop. (Loom's is not, and is made by `zero` instead.)
        unsafe impl Zeroable for super::sync::$atomic {
            #[cfg(any(test, vrouter_loom))]
            fn zero() -> Self {
                Self::new(0)
            }
        }
    )+};
}

zeroable_atomics!(AtomicU32, AtomicU64);

pub(super) use imp::Slab;

#[cfg(not(vrouter_loom))]
mod imp {
    use super::{Deref, TableError, Zeroable};
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::ptr::NonNull;

    use crate::huge_pages;

    /// A fixed array of `T`, zeroed, aligned to `T` (and to a huge page where it is that large).
    pub(in crate::tables) struct Slab<T> {
        base: NonNull<u8>,
        layout: Layout,
        first: NonNull<T>,
        len: usize,
    }

    // SAFETY: a Slab owns its Ts like a Box<[T]> does; it may move between threads whenever they may.
    unsafe impl<T: Send> Send for Slab<T> {}
    // SAFETY: a shared Slab gives out only shared Ts.
    unsafe impl<T: Sync> Sync for Slab<T> {}

    impl<T: Zeroable> Slab<T> {
        pub(in crate::tables) fn new(len: usize) -> Result<Self, TableError> {
            const { assert!(!std::mem::needs_drop::<T>() && size_of::<T>() > 0) };
            let too_large = TableError::Memory {
                bytes: len.saturating_mul(size_of::<T>()),
            };
            let bytes = len.checked_mul(size_of::<T>()).ok_or(too_large)?;
            let align = if bytes >= huge_pages::SIZE {
                huge_pages::SIZE
            } else {
                align_of::<T>()
            };
            // An aligned zeroed allocation is written by the allocator, page by page, at start; one without alignment
            // comes untouched from the kernel. So ask for more and align by hand.
            let padded = bytes.checked_add(align).ok_or(too_large)?;
            let layout = Layout::from_size_align(padded, 8).map_err(|_| too_large)?;
            // SAFETY: the layout's size is at least `align`, never zero.
            let base = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(too_large)?;
            let skip = base.as_ptr().align_offset(align);
            if skip > align {
                // SAFETY: `base` came from `alloc_zeroed` with this layout just above.
                unsafe { dealloc(base.as_ptr(), layout) };
                return Err(too_large);
            }
            // SAFETY: skip <= align, so that `first` and the `bytes` after it lie within the allocation.
            let first = unsafe { base.add(skip) };
            huge_pages::prefer(first, bytes);
            Ok(Self {
                base,
                layout,
                first: first.cast(),
                len,
            })
        }

        /// Has the kernel give all of the memory now, not page by page as it is first touched.
        pub(in crate::tables) fn populate(&self) {
            huge_pages::populate(self.first.cast(), self.len * size_of::<T>());
        }
    }

    impl<T> Deref for Slab<T> {
        type Target = [T];

        #[inline]
        fn deref(&self) -> &[T] {
            // SAFETY: `first` is aligned and followed by `len` Ts, all valid since zeros are (Zeroable), alive with self.
            unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
        }
    }

    impl<T> Drop for Slab<T> {
        fn drop(&mut self) {
            // SAFETY: `base` came from `alloc_zeroed` with this layout; Ts need no drop (checked in `new`).
            unsafe { dealloc(self.base.as_ptr(), self.layout) };
        }
    }
}

#[cfg(vrouter_loom)]
mod imp {
    use super::{Deref, TableError, Zeroable};

    /// Loom's atomics are not plain zeros: an ordinary boxed slice stands in.
    pub(in crate::tables) struct Slab<T>(Box<[T]>);

    impl<T: Zeroable> Slab<T> {
        pub(in crate::tables) fn new(len: usize) -> Result<Self, TableError> {
            Ok(Self((0..len).map(|_| T::zero()).collect()))
        }

        pub(in crate::tables) fn populate(&self) {}
    }

    impl<T> Deref for Slab<T> {
        type Target = [T];

        fn deref(&self) -> &[T] {
            &self.0
        }
    }
}

/// The 64 bytes of a line of atomic words, in four parts. Others may write the words meanwhile: each is as it was at some moment, as a relaxed load of it
/// would give.
#[cfg(all(target_arch = "x86_64", not(miri), not(vrouter_loom)))]
#[inline(always)]
pub(super) fn load_line<T: Zeroable, const N: usize>(words: &[T; N]) -> [std::arch::x86_64::__m128i; 4] {
    use std::arch::x86_64::__m128i;
    const { assert!(size_of::<[T; N]>() == 64) };
    let (a, b, c, d): (__m128i, __m128i, __m128i, __m128i);
    // SAFETY: reads the 64 bytes that the reference is to, and nothing else. A relaxed load of more than one atomic has no form in the language; the
    // processor writes aligned words whole, and reads them so.
    unsafe {
        std::arch::asm!(
            "movdqu {a}, [{words}]",
            "movdqu {b}, [{words} + 16]",
            "movdqu {c}, [{words} + 32]",
            "movdqu {d}, [{words} + 48]",
            words = in(reg) words.as_ptr(),
            a = out(xmm_reg) a,
            b = out(xmm_reg) b,
            c = out(xmm_reg) c,
            d = out(xmm_reg) d,
            options(readonly, nostack, preserves_flags)
        );
    }
    [a, b, c, d]
}

/// Asks the processor for the cache line of `value`, to be read soon. A hint: it changes nothing.
#[inline(always)]
pub(super) fn prefetch<T>(value: &T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing in the sense of the language and cannot fault; SSE is part of x86_64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = value;
}

#[cfg(test)]
#[cfg(not(vrouter_loom))]
mod tests {
    use super::super::sync::{AtomicU64, Ordering};
    use super::*;

    #[repr(align(64))]
    struct Line([AtomicU64; 8]);

    // SAFETY: atomics of zero are zeros and need no drop.
    unsafe impl Zeroable for Line {
        fn zero() -> Self {
            Self([const { AtomicU64::new(0) }; 8])
        }
    }

    #[test]
    fn slabs_are_zero_aligned_and_writable_to_the_last_word() {
        for len in [0, 1, 7, 100_000] {
            let slab = Slab::<Line>::new(len).unwrap();
            assert_eq!(slab.len(), len);
            assert_eq!(slab.as_ptr() as usize % 64, 0);
            let zero = Line::zero();
            for line in slab.iter() {
                for (word, zero) in line.0.iter().zip(&zero.0) {
                    assert_eq!(word.swap(!0, Ordering::Relaxed), zero.load(Ordering::Relaxed));
                }
            }
            assert!(
                slab.iter()
                    .all(|line| line.0.iter().all(|w| w.load(Ordering::Relaxed) == !0))
            );
        }
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        assert!(matches!(
            Slab::<Line>::new(usize::MAX / 2),
            Err(TableError::Memory { .. })
        ));
        assert!(matches!(
            Slab::<Line>::new(usize::MAX / 64),
            Err(TableError::Memory { .. })
        ));
    }

    /// How many of the pages that the slab lies in are there.
    #[cfg(all(target_os = "linux", not(miri)))]
    fn resident<T: Zeroable>(slab: &Slab<T>) -> (usize, usize) {
        const PAGE: usize = 4096;
        let start = slab.as_ptr().addr() / PAGE * PAGE;
        let bytes = slab.as_ptr_range().end.addr() - start;
        let mut pages = vec![0_u8; bytes.div_ceil(PAGE)];
        let first = slab.as_ptr().cast_mut().with_addr(start).cast();
        // SAFETY: `pages` has a byte for each page of the range.
        let answer = unsafe { libc::mincore(first, bytes, pages.as_mut_ptr()) };
        assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
        (pages.iter().filter(|page| **page & 1 == 1).count(), pages.len())
    }

    #[test]
    #[cfg(all(target_os = "linux", not(miri)))]
    fn memory_comes_when_it_is_populated_and_keeps_what_was_written() {
        let slab = Slab::<Line>::new((64 << 20) / size_of::<Line>()).unwrap();
        slab[1].0[3].store(7, Ordering::Relaxed);
        let (there, all) = resident(&slab);
        assert!(there < all / 4, "{there} of {all} pages before anybody asked");
        slab.populate();
        let (there, all) = resident(&slab);
        // SAFETY: a question about no memory at all, which kernels refuse that do not know it.
        let is_known = unsafe { libc::madvise(std::ptr::null_mut(), 0, libc::MADV_POPULATE_WRITE) } == 0;
        assert!(there == all || !is_known, "{there} of {all} pages");
        let sum: u64 = slab
            .iter()
            .flat_map(|line| &line.0)
            .map(|word| word.load(Ordering::Relaxed))
            .sum();
        assert_eq!(sum, 7);
    }

    #[test]
    #[cfg(all(target_os = "linux", not(miri)))]
    fn what_is_smaller_than_a_huge_page_may_be_populated_too() {
        for len in [0, 1, 100, 10_000] {
            let slab = Slab::<Line>::new(len).unwrap();
            slab.populate();
            assert!(slab.iter().all(|line| line.0[7].load(Ordering::Relaxed) == 0));
        }
    }
}

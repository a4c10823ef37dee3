//! What the kernel is asked about large memory: to back it by huge pages, and to give it now. Wishes: where they are not granted, all works as well.
#![allow(unsafe_code)]

use std::ptr::NonNull;

/// Bytes of a huge page on the machines that this runs on; elsewhere it is only an alignment.
pub(crate) const SIZE: usize = 2 << 20;

/// Asks for huge pages for as many of these bytes as whole ones fit in. What is far apart in a large table misses the TLB as often as the cache
/// otherwise. To be asked before the memory is first touched.
pub(crate) fn prefer(first: NonNull<u8>, bytes: usize) {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        let (start, end) = (first.addr().get(), first.addr().get().saturating_add(bytes));
        let (start, end) = (start.next_multiple_of(SIZE), end / SIZE * SIZE);
        if start < end {
            let whole = first.as_ptr().with_addr(start).cast();
            // SAFETY: advice about pages, which changes no byte of them, wherever they are.
            unsafe { libc::madvise(whole, end - start, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(any(not(target_os = "linux"), miri))]
    let _ = (first, bytes);
}

/// Has the kernel give memory now that it would give page by page as it is first touched: each huge page costs up to milliseconds, where the kernel
/// has to make room for one. What is there already keeps its contents. Before Linux 5.14, and where memory is short, nothing changes.
#[cfg(not(vrouter_loom))]
pub(crate) fn populate(first: NonNull<u8>, bytes: usize) {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        // From a huge page's beginning on, which every page's is: who asks for less has little to wait for.
        let (start, end) = (first.addr().get(), first.addr().get().saturating_add(bytes));
        let start = start.next_multiple_of(SIZE);
        if start < end {
            let pages = first.as_ptr().with_addr(start).cast();
            // SAFETY: no byte changes, wherever they are; pages that are nobody's, or not to be written, are refused.
            unsafe { libc::madvise(pages, end - start, libc::MADV_POPULATE_WRITE) };
        }
    }
    #[cfg(any(not(target_os = "linux"), miri))]
    let _ = (first, bytes);
}

//! Huge pages for large tables on the heap: a table that is read all over misses the cache of page addresses at nearly every look, unless its pages are few.

use std::mem::MaybeUninit;

/// Asks the kernel for huge pages under memory that has not been written yet; a hint, which it follows where it can.
///
/// ```
/// let mut table: Vec<u64> = Vec::with_capacity(1 << 20);
/// dpdk_sys::prefer_huge_pages(table.spare_capacity_mut());
/// table.resize(1 << 20, 0);
/// ```
pub fn prefer_huge_pages<T>(fresh: &mut [MaybeUninit<T>]) {
    let start = fresh.as_mut_ptr().addr().next_multiple_of(PAGE_BYTES);
    let end = (fresh.as_mut_ptr().addr() + size_of_val(fresh)) / PAGE_BYTES * PAGE_BYTES;
    if end <= start {
        return;
    }
    let first = fresh.as_mut_ptr().with_addr(start).cast();
    // SAFETY: whole pages inside the slice, which is ours alone; the advice changes neither contents nor access, and whether it is taken
    // does not matter.
    let _ = unsafe { libc::madvise(first, end - start, libc::MADV_HUGEPAGE) };
}

/// The kernel wants whole ones.
const PAGE_BYTES: usize = 4096;

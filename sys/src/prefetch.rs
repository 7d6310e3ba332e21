//! Cache lines asked for ahead of their use. Called where a burst of packets touches many places in memory, so that they are on their way together.

/// Asks the CPU for the cache line at `address`; a hint without effect on what is read, allowed at any address.
#[inline]
pub(crate) fn line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults, whatever the address.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Asks the CPU for the cache lines of a value (not of what it points to); a hint.
#[inline]
pub fn prefetch<T: ?Sized>(value: &T) {
    let start = core::ptr::from_ref(value).cast::<u8>();
    for at in (0..size_of_val(value)).step_by(LINE_BYTES) {
        line(start.wrapping_add(at));
    }
}

const LINE_BYTES: usize = 64;

//! Up to 64 owned packets side by side: what a queue fills, the stages of a worker sift, and a queue sends. Nothing
//! here allocates; whatever leaves a burst otherwise than by sending is an owned [`Mbuf`] or goes back to its pool.

use core::{
    mem::{self, MaybeUninit},
    ops::{Deref, DerefMut},
    ptr::{self, NonNull},
    slice,
};

use crate::{ffi, layout::rte_mbuf, mbuf::Mbuf};

/// The most packets that one [`Burst`] holds.
pub const BURST_PACKETS: usize = 64;

/// An array of owned packets; as a slice, it can be indexed, iterated over, swapped and sorted.
pub struct Burst {
    /// The first `len` are live.
    slots: [MaybeUninit<Mbuf>; BURST_PACKETS],
    len: usize,
}

impl Burst {
    /// An empty burst.
    #[inline]
    pub const fn new() -> Self {
        Self { slots: [const { MaybeUninit::uninit() }; BURST_PACKETS], len: 0 }
    }

    /// Whether no further packet fits.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.len == BURST_PACKETS
    }

    /// How many more packets fit.
    #[inline]
    pub fn free_slots(&self) -> usize {
        BURST_PACKETS - self.len
    }

    /// Adds a packet at the end.
    ///
    /// # Errors
    /// Full: the packet comes back.
    #[inline]
    pub fn push(&mut self, packet: Mbuf) -> Result<(), Mbuf> {
        match self.slots.get_mut(self.len) {
            Some(slot) => {
                slot.write(packet);
                self.len += 1;
                Ok(())
            }
            None => Err(packet),
        }
    }

    /// Takes the last packet out.
    #[inline]
    pub fn pop(&mut self) -> Option<Mbuf> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: the slot was live, and `len` no longer covers it: this is its only owner.
        Some(unsafe { self.slots[self.len].assume_init_read() })
    }

    /// Takes packet `index` out and puts the last one in its place. `None`: there is no such packet.
    pub fn swap_remove(&mut self, index: usize) -> Option<Mbuf> {
        let last = self.len.checked_sub(1)?;
        if index > last {
            return None;
        }
        self.swap(index, last);
        self.pop()
    }

    /// Keeps the packets that `keep` wants, in order, and gives the others back to their pool.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut Mbuf) -> bool) {
        let mut kept = 0;
        for index in 0..self.len {
            if keep(&mut self[index]) {
                self.swap(kept, index);
                kept += 1;
            }
        }
        self.truncate(kept);
    }

    /// Moves the packets that `pick` wants to the end of `into`; both sides keep their order. What is picked while
    /// `into` is full stays. Should `pick` panic, the packets that it has not seen are leaked.
    pub fn move_if(&mut self, into: &mut Burst, mut pick: impl FnMut(&mut Mbuf) -> bool) {
        let len = mem::replace(&mut self.len, 0);
        for index in 0..len {
            // SAFETY: slots below the old `len` were live, `len` no longer covers this one, and each is read once.
            let mut packet = unsafe { self.slots[index].assume_init_read() };
            let target = if pick(&mut packet) && !into.is_full() { &mut *into } else { &mut *self };
            let moved = target.push(packet);
            debug_assert!(moved.is_ok(), "one side has room, the other fewer packets than it had");
        }
    }

    /// Moves packets from the front of `from` to the end of this burst, in order, while there is room.
    pub fn append(&mut self, from: &mut Burst) {
        let count = from.len.min(self.free_slots());
        // SAFETY: `count` live slots of another burst go to slots behind our live ones; `forget_front` then makes
        // `from` forget exactly those.
        unsafe {
            ptr::copy_nonoverlapping(from.slots.as_ptr(), self.slots.as_mut_ptr().add(self.len), count);
            from.forget_front(count);
        }
        self.len += count;
    }

    /// Takes everything out, first packet first; what the iterator does not yield goes back to its pool.
    #[inline]
    pub fn drain(&mut self) -> Drain<'_> {
        let len = mem::replace(&mut self.len, 0);
        Drain { burst: self, next: 0, len }
    }

    /// Gives the packets from `len` on back to their pools, in one call.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            let count = self.len - len;
            self.len = len;
            // SAFETY: the slots behind the new `len` were live and are nobody's now.
            unsafe { free_bulk(self.slots.as_mut_ptr().add(len), count) }
        }
    }

    /// Gives all packets back to their pools, in one call.
    #[inline]
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Where DPDK writes further packets, and how many fit.
    #[inline]
    pub(crate) fn spare_mut(&mut self) -> (*mut *mut rte_mbuf, u16) {
        // At most 64, so the conversion cannot cut.
        let room = u16::try_from(self.free_slots()).unwrap_or(0);
        (self.slots[self.len..].as_mut_ptr().cast(), room)
    }

    /// Takes over what DPDK wrote at [`spare_mut`](Self::spare_mut).
    ///
    /// # Safety
    /// DPDK wrote at least `count` live mbufs there and gave them up.
    pub(crate) unsafe fn assume_received(&mut self, count: u16) {
        debug_assert!(usize::from(count) <= self.free_slots());
        self.len += usize::from(count);
    }

    /// The live packets as DPDK reads them, and their number.
    #[inline]
    pub(crate) fn live_mut(&mut self) -> (*mut *mut rte_mbuf, u16) {
        (self.slots.as_mut_ptr().cast(), u16::try_from(self.len).unwrap_or(0))
    }

    /// Forgets the first `count` packets without freeing them; the others move to the front.
    ///
    /// # Safety
    /// Somebody else owns those `count` (at most `len`) packets now.
    pub(crate) unsafe fn forget_front(&mut self, count: usize) {
        debug_assert!(count <= self.len);
        self.len -= count;
        if self.len > 0 && count > 0 {
            // SAFETY: `count + len` slots were live, so source and target lie inside the array; `copy` allows overlap.
            unsafe { ptr::copy(self.slots.as_ptr().add(count), self.slots.as_mut_ptr(), self.len) }
        }
    }
}

/// Frees `count` packets at `first`.
///
/// # Safety
/// `first` points to `count` live mbufs (an `Mbuf` is a bare pointer) that nobody uses afterwards.
unsafe fn free_bulk(first: *mut MaybeUninit<Mbuf>, count: usize) {
    let count = u32::try_from(count).unwrap_or(0);
    // SAFETY: passed on from the caller; `Mbuf` is a transparent pointer.
    unsafe { ffi::rte_pktmbuf_free_bulk(first.cast(), count) }
}

impl Default for Burst {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Deref for Burst {
    type Target = [Mbuf];

    #[inline]
    fn deref(&self) -> &[Mbuf] {
        // SAFETY: the first `len` slots are live.
        unsafe { slice::from_raw_parts(self.slots.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Burst {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Mbuf] {
        // SAFETY: the first `len` slots are live, and `&mut self` makes this the only access.
        unsafe { slice::from_raw_parts_mut(self.slots.as_mut_ptr().cast(), self.len) }
    }
}

impl<'a> IntoIterator for &'a mut Burst {
    type Item = &'a mut Mbuf;
    type IntoIter = slice::IterMut<'a, Mbuf>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

/// Yields a burst's packets, first one first: see [`Burst::drain`].
pub struct Drain<'a> {
    burst: &'a mut Burst,
    next: usize,
    len: usize,
}

impl Iterator for Drain<'_> {
    type Item = Mbuf;

    #[inline]
    fn next(&mut self) -> Option<Mbuf> {
        if self.next == self.len {
            return None;
        }
        self.next += 1;
        // SAFETY: slots below the old length were live, the burst's own length is 0, and each slot is read once.
        Some(unsafe { self.burst.slots[self.next - 1].assume_init_read() })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len - self.next, Some(self.len - self.next))
    }
}

impl ExactSizeIterator for Drain<'_> {}

impl Drop for Drain<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.next < self.len {
            // SAFETY: the slots from `next` to the old length are live and nobody's but ours.
            unsafe { free_bulk(self.burst.slots.as_mut_ptr().add(self.next), self.len - self.next) }
        }
    }
}

const _: () = assert!(size_of::<Mbuf>() == size_of::<NonNull<rte_mbuf>>());

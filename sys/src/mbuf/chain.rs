//! Packets of several segments: a chain of buffers, of which the first one holds the headers. Ports hand them over where a frame is longer than a buffer.

use core::{ptr, ptr::NonNull, slice};

use super::Mbuf;
use crate::{ffi, layout::rte_mbuf};

impl Mbuf {
    /// How many segments the packet has.
    #[inline]
    pub fn segment_count(&self) -> u16 {
        self.head().nb_segs
    }

    /// The bytes of each segment in turn.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        let mut next = Some(self.head());
        core::iter::from_fn(move || {
            let segment = next?;
            // SAFETY: `next` is null or the next live segment, which this packet owns.
            next = unsafe { segment.next.as_ref() };
            // SAFETY: as in `data`, for this segment.
            Some(unsafe {
                let start = segment.buf_addr.cast::<u8>().add(segment.data_off.into());
                slice::from_raw_parts(start, segment.data_len.into())
            })
        })
    }

    /// The bytes of each segment in turn, to change.
    pub fn segments_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let mut next = Some(self.0);
        core::iter::from_fn(move || {
            // SAFETY: a live segment of this packet, of which `&mut self` makes this the only access; no segment comes twice.
            let segment = unsafe { next?.as_mut() };
            next = NonNull::new(segment.next);
            Some(bytes_of(segment))
        })
    }

    /// Copies the bytes from `at` on that fill `into`, in whichever segments they are. `None`: there are not so many, and `into` holds anything.
    #[must_use = "None means that there are fewer bytes"]
    pub fn read(&self, mut at: usize, mut into: &mut [u8]) -> Option<()> {
        for segment in self.segments() {
            let here = segment.get(at..).unwrap_or_default();
            at = at.saturating_sub(segment.len());
            let (filled, rest) = into.split_at_mut(here.len().min(into.len()));
            filled.copy_from_slice(&here[..filled.len()]);
            into = rest;
        }
        into.is_empty().then_some(())
    }

    /// Copies all segments behind `into`'s data, and the port and checksum findings with them. `None`: too little tailroom,
    /// and `into` is unchanged.
    #[must_use = "None means that nothing was copied"]
    pub fn linearize_into(&self, into: &mut Mbuf) -> Option<()> {
        let target = into.append(u16::try_from(self.len_bytes()).ok()?)?;
        let mut filled = 0;
        for segment in self.segments() {
            target.get_mut(filled..filled + segment.len())?.copy_from_slice(segment);
            filled += segment.len();
        }
        let (from, to) = (self.head(), into.head_mut());
        (to.port, to.ol_flags, to.vlan_tci, to.rss) = (from.port, from.ol_flags, from.vlan_tci, from.rss);
        (to.packet_type, to.tx_offload) = (from.packet_type, from.tx_offload);
        Some(())
    }

    /// Puts another packet's segments behind those of this one.
    ///
    /// # Errors
    /// There would be more of them, or more bytes, than a packet can have: the other packet comes back.
    pub fn chain(&mut self, more: Mbuf) -> Result<(), Mbuf> {
        let segments = self.head().nb_segs.checked_add(more.head().nb_segs);
        let bytes = self.len_bytes().checked_add(more.len_bytes());
        let (Some(segments), Some(bytes)) = (segments, bytes) else { return Err(more) };
        self.last_mut().next = more.into_raw().as_ptr();
        let head = self.head_mut();
        (head.nb_segs, head.pkt_len) = (segments, bytes);
        Ok(())
    }

    /// Moves bytes of later segments into the first one until that has `bytes` bytes, or all that there are; segments that get empty go. `None`: the first
    /// segment's buffer has no room for them behind its data, and nothing changed.
    #[must_use = "None means that the first segment is shorter"]
    pub fn pull(&mut self, bytes: u16) -> Option<()> {
        let bytes = u16::try_from(self.len_bytes()).unwrap_or(u16::MAX).min(bytes);
        let head = self.head_mut();
        let missing = bytes.saturating_sub(head.data_len);
        if missing > head.buf_len - head.data_off - head.data_len {
            return None;
        }
        while head.data_len < bytes {
            // SAFETY: null or the next live segment, which this packet owns.
            let next = unsafe { head.next.as_mut() }?;
            let moved = (bytes - head.data_len).min(next.data_len);
            // SAFETY: the segments' buffers are two, both ours; the source lies in the data of one, the target in the tailroom of the
            // other, as was just checked.
            unsafe {
                let from = next.buf_addr.cast::<u8>().add(next.data_off.into());
                let to =
                    head.buf_addr.cast::<u8>().add(usize::from(head.data_off) + usize::from(head.data_len));
                ptr::copy_nonoverlapping(from, to, moved.into());
            }
            head.data_len += moved;
            next.data_off += moved;
            next.data_len -= moved;
            if next.data_len == 0 {
                let empty = core::mem::replace(&mut head.next, next.next);
                next.next = ptr::null_mut();
                head.nb_segs -= 1;
                // SAFETY: live, unlinked from the chain, and seen by nobody after this.
                unsafe { ffi::rte_pktmbuf_free(empty) }
            }
        }
        Some(())
    }

    /// Cuts what is behind the first `bytes` bytes, with the segments that are not needed any more. `None`: there are not so many, and nothing changed.
    pub(super) fn truncate(&mut self, bytes: u32) -> Option<()> {
        if bytes > self.len_bytes() {
            return None;
        }
        let (mut left, mut segments, mut at) = (bytes, 1, self.0);
        let behind = loop {
            // SAFETY: a live segment of this packet, of which `&mut self` makes this the only access.
            let segment = unsafe { at.as_mut() };
            match (u16::try_from(left), NonNull::new(segment.next)) {
                (Ok(last), next) if last <= segment.data_len => {
                    segment.data_len = last;
                    segment.next = ptr::null_mut();
                    break next;
                }
                (_, Some(next)) => {
                    left -= u32::from(segment.data_len);
                    segments += 1;
                    at = next;
                }
                (_, None) => break None, // the segments have as many bytes as the packet
            }
        };
        let head = self.head_mut();
        (head.nb_segs, head.pkt_len) = (segments, bytes);
        if let Some(behind) = behind {
            // SAFETY: live, unlinked from the chain, and seen by nobody after this; what is linked behind it goes with it.
            unsafe { ffi::rte_pktmbuf_free(behind.as_ptr()) }
        }
        Some(())
    }

    pub(super) fn last(&self) -> &rte_mbuf {
        let mut segment = self.head();
        // SAFETY: `next` is null or the next live segment, which this packet owns.
        while let Some(next) = unsafe { segment.next.as_ref() } {
            segment = next;
        }
        segment
    }

    pub(super) fn last_mut(&mut self) -> &mut rte_mbuf {
        let mut at = self.0;
        // SAFETY: a live segment of this packet.
        while let Some(next) = NonNull::new(unsafe { at.as_ref() }.next) {
            at = next;
        }
        // SAFETY: live, and `&mut self` makes this the only access.
        unsafe { at.as_mut() }
    }
}

/// The bytes of one segment, to change.
#[inline]
pub(super) fn bytes_of(segment: &mut rte_mbuf) -> &mut [u8] {
    // SAFETY: DPDK keeps `data_off + data_len <= buf_len`, and so does every method of `Mbuf`; whoever has the segment to change has its buffer.
    unsafe {
        let start = segment.buf_addr.cast::<u8>().add(segment.data_off.into());
        slice::from_raw_parts_mut(start, segment.data_len.into())
    }
}

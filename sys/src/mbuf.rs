//! One packet: `Mbuf` owns a buffer of a pool and gives it back when it is dropped. Lengths and the data pointer are
//! plain loads; nothing here calls into DPDK but the free.

use core::{mem, ptr::NonNull, slice};

use crate::{ffi, layout::rte_mbuf};

mod chain;

/// Bytes in front of a fresh packet's data (`RTE_PKTMBUF_HEADROOM`): room for outer headers.
pub const HEADROOM_BYTES: u16 = {
    assert!(ffi::SHIM_HEADROOM <= 1024);
    ffi::SHIM_HEADROOM.to_le_bytes()[0] as u16 | ((ffi::SHIM_HEADROOM.to_le_bytes()[1] as u16) << 8)
};

/// An owned packet buffer, one pointer wide (so is `Option<Mbuf>`). Dropping it returns it, and all its segments, to
/// the pool. It may travel between threads; one thread at a time has it.
#[repr(transparent)]
pub struct Mbuf(NonNull<rte_mbuf>);

const _: () = assert!(size_of::<Option<Mbuf>>() == size_of::<usize>());

// SAFETY: an `Mbuf` is the only handle to its segments (reference count 1 from the pool on, and nothing here adds
// another), and pools accept buffers from any thread.
unsafe impl Send for Mbuf {}

/// What the device found about a received checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The device did not look: check in software.
    Unknown,
    /// Right.
    Good,
    /// Wrong.
    Bad,
    /// The field is not filled, but the data is intact (a packet that never left this machine).
    NotFilled,
}

/// Which checksums the device is to fill in; only where the port has the offload (`Port::offloads`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumRequest {
    /// IPv4's header.
    Ipv4,
    /// IPv4's header and UDP. The UDP field must hold the pseudo-header's sum.
    Ipv4Udp,
    /// IPv4's header and TCP. The TCP field must hold the pseudo-header's sum.
    Ipv4Tcp,
    /// UDP over IPv6. The UDP field must hold the pseudo-header's sum.
    Ipv6Udp,
    /// TCP over IPv6. The TCP field must hold the pseudo-header's sum.
    Ipv6Tcp,
}

impl Mbuf {
    /// Takes over a buffer that DPDK handed out.
    ///
    /// # Safety
    /// `raw` is a live mbuf (with a live chain) that nobody else owns.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: NonNull<rte_mbuf>) -> Self {
        Self(raw)
    }

    /// Gives the buffer away without freeing it.
    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<rte_mbuf> {
        let raw = self.0;
        mem::forget(self);
        raw
    }

    #[inline]
    fn head(&self) -> &rte_mbuf {
        // SAFETY: an owned mbuf is live until it is dropped, and `&self` forbids writers.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    fn head_mut(&mut self) -> &mut rte_mbuf {
        // SAFETY: an owned mbuf is live until it is dropped, and `&mut self` makes this the only access.
        unsafe { self.0.as_mut() }
    }

    /// The first segment's bytes: the whole packet unless [`is_contiguous`](Self::is_contiguous) says no.
    #[inline]
    pub fn data(&self) -> &[u8] {
        let head = self.head();
        // SAFETY: DPDK keeps `data_off + data_len <= buf_len`, and so does every method here; the buffer is ours.
        unsafe {
            slice::from_raw_parts(head.buf_addr.cast::<u8>().add(head.data_off.into()), head.data_len.into())
        }
    }

    /// The first segment's bytes, to change.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        chain::bytes_of(self.head_mut())
    }

    /// Bytes in all segments.
    #[inline]
    pub fn len_bytes(&self) -> u32 {
        self.head().pkt_len
    }

    /// Whether the packet has no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len_bytes() == 0
    }

    /// Whether one segment holds the whole packet.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.head().nb_segs == 1
    }

    /// Free bytes in front of the data.
    #[inline]
    pub fn headroom_bytes(&self) -> u16 {
        self.head().data_off
    }

    /// Free bytes behind the data of the last segment (for a contiguous packet: behind its data).
    #[inline]
    pub fn tailroom_bytes(&self) -> u16 {
        // The link to the next segment lies in another cache line: only chained packets look at it.
        let last = if self.is_contiguous() { self.head() } else { self.last() };
        last.buf_len - last.data_off - last.data_len
    }

    /// Grows the packet at the front and returns the new bytes, whatever they held. `None`: the headroom is too small.
    #[inline]
    pub fn prepend(&mut self, bytes: u16) -> Option<&mut [u8]> {
        let head = self.head_mut();
        let (data_off, data_len) = (head.data_off.checked_sub(bytes)?, head.data_len.checked_add(bytes)?);
        head.data_off = data_off;
        head.data_len = data_len;
        head.pkt_len += u32::from(bytes);
        self.data_mut().get_mut(..bytes.into())
    }

    /// Grows the packet's last segment at the end and returns the new bytes, whatever they held. `None`: the tailroom is too small.
    #[inline]
    pub fn append(&mut self, bytes: u16) -> Option<&mut [u8]> {
        if bytes > self.tailroom_bytes() {
            return None;
        }
        self.head_mut().pkt_len += u32::from(bytes);
        // As in `tailroom_bytes`.
        let last = if self.is_contiguous() { self.head_mut() } else { self.last_mut() };
        let start = usize::from(last.data_len);
        last.data_len += bytes;
        chain::bytes_of(last).get_mut(start..)
    }

    /// Cuts bytes off the front. `None`: the first segment has fewer, and nothing changed.
    #[must_use = "None means that nothing was cut"]
    #[inline]
    pub fn adjust(&mut self, bytes: u16) -> Option<()> {
        let head = self.head_mut();
        head.data_len = head.data_len.checked_sub(bytes)?;
        head.data_off += bytes;
        head.pkt_len -= u32::from(bytes);
        Some(())
    }

    /// Cuts bytes off the end, and segments that hold no others. `None`: there are fewer, and nothing changed.
    #[inline]
    #[must_use = "None means that nothing was cut"]
    pub fn trim(&mut self, bytes: u16) -> Option<()> {
        let left = self.len_bytes().checked_sub(bytes.into())?;
        if !self.is_contiguous() {
            return self.truncate(left);
        }
        let head = self.head_mut();
        head.data_len = head.data_len.checked_sub(bytes)?;
        head.pkt_len = left;
        Some(())
    }

    /// Makes a contiguous packet the `bytes` bytes that begin `start` bytes behind its present beginning (in front of it, if that is negative), and
    /// returns them, whatever they held where the packet was not: one change for what moves both ends. It is another packet from then on, and what the
    /// receiving device found out about the old one, or the sending one was asked to do, is forgotten. `None`: the buffer has no such bytes, or the packet has
    /// several segments, and nothing changed.
    #[inline(always)] // a few instructions, once or twice a packet
    pub fn reframe(&mut self, start: i32, bytes: u16) -> Option<&mut [u8]> {
        let head = self.head_mut();
        let data_off = u16::try_from(i32::from(head.data_off).checked_add(start)?).ok()?;
        if u32::from(data_off) + u32::from(bytes) > u32::from(head.buf_len) || head.nb_segs != 1 {
            return None;
        }
        head.data_off = data_off;
        head.data_len = bytes;
        head.pkt_len = u32::from(bytes);
        (head.ol_flags, head.packet_type) = (0, 0);
        // SAFETY: all of it lies in the buffer, as was just checked; the buffer is ours, and `&mut self` makes this the only access.
        Some(unsafe {
            slice::from_raw_parts_mut(head.buf_addr.cast::<u8>().add(data_off.into()), bytes.into())
        })
    }

    /// Asks the CPU for the first cache line of the data; a hint without effect on what is read.
    #[inline]
    pub fn prefetch_data(&self) {
        let head = self.head();
        let start = head.buf_addr.cast::<u8>().wrapping_add(head.data_off.into());
        crate::prefetch::line(start);
    }

    /// Like [`Mbuf::prefetch_data`], for the mbuf itself.
    #[inline]
    pub fn prefetch(&self) {
        crate::prefetch::line(self.0.as_ptr().cast());
    }

    /// The number of the port that received it (`Port::id`).
    #[inline]
    pub fn port_number(&self) -> u16 {
        self.head().port
    }

    /// The receive hash, where the port computes one.
    pub fn rss_hash(&self) -> Option<u32> {
        (self.head().ol_flags & ffi::SHIM_RX_RSS_HASH != 0).then_some(self.head().rss)
    }

    /// The tag control information that the device took out of the frame (IEEE 802.1Q), if it did.
    #[inline]
    pub fn stripped_vlan_tci(&self) -> Option<u16> {
        let head = self.head();
        (head.ol_flags & ffi::SHIM_RX_VLAN_STRIPPED != 0).then_some(head.vlan_tci)
    }

    /// The IPv4 header's checksum as the device saw it.
    #[inline]
    pub fn ip_checksum(&self) -> Checksum {
        match self.head().ol_flags & ffi::SHIM_RX_IP_CKSUM_MASK {
            ffi::SHIM_RX_IP_CKSUM_GOOD => Checksum::Good,
            ffi::SHIM_RX_IP_CKSUM_BAD => Checksum::Bad,
            ffi::SHIM_RX_IP_CKSUM_NONE => Checksum::NotFilled,
            _ => Checksum::Unknown,
        }
    }

    /// The TCP or UDP checksum as the device saw it.
    #[inline]
    pub fn l4_checksum(&self) -> Checksum {
        match self.head().ol_flags & ffi::SHIM_RX_L4_CKSUM_MASK {
            ffi::SHIM_RX_L4_CKSUM_GOOD => Checksum::Good,
            ffi::SHIM_RX_L4_CKSUM_BAD => Checksum::Bad,
            ffi::SHIM_RX_L4_CKSUM_NONE => Checksum::NotFilled,
            _ => Checksum::Unknown,
        }
    }

    /// Asks the device for checksums. `l2_bytes` (below 128) and `l3_bytes` (below 512) are the lengths of the headers
    /// in front; longer ones are `None` and ask for nothing.
    #[must_use = "None means that nothing was asked for"]
    pub fn request_checksum(&mut self, request: ChecksumRequest, l2_bytes: u16, l3_bytes: u16) -> Option<()> {
        let flags = match request {
            ChecksumRequest::Ipv4 => ffi::SHIM_TX_IPV4 | ffi::SHIM_TX_IP_CKSUM,
            ChecksumRequest::Ipv4Udp => ffi::SHIM_TX_IPV4 | ffi::SHIM_TX_IP_CKSUM | ffi::SHIM_TX_UDP_CKSUM,
            ChecksumRequest::Ipv4Tcp => ffi::SHIM_TX_IPV4 | ffi::SHIM_TX_IP_CKSUM | ffi::SHIM_TX_TCP_CKSUM,
            ChecksumRequest::Ipv6Udp => ffi::SHIM_TX_IPV6 | ffi::SHIM_TX_UDP_CKSUM,
            ChecksumRequest::Ipv6Tcp => ffi::SHIM_TX_IPV6 | ffi::SHIM_TX_TCP_CKSUM,
        };
        self.set_header_lengths(l2_bytes, l3_bytes)?;
        self.head_mut().ol_flags |= flags;
        Some(())
    }

    /// Records header lengths for DPDK (checksum offload, reassembly).
    pub(crate) fn set_header_lengths(&mut self, l2_bytes: u16, l3_bytes: u16) -> Option<()> {
        if l2_bytes >= 1 << ffi::SHIM_L2_LEN_BITS || l3_bytes >= 1 << ffi::SHIM_L3_LEN_BITS {
            return None;
        }
        self.head_mut().tx_offload = u64::from(l2_bytes) | (u64::from(l3_bytes) << ffi::SHIM_L2_LEN_BITS);
        Some(())
    }

    /// Forgets what the receiving device found and what was asked of the sending one. For a packet whose headers were
    /// rewritten, so that no finding about the old ones outlives them.
    #[inline]
    pub fn clear_offloads(&mut self) {
        let head = self.head_mut();
        // Without flags nobody looks at `tx_offload`, which lies in another cache line.
        head.ol_flags = 0;
        head.packet_type = 0;
    }

    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut rte_mbuf {
        self.0.as_ptr()
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the buffer is live and ours alone, and nobody sees it after this.
        unsafe { ffi::rte_pktmbuf_free(self.0.as_ptr()) }
    }
}

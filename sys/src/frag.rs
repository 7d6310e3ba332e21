//! IP fragments: cutting a packet into copies that fit an MTU (IPv4: RFC 791, 3.2; IPv6, at its source: RFC 8200, 4.5), and
//! collecting fragments of IPv4 (RFC 791, 3.2) and IPv6 (RFC 8200, 4.5) until a packet is whole. DPDK's `rte_ip_frag` does the work; the lengths that it
//! trusts are checked here first. Each worker has [`Reassembler`]s of its own: DPDK tells packets apart by addresses
//! and identification alone.

use core::{mem, ptr::NonNull};
use std::time::Duration;

use crate::{
    Errno, Error,
    burst::Burst,
    eal::{Eal, tsc_hz},
    ffi,
    mbuf::Mbuf,
    mempool::{Mempool, once_there_is_memory},
};

/// Why a packet was not cut into fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FragmentError {
    /// No header of that family, lengths that contradict each other, or an MTU that no fragment fits.
    Malformed,
    /// The header says "don't fragment": the sender must be told.
    DontFragment,
    /// `out` lacks room for all fragments, or the pool is exhausted.
    NoRoom,
}

/// Cuts an IPv4 packet into fragments of at most `mtu_bytes`, header included, and adds them to the end of `out`. The
/// packet starts with its IPv4 header (no Ethernet header). The fragments are copies from `pool`, each in one segment
/// with the pool's headroom in front and a right header checksum. Returns how many there are.
///
/// # Errors
/// See [`FragmentError`]; nothing is added then.
pub fn fragment_ipv4(
    packet: &Mbuf,
    mtu_bytes: u16,
    pool: &Mempool,
    out: &mut Burst,
) -> Result<u16, FragmentError> {
    let (header_bytes, total_bytes) = ipv4_lengths(packet.data()).ok_or(FragmentError::Malformed)?;
    let room_for_payload = mtu_bytes.checked_sub(header_bytes).is_some_and(|payload| payload >= 8);
    if u32::from(total_bytes) != packet.len_bytes() || total_bytes <= header_bytes || !room_for_payload {
        return Err(FragmentError::Malformed);
    }
    if packet.data().get(6).is_none_or(|byte| byte & 0x40 != 0) {
        return Err(FragmentError::DontFragment);
    }
    if u32::from(mtu_bytes) > u32::from(pool.room_bytes()) {
        return Err(FragmentError::NoRoom);
    }
    let before = out.len();
    let (spare, room) = out.spare_mut();
    // SAFETY: the packet is live, starts with a whole IPv4 header whose lengths agree with the segments (checked above),
    // and is only read; `spare` has room for `room` pointers; each fragment fits the pool's data room.
    let outcome = unsafe {
        ffi::rte_ipv4_fragment_copy_nonseg_packet(packet.as_ptr(), spare, room, mtu_bytes, pool.as_ptr())
    };
    let Ok(count) = u16::try_from(outcome) else {
        return Err(if -outcome == libc::ENOTSUP {
            FragmentError::DontFragment
        } else {
            FragmentError::NoRoom
        });
    };
    // SAFETY: DPDK wrote `count` fresh mbufs and gave them up.
    unsafe { out.assume_received(count) }
    for fragment in out.iter_mut().skip(before) {
        write_ipv4_checksum(fragment.data_mut());
    }
    Ok(count)
}

/// The least MTU of IPv6 (RFC 8200, 5): a smaller one is not fragmented for.
const IPV6_MTU_BYTES: u16 = 1280;
const IPV6_HEADER_BYTES: u16 = 40;
const FRAGMENT_HEADER_BYTES: u16 = 8;

/// Cuts an IPv6 packet of ours, which has no extension headers yet, into fragments of at most `mtu_bytes` (at least 1280) and adds them to the end of
/// `out`. The packet starts with its IPv6 header and is one segment. The fragments are copies from `pool`, each in one segment with the pool's
/// headroom in front; all carry `identification` (host order), which must not repeat between the same addresses while fragments of the last packet that
/// had it can be under way (RFC 8200, 4.5). Returns how many there are.
///
/// # Errors
/// See [`FragmentError`]; nothing is added then.
pub fn fragment_ipv6(
    packet: &mut Mbuf,
    mtu_bytes: u16,
    identification: u32,
    pool: &Mempool,
    out: &mut Burst,
) -> Result<u16, FragmentError> {
    let data = packet.data();
    let is_whole = data.len() > IPV6_HEADER_BYTES.into()
        && data[0] >> 4 == 6
        && usize::from(u16::from_be_bytes([data[4], data[5]])) + usize::from(IPV6_HEADER_BYTES) == data.len();
    if !is_whole || !packet.is_contiguous() || mtu_bytes < IPV6_MTU_BYTES {
        return Err(FragmentError::Malformed);
    }
    if mtu_bytes > pool.room_bytes() {
        return Err(FragmentError::NoRoom);
    }
    let mut chained = Burst::new();
    let (spare, room) = chained.spare_mut();
    let (raw_packet, raw_pool) = (packet.as_ptr(), pool.as_ptr());
    // SAFETY: the packet is live, in one segment, and starts with a whole IPv6 header whose length agrees with it (checked above). Its bytes are only
    // read; its reference count is atomic, and we own it (`&mut`), so that nobody hands it on while segments refer to it: they are gone
    // before this function ends. `spare` has room for `room` pointers. A pool of ordinary mbufs serves for segments that refer to others, too.
    let outcome =
        unsafe { ffi::rte_ipv6_fragment_packet(raw_packet, spare, room, mtu_bytes, raw_pool, raw_pool) };
    let count = u16::try_from(outcome).map_err(|_| FragmentError::NoRoom)?;
    // SAFETY: DPDK wrote `count` fresh mbufs and gave them up.
    unsafe { chained.assume_received(count) }
    let before = out.len();
    for fragment in chained.iter() {
        let copied = pool.take().and_then(|mut copy| {
            fragment.linearize_into(&mut copy)?;
            copy.clear_offloads();
            let at = usize::from(IPV6_HEADER_BYTES) + 4;
            let field = copy.data_mut().get_mut(at..at + 4)?;
            field.copy_from_slice(&identification.to_be_bytes()); // DPDK leaves it 0
            Some(copy)
        });
        if copied.is_none_or(|copy| out.push(copy).is_err()) {
            out.truncate(before);
            return Err(FragmentError::NoRoom);
        }
    }
    Ok(count)
}

const _: () = assert!(IPV6_HEADER_BYTES + FRAGMENT_HEADER_BYTES < IPV6_MTU_BYTES);

/// Header and total length of the IPv4 packet at the front of `data`, if the header is whole.
fn ipv4_lengths(data: &[u8]) -> Option<(u16, u16)> {
    let first = *data.first()?;
    let header_bytes = u16::from(first & 0x0f) * 4;
    let whole = first >> 4 == 4 && header_bytes >= 20 && data.len() >= header_bytes.into();
    let total_bytes = u16::from_be_bytes([*data.get(2)?, *data.get(3)?]);
    (whole && total_bytes >= header_bytes).then_some((header_bytes, total_bytes))
}

/// The header checksum (RFC 791, 3.1) over the header at the front of `data`.
fn write_ipv4_checksum(data: &mut [u8]) {
    let Some((header_bytes, _)) = ipv4_lengths(data) else { return };
    let Some(header) = data.get_mut(..header_bytes.into()) else { return };
    header[10..12].fill(0);
    let mut sum: u32 =
        header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [_, _, high, low] = (!sum).to_be_bytes();
    header[10..12].copy_from_slice(&[high, low]);
}

/// What a [`Reassembler`] is to hold.
#[derive(Clone, Copy, Debug)]
pub struct ReassemblyOptions {
    /// Packets that can be incomplete at a time; each costs some 256 bytes and up to [`MAX_FRAGMENTS`] packets of a pool.
    pub max_packets: u32,
    /// How long a packet may stay incomplete. The first fragment starts the clock.
    pub timeout: Duration,
    /// NUMA node; `None` is anywhere.
    pub numa_node: Option<u16>,
}

impl Default for ReassemblyOptions {
    fn default() -> Self {
        Self { max_packets: 1024, timeout: Duration::from_secs(2), numa_node: None }
    }
}

/// The most fragments that a packet may come in: how DPDK was built. More are discarded.
pub const MAX_FRAGMENTS: u32 = ffi::SHIM_MAX_FRAGMENTS;

/// What became of a fragment.
pub enum Reassembly {
    /// It was the last missing one: the packet, in several segments if it came in several fragments, with the fragment fields of
    /// its IP header cleared. IPv4's header checksum is left for the caller to fill, and all offload flags are cleared.
    Complete(Mbuf),
    /// Kept, or discarded: [`Reassembler::discarded`] tells.
    Pending,
    /// Its lengths contradict each other; nothing was kept.
    Malformed(Mbuf),
}

/// Incomplete packets, told apart by addresses and identification. One owner; may move between threads.
pub struct Reassembler {
    table: NonNull<ffi::rte_ip_frag_tbl>,
    /// Where DPDK puts what is to be freed; emptied after each call. On the heap: it has 288 slots.
    row: Box<ffi::rte_ip_frag_death_row>,
    discarded: u64,
    _eal: Eal,
}

// SAFETY: the table has one owner, and DPDK ties it to no thread.
unsafe impl Send for Reassembler {}

impl Reassembler {
    /// Makes an empty table. If memory is short while retired pools are about to be freed, it waits for them, a second at most for each.
    ///
    /// # Errors
    /// Too little memory, or no room for any packet.
    pub fn new(eal: &Eal, options: &ReassemblyOptions) -> Result<Self, Error> {
        const WAYS: u32 = 4;
        let timeout_cycles =
            options.timeout.as_nanos().saturating_mul(u128::from(tsc_hz(eal))) / 1_000_000_000;
        let buckets = options.max_packets.div_ceil(WAYS).max(1).checked_next_power_of_two();
        let buckets = buckets.ok_or(Error::Setting { what: "max_packets is too large" })?;
        if options.max_packets == 0 {
            return Err(Error::Setting { what: "a reassembly table holds at least one packet" });
        }
        let create = || {
            // SAFETY: plain numbers, which DPDK checks.
            let table = unsafe {
                ffi::rte_ip_frag_table_create(
                    buckets,
                    WAYS,
                    options.max_packets,
                    u64::try_from(timeout_cycles).unwrap_or(u64::MAX),
                    options.numa_node.map_or(-1, i32::from),
                )
            };
            // With these numbers it can fail for want of memory alone, and says no reason then.
            NonNull::new(table).ok_or(Errno::from_return(libc::ENOMEM))
        };
        let table =
            once_there_is_memory(create).map_err(|errno| Error::Table { what: "reassembly table", errno })?;
        // SAFETY: a counter of 0 and null pointers are an empty row.
        let row = Box::new(unsafe { mem::zeroed() });
        Ok(Self { table, row, discarded: 0, _eal: eal.clone() })
    }

    /// Takes an IPv4 fragment whose header starts at `l2_bytes`. `now_cycles` is [`tsc_cycles`](crate::tsc_cycles),
    /// read once a burst. Padding behind the packet is cut off.
    pub fn feed_ipv4(&mut self, mut fragment: Mbuf, l2_bytes: u16, now_cycles: u64) -> Reassembly {
        let lengths = fragment.data().get(l2_bytes.into()..).and_then(|data| {
            let (header_bytes, total_bytes) = ipv4_lengths(data)?;
            let offset = u32::from(u16::from_be_bytes([data[6], data[7]]) & 0x1fff) * 8;
            let fits =
                usize::from(total_bytes) <= data.len() && offset + u32::from(total_bytes) <= u16::MAX.into();
            let more = data[6] & 0x20 != 0;
            let payload = total_bytes - header_bytes;
            // All but the last must end on a multiple of eight, and an empty one says nothing.
            (fits && payload > 0 && (!more || payload.is_multiple_of(8))).then_some(header_bytes)
        });
        let Some(header_bytes) = lengths.filter(|_| fragment.is_contiguous()) else {
            return Reassembly::Malformed(fragment);
        };
        if fragment.set_header_lengths(l2_bytes, header_bytes).is_none() {
            return Reassembly::Malformed(fragment);
        }
        let header = fragment.data_mut()[l2_bytes.into()..].as_mut_ptr().cast();
        let raw = fragment.into_raw();
        // SAFETY: table and row are ours; the fragment is live, contiguous, its header whole and its lengths inside the
        // data (checked above); DPDK owns it from here on.
        let whole = unsafe {
            ffi::shim_reassemble_ipv4(
                self.table.as_ptr(),
                &raw mut *self.row,
                raw.as_ptr(),
                now_cycles,
                header,
            )
        };
        self.outcome(whole)
    }

    /// Takes an IPv6 fragment whose header starts at `l2_bytes` and whose fragment header follows `l3_bytes` later
    /// (40, and the extension headers before it). The rest is as in [`feed_ipv4`](Self::feed_ipv4).
    pub fn feed_ipv6(
        &mut self,
        mut fragment: Mbuf,
        l2_bytes: u16,
        l3_bytes: u16,
        now_cycles: u64,
    ) -> Reassembly {
        let at = usize::from(l2_bytes) + usize::from(l3_bytes);
        let whole = fragment.data().get(l2_bytes.into()..).is_some_and(|data| {
            let Some(header) = data.get(l3_bytes.into()..).and_then(|rest| rest.first_chunk::<8>()) else {
                return false;
            };
            let total = usize::from(u16::from_be_bytes([data[4], data[5]])) + 40;
            let front = usize::from(l3_bytes) + header.len();
            let field = u16::from_be_bytes([header[2], header[3]]);
            let (offset, more) = (usize::from(field & 0xfff8), field & 1 != 0);
            let payload = total.saturating_sub(front);
            let fits = data[0] >> 4 == 6 && l3_bytes >= 40 && total <= data.len();
            fits && payload > 0 && offset + payload <= 0xffff - front && (!more || payload.is_multiple_of(8))
        });
        if !whole
            || !fragment.is_contiguous()
            || fragment.set_header_lengths(l2_bytes, l3_bytes + 8).is_none()
        {
            return Reassembly::Malformed(fragment);
        }
        let start = fragment.data_mut().as_mut_ptr();
        // SAFETY: both headers lie inside the data (checked above).
        let (header, fragment_header) = unsafe { (start.add(l2_bytes.into()).cast(), start.add(at).cast()) };
        let raw = fragment.into_raw();
        // SAFETY: table and row are ours; the fragment is live, contiguous, both headers whole and the lengths inside
        // the data (checked above); DPDK owns it from here on.
        let whole = unsafe {
            let (table, row) = (self.table.as_ptr(), &raw mut *self.row);
            ffi::shim_reassemble_ipv6(table, row, raw.as_ptr(), now_cycles, header, fragment_header)
        };
        self.outcome(whole)
    }

    /// Discards what has been incomplete for too long; call it now and then.
    pub fn expire(&mut self, now_cycles: u64) {
        // SAFETY: table and row are ours.
        unsafe {
            ffi::rte_ip_frag_table_del_expired_entries(self.table.as_ptr(), &raw mut *self.row, now_cycles);
        }
        self.free_row();
    }

    /// Fragments discarded so far: too late, too many, overlapping, or no room in the table.
    pub fn discarded(&self) -> u64 {
        self.discarded
    }

    fn outcome(&mut self, whole: *mut crate::layout::rte_mbuf) -> Reassembly {
        self.free_row();
        match NonNull::new(whole) {
            Some(raw) => {
                // SAFETY: DPDK gave up the whole packet, with all its segments.
                let mut packet = unsafe { Mbuf::from_raw(raw) };
                // What the device found is about the first fragment, and DPDK has added a request for a checksum.
                packet.clear_offloads();
                Reassembly::Complete(packet)
            }
            None => Reassembly::Pending,
        }
    }

    fn free_row(&mut self) {
        self.discarded += u64::from(self.row.cnt);
        // SAFETY: the row holds `cnt` mbufs that the table gave up; afterwards it is empty.
        unsafe { ffi::rte_ip_frag_free_death_row(&raw mut *self.row, 0) }
    }
}

impl Drop for Reassembler {
    fn drop(&mut self) {
        // SAFETY: made by `rte_ip_frag_table_create` and destroyed once; the fragments it holds go with it.
        unsafe { ffi::rte_ip_frag_table_destroy(self.table.as_ptr()) }
    }
}

//! Pools of packets. The control thread makes them; ports fill packets from them, workers take packets and give them
//! back. A pool whose last handle is dropped is retired, and freed once all of its packets are back (see `retire`).

use core::ptr::NonNull;
use std::{
    ffi::CString,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    Errno, Error,
    burst::Burst,
    eal::Eal,
    ffi,
    mbuf::{HEADROOM_BYTES, Mbuf},
};

/// What a pool is to be.
#[derive(Clone, Debug)]
pub struct MempoolOptions {
    /// For messages and DPDK's own tools; at most 15 bytes.
    pub name: String,
    /// How many packets it holds; one less than a power of two wastes no memory. Most drivers fill the receive queues at
    /// the start, so more than all receive descriptors of the ports that use it.
    pub packets: u32,
    /// Packets that each registered thread keeps at hand, at most 512 and at most 2/3 of `packets`.
    pub cache_packets: u32,
    /// Bytes for data in each packet, headroom not counted: the largest frame plus the tailroom it may need. At most
    /// 3776 where a port is `net_af_xdp`, whose packets must lie within one page of 4096 bytes, descriptors included.
    pub room_bytes: u16,
    /// NUMA node; `None` is anywhere.
    pub numa_node: Option<u16>,
}

impl Default for MempoolOptions {
    fn default() -> Self {
        Self {
            name: String::from("packets"),
            packets: 8191,
            cache_packets: 256,
            room_bytes: 2048,
            numa_node: None,
        }
    }
}

/// A handle to a pool; clones are handles to the same pool, and any thread may use them.
#[derive(Clone)]
pub struct Mempool(Arc<Owned>);

struct Owned {
    raw: NonNull<ffi::rte_mempool>,
    name: Box<str>,
    packets: u32,
    room_bytes: u16,
    _eal: Eal,
}

// SAFETY: DPDK's mempools are multi-producer and multi-consumer (the default ring handler, per-lcore caches for
// registered threads, none for others), and all that we call on one is get, put and count.
unsafe impl Send for Owned {}
// SAFETY: as above.
unsafe impl Sync for Owned {}

impl Mempool {
    /// Makes a pool. If memory is short while retired pools are about to be freed, it waits for them, a second at most for each.
    ///
    /// # Errors
    /// Too little memory, or a name or size that DPDK refuses.
    pub fn new(eal: &Eal, options: &MempoolOptions) -> Result<Self, Error> {
        sweep(Instant::now());
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        // DPDK wants names unique, and a retired pool keeps its own for a while.
        let unique = format!("{}.{}", options.name, SERIAL.fetch_add(1, Ordering::Relaxed));
        let name_error = || Error::Name { name: options.name.as_str().into() };
        if options.name.len() > 15 {
            return Err(name_error());
        }
        let c_name = CString::new(unique).map_err(|_| name_error())?;
        let room = options.room_bytes.checked_add(HEADROOM_BYTES).ok_or(Error::Setting {
            what: "a packet's data room and headroom together must be below 65536 bytes",
        })?;
        let node = options.numa_node.map_or(-1, i32::from);
        let create = || {
            // SAFETY: the environment is up (`eal`), the name is a C string that DPDK copies.
            let raw = unsafe {
                ffi::rte_pktmbuf_pool_create(
                    c_name.as_ptr(),
                    options.packets,
                    options.cache_packets,
                    0,
                    room,
                    node,
                )
            };
            NonNull::new(raw).ok_or_else(Errno::last)
        };
        let raw = once_there_is_memory(create).map_err(|errno| {
            let name = options.name.as_str().into();
            Error::Pool { name, packets: options.packets, errno }
        })?;
        Ok(Self(Arc::new(Owned {
            raw,
            name: options.name.as_str().into(),
            packets: options.packets,
            room_bytes: options.room_bytes,
            _eal: eal.clone(),
        })))
    }

    /// Takes an empty packet with [`HEADROOM_BYTES`] in front. `None`: the pool is exhausted.
    pub fn take(&self) -> Option<Mbuf> {
        // SAFETY: the pool is live.
        let raw = NonNull::new(unsafe { ffi::rte_pktmbuf_alloc(self.as_ptr()) })?;
        // SAFETY: a fresh mbuf has one owner, us.
        Some(unsafe { Mbuf::from_raw(raw) })
    }

    /// Takes a packet and copies `data` into it. `None`: the pool is exhausted, or `data` does not fit.
    pub fn take_copy(&self, data: &[u8]) -> Option<Mbuf> {
        let mut packet = self.take()?;
        packet.append(u16::try_from(data.len()).ok()?)?.copy_from_slice(data);
        Some(packet)
    }

    /// Adds `count` empty packets to the end of `burst`: all of them, or none if the pool or the burst lacks room.
    pub fn fill(&self, burst: &mut Burst, count: u16) -> bool {
        let (spare, room) = burst.spare_mut();
        if count > room {
            return false;
        }
        // SAFETY: the pool is live and `spare` has room for `count` pointers.
        let outcome = unsafe { ffi::rte_pktmbuf_alloc_bulk(self.as_ptr(), spare, u32::from(count)) };
        if outcome == 0 {
            // SAFETY: zero says that `count` fresh mbufs were written.
            unsafe { burst.assume_received(count) }
        }
        outcome == 0
    }

    /// Packets outside the pool and its caches. Others may take and give meanwhile, so it is exact only at rest.
    pub fn in_use(&self) -> u32 {
        // SAFETY: the pool is live; the count only reads.
        unsafe { ffi::rte_mempool_in_use_count(self.as_ptr()) }
    }

    /// Packets in the pool and its caches; exact only at rest.
    pub fn available(&self) -> u32 {
        // SAFETY: the pool is live; the count only reads.
        unsafe { ffi::rte_mempool_avail_count(self.as_ptr()) }
    }

    /// How many packets it was made with.
    pub fn packets(&self) -> u32 {
        self.0.packets
    }

    /// Bytes for data in each packet, headroom not counted.
    pub fn room_bytes(&self) -> u16 {
        self.0.room_bytes
    }

    /// The name it was given.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn as_ptr(&self) -> *mut ffi::rte_mempool {
        self.0.raw.as_ptr()
    }
}

/// A pool without handles. Packets of it may still be in rings or on other threads.
struct Retired {
    raw: NonNull<ffi::rte_mempool>,
    since: Instant,
}

// SAFETY: as for `Owned`.
unsafe impl Send for Retired {}

impl Retired {
    /// Whether packets are still out.
    fn is_busy(&self) -> bool {
        // SAFETY: a retired pool is live until `sweep`, which holds the list's lock, frees it and takes it off.
        unsafe { ffi::rte_mempool_in_use_count(self.raw.as_ptr()) > 0 }
    }
}

static RETIRED: Mutex<Vec<Retired>> = Mutex::new(Vec::new());

/// Longer than any thread can be in the middle of giving its last packet back: only then does "none in use" also say
/// that nobody still touches the pool.
const GRACE: Duration = Duration::from_secs(1);

impl Drop for Owned {
    fn drop(&mut self) {
        let retired = Retired { raw: self.raw, since: Instant::now() };
        RETIRED.lock().unwrap_or_else(PoisonError::into_inner).push(retired);
    }
}

/// Frees the retired pools that have all their packets back; each new pool does that first.
fn sweep(now: Instant) {
    RETIRED.lock().unwrap_or_else(PoisonError::into_inner).retain(|pool| {
        let keep = pool.is_busy() || now.duration_since(pool.since) < GRACE;
        if !keep {
            // SAFETY: no handle is left, and no packet has been out for a whole `GRACE` of nobody being able to take
            // any: nobody can reach the pool.
            unsafe { ffi::rte_mempool_free(pool.raw.as_ptr()) }
        }
        keep
    });
}

/// Makes something of DPDK's memory. If that is short (ENOMEM), or the places for its zones are (ENOSPC, or ENOBUFS where it has some of them: a pool takes several), while retired pools are about to
/// be freed, it waits for them.
pub(crate) fn once_there_is_memory<T>(make: impl Fn() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        let errno = match make() {
            Ok(made) => return Ok(made),
            Err(errno) => errno,
        };
        let is_short = matches!(errno.code(), libc::ENOMEM | libc::ENOSPC | libc::ENOBUFS);
        let pause = is_short.then(|| next_release(Instant::now())).flatten();
        std::thread::sleep(pause.ok_or(errno)?);
        sweep(Instant::now());
    }
}

/// How long until `sweep` frees a retired pool; `None` where there is none that has all its packets back.
fn next_release(now: Instant) -> Option<Duration> {
    let pools = RETIRED.lock().unwrap_or_else(PoisonError::into_inner);
    let idle = pools.iter().filter(|pool| !pool.is_busy());
    idle.map(|pool| GRACE.saturating_sub(now.duration_since(pool.since))).min()
}

/// Packets of pools without handles that are still out.
pub(crate) fn retired_in_use() -> usize {
    let pools = RETIRED.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: a retired pool is live until `sweep` takes it off the list.
    pools.iter().map(|pool| unsafe { ffi::rte_mempool_in_use_count(pool.raw.as_ptr()) } as usize).sum()
}

/// Forgets the retired pools: `rte_eal_cleanup` takes their memory.
pub(crate) fn forget_retired() {
    RETIRED.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

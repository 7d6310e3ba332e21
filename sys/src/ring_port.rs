//! A port without a device: what is pushed into its wires is received by its queues, and what its queues send comes out
//! of its wires. For workers' tests and for measuring without a NIC; it is DPDK's own `net_ring` driver.

use core::ptr::{self, NonNull};
use std::{
    ffi::CString,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{Errno, Error, Port, burst::Burst, eal::Eal, ffi, mbuf::Mbuf, mempool::once_there_is_memory};

/// An in-memory port and the far ends of its queues.
pub struct RingPort {
    /// The port, not started yet.
    pub port: Port,
    /// One wire for each pair of queues, in the order of their numbers.
    pub wires: Vec<Wire>,
}

/// The far end of one receive queue and one transmit queue. One owner at a time, on any thread.
pub struct Wire {
    rings: Arc<Rings>,
    queue: usize,
}

/// Rings for each queue: to the port, and from it. Packets left in them are freed with them.
pub(crate) struct Rings {
    to_port: Vec<NonNull<ffi::rte_ring>>,
    from_port: Vec<NonNull<ffi::rte_ring>>,
}

// SAFETY: each ring has one producer and one consumer: the queue's one owner, and the wire's one owner (`&mut self`).
unsafe impl Send for Rings {}
// SAFETY: as above; nothing but the rings themselves is shared, and they are made for two threads.
unsafe impl Sync for Rings {}

impl RingPort {
    /// Makes a port with `queues` receive and transmit queues, each `depth_packets` (a power of two) deep less one.
    ///
    /// # Errors
    /// Too little memory, or a depth that is no power of two.
    pub fn new(eal: &Eal, queues: u16, depth_packets: u32) -> Result<Self, Error> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let mut rings = Rings { to_port: Vec::new(), from_port: Vec::new() };
        for queue in 0..queues {
            rings.to_port.push(create(&format!("to.{serial}.{queue}"), depth_packets)?);
            rings.from_port.push(create(&format!("from.{serial}.{queue}"), depth_packets)?);
        }
        let name = format!("memory{serial}");
        let c_name = CString::new(name.as_str()).map_err(|_| Error::Name { name: name.as_str().into() })?;
        let mut to_port: Vec<*mut ffi::rte_ring> = rings.to_port.iter().map(|ring| ring.as_ptr()).collect();
        let mut from_port: Vec<*mut ffi::rte_ring> =
            rings.from_port.iter().map(|ring| ring.as_ptr()).collect();
        let count = u32::from(queues);
        let error = |errno| Error::Device { device: name.as_str().into(), errno };
        let id = {
            let _devices = crate::port::lock_devices();
            // SAFETY: both arrays hold `count` live rings; DPDK copies the arrays, and the port keeps the rings alive.
            unsafe {
                let (to_port, from_port) = (to_port.as_mut_ptr(), from_port.as_mut_ptr());
                ffi::rte_eth_from_rings(c_name.as_ptr(), to_port, count, from_port, count, 0)
            }
        };
        let id = u16::try_from(id).map_err(|_| error(Errno::last()))?;
        let rings = Arc::new(rings);
        let port = Port::adopt(eal, id, &name, Some(Arc::clone(&rings))).map_err(error)?;
        let wires = (0..usize::from(queues)).map(|queue| Wire { rings: Arc::clone(&rings), queue }).collect();
        Ok(Self { port, wires })
    }
}

fn create(name: &str, depth_packets: u32) -> Result<NonNull<ffi::rte_ring>, Error> {
    let c_name = CString::new(name).map_err(|_| Error::Name { name: name.into() })?;
    let make = || {
        // SAFETY: a C string that DPDK copies; it checks the depth.
        let raw =
            unsafe { ffi::rte_ring_create(c_name.as_ptr(), depth_packets, -1, ffi::SHIM_RING_ONE_TO_ONE) };
        NonNull::new(raw).ok_or_else(Errno::last)
    };
    once_there_is_memory(make).map_err(|errno| Error::Table { what: "in-memory port", errno })
}

impl Wire {
    /// Lets the port receive a packet.
    ///
    /// # Errors
    /// The queue is full: the packet comes back.
    pub fn push(&mut self, packet: Mbuf) -> Result<(), Mbuf> {
        let raw = packet.into_raw();
        let object = raw.as_ptr().cast();
        // SAFETY: the ring is live, and this is its one producer; it takes one pointer.
        let taken =
            unsafe { ffi::rte_ring_enqueue_burst(self.received(), &raw const object, 1, ptr::null_mut()) };
        match taken {
            0 => {
                // SAFETY: the ring did not take it, so it is still ours alone.
                Err(unsafe { Mbuf::from_raw(raw) })
            }
            _ => Ok(()),
        }
    }

    /// Lets the port receive packets from the front of `burst`, as many as the queue takes; the others stay.
    pub fn push_burst(&mut self, burst: &mut Burst) -> u32 {
        let (live, count) = burst.live_mut();
        // SAFETY: the ring is live, and this is its one producer; `live` holds `count` owned pointers.
        let taken = unsafe {
            ffi::rte_ring_enqueue_burst(self.received(), live.cast(), u32::from(count), ptr::null_mut())
        };
        // SAFETY: the ring owns the first `taken` from here on.
        unsafe { burst.forget_front(taken as usize) }
        taken
    }

    /// Takes the next packet that the port sent.
    pub fn pull(&mut self) -> Option<Mbuf> {
        let mut raw = ptr::null_mut();
        // SAFETY: the ring is live, and this is its one consumer; there is room for one pointer.
        unsafe { ffi::rte_ring_dequeue_burst(self.sent(), &raw mut raw, 1, ptr::null_mut()) };
        // SAFETY: the ring owned the mbuf and gave it up; none means that `raw` is still null.
        NonNull::new(raw.cast()).map(|raw| unsafe { Mbuf::from_raw(raw) })
    }

    /// Adds what the port sent to the end of `burst`, as far as there is room.
    pub fn pull_burst(&mut self, burst: &mut Burst) -> u16 {
        let (spare, room) = burst.spare_mut();
        // SAFETY: the ring is live, and this is its one consumer; `spare` has room for `room` pointers.
        let got = unsafe {
            ffi::rte_ring_dequeue_burst(self.sent(), spare.cast(), u32::from(room), ptr::null_mut())
        };
        let got = u16::try_from(got).unwrap_or(room);
        // SAFETY: the ring owned these mbufs and gave them up.
        unsafe { burst.assume_received(got) }
        got
    }

    /// Packets that the port has not received yet.
    pub fn waiting(&self) -> u32 {
        // SAFETY: the ring is live; the count only reads.
        unsafe { ffi::rte_ring_count(self.received()) }
    }

    fn received(&self) -> *mut ffi::rte_ring {
        self.rings.to_port[self.queue].as_ptr()
    }

    fn sent(&self) -> *mut ffi::rte_ring {
        self.rings.from_port[self.queue].as_ptr()
    }
}

impl Drop for Rings {
    fn drop(&mut self) {
        for ring in self.to_port.iter().chain(&self.from_port) {
            loop {
                let mut raw = ptr::null_mut();
                // SAFETY: the ring is live, and neither port nor wire is left; there is room for one pointer.
                unsafe { ffi::rte_ring_dequeue_burst(ring.as_ptr(), &raw mut raw, 1, ptr::null_mut()) };
                let Some(raw) = NonNull::new(raw.cast()) else { break };
                // SAFETY: the ring owned the mbuf and gave it up.
                drop(unsafe { Mbuf::from_raw(raw) });
            }
            // SAFETY: made by `rte_ring_create`, freed once, empty and unused.
            unsafe { ffi::rte_ring_free(ring.as_ptr()) }
        }
    }
}

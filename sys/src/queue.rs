//! The two ends of a port's queues. Each has one owner, who may move to another thread; a port stops only when all of
//! its queues came back (were dropped).

use core::{cell::Cell, marker::PhantomData};
use std::sync::Arc;

use crate::{burst::Burst, ffi, port::Attached};

/// A started receive queue.
pub struct RxQueue {
    port: Arc<Attached>,
    queue: u16,
    /// One thread at a time: `Send`, but not `Sync`.
    _one_owner: PhantomData<Cell<()>>,
}

/// A started transmit queue.
pub struct TxQueue {
    port: Arc<Attached>,
    queue: u16,
    segments_max: u16,
    _one_owner: PhantomData<Cell<()>>,
}

impl RxQueue {
    /// Only `Port::start` makes queues, one handle for each.
    pub(crate) fn new(port: Arc<Attached>, queue: u16) -> Self {
        Self { port, queue, _one_owner: PhantomData }
    }

    /// Adds what has arrived to the end of `burst`, as far as there is room, and says how many packets that were.
    pub fn rx_burst(&mut self, burst: &mut Burst) -> u16 {
        let (spare, room) = burst.spare_mut();
        // SAFETY: the queue was set up and started (only `Port::start` makes an `RxQueue`, and the port cannot stop
        // while one lives) and is ours alone (`&mut self`, one handle a queue); `spare` has room for `room` pointers.
        let received = unsafe { ffi::rte_eth_rx_burst(self.port.id, self.queue, spare, room) };
        // SAFETY: DPDK wrote `received` live mbufs there, which nobody else owns.
        unsafe { burst.assume_received(received) }
        received
    }

    /// The number of the port, as in [`Mbuf::port_number`](crate::Mbuf::port_number).
    pub fn port_number(&self) -> u16 {
        self.port.id
    }

    /// The number of the queue within the port.
    pub fn queue_number(&self) -> u16 {
        self.queue
    }
}

impl TxQueue {
    pub(crate) fn new(port: Arc<Attached>, queue: u16, segments_max: u16) -> Self {
        Self { port, queue, segments_max, _one_owner: PhantomData }
    }

    /// The most segments that a packet may have which is to be sent here: 1 where the device cannot gather any, or was not asked to.
    pub fn segments_max(&self) -> u16 {
        self.segments_max
    }

    /// Sends from the front of `burst` and says how many packets the queue took; the others stay in `burst`, in order.
    pub fn tx_burst(&mut self, burst: &mut Burst) -> u16 {
        let (live, count) = burst.live_mut();
        // SAFETY: the queue was set up and started (only `Port::start` makes a `TxQueue`, and the port cannot stop
        // while one lives) and is ours alone (`&mut self`, one handle a queue); `live` holds `count` owned mbufs.
        let sent = unsafe { ffi::rte_eth_tx_burst(self.port.id, self.queue, live, count) };
        // SAFETY: DPDK owns the first `sent` from here on.
        unsafe { burst.forget_front(sent.into()) }
        sent
    }

    /// Checks, and completes where the device needs it, the checksum requests of `burst`. Returns how many packets from the
    /// front can be sent: fewer than all means that the next one asks for what this port cannot do.
    pub fn tx_prepare(&mut self, burst: &mut Burst) -> u16 {
        let (live, count) = burst.live_mut();
        // SAFETY: as in `tx_burst`; preparing changes headers in place and takes no ownership.
        unsafe { ffi::rte_eth_tx_prepare(self.port.id, self.queue, live, count) }
    }

    /// The number of the port.
    pub fn port_number(&self) -> u16 {
        self.port.id
    }

    /// The number of the queue within the port.
    pub fn queue_number(&self) -> u16 {
        self.queue
    }
}

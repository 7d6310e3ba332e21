//! Rings to an SA's home worker: one for each ordered pair of workers, and one from each worker to itself; bounded, never waited for.
//!
//! A worker that receives an ESP packet of an SA that is at home elsewhere puts it there, outer header parsed; the home
//! worker goes on where the other stopped. Inbound only: outbound, any worker seals for any SA. What a worker seals for an address of our own (a tunnel
//! between two networks of this appliance) goes the same way, to be opened in the home worker's next turn.

use std::sync::Arc;

use crossbeam::queue::ArrayQueue;

use crate::counter::{Counter, Local};
use crate::packet::{Batch, Sealed, discard, put};

type Ring = Arc<ArrayQueue<Sealed>>;

/// A worker's ends of the rings.
pub(crate) struct Handover {
    me: u8,
    to: Box<[Ring]>,
    from: Box<[Ring]>,
    /// Which of `from` is emptied first, in turn: under overload all get their share.
    first: usize,
}

/// Makes the rings among `workers` workers, each `depth` packets long.
pub(crate) fn rings(workers: u8, depth: usize) -> Vec<Handover> {
    let ring = |_| Arc::new(ArrayQueue::new(depth.max(1)));
    let all: Vec<Vec<Ring>> = (0..workers).map(|_| (0..workers).map(ring).collect()).collect();
    (0..workers)
        .map(|me| Handover {
            me,
            to: all[usize::from(me)].iter().map(Arc::clone).collect(),
            from: all.iter().map(|row| Arc::clone(&row[usize::from(me)])).collect(),
            first: 0,
        })
        .collect()
}

impl Handover {
    /// The number of this worker.
    pub(crate) fn me(&self) -> u8 {
        self.me
    }

    /// Sends a packet home.
    pub(crate) fn send(&self, home: u8, packet: Sealed, counters: &mut Local) {
        let Some(ring) = self.to.get(usize::from(home)) else {
            return discard(packet.mbuf, Counter::EspUnknownSpi, counters);
        };
        match ring.push(packet) {
            Ok(()) => counters.count(Counter::HandoverSent),
            Err(packet) => discard(packet.mbuf, Counter::HandoverFull, counters),
        }
    }

    /// Adds what others sent here to `sealed`, as far as there is room.
    pub(crate) fn receive(&mut self, sealed: &mut Batch<Sealed>, counters: &mut Local) {
        self.first = if self.first + 1 < self.from.len() { self.first + 1 } else { 0 };
        let (later, first) = self.from.split_at(self.first);
        for ring in first.iter().chain(later) {
            // `is_empty` first: cheaper than an empty `pop`, which ends in a fence.
            while !ring.is_empty() && !sealed.is_full() {
                let Some(packet) = ring.pop() else { break };
                counters.count(Counter::HandoverReceived);
                put(sealed, packet, counters);
            }
        }
    }
}

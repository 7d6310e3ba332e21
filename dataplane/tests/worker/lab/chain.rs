//! Frames that lie in several buffers.

use dpdk_sys::{Mbuf, Mempool};

use super::Gateway;

impl Gateway {
    /// Lets a frame arrive in buffers that hold so many bytes each, over and over.
    pub(crate) fn arrive_in(&mut self, port: usize, frame: &[u8], lengths: &[usize]) {
        let packet = chained(&self.pool, frame, lengths);
        self.wires[port][0].push(packet).ok().expect("room");
    }
}

fn chained(pool: &Mempool, mut bytes: &[u8], lengths: &[usize]) -> Mbuf {
    let mut packet: Option<Mbuf> = None;
    for length in lengths.iter().cycle() {
        let (here, rest) = bytes.split_at((*length).min(bytes.len()));
        let segment = pool.take_copy(here).expect("a packet");
        match &mut packet {
            Some(packet) => packet.chain(segment).ok().expect("few"),
            None => packet = Some(segment),
        }
        bytes = rest;
        if bytes.is_empty() {
            break;
        }
    }
    packet.expect("a segment, at least")
}

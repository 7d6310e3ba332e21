//! Leave stage: neighbour, link header, transmit queue; also the way out for ARP and neighbour discovery.

use std::net::IpAddr;

use dpdk_sys::{Burst, FragmentError, Mbuf, TxQueue, fragment_ipv4, fragment_ipv6};

use super::Context;
use crate::counter::{Counter, Local};
use crate::flow::Egress;
use crate::forwarding::{Interface, InterfaceId, PortIndex};
use crate::header::ethernet::{EtherType, Mac};
use crate::message::{Event, Full, Punt};
use crate::neighbour::{Action, FRAME_BYTES, Neighbours, link_header, solicitation};
use crate::packet::{Batch, Leaving, discard};

/// The transmit queues of a worker, by port, each with what is to be sent at the end of the burst.
pub(crate) struct Transmit {
    queues: Box<[Option<Outgoing>]>,
}

struct Outgoing {
    queue: TxQueue,
    burst: Burst,
    /// Bytes in `burst`.
    bytes: u64,
}

impl Transmit {
    pub(crate) fn new(queues: Vec<Option<TxQueue>>) -> Self {
        let outgoing = |queue| Outgoing { queue, burst: Burst::new(), bytes: 0 };
        Self { queues: queues.into_iter().map(|queue| queue.map(outgoing)).collect() }
    }

    /// Gives the queues back.
    pub(crate) fn into_queues(self) -> Vec<Option<TxQueue>> {
        self.queues.into_iter().map(|outgoing| outgoing.map(|outgoing| outgoing.queue)).collect()
    }

    /// The most segments that a frame may have on that port.
    pub(super) fn segments_max(&self, port: PortIndex) -> u16 {
        let outgoing = self.queues.get(usize::from(port.0)).and_then(Option::as_ref);
        outgoing.map_or(u16::MAX, |outgoing| outgoing.queue.segments_max()) // dropped without a queue
    }

    /// Puts frames into their port's burst, which is sent whenever it is full. Nothing may be asked of the port: whoever made the frames has cleared what the
    /// buffers said before.
    #[inline]
    fn send(&mut self, port: PortIndex, frames: impl IntoIterator<Item = Mbuf>, counters: &mut Local) {
        let Some(Some(outgoing)) = self.queues.get_mut(usize::from(port.0)) else {
            return frames.into_iter().for_each(|frame| discard(frame, Counter::TxNoQueue, counters));
        };
        for frame in frames {
            outgoing.bytes += u64::from(frame.len_bytes());
            if let Err(frame) = outgoing.burst.push(frame) {
                outgoing.flush_for(frame, counters);
            }
        }
    }

    /// Sends what has gathered.
    pub(crate) fn flush(&mut self, counters: &mut Local) {
        for outgoing in self.queues.iter_mut().flatten() {
            outgoing.flush(counters);
        }
    }
}

impl Outgoing {
    /// Makes room for one frame more, whose bytes are counted already.
    #[cold]
    fn flush_for(&mut self, frame: Mbuf, counters: &mut Local) {
        let bytes = u64::from(frame.len_bytes());
        self.bytes -= bytes;
        self.flush(counters);
        match self.burst.push(frame) {
            Ok(()) => self.bytes += bytes,
            Err(frame) => discard(frame, Counter::TxRingFull, counters),
        }
    }

    fn flush(&mut self, counters: &mut Local) {
        if self.burst.is_empty() {
            return;
        }
        let sent = self.queue.tx_burst(&mut self.burst);
        let unsent = self.burst.iter().map(|frame| u64::from(frame.len_bytes())).sum::<u64>();
        counters.add(Counter::TxPackets, u64::from(sent));
        counters.add(Counter::TxBytes, std::mem::take(&mut self.bytes) - unsent);
        for frame in self.burst.drain() {
            discard(frame, Counter::TxRingFull, counters);
        }
    }
}

pub(super) fn leave(leaving: &mut Batch<Leaving>, neighbours: &mut Neighbours<Mbuf>, cx: &mut Context) {
    for packet in leaving.drain(..) {
        let Leaving { mbuf, interface, next_hop } = packet;
        let mtu_bytes = cx.forwarding.interface(interface).map(|interface| interface.mtu_bytes);
        match mtu_bytes {
            None => discard(mbuf, Counter::InterfaceUnknown, &mut cx.counters),
            Some(mtu_bytes) if mbuf.len_bytes() <= u32::from(mtu_bytes) => {
                to_neighbour(mbuf, interface, next_hop, neighbours, cx);
            }
            Some(mtu_bytes) => in_fragments(mbuf, mtu_bytes, interface, next_hop, neighbours, cx),
        }
    }
}

fn to_neighbour(
    mbuf: Mbuf,
    interface: InterfaceId,
    next_hop: IpAddr,
    neighbours: &mut Neighbours<Mbuf>,
    cx: &mut Context,
) {
    match neighbours.mac(interface, next_hop, cx.now_us) {
        Some(mac) => cx.send(mbuf, interface, mac),
        None => {
            let now_us = cx.now_us;
            neighbours.wait(interface, next_hop, mbuf, now_us, &mut |action| cx.act(action));
        }
    }
}

/// Larger than the interface takes: cut, if it may be.
fn in_fragments(
    mbuf: Mbuf,
    mtu_bytes: u16,
    interface: InterfaceId,
    next_hop: IpAddr,
    neighbours: &mut Neighbours<Mbuf>,
    cx: &mut Context,
) {
    let mut pieces = Burst::new();
    if !cx.cut(mbuf, mtu_bytes, &mut pieces) {
        return;
    }
    for piece in pieces.drain() {
        to_neighbour(piece, interface, next_hop, neighbours, cx);
    }
}

impl Context {
    /// Cuts a packet into fragments of at most `mtu_bytes`; an IPv6 packet has to be one of ours. `false`: it was dropped, because it must not be
    /// cut, or for want of buffers.
    pub(super) fn cut(&mut self, mut mbuf: Mbuf, mtu_bytes: u16, pieces: &mut Burst) -> bool {
        let cut = if mbuf.data().first().is_some_and(|first| first >> 4 == 6) {
            match self.whole(mbuf) {
                Some(whole) => mbuf = whole,
                None => return false,
            }
            self.fragment_id = self.fragment_id.wrapping_add(1);
            fragment_ipv6(&mut mbuf, mtu_bytes, self.fragment_id, &self.pool, pieces)
        } else {
            fragment_ipv4(&mbuf, mtu_bytes, &self.pool, pieces)
        };
        match cut {
            Ok(count) => {
                self.counters.count(Counter::Fragmented);
                self.counters.add(Counter::Originated, u64::from(count));
                drop(mbuf);
                true
            }
            Err(error) => {
                if error == FragmentError::NoRoom {
                    self.counters.count(Counter::NoBuffer);
                }
                discard(mbuf, Counter::TooBig, &mut self.counters);
                false
            }
        }
    }

    /// Puts a known link header on and sends.
    pub(super) fn send_by(&mut self, mut mbuf: Mbuf, egress: &Egress) {
        let bytes = u16::try_from(mbuf.data().len()).ok();
        match bytes.and_then(|bytes| egress.frame(&mut mbuf, 0, bytes)) {
            Some(_) => self.send_frame(mbuf, egress.port),
            None => discard(mbuf, Counter::EspNoRoom, &mut self.counters),
        }
    }

    /// Sends what is a frame already.
    #[inline]
    pub(super) fn send_frame(&mut self, frame: Mbuf, port: PortIndex) {
        self.transmit.send(port, [frame], &mut self.counters);
    }

    /// Sends what are frames of one port already.
    #[inline]
    pub(super) fn send_frames(&mut self, frames: impl IntoIterator<Item = Mbuf>, port: PortIndex) {
        self.transmit.send(port, frames, &mut self.counters);
    }

    /// Puts the link header on and sends.
    fn send(&mut self, mut mbuf: Mbuf, id: InterfaceId, mac: Mac) {
        let Some(interface) = self.forwarding.interface(id) else {
            return discard(mbuf, Counter::InterfaceUnknown, &mut self.counters);
        };
        if frame(&mut mbuf, interface, mac).is_none() {
            return discard(mbuf, Counter::EspNoRoom, &mut self.counters);
        }
        let port = interface.port;
        if !mbuf.is_contiguous() {
            match self.sendable(mbuf, port) {
                Some(as_it_can_be) => mbuf = as_it_can_be,
                None => return,
            }
        }
        self.transmit.send(port, [mbuf], &mut self.counters);
    }

    /// Turns a received packet's buffer into the frame that answers it.
    pub(super) fn answer(&mut self, mbuf: &mut Mbuf, _id: InterfaceId, answer: &[u8]) {
        super::trim_to(mbuf, 0);
        mbuf.clear_offloads();
        let room = u16::try_from(answer.len()).ok().and_then(|bytes| mbuf.append(bytes));
        if let Some(room) = room {
            room.copy_from_slice(answer);
        }
    }

    /// Sends a frame that this worker made.
    pub(super) fn send_own(&mut self, frame: Mbuf, id: InterfaceId) {
        self.counters.count(Counter::Originated);
        match self.forwarding.interface(id) {
            Some(interface) => self.transmit.send(interface.port, [frame], &mut self.counters),
            None => discard(frame, Counter::InterfaceUnknown, &mut self.counters),
        }
    }

    /// Does what the neighbour table asks for.
    pub(crate) fn act(&mut self, action: Action<Mbuf>) {
        match action {
            Action::Release { interface, mac, packet } => self.send(packet, interface, mac),
            Action::Drop { reason, packet } => discard(packet, reason, &mut self.counters),
            Action::Learned(neighbour) => self.tell(Event::NeighbourLearned(neighbour)),
            Action::Solicit { interface: id, target, probe } => {
                let mut question = [0; FRAME_BYTES];
                let interface = self.forwarding.interface(id);
                let bytes =
                    interface.and_then(|interface| solicitation(interface, target, probe, &mut question));
                let Some(bytes) = bytes else { return };
                match self.pool.take_copy(&question[..bytes]) {
                    Some(frame) => self.send_own(frame, id),
                    None => self.counters.count(Counter::NoBuffer),
                }
            }
        }
    }

    /// Gives a packet to control; `None` if it had to be dropped.
    pub(super) fn punt(&mut self, punt: Punt) -> Option<()> {
        self.end.tell(Event::Punted(punt)).map_err(|Full(event)| self.lose(event)).ok()
    }
}

/// Puts the link header in front of an IP packet.
fn frame(mbuf: &mut Mbuf, interface: &Interface, mac: Mac) -> Option<()> {
    let ether_type = match mbuf.data().first()? >> 4 {
        4 => EtherType::IPV4,
        _ => EtherType::IPV6,
    };
    let mut link = [0; 18];
    let bytes = link_header(interface, mac, ether_type, &mut link);
    mbuf.prepend(u16::try_from(bytes).ok()?)?.copy_from_slice(&link[..bytes]);
    mbuf.clear_offloads();
    Some(())
}

//! Packets that wait for unresolved neighbours: a fixed number of slots, each a short queue. No allocation after `new`.

use super::WAITING_PACKETS as PACKETS;

pub(super) struct Waiting<P> {
    slots: Box<[[Option<P>; PACKETS]]>,
    free: Vec<u32>,
    packets: usize,
}

impl<P> Waiting<P> {
    pub(super) fn new(slots: u32) -> Self {
        Self {
            slots: (0..slots).map(|_| [const { None }; PACKETS]).collect(),
            free: (0..slots).rev().collect(),
            packets: 0,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// An empty slot, to be given back by [`Waiting::release`].
    pub(super) fn take(&mut self) -> Option<u32> {
        self.free.pop()
    }

    /// Queues a packet; a full queue gives back its oldest one (RFC 4861, 7.2.2).
    pub(super) fn push(&mut self, slot: u32, packet: P) -> Option<P> {
        let queue = &mut self.slots[slot as usize];
        if let Some(free) = queue.iter_mut().find(|place| place.is_none()) {
            *free = Some(packet);
            self.packets += 1;
            return None;
        }
        queue.rotate_left(1);
        queue[PACKETS - 1].replace(packet)
    }

    /// Gives back all packets of a slot, oldest first, and the slot.
    pub(super) fn release(&mut self, slot: u32, each: impl FnMut(P)) {
        let queue = &mut self.slots[slot as usize];
        self.packets -= queue.iter().flatten().count();
        queue.iter_mut().filter_map(Option::take).for_each(each);
        self.free.push(slot); // within the capacity that `new` took: every slot was in the list then
    }

    /// Gives back those packets of a slot that are not to be kept, oldest first; the others stay in order.
    pub(super) fn sift(&mut self, slot: u32, keep: impl Fn(&P) -> bool, mut each: impl FnMut(P)) {
        let queue = &mut self.slots[slot as usize];
        for packet in queue.iter_mut().filter_map(|place| place.take_if(|packet| !keep(packet))) {
            self.packets -= 1;
            each(packet);
        }
        queue.sort_by_key(Option::is_none); // so few are sorted in place
    }

    pub(super) fn packets(&self) -> usize {
        self.packets
    }
}

//! What a change of configuration leaves of a table of neighbours, and of the packets that wait for them.

use std::net::IpAddr;

use super::table::{Entry, Key};
use super::{Action, Neighbours, State};
use crate::counter::Counter;
use crate::forwarding::InterfaceId;

impl<P> Neighbours<P> {
    /// Removes what the predicate does not want to keep (interfaces that are gone after a change of configuration); waiting
    /// packets are dropped as unresolved. Looks at the whole table: once per change, not per burst.
    pub fn retain(&mut self, keep: impl Fn(InterfaceId) -> bool, act: &mut impl FnMut(Action<P>)) {
        for at in self.table.indices() {
            if self.table.get(at).is_some_and(|entry| !keep(entry.key.interface)) {
                self.remove(at, act);
            }
        }
    }

    /// Drops the waiting packets that the predicate does not want to keep (told the interface, the neighbour's address and the packet): after a change of
    /// configuration, those that would now go elsewhere. Their neighbours are still asked for. Looks at the whole table.
    pub fn sift(&mut self, keep: impl Fn(InterfaceId, IpAddr, &P) -> bool, act: &mut impl FnMut(Action<P>)) {
        for at in self.table.indices() {
            let Some(&Entry { key: Key { interface, address }, state: State::Incomplete(slot), .. }) =
                self.table.get(at)
            else {
                continue;
            };
            let reason = Counter::NeighbourRouteChanged;
            let keep = |packet: &P| keep(interface, address, packet);
            self.waiting.sift(slot, keep, |packet| act(Action::Drop { reason, packet }));
        }
    }
}

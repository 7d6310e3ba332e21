//! Which pair each worker seals a tunnel's packets with: its own (RFC 9611), or the one that all share. Written down here, so that a change of pairs becomes just the
//! commands that are needed.

use std::collections::{BTreeMap, HashMap};

use crossgate_dataplane::forwarding::TunnelId;
use crossgate_dataplane::spi::Spi;
use crossgate_ike::event::ChildId;

use super::Pair;
use crate::workers::{WorkerId, Workers};

/// The pairs of each tunnel, and what its workers seal with.
#[derive(Debug, Default)]
pub(super) struct Seats {
    of: HashMap<TunnelId, Table>,
}

#[derive(Debug, Default)]
struct Table {
    pairs: Vec<ChildId>,
    /// In the order of the workers.
    seats: Vec<Option<Seat>>,
}

/// What one worker seals with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seat {
    child: ChildId,
    /// The peer's SPI.
    spi: Spi,
}

impl Seats {
    /// A tunnel has another pair.
    pub(super) fn join(&mut self, tunnel: TunnelId, child: ChildId) {
        self.of.entry(tunnel).or_default().pairs.push(child);
    }

    /// A pair of a tunnel is gone, and no worker seals with it.
    pub(super) fn leave(&mut self, tunnel: TunnelId, child: ChildId) {
        if let Some(table) = self.of.get_mut(&tunnel) {
            table.pairs.retain(|other| *other != child);
            if table.pairs.is_empty() {
                self.of.remove(&tunnel);
            }
        }
    }

    /// The pairs of a tunnel.
    pub(super) fn pairs(&self, tunnel: TunnelId) -> &[ChildId] {
        self.of.get(&tunnel).map_or(&[], |table| &table.pairs)
    }

    /// The pairs of a tunnel that send are others than before.
    pub(super) fn settle(
        &mut self,
        tunnel: TunnelId,
        pairs: &BTreeMap<ChildId, Pair>,
        workers: &mut Workers,
    ) {
        let Some(table) = self.of.get_mut(&tunnel) else { return };
        let found = table.pairs.iter().filter_map(|child| Some((*child, pairs.get(child)?)));
        let senders: Vec<_> = found.filter(|(_, pair)| pair.sends).collect();
        table.seats.resize(workers.ids().count(), None);
        for (seat, worker) in table.seats.iter_mut().zip(workers.ids()) {
            let wanted = choose(&senders, worker);
            let next = wanted.map(|(child, pair)| Seat { child, spi: pair.outbound.spi() });
            if next == *seat {
                continue;
            }
            match (wanted, *seat) {
                (Some((_, pair)), _) => workers.install_outbound(worker, &pair.outbound),
                (None, Some(Seat { spi, .. })) => workers.remove_outbound(worker, tunnel, spi),
                (None, None) => {}
            }
            *seat = next;
        }
    }

    /// The outbound SA of a pair was made anew: whoever seals with it gets the new one.
    pub(super) fn renew(&self, child: ChildId, pair: &Pair, workers: &mut Workers) {
        let seats = self.of.get(&pair.tunnel).map_or(&[][..], |table| &table.seats);
        for (seat, worker) in seats.iter().zip(workers.ids()) {
            if seat.is_some_and(|seat| seat.child == child) {
                workers.install_outbound(worker, &pair.outbound);
            }
        }
    }
}

/// What a worker seals with: its own pair, else the one for all, else any, for packets must not be lost because the one for all is just gone.
fn choose<'p>(senders: &[(ChildId, &'p Pair)], worker: WorkerId) -> Option<(ChildId, &'p Pair)> {
    let of = |resource: Option<u16>| senders.iter().find(|(_, pair)| pair.resource == resource);
    of(Some(worker.0.into())).or_else(|| of(None)).or_else(|| senders.first()).copied()
}

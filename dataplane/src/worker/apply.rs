//! Commands of the control thread, applied between two bursts; whatever they replace goes back in the acknowledgement.

use std::net::IpAddr;
use std::sync::Arc;

use dpdk_sys::Mbuf;

use super::Worker;
use crate::forwarding::{Forwarding, InterfaceId, NextHop, is_link_local};
use crate::header::{ipv4, ipv6};
use crate::message::{Acknowledgement, Command, Replaced};
use crate::neighbour::Action;

/// Commands that one step applies: enough to keep up with control, few enough not to starve traffic.
const COMMANDS: usize = 64;

impl Worker {
    /// Applies what is in the ring; returns how many commands that were.
    pub(super) fn apply_commands(&mut self) -> usize {
        for done in 0..COMMANDS {
            let Some((id, command)) = self.cx.end.next_command() else { return done };
            let replaced = self.apply(command);
            self.cx.end.acknowledge(Acknowledgement { id, replaced });
        }
        COMMANDS
    }

    fn apply(&mut self, command: Command) -> Replaced {
        let tables = &mut self.tables;
        match command {
            Command::SetForwarding(forwarding) => {
                let old = std::mem::replace(&mut self.cx.forwarding, forwarding);
                tables.snapshot = tables.snapshot.wrapping_add(1);
                let new = Arc::clone(&self.cx.forwarding);
                let cx = &mut self.cx;
                // An identifier may stand for another network now: what waited for a neighbour there must not leave here.
                let is_same = |id| new.interface(id).is_some() && old.interface(id) == new.interface(id);
                tables.neighbours.retain(is_same, &mut |action| cx.act(action));
                // As little what goes another way now: into a tunnel, perhaps.
                let stays = |id, neighbour, packet: &Mbuf| {
                    old.circuit(id).is_some() == new.circuit(id).is_some()
                        && leads_to(&new, id, neighbour, packet.data())
                };
                tables.neighbours.sift(stays, &mut |action| cx.act(action));
                Replaced::Forwarding(old)
            }
            Command::InstallOutbound(sa) => {
                let place = usize::try_from(sa.tunnel().0).ok().and_then(|at| tables.outbound.get_mut(at));
                let tunnel = sa.tunnel();
                match place {
                    Some(place) => {
                        let old = place.replace(sa);
                        tables.snapshot = tables.snapshot.wrapping_add(u32::from(old.is_none()));
                        tables.note_keepalive(tunnel);
                        old.map_or(Replaced::Nothing, Replaced::Outbound)
                    }
                    None => Replaced::Refused(Command::InstallOutbound(sa)),
                }
            }
            Command::RemoveOutbound { tunnel, spi } => {
                let place = usize::try_from(tunnel.0).ok().and_then(|at| tables.outbound.get_mut(at));
                let sa = place.and_then(|place| place.take_if(|sa| sa.spi() == spi));
                tables.snapshot = tables.snapshot.wrapping_add(u32::from(sa.is_some()));
                tables.note_keepalive(tunnel);
                sa.map_or(Replaced::Nothing, Replaced::Outbound)
            }
            Command::InstallInbound(sa) => match tables.inbound.get_mut(sa.spi().slot().index()) {
                Some(place) => place.replace(sa).map_or(Replaced::Nothing, Replaced::Inbound),
                None => Replaced::Refused(Command::InstallInbound(sa)),
            },
            Command::RemoveInbound(spi) => {
                let place = tables.inbound.get_mut(spi.slot().index());
                let sa = place.and_then(|place| place.take_if(|sa| sa.spi() == spi));
                sa.map_or(Replaced::Nothing, Replaced::Inbound)
            }
            Command::SetRemote { spi, remote, in_udp } => {
                let sa = tables.inbound.get_mut(spi.slot().index()).and_then(Option::as_mut);
                if let Some(sa) = sa.filter(|sa| sa.spi() == spi) {
                    sa.set_remote(remote, in_udp);
                }
                Replaced::Nothing
            }
            Command::LearnNeighbour(neighbour) => {
                let cx = &mut self.cx;
                let now_us = cx.now_us;
                tables.neighbours.install(neighbour, now_us, &mut |action| cx.act(action));
                Replaced::Nothing
            }
            Command::Solicit { interface, address } => {
                self.cx.act(Action::Solicit { interface, target: address, probe: None });
                Replaced::Nothing
            }
            Command::TakeHistograms(fresh) => {
                Replaced::Histograms(std::mem::replace(&mut self.histograms, fresh))
            }
            Command::Barrier => Replaced::Nothing,
        }
    }
}

/// Whether the network of an interface sends an IP packet to that neighbour there.
fn leads_to(forwarding: &Forwarding, id: InterfaceId, neighbour: IpAddr, packet: &[u8]) -> bool {
    let (Some(destination), Some(interface)) = (destination(packet), forwarding.interface(id)) else {
        return false;
    };
    if is_link_local(destination) {
        return true; // means the link, whatever the routes are
    }
    match forwarding.route(interface.vrf, destination) {
        NextHop::Connected(on) => on == id && destination == neighbour,
        NextHop::Via(on, via) => on == id && via == neighbour,
        _ => false,
    }
}

fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => packet.first_chunk::<{ ipv4::HEADER_BYTES }>()?.last_chunk::<4>().copied().map(IpAddr::from),
        _ => packet.first_chunk::<{ ipv6::HEADER_BYTES }>()?.last_chunk::<16>().copied().map(IpAddr::from),
    }
}

//! ARP packets and neighbour discovery messages that arrive: what they teach, and the frame that answers them.

use std::net::IpAddr;

use super::frame::{FRAME_BYTES, write_arp, write_ndp};
use super::{Action, Neighbours, Proof};
use crate::counter::Counter;
use crate::forwarding::{Interface, InterfaceId};
use crate::header::arp::{Arp, Operation};
use crate::header::ethernet::Mac;
use crate::header::ipv6::Ipv6View;
use crate::header::ndp::{self, Advertisement, Message, Solicitation};
use crate::message::NeighbourEntry;

/// Where a frame came from.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// The interface on which it arrived.
    pub id: InterfaceId,
    /// The same interface.
    pub interface: &'a Interface,
    /// The frame's source.
    pub source_mac: Mac,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Send the first so many bytes of the frame on the same interface.
    Answer(usize),
    /// It was for us, and needs no answer.
    Consumed,
    /// ICMPv6, but not a neighbour solicitation or advertisement.
    NotNeighbour,
}

impl<P> Neighbours<P> {
    /// Takes an ARP packet (what follows the Ethernet header or VLAN tag). An answer is written to `out`.
    ///
    /// # Errors
    /// The drop reason: `ArpMalformed`; `ArpIgnored` if it concerns neither us nor a neighbour we know;
    /// `AddressConflict` if another station claims an address of ours (RFC 5227, 2.4).
    pub fn hear_arp(
        &mut self,
        link: Link<'_>,
        packet: &[u8],
        now_us: u64,
        out: &mut [u8; FRAME_BYTES],
        act: &mut impl FnMut(Action<P>),
    ) -> Result<Heard, Counter> {
        let Link { id, interface, .. } = link;
        let arp = Arp::new(packet)?;
        let (sender, target) = (IpAddr::V4(arp.sender), IpAddr::V4(arp.target));
        if arp.sender_mac == interface.mac {
            return Err(Counter::ArpIgnored); // our own broadcast, come back
        }
        if interface.owns(sender) {
            return Err(Counter::AddressConflict);
        }
        let is_for_us = interface.owns(target);
        let is_probe = arp.sender.is_unspecified(); // RFC 5227, 2.1.1: answered, never learned from
        if !is_probe {
            if !is_neighbour(interface, sender) {
                return Err(Counter::ArpIgnored);
            }
            let neighbour = NeighbourEntry { interface: id, address: sender, mac: arp.sender_mac };
            let proof = match arp.operation {
                Operation::Reply if is_for_us && arp.target_mac == interface.mac => {
                    Proof::Answered { overrides: true }
                }
                Operation::Request if is_for_us => Proof::Asked,
                _ => Proof::Announced { overrides: true },
            };
            self.hear(neighbour, proof, now_us, act);
        }
        match arp.operation {
            Operation::Request if is_for_us => {
                let answer = Arp {
                    operation: Operation::Reply,
                    sender_mac: interface.mac,
                    sender: arp.target,
                    target_mac: arp.sender_mac,
                    target: arp.sender,
                };
                Ok(Heard::Answer(write_arp(interface, arp.sender_mac, &answer, out)))
            }
            Operation::Reply if is_for_us => Ok(Heard::Consumed),
            _ => Err(Counter::ArpIgnored),
        }
    }

    /// Takes an ICMPv6 packet. An answer to a solicitation is written to `out`.
    ///
    /// # Errors
    /// The drop reason: `IcmpMalformed`, `NdMalformed`; `NdIgnored` if it does not concern us;
    /// `AddressConflict` if another station claims an address of ours (RFC 4862, 5.4.4).
    pub fn hear_ndp(
        &mut self,
        link: Link<'_>,
        packet: &Ipv6View<'_>,
        now_us: u64,
        out: &mut [u8; FRAME_BYTES],
        act: &mut impl FnMut(Action<P>),
    ) -> Result<Heard, Counter> {
        match Message::new(packet)? {
            None => Ok(Heard::NotNeighbour),
            Some(Message::Solicitation(question)) => {
                self.hear_solicitation(link, &question, now_us, act)?;
                Ok(Heard::Answer(answer(link, &question, out)))
            }
            Some(Message::Advertisement(answer)) => {
                self.hear_advertisement(link, &answer, now_us, act)?;
                Ok(Heard::Consumed)
            }
        }
    }

    /// RFC 4861, 7.2.3.
    fn hear_solicitation(
        &mut self,
        link: Link<'_>,
        question: &Solicitation,
        now_us: u64,
        act: &mut impl FnMut(Action<P>),
    ) -> Result<(), Counter> {
        let Link { id, interface, .. } = link;
        let source = IpAddr::V6(question.source);
        if !interface.owns(question.target.into()) || question.source_mac == Some(interface.mac) {
            return Err(Counter::NdIgnored);
        }
        if interface.owns(source) {
            return Err(Counter::AddressConflict);
        }
        if question.source.is_unspecified() {
            return Ok(());
        }
        if !is_neighbour(interface, source) {
            return Err(Counter::NdIgnored);
        }
        if let Some(mac) = question.source_mac {
            let neighbour = NeighbourEntry { interface: id, address: source, mac };
            self.hear(neighbour, Proof::Asked, now_us, act);
        }
        Ok(())
    }

    /// RFC 4861, 7.2.5.
    fn hear_advertisement(
        &mut self,
        link: Link<'_>,
        answer: &Advertisement,
        now_us: u64,
        act: &mut impl FnMut(Action<P>),
    ) -> Result<(), Counter> {
        let Link { id, interface, .. } = link;
        let address = IpAddr::V6(answer.target);
        if answer.target_mac == Some(interface.mac) {
            return Err(Counter::NdIgnored); // our own multicast, come back
        }
        if interface.owns(address) {
            return Err(Counter::AddressConflict);
        }
        if !is_neighbour(interface, address) {
            return Err(Counter::NdIgnored);
        }
        // Without a MAC address it can only confirm the one that we know.
        let Some(mac) = answer.target_mac.or_else(|| self.known_mac(id, address)) else {
            return Err(Counter::NdIgnored);
        };
        let neighbour = NeighbourEntry { interface: id, address, mac };
        let overrides = answer.overrides;
        let proof =
            if answer.solicited { Proof::Answered { overrides } } else { Proof::Announced { overrides } };
        self.hear(neighbour, proof, now_us, act);
        Ok(())
    }
}

/// The advertisement that answers a valid question for one of our addresses (RFC 4861, 7.2.4): to all if the sender has no
/// address yet (RFC 4862, 5.4.3).
fn answer(link: Link<'_>, question: &Solicitation, out: &mut [u8; FRAME_BYTES]) -> usize {
    let Link { interface, source_mac, .. } = link;
    let is_probe = question.source.is_unspecified();
    let destination = if is_probe { ndp::ALL_NODES } else { question.source };
    let answer = Advertisement {
        source: question.target,
        destination,
        target: question.target,
        target_mac: Some(interface.mac),
        router: true,
        solicited: !is_probe,
        overrides: true,
    };
    let mac = if is_probe {
        Mac::of_multicast_v6(ndp::ALL_NODES)
    } else {
        question.source_mac.unwrap_or(source_mac)
    };
    write_ndp(interface, mac, |packet| answer.write(packet), out)
}

/// Whether an address may be learned on an interface: a host in one of its prefixes.
fn is_neighbour(interface: &Interface, address: IpAddr) -> bool {
    interface.is_on_link(address) && !address.is_unspecified() && !address.is_multicast()
}

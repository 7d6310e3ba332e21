//! ARP for IPv4 over Ethernet (RFC 826).

use std::net::Ipv4Addr;

use super::be16;
use super::ethernet::{EtherType, Mac};
use crate::counter::Counter;

/// Length of a packet in bytes.
pub const PACKET_BYTES: usize = 28;

const HARDWARE_ETHERNET: u16 = 1;

/// Question or answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has it.
    Reply,
}

/// A whole packet: small and fixed, hence the same value for reading and for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Question or answer.
    pub operation: Operation,
    /// The sender's MAC address.
    pub sender_mac: Mac,
    /// The sender's address; 0.0.0.0 in a probe (RFC 5227, 2.1.1).
    pub sender: Ipv4Addr,
    /// The target's MAC address; zero in a request.
    pub target_mac: Mac,
    /// The target's address.
    pub target: Ipv4Addr,
}

impl Arp {
    /// Reads what follows an Ethernet header; padding is ignored.
    ///
    /// # Errors
    /// The drop reason: `ArpMalformed` for short packets, other hardware, protocols or operations, and senders with a
    /// group or zero MAC address.
    pub fn new(bytes: &[u8]) -> Result<Self, Counter> {
        let packet: &[u8; PACKET_BYTES] = bytes.first_chunk().ok_or(Counter::ArpMalformed)?;
        if be16(packet, 0) != HARDWARE_ETHERNET
            || be16(packet, 2) != EtherType::IPV4.0
            || packet[4..6] != [6, 4]
        {
            return Err(Counter::ArpMalformed);
        }
        let operation = match be16(packet, 6) {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return Err(Counter::ArpMalformed),
        };
        let mac = |at: usize| Mac(std::array::from_fn(|i| packet[at + i]));
        let address = |at: usize| Ipv4Addr::from(std::array::from_fn::<u8, 4, _>(|i| packet[at + i]));
        if !mac(8).is_unicast() {
            return Err(Counter::ArpMalformed);
        }
        Ok(Self {
            operation,
            sender_mac: mac(8),
            sender: address(14),
            target_mac: mac(18),
            target: address(24),
        })
    }

    /// Fills the packet.
    pub fn write(&self, out: &mut [u8; PACKET_BYTES]) {
        out[..2].copy_from_slice(&HARDWARE_ETHERNET.to_be_bytes());
        out[2..4].copy_from_slice(&EtherType::IPV4.0.to_be_bytes());
        out[4..6].copy_from_slice(&[6, 4]);
        out[6] = 0;
        out[7] = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        out[8..14].copy_from_slice(&self.sender_mac.0);
        out[14..18].copy_from_slice(&self.sender.octets());
        out[18..24].copy_from_slice(&self.target_mac.0);
        out[24..].copy_from_slice(&self.target.octets());
    }
}

//! Packets built from scratch, with checksums by a slow sum of its own.

use std::net::{IpAddr, Ipv4Addr};

use crate::header::Protocol;

/// RFC 1071, 1, word by word.
fn checksum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let words =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from));
    let sum = words.fold(0, |sum, word| (sum + word) % 0x1_0000 + (sum + word) / 0x1_0000);
    !u16::try_from(sum).expect("carried")
}

/// A packet to be built.
#[derive(Clone, Debug)]
pub(in crate::nat) struct Packet {
    pub(in crate::nat) source: IpAddr,
    pub(in crate::nat) destination: IpAddr,
    pub(in crate::nat) protocol: Protocol,
    /// Header and payload, whatever stands in place of the checksum.
    pub(in crate::nat) upper: Vec<u8>,
    /// UDP without a checksum.
    pub(in crate::nat) without_checksum: bool,
    /// A fragment of it: from here, so many units of eight bytes.
    pub(in crate::nat) piece: Option<(usize, usize)>,
}

impl Packet {
    fn octets(&self) -> (Vec<u8>, Vec<u8>) {
        let octets = |address| match address {
            IpAddr::V4(address) => Ipv4Addr::octets(&address).to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        (octets(self.source), octets(self.destination))
    }

    /// The upper layer with its checksum.
    fn upper(&self) -> Vec<u8> {
        let mut upper = self.upper.clone();
        let (source, destination) = self.octets();
        let length = u32::try_from(upper.len()).expect("short").to_be_bytes();
        let pseudo = [&source[..], &destination, &length, &[0, 0, 0, self.protocol.0]].concat();
        let (at, covered) = match self.protocol {
            Protocol::TCP => (16, pseudo),
            Protocol::UDP | Protocol::UDP_LITE | Protocol::DCCP => (6, pseudo),
            Protocol::ICMPV6 => (2, pseudo),
            Protocol::ICMP => (2, Vec::new()),
            _ => return upper,
        };
        upper[at..at + 2].fill(0);
        let mut sum = checksum(&[&covered, &upper]);
        if matches!(self.protocol, Protocol::UDP | Protocol::UDP_LITE) {
            sum = match sum {
                _ if self.without_checksum => 0,
                0 => u16::MAX,
                sum => sum,
            };
        }
        upper[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        upper
    }

    /// The packet.
    pub(in crate::nat) fn bytes(&self) -> Vec<u8> {
        self.identified(7)
    }

    /// The packet, in IPv4 with this identification.
    pub(in crate::nat) fn identified(&self, id: u16) -> Vec<u8> {
        let whole = self.upper();
        let (first, upper, more) = match self.piece {
            None => (0, whole, false),
            Some((first, units)) => {
                let from = (first * 8).min(whole.len());
                let to = (from + units * 8).min(whole.len());
                (first, whole[from..to].to_vec(), to < whole.len())
            }
        };
        let first = u16::try_from(first).expect("short");
        let (source, destination) = self.octets();
        if self.source.is_ipv4() {
            let total = u16::try_from(20 + upper.len()).expect("short").to_be_bytes();
            let piece = (first | if more { 0x2000 } else { 0 }).to_be_bytes();
            let id = id.to_be_bytes();
            let mut head = vec![
                0x45,
                0,
                total[0],
                total[1],
                id[0],
                id[1],
                piece[0],
                piece[1],
                61,
                self.protocol.0,
                0,
                0,
            ];
            head.extend([source, destination].concat());
            let sum = checksum(&[&head]).to_be_bytes();
            head[10..12].copy_from_slice(&sum);
            return [head, upper].concat();
        }
        let mut rest = Vec::new();
        let mut next = self.protocol.0;
        if self.piece.is_some() {
            let piece = ((first * 8) | u16::from(more)).to_be_bytes();
            rest.extend([next, 0, piece[0], piece[1], 0, 0, 0, 9]);
            next = Protocol::FRAGMENT.0;
        }
        rest.extend(upper);
        let bytes = u16::try_from(rest.len()).expect("short").to_be_bytes();
        let head = vec![0x60, 0, 0, 0, bytes[0], bytes[1], next, 61];
        [head, source, destination, rest].concat()
    }

    /// The same between other hosts.
    pub(in crate::nat) fn between(&self, source: IpAddr, destination: IpAddr) -> Self {
        Self { source, destination, ..self.clone() }
    }
}

/// A header of a protocol, and a payload.
pub(in crate::nat) fn upper(protocol: Protocol, payload: &[u8]) -> Vec<u8> {
    let head: &[u8] = match protocol {
        Protocol::TCP => &[0x12, 0x34, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x18, 0x20, 0, 0, 0, 0, 0],
        Protocol::UDP | Protocol::UDP_LITE => &[0x12, 0x34, 0, 53, 0, 8, 0, 0],
        Protocol::DCCP => &[0x12, 0x34, 0, 53, 3, 0, 0, 0, 1, 2, 3, 4],
        Protocol::ICMP => &[8, 0, 0, 0, 0, 1, 0, 2],
        Protocol::ICMPV6 => &[128, 0, 0, 0, 0, 1, 0, 2],
        _ => &[],
    };
    [head, payload].concat()
}

//! Cuts an IPv4 packet into fragments (RFC 791, 3.2): what a router does with packets that are too big and may be cut. Written
//! here and not left to `rte_ip_frag`, whose fragments are chains of mbufs, while ESP wants each in one segment.

use crate::header::be16;
use crate::header::ipv4::{HEADER_BYTES, Ipv4View, write_checksum};

const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;
const MAXIMUM_HEADER_BYTES: usize = 60;
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
/// Options with this bit go into every fragment.
const OPTION_COPIED: u8 = 0x80;

/// A header of up to 60 bytes.
#[derive(Clone, Copy, Debug)]
struct Header {
    bytes: [u8; MAXIMUM_HEADER_BYTES],
    length: usize,
}

/// The fragments of a packet, in order.
#[derive(Clone, Debug)]
pub struct Fragments<'a> {
    /// Header of the next fragment, but for length, offset and checksum.
    header: Header,
    later: Header,
    /// Offset field of the whole packet, in units of eight bytes: it may be a fragment itself.
    offset: u16,
    more: bool,
    rest: &'a [u8],
    mtu_bytes: usize,
}

/// One fragment: a header and a part of the packet's payload, to be written one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    header: Header,
    payload: &'a [u8],
}

impl<'a> Fragments<'a> {
    /// The fragments of a packet, none longer than `mtu_bytes`. None if the packet must not be cut, or the
    /// MTU is below the 68 bytes that every link carries.
    #[must_use]
    pub fn new(packet: &Ipv4View<'a>, mtu_bytes: u16) -> Option<Self> {
        if packet.dont_fragment() || mtu_bytes < crate::header::ipv4::MINIMUM_MTU_BYTES {
            return None;
        }
        let mut header = Header { bytes: [0; MAXIMUM_HEADER_BYTES], length: packet.header_bytes() };
        header.bytes[..header.length].copy_from_slice(&packet.packet()[..header.length]);
        Some(Self {
            header,
            later: header.for_later_fragments(),
            offset: u16::try_from(packet.fragment_offset_bytes() / 8).ok()?,
            more: packet.more_fragments(),
            rest: packet.payload(),
            mtu_bytes: usize::from(mtu_bytes),
        })
    }
}

impl<'a> Iterator for Fragments<'a> {
    type Item = Fragment<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let room = self.mtu_bytes - self.header.length;
        let is_last = self.rest.len() <= room;
        let (payload, rest) = self.rest.split_at(if is_last { self.rest.len() } else { room & !7 });
        let mut header = self.header;
        let flags = if is_last && !self.more { 0 } else { MORE_FRAGMENTS };
        let total = u16::try_from(header.length + payload.len()).ok()?;
        header.bytes[2..4].copy_from_slice(&total.to_be_bytes());
        header.bytes[6..8].copy_from_slice(&(flags | self.offset & OFFSET).to_be_bytes());
        write_checksum(&mut header.bytes[..header.length]);
        self.offset += u16::try_from(payload.len() / 8).ok()?;
        self.rest = rest;
        self.header = self.later;
        Some(Fragment { header, payload })
    }
}

impl Header {
    /// Only options with the copied bit go into fragments other than the first (RFC 791, 3.1).
    fn for_later_fragments(&self) -> Self {
        let mut later = Self { bytes: [OPTION_END; MAXIMUM_HEADER_BYTES], length: HEADER_BYTES };
        later.bytes[..HEADER_BYTES].copy_from_slice(&self.bytes[..HEADER_BYTES]);
        let mut options = &self.bytes[HEADER_BYTES..self.length];
        while let [kind, rest @ ..] = options {
            let length = match *kind {
                OPTION_END => break,
                OPTION_NOP => 1,
                _ => rest.first().map_or(0, |length| usize::from(*length)),
            };
            let Some((option, behind)) = options.split_at_checked(length.max(1)) else { break };
            if kind & OPTION_COPIED != 0 {
                later.bytes[later.length..later.length + option.len()].copy_from_slice(option);
                later.length += option.len();
            }
            options = behind;
        }
        later.length = later.length.next_multiple_of(4);
        // At most 15 words.
        later.bytes[0] = 0x40 | u8::try_from(later.length / 4).unwrap_or(15);
        later
    }
}

impl Fragment<'_> {
    /// Length in bytes.
    #[must_use]
    pub fn total_bytes(&self) -> u16 {
        be16(&self.header.bytes, 2)
    }

    /// Fills exactly [`Fragment::total_bytes`] bytes; false if `out` has another length, and nothing was written.
    #[must_use]
    pub fn write(&self, out: &mut [u8]) -> bool {
        if out.len() != usize::from(self.total_bytes()) {
            return false;
        }
        let (header, payload) = out.split_at_mut(self.header.length);
        header.copy_from_slice(&self.header.bytes[..self.header.length]);
        payload.copy_from_slice(self.payload);
        true
    }
}

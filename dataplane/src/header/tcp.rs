//! TCP (RFC 9293, 3.1), as far as a router looks at it: ports, flags and the MSS option.

use super::{be16, be32};

/// Length of a header without options, in bytes.
pub const HEADER_BYTES: usize = 20;

const FLAG_SYN: u8 = 0x02;
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_MSS: u8 = 2;

/// A received segment.
#[derive(Clone, Copy, Debug)]
pub struct TcpView<'a> {
    head: &'a [u8; HEADER_BYTES],
    segment: &'a [u8],
}

impl<'a> TcpView<'a> {
    /// Checks the header's length; none if it does not fit. That is no reason for a router to drop: it is the receiver's matter.
    #[must_use]
    pub fn new(segment: &'a [u8]) -> Option<Self> {
        let head: &[u8; HEADER_BYTES] = segment.first_chunk()?;
        let view = Self { head, segment };
        (HEADER_BYTES..=segment.len()).contains(&view.header_bytes()).then_some(view)
    }

    /// Header with options, in bytes: 20 to 60.
    #[must_use]
    pub fn header_bytes(&self) -> usize {
        usize::from(self.head[12] >> 4) * 4
    }

    /// From which port.
    #[must_use]
    pub fn source_port(&self) -> u16 {
        be16(self.head, 0)
    }

    /// To which port.
    #[must_use]
    pub fn destination_port(&self) -> u16 {
        be16(self.head, 2)
    }

    /// Sequence number.
    #[must_use]
    pub fn sequence(&self) -> u32 {
        be32(self.head, 4)
    }

    /// Whether the segment opens a connection (SYN, with or without ACK): only those may carry an MSS.
    #[must_use]
    pub fn is_syn(&self) -> bool {
        self.head[13] & FLAG_SYN != 0
    }

    /// The checksum field.
    #[must_use]
    pub fn checksum(&self) -> u16 {
        be16(self.head, 16)
    }

    /// Where the MSS option's two-byte value stands in the segment (RFC 9293, 3.7.1), and the value in bytes. None without that
    /// option or behind a malformed one.
    #[must_use]
    pub fn mss(&self) -> Option<(usize, u16)> {
        let mut at = HEADER_BYTES;
        let options = &self.segment[..self.header_bytes()];
        loop {
            match *options.get(at)? {
                OPTION_END => return None,
                OPTION_NOP => at += 1,
                kind => {
                    let length = usize::from(*options.get(at + 1)?);
                    let option = options.get(at..at + length)?;
                    match (kind, option) {
                        (OPTION_MSS, [_, _, high, low]) => {
                            return Some((at + 2, u16::from_be_bytes([*high, *low])));
                        }
                        (_, [_, _, ..]) => at += length,
                        _ => return None, // a length below 2 would never end
                    }
                }
            }
        }
    }

    /// What follows the header.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.segment[self.header_bytes()..]
    }
}

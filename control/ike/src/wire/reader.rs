//! The one way bytes from the network are read: forward, bounds checked, every length field only makes a sub-reader.
//!
//! Used by the parsers of [`super`] only. A reader knows its place (what is being read) and its offset from the start of
//! the message, so that an error says where.

use thiserror::Error;

/// What is wrong with a message, and where: the sender's fault (RFC 7296, 2.21.1: INVALID_SYNTAX, once authenticated).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{place} at byte {offset}: {fault}")]
pub struct Malformed {
    /// The part being read, in the RFC's words.
    pub place: &'static str,
    /// Bytes from the start of the message, or of the decrypted content.
    pub offset: usize,
    /// What was found there.
    pub fault: Fault,
}

/// The kinds of damage a parser tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// Fewer bytes than the field needs.
    #[error("{needed} bytes needed, {left} left")]
    Truncated {
        /// Bytes the next field takes.
        needed: usize,
        /// Bytes there are.
        left: usize,
    },
    /// Bytes that no field accounts for.
    #[error("{bytes} bytes left over")]
    LeftOver {
        /// How many.
        bytes: usize,
    },
    /// A length or count field that its own structure contradicts.
    #[error("length field says {value}, which is impossible here")]
    Length {
        /// The field's value.
        value: usize,
    },
    /// More elements than anybody needs; the limit bounds what a hostile message can cost.
    #[error("more than {limit} of them")]
    TooMany {
        /// How many are read.
        limit: usize,
    },
    /// A value that the RFC forbids at this place.
    #[error("forbidden value {value}")]
    Value {
        /// What was found.
        value: u32,
    },
    /// Another major version than 2 (RFC 7296, 2.5: INVALID_MAJOR_VERSION).
    #[error("major version {major} instead of 2")]
    Version {
        /// The sender's major version.
        major: u8,
    },
}

/// A cursor over bytes from the network.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
    place: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start; `place` names them in errors.
    pub fn new(bytes: &'a [u8], place: &'static str) -> Self {
        Self { bytes, offset: 0, place }
    }

    /// Bytes not yet read.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// Whether all bytes are read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// An error at the current offset.
    pub fn fail(&self, fault: Fault) -> Malformed {
        Malformed { place: self.place, offset: self.offset, fault }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Fault::Truncated`] when fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(count)
            .ok_or_else(|| self.fail(Fault::Truncated { needed: count, left: self.bytes.len() }))?;
        self.bytes = rest;
        self.offset += count;
        Ok(taken)
    }

    /// A reader over the next `count` bytes alone, which this one skips. The only use of a length field.
    ///
    /// # Errors
    /// [`Fault::Truncated`] when fewer are left.
    pub fn sub(&mut self, count: usize, place: &'static str) -> Result<Reader<'a>, Malformed> {
        let offset = self.offset;
        Ok(Reader { bytes: self.take(count)?, offset, place })
    }

    /// A reader over a structure whose length field counts its own `head` bytes, which are already read.
    ///
    /// # Errors
    /// [`Fault::Length`] when the length is shorter than the head, [`Fault::Truncated`] when it runs past the end.
    pub fn sub_after_head(
        &mut self,
        length: u16,
        head: usize,
        place: &'static str,
    ) -> Result<Reader<'a>, Malformed> {
        let length = usize::from(length);
        let body = length
            .checked_sub(head)
            .ok_or(Malformed { place, ..self.fail(Fault::Length { value: length }) })?;
        self.sub(body, place)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`Fault::Truncated`] when fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// The next byte.
    ///
    /// # Errors
    /// [`Fault::Truncated`] at the end.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    /// The next two bytes, a number in network order.
    ///
    /// # Errors
    /// [`Fault::Truncated`] when fewer are left.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// The next four bytes, a number in network order.
    ///
    /// # Errors
    /// [`Fault::Truncated`] when fewer are left.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// The next eight bytes, a number in network order.
    ///
    /// # Errors
    /// [`Fault::Truncated`] when fewer are left.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = std::mem::take(&mut self.bytes);
        self.offset += rest.len();
        rest
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Fault::LeftOver`] when bytes remain.
    pub fn finish(self) -> Result<(), Malformed> {
        match self.bytes.len() {
            0 => Ok(()),
            bytes => Err(self.fail(Fault::LeftOver { bytes })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_place_and_offset() {
        let mut reader = Reader::new(&[0, 1, 2, 3], "outer");
        reader.u8().unwrap();
        let mut inner = reader.sub(2, "inner").unwrap();
        inner.u8().unwrap();
        assert_eq!(inner.u16().unwrap_err().to_string(), "inner at byte 2: 2 bytes needed, 1 left");
        assert_eq!(inner.finish().unwrap_err().to_string(), "inner at byte 2: 1 bytes left over");
        assert_eq!(reader.left(), 1);
    }

    #[test]
    fn length_shorter_than_its_own_head_is_refused() {
        let mut reader = Reader::new(&[0; 8], "payload");
        assert_eq!(reader.sub_after_head(3, 4, "notify").unwrap_err().fault, Fault::Length { value: 3 });
        assert_eq!(reader.sub_after_head(4, 4, "notify").unwrap().left(), 0);
    }
}

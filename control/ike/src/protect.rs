//! Protected messages: the SK payload (RFC 7296, 3.14; RFC 5282) and its fragments, SKF (RFC 7383).
//!
//! [`Sealer`] protects what we send, [`Opener`] opens what the peer sends, [`Reassembler`] puts fragments together. All
//! three are bounded: a peer that is authenticated may still be hostile, one that is not changes nothing here.

use thiserror::Error;

use crate::crypto::cipher::{NotAuthentic, unpad};
use crate::crypto::keys::MessageKeys;
use crate::crypto::suite::IkeCipher;
use crate::wire::{
    self, EncryptedFragment, HEADER_BYTES, Header, Malformed, Message, Payload, PayloadType, TooLong,
};

mod fragment;

pub use fragment::{FragmentError, MAX_FRAGMENTS, Reassembler};

/// Bytes of the generic payload header before SK's body; SKF has four more for number and total.
const SK_HEAD_BYTES: usize = 4;
const SKF_HEAD_BYTES: usize = 8;

/// Seals the messages of one direction. Not `Clone`: two with one key would use an IV twice.
#[derive(Debug)]
pub struct Sealer {
    cipher: IkeCipher,
    keys: MessageKeys,
    next_iv: u64,
}

/// Opens the messages of one direction.
#[derive(Debug)]
pub struct Opener {
    cipher: IkeCipher,
    keys: MessageKeys,
}

/// What an authentic datagram held.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened {
    /// A whole message, with the payloads that were inside SK.
    Message(Message),
    /// One fragment, for [`Reassembler::push`].
    Fragment(Fragment),
}

/// One authentic fragment, decrypted.
#[derive(Clone, PartialEq, Eq)]
pub struct Fragment {
    pub(crate) header: Header,
    pub(crate) first: PayloadType,
    pub(crate) number: u16,
    pub(crate) total: u16,
    pub(crate) content: Vec<u8>,
}

/// Why a protected datagram was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The outer structure is damaged; nothing was authenticated: drop it.
    #[error("malformed: {0}")]
    Malformed(Malformed),
    /// No SK or SKF payload at the end; nothing was authenticated: drop it.
    #[error("the message is not protected")]
    NotProtected,
    /// Forged, damaged or under other keys: drop it.
    #[error("the integrity check failed")]
    NotAuthentic,
    /// The peer sent it, and what is inside is damaged: INVALID_SYNTAX (RFC 7296, 2.21.2).
    #[error("malformed inside: {0}")]
    MalformedInside(Malformed),
}

impl Sealer {
    /// Takes over the keys of what we send.
    pub fn new(cipher: IkeCipher, keys: MessageKeys) -> Self {
        Self { cipher, keys, next_iv: 0 }
    }

    /// Seals `message` into one datagram. `random` gives the IV of AES-CBC, which must not be predictable; AES-GCM's is
    /// a counter. Send the same bytes again when it must be repeated.
    ///
    /// # Errors
    /// [`TooLong`] when it does not fit.
    pub fn seal(&mut self, message: &Message, random: &mut dyn FnMut(&mut [u8])) -> Result<Vec<u8>, TooLong> {
        let content = content(message)?;
        let first = message.payloads.first().map_or(PayloadType::NONE, Payload::kind);
        self.seal_content(&message.header, first, &content, random)
    }

    /// Seals what need be no payloads.
    pub(crate) fn seal_content(
        &mut self,
        header: &Header,
        first: PayloadType,
        content: &[u8],
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<u8>, TooLong> {
        self.seal_part(header, (PayloadType::SK, first, &[]), content, random)
    }

    /// Seals `message` into datagrams of at most `datagram_bytes` each (IKE header included, UDP and IP excluded): one
    /// with SK when it fits, otherwise fragments (RFC 7383, 2.5). For peers that announced IKEV2_FRAGMENTATION_SUPPORTED.
    ///
    /// # Errors
    /// [`TooLong`] when more than [`MAX_FRAGMENTS`] were needed, or `datagram_bytes` has no room for content.
    pub fn seal_fragments(
        &mut self,
        message: &Message,
        datagram_bytes: usize,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<Vec<u8>>, TooLong> {
        let content = content(message)?;
        let overhead = self.cipher.iv_bytes() + self.cipher.icv_bytes();
        if HEADER_BYTES + SK_HEAD_BYTES + overhead + self.cipher.padded_bytes(content.len()) <= datagram_bytes
        {
            return Ok(vec![self.seal(message, random)?]);
        }
        let room = datagram_bytes.saturating_sub(HEADER_BYTES + SKF_HEAD_BYTES + overhead);
        let each = self.room_for_content(room).ok_or(TooLong { what: "fragment" })?;
        let total = u16::try_from(content.len().div_ceil(each)).unwrap_or(u16::MAX);
        if total > MAX_FRAGMENTS {
            return Err(TooLong { what: "list of fragments" });
        }
        let first = message.payloads.first().map_or(PayloadType::NONE, Payload::kind);
        (1..=total)
            .zip(content.chunks(each))
            .map(|(number, part)| {
                let first = if number == 1 { first } else { PayloadType::NONE };
                let [n1, n2] = number.to_be_bytes();
                let [t1, t2] = total.to_be_bytes();
                self.seal_part(&message.header, (PayloadType::SKF, first, &[n1, n2, t1, t2]), part, random)
            })
            .collect()
    }

    /// The most content whose padded form fits `room` bytes.
    fn room_for_content(&self, room: usize) -> Option<usize> {
        let slack = self.cipher.padded_bytes(0); // 1 byte, or a block
        let whole = if slack == 1 { room } else { room - room % slack };
        whole.checked_sub(1).filter(|content| *content > 0)
    }

    /// One datagram: header, generic payload header, `front`, IV, padded content, integrity value.
    fn seal_part(
        &mut self,
        header: &Header,
        (kind, first, front): (PayloadType, PayloadType, &[u8]),
        content: &[u8],
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Vec<u8>, TooLong> {
        let padded = self.cipher.padded_bytes(content.len());
        let body = front.len() + self.cipher.iv_bytes() + padded + self.cipher.icv_bytes();
        let length = u16::try_from(SK_HEAD_BYTES + body).map_err(|_| TooLong { what: "payload" })?;
        let mut out = wire::start(header, kind, SK_HEAD_BYTES + body)?;
        out.extend_from_slice(&[first.0, 0]);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(front);
        let head_bytes = out.len();
        self.put_iv(&mut out, random);
        out.extend_from_slice(content);
        let pad = u8::try_from(padded - content.len() - 1).expect("padding is shorter than a block");
        out.extend(std::iter::repeat_n(0, usize::from(pad)));
        out.push(pad);
        self.cipher.seal(&self.keys, &mut out, head_bytes);
        Ok(out)
    }

    fn put_iv(&mut self, out: &mut Vec<u8>, random: &mut dyn FnMut(&mut [u8])) {
        if self.cipher.has_counter_iv() {
            out.extend_from_slice(&self.next_iv.to_be_bytes());
            self.next_iv = self.next_iv.checked_add(1).expect("message IDs end long before 2^64 IVs");
        } else {
            let from = out.len();
            out.resize(from + self.cipher.iv_bytes(), 0);
            random(&mut out[from..]);
        }
    }
}

/// What IKE_INTERMEDIATE covers of a message (RFC 9242, 3.3.2): the header and SK's own header as if nothing but the payloads were in it, then the payloads.
pub(crate) fn intermediate_octets(message: &Message) -> Result<zeroize::Zeroizing<Vec<u8>>, TooLong> {
    let content = content(message)?;
    let first = message.payloads.first().map_or(PayloadType::NONE, Payload::kind);
    let length = u16::try_from(SK_HEAD_BYTES + content.len()).map_err(|_| TooLong { what: "payload" })?;
    let mut octets =
        zeroize::Zeroizing::new(wire::start(&message.header, PayloadType::SK, usize::from(length))?);
    octets.extend_from_slice(&[first.0, 0]);
    octets.extend_from_slice(&length.to_be_bytes());
    octets.extend_from_slice(&content);
    Ok(octets)
}

/// All payloads of `message`, as they are encrypted.
fn content(message: &Message) -> Result<zeroize::Zeroizing<Vec<u8>>, TooLong> {
    let mut content = zeroize::Zeroizing::new(Vec::new());
    wire::write_payloads(&mut content, &message.payloads)?;
    Ok(content)
}

impl Opener {
    /// Takes over the keys of what the peer sends.
    pub fn new(cipher: IkeCipher, keys: MessageKeys) -> Self {
        Self { cipher, keys }
    }

    /// Opens a datagram whose last payload is SK or SKF. Payloads before it are covered by the integrity check, but no
    /// exchange has a use for them: they are left out.
    ///
    /// # Errors
    /// [`OpenError`]; only [`OpenError::MalformedInside`] comes from the peer for certain.
    pub fn open(&self, datagram: &[u8]) -> Result<Opened, OpenError> {
        let outer = Message::parse(datagram).map_err(OpenError::Malformed)?;
        let header = outer.header;
        match outer.payloads.last() {
            Some(Payload::Encrypted(sealed)) => {
                let content = self.content(datagram, &sealed.body)?;
                let payloads = wire::inner(sealed.first, &content).map_err(OpenError::MalformedInside)?;
                Ok(Opened::Message(Message { header, payloads }))
            }
            Some(Payload::EncryptedFragment(EncryptedFragment { first, number, total, body })) => {
                let content = self.content(datagram, body)?;
                let (first, number, total) = (*first, *number, *total);
                Ok(Opened::Fragment(Fragment { header, first, number, total, content }))
            }
            _ => Err(OpenError::NotProtected),
        }
    }

    /// What is inside a datagram that is no fragment, and the type of the first payload.
    pub(crate) fn open_content(&self, datagram: &[u8]) -> Option<(PayloadType, Vec<u8>)> {
        match Message::parse(datagram).ok()?.payloads.last() {
            Some(Payload::Encrypted(sealed)) => {
                Some((sealed.first, self.content(datagram, &sealed.body).ok()?))
            }
            _ => None,
        }
    }

    /// The sealed body ends the datagram; all that precedes it is covered.
    fn content(&self, datagram: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let head = datagram.get(..datagram.len() - sealed.len()).ok_or(OpenError::NotAuthentic)?;
        let mut content =
            self.cipher.open(&self.keys, head, sealed).map_err(|NotAuthentic| OpenError::NotAuthentic)?;
        unpad(&mut content).map_err(|NotAuthentic| OpenError::NotAuthentic)?;
        Ok(content)
    }
}

impl std::fmt::Debug for Fragment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fragment({} of {}, {} bytes)", self.number, self.total, self.content.len())
    }
}

#[cfg(test)]
mod tests;

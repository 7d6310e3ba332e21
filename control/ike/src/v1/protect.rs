//! Encryption of IKEv1 messages (RFC 2408, 3.1; RFC 2409, 5 and B): CBC over everything behind the header, whose IV is the last block of the message before
//! in the same exchange. Nothing but the HASH payload inside says that a message is authentic: a content that was opened proves nothing yet.

use std::ops::Range;

use super::keys::{self, Keys};
use super::wire::{self, Chain, ExchangeType, HEADER_BYTES, Header, Payload, PayloadType};
use crate::crypto::keys::IkeSpis;
use crate::crypto::prf::Prf;
use crate::crypto::suite::{IkeCipher, IkeSuite};
use crate::event::{Path, Role};
use crate::secret::Secret;
use crate::wire::IkeSpi;

/// Content of a message that could be decrypted and read.
pub(super) struct Opened {
    content: Vec<u8>,
    chain: Chain,
    /// The IV of what follows.
    pub(super) last_block: Vec<u8>,
}

/// Encrypts payloads; `iv` becomes that of what follows.
pub(super) fn seal(
    cipher: IkeCipher,
    key: &Secret<Vec<u8>>,
    iv: &mut Vec<u8>,
    header: Header,
    payloads: &[Payload],
) -> Vec<u8> {
    let mut content = wire::write_chain(payloads).expect("our own payloads fit their length fields");
    content.resize(content.len().next_multiple_of(cipher.iv_bytes()), 0);
    cipher.encrypt_blocks(key.expose(), iv, &mut content);
    *iv = content[content.len() - cipher.iv_bytes()..].to_vec();
    let first = payloads.first().map_or(PayloadType::NONE, Payload::kind);
    let header = Header { is_encrypted: true, ..header };
    let mut message =
        header.write(first, HEADER_BYTES + content.len()).expect("our own messages fit a datagram");
    message.extend_from_slice(&content);
    message
}

/// Decrypts and reads what is behind the header. `None` for what is no message under this key and IV.
pub(super) fn open(cipher: IkeCipher, key: &Secret<Vec<u8>>, iv: &[u8], datagram: &[u8]) -> Option<Opened> {
    let (head, sealed) = datagram.split_at_checked(HEADER_BYTES)?;
    let block = cipher.iv_bytes();
    if sealed.is_empty() || !sealed.len().is_multiple_of(block) {
        return None;
    }
    let mut content = sealed.to_vec();
    cipher.decrypt_blocks(key.expose(), iv, &mut content);
    let chain = wire::read_chain(PayloadType(head[FIRST_PAYLOAD_AT]), &content, true).ok()?;
    Some(Opened { content, chain, last_block: sealed[sealed.len() - block..].to_vec() })
}

/// Where the type of the first payload stands in the header (RFC 2408, 3.1).
const FIRST_PAYLOAD_AT: usize = 16;

impl Opened {
    /// What it says.
    pub(super) fn payloads(&self) -> &[Payload] {
        &self.chain.payloads
    }

    /// Whether its first payload is the HASH over `before` and everything behind it.
    pub(super) fn has_hash(&self, prf: Prf, key: &Secret<Vec<u8>>, before: &[&[u8]]) -> bool {
        let covered = self.chain.behind_hash().and_then(|Range { start, end }| self.content.get(start..end));
        let (Some(covered), Some(Payload::Hash(given))) = (covered, self.payloads().first()) else {
            return false;
        };
        prf.compute(key.expose(), &[before, &[covered]].concat()).matches(given)
    }
}

/// What a peer's vendor IDs say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Abilities {
    /// RFC 3947.
    pub(super) nat: bool,
    /// RFC 3706.
    pub(super) dpd: bool,
    /// It is one of ours, and keeps of two simultaneous SAs the one that we keep.
    pub(super) ours: bool,
}

/// An ISAKMP SA (phase 1) whose keys are there.
#[derive(Debug)]
pub(super) struct Isakmp {
    pub(super) cookies: IkeSpis,
    /// Ours.
    pub(super) role: Role,
    pub(super) suite: IkeSuite,
    pub(super) keys: Keys,
    /// Last encrypted block of phase 1, from which each exchange of phase 2 gets its IV.
    pub(super) last_block: Vec<u8>,
    pub(super) path: Path,
    pub(super) abilities: Abilities,
}

impl Isakmp {
    pub(super) const fn prf(&self) -> Prf {
        self.suite.prf
    }

    /// Of initiator and responder.
    pub(super) const fn spis(&self) -> (IkeSpi, IkeSpi) {
        (self.cookies.initiator, self.cookies.responder)
    }

    /// Both cookies, as notifications and deletions name the ISAKMP SA.
    pub(super) fn name(&self) -> Vec<u8> {
        [self.cookies.initiator.to_bytes(), self.cookies.responder.to_bytes()].concat()
    }

    /// Whether a header names it.
    pub(super) fn is_of(&self, header: &Header) -> bool {
        (header.initiator, header.responder) == self.spis()
    }

    /// The IV of an exchange's first message.
    pub(super) fn iv(&self, id: u32) -> Vec<u8> {
        keys::iv(self.suite, &[&self.last_block, &id.to_be_bytes()])
    }

    /// A message of phase 2: HASH over `before`, the message ID being its part, and over `payloads`, which follow it.
    pub(super) fn seal(
        &self,
        exchange: ExchangeType,
        id: u32,
        iv: &mut Vec<u8>,
        before: &[&[u8]],
        payloads: Vec<Payload>,
    ) -> Vec<u8> {
        let covered = wire::write_chain(&payloads).expect("our own payloads fit their length fields");
        let hash = self.prf().compute(self.keys.authenticate.expose(), &[before, &[&covered]].concat());
        let payloads = [vec![Payload::Hash(hash.expose().clone())], payloads].concat();
        seal(self.suite.cipher, &self.keys.encrypt, iv, self.header(exchange, id), &payloads)
    }

    /// The first message of an exchange of phase 2 whose content need be no payloads ([`crate::sim::Pair::say_v1`]).
    pub(super) fn seal_content(
        &self,
        exchange: ExchangeType,
        id: u32,
        first: PayloadType,
        content: &[u8],
    ) -> Option<Vec<u8>> {
        let hash = self.prf().compute(self.keys.authenticate.expose(), &[&id.to_be_bytes(), content]);
        let length = u16::try_from(4 + hash.expose().len()).ok()?.to_be_bytes();
        let head = [first.0, 0, length[0], length[1]];
        let mut content = [&head[..], hash.expose(), content].concat();
        content.resize(content.len().next_multiple_of(self.suite.cipher.iv_bytes()), 0);
        self.suite.cipher.encrypt_blocks(self.keys.encrypt.expose(), &self.iv(id), &mut content);
        let header = self.header(exchange, id);
        let mut message = header.write(PayloadType::HASH, HEADER_BYTES + content.len()).ok()?;
        message.extend_from_slice(&content);
        Some(message)
    }

    pub(super) fn header(&self, exchange: ExchangeType, id: u32) -> Header {
        let (initiator, responder) = self.spis();
        Header { initiator, responder, exchange, is_encrypted: true, id }
    }

    /// Opens a message of phase 2.
    pub(super) fn open(&self, iv: &[u8], datagram: &[u8]) -> Option<Opened> {
        open(self.suite.cipher, &self.keys.encrypt, iv, datagram)
    }

    /// Opens a message whose HASH covers `before` and everything behind it; `None` if it does not.
    pub(super) fn open_authentic(&self, iv: &[u8], datagram: &[u8], before: &[&[u8]]) -> Option<Opened> {
        let opened = self.open(iv, datagram)?;
        opened.has_hash(self.prf(), &self.keys.authenticate, before).then_some(opened)
    }
}

/// A message that was answered, and the answer: to say the same again when it comes again.
#[derive(Debug)]
pub(super) struct Repeat {
    digest: Vec<u8>,
    pub(super) answer: Vec<u8>,
}

impl Repeat {
    pub(super) fn new(received: &[u8], answer: Vec<u8>) -> Self {
        Self { digest: digest(received), answer }
    }

    /// Whether `received` is the message that was answered.
    pub(super) fn is_of(&self, received: &[u8]) -> bool {
        self.digest == digest(received)
    }
}

fn digest(received: &[u8]) -> Vec<u8> {
    keys::hash(Prf::HmacSha2_256, &[received])
}

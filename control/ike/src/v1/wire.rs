//! Messages of IKEv1 as values, read from and written to bytes (RFC 2408, 3; RFC 2407, 4.6; RFC 3947, 5).
//!
//! The rules are those of [`crate::wire`]: lengths are checked here and only here, no value is judged, nothing panics. Encrypted messages are opened by
//! `protect`, which hands their content to `read_chain`.

use std::ops::Range;

use crate::wire::{
    AttributeValue, Certificate, CertificateRequest, Fault, Identification, IkeSpi, Malformed, ProtocolId,
};

mod build;
pub mod number;
mod parse;

pub(crate) use build::write_chain;
pub use number::{ExchangeType, NotifyType, PayloadType};
pub(crate) use parse::read_chain;

/// Bytes of the fixed header (RFC 2408, 3.1).
pub const HEADER_BYTES: usize = 28;
/// Bytes in front of every payload's body (RFC 2408, 3.2).
pub(crate) const GENERIC_HEADER_BYTES: usize = 4;
/// Most payloads read from one message.
pub const MAX_PAYLOADS: usize = 64;
/// Most proposals read from one SA payload.
pub const MAX_PROPOSALS: usize = 16;
/// Most attributes read from one transform.
pub const MAX_ATTRIBUTES: usize = 32;
/// Most SPIs read from one Delete payload.
pub const MAX_DELETED_SPIS: usize = 256;
/// Length of a nonce in bytes (RFC 2409, 5).
pub const NONCE_BYTES: std::ops::RangeInclusive<usize> = 8..=256;
/// The domain of interpretation of IPsec (RFC 2407, 4.2).
pub const DOI_IPSEC: u32 = 1;
/// SIT_IDENTITY_ONLY (RFC 2407, 4.2.1).
pub const IDENTITY_ONLY: u32 = 1;

/// The fixed header (RFC 2408, 3.1). Cookies are what IKEv2 calls SPIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Chosen by the initiator; never 0.
    pub initiator: IkeSpi,
    /// Chosen by the responder; [`IkeSpi::NONE`] in the first message.
    pub responder: IkeSpi,
    /// What the message belongs to.
    pub exchange: ExchangeType,
    /// Whether everything behind the header is encrypted.
    pub is_encrypted: bool,
    /// 0 in phase 1; in phase 2 whatever the exchange's initiator drew.
    pub id: u32,
}

/// A message in the clear, or one whose content was decrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The fixed header.
    pub header: Header,
    /// All payloads in order.
    pub payloads: Vec<Payload>,
}

/// One payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// SA (RFC 2408, 3.4).
    SecurityAssociation(SecurityAssociation),
    /// KE: a public value; which group is said by the SA (RFC 2408, 3.7).
    KeyExchange(Vec<u8>),
    /// ID; its reserved bytes are protocol and port (RFC 2407, 4.6.2).
    Identification(Identification),
    /// CERT (RFC 2408, 3.9).
    Certificate(Certificate),
    /// CR: a request for a certificate; here the authority is its distinguished name (RFC 2408, 3.10).
    CertificateRequest(CertificateRequest),
    /// HASH (RFC 2408, 3.11).
    Hash(Vec<u8>),
    /// SIG (RFC 2408, 3.12).
    Signature(Vec<u8>),
    /// NONCE (RFC 2408, 3.13).
    Nonce(Vec<u8>),
    /// N (RFC 2408, 3.14).
    Notify(Notify),
    /// D (RFC 2408, 3.15).
    Delete(Delete),
    /// VID (RFC 2408, 3.16).
    VendorId(Vec<u8>),
    /// NAT-D: a hash of cookies, address and port (RFC 3947, 3.2).
    NatDetection(Vec<u8>),
    /// A payload of another type; ignored.
    Unknown(PayloadType, Vec<u8>),
}

/// What is negotiated (RFC 2408, 3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityAssociation {
    /// Domain of interpretation; only [`DOI_IPSEC`] is spoken here.
    pub doi: u32,
    /// The situation; only [`IDENTITY_ONLY`] is spoken here.
    pub situation: u32,
    /// Proposals, best first. Several of one number go together (RFC 2408, 4.2).
    pub proposals: Vec<Proposal>,
}

/// One proposal (RFC 2408, 3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its number.
    pub number: u8,
    /// What is negotiated.
    pub protocol: ProtocolId,
    /// The sender's SPI: 4 bytes for ESP; for the ISAKMP SA anything, which means nothing.
    pub spi: Vec<u8>,
    /// Alternatives, best first: each is complete.
    pub transforms: Vec<Transform>,
}

/// One transform: a whole suite by its attributes (RFC 2408, 3.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform {
    /// Its number within the proposal.
    pub number: u8,
    /// KEY_IKE in phase 1 (RFC 2407, 4.4.2), the cipher in phase 2 (RFC 2407, 4.4.4).
    pub id: u8,
    /// In the order in which they came.
    pub attributes: Vec<Attribute>,
}

/// An attribute of a transform (RFC 2408, 3.3). Phase 1 and phase 2 number them apart (RFC 2409, A; RFC 2407, 4.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// What it says.
    pub kind: u16,
    /// The value, in the form it came in.
    pub value: AttributeValue,
}

/// A notification (RFC 2408, 3.14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// What it is about.
    pub protocol: ProtocolId,
    /// Which SA it is about: both cookies for the ISAKMP SA.
    pub spi: Vec<u8>,
    /// What happened.
    pub kind: NotifyType,
    /// More about it.
    pub data: Vec<u8>,
}

/// What the sender has deleted (RFC 2408, 3.15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// Of which kind.
    pub protocol: ProtocolId,
    /// The sender's inbound SPIs, or both cookies of the ISAKMP SA; all of one length.
    pub spis: Vec<Vec<u8>>,
}

/// Payloads with where they stood, for hashes that cover the bytes as they came.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) payloads: Vec<Payload>,
    /// Of each payload, header included, in the bytes that were read.
    spans: Vec<Range<usize>>,
}

impl Header {
    /// Reads the fixed header of a datagram that must be as long as the header says.
    ///
    /// # Errors
    /// [`Malformed`] when it is not, when it is of another major version, or when the initiator's cookie is 0.
    pub fn parse(datagram: &[u8]) -> Result<Self, Malformed> {
        parse::split(datagram).map(|(header, _, _)| header)
    }
}

impl Message {
    /// Reads a whole message that is not encrypted.
    ///
    /// # Errors
    /// [`Malformed`] says what does not fit, and where; an encrypted one is refused.
    pub fn parse(datagram: &[u8]) -> Result<Self, Malformed> {
        let (header, first, body) = parse::split(datagram)?;
        if header.is_encrypted {
            return Err(Malformed {
                place: "header",
                offset: HEADER_BYTES,
                fault: Fault::Value { value: 1 },
            });
        }
        let chain = read_chain(first, body, false)?;
        Ok(Self { header, payloads: chain.payloads })
    }

    /// The body of the SA payload of a datagram that could be read, as it came.
    pub(crate) fn sa_body(datagram: &[u8]) -> Option<Vec<u8>> {
        let (_, first, body) = parse::split(datagram).ok()?;
        let chain = read_chain(first, body, false).ok()?;
        let at = chain.payloads.iter().position(|p| matches!(p, Payload::SecurityAssociation(_)))?;
        chain
            .span(at)
            .and_then(|span| body.get(span.start + GENERIC_HEADER_BYTES..span.end))
            .map(<[u8]>::to_vec)
    }
}

impl Chain {
    /// Where the payload at `index` stood.
    fn span(&self, index: usize) -> Option<Range<usize>> {
        self.spans.get(index).cloned()
    }

    /// Where the payloads behind the first stood, padding left out; `None` if the first is no HASH.
    pub(crate) fn behind_hash(&self) -> Option<Range<usize>> {
        let is_hash = matches!(self.payloads.first(), Some(Payload::Hash(_)));
        let (first, last) = (self.spans.first()?, self.spans.last()?);
        is_hash.then_some(first.end..last.end)
    }
}

/// Writes an accessor for the first payload of a kind.
macro_rules! first {
    ($(#[doc = $doc:literal])* $name:ident -> $value:ty = $variant:ident) => {
        $(#[doc = $doc])*
        pub(crate) fn $name(payloads: &[Payload]) -> Option<&$value> {
            payloads.iter().find_map(|payload| match payload {
                Payload::$variant(value) => Some(value),
                _ => None,
            })
        }
    };
}

first!(/// The SA payload.
    sa -> SecurityAssociation = SecurityAssociation);
first!(/// The KE payload.
    ke -> Vec<u8> = KeyExchange);
first!(/// The nonce.
    nonce -> Vec<u8> = Nonce);
first!(/// The SIG payload.
    signature -> Vec<u8> = Signature);
first!(/// The HASH payload.
    hash -> Vec<u8> = Hash);

/// Every notification, in order.
pub(crate) fn notifies(payloads: &[Payload]) -> impl Iterator<Item = &Notify> {
    payloads.iter().filter_map(|payload| match payload {
        Payload::Notify(notify) => Some(notify),
        _ => None,
    })
}

/// Every identification, in order.
pub(crate) fn ids(payloads: &[Payload]) -> impl Iterator<Item = &Identification> {
    payloads.iter().filter_map(|payload| match payload {
        Payload::Identification(id) => Some(id),
        _ => None,
    })
}

/// Whether the peer sent a vendor ID that begins with `mark`.
pub(crate) fn has_vendor_id(payloads: &[Payload], mark: &[u8]) -> bool {
    payloads.iter().any(|payload| matches!(payload, Payload::VendorId(id) if id.starts_with(mark)))
}

#[cfg(test)]
mod tests;

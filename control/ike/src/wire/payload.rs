//! What the payloads of IKEv2 say (RFC 7296, 3.2 to 3.16; RFC 7383), as owned values.
//!
//! Reading is in `parse`, writing in `build`, both beside this file. Nothing here knows what a value means to an exchange.

use std::fmt;

use super::number::{
    AttributeType, AuthMethod, CertEncoding, CfgAttributeType, CfgType, GroupId, IdType, NotifyType,
    PayloadType, ProtocolId, TransformType, TsType,
};
use crate::selector::TrafficSelector;

/// One payload of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// SA: proposals, best first (3.3).
    SecurityAssociation(Vec<Proposal>),
    /// KE: a public value (3.4).
    KeyExchange(KeyExchangeData),
    /// `IDi`: who the initiator is (3.5).
    IdInitiator(Identification),
    /// `IDr`: who the responder is, or should be (3.5).
    IdResponder(Identification),
    /// CERT (3.6).
    Certificate(Certificate),
    /// CERTREQ (3.7).
    CertificateRequest(CertificateRequest),
    /// AUTH (3.8).
    Authentication(Authentication),
    /// Ni or Nr: 16 to 256 bytes (3.9).
    Nonce(Vec<u8>),
    /// N (3.10).
    Notify(Notify),
    /// D (3.11).
    Delete(Delete),
    /// V: an opaque mark of an implementation or extension (3.12).
    VendorId(Vec<u8>),
    /// `TSi`: addresses behind the initiator (3.13).
    TsInitiator(Vec<Selector>),
    /// `TSr`: addresses behind the responder (3.13).
    TsResponder(Vec<Selector>),
    /// SK: everything from here on is encrypted (3.14). [`crate::protect`] opens and makes it.
    Encrypted(Encrypted),
    /// SKF: one fragment of encrypted content (RFC 7383, 2.5). [`crate::protect`] opens and makes it.
    EncryptedFragment(EncryptedFragment),
    /// CP (3.15).
    Configuration(Configuration),
    /// EAP: a whole EAP packet (3.16).
    Eap(Vec<u8>),
    /// A payload type that this crate does not know; ignored unless critical (2.5).
    Unknown(Unknown),
}

/// One offer of the SA payload (3.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// 1 for the first, then counting up; an answer repeats the number it accepts.
    pub number: u8,
    /// What is negotiated.
    pub protocol: ProtocolId,
    /// Sender's SPI: empty in IKE_SA_INIT, 8 bytes for an IKE SA's rekey, 4 for ESP and AH.
    pub spi: Vec<u8>,
    /// Alternatives; several of one type mean "one of them".
    pub transforms: Vec<Transform>,
}

/// One algorithm of a proposal (3.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform {
    /// What the algorithm is for; also says which registry `id` belongs to.
    pub kind: TransformType,
    /// Its number.
    pub id: u16,
    /// Its attributes; only the key length exists today.
    pub attributes: Vec<Attribute>,
}

impl Transform {
    /// A transform without attributes.
    pub fn new(kind: TransformType, id: u16) -> Self {
        Self { kind, id, attributes: Vec::new() }
    }

    /// A transform with a key length.
    pub fn with_key_bits(kind: TransformType, id: u16, key_bits: u16) -> Self {
        let value = AttributeValue::Short(key_bits);
        Self { kind, id, attributes: vec![Attribute { kind: AttributeType::KEY_LENGTH, value }] }
    }

    /// The key length in bits. `Err` when there are other attributes or more than one: such a transform must not be
    /// chosen (3.3.6).
    ///
    /// # Errors
    /// [`NotUnderstood`], as above.
    pub fn key_bits(&self) -> Result<Option<u16>, NotUnderstood> {
        match self.attributes.as_slice() {
            [] => Ok(None),
            [Attribute { kind: AttributeType::KEY_LENGTH, value: AttributeValue::Short(bits) }] => {
                Ok(Some(*bits))
            }
            _ => Err(NotUnderstood),
        }
    }
}

/// A transform carries attributes that nobody here knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUnderstood;

/// Attribute of a transform (3.3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// What it says.
    pub kind: AttributeType,
    /// The value, in the form it came in.
    pub value: AttributeValue,
}

/// Value of an attribute: 16 bits in place, or counted bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// Type/value form.
    Short(u16),
    /// Type/length/value form.
    Long(Vec<u8>),
}

/// Body of a KE payload (3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyExchangeData {
    /// The method.
    pub group: GroupId,
    /// The public value, checked by [`crate::crypto::kex`].
    pub public: Vec<u8>,
}

/// Body of an ID payload (3.5). [`crate::identity::Identity`] gives it meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identification {
    /// How to read `data`.
    pub kind: IdType,
    /// Ignored, but kept as it came: AUTH covers these bytes, too (2.15).
    pub reserved: [u8; 3],
    /// The identity.
    pub data: Vec<u8>,
}

impl Identification {
    /// The payload's body as AUTH covers it: type, reserved bytes, data (2.15, `RestOfIDPayload`).
    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(4 + self.data.len());
        body.push(self.kind.0);
        body.extend_from_slice(&self.reserved);
        body.extend_from_slice(&self.data);
        body
    }
}

/// Body of a CERT payload (3.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// How to read `data`.
    pub encoding: CertEncoding,
    /// The certificate.
    pub data: Vec<u8>,
}

/// Body of a CERTREQ payload (3.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Encoding asked for.
    pub encoding: CertEncoding,
    /// For X.509: SHA-1 hashes of the authorities' public keys, 20 bytes each.
    pub authorities: Vec<u8>,
}

/// Body of an AUTH payload (3.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// How it was computed.
    pub method: AuthMethod,
    /// The value.
    pub data: Vec<u8>,
}

/// Body of a Notify payload (3.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// ESP or AH when an SPI is named, otherwise NONE (some peers write IKE).
    pub protocol: ProtocolId,
    /// The SA this is about; empty for the IKE SA itself.
    pub spi: Vec<u8>,
    /// What is told.
    pub kind: NotifyType,
    /// Data of the kind.
    pub data: Vec<u8>,
}

impl Notify {
    /// A notification about the IKE SA or the exchange.
    pub fn new(kind: NotifyType, data: Vec<u8>) -> Self {
        Self { protocol: ProtocolId::NONE, spi: Vec::new(), kind, data }
    }

    /// A notification about a Child SA (REKEY_SA, CHILD_SA_NOT_FOUND).
    pub fn about_child(kind: NotifyType, protocol: ProtocolId, spi: u32) -> Self {
        Self { protocol, spi: spi.to_be_bytes().to_vec(), kind, data: Vec::new() }
    }

    /// The Child SA's SPI, when one of four bytes is named.
    pub fn child_spi(&self) -> Option<u32> {
        self.spi.as_slice().try_into().ok().map(u32::from_be_bytes)
    }
}

/// Body of a Delete payload (3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delete {
    /// The IKE SA that carries this message, and with it its children.
    IkeSa,
    /// Child SAs, by the SPIs that the sender receives under.
    Child {
        /// ESP or AH.
        protocol: ProtocolId,
        /// Sender's inbound SPIs.
        spis: Vec<u32>,
    },
}

/// One traffic selector of a TS payload (3.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// A range of IPv4 or IPv6 addresses.
    Range(TrafficSelector),
    /// A kind that this crate does not know; a responder leaves it out when narrowing.
    Unknown {
        /// Its kind.
        kind: TsType,
        /// The byte after the kind; an IP protocol for the kinds known today.
        protocol: u8,
        /// The rest.
        data: Vec<u8>,
    },
}

/// The ranges among selectors, in order.
pub fn ranges(selectors: &[Selector]) -> Vec<TrafficSelector> {
    selectors
        .iter()
        .filter_map(|selector| match selector {
            Selector::Range(range) => Some(*range),
            Selector::Unknown { .. } => None,
        })
        .collect()
}

/// Body of an SK payload, still sealed (3.14): IV, ciphertext and integrity value.
#[derive(Clone, PartialEq, Eq)]
pub struct Encrypted {
    /// Type of the first payload inside.
    pub first: PayloadType,
    /// The body as it came.
    pub body: Vec<u8>,
}

/// Body of an SKF payload, still sealed (RFC 7383, 2.5).
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptedFragment {
    /// Type of the first payload inside; NONE in all fragments but the first.
    pub first: PayloadType,
    /// 1 for the first.
    pub number: u16,
    /// How many there are; at least `number`.
    pub total: u16,
    /// IV, ciphertext and integrity value.
    pub body: Vec<u8>,
}

/// Body of a Configuration payload (3.15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Request or answer.
    pub kind: CfgType,
    /// What is asked for or given, in order.
    pub attributes: Vec<CfgAttribute>,
}

/// One attribute of a Configuration payload (3.15.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CfgAttribute {
    /// What it is.
    pub kind: CfgAttributeType,
    /// Empty in a request for any value.
    pub value: Vec<u8>,
}

/// A payload of a type that this crate does not know.
#[derive(Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Its type.
    pub kind: PayloadType,
    /// Whether the sender wants the message refused when the type is unknown (2.5).
    pub critical: bool,
    /// Its body.
    pub body: Vec<u8>,
}

impl Payload {
    /// The type it has on the wire.
    pub fn kind(&self) -> PayloadType {
        match self {
            Self::SecurityAssociation(_) => PayloadType::SA,
            Self::KeyExchange(_) => PayloadType::KE,
            Self::IdInitiator(_) => PayloadType::IDI,
            Self::IdResponder(_) => PayloadType::IDR,
            Self::Certificate(_) => PayloadType::CERT,
            Self::CertificateRequest(_) => PayloadType::CERTREQ,
            Self::Authentication(_) => PayloadType::AUTH,
            Self::Nonce(_) => PayloadType::NONCE,
            Self::Notify(_) => PayloadType::NOTIFY,
            Self::Delete(_) => PayloadType::DELETE,
            Self::VendorId(_) => PayloadType::VENDOR_ID,
            Self::TsInitiator(_) => PayloadType::TSI,
            Self::TsResponder(_) => PayloadType::TSR,
            Self::Encrypted(_) => PayloadType::SK,
            Self::EncryptedFragment(_) => PayloadType::SKF,
            Self::Configuration(_) => PayloadType::CP,
            Self::Eap(_) => PayloadType::EAP,
            Self::Unknown(unknown) => unknown.kind,
        }
    }
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SK({} first, {} bytes)", self.first, self.body.len())
    }
}

impl fmt::Debug for EncryptedFragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SKF({} of {}, {} first, {} bytes)", self.number, self.total, self.first, self.body.len())
    }
}

impl fmt::Debug for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let critical = if self.critical { ", critical" } else { "" };
        write!(f, "Unknown({}{critical}, {} bytes)", self.kind, self.body.len())
    }
}

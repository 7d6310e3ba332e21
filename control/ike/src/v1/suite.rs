//! Suites as IKEv1 negotiates them: each transform is a whole suite by its attributes (RFC 2409, A; RFC 2407, 4.5; RFC 3602, 4106, 4868, 5903).
//!
//! The suites themselves are those of IKEv2 ([`crate::crypto::suite`]). In phase 1 one hash is PRF and integrity alike, and there is no AES-GCM: of a
//! configured list counts what fits that.

use std::time::Duration;

use super::wire::{Attribute, DOI_IPSEC, IDENTITY_ONLY, Proposal, SecurityAssociation, Transform};
use crate::crypto::suite::{IkeCipher, IkeSuite, Integrity, KeyBits, Prf};
use crate::wire::{AttributeValue, GroupId, ProtocolId};

mod esp;

pub(super) use esp::{EspAnswer, EspOffer, accept_esp, choose_esp, offer_esp};

/// Most transforms in a proposal of ours: the first message must fit a packet.
const MAX_OFFERED: usize = 30;
/// The only transform of phase 1 (RFC 2407, 4.4.2).
const KEY_IKE: u8 = 1;
/// "seconds" in either phase.
const SECONDS: u16 = 1;
const KILOBYTES: u16 = 2;

/// Attributes of phase 1 (RFC 2409, A).
mod phase1 {
    pub(super) const ENCRYPTION: u16 = 1;
    pub(super) const HASH: u16 = 2;
    pub(super) const METHOD: u16 = 3;
    pub(super) const GROUP: u16 = 4;
    pub(super) const LIFE_TYPE: u16 = 11;
    pub(super) const LIFE_DURATION: u16 = 12;
    pub(super) const KEY_LENGTH: u16 = 14;
}

/// How phase 1 is authenticated (RFC 2409, A, attribute 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// By pre-shared key.
    SharedKey,
    /// By RSA signatures.
    RsaSignature,
    /// By ECDSA over P-256 and SHA-256 (RFC 4754).
    Ecdsa256,
    /// By ECDSA over P-384 and SHA-384.
    Ecdsa384,
    /// By ECDSA over P-521 and SHA-512.
    Ecdsa521,
}

/// What was chosen for phase 1.
#[derive(Debug)]
pub(super) struct Phase1 {
    pub(super) suite: IkeSuite,
    pub(super) method: Method,
    /// How long the peer lets it live, if it says so.
    pub(super) life: Option<Duration>,
    /// The offer cut down to the choice: the answer.
    pub(super) answer: SecurityAssociation,
}

impl Method {
    const fn id(self) -> u16 {
        match self {
            Self::SharedKey => 1,
            Self::RsaSignature => 3,
            Self::Ecdsa256 => 9,
            Self::Ecdsa384 => 10,
            Self::Ecdsa521 => 11,
        }
    }

    /// The PRF of HASH_I and HASH_R: a signature that comes with a hash of its own takes that one's, not the negotiated one (RFC 2409, 5).
    pub(super) const fn proof_prf(self, negotiated: Prf) -> Prf {
        match self {
            Self::SharedKey | Self::RsaSignature => negotiated,
            Self::Ecdsa256 => Prf::HmacSha2_256,
            Self::Ecdsa384 => Prf::HmacSha2_384,
            Self::Ecdsa521 => Prf::HmacSha2_512,
        }
    }
}

/// Whether phase 1 can have it.
pub(crate) fn is_for_phase1(suite: &IkeSuite) -> bool {
    let is_registered = suite.group.id() != GroupId::CURVE25519 && suite.group.id().0 < GroupId::ML_KEM_512.0;
    suite.cipher.integrity().is_some_and(|integrity| integrity.prf() == suite.prf) && is_registered
}

/// Our offer for phase 1, the most wanted first.
pub(super) fn offer(suites: &[IkeSuite], method: Method, life: Duration) -> SecurityAssociation {
    let speakable = suites.iter().filter(|suite| is_for_phase1(suite)).take(MAX_OFFERED);
    let transforms = (1..=u8::MAX).zip(speakable).map(|(number, suite)| Transform {
        number,
        id: KEY_IKE,
        attributes: attributes(suite, method, life),
    });
    let transforms = transforms.collect();
    of_one(Proposal { number: 1, protocol: ProtocolId::IKE, spi: Vec::new(), transforms })
}

fn of_one(proposal: Proposal) -> SecurityAssociation {
    SecurityAssociation { doi: DOI_IPSEC, situation: IDENTITY_ONLY, proposals: vec![proposal] }
}

fn attributes(suite: &IkeSuite, method: Method, life: Duration) -> Vec<Attribute> {
    let (cipher, bits) = match suite.cipher {
        IkeCipher::AesCbc(bits, _) | IkeCipher::AesGcm16(bits) => (7, Some(bits)),
        IkeCipher::TripleDesCbc(_) => (5, None),
        IkeCipher::DesCbc(_) => (1, None),
    };
    let mut attributes = vec![
        short(phase1::ENCRYPTION, cipher),
        short(phase1::HASH, hash_id(suite.prf)),
        short(phase1::METHOD, method.id()),
        short(phase1::GROUP, suite.group.id().0),
    ];
    attributes.extend(bits.map(|bits| short(phase1::KEY_LENGTH, bits.bits())));
    attributes.push(short(phase1::LIFE_TYPE, SECONDS));
    attributes.push(number(phase1::LIFE_DURATION, life.as_secs()));
    attributes
}

const fn hash_id(prf: Prf) -> u16 {
    match prf {
        Prf::HmacMd5 => 1,
        Prf::HmacSha1 => 2,
        Prf::HmacSha2_256 => 4,
        Prf::HmacSha2_384 => 5,
        Prf::HmacSha2_512 => 6,
    }
}

const fn integrity_of_hash(id: u16) -> Option<Integrity> {
    match id {
        1 => Some(Integrity::HmacMd5_96),
        2 => Some(Integrity::HmacSha1_96),
        4 => Some(Integrity::HmacSha2_256_128),
        5 => Some(Integrity::HmacSha2_384_192),
        6 => Some(Integrity::HmacSha2_512_256),
        _ => None,
    }
}

const fn key_bits(bits: u16) -> Option<KeyBits> {
    match bits {
        128 => Some(KeyBits::B128),
        192 => Some(KeyBits::B192),
        256 => Some(KeyBits::B256),
        _ => None,
    }
}

/// As a responder: the first of our suites that the peer offers.
pub(super) fn choose(suites: &[IkeSuite], method: Method, offered: &SecurityAssociation) -> Option<Phase1> {
    let is_ours = offered.doi == DOI_IPSEC && offered.situation == IDENTITY_ONLY;
    let read: Vec<_> = offered
        .proposals
        .iter()
        .filter(|proposal| is_ours && proposal.protocol == ProtocolId::IKE)
        .flat_map(|proposal| proposal.transforms.iter().map(move |transform| (proposal, transform)))
        .filter_map(|(proposal, transform)| Some((proposal, transform, read(transform, method)?)))
        .collect();
    let fitting = suites.iter().filter(|suite| is_for_phase1(suite));
    let found = fitting.filter_map(|suite| read.iter().find(|(_, _, (offer, _))| offer == suite)).next();
    found.map(|(proposal, transform, (suite, life))| Phase1 {
        suite: *suite,
        method,
        life: *life,
        answer: of_one(Proposal { transforms: vec![(*transform).clone()], ..(*proposal).clone() }),
    })
}

/// As an initiator: what the peer chose, if it is one of our suites.
pub(super) fn accept(suites: &[IkeSuite], method: Method, answer: &SecurityAssociation) -> Option<Phase1> {
    let [proposal] = answer.proposals.as_slice() else { return None };
    (proposal.transforms.len() == 1).then(|| choose(suites, method, answer)).flatten()
}

/// Suite and life of a transform, unless something of it is not understood or not that method.
fn read(transform: &Transform, method: Method) -> Option<(IkeSuite, Option<Duration>)> {
    let (mut cipher, mut hash, mut bits, mut group, mut by) = (None, None, None, None, None);
    let mut life = Life::default();
    for attribute in &transform.attributes {
        let value = value_of(attribute)?;
        match attribute.kind {
            phase1::LIFE_TYPE => life.kind = Some(value),
            phase1::LIFE_DURATION => life.take(value)?,
            kind => {
                let value = u16::try_from(value).ok()?;
                match kind {
                    phase1::ENCRYPTION => cipher = Some(value),
                    phase1::HASH => hash = Some(value),
                    phase1::METHOD => by = Some(value),
                    phase1::GROUP => group = Some(value),
                    phase1::KEY_LENGTH => bits = Some(value),
                    _ => return None,
                }
            }
        }
    }
    let integrity = integrity_of_hash(hash?)?;
    let cipher = match (cipher?, bits) {
        (7, Some(bits)) => IkeCipher::AesCbc(key_bits(bits)?, integrity),
        (5, None) => IkeCipher::TripleDesCbc(integrity),
        (1, None) => IkeCipher::DesCbc(integrity),
        _ => return None,
    };
    let group = crate::crypto::kex::Group::from_id(GroupId(group?))?;
    let suite = IkeSuite { cipher, prf: integrity.prf(), group };
    (by? == method.id() && transform.id == KEY_IKE).then_some((suite, life.time))
}

/// Lifetimes come in pairs: what is counted, then how much.
#[derive(Default)]
struct Life {
    kind: Option<u64>,
    time: Option<Duration>,
    kib: Option<u64>,
}

impl Life {
    /// A duration; `None` if nothing said of what.
    fn take(&mut self, value: u64) -> Option<()> {
        match self.kind.take()? {
            kind if kind == u64::from(SECONDS) => self.time = Some(Duration::from_secs(value)),
            kind if kind == u64::from(KILOBYTES) => self.kib = Some(value),
            _ => return None,
        }
        Some(())
    }
}

fn short(kind: u16, value: u16) -> Attribute {
    Attribute { kind, value: AttributeValue::Short(value) }
}

/// In two bytes if they suffice, else in four: no life is longer.
fn number(kind: u16, value: u64) -> Attribute {
    match u16::try_from(value) {
        Ok(value) => short(kind, value),
        Err(_) => {
            let value = u32::try_from(value).unwrap_or(u32::MAX);
            Attribute { kind, value: AttributeValue::Long(value.to_be_bytes().to_vec()) }
        }
    }
}

/// The number of an attribute; `None` beyond eight bytes.
fn value_of(attribute: &Attribute) -> Option<u64> {
    match &attribute.value {
        AttributeValue::Short(value) => Some((*value).into()),
        AttributeValue::Long(bytes) if (1..=8).contains(&bytes.len()) => {
            Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
        }
        AttributeValue::Long(_) => None,
    }
}

#[cfg(test)]
mod tests;

//! Phase 2: ESP suites, perfect forward secrecy, tunnel mode in UDP or not (RFC 2407, 4.4.4 and 4.5; RFC 3947, 5.1).

use std::time::Duration;

use super::{KILOBYTES, Life, MAX_OFFERED, SECONDS, key_bits, number, of_one, short, value_of};
use crate::crypto::kex::Group;
use crate::crypto::suite::{EspSuite, Integrity};
use crate::v1::wire::{Attribute, DOI_IPSEC, IDENTITY_ONLY, Proposal, SecurityAssociation, Transform};
use crate::wire::{GroupId, ProtocolId};

const LIFE_TYPE: u16 = 1;
const LIFE_DURATION: u16 = 2;
const GROUP: u16 = 3;
const ENCAPSULATION: u16 = 4;
const AUTHENTICATION: u16 = 5;
const KEY_LENGTH: u16 = 6;

const TUNNEL: u16 = 1;
/// Tunnel mode in UDP (RFC 3947, 5.1).
const UDP_TUNNEL: u16 = 3;

/// What is asked for.
#[derive(Debug)]
pub(in crate::v1) struct EspOffer<'a> {
    pub(in crate::v1) suites: &'a [EspSuite],
    /// One for the whole message: there is one KE payload.
    pub(in crate::v1) group: Option<Group>,
    /// Whether a NAT makes ESP travel in UDP.
    pub(in crate::v1) in_udp: bool,
    pub(in crate::v1) life: Duration,
    pub(in crate::v1) life_bytes: Option<u64>,
    /// Ours.
    pub(in crate::v1) spi: u32,
}

/// What was chosen.
#[derive(Debug)]
pub(in crate::v1) struct EspAnswer {
    pub(in crate::v1) suite: EspSuite,
    pub(in crate::v1) group: Option<Group>,
    /// The sender's.
    pub(in crate::v1) spi: u32,
    /// How long the peer lets it live, if it says so.
    pub(in crate::v1) life: Option<Duration>,
    /// The offer cut down to the choice, with the sender's SPI.
    pub(in crate::v1) answer: SecurityAssociation,
}

/// Our offer, the most wanted first.
pub(in crate::v1) fn offer_esp(offer: &EspOffer<'_>) -> SecurityAssociation {
    let suites = offer.suites.iter().filter_map(|suite| Some((suite, ids(*suite)?))).take(MAX_OFFERED);
    let transforms = (1..=u8::MAX).zip(suites).map(|(number, (suite, (id, bits)))| Transform {
        number,
        id,
        attributes: attributes(offer, *suite, bits),
    });
    let transforms = transforms.collect();
    let spi = offer.spi.to_be_bytes().to_vec();
    of_one(Proposal { number: 1, protocol: ProtocolId::ESP, spi, transforms })
}

fn attributes(offer: &EspOffer<'_>, suite: EspSuite, bits: Option<u16>) -> Vec<Attribute> {
    let mode = if offer.in_udp { UDP_TUNNEL } else { TUNNEL };
    let mut attributes = vec![short(ENCAPSULATION, mode)];
    attributes.extend(bits.map(|bits| short(KEY_LENGTH, bits)));
    attributes.extend(suite.integrity().map(|integrity| short(AUTHENTICATION, authentication_id(integrity))));
    attributes.extend(offer.group.map(|group| short(GROUP, group.id().0)));
    attributes.extend([short(LIFE_TYPE, SECONDS), number(LIFE_DURATION, offer.life.as_secs())]);
    if let Some(bytes) = offer.life_bytes {
        attributes.extend([short(LIFE_TYPE, KILOBYTES), number(LIFE_DURATION, bytes / 1024)]);
    }
    attributes
}

/// Transform and key length; `None` for what IKEv1 has no number for.
fn ids(suite: EspSuite) -> Option<(u8, Option<u16>)> {
    match suite {
        EspSuite::DesCbc(_) => Some((2, None)),
        EspSuite::TripleDesCbc(_) => Some((3, None)),
        EspSuite::Null(_) => Some((11, None)),
        EspSuite::AesCbc(bits, _) => Some((12, Some(bits.bits()))),
        EspSuite::AesGcm16(bits) => Some((20, Some(bits.bits()))),
        EspSuite::ChaCha20Poly1305 => None,
    }
}

const fn authentication_id(integrity: Integrity) -> u16 {
    match integrity {
        Integrity::HmacMd5_96 => 1,
        Integrity::HmacSha1_96 => 2,
        Integrity::HmacSha2_256_128 => 5,
        Integrity::HmacSha2_384_192 => 6,
        Integrity::HmacSha2_512_256 => 7,
    }
}

const fn authentication(id: u16) -> Option<Integrity> {
    match id {
        1 => Some(Integrity::HmacMd5_96),
        2 => Some(Integrity::HmacSha1_96),
        5 => Some(Integrity::HmacSha2_256_128),
        6 => Some(Integrity::HmacSha2_384_192),
        7 => Some(Integrity::HmacSha2_512_256),
        _ => None,
    }
}

/// As a responder: the first of our suites that the peer offers with a group that we allow.
pub(in crate::v1) fn choose_esp(
    suites: &[EspSuite],
    groups: &[Option<Group>],
    in_udp: bool,
    offered: &SecurityAssociation,
) -> Option<EspAnswer> {
    let is_ours = offered.doi == DOI_IPSEC && offered.situation == IDENTITY_ONLY;
    // Proposals of one number are for several protocols together, which nothing here speaks.
    let is_alone =
        |proposal: &Proposal| offered.proposals.iter().filter(|p| p.number == proposal.number).count() == 1;
    let spi_of = |proposal: &Proposal| <[u8; 4]>::try_from(proposal.spi.as_slice()).map(u32::from_be_bytes);
    let read: Vec<_> = offered
        .proposals
        .iter()
        .filter(|proposal| is_ours && proposal.protocol == ProtocolId::ESP && is_alone(proposal))
        .filter_map(|proposal| Some((proposal, spi_of(proposal).ok()?)))
        .flat_map(|(proposal, spi)| proposal.transforms.iter().map(move |t| (proposal, spi, t)))
        .filter_map(|(proposal, spi, transform)| Some((proposal, spi, transform, read(transform, in_udp)?)))
        .filter(|(_, _, _, read)| groups.contains(&read.group))
        .collect();
    let found = suites.iter().find_map(|suite| read.iter().find(|(_, _, _, read)| read.suite == *suite));
    found.map(|(proposal, spi, transform, read)| EspAnswer {
        suite: read.suite,
        group: read.group,
        spi: *spi,
        life: read.life,
        answer: of_one(Proposal { transforms: vec![(*transform).clone()], ..(*proposal).clone() }),
    })
}

/// As an initiator: what the peer chose, if it is one of our suites.
pub(in crate::v1) fn accept_esp(offer: &EspOffer<'_>, answer: &SecurityAssociation) -> Option<EspAnswer> {
    let [proposal] = answer.proposals.as_slice() else { return None };
    let is_chosen = proposal.transforms.len() == 1;
    is_chosen.then(|| choose_esp(offer.suites, &[offer.group], offer.in_udp, answer)).flatten()
}

struct Read {
    suite: EspSuite,
    group: Option<Group>,
    life: Option<Duration>,
}

/// What a transform says, unless something of it is not understood or not tunnel mode as it must be here.
fn read(transform: &Transform, in_udp: bool) -> Option<Read> {
    let (mut group, mut mode, mut integrity, mut bits) = (None, TUNNEL, None, None);
    let mut life = Life::default();
    for attribute in &transform.attributes {
        let value = value_of(attribute)?;
        match attribute.kind {
            LIFE_TYPE => life.kind = Some(value),
            LIFE_DURATION => life.take(value)?,
            kind => {
                let value = u16::try_from(value).ok()?;
                match kind {
                    GROUP => group = Some(Group::from_id(GroupId(value))?),
                    ENCAPSULATION => mode = value,
                    AUTHENTICATION => integrity = Some(authentication(value)?),
                    KEY_LENGTH => bits = Some(key_bits(value)?),
                    _ => return None,
                }
            }
        }
    }
    let suite = match (transform.id, bits, integrity) {
        (2, None, Some(integrity)) => EspSuite::DesCbc(integrity),
        (3, None, Some(integrity)) => EspSuite::TripleDesCbc(integrity),
        (11, None, Some(integrity)) => EspSuite::Null(integrity),
        (12, Some(bits), Some(integrity)) => EspSuite::AesCbc(bits, integrity),
        (20, Some(bits), None) => EspSuite::AesGcm16(bits),
        _ => return None,
    };
    let wanted = if in_udp { UDP_TUNNEL } else { TUNNEL };
    (mode == wanted).then_some(Read { suite, group, life: life.time })
}

//! Offering suites and choosing among offers (RFC 7296, 2.7 and 3.3): pure functions over proposals.
//!
//! A responder takes the first of its own preferences that some proposal allows; an initiator takes an answer only when
//! it is one of its own preferences, unmixed. Every kind of transform in a proposal must be chosen from: a proposal with
//! a kind that we do not know is passed over unless it offers "none" for it.

use thiserror::Error;

use super::{Esn, EspSuite, Group, IkeCipher, IkeSuite, Integrity};
use crate::wire::{GroupId, IkeSpi, Proposal, ProtocolId, Transform, TransformType};

mod additional;

pub use additional::{accept_ike_mixed, choose_ike_mixed, offer_ike};

/// What was chosen for an IKE SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IkeChoice {
    /// The suite.
    pub suite: IkeSuite,
    /// The additional key exchange, if there is to be one.
    pub additional: Option<Group>,
    /// Sender's SPI in the proposal; only when an IKE SA is rekeyed.
    pub spi: Option<IkeSpi>,
    /// The proposal cut down to the choice, with the offer's number and SPI; an answer puts its own SPI in.
    pub proposal: Proposal,
}

/// What was chosen for a Child SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EspChoice {
    /// The suite.
    pub suite: EspSuite,
    /// Group for perfect forward secrecy, if there is to be one.
    pub group: Option<Group>,
    /// Extended sequence numbers or not.
    pub esn: Esn,
    /// Sender's inbound SPI: we send to it.
    pub spi: u32,
    /// The proposal cut down to the choice, with the offer's number and SPI; an answer puts its own SPI in.
    pub proposal: Proposal,
}

/// The answer to our offer is not one of our offers: the peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotOurs {
    /// There must be exactly one proposal.
    #[error("the answer has {0} proposals instead of one")]
    Proposals(usize),
    /// The proposal is none that we made, or still leaves a choice.
    #[error("the answer is not one of the suites that were offered")]
    Suite,
}

/// Proposals that offer exactly the suites of `preference`, combined modes apart from others (RFC 5282, 8).
///
/// `spi` is our new SPI when an IKE SA is rekeyed, otherwise `None`. Suites that are all combinations of their parts
/// share a proposal; others get as many as it takes to offer nothing that is not in the list.
pub fn ike_proposals(preference: &[IkeSuite], spi: Option<IkeSpi>) -> Vec<Proposal> {
    let spi = spi.map_or_else(Vec::new, |spi| spi.to_bytes().to_vec());
    let mut groups: Vec<Vec<IkeSuite>> = Vec::new();
    for suite in preference {
        match groups.iter_mut().find(|group| same_class(group[0].cipher, suite.cipher)) {
            Some(group) if group.contains(suite) => {}
            Some(group) => group.push(*suite),
            None => groups.push(vec![*suite]),
        }
    }
    let lists = groups.into_iter().flat_map(|group| match merged(&group) {
        Some(transforms) => vec![transforms],
        None => group.iter().map(IkeSuite::transforms).collect(),
    });
    (1..=u8::MAX)
        .zip(lists)
        .map(|(number, transforms)| Proposal {
            number,
            protocol: ProtocolId::IKE,
            spi: spi.clone(),
            transforms,
        })
        .collect()
}

/// Ciphers that may share a proposal: those with the same integrity algorithm, or without one.
fn same_class(a: IkeCipher, b: IkeCipher) -> bool {
    a.integrity() == b.integrity()
}

/// All transforms of `suites`, if together they allow exactly these suites.
fn merged(suites: &[IkeSuite]) -> Option<Vec<Transform>> {
    let mut transforms: Vec<Transform> = Vec::new();
    for transform in suites.iter().flat_map(IkeSuite::transforms) {
        if !transforms.contains(&transform) {
            transforms.push(transform);
        }
    }
    transforms.sort_by_key(|transform| transform.kind); // stable: preferences keep their order
    let of = |kind| transforms.iter().filter(|transform| transform.kind == kind).count();
    let combinations = of(TransformType::ENCR) * of(TransformType::PRF) * of(TransformType::DH);
    (combinations == suites.len()).then_some(transforms)
}

/// The proposals for a Child SA: every suite with every group and every ESN value, in the order of preference. Suites with the same integrity algorithm,
/// or with none beside the cipher, share a proposal (RFC 7296, 3.3); those without perfect forward secrecy stand apart from those with it, for a
/// peer that knows no group in this place passes over the latter.
///
/// `groups` is empty without perfect forward secrecy, and always in IKE_AUTH (RFC 7296, 1.2); `None` in it allows to do without.
/// `esn` is not empty (RFC 7296, 3.3.3). `spi` is our inbound SPI.
pub fn esp_proposals(
    preference: &[EspSuite],
    groups: &[Option<Group>],
    esn: &[Esn],
    spi: u32,
) -> Vec<Proposal> {
    let known: Vec<Group> = groups.iter().copied().flatten().collect();
    let mut kinds = vec![&known[..]];
    if !known.is_empty() && groups.contains(&None) {
        kinds.push(&[]);
        if groups.first() == Some(&None) {
            kinds.reverse();
        }
    }
    let lists = kinds.into_iter().flat_map(|groups| transform_lists(preference, groups, esn));
    (1..=u8::MAX)
        .zip(lists)
        .map(|(number, transforms)| Proposal {
            number,
            protocol: ProtocolId::ESP,
            spi: spi.to_be_bytes().to_vec(),
            transforms,
        })
        .collect()
}

/// The transforms of a proposal for each integrity algorithm.
fn transform_lists(preference: &[EspSuite], groups: &[Group], esn: &[Esn]) -> Vec<Vec<Transform>> {
    let mut classes: Vec<Option<Integrity>> = Vec::new();
    for class in preference.iter().map(|suite| suite.integrity()) {
        if !classes.contains(&class) {
            classes.push(class);
        }
    }
    let of_class = |class: Option<Integrity>| {
        let mut transforms: Vec<Transform> = Vec::new();
        let suites = preference.iter().filter(|suite| suite.integrity() == class);
        for transform in suites.flat_map(|suite| suite.transforms()) {
            if !transforms.contains(&transform) {
                transforms.push(transform);
            }
        }
        transforms.extend(groups.iter().map(|group| Transform::new(TransformType::DH, group.id().0)));
        transforms.extend(esn.iter().map(|esn| Transform::new(TransformType::ESN, esn.id().0)));
        transforms.sort_by_key(|transform| transform.kind); // stable: preferences keep their order
        transforms
    };
    classes.into_iter().map(of_class).collect()
}

/// The first suite of `preference` that a proposal offers; those with the group of the KE payload (`ke`) go first, since
/// any other costs a round trip (INVALID_KE_PAYLOAD, RFC 7296, 1.2).
///
/// `None` means NO_PROPOSAL_CHOSEN. When the choice's group is not `ke`, the caller asks for it.
pub fn choose_ike(preference: &[IkeSuite], offered: &[Proposal], ke: GroupId) -> Option<IkeChoice> {
    let (at_once, later): (Vec<&IkeSuite>, Vec<_>) =
        preference.iter().partition(|suite| suite.group.id() == ke);
    at_once.into_iter().chain(later).find_map(|suite| {
        let wanted = suite.transforms();
        offered.iter().find_map(|proposal| {
            let spi = ike_spi(proposal)?;
            let proposal = cut(proposal, ProtocolId::IKE, &wanted)?;
            Some(IkeChoice { suite: *suite, additional: None, spi, proposal })
        })
    })
}

/// The first combination of `preference`, `esn` and `groups` that a proposal offers; a group that equals that of the KE
/// payload (`ke`) goes first. An empty `groups` takes only proposals without one, or with "none", and so does `None` in it.
///
/// `None` means NO_PROPOSAL_CHOSEN.
pub fn choose_esp(
    preference: &[EspSuite],
    groups: &[Option<Group>],
    esn: &[Esn],
    offered: &[Proposal],
    ke: Option<GroupId>,
) -> Option<EspChoice> {
    let (at_once, later): (Vec<Option<Group>>, Vec<_>) =
        wanted_groups(groups).into_iter().partition(|group| group.map(Group::id) == ke);
    let groups: Vec<Option<Group>> = at_once.into_iter().chain(later).collect();
    combinations(preference, &groups, esn).find_map(|(suite, group, esn)| {
        let wanted = esp_transforms(suite, group, esn);
        offered.iter().find_map(|proposal| {
            let spi = child_spi(proposal)?;
            Some(EspChoice { suite, group, esn, spi, proposal: cut(proposal, ProtocolId::ESP, &wanted)? })
        })
    })
}

/// What a responder chose of our `preference` (RFC 7296, 2.7: one proposal, one transform of each kind).
///
/// # Errors
/// [`NotOurs`] when it chose something else.
pub fn accept_ike(preference: &[IkeSuite], reply: &[Proposal]) -> Result<IkeChoice, NotOurs> {
    let proposal = only(reply)?;
    let spi = ike_spi(proposal).ok_or(NotOurs::Suite)?;
    preference
        .iter()
        .find(|suite| is_exactly(proposal, ProtocolId::IKE, &suite.transforms()))
        .map(|suite| IkeChoice { suite: *suite, additional: None, spi, proposal: proposal.clone() })
        .ok_or(NotOurs::Suite)
}

/// What a responder chose for the Child SA that we offered with [`esp_proposals`] and the same arguments.
///
/// # Errors
/// [`NotOurs`] when it chose something else.
pub fn accept_esp(
    preference: &[EspSuite],
    groups: &[Option<Group>],
    esn: &[Esn],
    reply: &[Proposal],
) -> Result<EspChoice, NotOurs> {
    let proposal = only(reply)?;
    let spi = child_spi(proposal).ok_or(NotOurs::Suite)?;
    combinations(preference, &wanted_groups(groups), esn)
        .find(|&(suite, group, esn)| {
            is_exactly(proposal, ProtocolId::ESP, &esp_transforms(suite, group, esn))
        })
        .map(|(suite, group, esn)| EspChoice { suite, group, esn, spi, proposal: proposal.clone() })
        .ok_or(NotOurs::Suite)
}

fn only(reply: &[Proposal]) -> Result<&Proposal, NotOurs> {
    match reply {
        [proposal] => Ok(proposal),
        _ => Err(NotOurs::Proposals(reply.len())),
    }
}

fn wanted_groups(groups: &[Option<Group>]) -> Vec<Option<Group>> {
    if groups.is_empty() { vec![None] } else { groups.to_vec() }
}

fn combinations<'a>(
    suites: &'a [EspSuite],
    groups: &'a [Option<Group>],
    esn: &'a [Esn],
) -> impl Iterator<Item = (EspSuite, Option<Group>, Esn)> + 'a {
    suites.iter().flat_map(move |suite| {
        groups.iter().flat_map(move |group| esn.iter().map(move |esn| (*suite, *group, *esn)))
    })
}

fn esp_transforms(suite: EspSuite, group: Option<Group>, esn: Esn) -> Vec<Transform> {
    let mut transforms = suite.transforms();
    transforms.extend(group.map(|group| Transform::new(TransformType::DH, group.id().0)));
    transforms.push(Transform::new(TransformType::ESN, esn.id().0));
    transforms
}

/// The SPI of an IKE proposal: none, or eight bytes that are not 0. `None` for any other.
fn ike_spi(proposal: &Proposal) -> Option<Option<IkeSpi>> {
    if proposal.spi.is_empty() {
        return Some(None);
    }
    let spi = IkeSpi(u64::from_be_bytes(proposal.spi.as_slice().try_into().ok()?));
    (spi != IkeSpi::NONE).then_some(Some(spi))
}

/// The SPI of an ESP proposal: four bytes, above the reserved 0 to 255 (RFC 4303, 2.1).
fn child_spi(proposal: &Proposal) -> Option<u32> {
    let spi = u32::from_be_bytes(proposal.spi.as_slice().try_into().ok()?);
    (spi > 255).then_some(spi)
}

/// `proposal` with only `wanted`, if it offers all of that and leaves no other kind open. Kinds beyond `wanted` are
/// answered with "none" where that is offered.
fn cut(proposal: &Proposal, protocol: ProtocolId, wanted: &[Transform]) -> Option<Proposal> {
    if proposal.protocol != protocol
        || !wanted.iter().all(|transform| proposal.transforms.contains(transform))
    {
        return None;
    }
    let mut transforms = wanted.to_vec();
    for other in &proposal.transforms {
        if !transforms.iter().any(|transform| transform.kind == other.kind) {
            let none = Transform::new(other.kind, 0);
            if !can_be_none(other.kind) || !proposal.transforms.contains(&none) {
                return None;
            }
            transforms.push(none);
        }
    }
    transforms.sort_by_key(|transform| transform.kind);
    Some(Proposal { transforms, ..proposal.clone() })
}

/// Whether `proposal` is `wanted` and nothing else, "none" aside.
fn is_exactly(proposal: &Proposal, protocol: ProtocolId, wanted: &[Transform]) -> bool {
    cut(proposal, protocol, wanted).is_some_and(|cut| cut.transforms.len() == proposal.transforms.len())
}

/// Kinds of which number 0 means "none of it".
fn can_be_none(kind: TransformType) -> bool {
    kind == TransformType::INTEG
        || (TransformType::DH..=TransformType::ADDKE7).contains(&kind) && kind != TransformType::ESN
}

#[cfg(test)]
mod tests;

//! An additional key exchange in the proposals for an IKE SA (RFC 9370, 2.1): those with it stand before the same ones without, for peers that do without.
//!
//! `additional` is what one side wants, the most wanted first; `None` among them means that it does without, too.

use super::{
    Group, GroupId, IkeChoice, IkeSpi, IkeSuite, NotOurs, Proposal, Transform, TransformType, accept_ike,
    choose_ike, ike_proposals, only,
};

/// [`ike_proposals`], first with the methods of `additional`, then without one if that is allowed.
pub fn offer_ike(
    preference: &[IkeSuite],
    additional: &[Option<Group>],
    spi: Option<IkeSpi>,
) -> Vec<Proposal> {
    let plain = ike_proposals(preference, spi);
    let methods: Vec<Transform> = additional.iter().flatten().copied().map(transform).collect();
    let mixed = plain.iter().cloned().map(|mut proposal| {
        proposal.transforms.extend(methods.iter().cloned());
        proposal
    });
    let mixed = mixed.filter(|_| !methods.is_empty());
    let without = plain.iter().filter(|_| additional.contains(&None)).cloned();
    let all: Vec<Proposal> = mixed.chain(without).collect();
    (1..=u8::MAX).zip(all).map(|(number, proposal)| Proposal { number, ..proposal }).collect()
}

/// [`choose_ike`] with the first of `additional` that a proposal allows; the answer names it.
pub fn choose_ike_mixed(
    preference: &[IkeSuite],
    additional: &[Option<Group>],
    offered: &[Proposal],
    ke: GroupId,
) -> Option<IkeChoice> {
    additional.iter().find_map(|wanted| {
        let Some(method) = wanted else { return choose_ike(preference, offered, ke) };
        let offered: Vec<Proposal> = offered.iter().filter_map(|p| without(p, *method)).collect();
        let mut choice = choose_ike(preference, &offered, ke)?;
        choice.proposal.transforms.push(transform(*method));
        Some(IkeChoice { additional: Some(*method), ..choice })
    })
}

/// [`accept_ike`] of an answer that chose one of `additional`.
///
/// # Errors
/// [`NotOurs`] when it chose something else.
pub fn accept_ike_mixed(
    preference: &[IkeSuite],
    additional: &[Option<Group>],
    reply: &[Proposal],
) -> Result<IkeChoice, NotOurs> {
    let proposal = only(reply)?;
    let chosen =
        proposal.transforms.iter().filter(|transform| transform.kind == TransformType::ADDKE1).count();
    let mixed = additional.iter().flatten().filter(|_| chosen == 1).find_map(|method| {
        let choice = accept_ike(preference, &[without(proposal, *method)?]).ok()?;
        Some(IkeChoice { additional: Some(*method), proposal: proposal.clone(), ..choice })
    });
    match mixed {
        Some(choice) => Ok(choice),
        None if additional.contains(&None) => accept_ike(preference, reply),
        None => Err(NotOurs::Suite),
    }
}

fn transform(method: Group) -> Transform {
    Transform::new(TransformType::ADDKE1, method.id().0)
}

/// `proposal` as it is without the additional key exchange, if it offers `method` for that.
fn without(proposal: &Proposal, method: Group) -> Option<Proposal> {
    let mut plain = proposal.clone();
    plain.transforms.retain(|transform| transform.kind != TransformType::ADDKE1);
    proposal.transforms.contains(&transform(method)).then_some(plain)
}

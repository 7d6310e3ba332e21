//! The first Child SA, in both roles: within IKE_AUTH, or afterwards where both can do without it there (RFC 7296, 1.2; RFC 6023).

use super::install;
use crate::child::{Agreed, Offer, choose_policy};
use crate::config::ConnectionConfig;
use crate::crypto::suite::{accept_esp, choose_esp};
use crate::error::{IkeError, Stage};
use crate::established::{Established, Task};
use crate::event::{OutboundUse, Role, Spi};
use crate::exchange::init::Transcript;
use crate::notice::What;
use crate::resource::Share;
use crate::sa::Cx;
use crate::selector::narrow;
use crate::wire::{Message, NotifyType, Payload, PayloadType, Proposal, ProtocolId};

/// The first Child SA, as far as the peer made it: of what was `asked` for.
pub(super) fn begin_child(
    state: &mut Established,
    (spi, asked): (Spi, &ConnectionConfig),
    transcript: &Transcript,
    message: &Message,
    cx: &mut Cx<'_>,
) {
    match agree_as_initiator(&state.config, (spi, asked), message) {
        Ok(agreed) => {
            install(state, agreed, transcript, cx);
            state.want_left_out_of_policy(0, cx);
        }
        Err(error) => {
            // Without an SA payload the peer made no pair.
            if message.sa().is_some() {
                state.want(Task::Disown(spi));
            } else {
                cx.env.release_spi(spi);
            }
            if message.notify(NotifyType::SINGLE_PAIR_REQUIRED).is_some() {
                cx.note_stage(What::SinglePair, Stage::Auth);
                state.single_pairs.insert(0);
                state.want(Task::NewChild { policy: 0 });
            } else {
                state.child_failed(0, error, cx);
            }
        }
    }
}

/// Whether the first Child SA is left out of IKE_AUTH.
pub(super) fn is_childless(config: &ConnectionConfig, transcript: &Transcript) -> bool {
    let takes_it = |message: Message| message.notify(NotifyType::CHILDLESS_IKEV2_SUPPORTED).is_some();
    config.childless && Message::parse(&transcript.answer).is_ok_and(takes_it)
}

fn agree_as_initiator(
    config: &ConnectionConfig,
    (spi, asked): (Spi, &ConnectionConfig),
    message: &Message,
) -> Result<Agreed, IkeError> {
    let stage = Stage::Auth;
    let Some(sa) = message.sa() else {
        let missing = IkeError::Missing { stage, payload: PayloadType::SA };
        return Err(message.error().map_or(missing, |notify| IkeError::from_peer(stage, notify.kind)));
    };
    let child = &config.children[0];
    let choice = accept_esp(&child.esp_suites, &[], child.esn.offered(), sa)
        .map_err(|_| IkeError::Misbehaved { stage, what: "chose ESP algorithms that were not offered" })?;
    let mut agreed = Agreed::from_answer(stage, &choice, spi, 0, &Offer::whole(&asked.children[0]), message)?;
    if asked.request_addresses {
        // The peer may leave more on our side than what it assigned.
        agreed.local = narrow(&agreed.local, &child.local_selectors);
        if agreed.local.is_empty() {
            let what = "answered with traffic selectors that lack the address that it assigned";
            return Err(IkeError::Misbehaved { stage, what });
        }
    }
    Ok(Agreed { share: Share::agreed(child.resources, message), ..agreed })
}

/// Whether the peer wants no Child SA for now: none of the payloads for one is there (RFC 6023, 4).
pub(super) fn is_asked_later(message: &Message) -> bool {
    let of_child = |payload: &Payload| {
        matches!(payload, Payload::SecurityAssociation(_) | Payload::TsInitiator(_) | Payload::TsResponder(_))
    };
    !message.payloads.iter().any(of_child)
}

pub(super) fn agree_as_responder(
    state: &Established,
    message: &Message,
    cx: &mut Cx<'_>,
) -> Result<(Agreed, Proposal), IkeError> {
    let stage = Stage::Auth;
    let sa = message.sa().ok_or(IkeError::Missing { stage, payload: PayloadType::SA })?;
    let (policy, local, remote) = choose_policy(stage, &state.config, None, message, |_| false)?;
    let child = &state.config.children[policy];
    let choice = choose_esp(&child.esp_suites, &[], child.esn.offered(), sa, None)
        .ok_or(IkeError::NoProposalChosen(stage))?;
    let inbound = cx.esp_spi(state.config.id)?;
    let mut proposal = choice.proposal.clone();
    proposal.spi = inbound.0.to_be_bytes().to_vec();
    debug_assert_eq!(proposal.protocol, ProtocolId::ESP, "only ESP is chosen");
    let agreed = Agreed {
        policy,
        role: Role::Responder,
        inbound,
        outbound: Spi(choice.spi),
        suite: choice.suite,
        esn: choice.esn,
        local,
        remote,
        replaces: None,
        outbound_use: OutboundUse::Now,
        share: Share::agreed(child.resources, message),
    };
    Ok((agreed, proposal))
}

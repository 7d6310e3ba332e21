//! INFORMATIONAL (RFC 7296, 1.4, 2.25): deletes, liveness, tokens, late errors, in both roles.

use std::time::Duration;

use crate::child::{Offer, Phase};
use crate::crash::{self, Token};
use crate::effect::Effect;
use crate::error::IkeError;
use crate::established::{Established, Fate, Pending};
use crate::event::{ChildId, DownReason, RemoveReason, Spi};
use crate::exchange::{mobike, resume};
use crate::notice::What;
use crate::redirect::{self, Redirect};
use crate::sa::{Arrived, Cx};
use crate::wire::{Delete, ExchangeType, Message, Notify, NotifyType, Payload, ProtocolId};

/// Wait before a Child SA that the peer deleted without a successor is asked for again.
const REPLACE_WAIT: Duration = Duration::from_secs(1);

/// The peer deletes, asks whether we live, or tells of an error.
pub(crate) fn on_request(state: &mut Established, arrived: &Arrived<'_>, message: &Message, cx: &mut Cx<'_>) {
    if let Some(token) = Token::of(message) {
        state.token = Some(token);
    }
    let refused = message.notify(NotifyType::AUTHENTICATION_FAILED).is_some();
    if refused || message.deletes().any(|delete| *delete == Delete::IkeSa) {
        state.secured.answer(ExchangeType::INFORMATIONAL, Vec::new(), cx);
        let refusal = state.config.authentication.refusal(state.trusts_us, state.secured.ppk);
        let (reason, error) = match (refused, state.is_leaving()) {
            (true, _) => (DownReason::Error(refusal.clone()), Some(refusal)),
            (false, true) => (state.leaving_for.clone(), None),
            (false, false) if state.rival.is_some() => (DownReason::Rekeyed, None),
            (false, false) => (DownReason::DeletedByPeer, Some(IkeError::DeletedByPeer)),
        };
        state.fate = Some(Fate::GoneAnswered(reason, error));
        return;
    }
    let mut payloads = match mobike::on_request(state, arrived, message, cx) {
        Ok(payloads) => payloads,
        Err(refused) => {
            cx.note(What::ErrorAnswered);
            let refused = Payload::Notify(Notify::new(refused, Vec::new()));
            return state.secured.answer(ExchangeType::INFORMATIONAL, vec![refused], cx);
        }
    };
    if let Some(redirect) = Redirect::of(message).filter(|_| state.follows_redirects()) {
        // The present IKE SA carries on until the other gateway's takes over.
        cx.effect(Effect::Redirected(state.config.id, redirect.to, state.secured.path.remote.ip()));
    }
    let mut ours = Vec::new();
    for delete in message.deletes() {
        if let Delete::Child { protocol: ProtocolId::ESP, spis } = delete {
            ours.extend(spis.iter().filter_map(|spi| on_child_deleted(state, Spi(*spi), cx)));
        }
    }
    payloads.extend(resume::issue(state, message, cx));
    if !ours.is_empty() {
        let spis = ours.iter().map(|spi| spi.0).collect();
        payloads.push(Payload::Delete(Delete::Child { protocol: ProtocolId::ESP, spis }));
    }
    state.secured.answer(ExchangeType::INFORMATIONAL, payloads, cx);
}

/// The peer no longer receives under `spi`. Returns our SPI of the pair, unless our own delete of it is under way (RFC 7296, 1.4.1).
fn on_child_deleted(state: &mut Established, spi: Spi, cx: &mut Cx<'_>) -> Option<Spi> {
    let Some(child) = state.children.iter().find(|child| child.outbound == spi) else {
        if let Some(Pending::Child(request)) = &mut state.pending {
            request.note_deleted(spi);
        }
        return None;
    };
    let (id, policy, phase, inbound) = (child.id, child.policy, child.phase, child.inbound);
    let (carried, is_for_one) = (Offer::same_as(child), child.share.number().is_some());
    let crossed = matches!(&state.pending, Some(Pending::DeleteChild(ours, _)) if *ours == id);
    let reason = match phase {
        Phase::Replaced(successor) => {
            if state.child(successor).is_some_and(|next| !next.sends && !next.lost) {
                state.activate(successor, cx);
            }
            RemoveReason::Replaced
        }
        Phase::Deleting => RemoveReason::Replaced,
        Phase::Live => RemoveReason::DeletedByPeer,
    };
    state.drop_child(id, reason, cx);
    // A resource without a Child SA of its own has the one for all (RFC 9611, 6): the peer may have deleted it since it was idle there.
    if phase == Phase::Live && state.config.mode.initiates() && !is_for_one {
        state.want_again(policy, carried, REPLACE_WAIT, cx);
    }
    (!crossed).then_some(inbound)
}

/// Hands the peer our token for an IKE SA that came out of our rekey (RFC 6290, 4.3): the request was on its way before there was anything to make it of.
pub(crate) fn give_token(state: &mut Established, cx: &mut Cx<'_>) {
    if let Some(token) = crash::token_for(cx.settings, state.secured.spis) {
        state.pending = Some(Pending::Token);
        state.secured.request(ExchangeType::INFORMATIONAL, vec![token], cx);
    }
}

/// Sends the peer to another gateway (RFC 5685, 5). It ends this IKE SA when it is there.
pub(crate) fn send_elsewhere(state: &mut Established, cx: &mut Cx<'_>) {
    let Some(to) = state.config.redirect_to.clone() else { return };
    cx.note(What::Redirecting);
    state.pending = Some(Pending::Token);
    state.secured.request(ExchangeType::INFORMATIONAL, vec![redirect::payload(&to, &[])], cx);
}

/// Deletes at the peer the pair that it made by an answer which we did not take.
pub(crate) fn disown(state: &mut Established, spi: Spi, cx: &mut Cx<'_>) {
    state.pending = Some(Pending::Disown(spi));
    let delete = Delete::Child { protocol: ProtocolId::ESP, spis: vec![spi.0] };
    state.secured.request(ExchangeType::INFORMATIONAL, vec![Payload::Delete(delete)], cx);
}

/// Deletes a pair at the peer.
pub(crate) fn delete_child(state: &mut Established, id: ChildId, reason: RemoveReason, cx: &mut Cx<'_>) {
    let Some(inbound) = state.child(id).map(|child| child.inbound) else { return };
    state.pending = Some(Pending::DeleteChild(id, reason));
    let delete = Delete::Child { protocol: ProtocolId::ESP, spis: vec![inbound.0] };
    state.secured.request(ExchangeType::INFORMATIONAL, vec![Payload::Delete(delete)], cx);
}

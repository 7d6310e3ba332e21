//! Informational exchanges (RFC 2408, 4.8; RFC 2409, 5.7): one message each, which nothing answers. Deletions, notifications, liveness.

use super::dpd::Asked;
use super::established::{Established, Fate};
use super::protect::Isakmp;
use super::quick;
use super::wire::{self, Delete, ExchangeType, Header, Notify, NotifyType, Payload};
use crate::event::{DownReason, RemoveReason, Spi};
use crate::notice::What;
use crate::sa::{Arrived, Cx};
use crate::wire::ProtocolId;

/// Sends payloads in an exchange of its own; its message ID, and what was sent.
fn send(isakmp: &Isakmp, payloads: Vec<Payload>, cx: &mut Cx<'_>) -> (u32, Vec<u8>) {
    let id = loop {
        let id = cx.random_u32();
        if id != 0 {
            break id;
        }
    };
    let mut iv = isakmp.iv(id);
    let datagram = isakmp.seal(ExchangeType::INFORMATIONAL, id, &mut iv, &[&id.to_be_bytes()], payloads);
    cx.transmit(isakmp.path.local, isakmp.path.remote, datagram.clone());
    (id, datagram)
}

/// Tells the peer something about the ISAKMP SA; under which message ID, and what was sent.
pub(super) fn notify(isakmp: &Isakmp, kind: NotifyType, data: Vec<u8>, cx: &mut Cx<'_>) -> (u32, Vec<u8>) {
    let notify = Notify { protocol: ProtocolId::IKE, spi: isakmp.name(), kind, data };
    send(isakmp, vec![Payload::Notify(notify)], cx)
}

/// Tells the peer why its quick mode came to nothing.
pub(super) fn refuse(state: &mut Established, kind: NotifyType, spi: Vec<u8>, cx: &mut Cx<'_>) {
    cx.note(What::ErrorAnswered);
    let notify = Notify { protocol: ProtocolId::ESP, spi, kind, data: Vec::new() };
    let (id, _) = send(&state.isakmp, vec![Payload::Notify(notify)], cx);
    state.used.insert(id);
}

/// Tells the peer that we no longer receive on these SPIs; under which message IDs.
pub(super) fn delete_esp(isakmp: &Isakmp, spis: &[Spi], cx: &mut Cx<'_>) -> Vec<u32> {
    let delete = |spis: &[Spi]| {
        let spis = spis.iter().map(|spi| spi.0.to_be_bytes().to_vec()).collect();
        send(isakmp, vec![Payload::Delete(Delete { protocol: ProtocolId::ESP, spis })], cx).0
    };
    spis.chunks(wire::MAX_DELETED_SPIS).map(delete).collect()
}

/// Tells the peer that the ISAKMP SA is gone.
pub(super) fn delete_isakmp(isakmp: &Isakmp, cx: &mut Cx<'_>) {
    let delete = Delete { protocol: ProtocolId::IKE, spis: vec![isakmp.name()] };
    send(isakmp, vec![Payload::Delete(delete)], cx);
}

/// A message of the peer's. Both sides hash under one key: what we said ourselves must not come back as the peer's word, so its message ID is a used one.
pub(super) fn on_datagram(state: &mut Established, arrived: &Arrived<'_>, header: &Header, cx: &mut Cx<'_>) {
    if state.used.contains(&header.id) {
        return cx.note_from(What::DropMessageId, arrived.remote);
    }
    let id = header.id.to_be_bytes();
    let opened = state.isakmp.open_authentic(&state.isakmp.iv(header.id), arrived.bytes, &[&id]);
    let Some(opened) = opened else {
        return cx.note_from(What::DropUnauthentic, arrived.remote);
    };
    let payloads = opened.payloads();
    let is_liveness =
        |notify: &Notify| matches!(notify.kind, NotifyType::R_U_THERE | NotifyType::R_U_THERE_ACK);
    // Questions and answers have numbers of their own against replay; everything else is good once.
    let is_new = match wire::notifies(payloads).find(|notify| is_liveness(notify)) {
        Some(notify) if notify.kind == NotifyType::R_U_THERE => match state.on_question(notify, cx) {
            Asked::First => true,
            // Perhaps by somebody who recorded it: no sign of life, and of no other address.
            Asked::Again => return cx.note(What::AnswerRepeated),
            Asked::Before => false,
        },
        Some(notify) => state.on_answer(notify),
        None => state.is_new_id(header.id),
    };
    if !is_new {
        return cx.note_from(What::DropMessageId, arrived.remote);
    }
    state.heard(arrived, cx);
    for payload in payloads {
        match payload {
            Payload::Delete(delete) => on_delete(state, delete, cx),
            Payload::Notify(notify) => on_notify(state, notify, cx),
            _ => {}
        }
    }
}

fn on_delete(state: &mut Established, delete: &Delete, cx: &mut Cx<'_>) {
    let name = state.isakmp.name();
    match delete.protocol {
        ProtocolId::IKE if delete.spis.contains(&name) => {
            state.fate = Some(Fate::Gone(DownReason::DeletedByPeer, None));
        }
        ProtocolId::ESP => {
            for spi in delete.spis.iter().filter_map(|spi| <[u8; 4]>::try_from(spi.as_slice()).ok()) {
                state.deleted_by_peer(Spi(u32::from_be_bytes(spi)), cx);
            }
        }
        _ => {}
    }
}

fn on_notify(state: &mut Established, notify: &Notify, cx: &mut Cx<'_>) {
    match notify.kind {
        // The peer has nothing from before this ISAKMP SA.
        NotifyType::INITIAL_CONTACT => {
            let old = state.pairs.iter().filter(|pair| pair.child.since < state.since);
            let old: Vec<_> = old.map(|pair| pair.child.id).collect();
            cx.note(What::InitialContact);
            old.into_iter().for_each(|id| state.drop_pair(id, RemoveReason::DeletedByPeer, cx));
        }
        // Our proof was the last message: only now the initiator has checked it.
        NotifyType::AUTHENTICATION_FAILED => {
            let error = state.config.authentication.refusal(true, false);
            state.fate = Some(Fate::Gone(DownReason::Error(error.clone()), Some(error)));
        }
        kind if kind.is_error() => quick::on_error(state, notify, cx),
        _ => {}
    }
}

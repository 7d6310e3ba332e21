//! The first message of a peer, before there is any state: which connections it may be for, what of its offer they take, whether there is room; and what is refused.

use std::sync::Arc;

use super::method;
use crate::config::{ConnectionConfig, Version};
use crate::connection::{Connection, Evidence};
use crate::endpoint::Endpoint;
use crate::environment::{Environment, Instant};
use crate::error::IkeError;
use crate::event::ConnectionId;
use crate::notice::What;
use crate::sa::{Arrived, Cx};
use crate::v1::suite;
use crate::v1::wire::{self, ExchangeType, Header, Message, Notify, NotifyType, Payload};
use crate::wire::ProtocolId;

/// Most connections whose keys are tried on one proof, or that are told of one refusal.
const CANDIDATES_MAX: usize = 32;

/// The connections of that peer that speak IKEv1, those of a known address first, and those that speak another version.
pub(super) fn candidates(
    endpoint: &Endpoint,
    arrived: &Arrived<'_>,
) -> (Vec<ConnectionId>, Vec<ConnectionId>) {
    let (local, remote) = (arrived.local.ip(), arrived.remote.ip());
    let found = endpoint.known.candidates(remote);
    let found = found.iter().filter_map(|id| endpoint.connections.get(id));
    let (ours, others): (Vec<&Connection>, Vec<&Connection>) = found
        .filter(|connection| connection.may_answer(local, remote))
        .partition(|connection| connection.config.version == Version::V1);
    let id = |connection: &&Connection| connection.config.id;
    (ours.iter().map(id).take(CANDIDATES_MAX).collect(), others.iter().map(id).take(CANDIDATES_MAX).collect())
}

/// The best suite of the first connection that accepts any, and all that accept it.
pub(super) fn choose(
    candidates: &[ConnectionId],
    message: &Message,
    cx: &Cx<'_>,
) -> Option<(Vec<ConnectionId>, suite::Phase1)> {
    let sa = wire::sa(&message.payloads)?;
    let configs = || candidates.iter().filter_map(|id| cx.connections.get(id)).map(|c| &c.config);
    let pick = |config: &ConnectionConfig| suite::choose(&config.ike_suites, method(config), sa);
    let (by, chosen) = configs().find_map(|config| Some((method(config), pick(config)?)))?;
    let fits =
        |config: &&Arc<ConnectionConfig>| method(config) == by && config.ike_suites.contains(&chosen.suite);
    Some((configs().filter(fits).map(|config| config.id).collect(), chosen))
}

/// Whether there is room for another half-open IKE SA. A first message proves nothing, not even where it came from: half of the places are for IKEv2, whose
/// initiators can be asked for a cookie.
pub(super) fn has_place(
    endpoint: &mut Endpoint,
    arrived: &Arrived<'_>,
    now: Instant,
    env: &mut dyn Environment,
) -> bool {
    let (all, of_source) =
        (endpoint.half_open.len(), endpoint.half_open.from(arrived.remote.ip(), Version::V1));
    let settings = &endpoint.settings;
    let full = if all >= settings.half_open_limit / 2 {
        What::DropHalfOpenLimit
    } else if of_source >= settings.half_open_limit_per_source {
        What::DropSourceLimit
    } else {
        return true;
    };
    endpoint.cx(now, env).note_from(full, arrived.remote);
    false
}

/// No connection here answers to that peer in this version.
pub(super) fn refuse_stranger(
    others: &[ConnectionId],
    arrived: &Arrived<'_>,
    message: &Message,
    cx: &mut Cx<'_>,
) {
    if others.is_empty() {
        cx.note_from(What::DropNoConnection, arrived.remote);
    } else {
        let error = IkeError::OtherVersion(Version::V1);
        cx.refused(What::DropOtherVersion, arrived.remote, others, Evidence::Hint, &error);
    }
    refuse_by_answer(arrived, message, NotifyType::NO_PROPOSAL_CHOSEN, cx);
}

/// Answers a stranger, unless too many were refused of late.
pub(super) fn refuse_by_answer(arrived: &Arrived<'_>, message: &Message, kind: NotifyType, cx: &mut Cx<'_>) {
    if cx.shared.strangers.may_be_answered(cx.now) {
        refuse(arrived, message, kind, cx);
    } else {
        cx.note_from(What::DropRefusalLimit, arrived.remote);
    }
}

/// Aggressive mode: its answer would hold a hash of the shared key, for whoever asks to guess it offline.
pub(crate) fn refuse_aggressive(
    endpoint: &mut Endpoint,
    arrived: &Arrived<'_>,
    now: Instant,
    env: &mut dyn Environment,
) {
    let (ours, others) = candidates(endpoint, arrived);
    let mut cx = endpoint.cx(now, env);
    let meant = if ours.is_empty() { others } else { ours };
    let error = IkeError::AggressiveMode;
    cx.refused(What::DropAggressiveMode, arrived.remote, &meant, Evidence::Hint, &error);
    if let Ok(message) = Message::parse(arrived.bytes) {
        refuse_by_answer(arrived, &message, NotifyType::UNSUPPORTED_EXCHANGE_TYPE, &mut cx);
    }
}

/// Answers without keeping state.
pub(super) fn refuse(arrived: &Arrived<'_>, message: &Message, kind: NotifyType, cx: &mut Cx<'_>) {
    let header = Header {
        exchange: ExchangeType::INFORMATIONAL,
        id: cx.random_u32() | 1,
        is_encrypted: false,
        ..message.header
    };
    let notify = Notify { protocol: ProtocolId::IKE, spi: Vec::new(), kind, data: Vec::new() };
    let answer = Message { header, payloads: vec![Payload::Notify(notify)] };
    cx.transmit(arrived.local, arrived.remote, answer.build().expect("one notification fits a datagram"));
}

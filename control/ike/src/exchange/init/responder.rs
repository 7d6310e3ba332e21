//! The responder of IKE_SA_INIT: refusals and cookies without state, then the answer (RFC 7296, 1.2, 2.5, 2.6).

use std::net::IpAddr;
use std::sync::Arc;

use super::{MIXES_ON_REQUEST, Transcript, detect_nat, header, nat_payloads, spi_pair};
use crate::auth::{certificate, ocsp};
use crate::config::{ConnectionConfig, Version};
use crate::connection::{Connection, Evidence};
use crate::crypto::kex::{Group, PrivateValue};
use crate::crypto::keys::IkeKeys;
use crate::crypto::suite::{IkeSuite, choose_ike_mixed};
use crate::endpoint::Endpoint;
use crate::environment::{Environment, Instant};
use crate::error::{IkeError, Stage};
use crate::event::{ConnectionId, Encapsulation, IkeId, Path};
use crate::exchange::auth;
use crate::exchange::intermediate::Mixing;
use crate::job::{JobResult, Outcome, Work};
use crate::notice::What;
use crate::place::Place;
use crate::redirect;
use crate::sa::{Arrived, Cx, IkeSa, State};
use crate::secret::Secret;
use crate::secured::Secured;
use crate::wire::{
    ExchangeType, Header, IkeSpi, KeyExchangeData, Message, MessageId, MessageKind, Notify, NotifyType,
    Payload, Role,
};

/// Responder: public value and shared secret are being computed.
#[derive(Debug)]
pub(crate) struct InitAnswering {
    pub(crate) serial: u64,
    pub(crate) spis: (IkeSpi, IkeSpi),
    suite: IkeSuite,
    proposal: crate::wire::Proposal,
    request: Vec<u8>,
    nonces: (Vec<u8>, Vec<u8>),
    candidates: Vec<ConnectionId>,
    path: Path,
    fragments: bool,
    /// The additional key exchange that follows.
    additional: Option<Group>,
    /// Whether the peer announced USE_PPK.
    ppk: bool,
    /// How long the peer has from its first message on.
    expires_at: Instant,
}

/// A first message from a peer. Until the cookie is right, and for every refusal, no state is kept.
pub(crate) fn accept(
    endpoint: &mut Endpoint,
    arrived: &Arrived<'_>,
    now: Instant,
    env: &mut dyn Environment,
) {
    let Ok(message) = Message::parse(arrived.bytes) else {
        return endpoint.cx(now, env).note_from(What::DropMalformed, arrived.remote);
    };
    let (Some(sa), Some(ke), Some(nonce), MessageId(0)) =
        (message.sa(), message.ke(), message.nonce(), message.header.id)
    else {
        return endpoint.cx(now, env).note_from(What::DropUnexpected, arrived.remote);
    };
    if endpoint.stopping {
        return endpoint.cx(now, env).note_from(What::DropStopping, arrived.remote);
    }
    if !has_place(endpoint, arrived, &message, now, env) {
        return;
    }
    let known = endpoint.known.candidates(arrived.remote.ip());
    let mut cx = endpoint.cx(now, env);
    if let Some(kind) = message.unsupported_critical() {
        return refuse_stranger(
            arrived,
            &message,
            NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD,
            vec![kind.0],
            &mut cx,
        );
    }
    let mut fitting = Vec::new();
    let mut chosen = None;
    let (local, remote) = (arrived.local.ip(), arrived.remote.ip());
    // A peer with a known address before those from anywhere.
    let fitting_address = known.iter().filter_map(|id| cx.connections.get(id));
    let (mut candidates, others): (Vec<_>, Vec<_>) = fitting_address
        .filter(|connection| connection.may_answer(local, remote))
        .partition(|candidate| candidate.config.version == Version::V2);
    // What is at another address of ours by MOBIKE alone answers where nothing else does.
    if candidates.iter().any(|candidate| candidate.config.local_address == local) {
        candidates.retain(|candidate| candidate.config.local_address == local);
    }
    if let Some(to) = sent_elsewhere(&candidates, &message) {
        cx.note_from(What::Redirecting, arrived.remote);
        let payload = redirect::payload(&to, nonce);
        return answer_without_state(arrived, &message, payload, &mut cx);
    }
    let can_mix = message.notify(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED).is_some();
    if wants_to_mix(&candidates, remote, &message) {
        return refuse(arrived, &message, NotifyType::OFFER_ADDITIONAL_KEY_EXCHANGES, Vec::new(), &mut cx);
    }
    for candidate in &candidates {
        let ConnectionConfig { ike_suites, additional, .. } = candidate.config.as_ref();
        let wanted: Vec<_> =
            additional.iter().copied().filter(|wanted| wanted.is_none() || can_mix).collect();
        if let Some(choice) = choose_ike_mixed(ike_suites, &wanted, sa, ke.group) {
            let first = &*chosen.get_or_insert(choice);
            if ike_suites.contains(&first.suite) && additional.contains(&first.additional) {
                fitting.push(candidate.config.id);
            }
        }
    }
    let Some(choice) = chosen else {
        let ids = |of: &[&Connection]| of.iter().map(|found| found.config.id).collect::<Vec<_>>();
        let (ours, others) = (ids(&candidates), ids(&others));
        match (ours.is_empty(), others.is_empty()) {
            (false, _) => {
                let error = IkeError::NoProposalChosen(Stage::Init);
                cx.refused(What::ExchangeFailed, arrived.remote, &ours, Evidence::Hint, &error);
            }
            (true, false) => {
                let error = IkeError::OtherVersion(Version::V2);
                cx.refused(What::DropOtherVersion, arrived.remote, &others, Evidence::Hint, &error);
            }
            (true, true) => cx.note_from(What::DropNoConnection, arrived.remote),
        }
        return refuse_stranger(arrived, &message, NotifyType::NO_PROPOSAL_CHOSEN, Vec::new(), &mut cx);
    };
    if choice.suite.group.id() != ke.group {
        cx.note_from(What::GroupDemanded, arrived.remote);
        // It counts, but goes out: without it a peer cannot begin.
        let _ = cx.shared.strangers.may_be_answered(now);
        let group = choice.suite.group.id().0.to_be_bytes().to_vec();
        return refuse(arrived, &message, NotifyType::INVALID_KE_PAYLOAD, group, &mut cx);
    }
    let id = IkeId(cx.shared.next_id());
    cx.ike = Some(id);
    cx.is_stranger = true;
    cx.note_from(What::Responding, arrived.remote);
    let spis = (message.header.initiator_spi, cx.ike_spi());
    let private = PrivateValue::draw(choice.suite.group, &mut |out| cx.env.random(out));
    let path = Path {
        local: arrived.local,
        remote: arrived.remote,
        encapsulation: Encapsulation::None,
        nat_before_us: false,
        nat_before_peer: false,
    };
    let config = Arc::clone(&cx.connections[&fitting[0]].config);
    let seen = (message.header.initiator_spi, IkeSpi::NONE);
    let path = detect_nat(&message, seen, arrived, path, Role::Responder, &config, &mut cx);
    let state = InitAnswering {
        serial: cx.compute(Work::Answer(private, ke.public.clone())),
        spis,
        suite: choice.suite,
        proposal: choice.proposal,
        request: arrived.bytes.to_vec(),
        nonces: (nonce.clone(), cx.nonce()),
        candidates: fitting,
        path,
        fragments: message.notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED).is_some(),
        additional: choice.additional,
        ppk: message.notify(NotifyType::USE_PPK).is_some(),
        expires_at: now + cx.settings.half_open_timeout,
    };
    let first_message = Some((arrived.remote, message.header.initiator_spi));
    let sa = IkeSa::new(id, spis.1, first_message, State::InitAnswering(Box::new(state)), &cx);
    endpoint.register(sa);
}

/// Whether the peer is to offer additional key exchanges, which it does when it is asked to: whoever it is of those known at its address, or else of those from anywhere,
/// they are wanted first.
fn wants_to_mix(candidates: &[&Connection], remote: IpAddr, message: &Message) -> bool {
    let offers = |payload: &Payload| matches!(payload, Payload::VendorId(id) if *id == MIXES_ON_REQUEST);
    let wanted = |candidate: &&Connection| candidate.config.additional.first().is_some_and(Option::is_some);
    let known = candidates.iter().take_while(|candidate| candidate.config.is_at(remote)).count();
    let possible = if known > 0 { &candidates[..known] } else { candidates };
    !possible.is_empty() && possible.iter().all(wanted) && message.payloads.iter().any(offers)
}

/// Where a peer is sent that follows redirects, if all connections that it may be of say the same (RFC 5685, 3).
fn sent_elsewhere(candidates: &[&Connection], message: &Message) -> Option<Place> {
    let (first, others) = candidates.split_first().filter(|_| redirect::follows(message))?;
    let to = &first.config.redirect_to;
    others.iter().all(|other| other.config.redirect_to == *to).then(|| to.clone()).flatten()
}

/// Whether there is room for another half-open IKE SA. What a source has counts against it once it proved by a cookie that it is one: whoever forges
/// addresses takes nobody's place.
pub(crate) fn has_place(
    endpoint: &mut Endpoint,
    arrived: &Arrived<'_>,
    message: &Message,
    now: Instant,
    env: &mut dyn Environment,
) -> bool {
    let (all, of_source) =
        (endpoint.half_open.len(), endpoint.half_open.from(arrived.remote.ip(), Version::V2));
    let settings = &endpoint.settings;
    let is_crowded = all >= settings.cookie_threshold
        || of_source >= settings.cookie_threshold_per_source
        || endpoint.shared.strangers.are_many(now);
    let is_of_source_full = of_source >= settings.half_open_limit_per_source;
    if all >= settings.half_open_limit {
        endpoint.cx(now, env).note_from(What::DropHalfOpenLimit, arrived.remote);
        return false;
    }
    if is_crowded && !cookie_is_right(endpoint, arrived, message, now, env) {
        return false;
    }
    if is_of_source_full {
        endpoint.cx(now, env).note_from(What::DropSourceLimit, arrived.remote);
    }
    !is_of_source_full
}

/// Whether the request carries a cookie of ours; if it carries none, it is answered with one (RFC 7296, 2.6).
fn cookie_is_right(
    endpoint: &mut Endpoint,
    arrived: &Arrived<'_>,
    message: &Message,
    now: Instant,
    env: &mut dyn Environment,
) -> bool {
    let spi = message.header.initiator_spi;
    let nonce = message.nonce().map_or(&[][..], Vec::as_slice);
    endpoint.rotate_cookies(now, env);
    let given = message.notify(NotifyType::COOKIE);
    if given.is_some_and(|notify| endpoint.cookies.is_valid(&notify.data, nonce, arrived.remote, spi)) {
        return true;
    }
    let cookie = endpoint.cookies.issue(nonce, arrived.remote, spi).unwrap_or_default();
    let mut cx = endpoint.cx(now, env);
    cx.note_from(if given.is_some() { What::DropCookie } else { What::CookieDemanded }, arrived.remote);
    refuse(arrived, message, NotifyType::COOKIE, cookie, &mut cx);
    false
}

impl InitAnswering {
    pub(crate) fn on_computed(self: Box<Self>, result: JobResult, cx: &mut Cx<'_>) -> State {
        let Outcome::Answered(answered) = result.outcome else { return State::InitAnswering(self) };
        if result.serial != self.serial {
            return State::InitAnswering(self);
        }
        match answered {
            Ok((public, shared)) => self.answer(public, &shared, cx),
            Err(_) => self.give_up(What::ExchangeFailed, &IkeError::BadPublicKey(Stage::Init), cx),
        }
    }

    /// There will be no answer.
    pub(crate) fn give_up(self: Box<Self>, what: What, error: &IkeError, cx: &mut Cx<'_>) -> State {
        cx.refused(what, self.path.remote, &self.candidates, Evidence::Hint, error);
        State::Gone
    }

    fn answer(self: Box<Self>, public: Vec<u8>, shared: &Secret<Vec<u8>>, cx: &mut Cx<'_>) -> State {
        let Path { local, remote, .. } = self.path;
        let force = self
            .candidates
            .iter()
            .filter_map(|id| cx.connections.get(id))
            .any(|c| c.config.force_encapsulation);
        let mut payloads = vec![
            Payload::SecurityAssociation(vec![self.proposal]),
            Payload::KeyExchange(KeyExchangeData { group: self.suite.group.id(), public }),
            Payload::Nonce(self.nonces.1.clone()),
            // A peer may do without the first Child SA in IKE_AUTH (RFC 6023).
            Payload::Notify(Notify::new(NotifyType::CHILDLESS_IKEV2_SUPPORTED, Vec::new())),
        ];
        if self.additional.is_some() {
            payloads
                .push(Payload::Notify(Notify::new(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED, Vec::new())));
        }
        payloads.extend(nat_payloads(self.spis, local, remote, force));
        let candidates = self.candidates.iter().filter_map(|id| cx.connections.get(id));
        let ppk = self.ppk && candidates.clone().any(|candidate| candidate.config.ppk.is_some());
        if ppk {
            payloads.push(Payload::Notify(Notify::new(NotifyType::USE_PPK, Vec::new())));
        }
        let trusted =
            candidates.filter_map(|c| c.config.authentication.certificate()).map(|by| by.trust.as_ref());
        if let Some(request) = certificate::request(trusted.clone()) {
            payloads.extend([certificate::announcement(), request]);
            payloads.extend(ocsp::request(trusted));
        }
        let header = header(self.spis, Role::Responder, MessageKind::Response);
        let answer = Message { header, payloads }.build().expect("our own IKE_SA_INIT fits a datagram");
        cx.transmit(local, remote, answer.clone());
        cx.note_stage(What::KeysAgreed, Stage::Init);
        let transcript = Transcript {
            request: self.request,
            answer,
            nonce_initiator: self.nonces.0,
            nonce_responder: self.nonces.1,
            intermediate: Vec::new(),
            ppk,
        };
        let keys = IkeKeys::derive(self.suite, shared, transcript.nonces(), spi_pair(self.spis));
        let secured = Secured::new(self.spis, Role::Responder, keys, self.path, self.fragments);
        State::AuthAwaited(Box::new(auth::AuthAwaited {
            secured,
            transcript,
            candidates: self.candidates,
            mixing: self.additional.map_or(Mixing::Done, Mixing::Awaited),
            expires_at: self.expires_at,
            called_from: self.path.remote.ip(),
            resumed: None,
        }))
    }
}

/// Refuses a stranger without keeping state; without an answer where too many were refused of late.
fn refuse_stranger(
    arrived: &Arrived<'_>,
    message: &Message,
    kind: NotifyType,
    data: Vec<u8>,
    cx: &mut Cx<'_>,
) {
    if cx.shared.strangers.may_be_answered(cx.now) {
        refuse(arrived, message, kind, data, cx);
    } else {
        cx.note_from(What::DropRefusalLimit, arrived.remote);
    }
}

/// Answers without keeping state: an error, or a cookie.
pub(crate) fn refuse(
    arrived: &Arrived<'_>,
    message: &Message,
    kind: NotifyType,
    data: Vec<u8>,
    cx: &mut Cx<'_>,
) {
    answer_without_state(arrived, message, Payload::Notify(Notify::new(kind, data)), cx);
}

fn answer_without_state(arrived: &Arrived<'_>, message: &Message, payload: Payload, cx: &mut Cx<'_>) {
    let spis = (message.header.initiator_spi, IkeSpi::NONE);
    let exchange = message.header.exchange;
    let header = Header { exchange, ..header(spis, Role::Responder, MessageKind::Response) };
    let payloads = vec![payload];
    let answer = Message { header, payloads }.build().expect("one notification fits a datagram");
    cx.transmit(arrived.local, arrived.remote, answer);
}

/// Tells a peer that speaks another major version which one is spoken here (RFC 7296, 2.5).
pub(crate) fn refuse_version(arrived: &Arrived<'_>, cx: &mut Cx<'_>) {
    let Some((head, _)) = arrived.bytes.split_first_chunk::<28>() else { return };
    let spi = |at: usize| head[at..at + 8].iter().fold(0u64, |spi, byte| spi << 8 | u64::from(*byte));
    let is_newer_request = head[17] >> 4 > 2 && head[19] & 0x20 == 0;
    if !is_newer_request {
        return;
    }
    let header = Header {
        exchange: ExchangeType(head[18]),
        id: MessageId(u32::from_be_bytes([head[20], head[21], head[22], head[23]])),
        ..header((IkeSpi(spi(0)), IkeSpi(spi(8))), Role::Responder, MessageKind::Response)
    };
    let payloads = vec![Payload::Notify(Notify::new(NotifyType::INVALID_MAJOR_VERSION, Vec::new()))];
    if let Ok(answer) = (Message { header, payloads }).build() {
        cx.transmit(arrived.local, arrived.remote, answer);
    }
}

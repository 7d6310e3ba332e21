//! Quick crash detection (RFC 6290), both roles, and what it takes for a peer that only sends traffic to notice a crash, too.
//!
//! With each IKE SA both sides hand each other a token that only they can make (in IKE_AUTH and after each rekey). Whoever has lost the IKE SA answers to messages
//! for it with that token, unprotected; the other side compares it, forgets the IKE SA and begins anew at once, long before dead peer detection would tell.
//!
//! Tokens are made of a secret that survives a restart and of the pair of SPIs, without any state (section 5.1). The token of a live IKE SA would let anybody end it:
//! nobody is told one who names an SPI that is in use here, in whatever place and role (section 10.2).
//!
//! ESP packets of SAs that are not here are answered by an unprotected INVALID_SPI, if their sender is somebody's peer (RFC 7296, 1.5). To the peer
//! that is a hint, which anybody could have given: it asks whether we are alive, and that request brings the token.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::allowance::Allowance;
use crate::config::{EndpointConfig, Version};
use crate::connection::Connection;
use crate::crypto::prf::Prf;
use crate::endpoint::{Endpoint, IKE_PORT};
use crate::environment::{Environment, Instant};
use crate::established::{Established, Task};
use crate::event::{ConnectionId, IkeId, Spi};
use crate::notice::What;
use crate::sa::{Arrived, Cx, IkeSa, State};
use crate::secret::Secret;
use crate::v1::Phase;
use crate::wire::{
    ExchangeType, Header, IkeSpi, Message, MessageId, MessageKind, Notify, NotifyType, Payload, PayloadType,
    ProtocolId, Role,
};

/// Lengths of a token (section 4.1).
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=128;
/// Tokens that are looked at in one message: four are what a peer may send whose secret was changed (section 4.5).
const TOKENS_MAX: usize = 4;
/// Shortest time between two questions to a peer of which somebody says that it has lost a Child SA.
const DOUBT_EVERY: Duration = Duration::from_secs(10);
/// ISAKMP SAs (IKEv1) between the same addresses whose peers are told of an unknown SA.
const DENIED_MAX: usize = 8;
/// Where the type of the first payload stands in a message (RFC 7296, 3.1).
const FIRST_PAYLOAD_AT: usize = 16;

/// Something that is told without protection, to whoever asks.
#[derive(Clone, Copy, Debug)]
enum Telling {
    /// The token of an IKE SA that is not here.
    Token,
    /// INVALID_SPI.
    InvalidSpi,
}

/// How often each may be told: by an endpoint to all, since every answer costs a look at every connection and a PRF; by a connection to its peers.
#[derive(Debug)]
pub(crate) struct Limits {
    tokens: Allowance,
    invalid_spis: Allowance,
    /// And how often what others tell is looked into.
    hints: Allowance,
    /// How often those are looked for who are at no known address: each of them costs a look at every connection.
    strangers: Allowance,
}

impl Limits {
    pub(crate) fn of_endpoint() -> Self {
        let of = |burst| Allowance::new(Duration::from_millis(5), burst);
        Self { tokens: of(400), invalid_spis: of(100), hints: of(100), strangers: of(100) }
    }

    pub(crate) fn of_connection() -> Self {
        let of = |every_ms, burst| Allowance::new(Duration::from_millis(every_ms), burst);
        Self { tokens: of(100, 20), invalid_spis: of(300, 3), hints: of(300, 3), strangers: of(300, 3) }
    }

    const fn of(&mut self, telling: Telling) -> &mut Allowance {
        match telling {
            Telling::Token => &mut self.tokens,
            Telling::InvalidSpi => &mut self.invalid_spis,
        }
    }
}

/// The token that a peer gave us for one IKE SA: who shows it has lost the IKE SA.
#[derive(Debug)]
pub(crate) struct Token(Secret<Vec<u8>>);

impl Token {
    /// The one that an authenticated message brings.
    pub(crate) fn of(message: &Message) -> Option<Self> {
        let notify = message.notify(NotifyType::QUICK_CRASH_DETECTION)?;
        TOKEN_BYTES.contains(&notify.data.len()).then(|| Self(Secret::from(notify.data.as_slice())))
    }

    /// Whether `message` shows it; compared in constant time.
    fn is_in(&self, message: &Message) -> bool {
        let shown = message.notifies().filter(|notify| notify.kind == NotifyType::QUICK_CRASH_DETECTION);
        shown.take(TOKENS_MAX).fold(false, |found, notify| found | self.0.matches(&notify.data))
    }
}

/// What a message for an IKE SA is that answers us without its protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is protected, or something else.
    Other,
    /// It says that the IKE SA is not there, without a token or with a wrong one.
    Unproven,
    /// It proves that.
    Proven,
}

/// Looks whether a message for the IKE SA of `spis` says that the peer has lost it.
pub(crate) fn judge(
    token: Option<&Token>,
    spis: (IkeSpi, IkeSpi),
    arrived: &Arrived<'_>,
    header: &Header,
) -> Answer {
    if header.kind != MessageKind::Response
        || (header.initiator_spi, header.responder_spi) != spis
        || is_protected(arrived.bytes)
    {
        return Answer::Other;
    }
    let Ok(message) = Message::parse(arrived.bytes) else { return Answer::Other };
    if message.notify(NotifyType::INVALID_IKE_SPI).is_none() {
        return Answer::Other;
    }
    if token.is_some_and(|token| token.is_in(&message)) { Answer::Proven } else { Answer::Unproven }
}

/// The notification by which we hand out our token for the IKE SA of `spis`; none without a secret.
pub(crate) fn token_for(settings: &EndpointConfig, spis: (IkeSpi, IkeSpi)) -> Option<Payload> {
    let secret = settings.crash_secret.as_ref()?;
    let token = Prf::HmacSha2_256.compute(secret.expose(), &[&spis.0.to_bytes(), &spis.1.to_bytes()]);
    let mut notify = Notify::new(NotifyType::QUICK_CRASH_DETECTION, token.expose().clone());
    // The registry's one exception (section 4.1): it is about the IKE SA, and says so.
    notify.protocol = ProtocolId::IKE;
    Some(Payload::Notify(notify))
}

/// Whether the first payload of a message is encrypted.
fn is_protected(bytes: &[u8]) -> bool {
    let first = bytes.get(FIRST_PAYLOAD_AT).map(|first| PayloadType(*first));
    matches!(first, Some(PayloadType::SK | PayloadType::SKF))
}

impl Endpoint {
    /// A message for an IKE SA that is not here.
    pub(crate) fn on_unknown_spi(
        &mut self,
        arrived: &Arrived<'_>,
        header: &Header,
        now: Instant,
        env: &mut dyn Environment,
    ) {
        self.cx(now, env).note_from(What::DropUnknownSpi, arrived.remote);
        if header.kind == MessageKind::Response {
            return;
        }
        if is_protected(arrived.bytes) {
            self.present_token(arrived, header, now, env);
        } else if header.exchange == ExchangeType::INFORMATIONAL {
            self.on_hint(arrived, now, env);
        }
    }

    /// Proves to a peer that its IKE SA is not here (sections 4.5 and 5).
    fn present_token(
        &mut self,
        arrived: &Arrived<'_>,
        header: &Header,
        now: Instant,
        env: &mut dyn Environment,
    ) {
        let spis = (header.initiator_spi, header.responder_spi);
        let is_live = [spis.0, spis.1].iter().any(|spi| self.by_spi.contains_key(spi));
        if is_live || spis.1 == IkeSpi::NONE || self.stopping {
            return;
        }
        let Some(token) = token_for(&self.settings, spis) else { return };
        if self.peer_to_tell(Telling::Token, arrived.local, arrived.remote, now).is_none() {
            return;
        }
        let header = Header { sender: header.sender.peer(), kind: MessageKind::Response, ..*header };
        let invalid = Payload::Notify(Notify::new(NotifyType::INVALID_IKE_SPI, Vec::new()));
        let answer = Message { header, payloads: vec![invalid, token] };
        let answer = answer.build().expect("two notifications fit a datagram");
        let mut cx = self.cx(now, env);
        cx.note_from(What::TokenPresented, arrived.remote);
        cx.transmit(arrived.local, arrived.remote, answer);
    }

    /// The data plane: an ESP packet to `local` from `remote` names an SA that is not here.
    pub(crate) fn tell_of_unknown_sa(
        &mut self,
        (local, remote): (SocketAddr, SocketAddr),
        spi: Spi,
        now: Instant,
        env: &mut dyn Environment,
    ) {
        if self.stopping {
            return;
        }
        let peers = self.peers_between(local, remote, now);
        if self.deny_v1(&peers, (local, remote), spi, now, env) {
            return;
        }
        // Where there is an IKE SA, its exchanges say what there is and what not: this is of a Child SA that was just deleted.
        let ikes = peers.iter().filter_map(|peer| self.connections.get(peer)).flat_map(|peer| &peer.ikes);
        if ikes.filter_map(|ike| self.sas.get(ike)).any(|sa| sa.is_up_with(remote)) {
            return;
        }
        let Some(peer) = self.may_tell(Telling::InvalidSpi, &peers, now) else { return };
        let mut cx = self.cx(now, env);
        cx.connection = Some(peer);
        cx.note_from(What::InvalidSpiTold, remote);
        // Nobody's SPI means anything to the peer (RFC 7296, 1.5); many take none of 0.
        let header = Header {
            initiator_spi: cx.ike_spi(),
            responder_spi: IkeSpi::NONE,
            exchange: ExchangeType::INFORMATIONAL,
            sender: Role::Initiator,
            kind: MessageKind::Request,
            id: MessageId(0),
        };
        let invalid = Notify::new(NotifyType::INVALID_SPI, spi.0.to_be_bytes().to_vec());
        let message = Message { header, payloads: vec![Payload::Notify(invalid)] };
        cx.transmit(local, remote, message.build().expect("one notification fits a datagram"));
    }

    /// Tells the peers of the ISAKMP SAs between these addresses that `spi` is deleted; whether there is any. Behind one address there may be several.
    fn deny_v1(
        &mut self,
        peers: &[ConnectionId],
        (local, remote): (SocketAddr, SocketAddr),
        spi: Spi,
        now: Instant,
        env: &mut dyn Environment,
    ) -> bool {
        let ikes = peers.iter().filter_map(|id| self.connections.get(id)).flat_map(|found| &found.ikes);
        let is_between =
            |ike: &&IkeId| self.sas.get(ike).is_some_and(|sa| sa.is_v1_between(local.ip(), remote.ip()));
        let ikes: Vec<IkeId> = ikes.filter(is_between).copied().take(DENIED_MAX).collect();
        for ike in &ikes {
            if self.limits.of(Telling::InvalidSpi).take(now) {
                self.with_sa(*ike, now, env, |sa, cx| sa.v1_established(cx, |state, cx| state.deny(spi, cx)));
            }
        }
        !ikes.is_empty()
    }

    /// Somebody says that an SA of ours is not there.
    fn on_hint(&mut self, arrived: &Arrived<'_>, now: Instant, env: &mut dyn Environment) {
        if !self.limits.hints.take(now) {
            return;
        }
        let Ok(message) = Message::parse(arrived.bytes) else { return };
        let named = message.notify(NotifyType::INVALID_SPI).map(|notify| notify.data.as_slice());
        let Some(Ok(spi)) = named.map(<[u8; 4]>::try_from) else { return };
        let spi = Spi(u32::from_be_bytes(spi));
        let meant = self.sas.values().find(|sa| sa.sends_to(arrived.remote.ip(), spi)).map(|sa| sa.id);
        if let Some(ike) = meant {
            self.with_sa(ike, now, env, IkeSa::doubt);
        }
    }

    /// The connection whose peer is at `remote`, if it may be told now.
    fn peer_to_tell(
        &mut self,
        telling: Telling,
        local: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) -> Option<ConnectionId> {
        let peers = self.peers_between(local, remote, now);
        self.may_tell(telling, &peers, now)
    }

    /// The connections whose peer is at `remote`, or may be since it may be anywhere: those behind the others, for several peers may be at one address. Each
    /// look at them uses up what is there for strangers, and nothing of the peers'.
    fn peers_between(&mut self, local: SocketAddr, remote: SocketAddr, now: Instant) -> Vec<ConnectionId> {
        let fits = |connection: &&Connection| connection.is_between(local.ip(), remote.ip());
        let id = |connection: &Connection| connection.config.id;
        let known = self.known.at(remote.ip()).filter_map(|id| self.connections.get(&id)).filter(fits);
        let mut peers: Vec<_> = known.map(id).collect();
        if self.known.has_roaming() && self.limits.strangers.take(now) {
            let roaming = self.known.roaming().filter_map(|id| self.connections.get(&id)).filter(fits);
            let roaming: Vec<_> = roaming.map(id).filter(|id| !peers.contains(id)).collect();
            peers.extend(roaming);
        }
        peers
    }

    /// The first of `peers` that speaks IKEv2, if it may be told now.
    fn may_tell(&mut self, telling: Telling, peers: &[ConnectionId], now: Instant) -> Option<ConnectionId> {
        let is_v2 = |id: &&ConnectionId| {
            self.connections.get(id).is_some_and(|found| found.config.version == Version::V2)
        };
        let id = *peers.iter().find(is_v2)?;
        let peer = self.connections.get_mut(&id)?;
        (peer.limits.of(telling).take(now) && self.limits.of(telling).take(now)).then_some(id)
    }
}

impl IkeSa {
    /// Whether it has a Child SA that sends under `spi` to `peer`.
    fn sends_to(&self, peer: IpAddr, spi: Spi) -> bool {
        self.up_with(peer).is_some_and(|state| state.children.iter().any(|child| child.outbound == spi))
    }

    /// Whether it is established with the peer that sends ESP from there: in UDP from the port that IKE has, too, else without ports.
    fn is_up_with(&self, peer: SocketAddr) -> bool {
        let is_there = |state: &Established| {
            let remote = state.secured.path.remote;
            remote.port() == peer.port() || peer.port() == IKE_PORT
        };
        self.up_with(peer.ip()).is_some_and(is_there)
    }

    /// Whether it is an established ISAKMP SA between these addresses.
    fn is_v1_between(&self, local: IpAddr, remote: IpAddr) -> bool {
        match &self.state {
            State::V1(Phase::Established(state)) => state.is_between(local, remote),
            _ => false,
        }
    }

    fn up_with(&self, peer: IpAddr) -> Option<&Established> {
        match &self.state {
            State::Established(state) if state.secured.path.remote.ip() == peer => Some(state),
            _ => None,
        }
    }

    /// The peer may have lost it.
    fn doubt(&mut self, cx: &mut Cx<'_>) {
        self.established(cx, |state, cx| state.doubt(cx));
    }
}

impl Established {
    /// Somebody says that the peer has lost a Child SA. It is asked, but not again and again: anybody may say so.
    fn doubt(&mut self, cx: &mut Cx<'_>) {
        let is_asked = self.doubted_at.is_some_and(|at| cx.now.saturating_since(at) < DOUBT_EVERY);
        if !is_asked && !self.is_leaving() {
            self.doubted_at = Some(cx.now);
            cx.note(What::PeerDoubted);
            self.want(Task::Liveness);
        }
    }
}

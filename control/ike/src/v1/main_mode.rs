//! Main mode (RFC 2409, 5.1 and 5.4), six messages: algorithms; public values, nonces and NATs; identities and proofs under encryption. The initiator's and the
//! responder's states are beside this file.
//!
//! Before the last two messages nothing is authenticated: an error of somebody is a hint for the operator and no reason to stop. Whoever sent a message that the
//! other one has not answered sends it again; whoever answered says the same again when it is asked again.

use std::sync::Arc;
use std::time::Duration;

use crossgate_pki::KeyKind;

use super::established::Established;
use super::keys::{self, Agreed, Side};
use super::protect::{Abilities, Isakmp};
use super::suite::Method;
use super::wire::{ExchangeType, Header, Message, NotifyType, Payload};
use crate::auth::{AuthVerified, Authentication};
use crate::config::{ConnectionConfig, Lifetime};
use crate::crypto::keys::{IkeSpis, Nonces};
use crate::crypto::prf::Prf;
use crate::crypto::suite::IkeSuite;
use crate::effect::Effect;
use crate::error::{IkeError, Stage};
use crate::event::{Event, IkeId, IkeUp, Path, Role};
use crate::identity::Identity;
use crate::notice::What;
use crate::sa::Cx;
use crate::secret::Secret;
use crate::wire::{IkeSpi, NotifyType as V2Notify, ProtocolId};

mod attempt;
mod first;
mod initiator;
mod responder;
mod signature;
mod tries;

pub(crate) use first::refuse_aggressive;
pub(crate) use initiator::begin;
pub(super) use initiator::{Exchanging, Offered, Preparing, Proving, Sharing};
pub(crate) use responder::accept;
pub(super) use responder::{Agreeing, Answered, Awaiting};
pub(super) use signature::{Checking, Signing, Verifying};

/// Shortest life that is taken over from a peer: less would be nothing but rekeying.
const LIFE_MIN: Duration = Duration::from_secs(60);

/// How a connection proves itself in phase 1.
fn method(config: &ConnectionConfig) -> Method {
    let Some(by) = config.authentication.certificate() else { return Method::SharedKey };
    match by.credential.key().public_key().kind() {
        KeyKind::P256 => Method::Ecdsa256,
        KeyKind::P384 => Method::Ecdsa384,
        KeyKind::P521 => Method::Ecdsa521,
        // Ed25519 is not taken for IKEv1, `ConnectionConfig::check`.
        KeyKind::Rsa { .. } | KeyKind::Ed25519 => Method::RsaSignature,
    }
}

/// The shorter of our life and the peer's.
pub(super) fn shorter(ours: Lifetime, theirs: Option<Duration>) -> Lifetime {
    match theirs.map(|theirs| theirs.max(LIFE_MIN)) {
        Some(theirs) if theirs < ours.hard => Lifetime::of(theirs),
        _ => ours,
    }
}

fn header(cookies: (IkeSpi, IkeSpi), exchange: ExchangeType) -> Header {
    Header { initiator: cookies.0, responder: cookies.1, exchange, is_encrypted: false, id: 0 }
}

fn clear(cookies: (IkeSpi, IkeSpi), payloads: Vec<Payload>) -> Vec<u8> {
    let header = header(cookies, ExchangeType::MAIN_MODE);
    Message { header, payloads }.build().expect("our own messages in the clear fit a datagram")
}

/// What both sides have said before they prove who they are.
#[derive(Debug)]
struct Transcript {
    cookies: IkeSpis,
    suite: IkeSuite,
    method: Method,
    /// The body of the initiator's SA payload.
    sa_body: Vec<u8>,
    public_initiator: Vec<u8>,
    public_responder: Vec<u8>,
    nonce_initiator: Vec<u8>,
    nonce_responder: Vec<u8>,
}

impl Transcript {
    fn nonces(&self) -> Nonces<'_> {
        Nonces { initiator: &self.nonce_initiator, responder: &self.nonce_responder }
    }

    fn agreed<'a>(&'a self, shared: &'a Secret<Vec<u8>>) -> Agreed<'a> {
        Agreed { shared, nonces: self.nonces(), cookies: self.cookies }
    }

    const fn prf(&self) -> Prf {
        self.suite.prf
    }

    /// SKEYID under what a connection is authenticated by.
    fn prove(&self, shared: &Secret<Vec<u8>>, config: &ConnectionConfig) -> Secret<Vec<u8>> {
        match &config.authentication {
            Authentication::SharedKey(key) => keys::of_shared_key(self.prf(), key.expose(), self.nonces()),
            Authentication::Certificate(_) | Authentication::Eap(_) => {
                keys::of_signatures(self.prf(), self.agreed(shared))
            }
        }
    }

    /// The IV of message 5.
    fn iv(&self) -> Vec<u8> {
        keys::iv(self.suite, &[&self.public_initiator, &self.public_responder])
    }

    /// HASH_I or HASH_R.
    fn proof(&self, who: Role, prove: &Secret<Vec<u8>>, id_body: &[u8]) -> Secret<Vec<u8>> {
        let initiator = Side { public: &self.public_initiator, cookie: self.cookies.initiator };
        let responder = Side { public: &self.public_responder, cookie: self.cookies.responder };
        let sides = match who {
            Role::Initiator => (initiator, responder),
            Role::Responder => (responder, initiator),
        };
        keys::proof(self.method.proof_prf(self.prf()), prove, sides, &self.sa_body, id_body)
    }
}

/// INITIAL-CONTACT (RFC 2407, 4.6.3.3).
fn initial_contact(cookies: IkeSpis) -> Payload {
    let spi = [cookies.initiator.to_bytes(), cookies.responder.to_bytes()].concat();
    Payload::Notify(super::wire::Notify {
        protocol: ProtocolId::IKE,
        spi,
        kind: NotifyType::INITIAL_CONTACT,
        data: Vec::new(),
    })
}

/// What an error of phase 1 that nobody vouches for may mean, if it says anything.
const fn hint(notify: NotifyType) -> Option<IkeError> {
    match notify {
        NotifyType::NO_PROPOSAL_CHOSEN => {
            Some(IkeError::NoAnswer { stage: Stage::MainMode, hint: Some(V2Notify::NO_PROPOSAL_CHOSEN) })
        }
        NotifyType::PAYLOAD_MALFORMED | NotifyType::INVALID_HASH_INFORMATION => {
            Some(IkeError::Undecryptable(Stage::MainMode))
        }
        notify if notify.is_error() => Some(IkeError::RefusedV1 { stage: Stage::MainMode, notify }),
        _ => None,
    }
}

/// What is known when phase 1 is done.
struct Done {
    isakmp: Isakmp,
    config: Arc<ConnectionConfig>,
    peer: Identity,
    life: Option<Duration>,
    initial_contact: bool,
    renews: Option<IkeId>,
}

/// The transition to an authenticated ISAKMP SA, in both roles; needs the proof.
fn establish(done: Done, _proof: AuthVerified, cx: &mut Cx<'_>) -> Established {
    let Done { isakmp, config, peer, life, initial_contact, renews } = done;
    let connection = config.id;
    cx.connection = Some(connection);
    cx.note(What::Established);
    let ike = cx.ike_id();
    cx.event(Event::IkeUp(Box::new(IkeUp {
        connection,
        ike,
        version: config.version,
        spis: isakmp.spis(),
        role: isakmp.role,
        path: isakmp.path,
        suite: isakmp.suite,
        additional: None,
        ppk: false,
        peer: peer.clone(),
        replaces: renews,
    })));
    cx.effect(Effect::Established { ike, connection, initial_contact });
    Established::new(isakmp, config, peer, life, cx)
}

/// The connection's configuration as it is now, if what began under `config` stands under it.
fn in_force(config: &ConnectionConfig, cx: &Cx<'_>) -> Option<Arc<ConnectionConfig>> {
    let current = &cx.connections.get(&config.id)?.config;
    config.same_ike(current).then(|| Arc::clone(current))
}

/// What phase 1 leaves to phase 2.
fn isakmp(
    transcript: &Transcript,
    keys: keys::Keys,
    role: Role,
    last_block: Vec<u8>,
    path: Path,
    abilities: Abilities,
) -> Isakmp {
    Isakmp { cookies: transcript.cookies, role, suite: transcript.suite, keys, last_block, path, abilities }
}

//! IKE_AUTH (RFC 7296, 1.2, 2.15, 2.21.2): who the peer is, and the first Child SA. An IKE SA without its Child SA is kept: the Child SA is asked for again later.

use std::sync::Arc;

use crate::auth::{AuthVerified, Ppk, signed_octets};
use crate::child::{Agreed, Keying};
use crate::config::ConnectionConfig;
use crate::effect::Effect;
use crate::established::Established;
use crate::event::{Event, IkeUp, Role};
use crate::exchange::init::Transcript;
use crate::identity::Identity;
use crate::notice::What;
use crate::sa::Cx;
use crate::secured::Secured;
use crate::selector::TrafficSelector;
use crate::wire::{Identification, Selector};

mod eap;
mod first_child;
mod initiator;
mod responder;
mod resumption;

pub(crate) use eap::AuthLogin;
pub(crate) use initiator::{AuthSent, AuthSigning, AuthVerifying, begin};
pub(crate) use responder::{AuthAwaited, AuthProving};
pub(crate) use resumption::begin_resumed;

/// Selectors as a TS payload carries them.
pub(crate) fn selectors(of: &[TrafficSelector]) -> Vec<Selector> {
    of.iter().copied().map(Selector::Range).collect()
}

/// What `signer`, who calls itself `id`, signs; with a PPK or without.
fn octets(
    secured: &Secured,
    transcript: &Transcript,
    signer: Role,
    id: &Identification,
    ppk: Option<&Ppk>,
) -> Vec<u8> {
    let (message, nonce_of_other) = match signer {
        Role::Initiator => (&transcript.request, &transcript.nonce_responder),
        Role::Responder => (&transcript.answer, &transcript.nonce_initiator),
    };
    let sk_p = secured.keys.prove(signer);
    let mixed = ppk.map(|ppk| secured.keys.with_ppk(sk_p, &ppk.secret));
    let sk_p = mixed.as_ref().unwrap_or(sk_p);
    signed_octets(secured.prf(), message, nonce_of_other, sk_p, id, &transcript.intermediate)
}

/// The connection's configuration as it is now, if an IKE SA that began under `config` stands under it. A change is told to IKE SAs that are up; one on its
/// way up asks here before it goes on.
fn in_force(config: &ConnectionConfig, cx: &Cx<'_>) -> Option<Arc<ConnectionConfig>> {
    let current = &cx.connections.get(&config.id)?.config;
    config.same_ike(current).then(|| Arc::clone(current))
}

fn install(state: &mut Established, agreed: Agreed, transcript: &Transcript, cx: &mut Cx<'_>) {
    let keying = Keying {
        prf: state.secured.prf(),
        sk_d: state.secured.sk_d(),
        shared: None,
        nonces: transcript.nonces(),
    };
    let role = agreed.role;
    let child = agreed.install(&state.config, state.secured.path, &keying, cx);
    let id = child.id;
    state.children.push(child);
    state.want_for_resources(id, role, cx);
}

/// The transition to an authenticated IKE SA, in both roles; needs the proof.
fn establish(
    secured: Secured,
    config: Arc<ConnectionConfig>,
    peer: Identity,
    _proof: AuthVerified,
    initial_contact: bool,
    cx: &mut Cx<'_>,
) -> Established {
    let connection = config.id;
    cx.connection = Some(connection);
    cx.note(What::Established);
    let ike = cx.ike_id();
    cx.event(Event::IkeUp(Box::new(IkeUp {
        connection,
        ike,
        version: config.version,
        spis: secured.spis,
        role: secured.role,
        path: secured.path,
        suite: secured.suite,
        additional: secured.additional,
        ppk: secured.ppk,
        peer: peer.clone(),
        replaces: None,
    })));
    cx.effect(Effect::Established { ike, connection, initial_contact });
    Established::new(secured, config, peer, cx)
}

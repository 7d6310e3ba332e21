//! IKE_AUTH of an IKE SA that is taken up again (RFC 5723, 5.1), in both roles: each side proves by SK_pi or SK_pr that it has the keys, and has to be who it was.

use std::sync::Arc;

use super::initiator::{current, failed};
use super::octets;
use super::responder::Checked;
use super::{AuthAwaited, AuthSent};
use crate::auth::{AuthVerified, Proof, psk};
use crate::config::ConnectionConfig;
use crate::error::IkeError;
use crate::event::Role;
use crate::exchange::init::Transcript;
use crate::exchange::resume::{self, Resumed};
use crate::identity::Identity;
use crate::sa::{Arrived, Cx, State};
use crate::secured::Secured;
use crate::wire::{Authentication, Identification, Message};

/// Initiator: proves itself by the keys of an IKE SA whose peer was `peer`.
pub(crate) fn begin_resumed(
    secured: Secured,
    config: Arc<ConnectionConfig>,
    transcript: Transcript,
    peer: Identity,
    cx: &mut Cx<'_>,
) -> State {
    let config = current(config, cx);
    let spi = match cx.esp_spi(config.id) {
        Ok(spi) => Some(spi),
        Err(error) => return failed(error, cx),
    };
    let id = config.local_id.to_wire();
    let unsent = AuthSent { secured, config, transcript, spi, resumed: Some(peer) };
    let auth = prove(&unsent.secured, &unsent.transcript, Role::Initiator, &id);
    unsent.send(Proof { auth, without_ppk: None }, cx)
}

/// The AUTH payload of `signer`, who calls itself `id`.
fn prove(secured: &Secured, transcript: &Transcript, signer: Role, id: &Identification) -> Authentication {
    let signed = octets(secured, transcript, signer, id, None);
    psk::of_resumption(secured.prf(), secured.keys.prove(signer), &signed)
}

/// Whether `auth` is the proof of `signer`, who calls itself `id`.
fn verify(
    secured: &Secured,
    transcript: &Transcript,
    signer: Role,
    (id, auth): (&Identification, &Authentication),
) -> Result<AuthVerified, IkeError> {
    let signed = octets(secured, transcript, signer, id, None);
    psk::verify_resumption(secured.prf(), secured.keys.prove(signer), &signed, auth).ok_or(IkeError::WrongKey)
}

impl AuthSent {
    /// The peer's proof; it was `peer` before.
    pub(super) fn check_resumed(
        &self,
        peer: &Identity,
        found: &Identity,
        claim: (&Identification, &Authentication),
    ) -> Result<AuthVerified, IkeError> {
        let proof = verify(&self.secured, &self.transcript, Role::Responder, claim)?;
        if peer == found { Ok(proof) } else { Err(IkeError::UnknownPeer(found.clone())) }
    }
}

impl AuthAwaited {
    /// The proof of a peer that showed a ticket, which is good no more from here on.
    pub(super) fn check_resumed(
        &self,
        resumed: &Resumed,
        arrived: &Arrived<'_>,
        message: &Message,
        cx: &mut Cx<'_>,
    ) -> Result<(Checked, Arc<ConnectionConfig>), IkeError> {
        let config = self.candidates.first().and_then(|id| resume::current(*id, resumed.epoch, arrived, cx));
        let config = config.ok_or(IkeError::Reconfigured)?;
        let (Some(id), Some(auth)) = (message.id_initiator(), message.auth()) else {
            return Err(IkeError::OtherAuthMethod);
        };
        let asked = message.id_responder().map(Identity::from_wire);
        let peer = Identity::from_wire(id);
        if peer != resumed.peer || asked.is_some_and(|asked| asked != config.local_id) {
            return Err(IkeError::UnknownPeer(peer));
        }
        let proof = verify(&self.secured, &self.transcript, Role::Initiator, (id, auth))?;
        if !cx.shared.tickets.use_up(resumed.ticket, resumed.expires_at, cx.now) {
            return Err(IkeError::Reconfigured);
        }
        let own_id = config.local_id.to_wire();
        let ours = prove(&self.secured, &self.transcript, Role::Responder, &own_id);
        Ok((Checked::Proven(proof, ours), config))
    }
}

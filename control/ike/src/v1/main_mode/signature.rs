//! Main mode with signatures by RSA (RFC 2409, 5.1) or ECDSA (RFC 4754): certificates travel beside the signatures, and who checks which is known from the peer's name by then. Signing and
//! checking leave as jobs, as in IKEv2.

use std::sync::Arc;

use super::attempt::{Attempt, failed};
use super::initiator::{Chosen, Proving, refused, send_proof};
use super::isakmp;
use super::responder::{Awaiting, Claim};
use crate::auth::CertificateAuthentication;
use crate::auth::certificate::{Sign, Verify};
use crate::config::ConnectionConfig;
use crate::connection::Evidence;
use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::event::Role;
use crate::identity::Identity;
use crate::job::{JobResult, Outcome};
use crate::notice::What;
use crate::sa::Cx;
use crate::v1::Phase;
use crate::v1::keys::Keys;
use crate::v1::protect::Opened;
use crate::v1::wire::{self, Payload};
use crate::wire::{CertEncoding, Certificate, CertificateRequest, Identification};

/// Most authorities that are named: what is sent must stay near a packet's size.
const AUTHORITIES_MAX: usize = 10;

/// Initiator: our proof is being signed.
#[derive(Debug)]
pub(crate) struct Signing {
    pub(crate) attempt: Attempt,
    chosen: Chosen,
    keys: Keys,
    pub(crate) serial: u64,
}

/// Initiator: the peer's proof is being checked.
#[derive(Debug)]
pub(crate) struct Verifying {
    pub(crate) sent: Proving,
    peer: Identity,
    last_block: Vec<u8>,
    pub(crate) serial: u64,
}

/// Responder: the peer's proof is being checked, and ours signed.
#[derive(Debug)]
pub(crate) struct Checking {
    awaiting: Box<Awaiting>,
    claim: Claim,
    pub(crate) serial: u64,
}

/// Requests for certificates of the authorities that the connections believe.
pub(super) fn requests<'a>(configs: impl Iterator<Item = &'a ConnectionConfig>) -> Vec<Payload> {
    let mut authorities: Vec<&[u8]> = Vec::new();
    let trusted = configs.filter_map(|config| config.authentication.certificate());
    for name in trusted.flat_map(|by| by.trust.anchors()).map(|anchor| anchor.subject().der()) {
        if authorities.len() < AUTHORITIES_MAX && !authorities.contains(&name) {
            authorities.push(name);
        }
    }
    let request = |name: &&[u8]| {
        let (encoding, authorities) = (CertEncoding::X509_SIGNATURE, name.to_vec());
        Payload::CertificateRequest(CertificateRequest { encoding, authorities })
    };
    authorities.iter().map(request).collect()
}

/// ID, our certificates, and the signature.
fn payloads(config: &ConnectionConfig, by: &CertificateAuthentication, signature: Vec<u8>) -> Vec<Payload> {
    let mut payloads = vec![Payload::Identification(config.local_id.to_wire())];
    payloads.extend(by.credential.chain_for(&[]).into_iter().map(|certificate| {
        let (encoding, data) = (CertEncoding::X509_SIGNATURE, certificate.der().to_vec());
        Payload::Certificate(Certificate { encoding, data })
    }));
    payloads.push(Payload::Signature(signature));
    payloads
}

fn certificates(payloads: &[Payload]) -> Vec<Vec<u8>> {
    let found = payloads.iter().filter_map(|payload| match payload {
        Payload::Certificate(found) if found.encoding == CertEncoding::X509_SIGNATURE => {
            Some(found.data.clone())
        }
        _ => None,
    });
    found.collect()
}

/// Initiator: has HASH_I signed.
pub(super) fn sign(
    attempt: Attempt,
    chosen: Chosen,
    keys: Keys,
    by: &Arc<CertificateAuthentication>,
    hash: Vec<u8>,
    cx: &mut Cx<'_>,
) -> Phase {
    let (now, seed) = (cx.env.unix_time(), cx.seed());
    match Sign::of_hash(by, hash, now, seed) {
        Ok(sign) => {
            let serial = cx.prove(None, Some(sign));
            Phase::Signing(Box::new(Signing { attempt, chosen, keys, serial }))
        }
        Err(error) => failed(error, cx),
    }
}

impl Signing {
    pub(crate) fn on_computed(self: Box<Self>, result: JobResult, cx: &mut Cx<'_>) -> Phase {
        let (Outcome::Proven(done), true) = (result.outcome, result.serial == self.serial) else {
            return Phase::Signing(self);
        };
        let Self { attempt, chosen, keys, .. } = *self;
        let config = Arc::clone(&attempt.config);
        match (done, config.authentication.certificate()) {
            (Ok((_, Some(proof))), Some(by)) => {
                let mut payloads = payloads(&config, by, proof.auth.data);
                payloads.extend(requests([config.as_ref()].into_iter()));
                send_proof(attempt, chosen, keys, payloads, cx)
            }
            (Err(error), _) => failed(error, cx),
            _ => failed(IkeError::Reconfigured, cx),
        }
    }
}

/// Initiator: has the peer's signature over HASH_R checked.
pub(super) fn verify(
    sent: Proving,
    by: &Arc<CertificateAuthentication>,
    id: &Identification,
    opened: &Opened,
    cx: &mut Cx<'_>,
) -> Phase {
    let peer = Identity::from_wire(id);
    let hash = sent.chosen.transcript.proof(Role::Responder, &sent.keys.prove, &id.body());
    let signature = wire::signature(opened.payloads()).cloned().unwrap_or_default();
    let (certificates, hash) = (certificates(opened.payloads()), hash.expose().clone());
    let verify = Verify::of_hash(by, certificates, signature, peer.clone(), hash, cx.env.unix_time());
    let serial = cx.prove(Some(verify), None);
    let last_block = opened.last_block.clone();
    Phase::Verifying(Box::new(Verifying { sent, peer, last_block, serial }))
}

impl Verifying {
    pub(crate) fn on_computed(self: Box<Self>, result: JobResult, cx: &mut Cx<'_>) -> Phase {
        let (Outcome::Proven(done), true) = (result.outcome, result.serial == self.serial) else {
            return Phase::Verifying(self);
        };
        let Self { sent, peer, last_block, .. } = *self;
        match done {
            Ok((Some(proof), _)) => sent.establish(peer, proof, last_block, cx),
            other => {
                let error = other.err().unwrap_or(IkeError::NotByCertificate);
                let Proving { attempt, chosen, keys, .. } = sent;
                let (path, abilities) = (attempt.path, chosen.abilities);
                let isakmp = isakmp(&chosen.transcript, keys, Role::Initiator, last_block, path, abilities);
                refused(isakmp, attempt.config.id, error, cx)
            }
        }
    }
}

/// Responder: has the peer's signature over HASH_I checked, and HASH_R signed if it is right.
pub(super) fn check(
    awaiting: Box<Awaiting>,
    claim: Claim,
    id: &Identification,
    opened: &Opened,
    cx: &mut Cx<'_>,
) -> Phase {
    let Some(by) = claim.config.authentication.certificate().map(Arc::clone) else {
        return awaiting.open.refuse(claim, IkeError::Reconfigured, cx);
    };
    let transcript = &awaiting.open.transcript;
    let of = |who, body: &[u8]| transcript.proof(who, &claim.keys.prove, body).expose().clone();
    let theirs = of(Role::Initiator, &id.body());
    let ours = of(Role::Responder, &claim.config.local_id.to_wire().body());
    let signature = wire::signature(opened.payloads()).cloned().unwrap_or_default();
    let now = cx.env.unix_time();
    let verify =
        Verify::of_hash(&by, certificates(opened.payloads()), signature, claim.peer.clone(), theirs, now);
    match Sign::of_hash(&by, ours, now, cx.seed()) {
        Ok(sign) => {
            let serial = cx.prove(Some(verify), Some(sign));
            Phase::Checking(Box::new(Checking { awaiting, claim, serial }))
        }
        Err(error) => awaiting.open.refuse(claim, error, cx),
    }
}

impl Checking {
    pub(crate) const fn expires_at(&self) -> Instant {
        self.awaiting.expires_at()
    }

    /// The result did not come.
    pub(crate) fn give_up(&self, cx: &mut Cx<'_>) -> Phase {
        let (candidates, error) = ([self.claim.config.id], IkeError::NoResult(Stage::MainMode));
        cx.refused(What::HalfOpenExpired, self.claim.seen.1, &candidates, Evidence::Hint, &error);
        Phase::Gone
    }

    pub(crate) fn on_computed(self: Box<Self>, result: JobResult, cx: &mut Cx<'_>) -> Phase {
        let (Outcome::Proven(done), true) = (result.outcome, result.serial == self.serial) else {
            return Phase::Checking(self);
        };
        let Self { awaiting, claim, .. } = *self;
        let config = Arc::clone(&claim.config);
        match (done, config.authentication.certificate()) {
            (Ok((Some(verified), Some(proof))), Some(by)) => {
                let payloads = payloads(&config, by, proof.auth.data);
                awaiting.open.answer(claim, verified, &payloads, cx)
            }
            (Err(error), _) => awaiting.open.refuse(claim, error, cx),
            _ => awaiting.open.refuse(claim, IkeError::Reconfigured, cx),
        }
    }
}

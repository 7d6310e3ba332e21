//! Message 5 under the keys of every connection that it may be of. With shared keys nothing says before whose it is, so each key is tried (RFC 2409, 5.4). Keys are derived
//! once for a half-open SA, whatever comes for it, and a message costs one decryption a key at most.

use std::sync::Arc;

use super::{Transcript, method};
use crate::auth::{AuthVerified, psk};
use crate::config::ConnectionConfig;
use crate::identity::Identity;
use crate::secret::Secret;
use crate::v1::keys::Keys;
use crate::v1::protect::{self, Opened};
use crate::v1::suite::Method;
use crate::v1::wire;
use crate::wire::{Identification, Role};

/// Unreadable messages after which a half-open SA is given up: a peer that repeats itself is told after the first.
const FAILURES_MAX: u8 = 5;
/// Longest message that is tried under shared keys, in bytes: an identity, a hash and some notifications.
const SHARED_KEY_BYTES_MAX: usize = 4096;
/// Longest message that is tried where certificates are in it, in bytes.
const SIGNATURE_BYTES_MAX: usize = 32 * 1024;

/// Keys that were derived, and how often they read nothing.
#[derive(Debug, Default)]
pub(super) struct Tries {
    candidates: Vec<Candidate>,
    failures: u8,
}

/// One set of keys, and the connections that have it: those with signatures share one.
#[derive(Debug)]
struct Candidate {
    method: Method,
    configs: Vec<Arc<ConnectionConfig>>,
    keys: Keys,
}

/// A proof that could be read.
pub(super) struct Found {
    pub(super) config: Arc<ConnectionConfig>,
    pub(super) keys: Keys,
    pub(super) opened: Opened,
    /// By hash; a signature is yet to be checked.
    pub(super) proof: Option<AuthVerified>,
    pub(super) id: Identification,
    /// Whether the connection takes who that says it is.
    pub(super) is_meant: bool,
}

impl Tries {
    /// Message 5 under the keys of `configs`; `None`, which is counted, if none reads it. Of several that do, the connection that expects the identity comes before one
    /// that takes any.
    pub(super) fn read(
        &mut self,
        configs: Vec<Arc<ConnectionConfig>>,
        transcript: &Transcript,
        shared: &Secret<Vec<u8>>,
        datagram: &[u8],
    ) -> Option<Found> {
        if !self.is_of(&configs) {
            self.derive(configs, transcript, shared);
        }
        let iv = transcript.iv();
        let read = |candidate: &Candidate| candidate.read(transcript, &iv, datagram);
        let found =
            self.candidates.iter().enumerate().find_map(|(at, candidate)| Some((at, read(candidate)?)));
        let Some((at, (opened, id, proof))) = found else {
            self.failures = self.failures.saturating_add(1);
            return None;
        };
        let peer = Identity::from_wire(&id);
        let Candidate { configs, keys, .. } = self.candidates.swap_remove(at);
        let meant =
            |config: &Arc<ConnectionConfig>| config.remote_id.as_ref().map(|expected| *expected == peer);
        let found = configs.iter().position(|config| meant(config) == Some(true));
        let found = found.or_else(|| configs.iter().position(|config| meant(config).is_none()));
        let config = Arc::clone(configs.get(found.unwrap_or(0))?);
        Some(Found { config, keys, opened, proof, id, is_meant: found.is_some() })
    }

    /// Whether so many messages were unreadable that the peer has to begin anew.
    pub(super) const fn are_over(&self) -> bool {
        self.failures >= FAILURES_MAX
    }

    /// Whether the keys are those of `configs`, and of nothing that was applied since.
    fn is_of(&self, configs: &[Arc<ConnectionConfig>]) -> bool {
        let of = || self.candidates.iter().flat_map(|candidate| &candidate.configs);
        let has = |config: &Arc<ConnectionConfig>| of().any(|known| Arc::ptr_eq(known, config));
        of().count() == configs.len() && configs.iter().all(has)
    }

    fn derive(
        &mut self,
        configs: Vec<Arc<ConnectionConfig>>,
        transcript: &Transcript,
        shared: &Secret<Vec<u8>>,
    ) {
        self.candidates.clear();
        for config in configs {
            let prove = transcript.prove(shared, &config);
            let alike = |candidate: &&mut Candidate| candidate.keys.prove.matches(prove.expose());
            if let Some(known) = self.candidates.iter_mut().find(alike) {
                known.configs.push(config);
                continue;
            }
            let keys = Keys::derive(transcript.suite, prove, transcript.agreed(shared));
            self.candidates.push(Candidate { method: method(&config), configs: vec![config], keys });
        }
    }
}

impl Candidate {
    /// What message 5 says, if these keys read it and, with a shared key, its hash is right.
    fn read(
        &self,
        transcript: &Transcript,
        iv: &[u8],
        datagram: &[u8],
    ) -> Option<(Opened, Identification, Option<AuthVerified>)> {
        let most = match self.method {
            Method::SharedKey => SHARED_KEY_BYTES_MAX,
            _ => SIGNATURE_BYTES_MAX,
        };
        let datagram = Some(datagram).filter(|datagram| datagram.len() <= most)?;
        let opened = protect::open(transcript.suite.cipher, &self.keys.encrypt, iv, datagram)?;
        let id = wire::ids(opened.payloads()).next()?.clone();
        let proof = match self.method {
            Method::SharedKey => {
                let expected = transcript.proof(Role::Initiator, &self.keys.prove, &id.body());
                Some(psk::verify_hash(&expected, wire::hash(opened.payloads())?)?)
            }
            _ => wire::signature(opened.payloads()).map(|_| None)?,
        };
        Some((opened, id, proof))
    }
}

//! A connection while it runs: its configuration, its IKE SAs, when it is tried again and why it failed. Owned by the endpoint.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{ConnectionConfig, EndpointConfig};
use crate::crash::Limits;
use crate::environment::{Environment, Instant};
use crate::error::IkeError;
use crate::event::IkeId;
use crate::place::{Next, Search};
use crate::redirect::Followed;
use crate::sa::IkeSa;
use crate::status::{ConnectionStatus, Failure, IkeStatus, Phase};
use crate::ticket::Held;

/// Shortest time between two attempts that follow a crash of the peer at once.
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// How long what somebody at the peer's address showed holds against mere hints.
const SHOWN_HOLDS: Duration = Duration::from_secs(60);

/// What speaks for a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// A message that anybody could have sent.
    Hint,
    /// An exchange under keys that were agreed on with whoever is at the peer's address.
    Shown,
    /// An IKE SA whose peer proved who it is.
    Proven,
}

/// A connection while it runs.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) config: Arc<ConnectionConfig>,
    /// Every IKE SA that is known to be this connection's, in any state.
    pub(crate) ikes: Vec<IkeId>,
    /// Whether it is to be up by our own doing.
    pub(crate) wanted: bool,
    /// Failures in a row.
    pub(crate) attempts: u32,
    pub(crate) retry_at: Option<Instant>,
    pub(crate) failure: Option<Failure>,
    /// What speaks for that.
    evidence: Evidence,
    /// Source and destination of the last packet that found no SA.
    pub(crate) trigger: Option<(IpAddr, IpAddr)>,
    /// Where its peer is looked for.
    pub(crate) search: Search,
    /// What its peers may be told without protection.
    pub(crate) limits: Limits,
    /// Changes whenever it is configured, reset or removed: what was agreed on under another one is not resumed.
    pub(crate) epoch: u64,
    /// What its peer gave us to take the IKE SA up again with.
    pub(crate) ticket: Option<Box<Held>>,
    /// The addresses that its peer assigned to us last, to ask for them again.
    pub(crate) assigned: Vec<IpAddr>,
    /// How often its peer sent it elsewhere.
    pub(crate) followed: Followed,
    /// When it was begun anew at once because its peer had lost an IKE SA.
    renewed_at: Option<Instant>,
}

impl Connection {
    pub(crate) fn new(config: ConnectionConfig) -> Self {
        let wanted = config.begins_by_itself();
        let config = Arc::new(config);
        Self {
            config,
            ikes: Vec::new(),
            wanted,
            attempts: 0,
            retry_at: None,
            failure: None,
            evidence: Evidence::Hint,
            trigger: None,
            search: Search::default(),
            limits: Limits::of_connection(),
            epoch: 0,
            ticket: None,
            assigned: Vec::new(),
            followed: Followed::default(),
            renewed_at: None,
        }
    }

    /// Whether a peer at `remote` that calls at `local` may be this connection's.
    pub(crate) fn may_answer(&self, local: IpAddr, remote: IpAddr) -> bool {
        self.config.mode.responds() && self.is_between(local, remote)
    }

    /// Whether a peer at `remote` that talks to `local` may be this connection's, whoever begins.
    pub(crate) fn is_between(&self, local: IpAddr, remote: IpAddr) -> bool {
        self.config.own_addresses().any(|own| own == local) && self.config.may_be_at(remote)
    }

    /// Whether to begin anew without any wait after a crash of the peer: not again and again, whatever the peer does.
    pub(crate) fn may_renew_at_once(&mut self, now: Instant) -> bool {
        let may = self.renewed_at.is_none_or(|at| now.saturating_since(at) >= RENEW_EVERY);
        if may {
            self.renewed_at = Some(now);
        }
        may
    }

    /// How long to wait before the next attempt: doubled each time, with a random half so that many peers do not come at once.
    pub(crate) fn backoff(&mut self, settings: &EndpointConfig, env: &mut dyn Environment) -> Duration {
        let doubled = settings.retry_initial.saturating_mul(1 << self.attempts.min(16));
        self.attempts = self.attempts.saturating_add(1);
        jittered(doubled.min(settings.retry_maximum), env)
    }

    /// Sets when to call after the last IKE SA ended, or nobody answered. Of one that waits for traffic that is the time before which traffic does not count.
    pub(crate) fn plan_call(
        &mut self,
        next: Next,
        settings: &EndpointConfig,
        now: Instant,
        env: &mut dyn Environment,
    ) {
        self.retry_at = Some(match next {
            Next::AtOnce => now,
            Next::Later => now + self.backoff(settings, env),
        });
        self.wanted = next == Next::AtOnce || self.config.begins_by_itself();
    }

    /// When it is tried again, if it is by itself.
    pub(crate) fn next_call(&self) -> Option<Instant> {
        self.retry_at.filter(|_| self.wanted)
    }

    /// Keeps why it failed; a hint only where nothing weightier is known.
    pub(crate) fn failed(&mut self, error: IkeError, at: Instant, evidence: Evidence) {
        if evidence != Evidence::Hint || !self.is_explained(at) {
            self.failure = Some(Failure { error, at });
            self.evidence = evidence;
        }
    }

    /// Whether more than hints say why it is not up.
    fn is_explained(&self, now: Instant) -> bool {
        self.failure.as_ref().filter(|failure| failure.error.says_why()).is_some_and(|failure| {
            match self.evidence {
                Evidence::Hint => false,
                Evidence::Shown => now.saturating_since(failure.at) < SHOWN_HOLDS,
                Evidence::Proven => true,
            }
        })
    }

    pub(crate) fn status(&self, sas: &HashMap<IkeId, Box<IkeSa>>) -> ConnectionStatus {
        let ike_sas: Vec<IkeStatus> =
            self.ikes.iter().filter_map(|id| sas.get(id)).map(|sa| sa.status(&self.config)).collect();
        let covered =
            |policy: usize| ike_sas.iter().any(|ike| ike.children.iter().any(|c| c.policy == policy));
        let phase = if ike_sas.iter().any(|ike| ike.peer.is_some()) {
            if (0..self.config.children.len()).all(covered) { Phase::Up } else { Phase::Partial }
        } else if ike_sas.is_empty() && !self.search.is_resolving() {
            Phase::Down
        } else {
            Phase::Connecting
        };
        ConnectionStatus {
            id: self.config.id,
            name: Arc::clone(&self.config.name),
            phase,
            failure: self.failure.clone(),
            retry_at: self.next_call(),
            places: self.search.status(&self.config.places, !ike_sas.is_empty()),
            ike_sas,
        }
    }
}

/// Between three quarters of `wait` and all of it.
pub(crate) fn jittered(wait: Duration, env: &mut dyn Environment) -> Duration {
    let mut bytes = [0; 2];
    env.random(&mut bytes);
    wait.mul_f64(0.75 + f64::from(u16::from_be_bytes(bytes)) / 65_536.0 / 4.0)
}

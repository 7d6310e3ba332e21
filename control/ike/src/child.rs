//! A Child SA as negotiation sees it: offered, narrowed, keyed, installed, retired (RFC 7296, 2.9, 2.17). Used by IKE_AUTH and CREATE_CHILD_SA in both roles.

use std::sync::Arc;

use crate::config::{ChildConfig, ConnectionConfig};
use crate::crypto::keys::{ChildKeys, Nonces};
use crate::crypto::prf::Prf;
use crate::crypto::suite::{Esn, EspChoice, EspSuite};
use crate::effect::Effect;
use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::event::{
    ChildId, ChildSa, EspHalf, Event, OutboundUse, Path, RemoveReason, Role, Spi, VolumeLimits,
};
use crate::notice::What;
use crate::resource::Share;
use crate::sa::Cx;
use crate::secret::Secret;
use crate::selector::{TrafficSelector, is_narrowing, narrow};
use crate::status::ChildStatus;
use crate::wire::{Message, PayloadType, ranges};

mod offer;

pub(crate) use offer::Offer;

/// Child SAs that a peer may have at once under a policy of one pair of selectors: rekeying needs three, a peer that restarts some more.
const CHILDREN_AT_LEAST: usize = 8;
/// For each pair of a policy: one that carries, the one that replaces it, and the one that is being deleted.
const CHILDREN_PER_PAIR: usize = 3;
/// What one peer may take of the data plane's tables, whatever its policy says.
pub(crate) const CHILDREN_AT_MOST: usize = 300;

/// Child SAs that a peer may have at once under `policy`, which it may ask for pair by pair.
pub(crate) fn most_children(policy: &ChildConfig) -> usize {
    let pairs = policy.local_selectors.len().saturating_mul(policy.remote_selectors.len());
    pairs.saturating_mul(CHILDREN_PER_PAIR).clamp(CHILDREN_AT_LEAST, CHILDREN_AT_MOST)
}

/// A pair of ESP SAs.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) id: ChildId,
    pub(crate) policy: usize,
    pub(crate) inbound: Spi,
    pub(crate) outbound: Spi,
    suite: EspSuite,
    esn: Esn,
    local: Vec<TrafficSelector>,
    remote: Vec<TrafficSelector>,
    pub(crate) since: Instant,
    pub(crate) rekey_at: Instant,
    pub(crate) expires_at: Instant,
    /// Whether we send on it.
    pub(crate) sends: bool,
    /// When to send on it though the peer has not sent on it yet.
    pub(crate) send_at: Option<Instant>,
    /// It lost a collision: it receives until it is deleted, but is never sent on.
    pub(crate) lost: bool,
    pub(crate) phase: Phase,
    /// Which of our resources it is for.
    pub(crate) share: Share,
}

/// Where a pair is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In use, or about to be.
    Live,
    /// The peer replaced it by this one and will delete it.
    Replaced(ChildId),
    /// We delete it.
    Deleting,
}

/// What both sides agreed on, ready to be keyed.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) policy: usize,
    pub(crate) role: Role,
    pub(crate) inbound: Spi,
    pub(crate) outbound: Spi,
    pub(crate) suite: EspSuite,
    pub(crate) esn: Esn,
    pub(crate) local: Vec<TrafficSelector>,
    pub(crate) remote: Vec<TrafficSelector>,
    pub(crate) replaces: Option<ChildId>,
    pub(crate) outbound_use: OutboundUse,
    pub(crate) share: Share,
}

/// What keys are made from.
pub(crate) struct Keying<'a> {
    pub(crate) prf: Prf,
    pub(crate) sk_d: &'a Secret<Vec<u8>>,
    pub(crate) shared: Option<&'a Secret<Vec<u8>>>,
    pub(crate) nonces: Nonces<'a>,
}

impl Agreed {
    /// As an initiator: what the peer chose and narrowed, checked against what we offered.
    pub(crate) fn from_answer(
        stage: Stage,
        choice: &EspChoice,
        inbound: Spi,
        policy: usize,
        offer: &Offer,
        message: &Message,
    ) -> Result<Self, IkeError> {
        let missing = |payload| IkeError::Missing { stage, payload };
        let local = ranges(message.ts_initiator().ok_or(missing(PayloadType::TSI))?);
        let remote = ranges(message.ts_responder().ok_or(missing(PayloadType::TSR))?);
        if !is_narrowing(&local, &offer.local) || !is_narrowing(&remote, &offer.remote) {
            return Err(IkeError::Misbehaved {
                stage,
                what: "answered with traffic selectors that were not offered",
            });
        }
        Ok(Self {
            policy,
            role: Role::Initiator,
            inbound,
            outbound: Spi(choice.spi),
            suite: choice.suite,
            esn: choice.esn,
            local,
            remote,
            replaces: None,
            outbound_use: OutboundUse::Now,
            share: Share::Alone,
        })
    }

    /// Whether it is for traffic that has no Child SA.
    pub(crate) const fn is_first(&self) -> bool {
        self.replaces.is_none() && self.share.number().is_none()
    }

    /// Keys the pair, has it installed and files it.
    pub(crate) fn install(
        self,
        config: &ConnectionConfig,
        path: Path,
        keying: &Keying<'_>,
        cx: &mut Cx<'_>,
    ) -> Child {
        let keys = ChildKeys::derive(keying.prf, keying.sk_d, self.suite, keying.shared, keying.nonces);
        self.install_keyed(config, path, keys, cx)
    }

    /// The same with keys that are there.
    pub(crate) fn install_keyed(
        self,
        config: &ConnectionConfig,
        path: Path,
        keys: ChildKeys,
        cx: &mut Cx<'_>,
    ) -> Child {
        let id = ChildId(cx.shared.next_id());
        let (ours, theirs) = match self.role {
            Role::Initiator => (keys.initiator, keys.responder),
            Role::Responder => (keys.responder, keys.initiator),
        };
        let policy = &config.children[self.policy.min(config.children.len() - 1)];
        let soft = policy.lifetime.soft(cx.random_u32());
        let limits = volume_limits(policy, self.suite, self.esn, cx.random_u32());
        cx.event(Event::InstallChild(Box::new(ChildSa {
            id,
            connection: config.id,
            policy: self.policy,
            replaces: self.replaces,
            resource: self.share.number(),
            role: self.role,
            suite: self.suite,
            esn: self.esn,
            inbound: EspHalf { spi: self.inbound, key: theirs },
            outbound: EspHalf { spi: self.outbound, key: ours },
            outbound_use: self.outbound_use,
            local_selectors: self.local.clone(),
            remote_selectors: self.remote.clone(),
            path,
            limits,
        })));
        cx.note_child(What::ChildUp, id);
        let ike = cx.ike_id();
        cx.effect(Effect::Owned(id, self.inbound, ike));
        Child {
            id,
            policy: self.policy,
            inbound: self.inbound,
            outbound: self.outbound,
            suite: self.suite,
            esn: self.esn,
            local: self.local,
            remote: self.remote,
            since: cx.now,
            rekey_at: cx.now + soft,
            expires_at: cx.now + policy.lifetime.hard,
            sends: self.outbound_use == OutboundUse::Now,
            send_at: None,
            lost: false,
            phase: Phase::Live,
            share: self.share,
        }
    }
}

/// As a responder: the policy for what the peer wants, and the selectors narrowed to it (ours, the peer's). The policy of the SA that is being rekeyed, or the one
/// that keeps most of what is asked; `has_child` tells which policies are served already.
pub(crate) fn choose_policy(
    stage: Stage,
    config: &ConnectionConfig,
    rekeyed: Option<usize>,
    message: &Message,
    has_child: impl Fn(usize) -> bool,
) -> Result<(usize, Vec<TrafficSelector>, Vec<TrafficSelector>), IkeError> {
    let missing = |payload| IkeError::Missing { stage, payload };
    let theirs = ranges(message.ts_initiator().ok_or(missing(PayloadType::TSI))?);
    let ours = ranges(message.ts_responder().ok_or(missing(PayloadType::TSR))?);
    let narrowed =
        config.children.iter().enumerate().filter(|(index, _)| rekeyed.is_none_or(|policy| policy == *index));
    narrowed
        .map(|(index, policy)| {
            (index, narrow(&ours, &policy.local_selectors), narrow(&theirs, &policy.remote_selectors))
        })
        .filter(|(_, local, remote)| !local.is_empty() && !remote.is_empty())
        .min_by_key(|(index, local, remote)| {
            let whole = usize::from(*local == ours) + usize::from(*remote == theirs);
            (has_child(*index), 2 - whole)
        })
        .ok_or(IkeError::NoCommonSelectors(stage))
}

/// Limits in volume: the soft one lies between 80 and 90 percent, without ESN the sequence numbers end at 2^32 (RFC 4303, 2.2), and a cipher may have
/// a limit of its own.
fn volume_limits(policy: &ChildConfig, suite: EspSuite, esn: Esn, random: u32) -> VolumeLimits {
    let soft = |hard: u64| (hard / 100).saturating_mul(80 + u64::from(random % 11)).max(hard / 2);
    let end = match esn {
        Esn::On => u64::MAX,
        Esn::Off => u64::from(u32::MAX),
    };
    let hard_packets = policy.lifetime_packets.unwrap_or(u64::MAX).min(end);
    let hard_bytes = policy.lifetime_bytes.unwrap_or(u64::MAX).min(suite.most_bytes());
    VolumeLimits { soft_bytes: soft(hard_bytes), hard_bytes, soft_packets: soft(hard_packets), hard_packets }
}

impl Child {
    pub(crate) const fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    /// Whether it is for the same traffic of the same resources under the same policy as another.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.policy == other.policy
            && self.local == other.local
            && self.remote == other.remote
            && self.share.number() == other.share.number()
    }

    /// Whether it is in use, and for all resources.
    pub(crate) const fn serves_all(&self) -> bool {
        self.is_live() && !self.lost && self.share.number().is_none()
    }

    /// Whether it is in use for any of what an offer of the same policy asks for.
    pub(crate) fn carries_some_of(&self, offer: &Offer) -> bool {
        self.serves_all() && self.is_for_some_of(offer)
    }

    /// Whether it is for any of what an offer of the same policy asks for, in use or not.
    pub(crate) fn is_for_some_of(&self, offer: &Offer) -> bool {
        offer.meets(&self.local, &self.remote)
    }

    /// Whether it is for exactly this traffic.
    pub(crate) fn is_between(&self, policy: usize, local: TrafficSelector, remote: TrafficSelector) -> bool {
        self.policy == policy && self.local == [local] && self.remote == [remote]
    }

    /// What may be sent, on our side and on the peer's.
    pub(crate) fn selector_lists(&self) -> (&[TrafficSelector], &[TrafficSelector]) {
        (&self.local, &self.remote)
    }

    /// Its algorithms.
    pub(crate) const fn algorithms(&self) -> (EspSuite, Esn) {
        (self.suite, self.esn)
    }

    /// The first selector of either side; in IKEv1 there is no other.
    pub(crate) fn selectors(&self) -> (TrafficSelector, TrafficSelector) {
        (self.local[0], self.remote[0])
    }

    /// Both sides have deleted it: it receives for a while longer, for packets under way.
    pub(crate) fn let_go(self, reason: RemoveReason, cx: &mut Cx<'_>) {
        cx.event(Event::RetireChild(self.id));
        cx.note_child(What::ChildRetired, self.id);
        cx.effect(Effect::Linger(self.id, self.inbound, reason));
    }

    /// Nobody sends on it any more.
    pub(crate) fn drop_now(self, reason: RemoveReason, cx: &mut Cx<'_>) {
        cx.event(Event::RemoveChild { child: self.id, inbound_spi: self.inbound, reason });
        cx.note_child(What::ChildGone, self.id);
        cx.effect(Effect::Dropped(self.id, self.inbound));
    }

    pub(crate) fn status(&self, config: &ConnectionConfig) -> ChildStatus {
        let name =
            config.children.get(self.policy).map_or_else(|| Arc::from(""), |child| Arc::clone(&child.name));
        ChildStatus {
            id: self.id,
            policy: self.policy,
            name,
            inbound_spi: self.inbound,
            outbound_spi: self.outbound,
            suite: self.suite,
            esn: self.esn,
            local_selectors: self.local.clone(),
            remote_selectors: self.remote.clone(),
            since: self.since,
            rekey_at: self.rekey_at,
            expires_at: self.expires_at,
            sends: self.sends,
            resource: self.share.number(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::suite::{Integrity, KeyBits};

    #[test]
    fn ciphers_of_short_blocks_are_replaced_long_before_their_blocks_repeat() {
        let mut policy = crate::sim::connection(0).children.swap_remove(0);
        let mut limits = |suite, bytes| {
            policy.lifetime_bytes = bytes;
            volume_limits(&policy, suite, Esn::On, 0)
        };
        let (aes, triple_des) =
            (EspSuite::AesGcm16(KeyBits::B256), EspSuite::TripleDesCbc(Integrity::HmacSha1_96));
        assert_eq!(limits(aes, Some(100 << 30)).hard_bytes, 100 << 30);
        let short = limits(triple_des, Some(100 << 30));
        assert_eq!(short.hard_bytes, 1 << 30);
        assert!((1 << 29..1 << 30).contains(&short.soft_bytes), "{short:?}");
        assert_eq!(limits(triple_des, Some(1 << 20)).hard_bytes, 1 << 20, "less where the policy says so");
        assert_eq!(limits(triple_des, None).hard_bytes, 1 << 30);
    }
}

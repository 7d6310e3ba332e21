//! Child SAs for each resource (RFC 9611): beside the Child SA that all resources of a side may use, here its workers, one for each of them, with the same traffic selectors
//! and algorithms, so that no two workers share sequence numbers or a replay window.
//!
//! Both say SA_RESOURCE_INFO with the first one, or there are no others. Whoever began that one asks for as many others as it has resources, one after the
//! other; the other side does so a little later, for those of its own that have none by then. Each side binds a Child SA to a resource of its own by the number
//! that it gives it: the lowest that is free. Numbers beyond its resources are for what the peer has more of; there it only receives. What is refused, or
//! deleted by the peer, is not asked for again: the first one serves all that have none of their own.

use std::num::NonZeroU16;
use std::time::Duration;

use crate::child::{CHILDREN_AT_MOST, Child, Offer, Phase};
use crate::error::IkeError;
use crate::established::{Answering, Established, Pending, Task};
use crate::event::{ChildId, RemoveReason, Role};
use crate::notice::What;
use crate::sa::Cx;
use crate::selector::is_narrowing;
use crate::wire::{Message, Notify, NotifyType, Payload, ranges};

/// How long who did not begin leaves it to the peer to ask for Child SAs for its resources.
const YIELD_WAIT: Duration = Duration::from_secs(5);
/// Numbers that a side with few resources has nevertheless: its peer may have more.
const NUMBERS_AT_LEAST: u16 = 8;
/// How long the side that answers goes on sending on the one for all, unless it hears the peer on the new one before: for its answer to be there, even if it was lost once.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(3);

/// For which of our resources a Child SA is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// For all of them; there are no others.
    Alone,
    /// For those that have none of their own.
    Fallback,
    /// For this one. The peer has bound it to one of its own.
    Own(u16),
}

impl Share {
    /// What a first Child SA is, as both sides said.
    pub(crate) fn agreed(resources: Option<NonZeroU16>, message: &Message) -> Self {
        if resources.is_some() && is_said(message) { Self::Fallback } else { Self::Alone }
    }

    /// The one resource that it is for.
    pub(crate) const fn number(self) -> Option<u16> {
        match self {
            Self::Own(number) => Some(number),
            Self::Alone | Self::Fallback => None,
        }
    }

    /// What the peer is told with it (section 5.1); the number is for whoever looks for a fault there.
    pub(crate) fn payload(self) -> Option<Payload> {
        let data = match self {
            Self::Alone => return None,
            Self::Fallback => Vec::new(),
            Self::Own(number) => u32::from(number).to_be_bytes().to_vec(),
        };
        Some(Payload::Notify(Notify::new(NotifyType::SA_RESOURCE_INFO, data)))
    }
}

fn is_said(message: &Message) -> bool {
    message.notify(NotifyType::SA_RESOURCE_INFO).is_some()
}

/// How many numbers there are: twice as many as resources at least, since both sides may ask at once (section 4).
fn numbers(resources: NonZeroU16) -> u16 {
    resources.get().saturating_mul(2).max(NUMBERS_AT_LEAST)
}

/// The Child SA for all resources that this request wants another one beside, if it is such a request.
pub(crate) fn fallback_for<'s>(state: &'s Established, message: &Message) -> Option<&'s Child> {
    fallback(state, |child| is_said(message) && is_asked_for(child, message))
}

fn fallback(state: &Established, is_meant: impl Fn(&Child) -> bool) -> Option<&Child> {
    let mut children = state.children.iter();
    children.find(|child| child.share == Share::Fallback && child.is_live() && !child.lost && is_meant(child))
}

/// Whether a request asks for all that a Child SA carries. It may name the packet besides that it was made for (RFC 7296, 2.9), or all that was narrowed when that
/// Child SA was made.
pub(crate) fn is_asked_for(child: &Child, message: &Message) -> bool {
    let (local, remote) = child.selector_lists();
    let asked = message.ts_responder().zip(message.ts_initiator());
    asked.is_some_and(|(ours, theirs)| {
        is_narrowing(local, &ranges(ours)) && is_narrowing(remote, &ranges(theirs))
    })
}

/// How many Child SAs for single resources there are under a policy, whatever they carry.
pub(crate) fn count(state: &Established, policy: usize) -> usize {
    state.children.iter().filter(|child| child.policy == policy && child.share.number().is_some()).count()
}

/// The lowest number that no Child SA beside `of` has, none that we ask for and none that the peer asks for; none if all are taken.
pub(crate) fn free_number(state: &Established, of: &Child) -> Option<u16> {
    let resources = state.config.children.get(of.policy)?.resources?;
    if count(state, of.policy) >= CHILDREN_AT_MOST {
        return None;
    }
    let asked = match &state.pending {
        Some(Pending::Child(request)) => request.share.number(),
        _ => None,
    };
    let answered = match &state.answering {
        Some(Answering::Child(answer)) => answer.agreed.share.number(),
        _ => None,
    };
    let traffic = Offer::same_as(of);
    let is_beside = |child: &&Child| {
        let (local, remote) = child.selector_lists();
        child.policy == of.policy && traffic.is_same(local, remote)
    };
    let beside = state.children.iter().filter(is_beside).filter_map(|child| child.share.number());
    let taken: Vec<u16> = beside.chain(asked).chain(answered).collect();
    (0..numbers(resources)).find(|number| !taken.contains(number))
}

/// Whether the peer says by this that there is no room.
pub(crate) const fn is_full(error: &IkeError) -> bool {
    matches!(
        error,
        IkeError::Refused { notify: NotifyType::TS_MAX_QUEUE | NotifyType::NO_ADDITIONAL_SAS, .. }
    )
}

/// What to ask for next so that each of our resources has its own Child SA beside the one for all: its offer's Child SA, and the number; none if all have.
pub(crate) fn next<'s>(state: &'s Established, policy: usize, offer: &Offer) -> Option<(&'s Child, u16)> {
    let resources = state.config.children.get(policy)?.resources?.get();
    let of = fallback(state, |child| child.policy == policy && Offer::same_as(child) == *offer)?;
    // A single resource has the one for all.
    let number = free_number(state, of).filter(|number| resources > 1 && *number < resources)?;
    Some((of, number))
}

impl Established {
    /// A first Child SA is there: sees to those for our resources, at once if we began.
    pub(crate) fn want_for_resources(&mut self, child: ChildId, role: Role, cx: &mut Cx<'_>) {
        let Some(child) = self.child(child).filter(|child| child.share == Share::Fallback) else { return };
        let task = Task::ForResource { policy: child.policy, offer: Offer::same_as(child) };
        match role {
            Role::Initiator => self.want(task),
            Role::Responder => {
                self.want_later(task, YIELD_WAIT, cx);
            }
        }
    }

    /// There is no room for another Child SA for one resource, or for the successor of this one: then its resource has the one for all again, and asks for no other.
    pub(crate) fn no_more_for_resources(&mut self, replaces: Option<ChildId>, cx: &mut Cx<'_>) {
        cx.note(What::NoMoreForResources);
        if let Some(old) = replaces.and_then(|id| self.child_mut(id)).filter(|old| old.is_live()) {
            old.phase = Phase::Deleting;
            let id = old.id;
            self.want(Task::DeleteChild(id, RemoveReason::DeletedByUs));
        }
    }
}

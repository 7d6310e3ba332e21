//! What we ask for, and when we need not: new Child SAs, those for a part of a policy, successors (RFC 7296, 1.3.1, 1.3.3, 2.9).

use std::time::Duration;

use super::request::{ChildRequest, prepare, send};
use crate::child::Offer;
use crate::established::{Answering, Established, LeftOut, Task};
use crate::event::ChildId;
use crate::resource::{self, Share};
use crate::sa::Cx;

/// Wait before a pair that the peer is making is looked at again.
const AGAIN_WAIT: Duration = Duration::from_secs(10);

/// Asks for a Child SA of a policy that has none.
pub(crate) fn begin_new(state: &mut Established, policy: usize, cx: &mut Cx<'_>) {
    let Some(config) = state.config.children.get(policy) else { return };
    let trigger = cx.connections.get(&state.config.id).and_then(|connection| connection.trigger);
    let is_single = state.single_pairs.contains(&policy);
    let offer = if is_single { Offer::single(config, trigger) } else { Offer::whole(config) };
    let task = Task::NewChild { policy };
    if !is_served(state, &task, cx) {
        begin(state, ChildRequest::new(policy, offer), cx);
    }
}

/// Asks for a part of a policy.
pub(crate) fn begin_left_out(state: &mut Established, left_out: LeftOut, cx: &mut Cx<'_>) {
    let policy = state.config.children.get(left_out.policy);
    let is_allowed = policy.is_some_and(|policy| left_out.offer.is_within(policy));
    let mut request = ChildRequest::new(left_out.policy, left_out.offer.clone());
    request.left_out = Some(left_out);
    let task = request.task();
    if is_allowed && !is_served(state, &task, cx) {
        begin(state, request, cx);
    }
}

/// Whether what a task asks for is there, or the peer asked for it first and its answer is being computed. Should that come to nothing, ours is looked at again.
pub(super) fn is_served(state: &mut Established, task: &Task, cx: &mut Cx<'_>) -> bool {
    let (policy, part, is_there) = match task {
        Task::NewChild { policy } => (*policy, None, state.has_live(*policy)),
        Task::LeftOut(left_out) => {
            let LeftOut { policy, offer, .. } = left_out;
            (*policy, Some(offer), state.is_carried(*policy, offer))
        }
        _ => return false,
    };
    let asked_first = match &state.answering {
        Some(Answering::Child(answer)) if answer.agreed.is_first() => {
            let agreed = &answer.agreed;
            let is_of = |offer: &Offer| offer.meets(&agreed.local, &agreed.remote);
            agreed.policy == policy && part.is_none_or(is_of)
        }
        _ => false,
    };
    if asked_first {
        state.want_later(task.clone(), AGAIN_WAIT, cx);
    }
    asked_first || is_there
}

/// Asks for the successor of a Child SA: for what that one carries, since a peer that takes a part of what it is asked for may take another one (RFC 7296, 2.9.2).
pub(crate) fn begin_rekey(state: &mut Established, id: ChildId, cx: &mut Cx<'_>) {
    let Some(old) = state.child(id).filter(|child| child.is_live()) else { return };
    let (policy, offer, share) = (old.policy, Offer::same_as(old), old.share);
    let algorithms = share.number().map(|_| old.algorithms());
    if policy < state.config.children.len() {
        let mut request = ChildRequest::new(policy, offer);
        request.replaces = Some(id);
        (request.share, request.algorithms) = (share, algorithms);
        begin(state, request, cx);
    }
}

/// Asks for the next Child SA that a resource of ours lacks (RFC 9611), with the algorithms of the one for all.
pub(crate) fn begin_for_resource(state: &mut Established, policy: usize, offer: &Offer, cx: &mut Cx<'_>) {
    let Some((of, number)) = resource::next(state, policy, offer) else { return };
    let mut request = ChildRequest::new(policy, offer.clone());
    request.share = Share::Own(number);
    request.algorithms = Some(of.algorithms());
    begin(state, request, cx);
}

fn begin(state: &mut Established, mut request: ChildRequest, cx: &mut Cx<'_>) {
    match cx.esp_spi_for(state.config.id, request.share) {
        Ok(spi) => request.spi = spi,
        Err(error) => {
            return match request.left_out {
                _ if request.share.number().is_some() => state.no_more_for_resources(request.replaces, cx),
                Some(left_out) => state.ask_again(left_out, AGAIN_WAIT, cx),
                None => state.child_failed(request.policy, error, cx),
            };
        }
    }
    request.nonce = cx.nonce();
    match state.config.children[request.policy].pfs_groups.first() {
        Some(Some(group)) => prepare(state, request, *group, cx),
        Some(None) | None => send(state, request, None, cx),
    }
}

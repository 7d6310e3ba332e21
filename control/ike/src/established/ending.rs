//! The end of an authenticated IKE SA, and the wait for the peer to end it (RFC 7296, 1.4.1). What remains is [`Closing`].

use super::{Answering, Closing, Established, Estate, Fate, PATIENCE, Pending, Task, error_payload};
use crate::effect::Effect;
use crate::error::IkeError;
use crate::event::{DownReason, RemoveReason};
use crate::sa::{Cx, State};

impl Established {
    pub(crate) fn await_delete(&mut self, cx: &mut Cx<'_>) {
        self.undecided = false;
        self.leaving_at = Some(cx.now + PATIENCE);
        self.drop_tasks(cx);
    }

    pub(crate) fn close_after_linger(&mut self, cx: &mut Cx<'_>) {
        self.leaving_at = Some(cx.now + cx.settings.linger);
        self.drop_tasks(cx);
    }

    /// Does nothing more of its own; the peer's pairs that were to be deleted go with their IKE SA.
    fn drop_tasks(&mut self, cx: &mut Cx<'_>) {
        for task in self.tasks.drain(..) {
            if let Task::Disown(spi) = task {
                cx.env.release_spi(spi);
            }
        }
        self.later.clear();
    }

    pub(crate) fn close(&mut self, reason: DownReason, _cx: &mut Cx<'_>) {
        self.fate = Some(Fate::Close(reason, None));
    }

    /// What is under way and will get no answer gives its SPIs back.
    fn abandon_exchanges(&mut self, cx: &mut Cx<'_>) {
        let estate = self.bequeath();
        self.drop_tasks(cx);
        match self.pending.take() {
            Some(Pending::Child(request)) => cx.env.release_spi(request.spi),
            Some(Pending::Disown(spi)) => cx.env.release_spi(spi),
            _ => {}
        }
        if let Some(Answering::Child(answer)) = self.answering.take() {
            cx.env.release_spi(answer.spi);
        }
        if let Some(rival) = self.rival.take() {
            cx.effect(Effect::Inherit { heir: rival.ike, from: cx.ike_id(), estate });
        } else {
            self.children = estate.children;
            for leased in estate.lease {
                cx.shared.leases.give_back(leased);
            }
        }
    }

    /// Gives away what another IKE SA carries on with.
    pub(crate) fn bequeath(&mut self) -> Estate {
        let under_way = match &self.pending {
            Some(Pending::Child(request)) => Some(request.task()),
            _ => None,
        };
        let later = self.later.iter().map(|(_, task)| task);
        let tasks = under_way.iter().chain(&self.tasks).chain(later);
        let tasks = tasks.filter(|task| task.outlives_ike_sa()).cloned().collect();
        Estate { children: std::mem::take(&mut self.children), lease: std::mem::take(&mut self.lease), tasks }
    }

    /// Forgets it: the peer has, or is dead.
    pub(crate) fn gone(
        mut self: Box<Self>,
        reason: DownReason,
        error: Option<IkeError>,
        cx: &mut Cx<'_>,
    ) -> State {
        self.abandon_exchanges(cx);
        for child in self.children.drain(..) {
            child.drop_now(RemoveReason::IkeSaGone, cx);
        }
        cx.ended(reason, error, true);
        State::Gone
    }

    /// Child SAs linger for packets under way; a client's do not, for its address may be another one's at once.
    fn end_children(&mut self, why: RemoveReason, cx: &mut Cx<'_>) {
        for child in self.children.drain(..) {
            match self.config.clients {
                None => child.let_go(why, cx),
                Some(_) => child.drop_now(why, cx),
            }
        }
    }

    /// The peer ended it; its Child SAs linger for packets under way, its last answer is kept for repeats.
    pub(super) fn into_answered(
        mut self: Box<Self>,
        reason: DownReason,
        error: Option<IkeError>,
        cx: &mut Cx<'_>,
    ) -> State {
        self.abandon_exchanges(cx);
        let why = match reason {
            DownReason::DeletedByPeer => RemoveReason::DeletedByPeer,
            _ => RemoveReason::IkeSaGone,
        };
        self.end_children(why, cx);
        cx.ended(reason, error, true);
        State::Closing(Box::new(Closing::answered(self.secured, Some(self.config.id), cx)))
    }

    /// Tells the peer by DELETE. A request that is still under way is given up: the peer that answers it late is dropped with the rest.
    pub(super) fn into_closing(
        mut self: Box<Self>,
        reason: DownReason,
        error: Option<IkeError>,
        cx: &mut Cx<'_>,
    ) -> State {
        self.abandon_exchanges(cx);
        self.end_children(RemoveReason::DeletedByUs, cx);
        cx.ended(reason, error.clone(), true);
        let mut payloads = Vec::new();
        if let Some(error) = error.filter(|error| !matches!(error, IkeError::Expired)) {
            payloads.push(error_payload(&error));
        }
        State::Closing(Box::new(Closing::deleting(self.secured, Some(self.config.id), payloads, cx)))
    }
}

//! Time in an authenticated IKE SA: retransmission, lifetimes, tasks that waited, liveness (RFC 7296, 2.4, 2.8). Called by the endpoint's timer.

use std::time::Duration;

use crossgate_eap::Means;

use super::{Established, Fate, Task};
use crate::effect::Effect;
use crate::environment::Instant;
use crate::error::IkeError;
use crate::event::{ChildId, DownReason};
use crate::sa::{Cx, State};
use crate::window::Due;

/// How often the time of day is looked at.
const CLOCK_LOOKED_AT: Duration = Duration::from_secs(3_600);

impl Established {
    pub(crate) fn on_timeout(mut self: Box<Self>, cx: &mut Cx<'_>) -> State {
        match self.secured.resend_due(self.stage(), cx) {
            Due::GiveUp => {
                let error = IkeError::NoAnswer { stage: self.stage(), hint: None };
                return self.gone(DownReason::PeerDead, Some(error), cx);
            }
            Due::Resend => self.probe(cx),
            Due::Nothing => {}
        }
        self.following.take_if(|following| following.until <= cx.now);
        if self.login_due.is_some_and(|at| at <= cx.now) && self.fate.is_none() {
            self.watch_login(cx);
        }
        if self.fate.is_some() {
            return self.settle(cx);
        }
        if self.leaving_at.is_some_and(|at| at <= cx.now) {
            self.fate = Some(Fate::Close(self.leaving_for.clone(), None));
        } else if self.expires_at <= cx.now {
            self.fate = Some(Fate::Close(DownReason::Expired, Some(IkeError::Expired)));
        } else {
            self.run_timers(cx);
        }
        self.settle(cx)
    }

    /// Ends it if the certificate that the client logged in by is not valid any more, else says when to look again: when it ends by the time of day, and each hour until then, since
    /// that clock may be set.
    pub(crate) fn watch_login(&mut self, cx: &mut Cx<'_>) {
        let Some(Means::Certificate(path)) = &self.login else { return };
        let now = cx.env.unix_time();
        match path.check_time(now) {
            Ok(()) => {
                let left = path.not_after().0.saturating_sub(now.0).saturating_add(1);
                self.login_due = Some(cx.now + Duration::from_secs(left).min(CLOCK_LOOKED_AT));
            }
            Err(error) => {
                let error = IkeError::PeerCertificate(Box::new(error));
                self.login_due = None;
                self.fate = Some(Fate::Close(DownReason::Error(error.clone()), Some(error)));
            }
        }
    }

    fn run_timers(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now;
        if self.rekey_at <= now || self.secured.window.is_nearly_exhausted() {
            self.renew(cx);
        }
        if self.ticket_at.is_some_and(|at| at <= now) {
            self.ticket_at = None;
            self.want(Task::Ticket);
        }
        let (due, later): (Vec<_>, Vec<_>) = self.later.drain(..).partition(|(at, _)| *at <= now);
        self.later = later;
        for (_, task) in due {
            self.want(task);
        }
        let waited: Vec<ChildId> = self
            .children
            .iter_mut()
            .filter_map(|child| child.send_at.take_if(|at| *at <= now).map(|_| child.id))
            .collect();
        for child in waited {
            self.send_on(child, cx);
        }
        let expired: Vec<ChildId> =
            self.children.iter().filter(|child| child.expires_at <= now).map(|child| child.id).collect();
        for child in expired {
            self.expire_child(child, cx);
        }
        let soft: Vec<ChildId> =
            self.children.iter().filter(|child| child.rekey_at <= now).map(|child| child.id).collect();
        for id in soft {
            if let Some(child) = self.child_mut(id) {
                child.rekey_at = child.expires_at;
            }
            self.want_child_rekey(id);
        }
        if self.is_silent() && now >= self.heard_at + self.config.dpd.idle {
            self.want(Task::Liveness);
        }
    }

    /// Replaces it. Where the peer is not at its first place, that place is called first; half of what is left of its life is time for that.
    fn renew(&mut self, cx: &mut Cx<'_>) {
        if self.is_elsewhere(cx) && !self.is_returning && !self.is_leaving() {
            self.is_returning = true;
            self.rekey_at = cx.now + self.expires_at.saturating_since(cx.now) / 2;
            cx.effect(Effect::ReturnToFirst(self.config.id));
            return;
        }
        self.rekey_at = self.expires_at;
        self.want_ike_rekey();
    }

    /// Whether we are one who calls, and the peer is not at its first place.
    pub(crate) fn is_elsewhere(&self, cx: &Cx<'_>) -> bool {
        let connection = cx.connections.get(&self.config.id);
        self.config.mode.initiates() && connection.is_some_and(|connection| connection.search.is_elsewhere())
    }

    /// Nothing of ours is under way that would prove the peer alive anyway.
    fn is_silent(&self) -> bool {
        !self.secured.window.is_busy() && self.tasks.is_empty()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let children = self.children.iter().map(|child| child.rekey_at.min(child.expires_at));
        let waiting = self.children.iter().filter_map(|child| child.send_at);
        let later = self.later.iter().map(|(at, _)| *at);
        let liveness = self.is_silent().then(|| self.heard_at + self.config.dpd.idle);
        let own = [
            Some(self.rekey_at),
            Some(self.expires_at),
            self.leaving_at,
            self.ticket_at,
            self.login_due,
            self.following.as_ref().map(|following| following.until),
            self.secured.window.deadline(),
            liveness,
        ];
        own.into_iter().flatten().chain(children).chain(waiting).chain(later).min()
    }
}

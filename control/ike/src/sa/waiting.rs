//! What an IKE SA waits for of the pool, in whatever state, and what becomes of it if the result never comes: a thread that died or a queue that is hours long
//! must not leave an IKE SA behind that waits for ever. Called by `sa.rs` after each step and by its timer.

use super::{Cx, IkeSa, State};
use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::established::Fate;
use crate::event::DownReason;
use crate::exchange::auth::AuthAwaited;
use crate::notice::What;

/// A job of the pool, by its serial number, and when it is given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Awaited {
    serial: u64,
    pub(super) until: Instant,
}

impl IkeSa {
    /// Notes which job the state waits for: each has the time of a half-open IKE SA.
    pub(super) fn note_awaited(&mut self, cx: &Cx<'_>) {
        let until = cx.now + cx.settings.half_open_timeout;
        self.awaited = match (self.state.job(), self.awaited) {
            (Some(serial), Some(awaited)) if awaited.serial == serial => Some(awaited),
            (job, _) => job.map(|serial| Awaited { serial, until }),
        };
    }

    /// Whether a result of the pool is yet to come.
    pub(crate) const fn is_waiting(&self) -> bool {
        self.awaited.is_some()
    }

    /// Whether the result that the state waits for is overdue.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.awaited.is_some_and(|awaited| awaited.until <= now)
    }
}

impl State {
    /// The job whose result it waits for; of two the older one.
    pub(super) fn job(&self) -> Option<u64> {
        match self {
            Self::InitPreparing(state) => Some(state.serial),
            Self::InitSharing(state) => Some(state.serial),
            Self::InitAnswering(state) => Some(state.serial),
            Self::Intermediate(state) => state.job(),
            Self::AuthSigning(state) => Some(state.serial),
            Self::AuthVerifying(state) => Some(state.serial),
            Self::AuthAwaited(state) => state.mixing.job(),
            Self::AuthProving(state) => Some(state.serial),
            Self::AuthLogin(state) => state.serial(),
            Self::Established(state) => state.job(),
            Self::V1(phase) => phase.job(),
            Self::InitSent(_) | Self::Resuming(_) | Self::AuthSent(_) | Self::Closing(_) | Self::Gone => None,
        }
    }

    /// The result did not come.
    pub(super) fn give_up_job(self, cx: &mut Cx<'_>) -> Self {
        match self {
            Self::InitPreparing(_) | Self::InitSharing(_) => failed(Stage::Init, cx),
            Self::Intermediate(_) => failed(Stage::Intermediate, cx),
            Self::AuthSigning(state) => {
                state.unsent.release(cx);
                failed(Stage::Auth, cx)
            }
            Self::AuthVerifying(state) => state.give_up(IkeError::NoResult(Stage::Auth), cx),
            Self::InitAnswering(state) => {
                state.give_up(What::HalfOpenExpired, &IkeError::NoResult(Stage::Init), cx)
            }
            Self::AuthAwaited(state) => no_result(&state, Stage::Intermediate, cx),
            Self::AuthProving(state) => no_result(&state.awaited, Stage::Auth, cx),
            Self::AuthLogin(state) => no_result(&state.awaited, Stage::Auth, cx),
            Self::Established(mut state) => {
                let error = IkeError::NoResult(state.stage());
                cx.note_stage(What::ExchangeFailed, state.stage());
                state.fate = Some(Fate::Close(DownReason::Error(error.clone()), Some(error)));
                state.settle(cx)
            }
            Self::V1(phase) => Self::V1(phase.give_up_job(cx)),
            other => other,
        }
    }
}

/// Whoever began has to begin anew.
fn no_result(awaited: &AuthAwaited, stage: Stage, cx: &mut Cx<'_>) -> State {
    awaited.tell(What::HalfOpenExpired, &IkeError::NoResult(stage), cx);
    State::Gone
}

/// The peer has not authenticated us yet: it is forgotten without a word.
fn failed(stage: Stage, cx: &mut Cx<'_>) -> State {
    let error = IkeError::NoResult(stage);
    cx.note_stage(What::ExchangeFailed, stage);
    cx.ended(DownReason::Error(error.clone()), Some(error), false);
    State::Gone
}

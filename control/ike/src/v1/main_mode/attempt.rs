//! What an initiator of main mode keeps from message to message: the peer, the last message while it is not answered, and hints of somebody.

use std::sync::Arc;

use super::hint;
use crate::config::ConnectionConfig;
use crate::connection::Evidence;
use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::event::{DownReason, IkeId, Path};
use crate::notice::What;
use crate::place::PLACE_PATIENCE;
use crate::sa::{Arrived, Cx};
use crate::v1::Phase;
use crate::v1::wire::{self, ExchangeType, Header, Message, Payload};
use crate::window::{Due, Retransmission};
use crate::wire::IkeSpi;

/// What an initiator keeps from message to message.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) config: Arc<ConnectionConfig>,
    pub(super) cookie: IkeSpi,
    pub(crate) path: Path,
    /// The ISAKMP SA that this one is to replace.
    pub(super) renews: Option<IkeId>,
    /// What somebody said that it may fail for.
    pub(super) hint: Option<IkeError>,
    pub(super) sending: Option<Retransmission>,
}

impl Attempt {
    pub(super) fn send(&mut self, datagram: Vec<u8>, cx: &mut Cx<'_>) {
        cx.transmit(self.path.local, self.path.remote, datagram.clone());
        self.sending = Some(match self.config.places.len() {
            0 | 1 => Retransmission::start(vec![datagram], cx.now, cx.settings),
            _ => Retransmission::limited(vec![datagram], cx.now, cx.settings, PLACE_PATIENCE),
        });
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.sending.as_ref().map(Retransmission::deadline)
    }

    /// Sends the last message again if it is time; false when that was often enough.
    pub(super) fn resend(&mut self, cx: &mut Cx<'_>) -> bool {
        let Some(sending) = &mut self.sending else { return true };
        match sending.due(cx.now, cx.settings) {
            Due::Nothing => {}
            Due::Resend => {
                cx.note_stage(What::Retransmit, Stage::MainMode);
                for datagram in sending.datagrams() {
                    cx.transmit(self.path.local, self.path.remote, datagram.clone());
                }
            }
            Due::GiveUp => return false,
        }
        true
    }

    /// Nobody answered.
    pub(super) fn give_up(self, cx: &mut Cx<'_>) -> Phase {
        failed(self.hint.unwrap_or(IkeError::NoAnswer { stage: Stage::MainMode, hint: None }), cx)
    }

    /// Something that nobody vouches for says why this may fail.
    pub(crate) fn remember(&mut self, error: IkeError, cx: &mut Cx<'_>) {
        let remote = self.path.remote;
        cx.refused(What::UnprovenError, remote, &[self.config.id], Evidence::Hint, &error);
        self.hint = Some(error);
    }

    /// The payloads of a message in the clear that answers ours; errors of somebody are remembered.
    pub(super) fn answer(
        &mut self,
        arrived: &Arrived<'_>,
        header: &Header,
        cx: &mut Cx<'_>,
    ) -> Option<Vec<Payload>> {
        let message = Message::parse(arrived.bytes).ok().filter(|_| arrived.remote == self.path.remote);
        let Some(message) = message.filter(|_| header.initiator == self.cookie) else {
            cx.note_from(What::DropUnexpected, arrived.remote);
            return None;
        };
        if header.exchange == ExchangeType::INFORMATIONAL {
            match wire::notifies(&message.payloads).find_map(|notify| hint(notify.kind)) {
                Some(error) => self.remember(error, cx),
                None => cx.note_from(What::DropUnexpected, arrived.remote),
            }
            return None;
        }
        if (header.exchange, header.id) != (ExchangeType::MAIN_MODE, 0) || header.responder == IkeSpi::NONE {
            cx.note_from(What::DropUnexpected, arrived.remote);
            return None;
        }
        Some(message.payloads)
    }
}

/// The peer has not authenticated us yet: it is forgotten without a word.
pub(super) fn failed(error: IkeError, cx: &mut Cx<'_>) -> Phase {
    cx.note_stage(What::ExchangeFailed, Stage::MainMode);
    cx.ended(DownReason::Error(error.clone()), Some(error), false);
    Phase::Gone
}

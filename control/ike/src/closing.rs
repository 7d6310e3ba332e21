//! The end of an IKE SA: our DELETE under way, or the peer's answered; its repeats are answered for a while (RFC 7296, 1.4.1, 2.25.2).

use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::established::{PATIENCE, error_payload};
use crate::event::ConnectionId;
use crate::notice::What;
use crate::sa::{Arrived, Cx, State};
use crate::secured::{Received, Secured};
use crate::window::Due;
use crate::wire::{Delete, ExchangeType, Header, MessageKind, Payload};

/// What is left of an IKE SA that is over.
#[derive(Debug)]
pub(crate) struct Closing {
    pub(crate) secured: Secured,
    pub(crate) connection: Option<ConnectionId>,
    /// Our DELETE, while an earlier request of ours is not answered: the peer takes them in order.
    queued: Option<Vec<Payload>>,
    until: Instant,
}

impl Closing {
    /// The peer knows; kept to repeat the last answer.
    pub(crate) fn answered(mut secured: Secured, connection: Option<ConnectionId>, cx: &Cx<'_>) -> Self {
        secured.window.answered();
        Self { secured, connection, queued: None, until: cx.now + PATIENCE }
    }

    /// Tells the peer by DELETE, after `payloads` that say why.
    pub(crate) fn deleting(
        mut secured: Secured,
        connection: Option<ConnectionId>,
        mut payloads: Vec<Payload>,
        cx: &mut Cx<'_>,
    ) -> Self {
        payloads.push(Payload::Delete(Delete::IkeSa));
        let mut queued = None;
        if secured.window.is_busy() {
            queued = Some(payloads);
        } else {
            secured.request(ExchangeType::INFORMATIONAL, payloads, cx);
        }
        // Longer than any request is repeated.
        Self { secured, connection, queued, until: cx.now + PATIENCE * 10 }
    }

    /// Whether our DELETE is still under way.
    pub(crate) const fn is_deleting(&self) -> bool {
        self.secured.window.is_busy()
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.secured.window.deadline().map_or(self.until, |at| at.min(self.until))
    }

    pub(crate) fn on_timeout(mut self: Box<Self>, cx: &mut Cx<'_>) -> State {
        let due = self.secured.resend_due(Stage::Delete, cx);
        if due == Due::GiveUp || self.until <= cx.now { State::Gone } else { State::Closing(self) }
    }

    pub(crate) fn on_datagram(
        mut self: Box<Self>,
        arrived: &Arrived<'_>,
        header: &Header,
        cx: &mut Cx<'_>,
    ) -> State {
        let message = match self.secured.receive(arrived, header, cx) {
            Received::Message(message) => message,
            Received::Nothing | Received::Malformed(_) => return State::Closing(self),
        };
        if header.kind == MessageKind::Response {
            self.secured.window.answered();
            return match self.queued.take() {
                Some(payloads) => {
                    self.secured.request(ExchangeType::INFORMATIONAL, payloads, cx);
                    State::Closing(self)
                }
                None => State::Gone,
            };
        }
        if header.exchange == ExchangeType::INFORMATIONAL {
            self.secured.answer(ExchangeType::INFORMATIONAL, Vec::new(), cx);
            if message.deletes().any(|delete| *delete == Delete::IkeSa) {
                let connection = self.connection;
                return State::Closing(Box::new(Self::answered(self.secured, connection, cx)));
            }
        } else {
            cx.note(What::ErrorAnswered);
            self.secured.answer(header.exchange, vec![error_payload(&IkeError::Collision)], cx);
        }
        State::Closing(self)
    }
}

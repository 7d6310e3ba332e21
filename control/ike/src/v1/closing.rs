//! The end of an ISAKMP SA: the peer was told once, and is told again if it sends as if it had not heard (RFC 2408, 3.15: nothing answers a deletion).

use std::time::Duration;

use super::Phase;
use super::established::PATIENCE;
use super::informational;
use super::protect::Isakmp;
use super::wire::{ExchangeType, Header};
use crate::environment::Instant;
use crate::event::ConnectionId;
use crate::notice::What;
use crate::sa::{Arrived, Cx};

/// Shortest time between two deletions.
const AGAIN: Duration = Duration::from_secs(1);

/// What is left of an ISAKMP SA that is over.
#[derive(Debug)]
pub(crate) struct Closing {
    isakmp: Isakmp,
    pub(super) connection: Option<ConnectionId>,
    told_at: Instant,
    pub(super) until: Instant,
}

impl Closing {
    /// Tells the peer.
    pub(super) fn deleting(isakmp: Isakmp, connection: Option<ConnectionId>, cx: &mut Cx<'_>) -> Self {
        informational::delete_isakmp(&isakmp, cx);
        Self { isakmp, connection, told_at: cx.now, until: cx.now + PATIENCE * 4 }
    }

    pub(super) const fn spis(&self) -> (crate::wire::IkeSpi, crate::wire::IkeSpi) {
        self.isakmp.spis()
    }

    pub(super) fn on_datagram(
        mut self: Box<Self>,
        arrived: &Arrived<'_>,
        header: &Header,
        cx: &mut Cx<'_>,
    ) -> Phase {
        let id = header.id.to_be_bytes();
        let is_of = self.isakmp.is_of(header) && header.is_encrypted;
        let iv = self.isakmp.iv(header.id);
        if !is_of || self.isakmp.open_authentic(&iv, arrived.bytes, &[&id]).is_none() {
            cx.note_from(What::DropUnauthentic, arrived.remote);
            return Phase::Closing(self);
        }
        // Deletions cross, and are no sign of life.
        let is_word_of_its_own = header.exchange == ExchangeType::INFORMATIONAL;
        if cx.now >= self.told_at + AGAIN || !is_word_of_its_own {
            self.told_at = cx.now;
            informational::delete_isakmp(&self.isakmp, cx);
        }
        Phase::Closing(self)
    }
}

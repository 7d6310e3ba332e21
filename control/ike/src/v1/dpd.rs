//! Dead peer detection (RFC 3706): R-U-THERE with a number that counts up, and R-U-THERE-ACK with the same.

use super::established::Established;
use super::informational;
use super::wire::{Notify, NotifyType};
use crate::environment::Instant;
use crate::error::Stage;
use crate::notice::What;
use crate::sa::Cx;
use crate::window::{Due, Retransmission};

/// Both directions of it.
#[derive(Debug)]
pub(super) struct Liveness {
    /// Of our last question.
    sent: u32,
    asking: Option<Retransmission>,
    /// Of the peer's last question.
    heard: Option<u32>,
}

/// Whether the peer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alive {
    /// As far as anybody knows.
    Yes,
    /// It was asked often enough.
    No,
}

/// A question of the peer's, by its number (RFC 3706, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A new one.
    First,
    /// The last one once more: its answer was lost, or somebody replays it.
    Again,
    /// One before the last, or not about this ISAKMP SA.
    Before,
}

impl Liveness {
    /// Numbers begin anywhere, with the high bit clear (RFC 3706, 5.3).
    pub(super) const fn new(random: u32) -> Self {
        Self { sent: random >> 1, asking: None, heard: None }
    }
}

impl Established {
    /// Asks a peer that was silent for long, and again until it answers.
    pub(super) fn check_liveness(&mut self, cx: &mut Cx<'_>) -> Alive {
        if let Some(asking) = &mut self.liveness.asking {
            let (due, datagrams) = (asking.due(cx.now, cx.settings), asking.datagrams().to_vec());
            match due {
                Due::Nothing => {}
                Due::GiveUp => return Alive::No,
                Due::Resend => {
                    cx.note_stage(What::Retransmit, Stage::Liveness);
                    datagrams.into_iter().for_each(|datagram| self.send(datagram, cx));
                }
            }
        } else if self.is_silent() && cx.now >= self.heard_at + self.config.dpd.idle {
            cx.note(What::LivenessAsked);
            self.liveness.sent = self.liveness.sent.wrapping_add(1);
            let number = self.liveness.sent.to_be_bytes().to_vec();
            let (id, datagram) = informational::notify(&self.isakmp, NotifyType::R_U_THERE, number, cx);
            self.used.insert(id);
            let limit = self.config.dpd.timeout;
            self.liveness.asking = Some(Retransmission::limited(vec![datagram], cx.now, cx.settings, limit));
        }
        Alive::Yes
    }

    /// Whether silence is to be asked about: if the peer can answer, and nothing of ours is under way that it would answer anyway.
    fn is_silent(&self) -> bool {
        self.isakmp.abilities.dpd
            && !self.is_leaving()
            && !self.quicks.iter().any(super::quick::Quick::is_ours)
    }

    pub(super) fn liveness_deadline(&self) -> Option<Instant> {
        let asking = self.liveness.asking.as_ref().map(Retransmission::deadline);
        asking.or_else(|| self.is_silent().then(|| self.heard_at + self.config.dpd.idle))
    }

    /// The peer asks, and is answered unless the question is older than the last one.
    pub(super) fn on_question(&mut self, notify: &Notify, cx: &mut Cx<'_>) -> Asked {
        let number = <[u8; 4]>::try_from(notify.data.as_slice()).map(u32::from_be_bytes);
        let (Ok(number), true) = (number, notify.spi == self.isakmp.name()) else { return Asked::Before };
        let asked = match self.liveness.heard.map(|heard| number.wrapping_sub(heard)) {
            Some(0) => Asked::Again,
            Some(ahead) if ahead > u32::MAX / 2 => return Asked::Before,
            _ => Asked::First,
        };
        self.liveness.heard = Some(number);
        let (id, _) = informational::notify(&self.isakmp, NotifyType::R_U_THERE_ACK, notify.data.clone(), cx);
        self.used.insert(id);
        asked
    }

    /// The peer answers. False if not to our last question.
    pub(super) fn on_answer(&mut self, notify: &Notify) -> bool {
        let is_ours = self.liveness.asking.is_some()
            && notify.data == self.liveness.sent.to_be_bytes()
            && notify.spi == self.isakmp.name();
        if is_ours {
            self.liveness.asking = None;
        }
        is_ours
    }
}

//! The first Child SA as an initiator sees it: within IKE_AUTH, or afterwards where the peer can do without it there (RFC 7296, 1.2; RFC 6023).

use super::install;
use crate::child::{Agreed, Offer};
use crate::config::ConnectionConfig;
use crate::crypto::suite::accept_esp;
use crate::error::{IkeError, Stage};
use crate::established::{Established, Task};
use crate::event::Spi;
use crate::exchange::init::Transcript;
use crate::notice::What;
use crate::sa::Cx;
use crate::wire::{Message, NotifyType, PayloadType};

/// The first Child SA, as far as the peer made it.
pub(super) fn begin_child(
    state: &mut Established,
    spi: Spi,
    transcript: &Transcript,
    message: &Message,
    cx: &mut Cx<'_>,
) {
    match agree_as_initiator(&state.config, spi, message) {
        Ok(agreed) => install(state, agreed, transcript, cx),
        Err(error) => {
            // Without an SA payload the peer made no pair.
            if message.sa().is_some() {
                state.want(Task::Disown(spi));
            } else {
                cx.env.release_spi(spi);
            }
            if message.notify(NotifyType::SINGLE_PAIR_REQUIRED).is_some() {
                cx.note_stage(What::SinglePair, Stage::Auth);
                state.single_pairs.insert(0);
                state.want(Task::NewChild { policy: 0 });
            } else {
                state.child_failed(0, error, cx);
            }
        }
    }
}

/// Whether the first Child SA is left out of IKE_AUTH.
pub(super) fn is_childless(config: &ConnectionConfig, transcript: &Transcript) -> bool {
    let takes_it = |message: Message| message.notify(NotifyType::CHILDLESS_IKEV2_SUPPORTED).is_some();
    config.childless && Message::parse(&transcript.answer).is_ok_and(takes_it)
}

fn agree_as_initiator(config: &ConnectionConfig, spi: Spi, message: &Message) -> Result<Agreed, IkeError> {
    let stage = Stage::Auth;
    let Some(sa) = message.sa() else {
        let missing = IkeError::Missing { stage, payload: PayloadType::SA };
        return Err(message.error().map_or(missing, |notify| IkeError::from_peer(stage, notify.kind)));
    };
    let child = &config.children[0];
    let choice = accept_esp(&child.esp_suites, &[], child.esn.offered(), sa)
        .map_err(|_| IkeError::Misbehaved { stage, what: "chose ESP algorithms that were not offered" })?;
    Agreed::from_answer(stage, &choice, spi, 0, &Offer::whole(child), message)
}

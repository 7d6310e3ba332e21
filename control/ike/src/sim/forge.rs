//! A peer that has the keys and does not keep to the rules: what one side sends is changed before it is sealed, so that it is authentic all the same. For tests and fuzzing.

use super::link::Carried;
use super::{Pair, Side};
use crate::sa::{IkeSa, State};
use crate::secured::Secured;
use crate::v1::wire as v1;
use crate::wire::{ExchangeType, Header, IkeSpi, MessageId, MessageKind, PayloadType, Role};

/// What is inside a protected message of IKEv2, and what of its header the seal covers besides the SPIs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// Which exchange it belongs to.
    pub exchange: ExchangeType,
    /// Question or answer.
    pub kind: MessageKind,
    /// Its number.
    pub id: MessageId,
    /// Type of the first payload.
    pub first: PayloadType,
    /// Payloads, or what takes their place.
    pub content: Vec<u8>,
}

impl Pair {
    /// Changes the first protected message of IKEv2 that side `from` has under way and the other side can open; false if there is none.
    pub fn forge(&mut self, from: usize, change: impl FnOnce(&mut Inside)) -> bool {
        let found = self.flying.iter().find_map(|(at, packet)| {
            let Carried::Ike(bytes) = &packet.carried else { return None };
            let header = Header::parse(bytes).ok().filter(|_| packet.to == 1 - from)?;
            let receiver = self.sides[1 - from].secured(spi(&header, header.sender.peer()))?;
            let (first, content) = receiver.content_of(bytes)?;
            Some((*at, header, first, content))
        });
        let Some((at, header, first, content)) = found else { return false };
        let Header { exchange, kind, id, .. } = header;
        let mut inside = Inside { exchange, kind, id, first, content };
        change(&mut inside);
        let Inside { exchange, kind, id, first, content } = inside;
        let changed = Header { exchange, kind, id, ..header };
        let Self { sides, random, flying, .. } = self;
        let sender = sides[from].secured_mut(spi(&header, header.sender));
        let sealed = sender
            .and_then(|sender| sender.seal_content(&changed, first, &content, &mut |out| random.fill(out)));
        let (Some(sealed), Some(packet)) = (sealed, flying.get_mut(&at)) else { return false };
        packet.carried = Carried::Ike(sealed);
        self.log(format!("{from} says something else"));
        true
    }

    /// Side `from` begins an exchange of IKEv1's phase 2 with any content behind its HASH; false if it has no ISAKMP SA.
    pub fn say_v1(
        &mut self,
        from: usize,
        exchange: v1::ExchangeType,
        id: u32,
        first: v1::PayloadType,
        content: &[u8],
    ) -> bool {
        let sealed = self.sides[from].endpoint.sas.values().find_map(|sa| match &sa.state {
            State::V1(phase) => phase.seal_content(exchange, id, first, content),
            _ => None,
        });
        let Some((path, message)) = sealed else { return false };
        self.fly(from, path.local, path.remote, &message);
        true
    }
}

/// The SPI of one side.
const fn spi(header: &Header, of: Role) -> IkeSpi {
    match of {
        Role::Initiator => header.initiator_spi,
        Role::Responder => header.responder_spi,
    }
}

impl Side {
    fn secured(&self, spi: IkeSpi) -> Option<&Secured> {
        let id = self.endpoint.by_spi.get(&spi)?;
        self.endpoint.sas.get(id).and_then(|sa| sa.secured())
    }

    fn secured_mut(&mut self, spi: IkeSpi) -> Option<&mut Secured> {
        let id = self.endpoint.by_spi.get(&spi)?;
        let IkeSa { state, .. } = &mut **self.endpoint.sas.get_mut(id)?;
        match state {
            State::Intermediate(state) => Some(&mut state.secured),
            State::AuthSent(state) => Some(&mut state.secured),
            State::AuthAwaited(state) => Some(&mut state.secured),
            State::Established(state) => Some(&mut state.secured),
            State::Closing(state) => Some(&mut state.secured),
            _ => None,
        }
    }
}

//! Putting fragments together (RFC 7383, 2.6), in any order, with a bound on what is kept.

use thiserror::Error;

use super::Fragment;
use crate::wire::{self, Header, MAX_MESSAGE_BYTES, Malformed, Message, PayloadType};

/// Most fragments of one message, ours or a peer's.
pub const MAX_FRAGMENTS: u16 = 128;

/// Collects the fragments of one message in one direction. Only authentic fragments reach it.
#[derive(Debug, Default)]
pub struct Reassembler {
    current: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    header: Header,
    first: PayloadType,
    parts: Vec<Option<Vec<u8>>>,
    bytes: usize,
}

/// Why a fragment was not taken; what was collected before stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FragmentError {
    /// More fragments than are collected.
    #[error("{0} fragments announced, at most {MAX_FRAGMENTS} are taken")]
    TooMany(u16),
    /// Together longer than a message may be.
    #[error("fragments exceed {MAX_MESSAGE_BYTES} bytes")]
    TooLong,
    /// Fewer fragments than the message is already split into: an older split (RFC 7383, 2.6).
    #[error("fragment of a coarser split than the one being collected")]
    Stale,
    /// All fragments are there, and what they hold is damaged: INVALID_SYNTAX.
    #[error("malformed inside: {0}")]
    Malformed(Malformed),
}

impl Reassembler {
    /// Adds a fragment; returns the message once it is complete. A fragment of another message ID, or of a finer split
    /// of the same message (the peer found a smaller path MTU), begins anew; a repeated one changes nothing.
    ///
    /// # Errors
    /// [`FragmentError`]; all but [`FragmentError::Malformed`] only mean that this fragment is dropped.
    pub fn push(&mut self, fragment: Fragment) -> Result<Option<Message>, FragmentError> {
        if fragment.total > MAX_FRAGMENTS {
            return Err(FragmentError::TooMany(fragment.total));
        }
        let total = usize::from(fragment.total);
        let known = self.current.take().filter(|known| known.header == fragment.header);
        let mut partial = match known {
            Some(known) if known.parts.len() > total => {
                self.current = Some(known);
                return Err(FragmentError::Stale);
            }
            Some(known) if known.parts.len() == total => known,
            _ => Partial {
                header: fragment.header,
                first: PayloadType::NONE,
                parts: vec![None; total],
                bytes: 0,
            },
        };
        let result = partial.add(fragment);
        if result.is_err() || partial.parts.iter().any(Option::is_none) {
            self.current = Some(partial);
            return result.map(|()| None);
        }
        let content = partial.parts.into_iter().flatten().collect::<Vec<_>>().concat();
        let payloads = wire::inner(partial.first, &content).map_err(FragmentError::Malformed)?;
        Ok(Some(Message { header: partial.header, payloads }))
    }
}

impl Partial {
    fn add(&mut self, fragment: Fragment) -> Result<(), FragmentError> {
        let Some(slot) = self.parts.get_mut(usize::from(fragment.number) - 1) else {
            return Err(FragmentError::TooMany(fragment.number));
        };
        if slot.is_some() {
            return Ok(());
        }
        if self.bytes + fragment.content.len() > MAX_MESSAGE_BYTES {
            return Err(FragmentError::TooLong);
        }
        if fragment.number == 1 {
            self.first = fragment.first;
        }
        self.bytes += fragment.content.len();
        *slot = Some(fragment.content);
        Ok(())
    }
}

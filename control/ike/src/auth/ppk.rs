//! Post-quantum pre-shared keys (RFC 8784): what both sides say about one in IKE_SA_INIT and IKE_AUTH, and what can be wrong with it.
//!
//! [`crate::crypto::keys`] mixes the key into SK_d, SK_pi and SK_pr; IKE_AUTH asks here with which keys its proofs are made, in both roles. A rekeyed IKE SA
//! has it by way of the old SK_d (RFC 8784, 3).

use std::sync::Arc;

use thiserror::Error;

use crate::error::IkeError;
use crate::secret::Secret;
use crate::wire::{Message, Notify, NotifyType, Payload};

/// PPK_ID_FIXED (RFC 8784, 5.1): a name that both sides were given.
const FIXED: u8 = 2;
/// Most characters of a peer's name for a key that are repeated in an error.
const SHOWN_CHARACTERS: usize = 64;

/// A key that both sides have beside what they authenticate with: whoever breaks the key exchange some day still lacks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ppk {
    /// Its name, the same on both sides.
    pub id: Vec<u8>,
    /// The key, of 256 bits of entropy or more (RFC 8784, 6).
    pub secret: Arc<Secret<Vec<u8>>>,
    /// Whether a peer without it is refused.
    pub required: bool,
}

/// Why a key was not used, or did not fit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PpkError {
    /// The peer has none.
    #[error("this connection requires a post-quantum pre-shared key (PPK), and the peer uses none")]
    NotUsed,
    /// The peer names one that this connection does not have.
    #[error("the peer uses a post-quantum pre-shared key (PPK) that is unknown here: {0}")]
    Unknown(String),
    /// The proof does not verify.
    #[error(
        "the peer's proof of identity is wrong: the post-quantum pre-shared keys (PPK) differ, or the keys beside them"
    )]
    Differs,
    /// The peer did not accept our proof.
    #[error(
        "the peer refused this side's identity, key or post-quantum pre-shared key (AUTHENTICATION_FAILED)"
    )]
    Refused,
}

/// With which keys the proof in a request is made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Use<'a> {
    /// Without a PPK.
    Without,
    /// With ours.
    Mixed(&'a Ppk),
    /// With one that is unknown here; this is the proof without it.
    Instead(&'a [u8]),
}

impl Ppk {
    /// PPK_IDENTITY as the initiator sends it.
    pub(crate) fn identity(&self) -> Payload {
        Payload::Notify(Notify::new(NotifyType::PPK_IDENTITY, self.wire_id()))
    }

    fn wire_id(&self) -> Vec<u8> {
        [&[FIXED][..], &self.id].concat()
    }
}

impl PpkError {
    /// Which side must change what.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::NotUsed => {
                "give the peer the PPK of this connection, or set required = false in [connection.ppk] here until it has it"
            }
            Self::Unknown(_) => "make id in [connection.ppk] here and the peer's PPK ID equal",
            Self::Differs => "set the same PPK on both sides, and the same shared_key",
            Self::Refused => {
                "set the same PPK and PPK ID on both sides, and what each side authenticates with; the peer's log tells which differs"
            }
        }
    }
}

/// What the initiator's proof is made with. `agreed`: both sides announced USE_PPK.
///
/// # Errors
/// [`PpkError::NotUsed`] and [`PpkError::Unknown`].
pub(crate) fn of_request<'a>(
    ours: Option<&'a Ppk>,
    agreed: bool,
    request: &'a Message,
) -> Result<Use<'a>, PpkError> {
    let is_required = ours.is_some_and(|ppk| ppk.required);
    let Some(named) = request.notify(NotifyType::PPK_IDENTITY).filter(|_| agreed) else {
        return if is_required { Err(PpkError::NotUsed) } else { Ok(Use::Without) };
    };
    match (ours, request.notify(NotifyType::NO_PPK_AUTH)) {
        (Some(ppk), _) if named.data == ppk.wire_id() => Ok(Use::Mixed(ppk)),
        (_, Some(without)) if !is_required => Ok(Use::Instead(&without.data)),
        _ => Err(PpkError::Unknown(shown(&named.data))),
    }
}

/// What the responder's proof is made with, where ours was made with `ours`.
///
/// # Errors
/// [`PpkError::NotUsed`].
pub(crate) fn of_answer<'a>(ours: Option<&'a Ppk>, answer: &Message) -> Result<Option<&'a Ppk>, PpkError> {
    match ours {
        Some(ppk) if answer.notify(NotifyType::PPK_IDENTITY).is_none() => {
            if ppk.required {
                return Err(PpkError::NotUsed);
            }
            Ok(None)
        }
        ours => Ok(ours),
    }
}

/// A proof that is wrong, where a PPK is in it: whichever it was, the operator has to look at both.
pub(crate) fn explained(error: IkeError, is_mixed: bool) -> IkeError {
    match error {
        IkeError::WrongKey | IkeError::WrongSignature if is_mixed => PpkError::Differs.into(),
        error => error,
    }
}

/// A peer's name for a key, fit for a terminal.
fn shown(data: &[u8]) -> String {
    let name = String::from_utf8_lossy(data.get(1..).unwrap_or_default());
    name.chars().take(SHOWN_CHARACTERS).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ExchangeType, Header, IkeSpi, MessageId, MessageKind, Role};

    fn message(notifies: &[(NotifyType, &[u8])]) -> Message {
        let header = Header {
            initiator_spi: IkeSpi(1),
            responder_spi: IkeSpi(2),
            exchange: ExchangeType::IKE_AUTH,
            sender: Role::Initiator,
            kind: MessageKind::Request,
            id: MessageId(1),
        };
        let notify = |(kind, data): &(NotifyType, &[u8])| Payload::Notify(Notify::new(*kind, data.to_vec()));
        Message { header, payloads: notifies.iter().map(notify).collect() }
    }

    #[test]
    fn only_a_key_of_that_name_and_kind_is_used_and_nothing_less_where_it_is_required() {
        let ppk =
            |required| Ppk { id: b"a".to_vec(), secret: Arc::new(Secret::from(b"key".as_slice())), required };
        let (optional, required) = (ppk(false), ppk(true));
        let none = message(&[]);
        let same: (NotifyType, &[u8]) = (NotifyType::PPK_IDENTITY, b"\x02a");
        let without: (NotifyType, &[u8]) = (NotifyType::NO_PPK_AUTH, b"proof");
        assert_eq!(of_request(None, true, &none), Ok(Use::Without));
        assert_eq!(of_request(Some(&optional), true, &none), Ok(Use::Without));
        assert_eq!(of_request(Some(&required), true, &none), Err(PpkError::NotUsed));
        for message in [message(&[same]), message(&[same, without])] {
            for ours in [&optional, &required] {
                assert_eq!(of_request(Some(ours), true, &message), Ok(Use::Mixed(ours)));
            }
            assert_eq!(of_request(Some(&required), false, &message), Err(PpkError::NotUsed));
        }
        for named in [b"\x02b".as_slice(), b"\x01a", b"\x02", b""] {
            let other = (NotifyType::PPK_IDENTITY, named);
            for ours in [None, Some(&optional)] {
                let both = message(&[other, without]);
                assert_eq!(of_request(ours, true, &both), Ok(Use::Instead(b"proof")));
                assert!(matches!(of_request(ours, true, &message(&[other])), Err(PpkError::Unknown(_))));
            }
            let refused = message(&[other, without]);
            assert!(matches!(of_request(Some(&required), true, &refused), Err(PpkError::Unknown(_))));
        }
        assert_eq!(of_answer(Some(&required), &none), Err(PpkError::NotUsed));
        assert_eq!(of_answer(Some(&optional), &none), Ok(None));
        let used = message(&[(NotifyType::PPK_IDENTITY, b"")]);
        assert_eq!(of_answer(Some(&required), &used), Ok(Some(&required)));
        assert_eq!(of_answer(None, &used), Ok(None));
    }

    #[test]
    fn a_name_of_the_peer_is_shown_without_what_a_terminal_obeys() {
        let long = [b"\x02\x1b[2J".as_slice(), &[b'a'; 300]].concat();
        let name = shown(&long);
        assert!(name.starts_with("\\u{1b}[2Ja") && name.len() < 100, "{name}");
    }
}

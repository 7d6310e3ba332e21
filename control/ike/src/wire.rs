//! Messages of IKEv2 as values, read from and written to bytes (RFC 7296, 3).
//!
//! `Endpoint` calls [`Header::parse`] to find the SA of a datagram and [`Message::parse`] when the exchange is not yet
//! protected; protected ones go through [`crate::protect`]. Reading never trusts a length, never panics and is bounded
//! by the limits below; writing refuses what does not fit a length field. Whether a value makes sense is not asked here.

use std::fmt;

pub mod number;

pub mod payload;

pub mod reader;

mod build;

mod parse;

pub use build::TooLong;
pub(crate) use build::{chain as write_payloads, start};
pub use number::*;
pub(crate) use parse::inner;
pub use payload::*;
pub use reader::{Fault, Malformed};

/// Bytes of the fixed header (3.1).
pub const HEADER_BYTES: usize = 28;
/// Longest message that is read or written: what a UDP datagram can carry.
pub const MAX_MESSAGE_BYTES: usize = 65_535;
/// Most payloads read from one message.
pub const MAX_PAYLOADS: usize = 64;
/// Most proposals read from one SA payload.
pub const MAX_PROPOSALS: usize = 64;
/// Most transforms read from one proposal.
pub const MAX_TRANSFORMS: usize = 64;
/// Most attributes read from one transform or Configuration payload.
pub const MAX_ATTRIBUTES: usize = 64;
/// Most SPIs read from one Delete payload.
pub const MAX_DELETED_SPIS: usize = 1024;
/// Length of a nonce in bytes (3.9).
pub const NONCE_BYTES: std::ops::RangeInclusive<usize> = 16..=256;

/// SPI of an IKE SA (3.1): each side chooses its own, never 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IkeSpi(pub u64);

impl IkeSpi {
    /// Stands in the first message for the SPI that the responder has yet to choose.
    pub const NONE: Self = Self(0);

    /// The eight bytes on the wire.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for IkeSpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for IkeSpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Number of a request and its response (2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u32);

/// Who began an IKE SA. Fixed for its life; a rekey makes a new SA with its own initiator (2.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sent the first message.
    Initiator,
    /// Answered it.
    Responder,
}

impl Role {
    /// The other side.
    pub fn peer(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }
}

/// Whether a message asks or answers (the Response flag, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Asks.
    Request,
    /// Answers the request of the same ID.
    Response,
}

/// The fixed header (3.1), without what follows from the rest of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Chosen by the SA's initiator; never 0.
    pub initiator_spi: IkeSpi,
    /// Chosen by the SA's responder; [`IkeSpi::NONE`] until then.
    pub responder_spi: IkeSpi,
    /// What the message belongs to.
    pub exchange: ExchangeType,
    /// Sender's role in the SA (the Initiator flag).
    pub sender: Role,
    /// Request or response.
    pub kind: MessageKind,
    /// Which request, or the answer to which.
    pub id: MessageId,
}

/// A message: its header and payloads in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The fixed header.
    pub header: Header,
    /// All payloads; of a protected message the decrypted ones.
    pub payloads: Vec<Payload>,
}

/// Writes an accessor for a payload that the parser allows once.
macro_rules! single {
    ($(#[doc = $doc:literal])* $name:ident -> $value:ty = $variant:ident) => {
        $(#[doc = $doc])*
        pub fn $name(&self) -> Option<&$value> {
            self.payloads.iter().find_map(|payload| match payload {
                Payload::$variant(value) => Some(value),
                _ => None,
            })
        }
    };
}

impl Message {
    single!(/// Proposals of the SA payload.
        sa -> Vec<Proposal> = SecurityAssociation);
    single!(/// The KE payload.
        ke -> KeyExchangeData = KeyExchange);
    single!(/// The nonce, 16 to 256 bytes.
        nonce -> Vec<u8> = Nonce);
    single!(/// The initiator's identification.
        id_initiator -> Identification = IdInitiator);
    single!(/// The responder's identification.
        id_responder -> Identification = IdResponder);
    single!(/// The AUTH payload.
        auth -> Authentication = Authentication);
    single!(/// The initiator's traffic selectors; [`ranges`] picks those understood.
        ts_initiator -> Vec<Selector> = TsInitiator);
    single!(/// The responder's traffic selectors; [`ranges`] picks those understood.
        ts_responder -> Vec<Selector> = TsResponder);
    single!(/// The Configuration payload.
        configuration -> Configuration = Configuration);
    single!(/// The EAP packet.
        eap -> Vec<u8> = Eap);

    /// Every notification, in order.
    pub fn notifies(&self) -> impl Iterator<Item = &Notify> {
        self.payloads.iter().filter_map(|payload| match payload {
            Payload::Notify(notify) => Some(notify),
            _ => None,
        })
    }

    /// The first notification of a kind.
    pub fn notify(&self, kind: NotifyType) -> Option<&Notify> {
        self.notifies().find(|notify| notify.kind == kind)
    }

    /// The first notification that reports an error.
    pub fn error(&self) -> Option<&Notify> {
        self.notifies().find(|notify| notify.kind.is_error())
    }

    /// Every deletion, in order.
    pub fn deletes(&self) -> impl Iterator<Item = &Delete> {
        self.payloads.iter().filter_map(|payload| match payload {
            Payload::Delete(delete) => Some(delete),
            _ => None,
        })
    }

    /// The first payload that is unknown and critical: the message is to be refused with
    /// UNSUPPORTED_CRITICAL_PAYLOAD, whose data is this type (2.5).
    pub fn unsupported_critical(&self) -> Option<PayloadType> {
        self.payloads.iter().find_map(|payload| match payload {
            Payload::Unknown(unknown) if unknown.critical => Some(unknown.kind),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;

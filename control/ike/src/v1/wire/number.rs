//! The numbers of IKEv1 (IANA registries "IPSEC ISAKMP Registry" and "Internet Key Exchange (IKE) Attributes"; RFC 2408, 2407, 3947, 3706) and their names.

use crate::wire::number::names;

/// Exchange type of a message (RFC 2408, 3.1; RFC 2409, A).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeType(pub u8);
names! { ExchangeType:
    BASE = 1, MAIN_MODE = 2, AUTHENTICATION_ONLY = 3, AGGRESSIVE_MODE = 4, INFORMATIONAL = 5, TRANSACTION = 6,
    QUICK_MODE = 32, NEW_GROUP_MODE = 33,
}

/// Type of a payload (RFC 2408, 3.1; RFC 3947, 5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PayloadType(pub u8);
names! { PayloadType:
    NONE = 0, SA = 1, PROPOSAL = 2, TRANSFORM = 3, KE = 4, ID = 5, CERT = 6, CERTREQ = 7, HASH = 8, SIG = 9,
    NONCE = 10, NOTIFY = 11, DELETE = 12, VENDOR_ID = 13, NAT_D = 20, NAT_OA = 21,
}

/// Notify message type (RFC 2408, 3.14.1; RFC 2407, 4.6.3; RFC 3706, 5.2): errors below 16384, statuses from there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NotifyType(pub u16);
names! { NotifyType:
    INVALID_PAYLOAD_TYPE = 1, DOI_NOT_SUPPORTED = 2, SITUATION_NOT_SUPPORTED = 3, INVALID_COOKIE = 4,
    INVALID_MAJOR_VERSION = 5, INVALID_MINOR_VERSION = 6, INVALID_EXCHANGE_TYPE = 7, INVALID_FLAGS = 8,
    INVALID_MESSAGE_ID = 9, INVALID_PROTOCOL_ID = 10, INVALID_SPI = 11, INVALID_TRANSFORM_ID = 12,
    ATTRIBUTES_NOT_SUPPORTED = 13, NO_PROPOSAL_CHOSEN = 14, BAD_PROPOSAL_SYNTAX = 15, PAYLOAD_MALFORMED = 16,
    INVALID_KEY_INFORMATION = 17, INVALID_ID_INFORMATION = 18, INVALID_CERT_ENCODING = 19, INVALID_CERTIFICATE = 20,
    CERT_TYPE_UNSUPPORTED = 21, INVALID_CERT_AUTHORITY = 22, INVALID_HASH_INFORMATION = 23,
    AUTHENTICATION_FAILED = 24, INVALID_SIGNATURE = 25, ADDRESS_NOTIFICATION = 26, NOTIFY_SA_LIFETIME = 27,
    CERTIFICATE_UNAVAILABLE = 28, UNSUPPORTED_EXCHANGE_TYPE = 29, UNEQUAL_PAYLOAD_LENGTHS = 30,

    CONNECTED = 16384, RESPONDER_LIFETIME = 24576, REPLAY_STATUS = 24577, INITIAL_CONTACT = 24578,
    R_U_THERE = 36136, R_U_THERE_ACK = 36137,
}

impl NotifyType {
    /// Whether this notification reports an error.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 < 16384
    }
}

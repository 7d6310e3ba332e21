//! The numbers of IKEv2 (IANA registry "IKEv2 Parameters"; RFC 7296, 3) and their names, each in one table.
//!
//! A number that no table knows is kept as it came and printed as a number. Names are IANA's, shortened where the type
//! already says the prefix. Used by [`super::payload`], by negotiation and by every log line that names a wire value.

/// Writes a number type's constants, its name table and how it prints, from one list.
macro_rules! names {
    ($type:ident: $($(#[doc = $doc:literal])* $name:ident = $value:literal),+ $(,)?) => {
        impl $type {
            $(
                #[doc = concat!("`", stringify!($name), "` = ", stringify!($value), $(".", $doc),*)]
                pub const $name: Self = Self($value);
            )+

            /// Every number with a name, in the order of the registry.
            pub const NAMES: &'static [(Self, &'static str)] = &[$((Self::$name, stringify!($name))),+];

            /// The registered name, if this number has one.
            pub fn name(self) -> Option<&'static str> {
                Self::NAMES.iter().find(|(number, _)| *number == self).map(|(_, name)| *name)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => write!(f, "{} {}", stringify!($type), self.0),
                }
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    };
}

pub(crate) use names;

/// Exchange type of a message (RFC 7296, 3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeType(pub u8);
names! { ExchangeType:
    IKE_SA_INIT = 34, IKE_AUTH = 35, CREATE_CHILD_SA = 36, INFORMATIONAL = 37, IKE_SESSION_RESUME = 38,
    IKE_INTERMEDIATE = 43, IKE_FOLLOWUP_KE = 44,
}

/// Type of a payload, as in the Next Payload field (RFC 7296, 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PayloadType(pub u8);
names! { PayloadType:
    NONE = 0, SA = 33, KE = 34, IDI = 35, IDR = 36, CERT = 37, CERTREQ = 38, AUTH = 39, NONCE = 40, NOTIFY = 41,
    DELETE = 42, VENDOR_ID = 43, TSI = 44, TSR = 45, SK = 46, CP = 47, EAP = 48, GSPM = 49,
    SKF = 53, PS = 54,
}

/// Security protocol of a proposal, notification or deletion (RFC 7296, 3.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProtocolId(pub u8);
names! { ProtocolId: NONE = 0, IKE = 1, AH = 2, ESP = 3 }

/// Kind of a transform (RFC 7296, 3.3.2; RFC 9370).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransformType(pub u8);
names! { TransformType:
    ENCR = 1, PRF = 2, INTEG = 3, DH = 4, ESN = 5, ADDKE1 = 6, ADDKE2 = 7, ADDKE3 = 8, ADDKE4 = 9, ADDKE5 = 10,
    ADDKE6 = 11, ADDKE7 = 12,
}

/// Encryption algorithm: transform type 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EncryptionId(pub u16);
names! { EncryptionId:
    DES = 2, TRIPLE_DES = 3, NULL = 11, AES_CBC = 12, AES_CTR = 13, AES_CCM_8 = 14, AES_CCM_12 = 15, AES_CCM_16 = 16,
    AES_GCM_8 = 18, AES_GCM_12 = 19, AES_GCM_16 = 20, NULL_AUTH_AES_GMAC = 21, CAMELLIA_CBC = 23, CHACHA20_POLY1305 = 28,
}

/// Pseudorandom function: transform type 2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrfId(pub u16);
names! { PrfId:
    HMAC_MD5 = 1, HMAC_SHA1 = 2, AES128_XCBC = 4, HMAC_SHA2_256 = 5, HMAC_SHA2_384 = 6, HMAC_SHA2_512 = 7,
    AES128_CMAC = 8,
}

/// Integrity algorithm: transform type 3.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IntegrityId(pub u16);
names! { IntegrityId:
    NONE = 0, HMAC_MD5_96 = 1, HMAC_SHA1_96 = 2, AES_XCBC_96 = 5, AES_CMAC_96 = 8, HMAC_SHA2_256_128 = 12,
    HMAC_SHA2_384_192 = 13, HMAC_SHA2_512_256 = 14,
}

/// Key exchange method: transform type 4, and the KE payload's first field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u16);
names! { GroupId:
    NONE = 0, MODP_768 = 1, MODP_1024 = 2, MODP_1536 = 5, MODP_2048 = 14, MODP_3072 = 15, MODP_4096 = 16,
    MODP_6144 = 17, MODP_8192 = 18, ECP_256 = 19, ECP_384 = 20, ECP_521 = 21, MODP_1024_160 = 22, MODP_2048_224 = 23,
    MODP_2048_256 = 24, ECP_192 = 25, ECP_224 = 26, BRAINPOOL_224 = 27, BRAINPOOL_256 = 28, BRAINPOOL_384 = 29,
    BRAINPOOL_512 = 30, CURVE25519 = 31, CURVE448 = 32, ML_KEM_512 = 35, ML_KEM_768 = 36, ML_KEM_1024 = 37,
}

/// Extended sequence numbers or not: transform type 5.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EsnId(pub u16);
names! { EsnId: NO_ESN = 0, ESN = 1 }

/// Attribute of a transform (RFC 7296, 3.3.5), without the format bit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttributeType(pub u16);
names! { AttributeType: KEY_LENGTH = 14 }

/// Kind of an identification (RFC 7296, 3.5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdType(pub u8);
names! { IdType:
    IPV4_ADDR = 1, FQDN = 2, RFC822_ADDR = 3, IPV6_ADDR = 5, DER_ASN1_DN = 9, DER_ASN1_GN = 10, KEY_ID = 11,
    FC_NAME = 12, NULL = 13,
}

/// Authentication method (RFC 7296, 3.8; RFC 7427; RFC 7619).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AuthMethod(pub u8);
names! { AuthMethod:
    RSA_SIGNATURE = 1, SHARED_KEY_MIC = 2, DSS_SIGNATURE = 3, ECDSA_256 = 9, ECDSA_384 = 10, ECDSA_521 = 11,
    NULL = 13, DIGITAL_SIGNATURE = 14,
}

/// Encoding of a certificate or of a request for one (RFC 7296, 3.6).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertEncoding(pub u8);
names! { CertEncoding:
    PKCS7_X509 = 1, PGP = 2, DNS_SIGNED_KEY = 3, X509_SIGNATURE = 4, KERBEROS_TOKEN = 6, CRL = 7, ARL = 8, SPKI = 9,
    X509_ATTRIBUTE = 10, HASH_URL_CERT = 12, HASH_URL_BUNDLE = 13, OCSP_CONTENT = 14, RAW_PUBLIC_KEY = 15,
}

/// Kind of a traffic selector (RFC 7296, 3.13.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TsType(pub u8);
names! { TsType: IPV4_ADDR_RANGE = 7, IPV6_ADDR_RANGE = 8, FC_ADDR_RANGE = 9, SECLABEL = 10 }

/// Kind of a configuration payload (RFC 7296, 3.15).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CfgType(pub u8);
names! { CfgType: REQUEST = 1, REPLY = 2, SET = 3, ACK = 4 }

/// Attribute of a configuration payload (RFC 7296, 3.15.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CfgAttributeType(pub u16);
names! { CfgAttributeType:
    INTERNAL_IP4_ADDRESS = 1, INTERNAL_IP4_NETMASK = 2, INTERNAL_IP4_DNS = 3, INTERNAL_IP4_NBNS = 4,
    INTERNAL_IP4_DHCP = 6, APPLICATION_VERSION = 7, INTERNAL_IP6_ADDRESS = 8, INTERNAL_IP6_DNS = 10,
    INTERNAL_IP6_DHCP = 12, INTERNAL_IP4_SUBNET = 13, SUPPORTED_ATTRIBUTES = 14, INTERNAL_IP6_SUBNET = 15,
    MIP6_HOME_PREFIX = 16, INTERNAL_IP6_LINK = 17, INTERNAL_IP6_PREFIX = 18, INTERNAL_DNS_DOMAIN = 25,
}

/// Hash algorithm in SIGNATURE_HASH_ALGORITHMS (RFC 7427, 4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HashAlgorithm(pub u16);
names! { HashAlgorithm: SHA1 = 1, SHA2_256 = 2, SHA2_384 = 3, SHA2_512 = 4, IDENTITY = 5 }

/// Notify message type (RFC 7296, 3.10.1 and its extensions): errors below 16384, statuses from there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NotifyType(pub u16);
names! { NotifyType:
    UNSUPPORTED_CRITICAL_PAYLOAD = 1, INVALID_IKE_SPI = 4, INVALID_MAJOR_VERSION = 5, INVALID_SYNTAX = 7,
    INVALID_MESSAGE_ID = 9, INVALID_SPI = 11, NO_PROPOSAL_CHOSEN = 14, INVALID_KE_PAYLOAD = 17,
    AUTHENTICATION_FAILED = 24, SINGLE_PAIR_REQUIRED = 34, NO_ADDITIONAL_SAS = 35, INTERNAL_ADDRESS_FAILURE = 36,
    FAILED_CP_REQUIRED = 37, TS_UNACCEPTABLE = 38, INVALID_SELECTORS = 39, UNACCEPTABLE_ADDRESSES = 40,
    UNEXPECTED_NAT_DETECTED = 41, USE_ASSIGNED_HOA = 42, TEMPORARY_FAILURE = 43, CHILD_SA_NOT_FOUND = 44,
    INVALID_GROUP_ID = 45, AUTHORIZATION_FAILED = 46, STATE_NOT_FOUND = 47, TS_MAX_QUEUE = 48,

    INITIAL_CONTACT = 16384, SET_WINDOW_SIZE = 16385, ADDITIONAL_TS_POSSIBLE = 16386, IPCOMP_SUPPORTED = 16387,
    NAT_DETECTION_SOURCE_IP = 16388, NAT_DETECTION_DESTINATION_IP = 16389, COOKIE = 16390, USE_TRANSPORT_MODE = 16391,
    HTTP_CERT_LOOKUP_SUPPORTED = 16392, REKEY_SA = 16393, ESP_TFC_PADDING_NOT_SUPPORTED = 16394,
    NON_FIRST_FRAGMENTS_ALSO = 16395, MOBIKE_SUPPORTED = 16396, ADDITIONAL_IP4_ADDRESS = 16397,
    ADDITIONAL_IP6_ADDRESS = 16398, NO_ADDITIONAL_ADDRESSES = 16399, UPDATE_SA_ADDRESSES = 16400, COOKIE2 = 16401,
    NO_NATS_ALLOWED = 16402, AUTH_LIFETIME = 16403, MULTIPLE_AUTH_SUPPORTED = 16404, ANOTHER_AUTH_FOLLOWS = 16405,
    REDIRECT_SUPPORTED = 16406, REDIRECT = 16407, REDIRECTED_FROM = 16408, TICKET_LT_OPAQUE = 16409,
    TICKET_REQUEST = 16410, TICKET_ACK = 16411, TICKET_NACK = 16412, TICKET_OPAQUE = 16413, LINK_ID = 16414,
    USE_WESP_MODE = 16415, ROHC_SUPPORTED = 16416, EAP_ONLY_AUTHENTICATION = 16417,
    CHILDLESS_IKEV2_SUPPORTED = 16418, QUICK_CRASH_DETECTION = 16419, IKEV2_MESSAGE_ID_SYNC_SUPPORTED = 16420,
    IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED = 16421, IKEV2_MESSAGE_ID_SYNC = 16422, IPSEC_REPLAY_COUNTER_SYNC = 16423,
    SECURE_PASSWORD_METHODS = 16424, PSK_PERSIST = 16425, PSK_CONFIRM = 16426, ERX_SUPPORTED = 16427,
    IFOM_CAPABILITY = 16428, SENDER_REQUEST_ID = 16429, IKEV2_FRAGMENTATION_SUPPORTED = 16430,
    SIGNATURE_HASH_ALGORITHMS = 16431, CLONE_IKE_SA_SUPPORTED = 16432, CLONE_IKE_SA = 16433, PUZZLE = 16434,
    USE_PPK = 16435, PPK_IDENTITY = 16436, NO_PPK_AUTH = 16437, INTERMEDIATE_EXCHANGE_SUPPORTED = 16438,
    IP4_ALLOWED = 16439, IP6_ALLOWED = 16440, ADDITIONAL_KEY_EXCHANGE = 16441, USE_AGGFRAG = 16442,
    SUPPORTED_AUTH_METHODS = 16443, SA_RESOURCE_INFO = 16444,

    // For private use: Crossgate's own, sent to those alone who say by a vendor ID that they know it.
    OFFER_ADDITIONAL_KEY_EXCHANGES = 41_370,
}

impl NotifyType {
    /// Whether this notification reports an error (RFC 7296, 3.10.1): unknown ones fail the request they answer.
    pub fn is_error(self) -> bool {
        self.0 < 16384
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers_print_names_and_unknown_ones_numbers() {
        assert_eq!(NotifyType(17).to_string(), "INVALID_KE_PAYLOAD");
        assert_eq!(NotifyType(8191).to_string(), "NotifyType 8191");
        assert_eq!(format!("{:?}", GroupId::CURVE25519), "CURVE25519");
    }

    #[test]
    fn errors_and_statuses_part_at_16384() {
        assert!(NotifyType::STATE_NOT_FOUND.is_error());
        assert!(!NotifyType::INITIAL_CONTACT.is_error());
        assert!(NotifyType(16383).is_error());
    }
}

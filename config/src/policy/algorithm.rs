//! Algorithms by Azure's names, and the names that Azure has and this gateway refuses.

use crate::choice::Choice;

/// A cipher of the IKE SA (`ike_encryption`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IkeEncryption {
    /// AES-GCM with a 16-byte tag and a 128-bit key (RFC 5282).
    GcmAes128,
    /// AES-GCM with a 16-byte tag and a 256-bit key (RFC 5282).
    GcmAes256,
    /// AES-CBC with a 128-bit key (RFC 3602).
    Aes128,
    /// AES-CBC with a 192-bit key (RFC 3602).
    Aes192,
    /// AES-CBC with a 256-bit key (RFC 3602).
    Aes256,
}

impl IkeEncryption {
    /// Whether the cipher protects integrity by itself.
    #[must_use]
    pub fn is_combined_mode(self) -> bool {
        matches!(self, Self::GcmAes128 | Self::GcmAes256)
    }
}

impl Choice for IkeEncryption {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("GCMAES256", Self::GcmAes256),
        ("GCMAES128", Self::GcmAes128),
        ("AES256", Self::Aes256),
        ("AES192", Self::Aes192),
        ("AES128", Self::Aes128),
    ];
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] = &[
        ("DES3", "triple DES has 64-bit blocks and is too weak (RFC 8247)", TAKE_GCM),
        ("DES", "DES has 56-bit keys and is broken (RFC 8247)", TAKE_GCM),
    ];
}

/// Integrity of the IKE SA beside AES-CBC (`ike_integrity`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IkeIntegrity {
    /// `AUTH_HMAC_SHA2_256_128` (RFC 4868).
    Sha256,
    /// `AUTH_HMAC_SHA2_384_192` (RFC 4868).
    Sha384,
    /// `AUTH_HMAC_SHA2_512_256` (RFC 4868).
    Sha512,
}

impl Choice for IkeIntegrity {
    const WORDS: &'static [(&'static str, Self)] =
        &[("SHA384", Self::Sha384), ("SHA256", Self::Sha256), ("SHA512", Self::Sha512)];
}

/// A pseudo-random function (RFC 4868). The configuration names it by `ike_integrity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prf {
    /// `PRF_HMAC_SHA2_256`.
    HmacSha256,
    /// `PRF_HMAC_SHA2_384`.
    HmacSha384,
    /// `PRF_HMAC_SHA2_512`.
    HmacSha512,
}

impl Prf {
    /// The hash whose word names it.
    #[must_use]
    pub fn integrity(self) -> IkeIntegrity {
        match self {
            Self::HmacSha256 => IkeIntegrity::Sha256,
            Self::HmacSha384 => IkeIntegrity::Sha384,
            Self::HmacSha512 => IkeIntegrity::Sha512,
        }
    }
}

impl From<IkeIntegrity> for Prf {
    fn from(hash: IkeIntegrity) -> Self {
        match hash {
            IkeIntegrity::Sha256 => Self::HmacSha256,
            IkeIntegrity::Sha384 => Self::HmacSha384,
            IkeIntegrity::Sha512 => Self::HmacSha512,
        }
    }
}

/// A key exchange group (`dh_group`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DhGroup {
    /// Group 14, MODP 2048 (RFC 3526).
    Modp2048,
    /// Group 15, MODP 3072 (RFC 3526).
    Modp3072,
    /// Group 16, MODP 4096 (RFC 3526).
    Modp4096,
    /// Group 19, NIST P-256 (RFC 5903).
    Ecp256,
    /// Group 20, NIST P-384 (RFC 5903).
    Ecp384,
    /// Group 21, NIST P-521 (RFC 5903).
    Ecp521,
    /// Group 31, Curve25519 (RFC 8031).
    Curve25519,
}

impl DhGroup {
    /// The transform's number in IANA's registry of IKEv2 groups.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Modp2048 => 14,
            Self::Modp3072 => 15,
            Self::Modp4096 => 16,
            Self::Ecp256 => 19,
            Self::Ecp384 => 20,
            Self::Ecp521 => 21,
            Self::Curve25519 => 31,
        }
    }
}

impl Choice for DhGroup {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("ECP384", Self::Ecp384),
        ("ECP256", Self::Ecp256),
        ("ECP521", Self::Ecp521),
        ("Curve25519", Self::Curve25519),
        ("DHGroup14", Self::Modp2048),
        ("DHGroup2048", Self::Modp2048),
        ("DHGroup15", Self::Modp3072),
        ("DHGroup16", Self::Modp4096),
    ];
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] = &[
        ("DHGroup1", "MODP 768 is broken (RFC 8247)", TAKE_ECP),
        ("DHGroup2", "MODP 1024 is within reach of large attackers (RFC 8247)", TAKE_ECP),
        ("DHGroup24", "the subgroup of MODP 2048-256 is of unknown origin and weak (RFC 8247)", TAKE_ECP),
        ("None", "an IKE SA cannot do without a key exchange", TAKE_ECP),
    ];
}

/// Perfect forward secrecy of Child SAs (`pfs_group`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PfsGroup {
    /// Keys from the IKE SA alone.
    None,
    /// A fresh key exchange in this group.
    Group(DhGroup),
}

impl Choice for PfsGroup {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("ECP384", Self::Group(DhGroup::Ecp384)),
        ("ECP256", Self::Group(DhGroup::Ecp256)),
        ("ECP521", Self::Group(DhGroup::Ecp521)),
        ("Curve25519", Self::Group(DhGroup::Curve25519)),
        ("PFS14", Self::Group(DhGroup::Modp2048)),
        ("PFS2048", Self::Group(DhGroup::Modp2048)),
        ("PFS15", Self::Group(DhGroup::Modp3072)),
        ("PFS16", Self::Group(DhGroup::Modp4096)),
        ("None", Self::None),
    ];
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] = &[
        ("PFS1", "MODP 768 is broken (RFC 8247)", TAKE_ECP),
        ("PFS2", "MODP 1024 is within reach of large attackers (RFC 8247)", TAKE_ECP),
        ("PFS24", "the subgroup of MODP 2048-256 is of unknown origin and weak (RFC 8247)", TAKE_ECP),
        ("PFSMM", "the group of the IKE SA has to be named", "name the group of dh_group"),
    ];
}

/// A cipher of Child SAs (`ipsec_encryption`). `ipsec_integrity`, where given, names the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IpsecEncryption {
    /// AES-GCM with a 16-byte tag and a 128-bit key (RFC 4106).
    GcmAes128,
    /// AES-GCM with a 16-byte tag and a 192-bit key (RFC 4106).
    GcmAes192,
    /// AES-GCM with a 16-byte tag and a 256-bit key (RFC 4106).
    GcmAes256,
}

impl Choice for IpsecEncryption {
    const WORDS: &'static [(&'static str, Self)] =
        &[("GCMAES256", Self::GcmAes256), ("GCMAES192", Self::GcmAes192), ("GCMAES128", Self::GcmAes128)];
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] = &[
        ("AES256", ONLY_GCM, TAKE_GCM),
        ("AES192", ONLY_GCM, TAKE_GCM),
        ("AES128", ONLY_GCM, TAKE_GCM),
        ("DES3", "triple DES has 64-bit blocks and is too weak (RFC 8221)", TAKE_GCM),
        ("DES", "DES has 56-bit keys and is broken (RFC 8221)", TAKE_GCM),
        ("None", "without encryption everybody on the way reads the traffic", TAKE_GCM),
    ];
}

const ONLY_GCM: &str = "the data plane seals with AES-GCM alone";
const TAKE_GCM: &str = "take \"GCMAES256\" (or \"GCMAES128\")";
const TAKE_ECP: &str = "take \"ECP384\" (or \"ECP256\", \"Curve25519\", \"DHGroup14\")";

/// What `ike_integrity` may say: beside AES-CBC it is integrity and PRF, beside AES-GCM the PRF alone. Azure's GCM words
/// leave the PRF open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IkeIntegrityWord {
    Sha256,
    Sha384,
    Sha512,
    Gcm,
}

impl IkeIntegrityWord {
    pub(super) fn integrity(self) -> Option<IkeIntegrity> {
        match self {
            Self::Sha256 => Some(IkeIntegrity::Sha256),
            Self::Sha384 => Some(IkeIntegrity::Sha384),
            Self::Sha512 => Some(IkeIntegrity::Sha512),
            Self::Gcm => None,
        }
    }
}

impl Choice for IkeIntegrityWord {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("SHA384", Self::Sha384),
        ("SHA256", Self::Sha256),
        ("SHA512", Self::Sha512),
        ("GCMAES256", Self::Gcm),
        ("GCMAES128", Self::Gcm),
    ];
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] = &[
        ("SHA1", "SHA-1 is too weak for new tunnels", TAKE_SHA2),
        ("MD5", "MD5 is broken (RFC 8247)", TAKE_SHA2),
    ];
}

/// What `ipsec_integrity` may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IpsecIntegrityWord(pub(super) IpsecEncryption);

impl Choice for IpsecIntegrityWord {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("GCMAES256", Self(IpsecEncryption::GcmAes256)),
        ("GCMAES192", Self(IpsecEncryption::GcmAes192)),
        ("GCMAES128", Self(IpsecEncryption::GcmAes128)),
    ];
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] = &[
        ("SHA256", ONLY_GCM, TAKE_SAME),
        ("SHA1", "SHA-1 is too weak for new tunnels", TAKE_SAME),
        ("MD5", "MD5 is broken (RFC 8221)", TAKE_SAME),
    ];
}

const TAKE_SHA2: &str = "take \"SHA384\" (or \"SHA256\")";
const TAKE_SAME: &str = "name the same algorithm as ipsec_encryption, or leave the key out";

//! Algorithms by Azure's names: those that are offered by default, those that are taken with a warning where a policy names them, and those that this
//! gateway refuses.

use crate::choice::Choice;

/// A cipher of the IKE SA (`ike_encryption`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IkeEncryption {
    /// AES-GCM with a 16-byte tag and a 128-bit key (RFC 5282).
    GcmAes128,
    /// AES-GCM with a 16-byte tag and a 192-bit key (RFC 5282).
    GcmAes192,
    /// AES-GCM with a 16-byte tag and a 256-bit key (RFC 5282).
    GcmAes256,
    /// AES-CBC with a 128-bit key (RFC 3602).
    Aes128,
    /// AES-CBC with a 192-bit key (RFC 3602).
    Aes192,
    /// AES-CBC with a 256-bit key (RFC 3602).
    Aes256,
    /// Triple DES in CBC mode (RFC 2451). Weak.
    TripleDes,
    /// DES in CBC mode (RFC 2405). Weak.
    Des,
}

impl IkeEncryption {
    /// Whether the cipher protects integrity by itself.
    #[must_use]
    pub fn is_combined_mode(self) -> bool {
        matches!(self, Self::GcmAes128 | Self::GcmAes192 | Self::GcmAes256)
    }
}

impl Choice for IkeEncryption {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("GCMAES256", Self::GcmAes256),
        ("GCMAES192", Self::GcmAes192),
        ("GCMAES128", Self::GcmAes128),
        ("AES256", Self::Aes256),
        ("AES192", Self::Aes192),
        ("AES128", Self::Aes128),
        ("DES3", Self::TripleDes),
        ("DES", Self::Des),
    ];
    const WEAK: &'static [(Self, &'static str, &'static str)] = &[
        (Self::TripleDes, "triple DES has 64-bit blocks (RFC 8247)", TAKE_GCM),
        (Self::Des, "DES has 56-bit keys and is broken (RFC 8247)", TAKE_GCM),
    ];
}

/// Integrity of the IKE SA beside a CBC mode (`ike_integrity`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IkeIntegrity {
    /// `AUTH_HMAC_SHA2_256_128` (RFC 4868).
    Sha256,
    /// `AUTH_HMAC_SHA2_384_192` (RFC 4868).
    Sha384,
    /// `AUTH_HMAC_SHA2_512_256` (RFC 4868).
    Sha512,
    /// `AUTH_HMAC_SHA1_96` (RFC 2404). Weak.
    Sha1,
    /// `AUTH_HMAC_MD5_96` (RFC 2403). Weak.
    Md5,
}

impl Choice for IkeIntegrity {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("SHA384", Self::Sha384),
        ("SHA256", Self::Sha256),
        ("SHA512", Self::Sha512),
        ("SHA1", Self::Sha1),
        ("MD5", Self::Md5),
    ];
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
    /// `PRF_HMAC_SHA1`. Weak.
    HmacSha1,
    /// `PRF_HMAC_MD5`. Weak.
    HmacMd5,
}

impl Prf {
    /// The hash whose word names it.
    #[must_use]
    pub fn integrity(self) -> IkeIntegrity {
        match self {
            Self::HmacSha256 => IkeIntegrity::Sha256,
            Self::HmacSha384 => IkeIntegrity::Sha384,
            Self::HmacSha512 => IkeIntegrity::Sha512,
            Self::HmacSha1 => IkeIntegrity::Sha1,
            Self::HmacMd5 => IkeIntegrity::Md5,
        }
    }
}

impl From<IkeIntegrity> for Prf {
    fn from(hash: IkeIntegrity) -> Self {
        match hash {
            IkeIntegrity::Sha256 => Self::HmacSha256,
            IkeIntegrity::Sha384 => Self::HmacSha384,
            IkeIntegrity::Sha512 => Self::HmacSha512,
            IkeIntegrity::Sha1 => Self::HmacSha1,
            IkeIntegrity::Md5 => Self::HmacMd5,
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
    /// Group 1, MODP 768 (RFC 2409). Weak.
    Modp768,
    /// Group 2, MODP 1024 (RFC 2409). Weak.
    Modp1024,
    /// Group 5, MODP 1536 (RFC 3526). Weak.
    Modp1536,
    /// Group 24, MODP 2048 with a subgroup of 256 bits (RFC 5114). Weak.
    Modp2048Subgroup256,
}

impl DhGroup {
    /// The transform's number in IANA's registry of IKEv2 groups.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Modp768 => 1,
            Self::Modp1024 => 2,
            Self::Modp1536 => 5,
            Self::Modp2048Subgroup256 => 24,
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
        ("DHGroup24", Self::Modp2048Subgroup256),
        ("DHGroup5", Self::Modp1536),
        ("DHGroup2", Self::Modp1024),
        ("DHGroup1", Self::Modp768),
    ];
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] =
        &[("None", "an IKE SA cannot do without a key exchange", TAKE_ECP)];
    const WEAK: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Modp768, MODP_768, TAKE_ECP),
        (Self::Modp1024, MODP_1024, TAKE_ECP),
        (Self::Modp1536, MODP_1536, TAKE_ECP),
        (Self::Modp2048Subgroup256, MODP_2048_256, TAKE_ECP),
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
        ("PFS24", Self::Group(DhGroup::Modp2048Subgroup256)),
        ("PFS5", Self::Group(DhGroup::Modp1536)),
        ("PFS2", Self::Group(DhGroup::Modp1024)),
        ("PFS1", Self::Group(DhGroup::Modp768)),
    ];
    const WEAK: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Group(DhGroup::Modp768), MODP_768, TAKE_ECP),
        (Self::Group(DhGroup::Modp1024), MODP_1024, TAKE_ECP),
        (Self::Group(DhGroup::Modp1536), MODP_1536, TAKE_ECP),
        (Self::Group(DhGroup::Modp2048Subgroup256), MODP_2048_256, TAKE_ECP),
    ];
}

/// What `pfs_group` may say: a group, none, or the groups of the IKE SA once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PfsWord {
    Own(PfsGroup),
    OfIke,
}

impl PfsWord {
    const OF_IKE: (&'static str, Self) = ("PFSMM", Self::OfIke);

    const fn words() -> [(&'static str, Self); PfsGroup::WORDS.len() + 1] {
        let mut words = [Self::OF_IKE; PfsGroup::WORDS.len() + 1];
        let mut at = 0;
        while at < PfsGroup::WORDS.len() {
            let (word, group) = PfsGroup::WORDS[at];
            words[at] = (word, Self::Own(group));
            at += 1;
        }
        words
    }
}

impl Choice for PfsWord {
    const WORDS: &'static [(&'static str, Self)] = &Self::words();

    fn weakness(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Own(group) => group.weakness(),
            Self::OfIke => None,
        }
    }
}

/// A cipher of Child SAs (`ipsec_encryption`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IpsecEncryption {
    /// AES-GCM with a 16-byte tag and a 128-bit key (RFC 4106).
    GcmAes128,
    /// AES-GCM with a 16-byte tag and a 192-bit key (RFC 4106).
    GcmAes192,
    /// AES-GCM with a 16-byte tag and a 256-bit key (RFC 4106).
    GcmAes256,
    /// ChaCha20-Poly1305 (RFC 7634). Azure has no word for it.
    ChaCha20Poly1305,
    /// AES-CBC with a 128-bit key (RFC 3602).
    Aes128,
    /// AES-CBC with a 192-bit key (RFC 3602).
    Aes192,
    /// AES-CBC with a 256-bit key (RFC 3602).
    Aes256,
    /// Triple DES in CBC mode (RFC 2451). Weak.
    TripleDes,
    /// DES in CBC mode (RFC 2405). Weak.
    Des,
    /// No encryption (RFC 2410), integrity alone. Weak.
    Null,
}

impl IpsecEncryption {
    /// Whether the cipher protects integrity by itself.
    #[must_use]
    pub fn is_combined_mode(self) -> bool {
        matches!(self, Self::GcmAes128 | Self::GcmAes192 | Self::GcmAes256 | Self::ChaCha20Poly1305)
    }
}

impl Choice for IpsecEncryption {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("GCMAES256", Self::GcmAes256),
        ("GCMAES192", Self::GcmAes192),
        ("GCMAES128", Self::GcmAes128),
        ("AES256", Self::Aes256),
        ("AES192", Self::Aes192),
        ("AES128", Self::Aes128),
        ("ChaCha20Poly1305", Self::ChaCha20Poly1305),
        ("DES3", Self::TripleDes),
        ("DES", Self::Des),
        ("None", Self::Null),
    ];
    const WEAK: &'static [(Self, &'static str, &'static str)] = &[
        (Self::TripleDes, "triple DES has 64-bit blocks (RFC 8221)", TAKE_GCM),
        (Self::Des, "DES has 56-bit keys and is broken (RFC 8221)", TAKE_GCM),
        (Self::Null, "without encryption everybody on the way reads the traffic", TAKE_GCM),
    ];
}

/// Integrity of Child SAs beside a cipher that has none of its own (`ipsec_integrity`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IpsecIntegrity {
    /// `AUTH_HMAC_SHA2_256_128` (RFC 4868).
    Sha256,
    /// `AUTH_HMAC_SHA2_384_192` (RFC 4868). Azure has no word for it here.
    Sha384,
    /// `AUTH_HMAC_SHA2_512_256` (RFC 4868). Azure has no word for it here.
    Sha512,
    /// `AUTH_HMAC_SHA1_96` (RFC 2404). Weak.
    Sha1,
    /// `AUTH_HMAC_MD5_96` (RFC 2403). Weak.
    Md5,
}

impl Choice for IpsecIntegrity {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("SHA256", Self::Sha256),
        ("SHA384", Self::Sha384),
        ("SHA512", Self::Sha512),
        ("SHA1", Self::Sha1),
        ("MD5", Self::Md5),
    ];
}

const MODP_768: &str = "MODP 768 is broken (RFC 8247)";
const MODP_1024: &str = "MODP 1024 is within reach of large attackers (RFC 8247)";
const MODP_1536: &str = "MODP 1536 is within reach of the largest attackers (RFC 8247)";
const MODP_2048_256: &str = "the subgroup of MODP 2048-256 is of unknown origin (RFC 8247)";
const TAKE_GCM: &str = "take \"GCMAES256\" (or \"GCMAES128\")";
const TAKE_ECP: &str = "take \"ECP384\" (or \"ECP256\", \"Curve25519\", \"DHGroup14\")";

/// What `ike_integrity` may say: beside AES-CBC it is integrity and PRF, beside AES-GCM the PRF alone. Azure's GCM words
/// leave the PRF open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IkeIntegrityWord {
    Sha256,
    Sha384,
    Sha512,
    Sha1,
    Md5,
    Gcm,
}

impl IkeIntegrityWord {
    pub(super) fn integrity(self) -> Option<IkeIntegrity> {
        match self {
            Self::Sha256 => Some(IkeIntegrity::Sha256),
            Self::Sha384 => Some(IkeIntegrity::Sha384),
            Self::Sha512 => Some(IkeIntegrity::Sha512),
            Self::Sha1 => Some(IkeIntegrity::Sha1),
            Self::Md5 => Some(IkeIntegrity::Md5),
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
        ("GCMAES192", Self::Gcm),
        ("GCMAES128", Self::Gcm),
        ("SHA1", Self::Sha1),
        ("MD5", Self::Md5),
    ];
    const WEAK: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Sha1, "SHA-1 is on its way out (RFC 8247)", TAKE_SHA2),
        (Self::Md5, "MD5 is broken (RFC 8247)", TAKE_SHA2),
    ];
}

/// What `ipsec_integrity` may say: an integrity algorithm, or again the cipher that needs none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IpsecIntegrityWord {
    Beside(IpsecIntegrity),
    Within(IpsecEncryption),
}

impl Choice for IpsecIntegrityWord {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("GCMAES256", Self::Within(IpsecEncryption::GcmAes256)),
        ("GCMAES192", Self::Within(IpsecEncryption::GcmAes192)),
        ("GCMAES128", Self::Within(IpsecEncryption::GcmAes128)),
        ("SHA256", Self::Beside(IpsecIntegrity::Sha256)),
        ("SHA384", Self::Beside(IpsecIntegrity::Sha384)),
        ("SHA512", Self::Beside(IpsecIntegrity::Sha512)),
        ("ChaCha20Poly1305", Self::Within(IpsecEncryption::ChaCha20Poly1305)),
        ("SHA1", Self::Beside(IpsecIntegrity::Sha1)),
        ("MD5", Self::Beside(IpsecIntegrity::Md5)),
    ];
    const WEAK: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Beside(IpsecIntegrity::Sha1), "SHA-1 is on its way out (RFC 8221)", TAKE_SHA256),
        (Self::Beside(IpsecIntegrity::Md5), "MD5 is broken (RFC 8221)", TAKE_SHA256),
    ];
}

const TAKE_SHA2: &str = "take \"SHA384\" (or \"SHA256\")";
const TAKE_SHA256: &str = "take \"SHA256\" (or \"SHA384\", \"SHA512\")";

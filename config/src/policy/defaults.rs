//! What stands for algorithms that the file does not name: what is sound, the strongest first; at gateways that take no policy also what the cloud's have always offered, so that
//! peers that were set up for one of those find something.

use super::algorithm::{DhGroup, IkeEncryption, IkeIntegrity, IpsecEncryption, IpsecIntegrity};
use crate::connection::Protocol;

/// One list for each kind of algorithm, in order of preference.
pub(super) struct Defaults {
    pub(super) ike_encryption: &'static [IkeEncryption],
    pub(super) ike_integrity: &'static [IkeIntegrity],
    pub(super) dh_groups: &'static [DhGroup],
    pub(super) ipsec_encryption: &'static [IpsecEncryption],
    pub(super) ipsec_integrity: &'static [IpsecIntegrity],
}

impl Defaults {
    /// Nothing weak.
    pub(super) const fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::IkeV2 => Self {
                ike_encryption: &[
                    IkeEncryption::GcmAes256,
                    IkeEncryption::GcmAes128,
                    IkeEncryption::Aes256,
                    IkeEncryption::Aes192,
                    IkeEncryption::Aes128,
                ],
                ike_integrity: &[IkeIntegrity::Sha384, IkeIntegrity::Sha256, IkeIntegrity::Sha512],
                dh_groups: &[
                    DhGroup::Ecp384,
                    DhGroup::Curve25519,
                    DhGroup::Ecp256,
                    DhGroup::Ecp521,
                    DhGroup::Modp4096,
                    DhGroup::Modp3072,
                    DhGroup::Modp2048,
                ],
                ipsec_encryption: IPSEC_ENCRYPTION,
                ipsec_integrity: IPSEC_INTEGRITY,
            },
            // Each combination is a transform of its own there.
            Protocol::IkeV1 => Self {
                ike_encryption: &[IkeEncryption::Aes256, IkeEncryption::Aes128],
                ike_integrity: &[IkeIntegrity::Sha256, IkeIntegrity::Sha384],
                dh_groups: &[DhGroup::Modp2048, DhGroup::Ecp256, DhGroup::Ecp384, DhGroup::Modp4096],
                ipsec_encryption: IPSEC_ENCRYPTION,
                ipsec_integrity: IPSEC_INTEGRITY,
            },
        }
    }

    /// Behind what is sound SHA-1, 3DES and group 2, which the cloud's gateways have offered from the beginning.
    pub(super) const fn without_policy(protocol: Protocol) -> Self {
        match protocol {
            Protocol::IkeV2 => Self {
                ike_encryption: &[
                    IkeEncryption::GcmAes256,
                    IkeEncryption::GcmAes128,
                    IkeEncryption::Aes256,
                    IkeEncryption::Aes192,
                    IkeEncryption::Aes128,
                    IkeEncryption::TripleDes,
                ],
                ike_integrity: &[
                    IkeIntegrity::Sha384,
                    IkeIntegrity::Sha256,
                    IkeIntegrity::Sha512,
                    IkeIntegrity::Sha1,
                ],
                dh_groups: &[
                    DhGroup::Ecp384,
                    DhGroup::Curve25519,
                    DhGroup::Ecp256,
                    DhGroup::Ecp521,
                    DhGroup::Modp4096,
                    DhGroup::Modp3072,
                    DhGroup::Modp2048,
                    DhGroup::Modp1024,
                ],
                ipsec_encryption: IPSEC_ENCRYPTION_WITHOUT_POLICY,
                ipsec_integrity: IPSEC_INTEGRITY_WITHOUT_POLICY,
            },
            // Thirty combinations, as many as the first message holds.
            Protocol::IkeV1 => Self {
                ike_encryption: &[IkeEncryption::Aes256, IkeEncryption::Aes128, IkeEncryption::TripleDes],
                ike_integrity: &[IkeIntegrity::Sha256, IkeIntegrity::Sha1],
                dh_groups: &[
                    DhGroup::Modp2048,
                    DhGroup::Ecp256,
                    DhGroup::Ecp384,
                    DhGroup::Modp4096,
                    DhGroup::Modp1024,
                ],
                ipsec_encryption: IPSEC_ENCRYPTION_WITHOUT_POLICY,
                ipsec_integrity: IPSEC_INTEGRITY_WITHOUT_POLICY,
            },
        }
    }
}

const IPSEC_ENCRYPTION: &[IpsecEncryption] = &[
    IpsecEncryption::GcmAes256,
    IpsecEncryption::GcmAes128,
    IpsecEncryption::Aes256,
    IpsecEncryption::Aes128,
];
const IPSEC_INTEGRITY: &[IpsecIntegrity] =
    &[IpsecIntegrity::Sha256, IpsecIntegrity::Sha384, IpsecIntegrity::Sha512];
const IPSEC_ENCRYPTION_WITHOUT_POLICY: &[IpsecEncryption] = &[
    IpsecEncryption::GcmAes256,
    IpsecEncryption::GcmAes128,
    IpsecEncryption::Aes256,
    IpsecEncryption::Aes128,
    IpsecEncryption::TripleDes,
];
const IPSEC_INTEGRITY_WITHOUT_POLICY: &[IpsecIntegrity] =
    &[IpsecIntegrity::Sha256, IpsecIntegrity::Sha384, IpsecIntegrity::Sha512, IpsecIntegrity::Sha1];

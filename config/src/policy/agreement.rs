//! Whether two ends of one connection, each with a policy of its own, can agree (RFC 7296, 2.7 and 3.3.6).

use super::algorithm::IpsecEncryption;
use super::{AdditionalKeyExchange, Esn, IkeProposal, Policy};

/// The settings in which two policies have nothing in common, by their keys; none if a tunnel between them comes up and can be rekeyed.
pub(crate) fn differing(one: &Policy, other: &Policy) -> Vec<&'static str> {
    let (ike, others_ike) = (ike(one), ike(other));
    let (ipsec, others_ipsec) = (&one.ipsec, &other.ipsec);
    let common: Vec<&IpsecEncryption> =
        ipsec.encryption.iter().filter(|cipher| others_ipsec.encryption.contains(cipher)).collect();
    let integrity = common.is_empty()
        || common.iter().any(|cipher| cipher.is_combined_mode())
        || share(&ipsec.integrity, &others_ipsec.integrity);
    [
        ("ike_encryption", share(&ike.encryption, &others_ike.encryption)),
        ("ike_integrity", share(&ike.prf, &others_ike.prf)),
        ("dh_group", share(&ike.dh_groups, &others_ike.dh_groups)),
        ("additional_key_exchange", share(&additional(one), &additional(other))),
        ("ipsec_encryption", !common.is_empty()),
        ("ipsec_integrity", integrity),
        ("pfs_group", share(&ipsec.pfs_groups, &others_ipsec.pfs_groups)),
        (
            "esn",
            !matches!((ipsec.esn, others_ipsec.esn), (Esn::Require, Esn::Off) | (Esn::Off, Esn::Require)),
        ),
    ]
    .into_iter()
    .filter_map(|(key, agrees)| (!agrees).then_some(key))
    .collect()
}

/// Both proposals of a policy as one: they differ in the ciphers only, the pseudo-random functions stand for the integrity algorithms.
fn ike(policy: &Policy) -> IkeProposal {
    let mut all = policy.ike.first().cloned().expect("a policy has a proposal for the IKE SA");
    all.encryption = policy.ike.iter().flat_map(|proposal| proposal.encryption.iter().copied()).collect();
    all
}

fn additional(policy: &Policy) -> Vec<AdditionalKeyExchange> {
    policy.additional_key_exchanges.iter().flat_map(AdditionalKeyExchange::methods).copied().collect()
}

fn share<T: PartialEq>(one: &[T], other: &[T]) -> bool {
    one.iter().any(|item| other.contains(item))
}

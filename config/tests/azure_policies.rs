//! Azure's tables of IKE and IPsec parameters, row by row: each can be written with the same words and becomes exactly what it says; what is weak in it is
//! warned about by name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where something is not as it expects"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crossgate_config::policy::algorithm::{
    DhGroup, IkeEncryption, IkeIntegrity, IpsecEncryption, IpsecIntegrity, PfsGroup, Prf,
};
use crossgate_config::{Config, Connection, Environment, Policy, Protocol, Source, Start};
use zeroize::Zeroizing;

const BASE: &str = include_str!("findings/base.toml");

/// The policy that the lines make, and the words that are warned about in it.
fn policy(lines: &str) -> (Policy, BTreeSet<String>) {
    let (connection, weak) = connection(&format!("{BASE}[connection.policy]\n{lines}"));
    (connection.policy, weak)
}

/// The connection of a configuration, and the words that are warned about in it.
fn connection(text: &str) -> (Connection, BTreeSet<String>) {
    let variable = |_: &str| Some(Zeroizing::new("q3G8vN1x+Zk0TtYw2bLr5HfPjC7sD9mA".to_owned()));
    let environment = Environment { cores: BTreeSet::from([0, 1]), user_id: 0, variable: &variable };
    let checked = Config::parse(Source { file: Path::new("gw.toml"), text }, &environment)
        .unwrap_or_else(|findings| panic!("{text}{findings}"));
    let weak = checked.warnings.iter().filter_map(|warning| warning.problem.split_once(" is weak:"));
    let weak = weak.map(|(word, _)| word.to_owned()).collect();
    let connection = checked.config.connections().values().next().expect("there is one");
    (connection.clone(), weak)
}

const WEAK: [&str; 11] =
    ["DES3", "DES", "SHA1", "MD5", "DHGroup1", "DHGroup2", "DHGroup24", "PFS1", "PFS2", "PFS24", "None"];

/// Those of the words that are to be warned about. "None" is weak as encryption only.
fn weak(words: &[&str]) -> BTreeSet<String> {
    words.iter().filter(|word| WEAK.contains(word)).map(|word| (*word).to_owned()).collect()
}

const IKE_ENCRYPTION: [(&str, IkeEncryption); 7] = [
    ("GCMAES256", IkeEncryption::GcmAes256),
    ("GCMAES128", IkeEncryption::GcmAes128),
    ("AES256", IkeEncryption::Aes256),
    ("AES192", IkeEncryption::Aes192),
    ("AES128", IkeEncryption::Aes128),
    ("DES3", IkeEncryption::TripleDes),
    ("DES", IkeEncryption::Des),
];
const IKE_INTEGRITY: [(&str, IkeIntegrity); 4] = [
    ("SHA384", IkeIntegrity::Sha384),
    ("SHA256", IkeIntegrity::Sha256),
    ("SHA1", IkeIntegrity::Sha1),
    ("MD5", IkeIntegrity::Md5),
];
const DH_GROUPS: [(&str, DhGroup, u16); 7] = [
    ("DHGroup24", DhGroup::Modp2048Subgroup256, 24),
    ("ECP384", DhGroup::Ecp384, 20),
    ("ECP256", DhGroup::Ecp256, 19),
    ("DHGroup14", DhGroup::Modp2048, 14),
    ("DHGroup2048", DhGroup::Modp2048, 14),
    ("DHGroup2", DhGroup::Modp1024, 2),
    ("DHGroup1", DhGroup::Modp768, 1),
];
const IPSEC_ENCRYPTION: [(&str, IpsecEncryption); 9] = [
    ("GCMAES256", IpsecEncryption::GcmAes256),
    ("GCMAES192", IpsecEncryption::GcmAes192),
    ("GCMAES128", IpsecEncryption::GcmAes128),
    ("AES256", IpsecEncryption::Aes256),
    ("AES192", IpsecEncryption::Aes192),
    ("AES128", IpsecEncryption::Aes128),
    ("DES3", IpsecEncryption::TripleDes),
    ("DES", IpsecEncryption::Des),
    ("None", IpsecEncryption::Null),
];
const IPSEC_INTEGRITY: [(&str, IpsecIntegrity); 3] =
    [("SHA256", IpsecIntegrity::Sha256), ("SHA1", IpsecIntegrity::Sha1), ("MD5", IpsecIntegrity::Md5)];
const PFS_GROUPS: [(&str, PfsGroup); 8] = [
    ("PFS24", PfsGroup::Group(DhGroup::Modp2048Subgroup256)),
    ("ECP384", PfsGroup::Group(DhGroup::Ecp384)),
    ("ECP256", PfsGroup::Group(DhGroup::Ecp256)),
    ("PFS2048", PfsGroup::Group(DhGroup::Modp2048)),
    ("PFS14", PfsGroup::Group(DhGroup::Modp2048)),
    ("PFS2", PfsGroup::Group(DhGroup::Modp1024)),
    ("PFS1", PfsGroup::Group(DhGroup::Modp768)),
    ("None", PfsGroup::None),
];

#[test]
fn every_combination_for_the_ike_sa_becomes_one_proposal_of_that_alone() {
    for (encryption_word, encryption) in IKE_ENCRYPTION {
        for (integrity_word, integrity) in IKE_INTEGRITY {
            for (group_word, group, number) in DH_GROUPS {
                let lines = format!(
                    "ike_encryption = \"{encryption_word}\"\nike_integrity = \"{integrity_word}\"\ndh_group = \"{group_word}\"\n"
                );
                let (policy, warned) = policy(&lines);
                let [proposal] = &policy.ike[..] else { panic!("{lines}{policy:?}") };
                assert_eq!((&proposal.encryption[..], proposal.dh_groups[..].len()), (&[encryption][..], 1));
                assert_eq!(proposal.dh_groups[0], group);
                assert_eq!(group.number(), number);
                assert_eq!(proposal.prf, [Prf::from(integrity)], "{lines}");
                let beside = if encryption.is_combined_mode() { vec![] } else { vec![integrity] };
                assert_eq!(proposal.integrity, beside, "{lines}");
                assert_eq!(warned, weak(&[encryption_word, integrity_word, group_word]), "{lines}");
            }
        }
    }
}

#[test]
fn gcm_words_as_ike_integrity_leave_the_prf_open() {
    for word in ["GCMAES256", "GCMAES128"] {
        let (policy, warned) = policy(&format!("ike_encryption = \"{word}\"\nike_integrity = \"{word}\"\n"));
        let [proposal] = &policy.ike[..] else { panic!("{policy:?}") };
        assert!(proposal.integrity.is_empty() && proposal.prf.len() > 1, "{proposal:?}");
        assert!(warned.is_empty(), "{warned:?}");
    }
}

#[test]
fn every_combination_for_child_sas_becomes_that_alone() {
    for (encryption_word, encryption) in IPSEC_ENCRYPTION {
        let integrities = match encryption.is_combined_mode() {
            true => vec![(encryption_word, None)],
            false => IPSEC_INTEGRITY.map(|(word, integrity)| (word, Some(integrity))).to_vec(),
        };
        for (integrity_word, integrity) in integrities {
            for (pfs_word, pfs) in PFS_GROUPS {
                let lines = format!(
                    "ipsec_encryption = \"{encryption_word}\"\nipsec_integrity = \"{integrity_word}\"\npfs_group = \"{pfs_word}\"\n"
                );
                let (policy, warned) = policy(&lines);
                assert_eq!(policy.ipsec.encryption, [encryption], "{lines}");
                assert_eq!(policy.ipsec.integrity, integrity.as_slice(), "{lines}");
                assert_eq!(policy.ipsec.pfs_groups, [pfs], "{lines}");
                let named = [encryption_word, integrity_word, pfs_word];
                let named = if pfs == PfsGroup::None { &named[..2] } else { &named[..] };
                assert_eq!(warned, weak(named), "{lines}");
            }
        }
    }
}

#[test]
fn pfsmm_is_the_group_of_the_ike_sa() {
    for (word, group, _) in DH_GROUPS {
        let (policy, warned) = policy(&format!("dh_group = \"{word}\"\npfs_group = \"PFSMM\"\n"));
        assert_eq!(policy.ipsec.pfs_groups, [PfsGroup::Group(group)], "{word}");
        assert_eq!(warned, weak(&[word]));
    }
    let (named, _) =
        policy("dh_group = [\"ECP256\", \"ECP384\"]\npfs_group = [\"ECP384\", \"PFSMM\", \"None\"]\n");
    let groups = [PfsGroup::Group(DhGroup::Ecp384), PfsGroup::Group(DhGroup::Ecp256), PfsGroup::None];
    assert_eq!(named.ipsec.pfs_groups, groups);
}

/// What Azure offers without a policy, as initiator and as responder: encryption, integrity and PFS of each row.
#[test]
fn every_default_offer_of_azure_can_be_a_policy_here() {
    let initiator = [
        ("GCMAES256", "GCMAES256", "None"),
        ("AES256", "SHA1", "None"),
        ("DES3", "SHA1", "None"),
        ("AES256", "SHA256", "None"),
        ("AES128", "SHA1", "None"),
        ("DES3", "SHA256", "None"),
    ];
    let responder = [
        ("DES", "SHA1", "None"),
        ("AES256", "SHA1", "PFS1"),
        ("AES256", "SHA1", "PFS2"),
        ("AES256", "SHA1", "PFS14"),
        ("AES128", "SHA1", "PFS1"),
        ("AES128", "SHA1", "PFS2"),
        ("AES128", "SHA1", "PFS14"),
        ("DES3", "SHA1", "PFS1"),
        ("DES3", "SHA1", "PFS2"),
        ("DES3", "SHA256", "PFS2"),
        ("AES256", "SHA256", "PFS1"),
        ("AES256", "SHA256", "PFS2"),
        ("AES256", "SHA256", "PFS14"),
        ("AES256", "SHA1", "PFS24"),
        ("AES256", "SHA256", "PFS24"),
        ("AES128", "SHA256", "None"),
        ("AES128", "SHA256", "PFS1"),
        ("AES128", "SHA256", "PFS2"),
        ("AES128", "SHA256", "PFS14"),
        ("DES3", "SHA1", "PFS14"),
    ];
    for (encryption, integrity, pfs) in initiator.into_iter().chain(responder) {
        let lines = format!(
            "ike_encryption = \"AES256\"\nike_integrity = \"SHA1\"\ndh_group = \"DHGroup2\"\n\
             ipsec_encryption = \"{encryption}\"\nipsec_integrity = \"{integrity}\"\npfs_group = \"{pfs}\"\n\
             sa_lifetime_s = 27000\nike_lifetime_s = 28800\nsa_data_size_kib = 102400000\n"
        );
        let (policy, warned) = policy(&lines);
        let of =
            |table: &[(&str, PfsGroup)]| table.iter().find(|(word, _)| *word == pfs).map(|(_, group)| *group);
        assert_eq!(policy.ipsec.pfs_groups, of(&PFS_GROUPS).as_slice(), "{lines}");
        let pfs = if pfs == "None" { "" } else { pfs };
        assert_eq!(warned, weak(&["SHA1", "DHGroup2", encryption, integrity, pfs]), "{lines}");
    }
}

/// Gateways that take no policy offer what the cloud's offer, behind what is sound; others do not.
#[test]
fn a_peer_of_the_clouds_default_finds_its_offers_where_no_policy_can_name_them() {
    let of = |sku: &str| connection(&BASE.replace("sku = \"VpnGw1\"", sku));
    let offers_of_2016 = |policy: &Policy| {
        let ike = policy.ike.iter().any(|proposal| {
            proposal.encryption.contains(&IkeEncryption::TripleDes)
                && proposal.integrity.contains(&IkeIntegrity::Sha1)
                && proposal.prf.contains(&Prf::HmacSha1)
                && proposal.dh_groups.last() == Some(&DhGroup::Modp1024)
                && proposal.integrity[0] != IkeIntegrity::Sha1
                && proposal.encryption[0] != IkeEncryption::TripleDes
        });
        let esp = policy.ipsec.encryption.last() == Some(&IpsecEncryption::TripleDes)
            && policy.ipsec.integrity.last() == Some(&IpsecIntegrity::Sha1)
            && policy.ipsec.pfs_groups.last() == Some(&PfsGroup::None);
        (ike, esp)
    };
    let (policy_based, warned) = of("vpn_type = \"PolicyBased\"");
    assert_eq!(offers_of_2016(&policy_based.policy), (true, true), "{policy_based:?}");
    assert_eq!((policy_based.protocol, policy_based.start), (Protocol::IkeV1, Start::OnTraffic));
    let seconds = |of: Option<Duration>| of.map(|of| of.as_secs());
    assert_eq!(seconds(policy_based.idle_timeout), Some(300));
    assert_eq!(seconds(Some(policy_based.policy.sa_lifetime)), Some(3600));
    assert_eq!(warned, BTreeSet::from(["IKEv1".to_owned()]));
    // As many combinations as the first message of IKEv1 holds.
    let [proposal] = policy_based.policy.ike.as_slice() else { panic!("{policy_based:?}") };
    assert_eq!(proposal.encryption.len() * proposal.integrity.len() * proposal.dh_groups.len(), 30);

    let (basic, _) = of("sku = \"Basic\"");
    assert_eq!(offers_of_2016(&basic.policy), (true, true), "{basic:?}");
    assert_eq!((basic.protocol, basic.start, basic.idle_timeout), (Protocol::IkeV2, Start::OnLoad, None));
    let (other, warned) = of("sku = \"VpnGw1\"");
    assert_eq!((offers_of_2016(&other.policy), warned), ((false, false), BTreeSet::new()), "{other:?}");
    assert_eq!(other.policy, Policy::default());
}

//! IKE SAs and PFS by the words of a policy, old and weak ones among them, towards strongSwan: each combination comes up, and both sides rekey both kinds
//! of SA with it. Without a policy that names them the weak ones are refused.

use crossgate_tests::failure::{Result, ensure};
use crossgate_tests::gateway::{Gateway, Plan};
use crossgate_tests::sites;
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::ping_until_answered;
use std::time::Duration;

/// `ike_encryption`, `ike_integrity`, `dh_group` and `pfs_group`; the same in strongSwan's words; and what strongSwan shows of the IKE SA and of a child
/// that was rekeyed.
struct Case {
    policy: [&'static str; 4],
    ike: &'static str,
    esp: &'static str,
    shown: &'static str,
    child: &'static str,
}

const CASES: [Case; 11] = [
    Case {
        policy: ["DES3", "SHA1", "DHGroup2", "PFS2"],
        ike: "3des-sha1-modp1024",
        esp: "aes256gcm16-modp1024",
        shown: "3DES_CBC/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024",
        child: "ESP:AES_GCM_16-256/MODP_1024",
    },
    Case {
        policy: ["AES256", "SHA256", "DHGroup24", "PFS24"],
        ike: "aes256-sha256-modp2048s256",
        esp: "aes256gcm16-modp2048s256",
        shown: "AES_CBC-256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048_256",
        child: "ESP:AES_GCM_16-256/MODP_2048_256",
    },
    Case {
        policy: ["AES128", "SHA1", "DHGroup1", "PFS1"],
        ike: "aes128-sha1-modp768",
        esp: "aes256gcm16-modp768",
        shown: "AES_CBC-128/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_768",
        child: "ESP:AES_GCM_16-256/MODP_768",
    },
    Case {
        policy: ["AES192", "SHA384", "DHGroup14", "PFS2048"],
        ike: "aes192-sha384-modp2048",
        esp: "aes256gcm16-modp2048",
        shown: "AES_CBC-192/HMAC_SHA2_384_192/PRF_HMAC_SHA2_384/MODP_2048",
        child: "ESP:AES_GCM_16-256/MODP_2048",
    },
    Case {
        policy: ["GCMAES128", "SHA256", "ECP256", "ECP256"],
        ike: "aes128gcm16-prfsha256-ecp256",
        esp: "aes256gcm16-ecp256",
        shown: "AES_GCM_16-128/PRF_HMAC_SHA2_256/ECP_256",
        child: "ESP:AES_GCM_16-256/ECP_256",
    },
    Case {
        policy: ["AES256", "SHA512", "DHGroup15", "PFS16"],
        ike: "aes256-sha512-modp3072",
        esp: "aes256gcm16-modp4096",
        shown: "AES_CBC-256/HMAC_SHA2_512_256/PRF_HMAC_SHA2_512/MODP_3072",
        child: "ESP:AES_GCM_16-256/MODP_4096",
    },
    Case {
        policy: ["GCMAES192", "SHA384", "DHGroup16", "PFS15"],
        ike: "aes192gcm16-prfsha384-modp4096",
        esp: "aes256gcm16-modp3072",
        shown: "AES_GCM_16-192/PRF_HMAC_SHA2_384/MODP_4096",
        child: "ESP:AES_GCM_16-256/MODP_3072",
    },
    Case {
        policy: ["GCMAES256", "SHA512", "ECP521", "Curve25519"],
        ike: "aes256gcm16-prfsha512-ecp521",
        esp: "aes256gcm16-x25519",
        shown: "AES_GCM_16-256/PRF_HMAC_SHA2_512/ECP_521",
        child: "ESP:AES_GCM_16-256/CURVE_25519",
    },
    Case {
        policy: ["GCMAES256", "SHA256", "Curve25519", "ECP521"],
        ike: "aes256gcm16-prfsha256-x25519",
        esp: "aes256gcm16-ecp521",
        shown: "AES_GCM_16-256/PRF_HMAC_SHA2_256/CURVE_25519",
        child: "ESP:AES_GCM_16-256/ECP_521",
    },
    Case {
        policy: ["GCMAES256", "GCMAES256", "ECP384", "PFSMM"],
        ike: "aes256gcm16-prfsha384-ecp384",
        esp: "aes256gcm16-ecp384",
        shown: "AES_GCM_16-256/PRF_HMAC_SHA2_384/ECP_384",
        child: "ESP:AES_GCM_16-256/ECP_384",
    },
    Case {
        policy: ["AES256", "MD5", "DHGroup2048", "None"],
        ike: "aes256-md5-modp2048",
        esp: "aes256gcm16",
        shown: "AES_CBC-256/HMAC_MD5_96/PRF_HMAC_MD5/MODP_2048",
        child: "ESP:AES_GCM_16-256\n",
    },
];

impl Case {
    fn plan(&self, mode: &str) -> Plan {
        let keys = ["ike_encryption", "ike_integrity", "dh_group", "pfs_group"];
        let plan = Plan::site(1).with_mode(mode);
        keys.into_iter()
            .zip(self.policy)
            .fold(plan, |plan, (key, word)| plan.with_policy(key, &format!("\"{word}\"")))
    }

    fn settings(&self) -> Settings {
        Settings { ike: self.ike.to_owned(), esp: self.esp.to_owned(), ..Settings::default() }
    }
}

/// Each side begins in turn.
fn each_combination_comes_up_and_is_rekeyed() -> Result<()> {
    let (site, peer) = sites::with_peer()?;
    let mut strongswan = StrongSwan::start(&peer.gateway, &Settings::default())?;
    let mut gateway = Gateway::start(&site.gateway, Plan::site(1).with_mode("ResponderOnly"))?;
    for (number, case) in CASES.iter().enumerate() {
        let we_begin = number % 2 == 0;
        strongswan.reconfigure(&case.settings())?;
        gateway.reload(case.plan(if we_begin { "InitiatorOnly" } else { "ResponderOnly" }))?;
        if !we_begin {
            strongswan.is_down()?;
            strongswan.initiate()?;
        }
        strongswan.has(case.shown)?;
        strongswan.is_up()?;
        gateway.is("peer", "up")?;
        gateway.rekey_child("peer")?;
        strongswan.rekey_child()?;
        strongswan.gets_another_ike_sa(|| gateway.rekey_ike("peer"))?;
        strongswan.rekey_ike()?;
        strongswan.is_up()?;
        let sas = strongswan.sas()?;
        ensure(sas.contains(case.shown) && sas.contains(case.child), || format!("{:?}\n{sas}", case.policy))?;
        ping_until_answered(site.ipv4(), peer.ipv4().address, Duration::from_secs(20))?;
    }
    gateway.stop()?;
    strongswan.is_down()
}

#[test]
fn every_kind_of_policy_comes_up_with_strongswan_and_is_rekeyed_by_both_sides() {
    each_combination_comes_up_and_is_rekeyed().unwrap();
}

#[test]
fn what_is_weak_is_refused_unless_a_policy_names_it() {
    let (site, peer) = sites::with_peer().unwrap();
    let weak = "3des-sha1-modp1024,aes256-sha1-modp2048,aes256-sha256-modp768,aes256-sha256-modp2048s256";
    let settings = Settings { ike: weak.to_owned(), ..Settings::default() };
    let strongswan = StrongSwan::start(&peer.gateway, &settings).unwrap();
    let gateway = Gateway::start(&site.gateway, Plan::site(1).with_mode("ResponderOnly")).unwrap();
    strongswan.try_initiate().unwrap();
    strongswan.says("received NO_PROPOSAL_CHOSEN").unwrap();
    assert_eq!(gateway.connection("peer").unwrap()["state"], "down");
    gateway.stop().unwrap();
}

//! ML-KEM mixed into the keys of IKE SAs with strongSwan 6 (RFC 9242, RFC 9370), in each size and beside several groups: each side begins, both rekey both
//! kinds of SA, and where either side may do without, both do.

use crossgate_tests::failure::{Result, ensure};
use crossgate_tests::gateway::{Gateway, Plan};
use crossgate_tests::sites::{PeerSite, Site, with_peer};
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::ping_until_answered;
use crossgate_tests::wait::{Look, until};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// `additional_key_exchange` where it is not the default, strongSwan's proposals, who begins, and the method that both show.
struct Case {
    ours: Option<&'static str>,
    ike: &'static str,
    esp: &'static str,
    we_begin: bool,
    method: Option<&'static str>,
}

const CASES: [Case; 6] = [
    // By default ML-KEM is taken from whoever offers it.
    Case {
        ours: None,
        ike: "aes256gcm16-prfsha384-x25519-ke1_mlkem768",
        esp: "aes256gcm16-x25519",
        we_begin: false,
        method: Some("ML_KEM_768"),
    },
    Case {
        ours: Some("[\"MLKEM768\", \"None\"]"),
        ike: "aes256gcm16-prfsha384-ecp384-ke1_mlkem768",
        esp: "aes256gcm16-ecp384",
        we_begin: true,
        method: Some("ML_KEM_768"),
    },
    Case {
        ours: Some("\"MLKEM512\""),
        ike: "aes128gcm16-prfsha256-ecp256-ke1_mlkem512",
        esp: "aes128gcm16-ecp256",
        we_begin: false,
        method: Some("ML_KEM_512"),
    },
    // Its Child SAs would have one of their own, too, where both want that.
    Case {
        ours: Some("\"MLKEM1024\""),
        ike: "aes256-sha384-x25519-ke1_mlkem1024",
        esp: "aes256gcm16-x25519-ke1_mlkem1024-ke1_none",
        we_begin: true,
        method: Some("ML_KEM_1024"),
    },
    Case {
        ours: Some("[\"MLKEM768\", \"None\"]"),
        ike: "aes256gcm16-prfsha384-ecp384",
        esp: "aes256gcm16-ecp384",
        we_begin: true,
        method: None,
    },
    Case {
        ours: Some("\"None\""),
        ike: "aes256gcm16-prfsha384-ecp384-ke1_mlkem768-ke1_none",
        esp: "aes256gcm16-ecp384",
        we_begin: false,
        method: None,
    },
];

impl Case {
    fn plan(&self) -> Plan {
        let plan = Plan::site(1).with_mode(if self.we_begin { "InitiatorOnly" } else { "ResponderOnly" });
        self.ours.into_iter().fold(plan, |plan, words| plan.with_policy("additional_key_exchange", words))
    }

    fn settings(&self) -> Settings {
        Settings { ike: self.ike.to_owned(), esp: self.esp.to_owned(), ..Settings::default() }
    }

    fn begin<'s>(&self, site: &'s Site, strongswan: &mut StrongSwan<'_>) -> Result<Gateway<'s>> {
        strongswan.reconfigure(&self.settings())?;
        let gateway = Gateway::start(&site.gateway, self.plan())?;
        if !self.we_begin {
            strongswan.initiate()?;
        }
        gateway.is("peer", "up")?;
        strongswan.is_up()?;
        Ok(gateway)
    }

    fn works(&self, site: &Site, peer: &PeerSite, strongswan: &mut StrongSwan<'_>) -> Result<()> {
        let gateway = self.begin(site, strongswan)?;
        is_mixed(self.method, 1, &gateway, strongswan)?;
        gateway.rekey_child("peer")?;
        strongswan.rekey_child()?;
        strongswan.gets_another_ike_sa(|| gateway.rekey_ike("peer"))?;
        is_mixed(self.method, 2, &gateway, strongswan)?;
        strongswan.rekey_ike()?;
        is_mixed(self.method, 3, &gateway, strongswan)?;
        ends_well(gateway, site, peer, strongswan)
    }
}

/// Both sides show how the IKE SA's keys were made, and ours that ML-KEM was in them so many times, if there is a method.
fn is_mixed(
    method: Option<&str>,
    times: usize,
    gateway: &Gateway<'_>,
    strongswan: &StrongSwan<'_>,
) -> Result<()> {
    let mixed = method.map(|method| (format!("+{method}"), format!("/KE1_{method}")));
    let times = method.map_or(0, |_| times);
    until("both sides to show the key exchange", PATIENCE, || {
        let (sas, log) = (strongswan.sas()?, gateway.log());
        let suite = gateway.connection("peer")?["ike_suite"].as_str().unwrap_or_default().to_owned();
        let count = log.matches("come from ML-KEM").count();
        let is_so = match &mixed {
            Some((ours, theirs)) => suite.ends_with(ours) && sas.contains(theirs),
            None => !suite.is_empty() && !suite.contains('+') && !sas.contains("KE1_"),
        };
        Ok(Look::when(is_so && count == times, || format!("{count} times, {suite}\n{sas}")))
    })
}

fn ends_well(gateway: Gateway<'_>, site: &Site, peer: &PeerSite, strongswan: &StrongSwan<'_>) -> Result<()> {
    gateway.rekey_child("peer")?;
    ping_until_answered(site.ipv4(), peer.ipv4().address, PATIENCE)?;
    let failure = gateway.connection("peer")?["failure"].clone();
    ensure(failure.is_null(), || failure.to_string())?;
    gateway.stop()?;
    strongswan.is_down()
}

/// By default ours offers it to nobody who does not say that he has it. A strongSwan that may do without offers it when it rekeys.
fn comes_with_strongswans_rekey(site: &Site, peer: &PeerSite, strongswan: &mut StrongSwan<'_>) -> Result<()> {
    let case = Case {
        ours: None,
        ike: "aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke1_none",
        esp: "aes256gcm16-x25519",
        we_begin: true,
        method: None,
    };
    let gateway = case.begin(site, strongswan)?;
    is_mixed(None, 0, &gateway, strongswan)?;
    strongswan.rekey_ike()?;
    is_mixed(Some("ML_KEM_768"), 1, &gateway, strongswan)?;
    ends_well(gateway, site, peer, strongswan)
}

#[test]
#[ignore = "fetches strongSwan 6 from a newer Debian; make interop runs it"]
fn ml_kem_of_each_size_works_with_strongswan_whoever_begins_and_rekeys() {
    let (site, peer) = with_peer().unwrap();
    let mut strongswan = StrongSwan::start_newer(&peer.gateway, &Settings::default()).unwrap();
    for case in &CASES {
        let Case { ours, ike, we_begin, .. } = case;
        case.works(&site, &peer, &mut strongswan)
            .unwrap_or_else(|failure| panic!("{ours:?}, {ike}, we begin: {we_begin}: {failure}"));
    }
    comes_with_strongswans_rekey(&site, &peer, &mut strongswan).unwrap();
}

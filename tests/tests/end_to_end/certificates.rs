//! Our gateway and strongSwan prove themselves by certificates: each kind of key, each side beginning, chains, shared keys beside
//! them, and reasons that are told.

use crossgate_pki::testing::{Issued, Template, key_pem};
use crossgate_pki::{KeyKind, UnixTime};
use crossgate_tests::certificates::Certificates;
use crossgate_tests::failure::Result;
use crossgate_tests::gateway::{Connection, Gateway, Plan, Reason};
use crossgate_tests::sites;
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Host, ping_until_answered};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

mod ocsp;

const ANSWERED: Duration = Duration::from_secs(20);
const DAY: u64 = 86_400;
pub(super) const RSA: KeyKind = KeyKind::Rsa { bits: 2048 };
const OURS: &str = "gw.example.org";
const PEERS: &str = "peer.example.org";

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970").as_secs()
}

/// A template, valid from 20 days ago until `days` from now.
fn valid(template: Template, days: i64) -> Template {
    let now = now();
    let end = now.checked_add_signed(days * 86_400).expect("a month is not long");
    template.valid(UnixTime(now - 20 * DAY), UnixTime(end))
}

fn authority(name: &str, seed: u8) -> Issued {
    Issued::root(&valid(Template::authority(name), 30), &key_pem(KeyKind::P256, seed))
}

/// Certificates of our gateway and of strongSwan, each issued by an intermediate of its own below one root.
pub(super) fn both(kind: KeyKind) -> (Certificates, Certificates) {
    let root = authority("Root", 1);
    let side = |name: &str, seed: u8| {
        let middle = valid(Template::authority(&format!("Issuer of {name}")), 30);
        let middle = root.issue(&middle, &key_pem(KeyKind::P384, seed));
        let own = middle.issue(&valid(Template::peer(name), 30), &key_pem(kind, seed + 1));
        Certificates {
            own: own.pem(),
            intermediates: vec![middle.pem()],
            key: own.key_pem,
            anchors: vec![root.pem()],
            ..Certificates::default()
        }
    };
    (side(OURS, 10), side(PEERS, 20))
}

pub(super) fn plan(certificates: Certificates, mode: &str) -> Plan {
    let mut plan = Plan::site(1).with_mode(mode);
    plan.connections[0].certificates = Some(certificates);
    plan.connections[0].identities = Some((OURS.to_owned(), PEERS.to_owned()));
    plan
}

fn settings(certificates: Certificates) -> Settings {
    Settings {
        certificates: Some(certificates),
        local_id: PEERS.to_owned(),
        remote_id: OURS.to_owned(),
        connection_extra: "send_cert = always".to_owned(),
        ..Settings::default()
    }
}

/// The tunnel comes up and carries a ping; what strongSwan's log has to say about the proofs.
fn comes_up(plan: Plan, settings: &Settings, said: &[&str]) -> Result<()> {
    let (site, peer) = sites::with_peer()?;
    let (strongswan, gateway) = sites::tunnel_with(&site, &peer, plan, settings)?;
    let log = strongswan.log();
    for text in said {
        assert!(log.contains(text), "strongSwan does not say {text:?}:\n{log}");
    }
    gateway.stop()
}

fn each_begins(kind: KeyKind, said: &[&str]) -> Result<()> {
    for mode in ["InitiatorOnly", "ResponderOnly"] {
        let (ours, theirs) = both(kind);
        comes_up(plan(ours, mode), &settings(theirs), said)?;
    }
    Ok(())
}

#[test]
fn rsa_with_pss_whoever_begins() {
    each_begins(
        RSA,
        &[
            &format!("authentication of '{OURS}' with RSA_EMSA_PSS"),
            "received issuer cert \"C=CH, O=Example, CN=Issuer of gw.example.org\"",
        ],
    )
    .unwrap();
}

/// The same in IKEv1, whose policies have one pair of prefixes each.
fn of_v1(mut plan: Plan) -> Plan {
    plan.connections[0].selectors = Some((vec!["10.1.0.0/16".to_owned()], vec!["10.2.0.0/16".to_owned()]));
    plan
}

#[test]
fn rsa_and_ecdsa_in_ikev1_whoever_begins() {
    for (kind, scheme) in [
        (RSA, "RSA_EMSA_PKCS1_NULL"),
        (KeyKind::P256, "ECDSA_WITH_NULL"),
        (KeyKind::P384, "ECDSA_WITH_NULL"),
        (KeyKind::P521, "ECDSA_WITH_NULL"),
    ] {
        in_ikev1(kind, scheme);
    }
}

fn in_ikev1(kind: KeyKind, scheme: &str) {
    for mode in ["InitiatorOnly", "ResponderOnly"] {
        let (ours, theirs) = both(kind);
        let mut plan = of_v1(plan(ours, mode));
        plan.connections[0].extra = "protocol = \"IKEv1\"".to_owned();
        let settings = Settings {
            version: 1,
            ike: "aes256-sha256-ecp384".to_owned(),
            esp: "aes256gcm16-modp2048".to_owned(),
            local_prefixes: vec!["10.2.0.0/16".to_owned()],
            remote_prefixes: vec!["10.1.0.0/16".to_owned()],
            ..settings(theirs)
        };
        let said = format!("authentication of '{OURS}' with {scheme} successful");
        comes_up(plan, &settings, &[&said]).unwrap_or_else(|failure| panic!("{kind}, {mode}: {failure}"));
    }
}

#[test]
fn rsa_with_pkcs1_as_the_operator_wants() {
    let (mut ours, theirs) = both(RSA);
    ours.extra = "rsa_signature = \"PKCS1\"".to_owned();
    let said = format!("authentication of '{OURS}' with RSA_EMSA_PKCS1_SHA2_256");
    comes_up(plan(ours, "InitiatorOnly"), &settings(theirs), &[&said]).unwrap();
}

#[test]
fn ecdsa_p256_whoever_begins() {
    each_begins(KeyKind::P256, &[&format!("authentication of '{OURS}' with ECDSA_WITH_SHA256_DER")]).unwrap();
}

#[test]
fn ecdsa_p384_and_p521() {
    for (kind, digest) in [(KeyKind::P384, "384"), (KeyKind::P521, "512")] {
        let (ours, theirs) = both(kind);
        let said = format!("authentication of '{OURS}' with ECDSA_WITH_SHA{digest}_DER");
        comes_up(plan(ours, "InitiatorOnly"), &settings(theirs), &[&said]).unwrap();
    }
}

#[test]
fn ed25519_whoever_begins() {
    each_begins(KeyKind::Ed25519, &[&format!("authentication of '{OURS}' with ED25519")]).unwrap();
}

#[test]
fn peer_without_rfc_7427_is_met_with_the_old_methods() {
    let old =
        |theirs| Settings { daemon_extra: "signature_authentication = no".to_owned(), ..settings(theirs) };
    let (ours, theirs) = both(KeyKind::P384);
    let said = format!("authentication of '{OURS}' with ECDSA-384 signature");
    comes_up(plan(ours, "ResponderOnly"), &old(theirs), &[&said]).unwrap();
    // RSA with SHA-1 only where the operator allows it.
    let (mut ours, theirs) = both(RSA);
    ours.extra = "allow_sha1 = true".to_owned();
    let said = format!("authentication of '{OURS}' with RSA signature");
    comes_up(plan(ours, "InitiatorOnly"), &old(theirs), &[&said]).unwrap();
}

#[test]
fn distinguished_names_are_identities() {
    let (ours, theirs) = both(KeyKind::P256);
    let mut plan = plan(ours, "InitiatorOnly");
    let name = |of: &str| format!("C=CH, O=Example, CN={of}");
    plan.connections[0].identities = Some((name(OURS), name(PEERS)));
    let quoted = |of: &str| format!("\"{}\"", name(of));
    let settings = Settings { local_id: quoted(PEERS), remote_id: quoted(OURS), ..settings(theirs) };
    comes_up(plan, &settings, &[]).unwrap();
}

#[test]
fn certificates_and_shared_keys_live_on_one_gateway() {
    let (site, peer) = sites::with_peer().unwrap();
    let (ours, theirs) = both(KeyKind::P256);
    let mut plan = plan(ours, "ResponderOnly");
    let mut by_key = Connection::to_site(2);
    by_key.name = "by-key".to_owned();
    by_key.mode = "ResponderOnly".to_owned();
    by_key.prefixes = vec!["10.9.0.0/16".to_owned()];
    by_key.identities = Some(("192.0.2.1".to_owned(), "192.0.2.2".to_owned()));
    plan.connections.push(by_key);
    let gateway = Gateway::start(&site.gateway, plan).unwrap();
    peer.gateway.address("lo", "10.9.0.1/32").unwrap();
    let more = format!(
        "by-key {{
            version = 2
            mobike = no
            local_addrs = 192.0.2.2
            remote_addrs = 192.0.2.1
            proposals = aes256gcm16-prfsha384-ecp384
            local {{
                auth = psk
                id = 192.0.2.2
            }}
            remote {{
                auth = psk
                id = 192.0.2.1
            }}
            children {{
                by-key {{
                    local_ts = 10.9.0.0/16
                    remote_ts = 10.1.0.0/16
                    esp_proposals = aes256gcm16-ecp384
                }}
            }}
        }}
    }}
    secrets {{
        ike-by-key {{
            id-1 = 192.0.2.1
            id-2 = 192.0.2.2
            secret = \"{}\"
        }}",
        crossgate_tests::gateway::SHARED_KEY
    );
    let settings = Settings { more_connections: more, ..settings(theirs) };
    let strongswan = StrongSwan::start(&peer.gateway, &settings).unwrap();
    strongswan.initiate().unwrap();
    strongswan.swanctl("--initiate --child by-key --timeout 30").unwrap();
    for name in ["peer", "by-key"] {
        gateway.is(name, "up").unwrap();
    }
    ping_until_answered(site.ipv4(), peer.ipv4().address, ANSWERED).unwrap();
    ping_until_answered(site.ipv4(), Host::new(&peer.gateway, "10.9.0.1").address, ANSWERED).unwrap();
    gateway.stop().unwrap();
}

/// With each side as initiator: console, log and a counter tell the reason, and nothing comes up.
fn is_told(ours: &Certificates, theirs: &Certificates, reason: Reason<'_>) -> Result<()> {
    for mode in ["InitiatorOnly", "ResponderOnly"] {
        let (site, peer) = sites::with_peer()?;
        let strongswan = StrongSwan::start(&peer.gateway, &settings(theirs.clone()))?;
        let gateway = Gateway::start(&site.gateway, plan(ours.clone(), mode))?;
        if mode == "ResponderOnly" {
            strongswan.try_initiate()?;
        }
        gateway
            .tells("peer", &reason)
            .unwrap_or_else(|failure| panic!("{mode}: {failure}\n{}\n{}", gateway.state(), strongswan.log()));
        assert!(gateway.sas()?.is_empty(), "{mode}");
        gateway.stop()?;
    }
    Ok(())
}

#[test]
fn expired_certificate_is_told() {
    let (ours, mut theirs) = both(KeyKind::P256);
    let own = authority("Root", 1).issue(&valid(Template::peer(PEERS), -1), &key_pem(KeyKind::P256, 21));
    (theirs.own, theirs.intermediates) = (own.pem(), Vec::new());
    let (problem, counter) = ("expired at", "failed_certificate_expired");
    is_told(&ours, &theirs, Reason { problem, counter, remedy: "at the peer" }).unwrap();
}

#[test]
fn unknown_authority_is_told() {
    let (mut ours, theirs) = both(KeyKind::P256);
    ours.anchors = vec![authority("Stranger", 99).pem()];
    let (problem, counter) = ("unknown CA", "failed_certificate_unknown_issuer");
    is_told(&ours, &theirs, Reason { problem, counter, remedy: "trust_anchors here" }).unwrap();
}

#[test]
fn wrong_name_is_told() {
    let (ours, mut theirs) = both(KeyKind::P256);
    let own = authority("Root", 1)
        .issue(&valid(Template::peer("elsewhere.example.org"), 30), &key_pem(KeyKind::P256, 21));
    (theirs.own, theirs.intermediates) = (own.pem(), Vec::new());
    let problem = "is not for peer.example.org: its names are C=CH, O=Example, CN=elsewhere.example.org";
    let counter = "failed_certificate_wrong_name";
    is_told(&ours, &theirs, Reason { problem, counter, remedy: "the peer's local identity" }).unwrap();
}

#[test]
fn revoked_certificate_is_told() {
    let (mut ours, theirs) = both(KeyKind::P256);
    let root = authority("Root", 1);
    let middle = valid(Template::authority(&format!("Issuer of {PEERS}")), 30);
    let middle = root.issue(&middle, &key_pem(KeyKind::P384, 20));
    ours.lists = vec![middle.revocation_list(&[1], UnixTime(u64::from(u32::MAX)))];
    let (problem, counter) = ("revoked", "failed_certificate_revoked");
    is_told(&ours, &theirs, Reason { problem, counter, remedy: "for the peer" }).unwrap();
}

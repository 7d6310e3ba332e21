//! Two gateways that prove themselves by certificates: under loss, with intermediates, and each reason of failure.

use crossgate_pki::testing::{Issued, NOW, Template, key_pem};
use crossgate_pki::{
    Certificate, Credential, KeyKind, OcspPolicy, OcspResponse, PrivateKey, RevocationList, TrustStore,
    UnixTime,
};

use super::*;
use crate::auth::Authentication;
use crate::auth::certificate::{CertificateAuthentication, RsaPadding};

mod ocsp;

/// What one side is given, before it is made.
pub(super) struct Given {
    end: Issued,
    intermediates: Vec<Certificate>,
    pub(super) anchors: Vec<Certificate>,
    lists: Vec<RevocationList>,
    ocsp: OcspPolicy,
    responses: Vec<OcspResponse>,
    /// Whether those that are believed are clients.
    pub(super) is_of_clients: bool,
}

impl Given {
    pub(super) fn authentication(self) -> Authentication {
        let chain = std::iter::once(self.end.certificate()).chain(self.intermediates).collect();
        let key = PrivateKey::from_pem(self.end.key_pem.as_bytes()).unwrap();
        let trust = TrustStore::new(self.anchors, self.lists).with_ocsp(self.ocsp);
        let trust = if self.is_of_clients { trust.of_clients() } else { trust };
        Authentication::Certificate(Arc::new(CertificateAuthentication {
            credential: Arc::new(Credential::new(chain, key).unwrap().with_responses(self.responses)),
            trust: Arc::new(trust),
            rsa_padding: RsaPadding::Pss,
            allow_sha1: false,
        }))
    }
}

pub(super) fn name(index: usize) -> String {
    format!("gw-{index}.example")
}

/// Both sides below one root, each with an intermediate of its own that the other does not know.
pub(super) fn given(index: usize, kind: KeyKind, template: Template) -> Given {
    let seed = u8::try_from(index).unwrap();
    let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 1));
    let middle =
        root.issue(&Template::authority(&format!("Middle {index}")), &key_pem(KeyKind::P256, 2 + seed));
    let end = middle.issue(&template, &key_pem(kind, 4 + seed));
    let (intermediates, anchors) = (vec![middle.certificate()], vec![root.certificate()]);
    let (lists, responses) = (Vec::new(), Vec::new());
    let (ocsp, is_of_clients) = (OcspPolicy::Off, false);
    Given { end, intermediates, anchors, lists, ocsp, responses, is_of_clients }
}

fn connected(
    seed: u64,
    link: Link,
    kind: KeyKind,
    adjust: impl Fn(usize, &mut Given, &mut ConnectionConfig),
) -> Pair {
    Pair::connected(seed, link, |index, config| {
        config.local_id = Identity::Fqdn(name(index));
        config.remote_id = Some(Identity::Fqdn(name(1 - index)));
        let mut given = given(index, kind, Template::peer(&name(index)));
        adjust(index, &mut given, config);
        config.authentication = given.authentication();
    })
}

#[test]
fn every_kind_of_key_connects_and_rekeys() {
    for kind in [KeyKind::Rsa { bits: 2048 }, KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Ed25519] {
        let mut pair = connected(1, Link::LAN, kind, |_, _, _| {});
        assert!(is_up(&pair), "{kind}\n{}", pair.trace());
        pair.command(0, Command::RekeyIke(CONNECTION));
        pair.run_until_idle();
        assert!(is_up(&pair), "{kind}\n{}", pair.trace());
    }
}

#[test]
fn connects_over_a_hostile_link_with_slow_maths() {
    for seed in seeds(40) {
        let mut pair = Pair::new(seed, Link::HOSTILE, &EndpointConfig::default());
        pair.compute = Duration::from_millis(30);
        for index in [1, 0] {
            let mut config = connection(index);
            config.local_id = Identity::Fqdn(name(index));
            config.remote_id = Some(Identity::Fqdn(name(1 - index)));
            config.authentication =
                given(index, KeyKind::P256, Template::peer(&name(index))).authentication();
            pair.command(index, Command::Configure(Box::new(config)));
        }
        pair.run_until_idle();
        assert!(is_up(&pair), "seed {seed}\n{}", pair.trace());
    }
}

fn is_up(pair: &Pair) -> bool {
    pair.live_ikes() == [1, 1] && pair.live_children() == [1, 1]
}

/// The failure that side `index` reports.
pub(super) fn failure(pair: &Pair, index: usize) -> String {
    let status = pair.sides[index].endpoint.status();
    status[0].failure.as_ref().map(|failure| failure.error.to_string()).unwrap_or_default()
}

#[test]
fn reason_is_told_on_the_side_that_found_it() {
    let days = |days: u64| UnixTime(NOW.0 - days * 86_400);
    type Adjust = fn(&mut Given, &mut ConnectionConfig);
    let stranger: Adjust = |given, _| {
        given.anchors =
            vec![Issued::root(&Template::authority("Stranger"), &key_pem(KeyKind::P256, 99)).certificate()];
    };
    let revoking: Adjust = |given, _| {
        let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 1));
        let middle = root.issue(&Template::authority("Middle 1"), &key_pem(KeyKind::P256, 3));
        let list = middle.revocation_list(&[1], UnixTime(NOW.0 + 10));
        given.lists = vec![RevocationList::from_der(&list).unwrap()];
    };
    // Side 0 begins, and finds what is wrong with side 1.
    for (adjust, reason) in [(stranger, "unknown CA"), (revoking, "revoked")] {
        let pair = connected(1, Link::LAN, KeyKind::P256, |index, given, config| {
            if index == 0 {
                adjust(given, config);
            }
        });
        assert!(failure(&pair, 0).contains(reason), "{}\n{}", failure(&pair, 0), pair.trace());
        // Side 1 had proven itself and learns of it by INFORMATIONAL.
        let trusted = reason == "revoked";
        let refused = IkeError::CertificateRefused { trusted }.to_string();
        assert_eq!(failure(&pair, 1), refused, "{}", pair.trace());
        assert!(!is_up(&pair));
    }
    // Side 1 answers, and finds what is wrong with side 0, which is told no more than AUTHENTICATION_FAILED.
    let expired = Template::peer(&name(0)).valid(days(20), days(10));
    let misnamed = Template::peer("elsewhere.example");
    for (template, reason) in [(expired, "expired"), (misnamed, "not for gw-0.example")] {
        let mut pair = connected(1, Link::LAN, KeyKind::P256, |index, wanted, _| {
            if index == 0 {
                *wanted = given(0, KeyKind::P256, template.clone());
            }
        });
        if reason == "expired" {
            // Our own clock is right: we do not even try.
            assert!(failure(&pair, 0).contains("this gateway's certificate"), "{}", failure(&pair, 0));
            pair.sides[0].plane.unix_time = days(15);
            pair.command(0, Command::Reset(CONNECTION));
            pair.run_until_idle();
        }
        assert!(failure(&pair, 1).contains(reason), "{}\n{}", failure(&pair, 1), pair.trace());
        assert!(failure(&pair, 0).contains("AUTHENTICATION_FAILED"), "{}", failure(&pair, 0));
        assert!(!is_up(&pair));
    }
}

#[test]
fn missing_intermediate_and_other_method_are_told() {
    let pair = connected(1, Link::LAN, KeyKind::P256, |index, given, _| {
        if index == 0 {
            given.intermediates.clear();
        }
    });
    assert!(failure(&pair, 1).contains("Middle 0"), "{}", failure(&pair, 1));
    let pair = Pair::connected(1, Link::LAN, |index, config| {
        if index == 1 {
            let template = Template::peer(&name(index));
            config.authentication = given(index, KeyKind::P256, template).authentication();
        }
    });
    assert!(failure(&pair, 1).contains("another method than a certificate"), "{}", failure(&pair, 1));
}

#[test]
fn renewed_certificate_costs_no_tunnel() {
    let mut pair = connected(1, Link::LAN, KeyKind::P256, |_, _, _| {});
    let before = pair.live_children();
    let mut config = connection(0);
    config.local_id = Identity::Fqdn(name(0));
    config.remote_id = Some(Identity::Fqdn(name(1)));
    config.authentication = given(0, KeyKind::Ed25519, Template::peer(&name(0))).authentication();
    let events = pair.sides[0].events.len();
    pair.command(0, Command::Configure(Box::new(config)));
    pair.run_until_idle();
    assert_eq!(pair.live_children(), before);
    assert_eq!(pair.sides[0].events.len(), events, "{:?}", &pair.sides[0].events[events..]);
    pair.command(0, Command::Reset(CONNECTION));
    pair.run_until_idle();
    assert!(is_up(&pair), "{}", pair.trace());
}

//! OCSP responses that come with a certificate (RFC 4806): sent to who asks, believed if they are the CA's, missed where they are required.

use crossgate_pki::testing::OcspTemplate;
use crossgate_pki::{OcspPolicy, OcspResponse};

use super::*;

/// Side 0 has `policy`; side 1 sends what `template` says of its certificate.
fn tried(seed: u64, link: Link, policy: OcspPolicy, template: Option<OcspTemplate>) -> Pair {
    let mut pair = Pair::new(seed, link, &EndpointConfig::default());
    for index in [1, 0] {
        let mut config = connection(index);
        config.local_id = Identity::Fqdn(name(index));
        config.remote_id = Some(Identity::Fqdn(name(1 - index)));
        let mut given = given(index, KeyKind::P256, Template::peer(&name(index)));
        if index == 0 {
            given.ocsp = policy;
        } else if let Some(template) = template {
            let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 1));
            let middle = root.issue(&Template::authority("Middle 1"), &key_pem(KeyKind::P256, 3));
            let response = middle.ocsp_response(&middle, &template);
            given.responses = vec![OcspResponse::from_der(&response).unwrap()];
        }
        config.authentication = given.authentication();
        pair.command(index, Command::Configure(Box::new(config)));
    }
    pair
}

fn connected(policy: OcspPolicy, template: Option<OcspTemplate>) -> Pair {
    let mut pair = tried(1, Link::LAN, policy, template);
    pair.run_for(Duration::from_secs(20));
    pair
}

#[test]
fn a_good_response_is_believed_and_a_missing_one_is_missed_where_it_is_required() {
    for (policy, template, is_good) in [
        (OcspPolicy::Require, Some(OcspTemplate::good(1)), true),
        (OcspPolicy::Ask, Some(OcspTemplate::good(1)), true),
        (OcspPolicy::Ask, None, true),
        (OcspPolicy::Off, None, true),
        (OcspPolicy::Require, None, false),
        // Of another certificate.
        (OcspPolicy::Require, Some(OcspTemplate::good(2)), false),
    ] {
        let pair = connected(policy, template);
        assert_eq!(is_up(&pair), is_good, "{policy:?} {template:?}\n{}", pair.trace());
        let told = failure(&pair, 0).contains("sent no OCSP response");
        assert_eq!(told, !is_good, "{}", failure(&pair, 0));
    }
}

#[test]
fn whoever_begins_a_peer_without_a_required_response_is_refused() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    for index in [1, 0] {
        let mut config = connection(index);
        config.local_id = Identity::Fqdn(name(index));
        config.remote_id = Some(Identity::Fqdn(name(1 - index)));
        let mut given = given(index, KeyKind::P256, Template::peer(&name(index)));
        given.ocsp = if index == 1 { OcspPolicy::Require } else { OcspPolicy::Off };
        config.authentication = given.authentication();
        pair.command(index, Command::Configure(Box::new(config)));
    }
    pair.run_for(Duration::from_secs(20));
    assert!(!is_up(&pair));
    assert!(failure(&pair, 1).contains("sent no OCSP response"), "{}", failure(&pair, 1));
}

#[test]
fn a_response_that_would_be_refused_is_not_sent() {
    let stale = OcspTemplate { next_update: UnixTime(NOW.0 - 10), ..OcspTemplate::good(1) };
    let pair = connected(OcspPolicy::Ask, Some(stale));
    assert!(is_up(&pair), "{}", pair.trace());
}

#[test]
fn a_response_that_says_revoked_is_sent_and_heeded_though_none_is_required() {
    let revoked = OcspTemplate { revoked: true, ..OcspTemplate::good(1) };
    let pair = connected(OcspPolicy::Ask, Some(revoked));
    assert!(!is_up(&pair), "{}", pair.trace());
    assert!(failure(&pair, 0).contains("revoked"), "{}", failure(&pair, 0));
}

#[test]
fn a_response_of_whom_the_authority_has_not_named_is_refused() {
    let mut pair = tried(1, Link::LAN, OcspPolicy::Ask, None);
    let mut config = connection(1);
    config.local_id = Identity::Fqdn(name(1));
    config.remote_id = Some(Identity::Fqdn(name(0)));
    let mut given = given(1, KeyKind::P256, Template::peer(&name(1)));
    let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 1));
    let middle = root.issue(&Template::authority("Middle 1"), &key_pem(KeyKind::P256, 3));
    let stranger = Issued::root(&Template::authority("Middle 1"), &key_pem(KeyKind::P256, 77));
    let response = middle.ocsp_response(&stranger, &OcspTemplate::good(1));
    given.responses = vec![OcspResponse::from_der(&response).unwrap()];
    config.authentication = given.authentication();
    pair.command(1, Command::Configure(Box::new(config)));
    pair.run_for(Duration::from_secs(20));
    assert!(!is_up(&pair));
    assert!(failure(&pair, 0).contains("signed neither by its issuer"), "{}", failure(&pair, 0));
}

#[test]
fn connects_over_a_hostile_link() {
    for seed in seeds(20) {
        let mut pair = tried(seed, Link::HOSTILE, OcspPolicy::Require, Some(OcspTemplate::good(1)));
        pair.run_until_idle();
        assert!(is_up(&pair), "seed {seed}\n{}", pair.trace());
    }
}

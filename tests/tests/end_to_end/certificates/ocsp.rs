//! OCSP responses that come with a certificate (RFC 4806), between two gateways of ours, since Debian 12's strongSwan knows none: believed if they are good, and
//! told if they are bad, old or not there, whoever begins.

use super::*;

use crossgate_pki::testing::OcspTemplate;

const HOUR_S: i64 = 3600;

/// What the peer's authority says of its certificate, until a time from now.
fn response(revoked: bool, until_s: i64) -> Vec<u8> {
    let template = Template::authority(&format!("Issuer of {PEERS}"));
    let middle = authority("Root", 1).issue(&valid(template, 30), &key_pem(KeyKind::P384, 20));
    let now = now();
    let template = OcspTemplate {
        revoked,
        this_update: UnixTime(now - 10 * DAY),
        next_update: UnixTime(now.checked_add_signed(until_s).expect("it is long after 1970")),
        ..OcspTemplate::good(1)
    };
    middle.ocsp_response(&middle, &template)
}

/// Our second gateway, which has this response.
fn holder(mode: &str, response: Option<Vec<u8>>) -> Plan {
    let (_, own) = both(KeyKind::P256);
    let mut plan = Plan::site(2).with_mode(mode);
    let connection = &mut plan.connections[0];
    connection.certificates = Some(Certificates { responses: response.into_iter().collect(), ..own });
    connection.identities = Some((PEERS.to_owned(), OURS.to_owned()));
    plan
}

/// The modes are those of the gateway that requires responses, and of the one that has them.
fn responses_decide(mode: &str, of_holder: &str) -> Result<()> {
    let (one, two) = sites::both_ours()?;
    let good = || Some(response(false, HOUR_S));
    let mut peer = Gateway::start(&two.gateway, holder(of_holder, good()))?;
    let (ours, _) = both(KeyKind::P256);
    let ours = Certificates { extra: "ocsp = \"Require\"".to_owned(), ..ours };
    let gateway = Gateway::start(&one.gateway, plan(ours, mode))?;
    gateway.is("peer", "up")?;
    ping_until_answered(one.ipv4(), two.ipv4().address, ANSWERED)?;

    let mut with = |response: Option<Vec<u8>>| -> Result<()> {
        peer.reload(holder(of_holder, response))?;
        // The signal is not waited for, and a tunnel that is up outlives a change of its certificates.
        peer.ask(&["apply", &peer.file().display().to_string()])?;
        [&peer, &gateway].into_iter().try_for_each(|side| side.ask(&["reset", "peer"]).map(drop))
    };
    let revoked =
        Reason { problem: "revoked", counter: "failed_certificate_revoked", remedy: "for the peer" };
    let missing = Reason {
        problem: "sent no OCSP response",
        counter: "failed_revocation_unknown",
        remedy: "let the peer send",
    };
    // One that holds no more is not sent.
    let stale = Some(response(false, -HOUR_S));
    for (response, reason) in [(Some(response(true, HOUR_S)), revoked), (None, missing), (stale, missing)] {
        with(response)?;
        gateway.tells("peer", &reason)?;
        assert!(gateway.sas()?.is_empty(), "{}", gateway.state());
        with(good())?;
        gateway.is("peer", "up")?;
    }
    peer.says("the peer refused this side's identity or certificate")?;
    gateway.stop()?;
    peer.stop()
}

#[test]
fn ocsp_response_of_a_peer_that_answers_decides() {
    responses_decide("InitiatorOnly", "ResponderOnly").unwrap();
}

#[test]
fn ocsp_response_of_a_peer_that_begins_decides() {
    responses_decide("ResponderOnly", "InitiatorOnly").unwrap();
}

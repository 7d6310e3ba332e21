//! Clients that prove themselves by certificates: by EAP-TLS, in both versions of TLS, and in IKEv2 itself, as machines do.

use crossgate_pki::{Digest, Subject};
use crossgate_tests::gateway::Connection;
use crossgate_tests::sites;

use super::*;

/// The authority of the clients, and a certificate of it.
fn authority() -> Issued {
    Issued::root(&valid(Template::authority("Clients")), &key_pem(KeyKind::P256, 11))
}

fn certificate(by: &Issued, user: &str, seed: u8) -> Issued {
    let mut template = valid(Template::peer(user));
    template.names = vec![Subject::Email(user.to_owned())];
    by.issue(&template, &key_pem(KeyKind::P256, seed))
}

/// A gateway that believes what `root` issued, but for `revoked`.
fn plan_of(own: &Issued, root: &Issued, revoked: &Issued) -> Plan {
    let mut plan = plan(own);
    plan.files.push(("clients.pem", root.pem()));
    let thumbprint =
        Digest::Sha1.of(&revoked.der).iter().fold(String::new(), |all, byte| format!("{all}{byte:02X}"));
    let words = "vpn_authentication_types = [\"Password\"]";
    let certificates = format!(
        "vpn_authentication_types = [\"Certificate\", \"Password\"]
vpn_client_root_certificates = [{{ name = \"Clients\", file = \"FOLDER/clients.pem\" }}]
vpn_client_revoked_certificates = [{{ name = \"a lost laptop\", thumbprint = \"{thumbprint}\" }}]"
    );
    plan.gateway_extra = plan.gateway_extra.replace(words, &certificates);
    plan
}

/// A client that has this certificate, and does `auth`.
pub(super) fn bearer<'a>(
    place: &'a Namespace,
    root: &Issued,
    own: &Issued,
    (user, auth, tls): (&str, &str, &str),
) -> Result<StrongSwan<'a>> {
    let certificates = Certificates {
        own: own.pem(),
        key: own.key_pem.clone(),
        anchors: vec![root.pem()],
        ..Certificates::default()
    };
    let local = format!("auth = {auth}\nid = {user}\ncerts = peer.pem");
    let daemon_extra = format!("tls {{\nversion_max = {tls}\n}}");
    let text = connection(&local, "");
    let settings = Settings {
        instead: Some(text),
        certificates: Some(certificates),
        daemon_extra,
        ..Settings::default()
    };
    StrongSwan::start(place, &settings)
}

#[test]
fn certificates_log_in_by_eap_tls_and_without_eap_and_their_authority_can_be_taken_away() {
    let (wan, site) = (Wan::new().unwrap(), Site::new(1).unwrap());
    wan.plug(1, &site.gateway, "wan").unwrap();
    let places = [5, 6].map(|number| place(&wan, number).unwrap());
    let [at_anna, at_machine] = &places;
    let ((root, own), clients) = (issued(), authority());
    let [anna, machine, lost] =
        [("anna@example.org", 21), ("machine@example.org", 22), ("lost@example.org", 23)]
            .map(|(user, seed)| certificate(&clients, user, seed));
    let mut gateway = Gateway::start(&site.gateway, plan_of(&own, &clients, &lost)).unwrap();
    let by_tls = bearer(at_anna, &root, &anna, ("anna@example.org", "eap-tls", "1.2")).unwrap();
    by_tls.initiate().unwrap_or_else(|error| panic!("{error}\n{}\n{}", gateway.state(), by_tls.log()));
    has_clients(&gateway, 1).unwrap();
    reach_each_other(Host::new(at_anna, "172.16.201.1"), site.ipv4()).unwrap();
    let by_ike = bearer(at_machine, &root, &machine, ("machine@example.org", "pubkey", "1.2")).unwrap();
    by_ike.initiate().unwrap_or_else(|error| panic!("{error}\n{}\n{}", gateway.state(), by_ike.log()));
    has_clients(&gateway, 2).unwrap();
    reach_each_other(Host::new(at_machine, "172.16.201.2"), site.ipv4()).unwrap();
    let users = users_of(&gateway).unwrap();
    assert_eq!(users, ["anna@example.org at 172.16.201.1/32", "machine@example.org at 172.16.201.2/32"]);
    // The authority goes, and with it everybody that it issued a certificate for.
    let other = Issued::root(&valid(Template::authority("Others")), &key_pem(KeyKind::P256, 12));
    gateway.reload(plan_of(&own, &other, &lost)).unwrap();
    has_clients(&gateway, 0).unwrap();
    by_tls.is_down().unwrap();
    by_ike.is_down().unwrap();
    gateway.stop().unwrap();
}

#[test]
fn a_certificate_that_is_not_good_enough_is_refused_with_the_reason() {
    let (wan, site) = (Wan::new().unwrap(), Site::new(1).unwrap());
    wan.plug(1, &site.gateway, "wan").unwrap();
    let place = place(&wan, 5).unwrap();
    let ((root, own), clients) = (issued(), authority());
    let strangers = Issued::root(&valid(Template::authority("Strangers")), &key_pem(KeyKind::P256, 13));
    let lost = certificate(&clients, "lost@example.org", 23);
    let strange = certificate(&strangers, "anna@example.org", 24);
    let gateway = Gateway::start(&site.gateway, plan_of(&own, &clients, &lost)).unwrap();
    let login = "failed_client_certificate";
    let withdrawn = Reason {
        problem: "was revoked here, by its thumbprint",
        counter: login,
        remedy: "out of vpn_client_revoked_certificates here",
    };
    let problem = "an unknown CA";
    let unknown = Reason { problem, counter: login, remedy: "vpn_client_root_certificates" };
    let of_machine = Reason {
        problem,
        counter: "failed_certificate_unknown_issuer",
        remedy: "give the peer a certificate of a CA that is trusted here",
    };
    for (end, user, auth, tls, reason) in [
        (&lost, "lost@example.org", "eap-tls", "1.2", withdrawn),
        (&strange, "anna@example.org", "eap-tls", "1.3", unknown),
        (&strange, "anna@example.org", "pubkey", "1.2", of_machine),
    ] {
        let refused = bearer(&place, &root, end, (user, auth, tls)).unwrap();
        assert!(refused.initiate().is_err(), "{}", gateway.state());
        gateway.tells("gw-clients", &reason).unwrap();
    }
    gateway.stop().unwrap();
}

#[test]
fn a_gateway_that_asks_for_its_address_is_a_client_of_another_one_and_its_network_goes_out_with_it() {
    let (site, branch) = sites::both_ours().unwrap();
    let ((root, own), clients) = (issued(), authority());
    let [end, lost] = [("branch@example.org", 25), ("lost@example.org", 23)]
        .map(|(user, seed)| certificate(&clients, user, seed));
    let gateway = Gateway::start(&site.gateway, plan_of(&own, &clients, &lost)).unwrap();
    let mut asking = Plan::site(2);
    asking.connections = vec![Connection {
        prefixes: vec!["10.1.0.0/16".to_owned()],
        certificates: Some(Certificates {
            own: end.pem(),
            key: end.key_pem.clone(),
            anchors: vec![root.pem()],
            ..Certificates::default()
        }),
        identities: Some(("branch@example.org".to_owned(), OURS.to_owned())),
        extra: "request_addresses = true".to_owned(),
        ..Connection::to_site(1)
    }];
    let there = Gateway::start(&branch.gateway, asking).unwrap();
    there.is("peer", "up").unwrap();
    let connection = there.connection("peer").unwrap();
    assert_eq!(connection["assigned"][0]["addresses"], serde_json::json!(["172.16.201.1"]), "{connection}");
    assert_eq!(connection["assigned"][0]["dns_servers"], serde_json::json!(["10.1.0.53"]), "{connection}");
    assert_eq!(users_of(&gateway).unwrap(), ["branch@example.org at 172.16.201.1/32"]);
    let (near, far) = (branch.ipv4(), site.ipv4());
    ping_until_answered(near, far.address, PATIENCE).unwrap();
    // The side that assigns renews the IKE SA, and the address stays.
    gateway.rekey_ike("gw-clients").unwrap();
    there.rekey_child("peer").unwrap();
    ping(near, far.address, 10, 1_300, false).unwrap().all_answered().unwrap();
    has_clients(&gateway, 1).unwrap();
    assert_eq!(users_of(&gateway).unwrap(), ["branch@example.org at 172.16.201.1/32"]);
    there.stop().unwrap();
    has_clients(&gateway, 0).unwrap();
    gateway.stop().unwrap();
}

//! Other ways to prove who one is: certificates without EAP, a RADIUS server's word; and who has tried too many passwords.

use crossgate_eap::{Msk, RadiusAnswer, RadiusError, RadiusSecret, RadiusServer, TlsSettings};
use crossgate_pki::testing::NOW;
use crossgate_pki::{Subject, UnixTime};

use super::*;
use crate::auth::CertificateAuthentication;
use crate::job::JobResult;
use crate::wire::Identification;

/// A gateway whose clients have certificates, or passwords.
fn by_certificate(mut given: super::super::certificates::Given) -> ConnectionConfig {
    given.is_of_clients = true;
    let Authentication::Certificate(own) = given.authentication() else { panic!("certificates") };
    let mut config = config(9);
    let tls = TlsSettings::new(Arc::clone(&own.credential), Arc::clone(&own.trust));
    let users = Some(users(&["anna"]));
    config.authentication = Authentication::Eap(Arc::new(EapAuthentication {
        own,
        users,
        tls: Some(Arc::new(tls)),
        radius: None,
    }));
    config
}

fn own() -> super::super::certificates::Given {
    given(1, KeyKind::P256, Template::peer(&name(1)))
}

/// What a client called so proves itself with.
fn bearer(called: &str) -> Arc<CertificateAuthentication> {
    bearer_of(Template::peer(called))
}

fn bearer_of(template: Template) -> Arc<CertificateAuthentication> {
    match given(0, KeyKind::P256, template).authentication() {
        Authentication::Certificate(by) => by,
        _ => panic!("certificates"),
    }
}

fn failure(pair: &Pair) -> IkeError {
    status(pair, 1).failure.unwrap().error
}

#[test]
fn a_machine_proves_itself_by_its_certificate_without_a_log_in() {
    let mut pair = unconfigured();
    pair.command(1, Command::Configure(Box::new(by_certificate(own()))));
    let mut client = Client::begin(&mut pair, 1);
    let message = client.prove_by(&mut pair, &bearer("laptop.example"), vec![wants_address()]);
    assert!(message.auth().is_some() && message.id_responder().is_some(), "{message:?}");
    assert_eq!(address(&message), Some("10.9.0.1".parse().unwrap()), "{}", pair.trace());
    assert_eq!((sessions(&pair, "laptop.example"), pair.live_children()[1]), (1, 1));
    // A certificate for another name.
    let mut client = Client::begin(&mut pair, 2);
    let message = client.prove_by(&mut pair, &bearer("desktop.example"), vec![wants_address()]);
    assert!(message.notify(NotifyType::AUTHENTICATION_FAILED).is_some() && message.auth().is_none());
    assert!(failure(&pair).to_string().contains("not for"), "{}", failure(&pair));
    // Passwords are taken, too: the client takes no certificate, and says so.
    let mut client = Client::begin(&mut pair, 3);
    let first = client.ask_to_log_in(&mut pair, vec![wants_address()]);
    let start = client.answer(&mut pair, &first, b"anna");
    assert_eq!(start.eap().unwrap()[4..], [13, 0x20], "EAP-TLS begins");
    let identifier = start.eap().unwrap()[1];
    let nak = Payload::Eap(vec![2, identifier, 0, 6, 3, 26]);
    let challenge = client.ask(&mut pair, ExchangeType::IKE_AUTH, vec![nak]);
    let (_, key) = client.log_in(&mut pair, challenge, "anna", "secret of anna");
    let message = client.prove(&mut pair, &key);
    assert_eq!(address(&message), Some("10.9.0.2".parse().unwrap()), "{}", pair.trace());
    // The authority goes; who came by its certificate is cut off, and nobody else.
    let mut strange = own();
    strange.anchors = Vec::new();
    pair.command(1, Command::Configure(Box::new(by_certificate(strange))));
    pair.run_for(Duration::from_secs(60));
    assert_eq!((sessions(&pair, "laptop.example"), sessions(&pair, "anna")), (0, 1), "{}", pair.trace());
}

#[test]
fn a_client_is_whom_its_certificate_names_whatever_it_calls_itself() {
    let mut pair = unconfigured();
    pair.command(1, Command::Configure(Box::new(by_certificate(own()))));
    for (number, email) in [(1, "anna@Example.net"), (2, "anna@example.net")] {
        let mut template = Template::peer("laptop.example");
        template.serial = number;
        template.names.push(Subject::Email(email.to_owned()));
        let mut client = Client::begin(&mut pair, number);
        let message = client.prove_by(&mut pair, &bearer_of(template), vec![wants_address()]);
        assert_eq!(address(&message), Some("10.9.0.1".parse().unwrap()), "{}", pair.trace());
    }
    pair.run_for(Duration::from_secs(10));
    assert_eq!((sessions(&pair, "anna@example.net"), sessions(&pair, "laptop")), (1, 0));
}

#[test]
fn a_session_ends_with_the_certificate_that_it_came_by() {
    let mut pair = unconfigured();
    pair.command(1, Command::Configure(Box::new(by_certificate(own()))));
    let template = Template::peer("laptop.example").valid(UnixTime(NOW.0 - 9), UnixTime(NOW.0 + 20));
    let mut client = Client::begin(&mut pair, 1);
    client.prove_by(&mut pair, &bearer_of(template), vec![wants_address()]);
    pair.run_for(Duration::from_secs(15));
    assert_eq!((sessions(&pair, "laptop.example"), leases(&pair)), (1, 1), "{}", pair.trace());
    pair.sides[1].plane.unix_time = UnixTime(NOW.0 + 21);
    pair.run_for(Duration::from_secs(10));
    assert_eq!((sessions(&pair, "laptop.example"), leases(&pair)), (0, 0), "{}", pair.trace());
    assert!(failure(&pair).to_string().contains("expired"), "{}", failure(&pair));
}

#[test]
fn certificates_prove_nothing_where_clients_have_none() {
    let mut pair = gateway(9);
    let mut client = Client::begin(&mut pair, 1);
    // The gateway announces no signatures then: the client signs as it likes.
    let message = client.prove_by(&mut pair, &bearer("laptop.example"), vec![wants_address()]);
    assert!(message.notify(NotifyType::AUTHENTICATION_FAILED).is_some() && message.auth().is_none());
    assert_eq!(failure(&pair), IkeError::NotByEap);
}

#[test]
fn a_site_with_a_wrong_identity_is_not_told_to_log_in() {
    let mut pair = gateway(9);
    let mut site = connection(1);
    site.id = ConnectionId(77);
    site.places = Vec::new();
    site.mode = Mode::ResponderOnly;
    site.remote_id = Some(Identity::Fqdn("harbour.example".to_owned()));
    pair.command(1, Command::Configure(Box::new(site)));
    let mut peer = Client::begin(&mut pair, 1);
    let key = Payload::Authentication(crate::wire::Authentication {
        method: crate::wire::AuthMethod::SHARED_KEY_MIC,
        data: vec![0; 32],
    });
    let message = peer.ask_to_log_in(&mut pair, vec![key]);
    assert!(message.notify(NotifyType::AUTHENTICATION_FAILED).is_some());
    let called = Identification {
        kind: crate::wire::IdType::FQDN,
        reserved: [0; 3],
        data: b"laptop.example".to_vec(),
    };
    let unknown = IkeError::UnknownPeer(Identity::from_wire(&called));
    assert_eq!(failure(&pair), unknown, "{}", pair.trace());
}

#[test]
fn a_client_that_asks_for_its_child_later_has_its_address_from_the_beginning() {
    let mut pair = gateway(9);
    let mut client = Client::begin(&mut pair, 1);
    let first = client.ask_without_child(&mut pair, vec![wants_address()]);
    let (_, key) = client.log_in(&mut pair, first, "anna", "secret of anna");
    let message = client.prove(&mut pair, &key);
    assert_eq!(address(&message), Some("10.9.0.1".parse().unwrap()), "{}", pair.trace());
    assert!(message.sa().is_none() && pair.live_children()[1] == 0);
    let message = client.ask_for_child(&mut pair, "10.9.0.1", 32);
    assert!(message.sa().is_some(), "{message:?}");
    assert_eq!((pair.live_children()[1], leases(&pair)), (1, 1));
}

#[test]
fn who_tries_too_many_passwords_waits_whatever_the_next_one_is() {
    let mut pair = gateway(9);
    let log_in = |pair: &mut Pair, password: &str| {
        let mut client = Client::begin(pair, 1);
        let first = client.ask_to_log_in(pair, vec![wants_address()]);
        let (last, key) = client.log_in(pair, first, "anna", password);
        let is_in = last.eap().map(|packet| packet[0]) == Some(3);
        if is_in {
            client.prove(pair, &key);
        }
        pair.run_for(Duration::from_secs(35));
        is_in
    };
    for _ in 0..5 {
        assert!(!log_in(&mut pair, "guess"));
        assert!(failure(&pair).to_string().contains("the password"), "{}", failure(&pair));
    }
    assert!(!log_in(&mut pair, "secret of anna"));
    assert_eq!(failure(&pair), IkeError::LoginLocked("anna".to_owned()));
    pair.run_for(Duration::from_secs(300));
    assert!(log_in(&mut pair, "secret of anna"), "{}", pair.trace());
}

/// A gateway that asks a RADIUS server.
fn by_radius() -> Pair {
    let mut pair = unconfigured();
    let mut config = config(9);
    let Authentication::Eap(by) = &config.authentication else { panic!("by EAP") };
    let secret = RadiusSecret::new(b"shared by both");
    let server = RadiusServer { address: "192.0.2.53:1812".parse().unwrap(), secret };
    let (own, radius) = (Arc::clone(&by.own), Some(Arc::from([server])));
    config.authentication =
        Authentication::Eap(Arc::new(EapAuthentication { own, users: None, tls: None, radius }));
    pair.command(1, Command::Configure(Box::new(config)));
    pair
}

#[test]
fn a_radius_server_is_asked_and_its_silence_is_the_reason() {
    let mut pair = by_radius();
    let mut client = Client::begin(&mut pair, 1);
    let first = client.ask_to_log_in(&mut pair, vec![wants_address()]);
    client.send_answer(&mut pair, &first, b"anna");
    let (ike, serial, question) = pair.radius.pop_front().expect("a question");
    assert_eq!((question.identity.as_str(), question.packet.last()), ("anna", Some(&b'a')));
    assert!(question.thread.is_none() && question.client.to_string() == "198.51.100.1");
    let silent = RadiusError::Silent(question.servers[0].address);
    pair.input(1, Input::Computed(JobResult::relayed(ike, serial, Err(silent.clone()))));
    let error = failure(&pair);
    assert_eq!(error, IkeError::Login(crossgate_eap::EapError::Radius(silent)));
    assert!(error.remedy().contains("secret"), "{}", error.remedy());
    // An answer that nobody waits for changes nothing.
    pair.input(1, Input::Computed(JobResult::relayed(ike, serial, Err(RadiusError::None))));
    assert_eq!(pair.live_ikes()[1], 0);
}

#[test]
fn a_radius_server_that_does_not_answer_in_time_leaves_nothing_behind() {
    let mut pair = by_radius();
    let mut client = Client::begin(&mut pair, 1);
    let first = client.ask_to_log_in(&mut pair, vec![wants_address()]);
    client.send_answer(&mut pair, &first, b"anna");
    pair.run_for(Duration::from_secs(60));
    assert_eq!(pair.sides[1].endpoint.half_open(), 0, "{}", pair.trace());
}

/// A client that says it is anna; the server lets it in, and calls it `user`.
fn let_in(pair: &mut Pair, number: u8, user: Option<&str>) -> (Client, Message) {
    let mut client = Client::begin(pair, number);
    let first = client.ask_to_log_in(pair, vec![wants_address()]);
    let identifier = first.eap().unwrap()[1];
    client.send_answer(pair, &first, b"anna");
    let (ike, serial, _) = pair.radius.pop_front().expect("a question");
    let accept = RadiusAnswer::Accept {
        packet: vec![3, identifier, 0, 4],
        user: user.map(ToOwned::to_owned),
        msk: Msk::new([number; 64].into()),
    };
    pair.input(1, Input::Computed(JobResult::relayed(ike, serial, Ok(accept))));
    client.receive(pair);
    let message = client.prove(pair, &[number; 64]);
    (client, message)
}

#[test]
fn who_is_let_in_without_a_name_is_nobody_else() {
    let mut pair = by_radius();
    let given = |message: &Message| address(message).unwrap().to_string();
    let (_anna, message) = let_in(&mut pair, 1, Some("anna"));
    assert_eq!(given(&message), "10.9.0.1", "{}", pair.trace());
    let (_first, message) = let_in(&mut pair, 2, None);
    assert_eq!(given(&message), "10.9.0.2", "not anna's address");
    let (_second, message) = let_in(&mut pair, 3, None);
    assert_eq!(given(&message), "10.9.0.3", "nor that of another one without a name");
    pair.run_for(Duration::from_secs(10));
    assert_eq!((sessions(&pair, "keyid:anna"), sessions(&pair, "unproven:\"anna\"")), (1, 2));
    let (_again, message) = let_in(&mut pair, 4, Some("anna"));
    assert_eq!(given(&message), "10.9.0.1", "{}", pair.trace());
}

//! Conversations by password, right and wrong.

use super::*;
use proptest::prelude::*;
use zeroize::Zeroizing;

const BY_PASSWORD: Methods<'_> = Methods { tls: None, users: Some(&One), relay: false, now: UnixTime(0) };

struct One;

impl Users for One {
    fn password(&self, user: &str) -> Option<PasswordHash> {
        (user == "anna").then(|| PasswordHash::of("secret of anna"))
    }
}

/// A client that answers by the book.
struct Client<'a> {
    user: &'a str,
    password: &'a str,
}

impl Client<'_> {
    fn respond(identifier: u8, kind: Kind, data: &[u8]) -> Vec<u8> {
        let mut packet = packet::request(identifier, kind, data);
        packet[0] = 2;
        packet
    }

    fn answer(&self, request: &[u8]) -> Vec<u8> {
        let (identifier, kind, data) = (request[1], Kind(request[4]), &request[5..]);
        if kind == Kind::IDENTITY {
            return Self::respond(identifier, kind, self.user.as_bytes());
        }
        if data[0] != CHALLENGE {
            return Self::respond(identifier, kind, &data[..1]);
        }
        let challenge: &[u8; 16] = data[5..].first_chunk().unwrap();
        let exchange =
            Exchange { challenge, peer_challenge: &[7; 16], user: self.user.as_bytes(), proof: &[0; 24] };
        let proof = exchange.client_proof(&PasswordHash::of(self.password));
        let value = [&[7; 16][..], &[0; 8], proof.as_slice(), &[0], self.user.as_bytes()].concat();
        let head = [RESPONSE, data[1], 0, 0, 49];
        Self::respond(identifier, kind, &[&head[..], &value].concat())
    }
}

fn talk(client: &Client<'_>) -> Step {
    let (mut server, mut request) = Server::begin(&mut |out| out.fill(9));
    for _ in 0..10 {
        match server.on_response(&client.answer(&request), &BY_PASSWORD, &mut |out| out.fill(5)) {
            Step::Send(packet) => request = packet,
            other => return other,
        }
    }
    panic!("it does not come to an end")
}

#[test]
fn right_password_succeeds_with_a_domain_too() {
    for user in ["anna", "OFFICE\\anna"] {
        match talk(&Client { user, password: "secret of anna" }) {
            Step::Success { packet, user, msk, .. } => {
                assert_eq!(format!("{msk:?}"), "Msk");
                assert_eq!((packet[0], msk.expose().len()), (3, 64));
                assert_eq!(user, User::Known("anna".to_owned()));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn wrong_password_and_unknown_user_fail_alike() {
    let outcome = |user, password| match talk(&Client { user, password }) {
        Step::Failure { packet, error } => (packet[0], error),
        other => panic!("{other:?}"),
    };
    assert_eq!(outcome("anna", "guess"), (4, EapError::WrongPassword("anna".to_owned())));
    assert_eq!(outcome("bert", "secret of anna"), (4, EapError::UnknownUser("bert".to_owned())));
    assert_eq!(outcome("", "x"), (4, EapError::BadName));
}

#[test]
fn client_that_leaves_it_is_told_of_by_how_far_it_was() {
    let left_after = |answers: usize, password| {
        let client = Client { user: "anna", password };
        let (mut server, mut request) = Server::begin(&mut |out| out.fill(9));
        for _ in 0..answers {
            match server.on_response(&client.answer(&request), &BY_PASSWORD, &mut |out| out.fill(5)) {
                Step::Send(packet) => request = packet,
                other => panic!("{other:?}"),
            }
        }
        server.abandoned()
    };
    let anna = || "anna".to_owned();
    assert_eq!(left_after(0, ""), None);
    assert_eq!(left_after(1, ""), Some(EapError::GivenUp));
    assert_eq!(left_after(2, "guess"), Some(EapError::WrongPassword(anna())));
    assert_eq!(left_after(2, "secret of anna"), Some(EapError::RefusedByClient(anna())));
}

#[test]
fn success_is_not_to_be_had_out_of_turn() {
    let (mut server, request) = Server::begin(&mut |out| out.fill(9));
    let early = Client::respond(request[1], Kind::MSCHAPV2, &[SUCCESS]);
    let failed = server.on_response(&early, &BY_PASSWORD, &mut |_| {});
    assert!(matches!(failed, Step::Failure { error: EapError::Unexpected, .. }), "{failed:?}");
    let (mut server, request) = Server::begin(&mut |out| out.fill(9));
    let Step::Send(challenge) =
        server.on_response(&Client::respond(request[1], Kind::IDENTITY, b"anna"), &BY_PASSWORD, &mut |_| {})
    else {
        panic!("a challenge")
    };
    let early = Client::respond(challenge[1], Kind::MSCHAPV2, &[SUCCESS]);
    let failed = server.on_response(&early, &BY_PASSWORD, &mut |_| {});
    assert!(matches!(failed, Step::Failure { error: EapError::Unexpected, .. }), "{failed:?}");
    // Nothing after the end.
    let again = server.on_response(&early, &BY_PASSWORD, &mut |_| {});
    assert!(matches!(again, Step::Failure { .. }), "{again:?}");
    let (mut server, request) = Server::begin(&mut |out| out.fill(9));
    let Step::Send(challenge) =
        server.on_response(&Client::respond(request[1], Kind::IDENTITY, b"anna"), &BY_PASSWORD, &mut |_| {})
    else {
        panic!("a challenge")
    };
    let nak = Client::respond(challenge[1], Kind::NAK, &[13]);
    let failed = server.on_response(&nak, &BY_PASSWORD, &mut |_| {});
    assert!(matches!(failed, Step::Failure { error: EapError::NoCommonMethod(_), .. }), "{failed:?}");
}

proptest! {
    #[test]
    fn no_answer_panics_or_succeeds(answers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..90), 1..6)) {
        let (mut server, _) = Server::begin(&mut |out| out.fill(2));
        for answer in answers {
            let step = server.on_response(&answer, &BY_PASSWORD, &mut |out| out.fill(1));
            let succeeded = matches!(step, Step::Success { .. });
            prop_assert!(!succeeded);
        }
    }
}

fn by_server() -> Methods<'static> {
    Methods { relay: true, ..BY_PASSWORD }
}

/// A conversation whose first packet is with a RADIUS server.
fn asked() -> Server {
    let (mut server, request) = Server::begin(&mut |out| out.fill(9));
    let mut answer = Client::respond(request[1], Kind::IDENTITY, b"anna");
    let sent = answer.clone();
    answer.push(0);
    let Step::Relay { identity, packet, thread: None } =
        server.on_response(&answer, &by_server(), &mut |_| {})
    else {
        panic!("a question")
    };
    assert_eq!((identity.as_str(), packet), ("anna", sent), "without the padding");
    server
}

#[test]
fn a_radius_server_asks_and_judges() {
    let mut server = asked();
    let question = packet::request(77, Kind::MSCHAPV2, b"whatever it asks");
    let challenge = RadiusAnswer::Challenge { packet: question.clone(), thread: Thread::of_test() };
    let Step::Send(packet) = server.on_relayed(Ok(challenge)) else { panic!("to the client") };
    assert_eq!(packet, question);
    let answer = Client::respond(77, Kind::MSCHAPV2, b"whatever it says");
    let step = server.on_response(&answer, &by_server(), &mut |_| {});
    assert!(matches!(step, Step::Relay { thread: Some(_), .. }), "{step:?}");
    let msk = Msk::new(Zeroizing::new([5; 64]));
    let accept = |user: Option<&str>, packet| RadiusAnswer::Accept {
        packet,
        user: user.map(str::to_owned),
        msk: msk.clone(),
    };
    let step = server.on_relayed(Ok(accept(Some("anna@example.net"), packet::success(77))));
    let Step::Success { user, by: Means::Radius, .. } = step else { panic!("{step:?}") };
    assert_eq!(user, User::Known("anna@example.net".to_owned()));
    // Whoever the client says it is, the server has not said so.
    for unnamed in [None, Some("")] {
        let step = asked().on_relayed(Ok(accept(unnamed, packet::success(9))));
        assert!(
            matches!(&step, Step::Success { user: User::Claimed(user), .. } if user == "anna"),
            "{step:?}"
        );
    }
    let step = asked().on_relayed(Ok(accept(None, packet::failure(9))));
    assert!(matches!(step, Step::Failure { error: EapError::BadRelay, .. }), "{step:?}");
}

#[test]
fn what_a_radius_server_refuses_or_does_not_answer_fails_with_the_reason() {
    let reject = RadiusAnswer::Reject { packet: None, message: "account locked".to_owned() };
    let Step::Failure { packet, error } = asked().on_relayed(Ok(reject)) else { panic!("refused") };
    assert_eq!(packet[0], 4);
    assert!(error.to_string().ends_with("\"anna\": account locked"), "{error}");
    let silent = RadiusError::Silent("192.0.2.53:1812".parse().unwrap());
    let step = asked().on_relayed(Err(silent));
    assert!(matches!(step, Step::Failure { error: EapError::Radius(_), .. }), "{step:?}");
    let odd = RadiusAnswer::Challenge { packet: vec![1, 7, 0, 99], thread: Thread::of_test() };
    let step = asked().on_relayed(Ok(odd));
    assert!(matches!(step, Step::Failure { error: EapError::BadRelay, .. }), "{step:?}");
    // Nothing is taken that was not asked for, and the client is not heard meanwhile.
    let mut server = asked();
    let early = Client::respond(9, Kind::IDENTITY, b"bert");
    let step = server.on_response(&early, &by_server(), &mut |_| {});
    assert!(matches!(step, Step::Failure { error: EapError::Unexpected, .. }), "{step:?}");
}

//! Peers that have not shown who they are: whom their failures are told of, what they cannot overwrite, and what they may cost.

use super::*;
use crate::error::{Reason, Stage};
use crate::event::ConnectionId;
use crate::wire::{IkeSpi, Message, Notify, NotifyType, Payload};

const SECOND: ConnectionId = ConnectionId(2);

/// How often side 1 counted a failure for that kind of reason.
fn failures(pair: &Pair, reason: Reason) -> u64 {
    pair.sides[1].endpoint.failures().find(|(found, _)| *found == reason).unwrap().1
}

fn failure_of(pair: &Pair, index: usize, id: ConnectionId) -> Option<IkeError> {
    let found = pair.sides[index].endpoint.status().into_iter().find(|status| status.id == id);
    found.unwrap().failure.map(|failure| failure.error)
}

/// Another connection between the same addresses, with other identities.
fn second(index: usize) -> ConnectionConfig {
    let name = |index: usize| Identity::Fqdn(format!("second-{index}.example"));
    let mut config = connection(index);
    second_policy(index, &mut config);
    config.children.remove(0);
    (config.id, config.name) = (SECOND, "second".into());
    (config.local_id, config.remote_id) = (name(index), Some(name(1 - index)));
    config
}

#[test]
fn a_wrong_key_is_told_of_the_connection_that_it_is_for_and_of_no_other() {
    let from_anywhere = |config: ConnectionConfig| ConnectionConfig { places: Vec::new(), ..config };
    let as_it_is = |config: ConnectionConfig| config;
    for adjust in [as_it_is as fn(ConnectionConfig) -> ConnectionConfig, from_anywhere] {
        let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
        let wrong = ConnectionConfig { authentication: Authentication::shared_key(b"another"), ..second(1) };
        for config in [connection(1), wrong] {
            pair.command(1, Command::Configure(Box::new(adjust(config))));
        }
        for config in [connection(0), second(0)] {
            pair.command(0, Command::Configure(Box::new(config)));
        }
        pair.run_for(Duration::from_secs(5));
        assert_eq!(failure_of(&pair, 1, CONNECTION), None, "{}", pair.trace());
        assert_eq!(failure_of(&pair, 1, SECOND), Some(IkeError::WrongKey));
        assert!(failures(&pair, Reason::WrongKey) > 0);
        let told = &pair.sides[1].told;
        assert!(
            !told.is_empty() && told.iter().all(|one| *one == (Some(SECOND), IkeError::WrongKey)),
            "{told:?}"
        );
    }
}

#[test]
fn an_identity_that_no_connection_has_is_told_of_those_that_are_not_up() {
    let mut pair = Pair::connected(1, Link::LAN, |_, _| {});
    pair.command(1, Command::Configure(Box::new(second(1))));
    let stranger = ConnectionConfig { local_id: Identity::Fqdn("stranger.example".to_owned()), ..second(0) };
    pair.command(0, Command::Configure(Box::new(stranger)));
    pair.run_for(Duration::from_secs(5));
    assert_eq!(failure_of(&pair, 1, CONNECTION), None, "{}", pair.trace());
    assert!(matches!(failure_of(&pair, 1, SECOND), Some(IkeError::UnknownPeer(_))), "{}", pair.trace());
    let told = pair.sides[1].told.first();
    assert!(matches!(told, Some((None, IkeError::UnknownPeer(_)))), "nobody knows which it is: {told:?}");
}

#[test]
fn a_peer_without_a_fixed_address_is_told_of_with_its_connection() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    let mut config = ConnectionConfig { places: Vec::new(), ..connection(1) };
    config.ike_suites[0].cipher = IkeCipher::AesGcm16(KeyBits::B128);
    pair.command(1, Command::Configure(Box::new(config)));
    pair.command(0, Command::Configure(Box::new(connection(0))));
    pair.run_for(Duration::from_secs(5));
    let error = IkeError::NoProposalChosen(Stage::Init);
    assert_eq!(pair.sides[1].told.first(), Some(&(Some(CONNECTION), error.clone())));
    assert_eq!(failure_of(&pair, 1, CONNECTION), Some(error));
}

/// A first message as anybody can send it, changed by `adjust`.
fn first_message(adjust: impl Fn(&mut ConnectionConfig)) -> Message {
    let mut pair = Pair::new(99, Link::LAN, &EndpointConfig::default());
    let mut config = connection(0);
    adjust(&mut config);
    pair.command(0, Command::Configure(Box::new(config)));
    let packet = pair.flying.pop_first().expect("an initiator begins").1;
    let Carried::Ike(bytes) = packet.carried else { panic!("an IKE message") };
    Message::parse(&bytes).unwrap()
}

fn unacceptable() -> Message {
    first_message(|config| config.ike_suites[0].cipher = IkeCipher::AesGcm16(KeyBits::B128))
}

/// Sends it to side 1; the answer.
fn send(pair: &mut Pair, message: &Message, from: u32) -> Option<Message> {
    let remote = SocketAddr::new(IpAddr::V4(Ipv4Addr::from(from)), 500);
    let (local, bytes) = (SocketAddr::new(pair.sides[1].address, 500), message.build().unwrap());
    let before: Vec<_> = pair.flying.keys().copied().collect();
    pair.input(1, Input::Datagram { local, remote, bytes: &bytes });
    let sent = *pair.flying.keys().find(|key| !before.contains(key))?;
    match pair.flying.remove(&sent)?.carried {
        Carried::Ike(bytes) => Message::parse(&bytes).ok(),
        _ => None,
    }
}

const PEER: u32 = 0xc000_0201;

#[test]
fn hints_do_not_touch_a_connection_that_is_up() {
    let mut pair = Pair::connected(1, Link::LAN, |_, _| {});
    let answer = send(&mut pair, &unacceptable(), PEER).unwrap();
    assert!(answer.notify(NotifyType::NO_PROPOSAL_CHOSEN).is_some());
    assert_eq!(failure_of(&pair, 1, CONNECTION), None);
    assert_eq!(failures(&pair, Reason::IkeProposal), 1, "the log and the counters say it");
    assert_eq!(pair.sides[1].told.len(), 1);
}

#[test]
fn hints_do_not_replace_what_was_shown_just_now() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    let wrong = ConnectionConfig { authentication: Authentication::shared_key(b"another"), ..connection(1) };
    pair.command(1, Command::Configure(Box::new(wrong)));
    pair.command(0, Command::Configure(Box::new(connection(0))));
    pair.run_for(Duration::from_secs(5));
    pair.sides[0].alive = false;
    send(&mut pair, &unacceptable(), PEER).unwrap();
    assert_eq!(failure_of(&pair, 1, CONNECTION), Some(IkeError::WrongKey), "{}", pair.trace());
    pair.run_for(Duration::from_secs(61));
    send(&mut pair, &unacceptable(), PEER).unwrap();
    assert_eq!(failure_of(&pair, 1, CONNECTION), Some(IkeError::NoProposalChosen(Stage::Init)));
}

#[test]
fn a_public_key_that_is_none_is_told() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    pair.command(1, Command::Configure(Box::new(connection(1))));
    let mut message = first_message(|_| {});
    for payload in &mut message.payloads {
        if let Payload::KeyExchange(ke) = payload {
            ke.public.fill(0);
        }
    }
    assert!(send(&mut pair, &message, PEER).is_none());
    assert_eq!(failure_of(&pair, 1, CONNECTION), Some(IkeError::BadPublicKey(Stage::Init)));
    assert_eq!((failures(&pair, Reason::Protocol), pair.sides[1].endpoint.half_open()), (1, 0));
}

#[test]
fn a_peer_that_stops_half_way_is_told_with_how_far_it_came() {
    type Adjust = fn(&mut ConnectionConfig);
    let plain: Adjust = |_| {};
    let mixing: Adjust = |config| config.additional = vec![Some(Group::MlKem768)];
    let v1: Adjust =
        |config| *config = *super::v1::config(usize::from(config.mode == Mode::ResponderOnly), |_, _| {});
    let is_open: fn(&Pair) -> bool = |pair| pair.sides[1].endpoint.half_open() == 1;
    let is_mixed: fn(&Pair) -> bool = |pair| pair.count(1, What::KeysMixed) == 1;
    for (adjust, until, stage) in [
        (plain, is_open, Stage::Auth),
        (mixing, is_open, Stage::Intermediate),
        (mixing, is_mixed, Stage::Auth),
        (v1, is_open, Stage::MainMode),
    ] {
        let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
        for index in [1, 0] {
            let mut config = connection(index);
            adjust(&mut config);
            pair.command(index, Command::Configure(Box::new(config)));
        }
        assert!(pair.run(until, pair.now + Duration::from_secs(5)), "{stage}\n{}", pair.trace());
        pair.sides[0].alive = false;
        pair.run_for(Duration::from_secs(31));
        let error = IkeError::StoppedHalfWay(stage);
        assert_eq!(failure_of(&pair, 1, CONNECTION), Some(error.clone()), "{}", pair.trace());
        assert_eq!(pair.sides[1].told, [(Some(CONNECTION), error.clone())]);
        assert_eq!((failures(&pair, Reason::StoppedHalfWay), pair.count(1, What::HalfOpenExpired)), (1, 1));
        assert!(error.remedy().starts_with("at the peer"), "{}", error.remedy());
    }
}

#[test]
fn refusals_without_end_lead_to_cookies_few_lines_and_no_state_and_a_true_peer_gets_in() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    pair.command(1, Command::Configure(Box::new(ConnectionConfig { places: Vec::new(), ..connection(1) })));
    let mut message = unacceptable();
    let (mut refused, mut asked) = (0, 0);
    for number in 0..500 {
        message.header.initiator_spi = IkeSpi(u64::from(number) + 1);
        let answer = send(&mut pair, &message, 0xc633_6400 + number).expect("an answer");
        refused += u32::from(answer.notify(NotifyType::NO_PROPOSAL_CHOSEN).is_some());
        asked += u32::from(answer.notify(NotifyType::COOKIE).is_some());
    }
    assert_eq!((refused, asked), (51, 449));
    assert_eq!(failures(&pair, Reason::IkeProposal), 51);
    assert_eq!((pair.sides[1].told.len(), pair.count(1, What::NoticesWithheld)), (50, 1));
    // Whoever shows where it is can be refused some more, and then gets no answer.
    for number in 0..500 {
        let (from, mut message) = (0xc633_6400 + number, message.clone());
        message.header.initiator_spi = IkeSpi(u64::from(number) + 1);
        let answer = send(&mut pair, &message, from).expect("a cookie");
        let cookie = answer.notify(NotifyType::COOKIE).unwrap().data.clone();
        message.payloads.insert(0, Payload::Notify(Notify::new(NotifyType::COOKIE, cookie)));
        refused += u32::from(send(&mut pair, &message, from).is_some());
    }
    assert_eq!((refused, pair.count(1, What::DropRefusalLimit)), (100, 451));
    assert_eq!((pair.sides[1].told.len(), pair.sides[1].endpoint.half_open()), (50, 0));
    pair.command(0, Command::Configure(Box::new(connection(0))));
    pair.run_for(Duration::from_secs(5));
    pair.assert_up("in spite of the flood");
    assert_eq!(pair.count(0, What::CookieReturned), 1);
}

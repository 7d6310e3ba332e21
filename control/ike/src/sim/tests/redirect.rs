//! Redirect (RFC 5685): who is sent elsewhere goes there, at the first message or while the tunnel is up, and never for ever.

use super::*;
use crate::event::ConnectionId;
use crate::place::Place;

const FIRST: &str = "192.0.2.2";
const OTHER: &str = "192.0.2.12";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The peer's connection at an address of its, which sends callers elsewhere.
fn at(id: u32, local: &str, redirect_to: Option<Place>) -> ConnectionConfig {
    ConnectionConfig { id: ConnectionId(id), local_address: ip(local), redirect_to, ..connection(1) }
}

fn pair(first: Option<Place>, other: Option<Place>) -> Pair {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    pair.names.insert("other.example".to_owned(), Ok(vec![ip(OTHER)]));
    for config in [at(1, FIRST, first), at(2, OTHER, other)] {
        pair.command(1, Command::Configure(Box::new(config)));
    }
    pair.command(0, Command::Configure(Box::new(connection(0))));
    pair
}

#[track_caller]
fn assert_up_at(pair: &Pair, address: &str) {
    assert_eq!((pair.live_ikes(), pair.live_children()), ([1, 1], [1, 1]), "{}", pair.trace());
    let status = status(pair, 0);
    let ike = status.ike_sas.iter().find(|ike| ike.peer.is_some()).expect("it is up");
    assert_eq!(ike.path.remote.ip(), ip(address), "{}", pair.trace());
    let in_use: Vec<String> =
        status.places.iter().filter(|place| place.in_use).map(|place| place.place.to_string()).collect();
    assert!(in_use == [address] || in_use == ["other.example"], "{in_use:?}\n{}", pair.trace());
}

#[test]
fn caller_goes_where_it_is_sent_by_address_and_by_name() {
    for to in [Place::At(ip(OTHER)), Place::Named(Arc::from("other.example"))] {
        let mut pair = pair(Some(to), None);
        pair.run_for(Duration::from_secs(5));
        assert_up_at(&pair, OTHER);
        assert_eq!((pair.count(1, What::Redirecting), pair.count(0, What::Redirected)), (1, 1));
        let at_rest = rest(&mut pair);
        // A renewal asks the first one again, and is sent there again.
        pair.command(0, Command::Reset(CONNECTION));
        pair.run_for(Duration::from_secs(5));
        assert_up_at(&pair, OTHER);
        assert_eq!(rest(&mut pair), at_rest, "{}", pair.trace());
    }
}

#[test]
fn tunnel_that_is_up_moves_when_its_gateway_is_to_be_left() {
    let mut pair = pair(None, None);
    pair.run_for(Duration::from_secs(5));
    assert_up_at(&pair, FIRST);
    pair.probing = true;
    pair.command(1, Command::Configure(Box::new(at(1, FIRST, Some(Place::At(ip(OTHER)))))));
    pair.run_for(Duration::from_secs(20));
    assert_up_at(&pair, OTHER);
    assert_eq!(pair.lost, 0, "{}", pair.trace());
    assert!(pair.delivered > 0);
}

#[test]
fn two_gateways_that_send_to_each_other_end_in_a_wait() {
    let mut pair = pair(Some(Place::At(ip(OTHER))), Some(Place::At(ip(FIRST))));
    pair.run_for(Duration::from_secs(100));
    assert_eq!(pair.live_ikes()[0], 0);
    assert_eq!(pair.count(0, What::Redirected), 5, "{}", pair.trace());
    assert!(pair.count(0, What::RedirectIgnored) > 0, "{}", pair.trace());
    assert!(pair.count(0, What::Initiating) < 20, "{}", pair.trace());
    pair.command(1, Command::Configure(Box::new(at(1, FIRST, None))));
    pair.run_for(Duration::from_secs(300));
    assert_up_at(&pair, FIRST);
}

#[test]
fn who_does_not_follow_is_served_and_who_is_sent_into_the_void_returns() {
    let stays = ConnectionConfig { follow_redirects: false, ..connection(0) };
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    pair.command(1, Command::Configure(Box::new(at(1, FIRST, Some(Place::At(ip(OTHER)))))));
    pair.command(0, Command::Configure(Box::new(stays)));
    pair.run_for(Duration::from_secs(5));
    assert_up_at(&pair, FIRST);
    assert_eq!(pair.count(0, What::Redirected), 0);
    // Nobody is there: the first one is asked again, which has changed its mind by then.
    let mut pair = self::pair(Some(Place::At(ip("192.0.2.13"))), None);
    pair.sides[1].silent = [ip("192.0.2.13")].into();
    pair.run_for(Duration::from_secs(10));
    pair.command(1, Command::Configure(Box::new(at(1, FIRST, None))));
    pair.run_for(Duration::from_secs(200));
    assert_up_at(&pair, FIRST);
}

#[test]
fn forged_redirect_is_dropped() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    pair.command(1, Command::Configure(Box::new(connection(1))));
    pair.command(0, Command::Configure(Box::new(connection(0))));
    let spi = match pair.flying.values().next().map(|packet| &packet.carried) {
        Some(Carried::Ike(bytes)) => crate::wire::Header::parse(bytes).unwrap().initiator_spi,
        other => panic!("{other:?}"),
    };
    use crate::wire::{ExchangeType, Header, IkeSpi, Message, MessageId, MessageKind, Role};
    let header = Header {
        initiator_spi: spi,
        responder_spi: IkeSpi::NONE,
        exchange: ExchangeType::IKE_SA_INIT,
        sender: Role::Responder,
        kind: MessageKind::Response,
        id: MessageId(0),
    };
    let payloads = vec![crate::redirect::payload(&Place::At(ip(OTHER)), &[7; 32])];
    let bytes = Message { header, payloads }.build().unwrap();
    let (local, remote) = ("192.0.2.1:500".parse().unwrap(), "192.0.2.2:500".parse().unwrap());
    pair.input(0, Input::Datagram { local, remote, bytes: &bytes });
    assert_eq!(pair.count(0, What::Redirected), 0);
    pair.run_until_idle();
    pair.assert_up("not by somebody who did not see the request");
}

const VOID: &str = "192.0.2.13";

/// A tunnel that is up at the first place, sent from there to `to` in vain.
fn sent_in_vain(to: Place) -> Pair {
    let mut pair = pair(None, None);
    pair.sides[1].silent = [ip(VOID)].into();
    pair.names.insert("gone.example".to_owned(), Err("no such name".to_owned()));
    // At the other place is somebody else.
    let stranger = ConnectionConfig {
        authentication: crate::auth::Authentication::shared_key(b"another key than the one that is shown"),
        ..at(2, OTHER, None)
    };
    pair.command(1, Command::Configure(Box::new(stranger)));
    pair.run_for(Duration::from_secs(5));
    assert_up_at(&pair, FIRST);
    pair.command(1, Command::Configure(Box::new(at(1, FIRST, Some(to)))));
    pair.run_for(Duration::from_secs(400));
    assert_eq!((pair.count(1, What::Redirecting), pair.count(0, What::Redirected)), (1, 1));
    pair
}

fn nowhere() -> [Place; 4] {
    let named = |name: &str| Place::Named(Arc::from(name));
    [Place::At(ip(VOID)), Place::At(ip(OTHER)), named("gone.example"), named("silent.example")]
}

#[test]
fn tunnel_that_is_sent_elsewhere_in_vain_is_where_it_was() {
    for to in nowhere() {
        let mut pair = sent_in_vain(to);
        assert_up_at(&pair, FIRST);
        assert_eq!(status(&pair, 0).places.len(), 1, "{}", pair.trace());
        // It is not called anew there before it is replaced.
        let calls = pair.count(0, What::Initiating);
        pair.command(1, Command::RekeyIke(ConnectionId(1)));
        pair.run_for(Duration::from_secs(60));
        assert_eq!((pair.count(0, What::IkeRekeyed), pair.count(0, What::Initiating)), (1, calls));
        assert_up_at(&pair, FIRST);
    }
}

#[test]
fn failure_where_the_peer_sent_us_is_told_by_that_name_and_of_no_place_of_the_list() {
    for to in nowhere() {
        let pair = sent_in_vain(to.clone());
        assert_eq!(status(&pair, 0).places[0].failure, None, "{}", pair.trace());
        if let Place::Named(name) = &to {
            let is_told = |event: &String| event.starts_with("Failed") && event.contains(&**name);
            assert!(pair.sides[0].events.iter().any(is_told), "{}", pair.trace());
        }
    }
    // The same while nothing is up.
    let mut pair = pair(Some(Place::Named(Arc::from("gone.example"))), None);
    pair.names.insert("gone.example".to_owned(), Err("no such name".to_owned()));
    let is_told = |pair: &Pair| status(pair, 0).failure.is_some();
    assert!(pair.run(is_told, pair.now + Duration::from_secs(5)), "{}", pair.trace());
    let status = status(&pair, 0);
    let why = status.failure.as_ref().map(|failure| failure.error.to_string());
    assert!(why.is_some_and(|why| why.contains("gone.example")), "{status:?}");
    assert_eq!(status.places[0].failure, None);
}

#[test]
fn address_that_no_host_has_is_not_called() {
    for address in ["127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "2001:db8::1"] {
        let mut pair = pair(Some(Place::At(ip(address))), None);
        pair.run_for(Duration::from_secs(5));
        assert_eq!(pair.called.get(&ip(address)), None, "{address}\n{}", pair.trace());
        assert!(pair.count(0, What::RedirectIgnored) > 0, "{address}\n{}", pair.trace());
        assert_eq!(pair.count(0, What::Redirected), 0);
        pair.command(1, Command::Configure(Box::new(at(1, FIRST, None))));
        pair.run_for(Duration::from_secs(60));
        assert_up_at(&pair, FIRST);
    }
}

/// Lets the run go on until side 1's answer of IKE_AUTH is on its way, and puts into it that side 0 is to be looked for at `to`.
fn sent_by_ike_auth(pair: &mut Pair, to: &Place) {
    use crate::sa::{Arrived, State};
    use crate::secured::Received;
    use crate::wire::{ExchangeType, Header, MessageKind};
    let header = |packet: &Packet| match &packet.carried {
        Carried::Ike(bytes) if packet.to == 0 => Header::parse(bytes).ok(),
        _ => None,
    };
    let is_wanted =
        |header: &Header| header.exchange == ExchangeType::IKE_AUTH && header.kind == MessageKind::Response;
    let key = loop {
        match pair.flying.iter().find(|(_, packet)| header(packet).as_ref().is_some_and(is_wanted)) {
            Some((key, _)) => break *key,
            None => assert!(pair.step(pair.now + Duration::from_secs(60)), "no answer\n{}", pair.trace()),
        }
    };
    let packet = pair.flying.remove(&key).unwrap();
    let (header, Packet { local, remote, carried, .. }) = (header(&packet).unwrap(), packet);
    let Carried::Ike(bytes) = carried else { panic!("an IKE message") };
    pair.now = pair.now.max(key.0);
    let ike = status(pair, 0).ike_sas.iter().find(|ike| ike.peer.is_none()).expect("on its way").id;
    let side = &mut pair.sides[0];
    side.endpoint.with_sa(ike, pair.now, &mut side.plane, |sa, cx| {
        let State::AuthSent(mut state) = std::mem::replace(&mut sa.state, State::Gone) else {
            panic!("waits for the answer")
        };
        let arrived = Arrived { local, remote, bytes: &bytes };
        let Received::Message(mut message) = state.secured.receive(&arrived, &header, cx) else {
            panic!("an answer that is due")
        };
        state.secured.window.answered();
        message.payloads.push(crate::redirect::payload(to, &[]));
        sa.state = state.on_answer(message, cx);
    });
    pair.input(0, Input::Timeout);
}

#[test]
fn redirect_in_ike_auth_brings_nothing_up_and_replaces_nothing() {
    // Nothing else is up: called where it is sent.
    let mut pair = pair(None, None);
    sent_by_ike_auth(&mut pair, &Place::At(ip(OTHER)));
    pair.run_for(Duration::from_secs(5));
    assert_up_at(&pair, OTHER);
    assert_eq!((pair.count(0, What::Established), pair.count(0, What::Redirected)), (1, 1));
    // A tunnel elsewhere is up, and the way back to the first place leads into the void.
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    pair.sides[1].silent = [ip(FIRST), ip(VOID)].into();
    let places = vec![Place::At(ip(FIRST)), Place::At(ip(OTHER))];
    let caller = ConnectionConfig { places, mobike: false, ..connection(0) };
    for (side, config) in [(1, at(1, FIRST, None)), (1, at(2, OTHER, None)), (0, caller)] {
        pair.command(side, Command::Configure(Box::new(config)));
    }
    pair.run_for(Duration::from_secs(10));
    assert_up_at(&pair, OTHER);
    pair.sides[1].silent.remove(&ip(FIRST));
    pair.command(1, Command::RekeyIke(ConnectionId(2)));
    pair.run_for(Duration::from_secs(1));
    let before = (pair.count(0, What::Established), child(&pair, 0));
    sent_by_ike_auth(&mut pair, &Place::At(ip(VOID)));
    assert_eq!(pair.count(0, What::Redirected), 1, "{}", pair.trace());
    settle(&mut pair);
    assert_up_at(&pair, OTHER);
    assert_eq!((pair.count(0, What::Established), child(&pair, 0)), before, "{}", pair.trace());
    assert_eq!(pair.count(0, What::Duplicate), 0, "{}", pair.trace());
}

#[test]
fn caller_that_may_be_of_several_connections_is_sent_once_it_is_known() {
    for (to, other, goes) in [
        (Some(Place::At(ip(OTHER))), None, OTHER),
        (None, Some(Place::At(ip(OTHER))), FIRST),
        (Some(Place::At(ip(OTHER))), Some(Place::At(ip(VOID))), OTHER),
    ] {
        let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
        let stranger = crate::identity::Identity::Fqdn("somebody.else".into());
        let stranger = ConnectionConfig { remote_id: Some(stranger), ..at(3, FIRST, other) };
        for config in [at(1, FIRST, to), at(2, OTHER, None), stranger] {
            pair.command(1, Command::Configure(Box::new(config)));
        }
        pair.command(0, Command::Configure(Box::new(connection(0))));
        pair.run_for(Duration::from_secs(20));
        assert_up_at(&pair, goes);
        assert_eq!(pair.count(1, What::Redirecting), u64::from(goes == OTHER), "{}", pair.trace());
    }
}

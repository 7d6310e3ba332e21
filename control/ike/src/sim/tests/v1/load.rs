//! What somebody who was not asked can cost, and which work goes first.

use super::*;
use crate::event::Spi;
use crate::sa::State;
use crate::v1::Phase;
use crate::v1::wire::{ExchangeType, Header};
use crate::wire::IkeSpi;

/// Both sides, run until side 1 waits for message 5.
fn awaiting() -> Pair {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    for index in [1, 0] {
        pair.command(index, Command::Configure(config(index, |_, _| {})));
    }
    while cookies(&pair).is_none() {
        assert!(pair.step(pair.now + Duration::from_secs(1)), "{}", pair.trace());
    }
    pair
}

/// Those of the SA that waits for message 5 at side 1.
fn cookies(pair: &Pair) -> Option<(IkeSpi, IkeSpi)> {
    let initiator = *pair.sides[0].endpoint.by_spi.keys().next()?;
    let waits = |state: &State| matches!(state, State::V1(Phase::Awaiting(_)));
    let found = pair.sides[1].endpoint.sas.values().find(|sa| waits(&sa.state))?;
    Some((initiator, found.local_spi))
}

/// Sends side 1 something that says it is message 5.
fn send_unreadable(pair: &mut Pair, (initiator, responder): (IkeSpi, IkeSpi), content: u8) {
    let exchange = ExchangeType::MAIN_MODE;
    let header = Header { initiator, responder, exchange, is_encrypted: true, id: 0 };
    let mut bytes = header.write(crate::v1::wire::PayloadType::ID, 28 + 64).unwrap();
    bytes.extend([content; 64]);
    let (local, remote) = ("192.0.2.2:500".parse().unwrap(), "192.0.2.1:500".parse().unwrap());
    pair.input(1, Input::Datagram { local, remote, bytes: &bytes });
}

#[test]
fn proofs_that_no_key_reads_give_the_half_open_sa_up_after_a_few() {
    let mut pair = awaiting();
    let cookies = cookies(&pair).unwrap();
    for content in 0..4 {
        send_unreadable(&mut pair, cookies, content);
    }
    assert_eq!((pair.sides[1].endpoint.half_open(), pair.count(1, What::HalfOpenGivenUp)), (1, 0));
    for content in 4..20 {
        send_unreadable(&mut pair, cookies, content);
    }
    assert_eq!((pair.sides[1].endpoint.half_open(), pair.count(1, What::HalfOpenGivenUp)), (0, 1));
    assert_eq!(pair.count(1, What::DropUnauthentic), 5, "the others meet no state");
    settle(&mut pair);
    pair.assert_up("the peer began anew");
}

#[test]
fn a_few_unreadable_proofs_hold_nobody_up() {
    let mut pair = awaiting();
    let cookies = cookies(&pair).unwrap();
    for content in 0..4 {
        send_unreadable(&mut pair, cookies, content);
    }
    pair.run_for(Duration::from_secs(2));
    pair.assert_up("with the same SA");
    assert_eq!(pair.count(1, What::HalfOpenGivenUp), 0);
}

/// A second connection between the same addresses, with other identities.
fn second_connection(index: usize) -> Box<ConnectionConfig> {
    let mut second = config(index, |_, _| {});
    second.id = crate::event::ConnectionId(2);
    second.name = "second".into();
    let name = |index: usize| Identity::Fqdn(format!("second-{index}.example"));
    (second.local_id, second.remote_id) = (name(index), Some(name(1 - index)));
    let mut other = config(index, second_policy);
    second.children = vec![other.children.remove(1)];
    second
}

#[test]
fn each_of_two_connections_between_the_same_addresses_is_told_of_an_unknown_sa() {
    let mut pair = connected(1, Link::LAN, |_, _| {});
    for index in [1, 0] {
        pair.command(index, Command::Configure(second_connection(index)));
    }
    pair.run_until_idle();
    assert_eq!(pair.live_ikes(), [2, 2], "{}", pair.trace());
    let (local, remote) = ("192.0.2.2:0".parse().unwrap(), "192.0.2.1:0".parse().unwrap());
    pair.command(1, Command::UnknownSa { local, remote, spi: Spi(0x0bad_0bad) });
    assert_eq!(pair.count(1, What::UnknownSpiDenied), 2, "either could be meant");
    for _ in 0..1000 {
        pair.command(1, Command::UnknownSa { local, remote, spi: Spi(0x0bad_0bad) });
    }
    assert!(pair.count(1, What::UnknownSpiDenied) <= 200, "{}", pair.count(1, What::UnknownSpiDenied));
}

#[test]
fn what_replaces_a_pair_goes_before_pairs_that_are_missing() {
    let many = |index: usize, config: &mut ConnectionConfig| {
        for _ in 0..20 {
            second_policy(index, config);
        }
        for (child, third) in config.children.iter_mut().skip(1).zip(100..) {
            let of = |address| TrafficSelector::from_prefix(IpAddr::V4(address), 24).unwrap();
            let sides = [Ipv4Addr::new(10, 50, third, 0), Ipv4Addr::new(10, 51, third, 0)];
            child.local_selectors = vec![of(sides[index])];
            child.remote_selectors = vec![of(sides[1 - index])];
        }
    };
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    for index in [1, 0] {
        pair.command(index, Command::Configure(config(index, many)));
    }
    let is_first = |pair: &Pair| pair.sides[0].plane.sends_on(CONNECTION, 0).is_some();
    while !is_first(&pair) {
        assert!(pair.step(pair.now + Duration::from_secs(1)), "{}", pair.trace());
    }
    let first = child(&pair, 0);
    pair.command(0, Command::RekeyChild(first));
    // It is sent on a second later.
    let is_replaced =
        |pair: &Pair| pair.sides[0].plane.installed().any(|installed| installed.sa.replaces == Some(first));
    while !is_replaced(&pair) {
        assert!(pair.step(pair.now + Duration::from_secs(1)), "{}", pair.trace());
    }
    let made = (1..21).filter(|policy| pair.sides[0].plane.sends_on(CONNECTION, *policy).is_some()).count();
    assert!(made < 15, "{made} of 20 came first\n{}", pair.trace());
    settle(&mut pair);
    pair.assert_up_with(21, "all of them, in the end");
}

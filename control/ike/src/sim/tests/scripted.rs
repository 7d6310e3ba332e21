//! Answers that our own responder seldom or never gives, given by hand under its keys.

use super::*;
use crate::sa::{Arrived, State};
use crate::secured::Received;
use crate::wire::{
    Delete, ExchangeType, Header, Message, MessageKind, Notify, NotifyType, Payload, ProtocolId,
};

/// Lets the run go on until a request of this exchange is on its way to `index`, and answers it by `script` in that side's place.
fn answer(
    pair: &mut Pair,
    index: usize,
    exchange: ExchangeType,
    script: impl FnOnce(&Message) -> Vec<Payload>,
) {
    let is_wanted = |packet: &Packet| match &packet.carried {
        Carried::Ike(bytes) => Header::parse(bytes).is_ok_and(|header| {
            packet.to == index && header.exchange == exchange && header.kind == MessageKind::Request
        }),
        _ => false,
    };
    let key = loop {
        match pair.flying.iter().find(|(_, packet)| is_wanted(packet)) {
            Some((key, _)) => break *key,
            None => assert!(pair.step(pair.now + Duration::from_secs(60)), "no request\n{}", pair.trace()),
        }
    };
    let Packet { local, remote, carried, .. } = pair.flying.remove(&key).unwrap();
    let Carried::Ike(bytes) = carried else { panic!("an IKE message") };
    let header = Header::parse(&bytes).unwrap();
    pair.now = pair.now.max(key.0);
    let side = &mut pair.sides[index];
    let ike = side.endpoint.status()[0].ike_sas[0].id;
    side.endpoint.with_sa(ike, pair.now, &mut side.plane, |sa, cx| {
        let State::Established(state) = &mut sa.state else { panic!("established") };
        let arrived = Arrived { local, remote, bytes: &bytes };
        let Received::Message(message) = state.secured.receive(&arrived, &header, cx) else {
            panic!("a request that is due")
        };
        let payloads = script(&message);
        state.secured.answer(exchange, payloads, cx);
    });
    pair.input(index, Input::Timeout);
}

fn told(kind: NotifyType) -> Vec<Payload> {
    vec![Payload::Notify(Notify::new(kind, Vec::new()))]
}

#[test]
fn temporary_failure_is_followed_by_another_try_that_succeeds() {
    for ike in [false, true] {
        let mut pair = Pair::connected(1, Link::LAN, |_, _| {});
        let before = (child(&pair, 0), status(&pair, 0).ike_sas[0].spis);
        pair.command(0, if ike { Command::RekeyIke(CONNECTION) } else { Command::RekeyChild(before.0) });
        answer(&mut pair, 1, ExchangeType::CREATE_CHILD_SA, |_| told(NotifyType::TEMPORARY_FAILURE));
        pair.run_for(Duration::from_secs(1));
        assert_eq!(pair.count(0, What::TryAgain), 1);
        assert_eq!(before, (child(&pair, 0), status(&pair, 0).ike_sas[0].spis), "too early");
        settle(&mut pair);
        pair.assert_up("tried again");
        let after = (child(&pair, 0), status(&pair, 0).ike_sas[0].spis);
        assert!(if ike { before.1 != after.1 } else { before.0 != after.0 }, "{}", pair.trace());
    }
}

#[test]
fn a_child_that_the_peer_has_lost_is_made_anew() {
    let mut pair = Pair::connected(1, Link::LAN, |_, _| {});
    let (before, lost) = (child(&pair, 0), child(&pair, 1));
    let ike = status(&pair, 1).ike_sas[0].id;
    let side = &mut pair.sides[1];
    side.endpoint.with_sa(ike, pair.now, &mut side.plane, |sa, cx| {
        let State::Established(state) = &mut sa.state else { panic!("established") };
        state.drop_child(lost, crate::event::RemoveReason::Expired, cx);
    });
    pair.input(1, Input::Timeout);
    pair.command(0, Command::RekeyChild(before));
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.count(1, What::ErrorAnswered), 1, "CHILD_SA_NOT_FOUND\n{}", pair.trace());
    assert_ne!(child(&pair, 0), before);
    settle(&mut pair);
    pair.assert_up("made anew");
    assert_eq!(pair.count(0, What::Established), 1);
}

#[test]
fn no_additional_sas_leaves_the_old_child_in_use_and_rekeying_is_tried_again() {
    let mut pair = Pair::connected(1, Link::LAN, |_, _| {});
    let before = child(&pair, 0);
    pair.command(0, Command::RekeyChild(before));
    answer(&mut pair, 1, ExchangeType::CREATE_CHILD_SA, |_| told(NotifyType::NO_ADDITIONAL_SAS));
    pair.run_for(Duration::from_secs(2));
    pair.assert_up("the old one carries on");
    assert_eq!(child(&pair, 0), before);
    settle(&mut pair);
    pair.assert_up("tried again");
    assert_ne!(child(&pair, 0), before);
}

/// The selectors of a request, as text.
fn asked(message: &Message) -> [String; 2] {
    [message.ts_initiator(), message.ts_responder()]
        .map(|ts| format!("{:?}", crate::wire::ranges(ts.unwrap())))
}

#[test]
fn a_peer_that_requires_a_single_pair_is_asked_for_the_one_of_the_packet_or_the_first() {
    let host = |a, b| IpAddr::V4(Ipv4Addr::new(10, a, 3, b));
    let cases = [
        (Some((host(1, 7), host(2, 9))), ["[10.1.3.7/32]", "[10.2.3.9/32]"]),
        (Some((host(9, 7), host(2, 9))), ["[10.1.0.0/16]", "[10.2.0.0/16]"]),
        (None, ["[10.1.0.0/16]", "[10.2.0.0/16]"]),
    ];
    for (packet, expected) in cases {
        let mut pair = Pair::connected(1, Link::LAN, |index, config| {
            second_policy(index, config);
            let extra = config.children.pop().unwrap();
            config.children[0].local_selectors.extend(extra.local_selectors);
            config.children[0].remote_selectors.extend(extra.remote_selectors);
        });
        if let Some((source, destination)) = packet {
            pair.command(0, Command::Trap { connection: CONNECTION, source, destination });
        }
        let spi = pair.sides[0].plane.sends_on(CONNECTION, 0).unwrap().inbound.spi;
        pair.command(0, Command::HardLifetime(spi));
        let mut asks = Vec::new();
        answer(&mut pair, 1, ExchangeType::CREATE_CHILD_SA, |message| {
            asks.push(asked(message));
            told(NotifyType::SINGLE_PAIR_REQUIRED)
        });
        settle(&mut pair);
        pair.assert_up("with a single pair");
        assert_eq!(asks[0], ["[10.1.0.0/16, 10.11.0.0/16]", "[10.2.0.0/16, 10.12.0.0/16]"]);
        let pair_of = |pair: &Pair| {
            let sa = pair.sides[0].plane.sends_on(CONNECTION, 0).unwrap();
            [format!("{:?}", sa.local_selectors), format!("{:?}", sa.remote_selectors)]
        };
        assert_eq!(pair_of(&pair), expected);
        assert_eq!(pair.count(0, What::SinglePair), 1);
        pair.command(0, Command::RekeyIke(CONNECTION));
        settle(&mut pair);
        let before = child(&pair, 0);
        pair.command(0, Command::RekeyChild(before));
        settle(&mut pair);
        pair.assert_up("rekeyed with the same pair");
        assert!(child(&pair, 0) != before && pair_of(&pair) == expected, "{}", pair.trace());
    }
}

#[test]
fn an_answer_that_we_do_not_take_is_followed_by_a_delete_of_what_the_peer_made() {
    let mut pair = Pair::connected(1, Link::LAN, |_, _| {});
    let rest = rest(&mut pair);
    let before = child(&pair, 0);
    pair.command(0, Command::RekeyChild(before));
    let mut spi = 0;
    answer(&mut pair, 1, ExchangeType::CREATE_CHILD_SA, |message| {
        let offered = message.sa().unwrap();
        spi = u32::from_be_bytes(offered[0].spi.as_slice().try_into().unwrap());
        // Both values of ESN: a choice that is left open.
        let mut payloads = vec![Payload::SecurityAssociation(offered.clone())];
        payloads.push(Payload::Nonce(vec![7; 32]));
        payloads.push(Payload::TsInitiator(message.ts_initiator().unwrap().clone()));
        payloads.push(Payload::TsResponder(message.ts_responder().unwrap().clone()));
        payloads
    });
    let mut deleted = Vec::new();
    answer(&mut pair, 1, ExchangeType::INFORMATIONAL, |message| {
        deleted.extend(message.deletes().cloned());
        Vec::new()
    });
    assert_eq!(deleted, [Delete::Child { protocol: ProtocolId::ESP, spis: vec![spi] }]);
    settle(&mut pair);
    pair.assert_up("tried again");
    assert_ne!(child(&pair, 0), before);
    assert_eq!(censuses(&pair), rest, "{}", pair.trace());
}

#[test]
fn an_ike_rekey_answer_that_we_do_not_take_ends_the_ike_sa_and_begins_anew() {
    let mut pair = Pair::connected(1, Link::LAN, |_, _| {});
    let rest = rest(&mut pair);
    pair.command(0, Command::RekeyIke(CONNECTION));
    answer(&mut pair, 1, ExchangeType::CREATE_CHILD_SA, |message| {
        vec![Payload::SecurityAssociation(message.sa().unwrap().clone()), Payload::Nonce(vec![7; 32])]
    });
    settle(&mut pair);
    pair.assert_up("anew");
    let ended =
        pair.sides[0].events.iter().any(|event| event.contains("IkeDown") && event.contains("Misbehaved"));
    assert!(ended && pair.count(0, What::Established) == 2, "{}", pair.trace());
    assert_eq!(censuses(&pair), rest, "{}", pair.trace());
}

/// Side 0 has a policy for two subnets behind side 1, of which that one has the second.
fn second_of_two(index: usize, config: &mut ConnectionConfig) {
    let subnet =
        |third| TrafficSelector::from_prefix(IpAddr::V4(Ipv4Addr::new(10, 2, third, 0)), 24).unwrap();
    if index == 0 {
        config.mode = Mode::InitiatorOnly;
        config.children[0].remote_selectors = vec![subnet(0), subnet(1)];
    } else {
        config.children[0].local_selectors = vec![subnet(1)];
    }
}

#[test]
fn what_replaces_a_narrowed_child_is_asked_for_with_its_selectors_and_the_whole_only_if_that_is_refused() {
    const CREATE: ExchangeType = ExchangeType::CREATE_CHILD_SA;
    let (whole, part) = ("[10.2.0.0/24, 10.2.1.0/24]", "[10.2.1.0/24]");
    let mut pair = Pair::connected(1, Link::LAN, second_of_two);
    pair.assert_up("narrowed");
    let before = child(&pair, 0);
    pair.command(0, Command::RekeyChild(before));
    let mut asks = Vec::new();
    answer(&mut pair, 1, CREATE, |message| {
        asks.push(asked(message)[1].clone());
        told(NotifyType::TEMPORARY_FAILURE)
    });
    settle(&mut pair);
    pair.assert_up("replaced");
    assert_ne!(child(&pair, 0), before);
    let spi = pair.sides[0].plane.sends_on(CONNECTION, 0).unwrap().inbound.spi;
    pair.command(0, Command::HardLifetime(spi));
    for refusal in [NotifyType::TS_UNACCEPTABLE, NotifyType::TEMPORARY_FAILURE] {
        answer(&mut pair, 1, CREATE, |message| {
            asks.push(asked(message)[1].clone());
            told(refusal)
        });
    }
    assert_eq!(asks, [part, part, whole]);
    settle(&mut pair);
    pair.assert_up("made anew");
}

#[test]
fn what_replaces_a_child_goes_before_what_was_left_out() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    for index in [1, 0] {
        let mut config = connection(index);
        second_of_two(index, &mut config);
        if index == 0 {
            let more = (2..6).map(|third| IpAddr::V4(Ipv4Addr::new(10, 2, third, 0)));
            let more = more.map(|address| TrafficSelector::from_prefix(address, 24).unwrap());
            config.children[0].remote_selectors.extend(more);
        }
        pair.command(index, Command::Configure(Box::new(config)));
    }
    pair.run(|pair| pair.live_children()[0] > 0, pair.now + Duration::from_secs(10));
    let before = child(&pair, 0);
    pair.command(0, Command::RekeyChild(before));
    let mut replaces = Vec::new();
    for _ in 0..2 {
        answer(&mut pair, 1, ExchangeType::CREATE_CHILD_SA, |message| {
            replaces.push(message.notify(NotifyType::REKEY_SA).is_some());
            told(NotifyType::TEMPORARY_FAILURE)
        });
    }
    assert_eq!(replaces, [false, true], "the first was on its way already");
    settle(&mut pair);
    pair.assert_up("replaced");
    assert_ne!(child(&pair, 0), before);
}

#[test]
fn a_pair_for_which_the_peer_is_always_busy_is_asked_for_ever_less_often_and_then_no_more() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    for index in [1, 0] {
        let mut config = connection(index);
        second_of_two(index, &mut config);
        pair.command(index, Command::Configure(Box::new(config)));
    }
    let mut times = Vec::new();
    while pair.count(0, What::PairGivenUp) == 0 {
        answer(&mut pair, 1, ExchangeType::CREATE_CHILD_SA, |message| {
            assert_eq!(asked(message)[1], "[10.2.0.0/24]");
            told(NotifyType::TEMPORARY_FAILURE)
        });
        times.push(pair.now);
        pair.run_for(Duration::from_secs(1));
        assert!(times.len() < 20, "for ever\n{}", pair.trace());
    }
    let gaps: Vec<Duration> = times.windows(2).map(|two| two[1].saturating_since(two[0])).collect();
    let (first, last) = (gaps[0], gaps[gaps.len() - 1]);
    assert!(first < Duration::from_secs(10) && last > Duration::from_secs(60), "{gaps:?}");
    settle(&mut pair);
    pair.assert_up("the other pair carries on");
}

#[test]
fn an_answer_that_narrows_a_child_for_one_resource_is_not_taken() {
    let mut pair = Pair::begun(1, Link::LAN, |_, config| {
        config.children[0].resources = std::num::NonZeroU16::new(2);
    });
    let is_first = |pair: &Pair| pair.sides[0].plane.live().len() == 1;
    assert!(is_first(&pair), "{}", pair.trace());
    answer(&mut pair, 1, ExchangeType::CREATE_CHILD_SA, |request| {
        let mut proposal = request.sa().unwrap()[0].clone();
        proposal.spi = vec![0, 0, 0x77, 0x77];
        let host = |text: &str| TrafficSelector::from_prefix(text.parse().unwrap(), 32).unwrap();
        let own = request.ts_responder().unwrap().clone();
        vec![
            Payload::SecurityAssociation(vec![proposal]),
            Payload::Nonce(vec![7; 32]),
            Payload::TsInitiator(crate::exchange::auth::selectors(&[host("10.1.3.4")])),
            Payload::TsResponder(own),
        ]
    });
    pair.run_for(Duration::from_secs(1));
    assert!(is_first(&pair), "{}", pair.trace());
    assert_eq!(pair.count(0, What::NoMoreForResources), 1, "{}", pair.trace());
    pair.assert_up("the one for all carries on");
}

//! What goes wrong, and what is refused: each with its reason, none with a state that stays.

use super::*;
use crate::v1::wire::{ExchangeType, Header, Message, NotifyType, Payload};
use crate::wire::IkeSpi;

#[test]
fn a_wrong_shared_key_is_told_on_both_sides() {
    let pair = connected(1, Link::LAN, |index, config| {
        if index == 1 {
            config.authentication = Authentication::shared_key(b"another key");
        }
    });
    assert_eq!(pair.live_ikes(), [0, 0]);
    for index in [0, 1] {
        assert_eq!(failure(&pair, index), Some(IkeError::Undecryptable(Stage::MainMode)), "{}", pair.trace());
    }
}

#[test]
fn no_common_algorithms_are_told_on_both_sides() {
    let pair = tried(|index, config| {
        if index == 1 {
            config.ike_suites[0].group = Group::Modp2048;
        }
    });
    assert_eq!(failure(&pair, 1), Some(IkeError::NoProposalChosen(Stage::MainMode)));
    let hint = Some(crate::wire::NotifyType::NO_PROPOSAL_CHOSEN);
    assert_eq!(
        failure(&pair, 0),
        Some(IkeError::NoAnswer { stage: Stage::MainMode, hint }),
        "{}",
        pair.trace()
    );
    let pair = tried(|index, config| {
        if index == 1 {
            config.children[0].esp_suites = vec![EspSuite::AesGcm16(KeyBits::B128)];
        }
    });
    assert_eq!(failure(&pair, 0), Some(IkeError::NoProposalAccepted(Stage::QuickMode)));
    assert_eq!(failure(&pair, 1), Some(IkeError::NoProposalChosen(Stage::QuickMode)));
}

#[test]
fn another_identity_is_told_on_the_side_that_found_it() {
    let name = |name: &str| Identity::Fqdn(name.to_owned());
    let pair = connected(1, Link::LAN, |index, config| {
        if index == 0 {
            config.local_id = name("stranger.example");
        }
    });
    assert_eq!(failure(&pair, 1), Some(IkeError::UnknownPeer(name("stranger.example"))), "{}", pair.trace());
    assert_eq!(failure(&pair, 0), Some(IkeError::RefusedByPeer));
    let mut pair = connected(1, Link::LAN, |index, config| {
        if index == 0 {
            config.remote_id = Some(name("other.example"));
        }
    });
    let found = failure(&pair, 0);
    assert!(matches!(found, Some(IkeError::WrongIdentity { .. })), "{found:?}\n{}", pair.trace());
    pair.command(0, Command::Shutdown);
    pair.run_for(Duration::from_secs(60));
    assert_eq!(pair.live_ikes(), [0, 0], "who was refused hears of it\n{}", pair.trace());
}

#[test]
fn a_peer_of_another_version_is_refused_by_name_on_either_side() {
    for of_v1 in [0, 1] {
        let pair = Pair::connected(1, Link::LAN, |index, config| {
            config.mode = if index == 0 { Mode::Default } else { Mode::ResponderOnly };
            if index == of_v1 {
                v1(config);
            }
        });
        let peers = if of_v1 == 0 { Version::V1 } else { Version::V2 };
        assert_eq!(failure(&pair, 1), Some(IkeError::OtherVersion(peers)), "{}", pair.trace());
        assert!(failure(&pair, 0).is_some());
        assert!(pair.count(1, What::DropOtherVersion) > 0);
        assert_eq!((pair.live_ikes(), pair.sides[1].endpoint.half_open()), ([0, 0], 0));
    }
}

#[test]
fn aggressive_mode_is_refused_with_its_reason_and_without_state() {
    let mut pair = connected(1, Link::LAN, |_, _| {});
    let header = Header {
        initiator: IkeSpi(77),
        responder: IkeSpi::NONE,
        exchange: ExchangeType::AGGRESSIVE_MODE,
        is_encrypted: false,
        id: 0,
    };
    let bytes = Message { header, payloads: vec![Payload::Nonce(vec![1; 16])] }.build().unwrap();
    let before = pair.sides[1].endpoint.census();
    let (local, remote) = ("192.0.2.2:500".parse().unwrap(), "192.0.2.1:500".parse().unwrap());
    pair.input(1, Input::Datagram { local, remote, bytes: &bytes });
    assert_eq!(pair.count(1, What::DropAggressiveMode), 1);
    assert_eq!(failure(&pair, 1), None, "it is up");
    assert_eq!(pair.sides[1].told, [(Some(CONNECTION), IkeError::AggressiveMode)]);
    assert_eq!(pair.sides[1].endpoint.census(), before);
}

#[test]
fn a_dead_peer_is_noticed_and_reached_again_when_it_is_back() {
    let mut pair = connected(1, Link::LAN, |_, _| {});
    pair.sides[1].alive = false;
    pair.run_for(Duration::from_secs(100));
    assert_eq!((pair.live_ikes()[0], pair.sides[0].plane.live().len()), (0, 0), "{}", pair.trace());
    pair.sides[1].alive = true;
    pair.run_for(Duration::from_secs(200));
    settle(&mut pair);
    pair.assert_up("back");
}

#[test]
fn a_peer_that_restarts_replaces_what_it_had() {
    let mut pair = connected(1, Link::LAN, |_, _| {});
    pair.run_for(Duration::from_secs(60));
    pair.restart(0);
    pair.command(0, Command::Configure(config(0, |_, _| {})));
    settle(&mut pair);
    pair.assert_up("restarted");
    assert_eq!(pair.count(1, What::InitialContact), 1);
}

#[test]
fn reset_remove_and_shutdown_leave_nothing() {
    for kind in 0..3 {
        for side in [0, 1] {
            for steps in [0, 3, 6, 9, 12] {
                let mut pair = connected(1, Link::LAN, |_, config| config.mode = Mode::Default);
                pair.both(|pair, index| Command::RekeyChild(child(pair, index)));
                for _ in 0..steps {
                    pair.step(pair.now + Duration::from_secs(1));
                }
                let command = [Command::Reset(CONNECTION), Command::Remove(CONNECTION), Command::Shutdown];
                pair.command(side, command.into_iter().nth(kind).unwrap());
                pair.run_for(Duration::from_secs(400));
                let note = format!("kind {kind}, side {side}, {steps} steps");
                if kind == 0 {
                    pair.assert_up(&note);
                } else {
                    assert_eq!(pair.sides[side].plane.allocated(), 0, "{note}\n{}", pair.trace());
                    assert!(kind == 1 || pair.sides[side].endpoint.is_idle(), "{note}");
                }
            }
        }
    }
}

#[test]
fn first_messages_without_end_take_half_of_the_places_and_of_one_source_few() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    pair.command(1, Command::Configure(config(1, |_, config| config.places.clear())));
    let mut other = Pair::new(2, Link::LAN, &EndpointConfig::default());
    other.command(0, Command::Configure(config(0, |_, _| {})));
    let first = other.flying.values().find_map(|packet| match &packet.carried {
        Carried::Ike(bytes) => Some(bytes.clone()),
        _ => None,
    });
    let first = first.unwrap();
    let mut flood = |address: u32, cookie: u64| {
        let mut bytes = first.clone();
        bytes[..8].copy_from_slice(&cookie.to_be_bytes());
        let remote = SocketAddr::new(IpAddr::V4(Ipv4Addr::from(address)), 500);
        let local = "192.0.2.2:500".parse().unwrap();
        pair.input(1, Input::Datagram { local, remote, bytes: &bytes });
        pair.sides[1].endpoint.half_open()
    };
    let limits = EndpointConfig::default();
    let of_one = (1..=100).map(|cookie| flood(0x0a00_0001, cookie)).last();
    assert_eq!(of_one, Some(limits.half_open_limit_per_source));
    let of_many = (1..=3000).map(|n| flood(0x0b00_0000 + u32::try_from(n).unwrap(), n)).last();
    assert_eq!(of_many, Some(limits.half_open_limit / 2));
    pair.run_for(limits.half_open_timeout + Duration::from_secs(1));
    assert_eq!((pair.sides[1].endpoint.half_open(), pair.sides[1].endpoint.census().ike_sas), (0, 0));
}

/// Everything a side holds, but for its counters.
fn held(pair: &Pair, index: usize) -> String {
    let side = &pair.sides[index];
    format!("{:?} {:?} {:?}", side.endpoint.census(), side.endpoint.status(), side.events)
}

#[test]
fn an_encrypted_message_with_any_byte_changed_or_replayed_changes_nothing() {
    let mut pair = connected(1, Link::LAN, |_, config| config.mode = Mode::Default);
    pair.command(0, Command::RekeyChild(child(&pair, 0)));
    let found = pair.flying.iter().find(|(_, packet)| packet.to == 1).map(|(key, _)| *key).unwrap();
    let Packet { local, remote, carried: Carried::Ike(bytes), .. } = pair.flying.remove(&found).unwrap()
    else {
        panic!("no IKE message")
    };
    let before = held(&pair, 1);
    // Nothing authenticates the minor version and the flags that mean nothing (RFC 2408, 3.1).
    for at in (0..bytes.len()).filter(|at| ![17, 19].contains(at)) {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            let last = pair.serial;
            pair.input(1, Input::Datagram { local, remote, bytes: &changed });
            assert_eq!((held(&pair, 1), pair.serial), (before.clone(), last), "byte {at} ^ {flip:02x}");
        }
    }
    pair.input(1, Input::Datagram { local, remote, bytes: &bytes });
    assert_ne!(held(&pair, 1), before, "the true one acts");
    settle(&mut pair);
    pair.assert_up("rekeyed");
    // Long after, the same message is good for nothing.
    let before = held(&pair, 1);
    let last = pair.serial;
    pair.input(1, Input::Datagram { local, remote, bytes: &bytes });
    assert_eq!((held(&pair, 1), pair.serial), (before, last));
    assert!(pair.count(1, What::DropMessageId) > 0);
}

/// All that is sent to side `index` within a while.
fn sent_to(pair: &mut Pair, index: usize, span: Duration) -> Vec<Vec<u8>> {
    let until = pair.now + span;
    let mut sent = Vec::new();
    while pair.now < until {
        for packet in pair.flying.values().filter(|packet| packet.to == index) {
            if let Carried::Ike(bytes) = &packet.carried
                && !sent.contains(bytes)
            {
                sent.push(bytes.clone());
            }
        }
        if !pair.step(until) {
            pair.now = until;
        }
    }
    sent
}

#[test]
fn what_is_replayed_from_elsewhere_moves_nobody() {
    let mut pair = connected(1, Link { nat: true, ..Link::LAN }, behind_nat);
    let sent = sent_to(&mut pair, 1, Duration::from_secs(200));
    assert!(sent.len() > 2, "questions and answers\n{}", pair.trace());
    let before = status(&pair, 1).ike_sas[0].path;
    for bytes in &sent {
        let (local, remote) = (before.local, "192.0.2.99:4500".parse().unwrap());
        pair.input(1, Input::Datagram { local, remote, bytes });
    }
    assert_eq!(status(&pair, 1).ike_sas[0].path, before, "{}", pair.trace());
    assert_eq!(pair.count(1, What::PeerMoved), 0);
}

#[test]
fn what_somebody_sends_back_from_elsewhere_moves_nobody() {
    let mut pair = connected(1, Link { nat: true, ..Link::LAN }, behind_nat);
    pair.command(1, Command::RekeyChild(child(&pair, 1)));
    let sent = sent_to(&mut pair, 0, Duration::from_secs(200));
    assert!(sent.len() > 4, "a quick mode, a deletion, questions and answers\n{}", pair.trace());
    let before = status(&pair, 1).ike_sas[0].path;
    for bytes in &sent {
        for exchange in [ExchangeType::INFORMATIONAL, ExchangeType::QUICK_MODE] {
            let mut bytes = bytes.clone();
            // Both exchanges hash alike.
            bytes[18] = exchange.0;
            let (local, remote) = (before.local, "192.0.2.99:4500".parse().unwrap());
            pair.input(1, Input::Datagram { local, remote, bytes: &bytes });
        }
    }
    assert_eq!(status(&pair, 1).ike_sas[0].path, before, "{}", pair.trace());
    assert_eq!(pair.count(1, What::PeerMoved), 0);
}

#[test]
fn what_comes_back_to_its_sender_is_not_the_peer_s_word() {
    let mut pair = connected(1, Link::LAN, |index, config| {
        if index == 1 {
            config.dpd.idle = Duration::from_secs(3600);
        }
    });
    pair.command(0, Command::RekeyChild(child(&pair, 0)));
    let sent = sent_to(&mut pair, 1, Duration::from_secs(200));
    assert!(sent.len() > 4, "a quick mode, and questions\n{}", pair.trace());
    let (before, last) = (held(&pair, 0), pair.serial);
    for bytes in &sent {
        let local = SocketAddr::new(pair.sides[0].address, 500);
        let remote = SocketAddr::new(pair.sides[1].address, 500);
        pair.input(0, Input::Datagram { local, remote, bytes });
    }
    assert_eq!((held(&pair, 0), pair.serial), (before, last), "{}", pair.trace());
    assert!(pair.count(0, What::DropMessageId) > 0);
}

#[test]
fn garbage_for_every_state_changes_nothing() {
    let mut random = Random::new(5);
    for steps in 0..14 {
        let mut pair = Pair::new(steps, Link::LAN, &EndpointConfig::default());
        for index in [1, 0] {
            pair.command(index, Command::Configure(config(index, |_, _| {})));
        }
        for _ in 0..steps {
            pair.step(pair.now + Duration::from_secs(1));
        }
        for index in [0, 1] {
            let spis: Vec<_> = pair.sides[index].endpoint.by_spi.keys().copied().collect();
            for _ in 0..200 {
                let mut bytes = vec![0; 28 + 8 * random.index(20)];
                random.fill(&mut bytes);
                for half in bytes[..16].chunks_mut(8) {
                    if let Some(spi) = spis.first() {
                        half.copy_from_slice(&spi.to_bytes());
                    }
                }
                bytes[16] = u8::try_from(random.index(22)).unwrap();
                bytes[17] = 0x10;
                bytes[18] = [2, 4, 5, 6, 32][random.index(5)];
                bytes[19] = u8::try_from(random.index(2)).unwrap();
                let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
                bytes[24..28].copy_from_slice(&length);
                let here = pair.sides[index].address;
                let there = pair.sides[1 - index].address;
                let (local, remote) = (SocketAddr::new(here, 500), SocketAddr::new(there, 500));
                pair.input(index, Input::Datagram { local, remote, bytes: &bytes });
            }
        }
        settle(&mut pair);
        pair.assert_up(&format!("{steps} steps"));
    }
}

#[test]
fn a_refusal_by_somebody_is_no_reason_to_stop() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    pair.command(0, Command::Configure(config(0, |_, _| {})));
    let cookie = *pair.sides[0].endpoint.by_spi.keys().next().unwrap();
    let header = Header {
        initiator: cookie,
        responder: IkeSpi::NONE,
        exchange: ExchangeType::INFORMATIONAL,
        is_encrypted: false,
        id: 9,
    };
    let notify = crate::v1::wire::Notify {
        protocol: crate::wire::ProtocolId::IKE,
        spi: Vec::new(),
        kind: NotifyType::NO_PROPOSAL_CHOSEN,
        data: Vec::new(),
    };
    let bytes = Message { header, payloads: vec![Payload::Notify(notify)] }.build().unwrap();
    let (local, remote) = ("192.0.2.1:500".parse().unwrap(), "192.0.2.2:500".parse().unwrap());
    pair.input(0, Input::Datagram { local, remote, bytes: &bytes });
    assert!(failure(&pair, 0).is_some());
    pair.command(1, Command::Configure(config(1, |_, _| {})));
    settle(&mut pair);
    pair.assert_up("all the same");
}

#[test]
fn a_policy_that_is_removed_while_its_pair_is_replaced_leaves_nothing_under_another_number() {
    for steps in 0..12 {
        let mut pair = connected(1, Link::LAN, second_policy);
        let wanted = format!("{:?}", pair.sides[0].plane.sends_on(CONNECTION, 1).unwrap().local_selectors);
        pair.command(0, Command::RekeyChild(child(&pair, 0)));
        for _ in 0..steps {
            pair.step(pair.now + Duration::from_millis(100));
        }
        for index in [1, 0] {
            let second_alone = |index, config: &mut ConnectionConfig| {
                second_policy(index, config);
                config.children.remove(0);
            };
            pair.command(index, Command::Configure(config(index, second_alone)));
        }
        settle(&mut pair);
        pair.assert_up(&format!("removed after {steps} steps"));
        let sends = pair.sides[0].plane.sends_on(CONNECTION, 0).unwrap();
        assert_eq!(format!("{:?}", sends.local_selectors), wanted, "{steps} steps\n{}", pair.trace());
    }
}

#[test]
fn a_pair_whose_deletion_is_lost_is_made_again_by_the_side_that_misses_it() {
    let mut pair = connected(1, Link::LAN, |_, _| {});
    let spi = pair.sides[1].plane.sends_on(CONNECTION, 0).unwrap().inbound.spi;
    pair.link.loss = 1.0;
    pair.command(1, Command::HardLifetime(spi));
    pair.link.loss = 0.0;
    assert_eq!(pair.live_children(), [1, 0], "a side that only answers");
    pair.run_for(Duration::from_secs(40));
    settle(&mut pair);
    pair.assert_up("without any traffic");
}

#[test]
fn an_answer_about_a_pair_that_is_gone_is_not_repeated() {
    let mut pair = connected(1, Link::LAN, |_, _| {});
    pair.command(0, Command::RekeyChild(child(&pair, 0)));
    pair.link.loss = 1.0;
    while pair.sides[1].plane.live().len() < 2 {
        assert!(pair.step(pair.now + Duration::from_secs(1)), "{}", pair.trace());
    }
    let answered = pair.sides[1]
        .plane
        .installed()
        .map(|found| found.sa.inbound.spi)
        .max_by_key(|spi| pair.sides[1].plane.find(*spi).map(|found| found.sa.id));
    pair.command(1, Command::HardLifetime(answered.unwrap()));
    pair.link.loss = 0.0;
    pair.run_for(Duration::from_secs(10));
    assert_eq!(pair.live_children(), [1, 1], "{}", pair.trace());
    settle(&mut pair);
    pair.assert_up("with the pair that there was");
}

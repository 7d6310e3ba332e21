//! ML-KEM beside a group: by IKE_INTERMEDIATE (RFC 9242, RFC 9370) at first, by IKE_FOLLOWUP_KE when the IKE SA is rekeyed.

use super::*;

fn mixing(index: usize, config: &mut ConnectionConfig) {
    config.additional = vec![Some(Group::MlKem768), None];
    if index == 1 {
        config.mode = Mode::ResponderOnly;
    }
}

#[test]
fn two_sides_that_can_mix_ml_kem_into_their_keys_and_others_do_without() {
    for (can, expected) in [([true, true], 1), ([true, false], 0), ([false, true], 0), ([false, false], 0)] {
        let mut pair = Pair::connected(1, Link::LAN, |index, config| {
            config.additional = if can[index] { vec![Some(Group::MlKem768), None] } else { vec![None] };
        });
        pair.assert_up(&format!("{can:?}"));
        let mixed = |pair: &Pair| [0, 1].map(|index| pair.count(index, What::KeysMixed));
        assert_eq!(mixed(&pair), [expected; 2], "{can:?}");
        pair.command(1, Command::RekeyIke(CONNECTION));
        settle(&mut pair);
        pair.assert_up(&format!("{can:?}, rekeyed"));
        assert_eq!(mixed(&pair), [2 * expected; 2], "{can:?}, rekeyed\n{}", pair.trace());
        pair.command(0, Command::RekeyChild(child(&pair, 0)));
        settle(&mut pair);
        pair.assert_up(&format!("{can:?}, child rekeyed"));
        assert_eq!(pair.count(0, What::Established), 1, "{can:?}");
    }
}

#[test]
fn on_request_two_of_ours_mix_and_nobody_else_is_offered_what_he_may_not_know() {
    let ml_kem = Some(Group::MlKem768);
    let auto = |config: &mut ConnectionConfig| {
        (config.additional, config.additional_on_request) = (vec![ml_kem, None], true);
    };
    let responders: [(&[Option<Group>], bool, u64); 5] = [
        (&[ml_kem, None], true, 1),
        (&[ml_kem, None], false, 1),
        (&[ml_kem], false, 1),
        (&[None], false, 0),
        (&[None, ml_kem], false, 0),
    ];
    for (additional, on_request, expected) in responders {
        let mut pair = Pair::connected(1, Link::LAN, |index, config| match index {
            0 => auto(config),
            _ => {
                (config.additional, config.additional_on_request) = (additional.to_vec(), on_request);
                config.mode = Mode::ResponderOnly;
            }
        });
        let what = format!("{additional:?}, {on_request}");
        pair.assert_up(&what);
        let mixed = |pair: &Pair| [0, 1].map(|index| pair.count(index, What::KeysMixed));
        assert_eq!(mixed(&pair), [expected; 2], "{what}\n{}", pair.trace());
        for index in [0, 1] {
            pair.command(index, Command::RekeyIke(CONNECTION));
            settle(&mut pair);
            pair.assert_up(&format!("{what}, rekeyed by {index}"));
        }
        // A peer that asks by itself is answered.
        let rekeyed_by_responder = u64::from(expected == 1 || !on_request && additional.contains(&ml_kem));
        assert_eq!(mixed(&pair), [2 * expected + rekeyed_by_responder; 2], "{what}\n{}", pair.trace());
    }
}

#[test]
fn connection_for_peers_from_anywhere_decides_only_about_those_that_no_other_one_expects() {
    let (mixes, classic) = ([Some(Group::MlKem768), None].as_slice(), [None].as_slice());
    let elsewhere: IpAddr = "192.0.2.99".parse().unwrap();
    let own = connection(0).local_address;
    // What connection 1 has and whom it expects, what the one for anybody has, whether there is ML-KEM in the keys.
    let cases = [
        (mixes, own, classic, 1),
        (mixes, own, mixes, 1),
        (classic, own, mixes, 0),
        (mixes, elsewhere, classic, 0),
        (classic, elsewhere, mixes, 1),
    ];
    for (number, (additional, expected_at, of_anybody, mixed)) in cases.into_iter().enumerate() {
        let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
        let auto = |additional: &[Option<Group>], config: ConnectionConfig| ConnectionConfig {
            additional: additional.to_vec(),
            additional_on_request: true,
            ..config
        };
        // At the other address, the peer is of the connection for anybody.
        let is_anybody = expected_at == elsewhere;
        let (other_id, other) = (ConnectionId(2), Some(Identity::KeyId(vec![9])));
        let mut one = auto(additional, connection(1));
        one.places = vec![Place::At(expected_at)];
        let mut anybody = auto(of_anybody, ConnectionConfig { places: Vec::new(), ..connection(1) });
        let stranger = if is_anybody { &mut one } else { &mut anybody };
        (stranger.id, stranger.remote_id) = (other_id, other);
        for config in [one, anybody] {
            pair.command(1, Command::Configure(Box::new(config)));
        }
        pair.command(0, Command::Configure(Box::new(auto(mixes, connection(0)))));
        settle(&mut pair);
        pair.assert_up(&format!("case {number}"));
        assert_eq!(pair.count(1, What::KeysMixed), mixed, "case {number}\n{}", pair.trace());
    }
}

#[test]
fn whoever_asks_again_and_again_for_an_offer_is_answered_once() {
    use crate::wire::{
        Header, IkeSpi, Message, MessageKind, Notify, NotifyType, Payload, Role, TransformType,
    };
    for (on_request, answers) in [(true, 1), (false, 0)] {
        let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
        let mut config = connection(0);
        (config.additional, config.additional_on_request) = (vec![Some(Group::MlKem768), None], on_request);
        pair.command(0, Command::Configure(Box::new(config)));
        let requests = |pair: &Pair| -> Vec<Message> {
            let ike = pair.flying.values().filter_map(|packet| match &packet.carried {
                Carried::Ike(bytes) if packet.to == 1 => Some(Message::parse(bytes).unwrap()),
                _ => None,
            });
            ike.collect()
        };
        let offers = |message: &Message| {
            let mut transforms = message.sa().unwrap().iter().flat_map(|proposal| &proposal.transforms);
            transforms.any(|transform| transform.kind == TransformType::ADDKE1)
        };
        let first = requests(&pair).remove(0);
        assert_eq!(offers(&first), !on_request);
        let (local, remote) =
            pair.flying.values().map(|packet| (packet.remote, packet.local)).next().unwrap();
        let header = Header {
            responder_spi: IkeSpi::NONE,
            sender: Role::Responder,
            kind: MessageKind::Response,
            ..first.header
        };
        let wish = Payload::Notify(Notify::new(NotifyType::OFFER_ADDITIONAL_KEY_EXCHANGES, Vec::new()));
        let bytes = Message { header, payloads: vec![wish] }.build().unwrap();
        for _ in 0..5 {
            pair.input(0, Input::Datagram { local, remote, bytes: &bytes });
        }
        let sent = requests(&pair);
        assert_eq!(sent.len(), 1 + answers, "{}", pair.trace());
        assert!(sent.last().is_some_and(offers), "{}", pair.trace());
    }
}

#[test]
fn mixing_survives_loss_reordering_duplicates_fragments_and_slow_maths() {
    for seed in seeds(60) {
        let settings = EndpointConfig { fragment_bytes: 600, ..EndpointConfig::default() };
        let link = Link { loss: 0.15, mtu_bytes: 1400, ..Link::HOSTILE };
        let mut pair = Pair::new(seed, link, &settings);
        pair.compute = Duration::from_millis(seed % 3 * 30);
        for index in [1, 0] {
            let mut config = connection(index);
            mixing(index, &mut config);
            pair.command(index, Command::Configure(Box::new(config)));
        }
        pair.run_for(Duration::from_secs(200));
        pair.link = Link::LAN;
        settle(&mut pair);
        pair.assert_up(&format!("seed {seed}"));
        assert!(pair.count(0, What::KeysMixed) > 0 && pair.count(1, What::KeysMixed) > 0, "seed {seed}");
    }
}

#[test]
fn a_lost_answer_is_repeated_although_the_keys_have_changed_since() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    for index in [1, 0] {
        let mut config = connection(index);
        mixing(index, &mut config);
        pair.command(index, Command::Configure(Box::new(config)));
    }
    // Both sides answer at once in virtual time: the answer to IKE_INTERMEDIATE is the first thing after the responder mixed.
    assert!(pair.run(|pair| pair.count(1, What::KeysMixed) == 1, pair.now + Duration::from_secs(5)));
    pair.flying.clear();
    settle(&mut pair);
    pair.assert_up("repeated");
    assert_eq!(
        (pair.count(1, What::AnswerRepeated), pair.count(0, What::Established)),
        (1, 1),
        "{}",
        pair.trace()
    );
}

#[test]
fn a_wrong_key_is_still_a_wrong_key() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    for index in [1, 0] {
        let mut config = connection(index);
        mixing(index, &mut config);
        if index == 1 {
            config.authentication = Authentication::shared_key(b"another");
        }
        pair.command(index, Command::Configure(Box::new(config)));
    }
    pair.run_for(Duration::from_secs(5));
    assert_eq!(status(&pair, 0).failure.unwrap().error, IkeError::RefusedByPeer);
    assert_eq!(status(&pair, 1).failure.unwrap().error, IkeError::WrongKey);
    assert_eq!(pair.live_ikes(), [0, 0]);
}

#[test]
fn without_none_a_peer_that_cannot_is_refused_and_the_most_wanted_method_of_the_responder_is_taken() {
    let kems = [Group::MlKem512, Group::MlKem768, Group::MlKem1024];
    for method in kems {
        let pair = Pair::connected(1, Link::LAN, |index, config| {
            config.additional = if index == 0 { kems.map(Some).to_vec() } else { vec![Some(method)] };
        });
        pair.assert_up(&format!("{method}"));
        assert_eq!(pair.count(0, What::KeysMixed), 1, "{method}");
    }
    for strict in [0, 1] {
        let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
        for index in [1, 0] {
            let mut config = connection(index);
            config.additional = if index == strict { vec![Some(Group::MlKem768)] } else { vec![None] };
            pair.command(index, Command::Configure(Box::new(config)));
        }
        pair.run_for(Duration::from_secs(5));
        assert_eq!(pair.live_ikes(), [0, 0], "side {strict} insists\n{}", pair.trace());
    }
}

/// Both sides replace the IKE SA at once or nearly so; in the end there is one, with ML-KEM in its keys.
#[test]
fn rekeys_that_meet_leave_one_ike_sa_whose_keys_are_mixed() {
    for seed in seeds(200) {
        let mut pair = Pair::connected(seed, Link::LAN, |_, config| {
            config.additional = vec![Some(Group::MlKem768)];
            config.mode = Mode::Default;
        });
        let rest = rest(&mut pair);
        let before = [What::KeysMixed, What::Established].map(|what| pair.count(0, what));
        pair.compute = Duration::from_millis([0, 5, 30][usize::try_from(seed % 3).unwrap()]);
        if seed % 4 > 1 {
            pair.link = Link { reorder: 0.4, loss: 0.2, ..Link::HOSTILE };
        }
        pair.command(0, Command::RekeyIke(CONNECTION));
        pair.run_for(Duration::from_millis(seed % 50));
        pair.command(1, Command::RekeyIke(CONNECTION));
        pair.run_for(Duration::from_secs(100));
        pair.link = Link::LAN;
        settle(&mut pair);
        pair.assert_up(&format!("seed {seed}"));
        assert_eq!(censuses(&pair), rest, "seed {seed}\n{}", pair.trace());
        let after = [What::KeysMixed, What::Established].map(|what| pair.count(0, what));
        assert!(after[0] > before[0], "seed {seed}\n{}", pair.trace());
        // Without loss, nobody gives up a peer.
        assert!(seed % 4 > 1 || after[1] == before[1], "seed {seed}\n{}", pair.trace());
    }
}

#[test]
fn a_follow_up_that_never_comes_is_forgotten_and_its_place_is_free() {
    let mut pair = Pair::connected(1, Link::LAN, mixing);
    let rest = rest(&mut pair);
    let before = child(&pair, 1);
    pair.compute = Duration::from_secs(20);
    pair.command(0, Command::RekeyIke(CONNECTION));
    // The responder has answered, the initiator computes its value for the follow-up: nothing of the responder's own begins.
    assert!(pair.run(
        |pair| pair.sides[1].endpoint.sas.values().any(|sa| match &sa.state {
            crate::sa::State::Established(state) => state.following.is_some(),
            _ => false,
        }),
        pair.now + Duration::from_secs(100)
    ));
    pair.flying.clear();
    pair.compute = Duration::ZERO;
    pair.sides[0].alive = false;
    pair.command(1, Command::RekeyChild(before));
    pair.run_for(Duration::from_secs(20));
    assert_eq!(pair.count(1, What::Retransmit), 0, "waits\n{}", pair.trace());
    pair.run_for(Duration::from_secs(15));
    assert!(pair.count(1, What::Retransmit) > 0, "free again\n{}", pair.trace());
    pair.sides[0].alive = true;
    settle(&mut pair);
    pair.assert_up("forgotten");
    assert_eq!(censuses(&pair), rest, "{}", pair.trace());
}

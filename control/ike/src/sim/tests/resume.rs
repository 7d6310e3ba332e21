//! Session resumption (RFC 5723): after an outage the IKE SA is taken up by a ticket, once, with fresh keys; and whatever changed meanwhile costs a full handshake.

use super::*;

/// The default connection with resumption.
fn resumable(config: &mut ConnectionConfig) {
    config.resumption = true;
}

fn connected(seed: u64, link: Link, adjust: impl Fn(usize, &mut ConnectionConfig)) -> Pair {
    Pair::connected(seed, link, |index, config| {
        resumable(config);
        adjust(index, config);
    })
}

fn config(index: usize, adjust: impl Fn(&mut ConnectionConfig)) -> Box<ConnectionConfig> {
    let mut config = connection(index);
    resumable(&mut config);
    adjust(&mut config);
    Box::new(config)
}

/// Nothing gets through for a while.
fn outage(pair: &mut Pair, time: Duration) {
    let link = pair.link;
    pair.link = Link { loss: 1.0, ..link };
    pair.run_for(time);
    assert_eq!((pair.live_ikes()[0], pair.sides[0].plane.live().len()), (0, 0), "{}", pair.trace());
    pair.link = link;
}

fn resumed(pair: &Pair) -> [u64; 2] {
    [0, 1].map(|index| pair.count(index, What::Resumed))
}

fn outlived(pair: &mut Pair) {
    outage(pair, Duration::from_secs(200));
    pair.run_for(Duration::from_secs(200));
    pair.run_until_idle();
}

#[test]
fn after_an_outage_the_ike_sa_is_resumed_without_a_key_exchange() {
    for nat in [false, true] {
        let mut pair = connected(1, Link { nat, ..Link::LAN }, |index, config| {
            if nat && index == 1 {
                config.places.clear();
            }
        });
        let (rest, spis) = (rest(&mut pair), status(&pair, 0).ike_sas[0].spis);
        let keys = [0, 1].map(|index| pair.count(index, What::KeysAgreed));
        outlived(&mut pair);
        pair.assert_up("resumed");
        assert_eq!(resumed(&pair), [1, 1], "{}", pair.trace());
        assert_eq!([0, 1].map(|index| pair.count(index, What::KeysAgreed)), keys, "no key exchange");
        assert_ne!(status(&pair, 0).ike_sas[0].spis, spis);
        // But for the ticket that was used, nothing is left.
        let mut now = censuses(&pair);
        assert_eq!(now[1].used_tickets, 1);
        now[1].used_tickets = 0;
        assert_eq!(now, rest, "nothing is left\n{}", pair.trace());
    }
}

#[test]
fn a_resumed_ike_sa_has_fresh_keys_and_lives_like_any_other() {
    let mut pair = connected(1, Link::LAN, |_, _| {});
    let keys = |pair: &Pair, index: usize| {
        let found = pair.sides[index].endpoint.sas.values().find_map(|sa| match &sa.state {
            crate::sa::State::Established(state) => Some(state.secured.sk_d().expose().clone()),
            _ => None,
        });
        found.unwrap()
    };
    let before = keys(&pair, 0);
    outlived(&mut pair);
    assert_eq!(resumed(&pair), [1, 1]);
    assert_ne!(keys(&pair, 0), before);
    assert_eq!(keys(&pair, 0), keys(&pair, 1));
    pair.command(1, Command::RekeyIke(CONNECTION));
    pair.command(0, Command::RekeyChild(child(&pair, 0)));
    settle(&mut pair);
    pair.assert_up("both rekeyed");
    // The next ticket is as good, and so is one that was issued before a rekey.
    outlived(&mut pair);
    pair.assert_up("again");
    assert_eq!(resumed(&pair), [2, 2], "{}", pair.trace());
}

#[test]
fn an_outage_of_hours_ends_with_the_ticket_and_one_of_days_without() {
    for (hours, is_resumed) in [(2, true), (30, false)] {
        let mut pair = connected(1, Link::LAN, |_, _| {});
        outage(&mut pair, Duration::from_secs(hours * 3600));
        pair.run_for(Duration::from_secs(200));
        pair.run_until_idle();
        pair.assert_up("back");
        assert_eq!(resumed(&pair)[0] == 1, is_resumed, "{hours} hours\n{}", pair.trace());
    }
}

#[test]
fn a_ticket_is_renewed_before_it_is_out_of_date() {
    let mut pair = connected(1, Link::LAN, |_, config| {
        config.ike_lifetime = Lifetime::of(Duration::from_secs(8 * 3600));
    });
    pair.run_for(Duration::from_secs(40 * 3600));
    pair.assert_up("two days later");
    outlived(&mut pair);
    pair.assert_up("back");
    assert_eq!(resumed(&pair), [1, 1], "{}", pair.trace());
}

#[test]
fn what_was_configured_anew_is_not_resumed() {
    type Change = fn(&mut Pair);
    let same_again: Change = |pair| pair.command(1, Command::Configure(config(1, |_| {})));
    let turned_off: Change =
        |pair| pair.command(1, Command::Configure(config(1, |config| config.resumption = false)));
    let our_side: Change = |pair| pair.command(0, Command::Configure(config(0, |_| {})));
    let removed: Change = |pair| {
        pair.command(1, Command::Remove(CONNECTION));
        pair.run_for(Duration::from_secs(20));
        pair.command(1, Command::Configure(config(1, |_| {})));
    };
    let restarted: Change = |pair| {
        pair.restart(1);
        pair.command(1, Command::Configure(config(1, |_| {})));
    };
    for (at, change) in [same_again, turned_off, our_side, removed, restarted].into_iter().enumerate() {
        let mut pair = connected(1, Link::LAN, |_, _| {});
        pair.link.loss = 1.0;
        change(&mut pair);
        pair.run_for(Duration::from_secs(200));
        pair.link.loss = 0.0;
        pair.run_for(Duration::from_secs(200));
        pair.run_until_idle();
        pair.assert_up(&format!("change {at}"));
        assert_eq!(resumed(&pair), [0, 0], "change {at}\n{}", pair.trace());
        // Except where our own ticket went, the peer said no, and keys were agreed on at once.
        let refused = pair.count(0, What::TicketRefused);
        assert_eq!(refused, u64::from(at != 2), "change {at}\n{}", pair.trace());
    }
}

#[test]
fn an_ike_sa_that_was_proven_under_another_configuration_gives_and_keeps_no_ticket() {
    for side in [0, 1] {
        let mut pair = connected(1, Link::LAN, |_, config| {
            config.ike_lifetime = Lifetime::of(Duration::from_secs(8 * 3600));
        });
        let changed =
            config(side, |config| config.ike_lifetime = Lifetime::of(Duration::from_secs(8 * 3600)));
        pair.command(side, Command::Configure(changed));
        // Long enough to ask for another ticket, and for the IKE SA to be rekeyed.
        pair.run_for(Duration::from_secs(20 * 3600));
        pair.assert_up("as before");
        assert_eq!(pair.count(0, What::Established), 1, "the proof is the old one\n{}", pair.trace());
        outlived(&mut pair);
        pair.assert_up("back");
        assert_eq!(resumed(&pair), [0, 0], "side {side}\n{}", pair.trace());
        // What came of a full handshake is as good as any.
        outlived(&mut pair);
        pair.assert_up("back again");
        assert_eq!(resumed(&pair), [1, 1], "side {side}\n{}", pair.trace());
    }
}

#[test]
fn tickets_of_a_resumed_ike_sa_end_with_the_one_that_it_came_from() {
    let mut pair = connected(1, Link::LAN, |_, config| {
        config.ike_lifetime = Lifetime::of(Duration::from_secs(8 * 3600));
    });
    for times in [1, 2] {
        outlived(&mut pair);
        assert_eq!(resumed(&pair), [times, times], "{}", pair.trace());
        pair.run_for(Duration::from_secs(4 * 3600));
    }
    pair.run_for(Duration::from_secs(8 * 3600));
    outlived(&mut pair);
    pair.assert_up("back");
    assert_eq!(resumed(&pair), [2, 2], "the third time is after more than 12 hours\n{}", pair.trace());
}

#[test]
fn a_peer_that_was_removed_is_not_resumed() {
    let mut pair = connected(1, Link::LAN, |_, _| {});
    pair.link.loss = 1.0;
    pair.command(1, Command::Remove(CONNECTION));
    pair.run_for(Duration::from_secs(200));
    pair.link.loss = 0.0;
    pair.run_for(Duration::from_secs(300));
    assert_eq!((pair.live_ikes(), resumed(&pair)), ([0, 0], [0, 0]), "{}", pair.trace());
}

#[test]
fn a_reset_on_either_side_is_a_full_handshake() {
    for side in [0, 1] {
        let mut pair = connected(1, Link::LAN, |_, _| {});
        pair.command(side, Command::Reset(CONNECTION));
        settle(&mut pair);
        pair.assert_up("reset");
        assert_eq!(resumed(&pair), [0, 0], "{}", pair.trace());
    }
}

#[test]
fn a_ticket_is_good_once_and_a_replay_of_it_comes_to_nothing() {
    let mut pair = connected(1, Link::LAN, |_, _| {});
    outage(&mut pair, Duration::from_secs(200));
    let mut shown = None;
    while resumed(&pair) != [1, 1] {
        let first = pair.flying.values().find_map(|packet| match &packet.carried {
            Carried::Ike(bytes) if packet.to == 1 && bytes[18] == 38 => {
                Some((packet.local, packet.remote, bytes.clone()))
            }
            _ => None,
        });
        shown = shown.or(first);
        assert!(pair.step(pair.now + Duration::from_secs(60)), "{}", pair.trace());
    }
    pair.run_until_idle();
    pair.assert_up("resumed");
    let (local, remote, mut bytes) = shown.expect("a ticket was shown");
    let before = (pair.sides[1].endpoint.census(), pair.count(1, What::TicketRefused));
    // From somebody else, as another attempt.
    bytes[..8].copy_from_slice(&77u64.to_be_bytes());
    pair.input(1, Input::Datagram { local, remote, bytes: &bytes });
    assert_eq!(pair.count(1, What::TicketRefused), before.1 + 1);
    assert_eq!(pair.sides[1].endpoint.census(), before.0, "no state is kept");
}

#[test]
fn a_ticket_in_the_hands_of_somebody_else_is_of_no_use_and_stays_good() {
    let mut pair = connected(1, Link::LAN, |_, _| {});
    outage(&mut pair, Duration::from_secs(200));
    let shown = loop {
        let first = pair.flying.values().find_map(|packet| match &packet.carried {
            Carried::Ike(bytes) if packet.to == 1 && bytes[18] == 38 => {
                Some((packet.local, packet.remote, bytes.clone()))
            }
            _ => None,
        });
        if let Some(first) = first {
            break first;
        }
        assert!(pair.step(pair.now + Duration::from_secs(60)), "{}", pair.trace());
    };
    let (local, remote, mut bytes) = shown;
    bytes[..8].copy_from_slice(&77u64.to_be_bytes());
    pair.input(1, Input::Datagram { local, remote, bytes: &bytes });
    assert_eq!(pair.sides[1].endpoint.half_open(), 1, "who shows it has to prove that it has the keys");
    pair.run_for(Duration::from_secs(200));
    pair.run_until_idle();
    pair.assert_up("resumed by whom it was given");
    assert_eq!((resumed(&pair), pair.sides[1].endpoint.half_open()), ([1, 1], 0), "{}", pair.trace());
}

#[test]
fn resumes_over_a_hostile_link() {
    let mut total = 0;
    for seed in seeds(60) {
        let mut pair = connected(seed, Link::LAN, |index, config| {
            config.mode = if seed % 2 == 0 || index == 0 { Mode::Default } else { Mode::ResponderOnly };
        });
        pair.link = Link::HOSTILE;
        pair.link.loss = 1.0;
        pair.run_for(Duration::from_secs(200));
        pair.link = Link::HOSTILE;
        pair.run_for(Duration::from_secs(300));
        pair.link = Link::LAN;
        settle(&mut pair);
        pair.assert_up(&format!("seed {seed}"));
        total += resumed(&pair)[0];
    }
    assert!(total > 0, "none was resumed");
}

#[test]
fn with_certificates_and_ml_kem_the_ike_sa_stays_what_it_was() {
    use super::certificates::{given, name};
    use crossgate_pki::KeyKind;
    use crossgate_pki::testing::Template;
    let mut pair = connected(1, Link::LAN, |index, config| {
        config.local_id = Identity::Fqdn(name(index));
        config.remote_id = Some(Identity::Fqdn(name(1 - index)));
        config.authentication = given(index, KeyKind::P256, Template::peer(&name(index))).authentication();
        config.additional = vec![Some(Group::MlKem768)];
    });
    let before = status(&pair, 0).ike_sas[0].additional;
    assert_eq!(before, Some(Group::MlKem768));
    outlived(&mut pair);
    pair.assert_up("resumed");
    assert_eq!(resumed(&pair), [1, 1], "{}", pair.trace());
    let ike = &status(&pair, 1).ike_sas[0];
    assert_eq!((ike.additional, &ike.peer), (before, &Some(Identity::Fqdn(name(0)))));
}

#[test]
fn a_side_that_does_not_want_it_gives_no_ticket() {
    for without in [0, 1] {
        let mut pair = connected(1, Link::LAN, |index, config| config.resumption = index != without);
        outlived(&mut pair);
        pair.assert_up("by a full handshake");
        assert_eq!((resumed(&pair), pair.count(1, What::TicketRefused)), ([0, 0], 0), "{}", pair.trace());
    }
}

//! A flood of IKE_SA_INIT: what it may cost, and whom it must not disturb (RFC 7296, 2.6).

use std::net::SocketAddr;

use super::*;
use crate::wire::{Message, Notify, NotifyType, Payload};

/// A first message as anybody can send it.
fn first_message() -> Message {
    let mut pair = Pair::new(99, Link::LAN, &EndpointConfig::default());
    pair.command(0, Command::Configure(Box::new(connection(0))));
    let packet = pair.flying.pop_first().expect("an initiator begins").1;
    let Carried::Ike(bytes) = packet.carried else { panic!("an IKE message") };
    Message::parse(&bytes).unwrap()
}

/// Sends it to the second side from `number`'s own address; the answer, if there is one at once.
fn flood(pair: &mut Pair, template: &Message, number: u32, cookie: Option<Vec<u8>>) -> Option<Message> {
    let mut message = template.clone();
    message.header.initiator_spi = crate::wire::IkeSpi(u64::from(number) + 1);
    if let Some(cookie) = cookie {
        message.payloads.insert(0, Payload::Notify(Notify::new(NotifyType::COOKIE, cookie)));
    }
    let remote = SocketAddr::new(IpAddr::V4(Ipv4Addr::from(0xc633_6400 + number)), 500);
    let bytes = message.build().unwrap();
    let side = &mut pair.sides[1];
    let local = SocketAddr::new(side.address, 500);
    let input = Input::Datagram { local, remote, bytes: &bytes };
    side.endpoint.handle(input, pair.now, &mut side.plane).unwrap();
    let mut answer = None;
    while let Some(output) = side.endpoint.poll_output() {
        match output {
            Output::Transmit(transmit) => answer = Some(Message::parse(&transmit.bytes).unwrap()),
            Output::Event(Event::Compute(job)) => {
                side.endpoint.handle(Input::Computed(job.run()), pair.now, &mut side.plane).unwrap();
            }
            Output::Event(_) => {}
        }
    }
    answer
}

fn under_load() -> Pair {
    let settings = EndpointConfig { cookie_threshold: 10, half_open_limit: 20, ..EndpointConfig::default() };
    let mut pair = Pair::new(1, Link::LAN, &settings);
    let anybody = ConnectionConfig { places: Vec::new(), ..connection(1) };
    pair.command(1, Command::Configure(Box::new(anybody)));
    pair
}

#[test]
fn without_a_cookie_a_flood_keeps_no_state_beyond_the_threshold_and_a_true_peer_gets_in() {
    let (mut pair, template) = (under_load(), first_message());
    for number in 0..100 {
        flood(&mut pair, &template, number, None).expect("an answer or a cookie");
    }
    assert_eq!(pair.sides[1].endpoint.half_open(), 10);
    assert_eq!(pair.count(1, What::CookieDemanded), 90);
    pair.command(0, Command::Configure(Box::new(connection(0))));
    pair.run_for(Duration::from_secs(5));
    pair.assert_up("in spite of the flood");
    assert_eq!(pair.count(0, What::CookieReturned), 1);
}

#[test]
fn with_cookies_a_flood_ends_at_the_limit_and_disturbs_no_established_peer() {
    let (mut pair, template) = (under_load(), first_message());
    pair.command(0, Command::Configure(Box::new(connection(0))));
    pair.run_until_idle();
    let rest = rest(&mut pair);
    for number in 0..100 {
        let answer = flood(&mut pair, &template, number, None);
        let cookie = answer.and_then(|answer| Some(answer.notify(NotifyType::COOKIE)?.data.clone()));
        if let Some(cookie) = cookie {
            // Another address cannot use it.
            let stolen = flood(&mut pair, &template, number + 1000, Some(cookie.clone()));
            assert!(stolen.is_none_or(|answer| answer.sa().is_none()));
            flood(&mut pair, &template, number, Some(cookie));
        }
    }
    assert_eq!(pair.sides[1].endpoint.half_open(), 20);
    assert!(pair.count(1, What::DropHalfOpenLimit) >= 80, "{}", pair.count(1, What::DropHalfOpenLimit));
    let before = child(&pair, 0);
    pair.command(0, Command::RekeyChild(before));
    pair.command(1, Command::RekeyIke(CONNECTION));
    pair.run_for(Duration::from_secs(20));
    assert_ne!(child(&pair, 0), before, "not rekeyed under the flood\n{}", pair.trace());
    settle(&mut pair);
    pair.assert_up("after the flood");
    assert_eq!(censuses(&pair), rest, "half-open IKE SAs are forgotten\n{}", pair.trace());
}

#[test]
fn a_half_open_ike_sa_whose_maths_never_ends_is_forgotten() {
    let (mut pair, template) = (under_load(), first_message());
    pair.run_until_idle();
    let rest = pair.sides[1].endpoint.census();
    let bytes = template.build().unwrap();
    let (local, remote) = ("192.0.2.2:500".parse().unwrap(), "192.0.2.9:500".parse().unwrap());
    let side = &mut pair.sides[1];
    let input = Input::Datagram { local, remote, bytes: &bytes };
    side.endpoint.handle(input, pair.now, &mut side.plane).unwrap();
    while side.endpoint.poll_output().is_some() {} // the job is lost
    assert_eq!(side.endpoint.half_open(), 1);
    pair.run_for(Duration::from_secs(31));
    assert_eq!(pair.sides[1].endpoint.census(), rest);
    assert_eq!(pair.count(1, What::HalfOpenExpired), 1);
}

/// As [`flood`], all from one address, with the cookie where one is asked for; whether an IKE SA came of it.
fn flood_from_one(pair: &mut Pair, template: &Message, number: u64) -> bool {
    let mut message = template.clone();
    message.header.initiator_spi = crate::wire::IkeSpi(number + 1);
    let answer = |pair: &mut Pair, message: &Message| {
        let (local, remote) = ("192.0.2.2:500".parse().unwrap(), "198.51.100.7:500".parse().unwrap());
        let bytes = message.build().unwrap();
        let side = &mut pair.sides[1];
        side.endpoint
            .handle(Input::Datagram { local, remote, bytes: &bytes }, pair.now, &mut side.plane)
            .unwrap();
        let mut answer = None;
        while let Some(output) = side.endpoint.poll_output() {
            match output {
                Output::Transmit(transmit) => answer = Some(Message::parse(&transmit.bytes).unwrap()),
                Output::Event(Event::Compute(job)) => {
                    assert!(job.is_for_stranger());
                    side.endpoint.handle(Input::Computed(job.run()), pair.now, &mut side.plane).unwrap();
                }
                Output::Event(_) => {}
            }
        }
        answer
    };
    let first = answer(pair, &message);
    let cookie = first.as_ref().and_then(|first| Some(first.notify(NotifyType::COOKIE)?.data.clone()));
    let last = match cookie {
        Some(cookie) => {
            message.payloads.insert(0, Payload::Notify(Notify::new(NotifyType::COOKIE, cookie)));
            answer(pair, &message)
        }
        None => first,
    };
    last.is_some_and(|last| last.sa().is_some())
}

#[test]
fn one_source_gets_its_share_for_which_it_must_show_itself_and_leaves_room_for_others() {
    let settings = EndpointConfig {
        cookie_threshold_per_source: 3,
        half_open_limit_per_source: 5,
        ..EndpointConfig::default()
    };
    let mut pair = Pair::new(1, Link::LAN, &settings);
    let anybody = ConnectionConfig { places: Vec::new(), ..connection(1) };
    pair.command(1, Command::Configure(Box::new(anybody)));
    pair.command(0, Command::Configure(Box::new(connection(0))));
    pair.run_until_idle();
    let rest = rest(&mut pair);
    let template = first_message();
    let made = (0..50).filter(|number| flood_from_one(&mut pair, &template, *number)).count();
    assert_eq!((made, pair.sides[1].endpoint.half_open()), (5, 5));
    assert_eq!((pair.count(1, What::CookieDemanded), pair.count(1, What::DropSourceLimit)), (47, 45));
    let before = child(&pair, 0);
    pair.command(1, Command::RekeyIke(CONNECTION));
    pair.command(0, Command::RekeyChild(before));
    pair.run_for(Duration::from_secs(20));
    assert_ne!(child(&pair, 0), before, "not rekeyed under the flood\n{}", pair.trace());
    // A peer that starts anew gets in as well.
    pair.command(0, Command::Reset(CONNECTION));
    pair.run_for(Duration::from_secs(20));
    assert_eq!(pair.count(0, What::CookieReturned), 0, "{}", pair.trace());
    settle(&mut pair);
    pair.assert_up("after the flood");
    assert_eq!(censuses(&pair), rest, "half-open IKE SAs are forgotten\n{}", pair.trace());
}

const DAY: Duration = Duration::from_secs(86_400);

/// Lets the next jobs of either side take for ever; whether there was one.
fn lose_a_job(pair: &mut Pair) -> bool {
    let usual = std::mem::replace(&mut pair.compute, DAY);
    let is_late = |pair: &Pair, at: Instant| at > pair.now + DAY / 2;
    let lost = pair
        .run(|pair| pair.flying.keys().any(|(at, _)| is_late(pair, *at)), pair.now + Duration::from_secs(3));
    pair.compute = usual;
    let limit = pair.now + DAY / 2;
    pair.flying.retain(|(at, _), _| *at <= limit);
    lost
}

#[test]
fn a_job_that_never_ends_leaves_no_state_waiting_on_either_side() {
    let adjust = |index: usize, config: &mut ConnectionConfig| {
        config.additional = vec![Some(Group::MlKem768)];
        config.children[0].pfs_groups = vec![Some(Group::Curve25519)];
        config.mode = if index == 0 { Mode::Default } else { Mode::ResponderOnly };
    };
    let mut up = Pair::connected(1, Link::LAN, adjust);
    let rest = rest(&mut up);
    for kind in 0..3 {
        let mut jobs = 0;
        for steps in 0..16 {
            let mut pair = if kind == 0 {
                let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
                for index in [1, 0] {
                    let mut config = connection(index);
                    adjust(index, &mut config);
                    pair.compute = Duration::from_millis(5);
                    pair.command(index, Command::Configure(Box::new(config)));
                }
                pair
            } else {
                let mut pair = Pair::connected(1, Link::LAN, adjust);
                pair.compute = Duration::from_millis(5);
                let index = steps % 2;
                let rekey = Command::RekeyChild(child(&pair, index));
                pair.command(index, if kind == 1 { rekey } else { Command::RekeyIke(CONNECTION) });
                pair
            };
            for _ in 0..steps {
                pair.step(pair.now + Duration::from_secs(1));
            }
            jobs += u32::from(lose_a_job(&mut pair));
            settle(&mut pair);
            let note = format!("kind {kind}, lost after {steps} steps");
            pair.assert_up(&note);
            assert_eq!(censuses(&pair), rest, "{note}\n{}", pair.trace());
        }
        assert!(jobs > 2, "only {jobs} jobs of kind {kind} were lost");
    }
}

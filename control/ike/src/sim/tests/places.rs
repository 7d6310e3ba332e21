//! A peer with several addresses, and with names for them: who is called when nobody answers, and the way back.

use super::*;
use crate::event::ConnectionId;
use crate::place::Place;
use crate::status::PlaceStatus;

const FIRST: &str = "192.0.2.2";
const BACKUP: &str = "192.0.2.3";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> Place {
    Place::At(ip(text))
}

fn named(name: &str) -> Place {
    Place::Named(Arc::from(name))
}

/// Side 0, which calls `places`; side 1 has both addresses, with a connection on each, and hears nothing at those in `silent`.
fn pair(places: &[Place], silent: &[&str]) -> Pair {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    pair.sides[1].silent = silent.iter().map(|address| ip(address)).collect();
    pair.names = [("first.example", FIRST), ("backup.example", BACKUP)]
        .map(|(name, address)| (name.to_owned(), Ok(vec![ip("2001:db8::9"), ip(address)])))
        .into();
    for (id, local) in [(1, FIRST), (2, BACKUP)] {
        let config = ConnectionConfig {
            id: ConnectionId(id),
            local_address: ip(local),
            mobike: false,
            ..connection(1)
        };
        pair.command(1, Command::Configure(Box::new(config)));
    }
    let config = ConnectionConfig { places: places.to_vec(), ..connection(0) };
    pair.command(0, Command::Configure(Box::new(config)));
    pair
}

fn places(pair: &Pair) -> Vec<PlaceStatus> {
    status(pair, 0).places
}

fn failure(place: &PlaceStatus) -> String {
    place.failure.as_ref().map(|failure| failure.error.to_string()).unwrap_or_default()
}

/// Side 0 has one IKE SA and one pair, with the peer at the place of this number.
#[track_caller]
fn assert_up_at(pair: &Pair, index: usize, address: &str) {
    assert_eq!((pair.live_ikes()[0], pair.live_children()[0]), (1, 1), "{}", pair.trace());
    let status = status(pair, 0);
    let ike = status.ike_sas.iter().find(|ike| ike.peer.is_some()).expect("it is up");
    assert_eq!(ike.path.remote.ip(), ip(address), "{}", pair.trace());
    let in_use: Vec<bool> = status.places.iter().map(|place| place.in_use).collect();
    let expected: Vec<bool> = (0..in_use.len()).map(|place| place == index).collect();
    assert_eq!(in_use, expected, "{}", pair.trace());
    assert_eq!(status.failure, None, "{}", pair.trace());
}

fn called(pair: &Pair, address: &str) -> u64 {
    pair.called.get(&ip(address)).copied().unwrap_or(0)
}

#[test]
fn backup_is_called_when_nobody_answers_at_the_first_place() {
    let mut pair = pair(&[at(FIRST), at(BACKUP)], &[FIRST]);
    pair.run_for(Duration::from_secs(6));
    assert_eq!(pair.live_ikes()[0], 0);
    pair.run_for(Duration::from_secs(2));
    assert_up_at(&pair, 1, BACKUP);
    let places = places(&pair);
    assert!(failure(&places[0]).contains("does not answer"), "{places:?}");
    assert_eq!(places[1].failure, None);
}

#[test]
fn one_place_after_the_other_and_then_a_wait() {
    let third = "192.0.2.4";
    let mut pair = pair(&[at(FIRST), at(BACKUP), at(third)], &[FIRST, BACKUP, third]);
    let counts = |pair: &Pair| [FIRST, BACKUP, third].map(|address| called(pair, address) > 0);
    pair.run_for(Duration::from_secs(5));
    assert_eq!(counts(&pair), [true, false, false]);
    pair.run_for(Duration::from_secs(7));
    assert_eq!(counts(&pair), [true, true, false]);
    pair.run_for(Duration::from_secs(7));
    assert_eq!(counts(&pair), [true, true, true]);
    pair.run_for(Duration::from_secs(3));
    // All were tried: a wait of a second, then the first again.
    let all = places(&pair);
    assert!(all.iter().all(|place| failure(place).contains("does not answer")), "{all:?}");
    assert!(all[0].in_use, "{}", pair.trace());
    assert_eq!(pair.count(0, What::Initiating), 4, "{}", pair.trace());
    pair.sides[1].silent.remove(&ip(BACKUP));
    pair.run_for(Duration::from_secs(12));
    assert_up_at(&pair, 1, BACKUP);
}

#[test]
fn peer_that_dies_is_called_at_its_backup_at_once() {
    let mut pair = pair(&[at(FIRST), at(BACKUP)], &[]);
    pair.run_for(Duration::from_secs(5));
    assert_up_at(&pair, 0, FIRST);
    assert_eq!(called(&pair, BACKUP), 0);
    pair.sides[1].silent.insert(ip(FIRST));
    // Silence of 30 s, in which what the other side asks still comes, and 60 s without an answer.
    pair.run_for(Duration::from_secs(200));
    assert_up_at(&pair, 1, BACKUP);
    assert!(failure(&places(&pair)[0]).contains("does not answer"));
    // And from there back.
    pair.sides[1].silent = [ip(BACKUP)].into();
    pair.run_for(Duration::from_secs(200));
    assert_up_at(&pair, 0, FIRST);
}

#[test]
fn renewal_returns_to_the_first_place_if_somebody_is_there() {
    let mut pair = pair(&[at(FIRST), at(BACKUP)], &[FIRST]);
    let short = |pair: &mut Pair, hard| {
        let config = ConnectionConfig {
            places: vec![at(FIRST), at(BACKUP)],
            ike_lifetime: Lifetime::of(Duration::from_secs(hard)),
            ..connection(0)
        };
        pair.command(0, Command::Configure(Box::new(config)));
    };
    short(&mut pair, 600);
    pair.run_for(Duration::from_secs(10));
    assert_up_at(&pair, 1, BACKUP);
    // Nobody is there: replaced where it is, without a gap.
    let spis = status(&pair, 0).ike_sas[0].spis;
    let first = called(&pair, FIRST);
    pair.probing = true;
    pair.run_for(Duration::from_secs(600));
    assert_up_at(&pair, 1, BACKUP);
    assert!(called(&pair, FIRST) > first, "{}", pair.trace());
    assert!(status(&pair, 0).ike_sas.iter().all(|ike| ike.spis != spis), "{}", pair.trace());
    // Somebody is: the next renewal moves there.
    pair.sides[1].silent.clear();
    pair.run_for(Duration::from_secs(600));
    assert_up_at(&pair, 0, FIRST);
    assert_eq!(pair.lost, 0, "{}", pair.trace());
    assert!(pair.delivered > 0);
    pair.run_until_idle();
    assert_eq!(pair.sides.each_ref().map(|side| side.plane.allocated()), [1, 1], "{}", pair.trace());
}

#[test]
fn name_is_looked_up_for_each_call() {
    let mut pair = pair(&[named("first.example")], &[]);
    pair.run_for(Duration::from_secs(2));
    assert_up_at(&pair, 0, FIRST);
    // The name leads elsewhere by the time that the peer dies.
    pair.names.insert("first.example".to_owned(), Ok(vec![ip(BACKUP)]));
    pair.sides[1].silent.insert(ip(FIRST));
    pair.run_for(Duration::from_secs(200));
    assert_up_at(&pair, 0, BACKUP);
}

#[test]
fn name_that_leads_nowhere_is_told_and_its_backup_called() {
    type Answer = Option<Result<Vec<IpAddr>, String>>;
    let nowhere: [(&str, Answer, &str); 4] = [
        ("NXDOMAIN", Some(Err("no such name".to_owned())), "no such name"),
        ("other family", Some(Ok(vec![ip("2001:db8::1")])), "no IPv4 address"),
        ("no unicast", Some(Ok(vec![ip("224.0.0.1"), ip("127.0.0.1"), ip("0.0.0.0")])), "no IPv4 address"),
        ("silence", None, "no name server answers"),
    ];
    for (what, answer, reason) in nowhere {
        let places_of = [named("gone.example"), named("backup.example")];
        let mut pair = pair(&[named("first.example")], &[]);
        pair.names.extend(answer.map(|answer| ("gone.example".to_owned(), answer)));
        let config = ConnectionConfig { places: places_of.to_vec(), ..connection(0) };
        pair.command(0, Command::Configure(Box::new(config)));
        pair.run_for(Duration::from_secs(12));
        assert_up_at(&pair, 1, BACKUP);
        let places = places(&pair);
        assert!(failure(&places[0]).contains(reason), "{what}: {places:?}");
        // Alone, it is tried again and again.
        let config = ConnectionConfig { places: places_of[..1].to_vec(), ..connection(0) };
        pair.command(0, Command::Configure(Box::new(config)));
        pair.run_for(Duration::from_secs(100));
        let status = status(&pair, 0);
        assert!(
            status.failure.as_ref().is_some_and(|failure| failure.error.to_string().contains(reason)),
            "{what}: {status:?}"
        );
        pair.names.insert("gone.example".to_owned(), Ok(vec![ip(FIRST)]));
        pair.run_for(Duration::from_secs(100));
        assert_up_at(&pair, 0, FIRST);
    }
}

#[test]
fn several_addresses_of_a_name_are_called_in_turn() {
    for (silent, other) in [(FIRST, BACKUP), (BACKUP, FIRST)] {
        let mut pair = pair(&[named("both.example")], &[silent]);
        pair.names.insert("both.example".to_owned(), Ok(vec![ip(FIRST), ip(BACKUP)]));
        pair.run_for(Duration::from_secs(150));
        assert_up_at(&pair, 0, other);
        assert_eq!(
            called(&pair, silent) > 0,
            silent == FIRST,
            "the first one is called first: {}",
            pair.trace()
        );
    }
}

#[test]
fn backup_that_refuses_does_not_keep_the_first_place_from_its_turn() {
    let mut pair = pair(&[at(FIRST), at(BACKUP)], &[FIRST]);
    let stranger = ConnectionConfig {
        id: ConnectionId(2),
        local_address: ip(BACKUP),
        authentication: crate::auth::Authentication::shared_key(b"another key than the one that is shown"),
        ..connection(1)
    };
    pair.command(1, Command::Configure(Box::new(stranger)));
    pair.run_for(Duration::from_secs(40));
    assert!(called(&pair, BACKUP) > 0 && pair.live_ikes()[0] == 0, "{}", pair.trace());
    pair.sides[1].silent.clear();
    pair.run_for(Duration::from_secs(200));
    assert_up_at(&pair, 0, FIRST);
}

#[test]
fn late_answers_for_names_change_nothing() {
    use crate::event::Resolution;
    let mut pair = pair(&[named("silent.example")], &[]);
    pair.run_for(Duration::from_secs(60));
    // Each question was given up after ten seconds; the last one is open again.
    while status(&pair, 0).phase != crate::status::Phase::Connecting {
        assert!(pair.step(pair.now + Duration::from_secs(100)), "nobody asks\n{}", pair.trace());
    }
    let asked = std::mem::take(&mut pair.asked);
    assert!(asked.len() > 2, "{}", pair.trace());
    let tell = |pair: &mut Pair, (connection, ticket), address| {
        let addresses = Ok(vec![ip(address)]);
        pair.input(0, Input::Resolved(Resolution { connection, ticket, addresses }));
        pair.count(0, What::Initiating)
    };
    let (open, late) = asked.split_last().unwrap();
    for question in late {
        assert_eq!(tell(&mut pair, *question, "192.0.2.77"), 0, "{}", pair.trace());
    }
    assert_eq!(tell(&mut pair, (ConnectionId(7), open.1), "192.0.2.77"), 0, "another connection's");
    assert_eq!(tell(&mut pair, *open, "192.0.2.66"), 1, "{}", pair.trace());
    assert_eq!(tell(&mut pair, *open, "192.0.2.77"), 1, "once only");
    assert_eq!((called(&pair, "192.0.2.66"), called(&pair, "192.0.2.77")), (1, 0));
    pair.command(0, Command::Remove(CONNECTION));
    pair.run_for(Duration::from_secs(100));
    assert_eq!(pair.sides[0].endpoint.census().connections, 0);
    assert_eq!(pair.sides[0].endpoint.census().timers, 0, "{}", pair.trace());
}

#[test]
fn reset_calls_the_first_place_and_a_changed_list_keeps_a_tunnel_that_is_in_it() {
    let mut pair = pair(&[at(FIRST), at(BACKUP)], &[FIRST]);
    pair.run_for(Duration::from_secs(10));
    assert_up_at(&pair, 1, BACKUP);
    let spis = |pair: &Pair| status(pair, 0).ike_sas[0].spis;
    let before = spis(&pair);
    let reconfigured = |pair: &mut Pair, places: &[Place]| {
        let config = ConnectionConfig { places: places.to_vec(), ..connection(0) };
        pair.command(0, Command::Configure(Box::new(config)));
        pair.run_for(Duration::from_secs(5));
    };
    reconfigured(&mut pair, &[at(FIRST), at("192.0.2.4"), at(BACKUP)]);
    assert_up_at(&pair, 2, BACKUP);
    reconfigured(&mut pair, &[at(BACKUP)]);
    assert_up_at(&pair, 0, BACKUP);
    assert_eq!(spis(&pair), before);
    pair.sides[1].silent.clear();
    reconfigured(&mut pair, &[at(FIRST)]);
    assert_up_at(&pair, 0, FIRST);
    reconfigured(&mut pair, &[at(BACKUP), at(FIRST)]);
    assert_up_at(&pair, 1, FIRST);
    pair.command(0, Command::Reset(CONNECTION));
    pair.run_for(Duration::from_secs(5));
    assert_up_at(&pair, 0, BACKUP);
}

#[test]
fn peer_known_by_a_name_may_call_from_anywhere() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    let mut waiting = connection(1);
    waiting.places = vec![named("silent.example")];
    pair.command(1, Command::Configure(Box::new(waiting)));
    pair.command(0, Command::Configure(Box::new(connection(0))));
    pair.run_for(Duration::from_secs(2));
    pair.assert_up("called by a peer with a name");
}

#[test]
fn peer_that_rekeys_first_is_the_occasion_to_return_to_the_first_place() {
    let mut pair = pair(&[at(FIRST), at(BACKUP)], &[FIRST]);
    pair.run_for(Duration::from_secs(10));
    assert_up_at(&pair, 1, BACKUP);
    pair.sides[1].silent.clear();
    pair.command(1, Command::RekeyIke(ConnectionId(2)));
    pair.probing = true;
    pair.run_for(Duration::from_secs(60));
    assert_up_at(&pair, 0, FIRST);
    assert_eq!(pair.lost, 0, "{}", pair.trace());
    // Where nobody is there, the successor stays.
    pair.sides[1].silent = [ip(FIRST)].into();
    pair.run_for(Duration::from_secs(200));
    assert_up_at(&pair, 1, BACKUP);
    pair.command(1, Command::RekeyIke(ConnectionId(2)));
    pair.run_for(Duration::from_secs(100));
    assert_up_at(&pair, 1, BACKUP);
}

#[test]
fn caller_from_an_address_that_is_not_listed_is_at_the_place_with_a_name() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    let waiting =
        ConnectionConfig { places: vec![at("192.0.2.99"), named("silent.example")], ..connection(1) };
    pair.command(1, Command::Configure(Box::new(waiting)));
    pair.command(0, Command::Configure(Box::new(connection(0))));
    pair.run_for(Duration::from_secs(2));
    pair.assert_up("called by a peer with a name");
    let in_use: Vec<bool> = status(&pair, 1).places.iter().map(|place| place.in_use).collect();
    assert_eq!(in_use, [false, true]);
}

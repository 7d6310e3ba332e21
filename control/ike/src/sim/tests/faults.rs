//! Peers that die, restart or end; garbage; and runs that replay.

use super::*;

#[test]
fn a_dead_peer_is_noticed_and_reached_again_when_it_is_back() {
    let mut pair = Pair::connected(1, Link::LAN, |_, _| {});
    pair.sides[1].alive = false;
    pair.run_for(Duration::from_secs(100));
    assert_eq!(pair.live_ikes()[0], 0, "{}", pair.trace());
    assert_eq!(pair.sides[0].plane.live().len(), 0);
    pair.sides[1].alive = true;
    pair.run_for(Duration::from_secs(200));
    pair.run_until_idle();
    pair.assert_up("back");
}

#[test]
fn a_peer_that_restarts_replaces_its_old_ike_sa() {
    let mut pair = Pair::connected(1, Link::LAN, |_, _| {});
    pair.run_for(Duration::from_secs(60));
    pair.sides[0].endpoint = Endpoint::new(EndpointConfig::default());
    pair.sides[0].plane = Plane::new(77);
    pair.command(0, Command::Configure(Box::new(connection(0))));
    pair.run_for(Duration::from_secs(20));
    pair.run_until_idle();
    pair.assert_up("restarted");
    assert_eq!(pair.count(1, What::InitialContact), 1);
}

#[test]
fn garbage_and_mutated_messages_change_nothing() {
    let mut pair = Pair::connected(1, Link::LAN, |_, _| {});
    let mut random = Random::new(9);
    let before = format!("{:?}", pair.sides[1].endpoint.status());
    let spis = pair.sides[1].endpoint.status()[0].ike_sas[0].spis;
    for _ in 0..5000 {
        let mut bytes = vec![0; 28 + random.index(200)];
        random.fill(&mut bytes);
        bytes[..8].copy_from_slice(&spis.0.to_bytes());
        bytes[8..16].copy_from_slice(&spis.1.to_bytes());
        bytes[16] = [33, 46, 53][random.index(3)];
        bytes[17] = 0x20;
        bytes[18] = 34 + u8::try_from(random.index(4)).unwrap();
        bytes[19] = [0x08, 0x28, 0x00][random.index(3)];
        bytes[20..23].fill(0);
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        bytes[24..28].copy_from_slice(&length);
        let (local, remote) = ("192.0.2.2:500".parse().unwrap(), "192.0.2.1:500".parse().unwrap());
        pair.input(1, Input::Datagram { local, remote, bytes: &bytes });
    }
    assert_eq!(before, format!("{:?}", pair.sides[1].endpoint.status()));
    pair.run_until_idle();
    pair.assert_up("after garbage");
}

#[test]
fn shutdown_deletes_at_the_peer_and_leaves_nothing() {
    let mut pair = Pair::connected(1, Link::LAN, |_, _| {});
    pair.command(0, Command::Shutdown);
    pair.run_for(Duration::from_secs(60));
    assert!(pair.sides[0].endpoint.is_idle());
    assert_eq!((pair.live_children(), pair.sides.each_ref().map(|s| s.plane.allocated())), ([0, 0], [0, 0]));
}

#[test]
fn side_that_ends_takes_no_new_ike_sa_from_a_peer_that_calls_at_once() {
    let mut pair = Pair::connected(1, Link::LAN, |_, config| config.mode = Mode::Default);
    pair.command(0, Command::Shutdown);
    pair.run_for(Duration::from_secs(60));
    assert!(pair.count(0, What::DropStopping) > 0, "{}", pair.trace());
    assert!(pair.sides[0].endpoint.is_idle(), "{}", pair.trace());
    assert_eq!((pair.live_children(), pair.live_ikes()[0]), ([0, 0], 0), "{}", pair.trace());
}

#[test]
fn a_seed_is_a_run() {
    let run = |seed| {
        let mut pair = Pair::connected(seed, Link::HOSTILE, |_, _| {});
        pair.command(0, Command::RekeyIke(CONNECTION));
        pair.run_for(Duration::from_secs(100));
        pair.trace()
    };
    assert_eq!(run(11), run(11));
    assert_ne!(run(11), run(12));
}

#[test]
fn reset_remove_and_shutdown_leak_nothing_at_any_step_of_an_ike_rekey_collision() {
    for steps in 0..14 {
        for kind in 0..3 {
            let mut pair = Pair::connected(1, Link::LAN, |_, config| config.mode = Mode::Default);
            pair.both(|_, _| Command::RekeyIke(CONNECTION));
            for _ in 0..steps {
                pair.step(pair.now + Duration::from_secs(1));
            }
            let command = [Command::Reset(CONNECTION), Command::Remove(CONNECTION), Command::Shutdown];
            pair.command(0, command.into_iter().nth(kind).unwrap());
            pair.run_for(Duration::from_secs(400));
            if kind == 0 {
                pair.assert_up(&format!("reset after {steps} steps"));
            } else {
                assert_eq!(pair.sides[0].plane.allocated(), 0, "{steps} steps\n{}", pair.trace());
            }
        }
    }
}

#[test]
fn a_clock_that_jumps_ahead_or_back_breaks_nothing() {
    const HOUR: Duration = Duration::from_secs(3600);
    for seed in few_seeds(40) {
        let mut pair = Pair::connected(seed, Link::LAN, |_, config| config.mode = Mode::Default);
        let rest = rest(&mut pair);
        for jump in [1, 5, 9, 200] {
            if seed % 2 == 1 {
                // In the middle of an exchange, too.
                pair.command(0, Command::RekeyIke(CONNECTION));
                pair.step(pair.now + Duration::from_millis(1));
            }
            pair.now = pair.now + HOUR * jump;
            settle(&mut pair);
            pair.assert_up(&format!("seed {seed}, ahead by {jump} h"));
            assert_eq!(censuses(&pair), rest, "seed {seed}, ahead by {jump} h\n{}", pair.trace());
        }
        for jump in [1, 5, 9] {
            pair.now = pair.now - HOUR * jump;
            pair.command(1, Command::RekeyChild(child(&pair, 1)));
            pair.run_for(Duration::from_secs(30));
            pair.assert_up(&format!("seed {seed}, back by {jump} h"));
            pair.run_for(HOUR * (jump + 12));
            settle(&mut pair);
            pair.assert_up(&format!("seed {seed}, {jump} h later"));
            assert_eq!(censuses(&pair), rest, "seed {seed}, back by {jump} h\n{}", pair.trace());
        }
    }
}

//! Replacing Child SAs and IKE SAs: without loss, at once from both sides, against a delete, by time, by configuration.

use super::*;

#[test]
fn child_rekey_loses_no_packet() {
    for pfs in [Vec::new(), vec![Some(Group::Curve25519)]] {
        let mut pair =
            Pair::connected(3, Link::LAN, |_, config| config.children[0].pfs_groups.clone_from(&pfs));
        pair.probing = true;
        for index in [0, 1] {
            pair.command(index, Command::RekeyChild(child(&pair, index)));
            pair.run_until_idle();
            pair.run_for(Duration::from_secs(10));
            pair.assert_up("rekeyed");
        }
        assert!(pair.delivered > 10 && pair.lost == 0, "{} lost\n{}", pair.lost, pair.trace());
    }
}

#[test]
fn child_rekey_collision_leaves_one_child() {
    for seed in seeds(100) {
        let mut pair = Pair::connected(seed, Link::LAN, |_, _| {});
        pair.probing = true;
        if seed % 2 == 1 {
            pair.link = Link { reorder: 0.3, loss: 0.2, ..Link::HOSTILE };
            pair.probing = false;
        }
        pair.both(|pair, index| Command::RekeyChild(child(pair, index)));
        pair.run_for(Duration::from_secs(60));
        pair.run_until_idle();
        pair.assert_up(&format!("seed {seed}"));
        assert_eq!(pair.lost, 0, "seed {seed}\n{}", pair.trace());
        let collided = pair.count(0, What::Collision) + pair.count(1, What::Collision);
        assert!(collided > 0 || seed % 2 == 1, "no collision without loss, seed {seed}\n{}", pair.trace());
    }
}

#[test]
fn ike_rekey_and_its_collision_leave_one_ike_sa() {
    for seed in seeds(100) {
        let mut pair = Pair::connected(seed, Link::LAN, |_, _| {});
        if seed % 2 == 1 {
            pair.link = Link { reorder: 0.3, loss: 0.2, ..Link::HOSTILE };
        }
        pair.command(0, Command::RekeyIke(CONNECTION));
        if seed % 4 > 1 {
            pair.command(1, Command::RekeyIke(CONNECTION));
        }
        pair.run_for(Duration::from_secs(120));
        pair.run_until_idle();
        pair.assert_up(&format!("seed {seed}"));
        let collided = pair.count(0, What::Collision) + pair.count(1, What::Collision);
        assert!(collided > 0 || seed % 4 != 2, "no collision without loss, seed {seed}\n{}", pair.trace());
        // With loss, a peer may legitimately be given up and found again.
        let replaced = pair.count(0, What::IkeRekeyed) > 0 && pair.count(0, What::Established) == 1;
        assert!(replaced || seed % 2 == 1, "seed {seed}\n{}", pair.trace());
    }
}

#[test]
fn lifetimes_replace_everything_for_days_without_loss() {
    let mut pair = Pair::connected(1, Link::LAN, |_, config| {
        config.mode = Mode::Default;
        config.ike_lifetime = Lifetime::of(Duration::from_secs(1000));
        config.children[0].lifetime = Lifetime::of(Duration::from_secs(300));
    });
    pair.probing = true;
    pair.run_for(Duration::from_secs(20_000));
    pair.run_for(Duration::from_secs(30));
    assert_eq!(pair.lost, 0, "{}", pair.trace());
    assert!(
        pair.count(0, What::IkeRekeyed) > 15 && pair.count(0, What::Established) <= 2,
        "{}",
        pair.trace()
    );
}

#[test]
fn a_rekey_that_meets_a_delete_ends_well() {
    for seed in seeds(100) {
        let mut pair = Pair::connected(seed, Link { reorder: 0.5, ..Link::LAN }, |_, _| {});
        pair.command(0, Command::RekeyChild(child(&pair, 0)));
        let spi = pair.sides[1].plane.sends_on(CONNECTION, 0).unwrap().inbound.spi;
        pair.command(1, Command::HardLifetime(spi));
        pair.run_for(Duration::from_secs(60));
        pair.run_until_idle();
        pair.assert_up(&format!("seed {seed}"));
    }
}

#[test]
fn a_changed_policy_replaces_the_child_and_an_unchanged_one_disturbs_nothing() {
    let mut pair = Pair::connected(1, Link::LAN, |_, config| config.mode = Mode::Default);
    pair.run_for(Duration::from_secs(200));
    let before = [child(&pair, 0), child(&pair, 1)];
    for index in [0, 1] {
        let config =
            ConnectionConfig { mode: Mode::Default, name: Arc::from("renamed"), ..connection(index) };
        pair.command(index, Command::Configure(Box::new(config)));
    }
    pair.run_until_idle();
    assert_eq!(before, [child(&pair, 0), child(&pair, 1)]);
    for index in [1, 0] {
        let mut config = ConnectionConfig { mode: Mode::Default, ..connection(index) };
        config.children[0].esp_suites = vec![EspSuite::AesGcm16(KeyBits::B128)];
        pair.command(index, Command::Configure(Box::new(config)));
    }
    pair.run_for(Duration::from_secs(200));
    pair.run_until_idle();
    pair.assert_up("another policy");
    let suite = pair.sides[0].plane.sends_on(CONNECTION, 0).unwrap().suite;
    assert_eq!(suite, EspSuite::AesGcm16(KeyBits::B128));
    assert_eq!(pair.live_ikes(), [1, 1]);
}

#[test]
fn nothing_of_ours_begins_while_the_answer_to_an_ike_rekey_is_computed() {
    for steps in 0..12 {
        for expires in [true, false] {
            let mut pair = Pair::connected(1, Link::LAN, |_, _| {});
            // Shorter than the way there and back, so that our answer comes after the successor is made.
            pair.compute = Duration::from_millis(5);
            pair.link.delay = Duration::from_millis(10);
            pair.command(1, Command::RekeyIke(CONNECTION));
            for _ in 0..steps {
                pair.step(pair.now + Duration::from_secs(1));
            }
            let before = child(&pair, 0);
            let spi = pair.sides[0].plane.sends_on(CONNECTION, 0).unwrap().inbound.spi;
            let command = if expires { Command::HardLifetime(spi) } else { Command::RekeyChild(before) };
            pair.command(0, command);
            pair.run_for(Duration::from_secs(60));
            pair.run_until_idle();
            pair.assert_up(&format!("after {steps} steps, expires {expires}"));
            assert_ne!(child(&pair, 0), before, "not replaced, {steps} steps\n{}", pair.trace());
            let known: usize =
                pair.sides[0].endpoint.status()[0].ike_sas.iter().map(|ike| ike.children.len()).sum();
            assert_eq!(known, 1, "after {steps} steps, expires {expires}\n{}", pair.trace());
        }
    }
}

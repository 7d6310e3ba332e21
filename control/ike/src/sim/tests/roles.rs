//! Reset, remove and delete, from either side and in every mode; and against a rekey that is under way.

use super::*;

const MODES: [[Mode; 2]; 4] = [
    [Mode::Default, Mode::ResponderOnly],
    [Mode::Default, Mode::Default],
    [Mode::InitiatorOnly, Mode::ResponderOnly],
    [Mode::InitiatorOnly, Mode::Default],
];

fn connected(seed: u64, modes: [Mode; 2]) -> Pair {
    Pair::connected(seed, Link::LAN, move |index, config| config.mode = modes[index])
}

#[test]
fn a_reset_by_either_side_in_every_mode_brings_up_one_fresh_ike_sa() {
    for modes in MODES {
        for side in [0, 1] {
            let mut pair = connected(1, modes);
            let (rest, before) = (rest(&mut pair), status(&pair, 0).ike_sas[0].spis);
            pair.command(side, Command::Reset(CONNECTION));
            settle(&mut pair);
            let note = format!("{modes:?}, reset by {side}");
            pair.assert_up(&note);
            assert_ne!(status(&pair, 0).ike_sas[0].spis, before, "{note}");
            assert_eq!(censuses(&pair), rest, "{note}\n{}", pair.trace());
        }
    }
}

#[test]
fn a_removed_connection_leaves_nothing_on_its_side_and_comes_up_when_it_is_back() {
    for modes in MODES {
        for side in [0, 1] {
            let mut pair = connected(1, modes);
            let rest = rest(&mut pair);
            pair.command(side, Command::Remove(CONNECTION));
            pair.run_for(Duration::from_secs(100));
            let note = format!("{modes:?}, removed by {side}");
            let left = pair.sides[side].endpoint.census();
            // A peer that may begin keeps asking; each time it is refused without state.
            let counts = [
                left.connections,
                left.ike_sas,
                left.ike_spis,
                left.half_open.0,
                left.attached,
                left.lingering,
            ];
            assert_eq!((counts, left.children, left.timers), ([0; 6], (0, 0), 0), "{note}\n{}", pair.trace());
            assert_eq!(pair.sides.each_ref().map(|side| side.plane.allocated()), [0, 0], "{note}");
            let config = ConnectionConfig { mode: modes[side], ..connection(side) };
            pair.command(side, Command::Configure(Box::new(config)));
            settle(&mut pair);
            pair.assert_up(&note);
            assert_eq!(censuses(&pair), rest, "{note}\n{}", pair.trace());
        }
    }
}

#[test]
fn a_delete_by_a_peer_that_only_answers_is_noticed_and_the_connection_comes_back() {
    let mut pair = connected(1, MODES[0]);
    pair.command(1, Command::Reset(CONNECTION));
    pair.run(|pair| pair.live_ikes() == [0, 0], pair.now + Duration::from_secs(2));
    let down = pair.sides[0].events.iter().any(|event| event.contains("reason: DeletedByPeer"));
    assert!(down, "{:?}", pair.sides[0].events);
    assert!(status(&pair, 0).retry_at.is_some());
    settle(&mut pair);
    pair.assert_up("back");
}

#[test]
fn an_ike_delete_that_crosses_an_ike_rekey_ends_with_one_ike_sa() {
    for steps in 0..16 {
        for compute in [0, 5, 30] {
            for deleter in [0, 1] {
                let mut pair = connected(steps, MODES[1]);
                let rest = rest(&mut pair);
                pair.compute = Duration::from_millis(compute);
                pair.link.delay = Duration::from_millis(10);
                pair.command(0, Command::RekeyIke(CONNECTION));
                for _ in 0..steps {
                    pair.step(pair.now + Duration::from_secs(1));
                }
                pair.command(deleter, Command::Reset(CONNECTION));
                settle(&mut pair);
                let note = format!("{steps} steps, compute {compute} ms, deleted by {deleter}");
                pair.assert_up(&note);
                assert_eq!(censuses(&pair), rest, "{note}\n{}", pair.trace());
            }
        }
    }
}

#[test]
fn forced_encapsulation_on_either_side_puts_esp_into_udp_on_both() {
    for forcing in [[true, false], [false, true], [true, true]] {
        let pair = Pair::connected(1, Link::LAN, |index, config| config.force_encapsulation = forcing[index]);
        pair.assert_up(&format!("forced by {forcing:?}"));
        for index in [0, 1] {
            let path = pair.sides[index].plane.sends_on(CONNECTION, 0).unwrap().path;
            assert_eq!(path.encapsulation, crate::event::Encapsulation::Udp, "side {index}, {forcing:?}");
            assert_eq!((path.local.port(), path.remote.port()), (4500, 4500), "side {index}, {forcing:?}");
        }
    }
}

#[test]
fn two_that_only_begin_answer_neither_of_them() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    for side in [0, 1] {
        let config = ConnectionConfig { mode: Mode::InitiatorOnly, ..connection(side) };
        pair.command(side, Command::Configure(Box::new(config)));
    }
    pair.run_for(Duration::from_secs(400));
    for side in &pair.sides {
        assert!(side.plane.live().is_empty(), "{}", pair.trace());
    }
}

#[test]
fn an_idle_tunnel_stays_as_it_is() {
    let mut pair = connected(1, [Mode::Default, Mode::ResponderOnly]);
    settle(&mut pair);
    let live = |pair: &Pair| pair.sides.each_ref().map(|side| side.plane.live());
    let before = live(&pair);
    pair.run_for(Duration::from_secs(6 * 3600));
    pair.assert_up("after six hours without a packet");
    assert_eq!(live(&pair), before, "{}", pair.trace());
}

//! Whole runs of two endpoints.

use std::time::Duration;

use super::*;

fn child(pair: &Pair, index: usize) -> crate::event::ChildId {
    pair.sides[index].plane.sends_on(CONNECTION, 0).expect("connected").id
}

#[test]
fn a_handshake_gives_both_sides_one_child() {
    Pair::connected(1, Link::LAN, |_, _| {}).assert_up("plain");
}

#[test]
fn a_handshake_survives_loss_reordering_and_duplicates() {
    for seed in seeds(200) {
        let mut pair = Pair::connected(seed, Link::HOSTILE, |_, _| {});
        pair.run_for(Duration::from_secs(120));
        pair.run_until_idle();
        pair.assert_up(&format!("seed {seed}"));
    }
}

#[test]
fn child_rekey_loses_no_packet() {
    for pfs in [Vec::new(), vec![Group::Curve25519]] {
        let mut pair = Pair::connected(3, Link::LAN, |_, config| config.children[0].pfs_groups.clone_from(&pfs));
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
    for seed in seeds(200) {
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
    }
}

#[test]
fn ike_rekey_and_its_collision_leave_one_ike_sa() {
    for seed in seeds(200) {
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
    }
}

#[test]
fn both_initiating_at_once_end_with_one_ike_sa() {
    for seed in seeds(100) {
        let link = if seed % 2 == 0 { Link::LAN } else { Link::HOSTILE };
        let mut pair = Pair::connected(seed, link, |_, config| config.mode = Mode::Default);
        pair.run_for(Duration::from_secs(200));
        pair.run_until_idle();
        pair.assert_up(&format!("seed {seed}"));
    }
}

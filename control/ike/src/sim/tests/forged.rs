//! A peer that has the keys and says anything, at any step: nothing panics, no data plane is asked for what it cannot do, and a reset leaves nothing of it. `tests/fuzz/ike_peer.rs`
//! does the same without an end.

use super::*;
use crate::sim::Inside;
use crate::v1::wire::{ExchangeType, PayloadType};

/// Changes a content: a byte, its end, or the exchange, number or first payload that it comes under.
fn bend(inside: &mut Inside, random: &mut Random) {
    let length = inside.content.len();
    match random.index(8) {
        0 => inside.content.truncate(random.index(length + 1)),
        1 => inside.content.extend([0, 0, 0, 4]),
        2 => inside.exchange.0 = 34 + u8::try_from(random.index(12)).unwrap(),
        3 => inside.first.0 = 33 + u8::try_from(random.index(20)).unwrap(),
        4 => inside.id.0 += random.below_u32(3),
        _ if length > 0 => {
            for _ in 0..=random.index(3) {
                inside.content[random.index(length)] ^= 1 << random.index(8);
            }
        }
        _ => {}
    }
}

/// Something that makes side `index` talk.
fn talk(pair: &mut Pair, index: usize, random: &mut Random) {
    let plane = &pair.sides[index].plane;
    let command = match random.index(4) {
        0 => Some(Command::RekeyIke(CONNECTION)),
        1 => plane.live().first().map(|child| Command::RekeyChild(*child)),
        2 => plane.installed().next().map(|found| Command::HardLifetime(found.sa.inbound.spi)),
        _ => None,
    };
    if let Some(command) = command {
        pair.command(index, command);
    }
}

/// Both sides begin anew, and are as they were before anybody said anything.
fn assert_reset(pair: &mut Pair, note: &str) {
    for index in [0, 1] {
        pair.command(index, Command::Reset(CONNECTION));
    }
    pair.run_for(Duration::from_secs(1200));
    pair.assert_up(note);
}

#[test]
fn sealed_nonsense_at_any_step_leaves_nothing_behind() {
    let mut changed = 0;
    for seed in seeds(100) {
        let mut random = Random::new(seed ^ 0xf0);
        let mut pair = Pair::new(seed, Link::LAN, &EndpointConfig::default());
        for index in [1, 0] {
            let mut config = ConnectionConfig { mode: Mode::Default, ..connection(index) };
            if seed % 2 == 1 {
                config.children[0].pfs_groups = vec![Some(Group::Curve25519)];
            }
            pair.command(index, Command::Configure(Box::new(config)));
        }
        for _ in 0..12 {
            let index = random.index(2);
            talk(&mut pair, index, &mut random);
            let until = pair.now + Duration::from_secs(5);
            let mut is_changed = false;
            while !is_changed {
                is_changed = pair.forge(index, |inside| bend(inside, &mut random));
                if !is_changed && !pair.step(until) {
                    break;
                }
            }
            changed += u32::from(is_changed);
            pair.run_for(Duration::from_millis(random.below(3000)));
        }
        assert_reset(&mut pair, &format!("seed {seed}"));
    }
    assert!(changed > 0, "nobody said anything");
}

#[test]
fn encrypted_nonsense_of_ikev1_leaves_nothing_behind() {
    for seed in seeds(50) {
        let mut random = Random::new(seed ^ 0xf1);
        let mut pair = Pair::connected(seed, Link::LAN, |_, config| v1::v1(config));
        for _ in 0..20 {
            let (first, next) = (random.index(15), random.index(15));
            let [first, next] = [first, next].map(|kind| u8::try_from(kind).unwrap());
            let mut body = vec![0; random.index(80)];
            random.fill(&mut body);
            let length = u8::try_from(body.len() + 4).unwrap();
            let last = [0, 0, 0, 8, 0, 0, 0, 1];
            let content = [&[next, 0, 0, length], &body[..], &last].concat();
            let exchange = [ExchangeType::QUICK_MODE, ExchangeType::INFORMATIONAL][random.index(2)];
            let id = random.below_u32(u32::MAX);
            pair.say_v1(random.index(2), exchange, id, PayloadType(first), &content);
            pair.run_for(Duration::from_millis(random.below(3000)));
        }
        assert_reset(&mut pair, &format!("seed {seed}"));
    }
}

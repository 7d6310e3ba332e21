//! Random sequences of what operators, timers and data planes ask, from one side or both at once, over bad links, with slow maths and with clocks that jump: in the end one IKE
//! SA, one Child SA for each policy, and nothing that was not there before. `CROSSGATE_SEEDS=10000` runs that many, `CROSSGATE_SEED=17` one.

use super::*;

/// Operations of one run.
const OPERATIONS: usize = 14;

/// Furthest that a clock jumps back in one run, and furthest at once.
const BACK: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(60)];

/// How a seed's run is set up.
struct Setting {
    version: Version,
    modes: [Mode; 2],
    policies: usize,
    pfs: Vec<Option<Group>>,
    additional: Vec<Option<Group>>,
}

impl Setting {
    fn of(seed: u64, version: Version) -> Self {
        let modes = match seed % 4 {
            0 | 1 => [Mode::Default, Mode::Default],
            2 => [Mode::Default, Mode::ResponderOnly],
            _ => [Mode::InitiatorOnly, Mode::ResponderOnly],
        };
        let is_v2 = version == Version::V2;
        let group = if is_v2 { Group::Curve25519 } else { Group::Ecp256 };
        let pfs = if seed % 5 < 2 { vec![Some(group)] } else { Vec::new() };
        let additional = if is_v2 && seed % 7 > 4 { vec![Some(Group::MlKem768), None] } else { vec![None] };
        let policies = if seed.is_multiple_of(3) { 2 } else { 1 };
        Self { version, modes, policies, pfs, additional }
    }

    fn config(&self, index: usize) -> ConnectionConfig {
        let mut config = ConnectionConfig {
            mode: self.modes[index],
            additional: self.additional.clone(),
            ..connection(index)
        };
        if self.version == Version::V1 {
            v1::v1(&mut config);
        }
        config.children[0].pfs_groups.clone_from(&self.pfs);
        if self.policies == 2 {
            second_policy(index, &mut config);
        }
        config
    }
}

/// Number of kinds of [`operation`], the last of which are none.
const KINDS: usize = 20;

/// Something that one side wants; `None` if it has nothing that it could be about.
fn operation(
    pair: &Pair,
    index: usize,
    kind: usize,
    random: &mut Random,
    setting: &Setting,
) -> Option<Command> {
    let plane = &pair.sides[index].plane;
    let live = plane.live();
    let any = |random: &mut Random| (!live.is_empty()).then(|| live[random.index(live.len())]);
    let spi = |random: &mut Random| {
        let id = any(random)?;
        plane.installed().find(|installed| installed.sa.id == id).map(|installed| installed.sa.inbound.spi)
    };
    Some(match kind {
        0..=4 => Command::RekeyChild(any(random)?),
        5..=8 => Command::RekeyIke(CONNECTION),
        9..=10 => Command::HardLifetime(spi(random)?),
        11 => Command::SoftLifetime(spi(random)?),
        12 => Command::InboundActivity(spi(random)?),
        13 => Command::Reset(CONNECTION),
        14 => Command::Idle(CONNECTION),
        15 => Command::Remove(CONNECTION),
        16..=17 => Command::Configure(Box::new(setting.config(index))),
        18 if setting.modes[index].initiates() => Command::Initiate(CONNECTION),
        _ => return None,
    })
}

/// Between nothing and a minute: most gaps are about as long as a message takes.
fn gap(random: &mut Random) -> Duration {
    let limit = [1, 20, 100, 100, 1000, 5000, 60_000][random.index(7)];
    Duration::from_millis(random.below(limit))
}

/// One side's clock jumps: ahead by up to two days, so that whatever has a lifetime is over, or a little back. How far back.
fn jump(pair: &mut Pair, random: &mut Random, left: Duration) -> Duration {
    let index = random.index(2);
    let limit = [2, 40, 300, 10_000, 40_000, 172_800][random.index(6)];
    let by = Duration::from_secs(random.below(limit));
    if random.chance(0.7) {
        pair.jump_ahead(index, by);
        return Duration::ZERO;
    }
    let by = by.min(BACK[1]).min(left);
    pair.jump_back(index, by);
    by
}

fn run(seed: u64, version: Version) {
    let setting = Setting::of(seed, version);
    let mut pair = Pair::new(seed, Link::LAN, &EndpointConfig::default());
    for index in [1, 0] {
        pair.command(index, Command::Configure(Box::new(setting.config(index))));
    }
    settle(&mut pair);
    pair.assert_up_with(setting.policies, &format!("seed {seed}, at first"));
    let rest = censuses(&pair);

    let mut random = Random::new(seed.wrapping_mul(77));
    pair.compute = Duration::from_millis([0, 3, 50, 400][random.index(4)]);
    pair.link =
        [Link::LAN, Link { reorder: 0.5, duplicate: 0.3, ..Link::HOSTILE }, Link::HOSTILE][random.index(3)];
    let mut back = Duration::ZERO;
    for _ in 0..OPERATIONS {
        if random.chance(0.15) {
            back += jump(&mut pair, &mut random, BACK[0] - back);
        }
        let kind = random.index(KINDS);
        // Both at once: neither hears of the other's before it has its own.
        let sides: &[usize] = [&[0][..], &[1], &[0, 1]][random.index(3)];
        for &index in sides {
            if let Some(command) = operation(&pair, index, kind, &mut random, &setting) {
                pair.command(index, command);
            }
        }
        pair.run_for(gap(&mut random));
    }

    pair.link = Link::LAN;
    pair.run_for(back);
    for index in [0, 1] {
        pair.command(index, Command::Configure(Box::new(setting.config(index))));
    }
    if version == Version::V1 {
        // Nothing answers a deletion (RFC 2408, 3.15): whoever did not hear of it is told again when it sends on what is gone.
        pair.probing = true;
        pair.run_for(Duration::from_secs(200));
        pair.probing = false;
    }
    settle(&mut pair);
    let note = format!("seed {seed}");
    pair.assert_up_with(setting.policies, &note);
    assert_eq!(censuses(&pair), rest, "{note}\n{}", pair.trace());

    pair.both(|_, _| Command::Remove(CONNECTION));
    settle(&mut pair);
    pair.assert_empty(&note);
}

#[test]
fn random_operations_leave_one_ike_sa_one_child_a_policy_and_nothing_else() {
    for seed in seeds(300) {
        run(seed, Version::V2);
    }
}

#[test]
fn random_operations_leave_one_isakmp_sa_one_pair_a_policy_and_nothing_else() {
    for seed in seeds(100) {
        run(seed, Version::V1);
    }
}

//! Random sequences of what operators, timers and data planes ask, from both sides, over bad links and with slow maths: in the end one IKE SA, one
//! Child SA for each policy, and nothing that was not there before. `CROSSGATE_SEEDS=10000` runs that many, `CROSSGATE_SEED=17` one.

use super::*;

/// Operations of one run.
const OPERATIONS: usize = 14;

/// How a seed's run is set up.
struct Setting {
    modes: [Mode; 2],
    policies: usize,
    pfs: Vec<Option<Group>>,
    additional: Vec<Option<Group>>,
}

impl Setting {
    fn of(seed: u64) -> Self {
        let modes = match seed % 4 {
            0 | 1 => [Mode::Default, Mode::Default],
            2 => [Mode::Default, Mode::ResponderOnly],
            _ => [Mode::InitiatorOnly, Mode::ResponderOnly],
        };
        let pfs = if seed % 5 < 2 { vec![Some(Group::Curve25519)] } else { Vec::new() };
        let additional = if seed % 7 > 4 { vec![Some(Group::MlKem768), None] } else { vec![None] };
        Self { modes, policies: if seed.is_multiple_of(3) { 2 } else { 1 }, pfs, additional }
    }

    fn config(&self, index: usize) -> ConnectionConfig {
        let mut config = ConnectionConfig {
            mode: self.modes[index],
            additional: self.additional.clone(),
            ..connection(index)
        };
        config.children[0].pfs_groups.clone_from(&self.pfs);
        if self.policies == 2 {
            second_policy(index, &mut config);
        }
        config
    }
}

/// Something that one side wants; `None` if it has nothing that it could be about.
fn operation(pair: &Pair, index: usize, random: &mut Random, setting: &Setting) -> Option<Command> {
    let plane = &pair.sides[index].plane;
    let live = plane.live();
    let any = |random: &mut Random| (!live.is_empty()).then(|| live[random.index(live.len())]);
    let spi = |random: &mut Random| {
        let id = any(random)?;
        plane.installed().find(|installed| installed.sa.id == id).map(|installed| installed.sa.inbound.spi)
    };
    Some(match random.index(20) {
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

fn run(seed: u64) {
    let setting = Setting::of(seed);
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
    for _ in 0..OPERATIONS {
        let index = random.index(2);
        if let Some(command) = operation(&pair, index, &mut random, &setting) {
            pair.command(index, command);
        }
        pair.run_for(gap(&mut random));
    }

    pair.link = Link::LAN;
    for index in [0, 1] {
        pair.command(index, Command::Configure(Box::new(setting.config(index))));
    }
    settle(&mut pair);
    let note = format!("seed {seed}");
    pair.assert_up_with(setting.policies, &note);
    assert_eq!(censuses(&pair), rest, "{note}\n{}", pair.trace());
}

#[test]
fn random_operations_leave_one_ike_sa_one_child_a_policy_and_nothing_else() {
    for seed in seeds(300) {
        run(seed);
    }
}

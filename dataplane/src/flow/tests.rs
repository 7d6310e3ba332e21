use proptest::prelude::*;

use super::*;

fn key(origin: u16, v6: bool, host: u8) -> Key {
    let addresses =
        if v6 { Addresses::V6([1, 2, 3, u64::from(host)]) } else { Addresses::V4(u64::from(host)) };
    let way = if origin.is_multiple_of(2) {
        Way::Interface(InterfaceId(origin))
    } else {
        Way::Tunnel(TunnelId(u32::from(origin)))
    };
    of(way, addresses)
}

fn of(way: Way, addresses: Addresses) -> Key {
    let mut key = Key::NONE;
    key.set(way, addresses).expect("a small number");
    key
}

proptest! {
    /// A table may forget, but what it tells is what was learned last about that very flow, in this epoch.
    #[test]
    fn never_tells_anything_but_the_last_of_the_same_flow(
        steps in prop::collection::vec((0u16..4, any::<bool>(), 0u8..200, 0u32..50), 1..600), seed: u64,
    ) {
        let mut table = FlowTable::new(0, seed);
        let mut model = std::collections::HashMap::new();
        let mut now = Now { us: 0, epoch: 0, snapshot: 0 };
        for (origin, v6, host, tunnel) in steps {
            if tunnel == 0 {
                now.snapshot += 1;
                model.clear();
            }
            let key = key(origin, v6, host);
            let known = table.find(&key, now);
            let expected = model.get(&(origin, v6, host)).copied();
            prop_assert!(known.is_none() || known == expected, "{known:?} {expected:?}");
            let action = Action::Enter(TunnelId(tunnel), DontFragment::Copy);
            table.learn(&key, action, now);
            model.insert((origin, v6, host), action);
            prop_assert_eq!(table.find(&key, now), Some(action));
        }
    }
}

#[test]
fn many_flows_fit_at_a_quarter_of_the_load() {
    let mut table = FlowTable::new(FLOWS_MIN, 7);
    let now = Now { us: 0, epoch: 0, snapshot: 0 };
    let keys: Vec<_> =
        (0..FLOWS_MIN / 4).map(|n| of(Way::Interface(InterfaceId(1)), Addresses::V4(u64::from(n)))).collect();
    for key in &keys {
        table.learn(key, Action::Ours, now);
    }
    let kept = keys.iter().filter(|key| table.find(key, now).is_some()).count();
    assert!(kept * 20 > keys.len() * 19, "{kept} of {} are left", keys.len());
}

use proptest::prelude::*;

use super::*;

fn key(origin: u16, v6: bool, host: u8) -> Key {
    let way = if origin.is_multiple_of(2) {
        Way::Interface(InterfaceId(origin))
    } else {
        Way::Tunnel(TunnelId(u32::from(origin)))
    };
    let way = way.number().expect("a small number");
    if v6 { Key::v6(way, [1, 2, 3, u64::from(host)]) } else { Key::v4(way, u64::from(host)) }
}

#[test]
fn key_tells_way_and_addresses_again() {
    let v4 = u64::from_ne_bytes([10, 1, 0, 7, 10, 2, 0, 9]);
    let v6 = [[0xfd, 0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 7], [0xfd, 0, 0, 2, 0, 0, 0, 0], [0; 8]];
    let v6 = v6.map(u64::from_ne_bytes);
    for way in [Way::Interface(InterfaceId(3)), Way::Tunnel(TunnelId(70_000))] {
        let number = way.number().expect("a small number");
        let [four, six] = [Key::v4(number, v4), Key::v6(number, v6)];
        assert_eq!((four.way(), six.way()), (way, way));
        assert_eq!((four.family(), six.family()), (Family::V4, Family::V6));
        let ends = |source: &str, destination: &str| {
            (source.parse().expect("an address"), destination.parse().expect("an address"))
        };
        assert_eq!(four.ends(), ends("10.1.0.7", "10.2.0.9"));
        assert_eq!(six.ends(), ends("fd00:1::7", "fd00:2::"));
        assert!(four.is_v4(number, v4) && !four.is_v4(number, v4 + 1) && !six.is_v4(number, v6[0]));
        assert!(six.is_v6(number, v6) && !four.is_v6(number, [v4, 0, 0, 0]));
        for at in 0..4 {
            let mut other = v6;
            other[at] ^= 1;
            assert!(!six.is_v6(number, other) && six != Key::v6(number, other));
        }
    }
    assert_eq!(Way::Tunnel(TunnelId(1 << 30)).number(), None);
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
    let keys: Vec<_> = (0..FLOWS_MIN / 4).map(|n| Key::v4(WayNumber(1), u64::from(n))).collect();
    for key in &keys {
        table.learn(key, Action::Ours, now);
    }
    let kept = keys.iter().filter(|key| table.find(key, now).is_some()).count();
    assert!(kept * 20 > keys.len() * 19, "{kept} of {} are left", keys.len());
}

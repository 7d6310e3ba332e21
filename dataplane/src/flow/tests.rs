use proptest::prelude::*;

use super::*;

fn key(origin: u16, v6: bool, host: u8) -> Key {
    let addresses =
        if v6 { Addresses::V6([1, 2, 3, u64::from(host)]) } else { Addresses::V4(u64::from(host)) };
    if origin.is_multiple_of(2) {
        Key::from_interface(InterfaceId(origin), addresses)
    } else {
        Key::from_tunnel(TunnelId(u32::from(origin)), addresses).expect("a small number")
    }
}

fn egress(port: u16, until_us: u64, epoch: u32) -> Egress {
    Egress { until_us, epoch, port: PortIndex(port), ..Egress::NONE }
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
            let known = table.find(&key, now).map(|flow| flow.action);
            let expected = model.get(&(origin, v6, host)).copied();
            prop_assert!(known.is_none() || known == expected, "{known:?} {expected:?}");
            let action = Action::Enter(TunnelId(tunnel), DontFragment::Copy);
            table.learn(&key, action, None, now);
            model.insert((origin, v6, host), action);
            prop_assert_eq!(table.find(&key, now).map(|flow| flow.action), Some(action));
        }
    }
}

#[test]
fn way_out_is_forgotten_with_time_and_with_every_change() {
    let mut table = FlowTable::new(0, 1);
    let (key, now) = (key(0, true, 1), Now { us: 10, epoch: 5, snapshot: 2 });
    table.learn(&key, Action::Forward, Some(egress(3, 20, 5)), now);
    let port = |now| table.find(&key, now).map(|flow| flow.egress.port.0);
    assert_eq!(port(now), Some(3));
    assert_eq!(port(Now { us: 19, ..now }), Some(3));
    assert_eq!(port(Now { us: 20, ..now }), None);
    assert_eq!(port(Now { epoch: 6, ..now }), None);
    assert_eq!(port(Now { snapshot: 3, ..now }), None);
}

#[test]
fn many_flows_fit_at_a_quarter_of_the_load() {
    let mut table = FlowTable::new(FLOWS_MIN, 7);
    let now = Now { us: 0, epoch: 0, snapshot: 0 };
    let keys: Vec<_> = (0..FLOWS_MIN / 4)
        .map(|n| Key::from_interface(InterfaceId(1), Addresses::V4(u64::from(n))))
        .collect();
    for key in &keys {
        table.learn(key, Action::Ours, None, now);
    }
    let kept = keys.iter().filter(|key| table.find(key, now).is_some()).count();
    assert!(kept * 20 > keys.len() * 19, "{kept} of {} are left", keys.len());
}

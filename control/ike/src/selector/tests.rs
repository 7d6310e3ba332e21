//! Narrowing and ranges.

use super::*;

fn prefix(text: &str) -> TrafficSelector {
    let (address, bits) = text.split_once('/').unwrap();
    TrafficSelector::from_prefix(address.parse().unwrap(), bits.parse().unwrap()).unwrap()
}

#[test]
fn prefixes_become_ranges_and_back() {
    for text in ["10.1.0.0/16", "0.0.0.0/0", "192.0.2.7/32", "2001:db8::/32", "::/0", "::1/128"] {
        assert_eq!(prefix(text).to_string(), text);
    }
    assert_eq!(prefix("10.1.2.3/16"), prefix("10.1.0.0/16"));
    assert!(TrafficSelector::from_prefix("10.0.0.0".parse().unwrap(), 33).is_err());
    let odd = AddressRange::new("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()).unwrap();
    assert_eq!(odd.prefix_bits(), None);
    assert!(AddressRange::new("10.0.0.2".parse().unwrap(), "10.0.0.1".parse().unwrap()).is_err());
}

#[test]
fn narrowing_ends_at_what_a_payload_can_hold() {
    let hosts: Vec<_> =
        (0..300).map(|host| prefix(&format!("10.1.{}.{}/32", host / 256, host % 256))).collect();
    let narrowed = narrow(&[TrafficSelector::any_ipv4()], &hosts);
    assert_eq!(narrowed, hosts[..255]);
}

#[test]
fn narrowing_is_the_intersection_without_what_is_covered() {
    let policy = [prefix("10.1.0.0/16"), prefix("fd00:1::/48")];
    let any = [TrafficSelector::any_ipv4(), TrafficSelector::any_ipv6()];
    assert_eq!(narrow(&any, &policy), policy);
    let packet_first = [prefix("10.1.2.3/32"), prefix("10.0.0.0/8")];
    assert_eq!(narrow(&packet_first, &policy), [prefix("10.1.0.0/16")]);
    assert_eq!(narrow(&[prefix("10.2.0.0/16")], &policy), []);
    assert!(is_narrowing(&policy, &any) && !is_narrowing(&any, &policy) && !is_narrowing(&[], &any));
}

#[test]
fn protocols_and_ports_narrow_as_well() {
    let all = prefix("10.0.0.0/8");
    let span = |first, last| PortRange::Span { first, last };
    let tcp = TrafficSelector::new(all.addresses(), 6, span(80, 90));
    assert_eq!(all.intersect(&tcp), Some(tcp));
    assert_eq!(tcp.intersect(&TrafficSelector::new(all.addresses(), 17, PortRange::ANY)), None);
    let upper = TrafficSelector::new(all.addresses(), 6, span(85, 99));
    assert_eq!(tcp.intersect(&upper).unwrap().ports(), span(85, 90));
    let opaque = TrafficSelector::new(all.addresses(), 6, PortRange::Opaque);
    assert_eq!(all.intersect(&opaque), Some(opaque));
    assert_eq!(tcp.intersect(&opaque), None);
}

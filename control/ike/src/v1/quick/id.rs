//! Selectors as identifications of quick mode (RFC 2407, 4.6.2): one range of addresses each, one protocol and one port or all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::selector::{AddressRange, PortRange, TrafficSelector};
use crate::wire::{IdType, Identification};

const IPV4_SUBNET: IdType = IdType(4);
const IPV6_SUBNET: IdType = IdType(6);
const IPV4_RANGE: IdType = IdType(7);
const IPV6_RANGE: IdType = IdType(8);

/// As an identification: a subnet if it is one, else a range. Ports other than one or all are not to be said; then it is all of them.
pub(super) fn of_selector(selector: &TrafficSelector) -> Identification {
    let port = match selector.ports() {
        PortRange::Span { first, last } if first == last => first,
        PortRange::Span { .. } | PortRange::Opaque => 0,
    };
    let [high, low] = port.to_be_bytes();
    let addresses = selector.addresses();
    let (first, last) = (octets(addresses.first()), octets(addresses.last()));
    let is_ipv4 = addresses.first().is_ipv4();
    let (kind, data) = match addresses.prefix_bits() {
        Some(bits) if usize::from(bits) == first.len() * 8 => {
            (if is_ipv4 { IdType::IPV4_ADDR } else { IdType::IPV6_ADDR }, first)
        }
        Some(_) => {
            let mask = first.iter().zip(&last).map(|(first, last)| !(first ^ last)).collect();
            (if is_ipv4 { IPV4_SUBNET } else { IPV6_SUBNET }, [first, mask].concat())
        }
        None => (if is_ipv4 { IPV4_RANGE } else { IPV6_RANGE }, [first, last].concat()),
    };
    Identification { kind, reserved: [selector.protocol(), high, low], data }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// As a selector; `None` for names, masks with holes and lengths that do not fit.
pub(super) fn to_selector(id: &Identification) -> Option<TrafficSelector> {
    let [protocol, high, low] = id.reserved;
    let addresses = match id.kind {
        IdType::IPV4_ADDR | IdType::IPV6_ADDR => {
            let address = address(&id.data, id.kind == IdType::IPV4_ADDR)?;
            AddressRange::new(address, address).ok()?
        }
        kind @ (IPV4_SUBNET | IPV6_SUBNET) => {
            let (first, mask) = halves(&id.data, kind == IPV4_SUBNET)?;
            let bits = mask.iter().map(|byte| byte.leading_ones()).sum::<u32>();
            let is_prefix = mask.iter().map(|byte| byte.count_ones()).sum::<u32>() == bits
                && mask.windows(2).all(|pair| pair[0] == u8::MAX || pair[1] == 0);
            let first = address(first, kind == IPV4_SUBNET)?;
            AddressRange::from_prefix(first, u8::try_from(bits).ok().filter(|_| is_prefix)?).ok()?
        }
        kind @ (IPV4_RANGE | IPV6_RANGE) => {
            let (first, last) = halves(&id.data, kind == IPV4_RANGE)?;
            AddressRange::new(address(first, kind == IPV4_RANGE)?, address(last, kind == IPV4_RANGE)?).ok()?
        }
        _ => return None,
    };
    let port = u16::from_be_bytes([high, low]);
    let ports = if port == 0 { PortRange::ANY } else { PortRange::Span { first: port, last: port } };
    Some(TrafficSelector::new(addresses, protocol, ports))
}

fn halves(data: &[u8], is_ipv4: bool) -> Option<(&[u8], &[u8])> {
    let bytes = if is_ipv4 { 4 } else { 16 };
    (data.len() == 2 * bytes).then(|| data.split_at(bytes))
}

fn address(data: &[u8], is_ipv4: bool) -> Option<IpAddr> {
    if is_ipv4 {
        <[u8; 4]>::try_from(data).ok().map(|octets| IpAddr::V4(Ipv4Addr::from(octets)))
    } else {
        <[u8; 16]>::try_from(data).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn selector(first: &str, last: &str, protocol: u8, ports: PortRange) -> TrafficSelector {
        let addresses = AddressRange::new(first.parse().unwrap(), last.parse().unwrap()).unwrap();
        TrafficSelector::new(addresses, protocol, ports)
    }

    #[test]
    fn subnets_hosts_ranges_and_ports_survive() {
        let port = PortRange::Span { first: 443, last: 443 };
        for (first, last, protocol, ports, kind) in [
            ("10.1.0.0", "10.1.255.255", 0, PortRange::ANY, IPV4_SUBNET),
            ("0.0.0.0", "255.255.255.255", 0, PortRange::ANY, IPV4_SUBNET),
            ("10.1.0.1", "10.1.0.1", 6, port, IdType::IPV4_ADDR),
            ("10.1.0.1", "10.1.0.9", 0, PortRange::ANY, IPV4_RANGE),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 0, PortRange::ANY, IPV6_SUBNET),
            ("2001:db8::1", "2001:db8::1", 0, PortRange::ANY, IdType::IPV6_ADDR),
            ("2001:db8::1", "2001:db8::7", 17, port, IPV6_RANGE),
        ] {
            let selector = selector(first, last, protocol, ports);
            let id = of_selector(&selector);
            assert_eq!((id.kind, to_selector(&id)), (kind, Some(selector)), "{selector}");
        }
    }

    #[test]
    fn masks_with_holes_and_names_are_no_selectors() {
        let of =
            |kind, data: &[u8]| to_selector(&Identification { kind, reserved: [0; 3], data: data.to_vec() });
        assert_eq!(of(IPV4_SUBNET, &[10, 0, 0, 0, 255, 0, 255, 0]), None);
        assert_eq!(of(IPV4_SUBNET, &[10, 0, 0, 0, 255]), None);
        assert_eq!(of(IPV4_SUBNET, &[10, 0, 0, 0, 254, 128, 0, 0]), None);
        assert_eq!(of(IPV4_RANGE, &[10, 0, 0, 9, 10, 0, 0, 1]), None);
        assert_eq!(of(IdType::FQDN, b"gw.example"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_selector_or_none(kind in 0u8..12, reserved: [u8; 3], data in proptest::collection::vec(any::<u8>(), 0..40)) {
            let id = Identification { kind: IdType(kind), reserved, data };
            if let Some(selector) = to_selector(&id) {
                prop_assert_eq!(to_selector(&of_selector(&selector)), Some(selector));
            }
        }
    }
}

//! Prefixes and addresses: what is unfit for use, and what overlaps what.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::report::{Located, Report};

/// An address of the gateway with the network that it is connected to, `10.1.0.1/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InterfaceAddress {
    /// The gateway's own address.
    pub address: IpAddr,
    /// The connected network; its host bits are 0.
    pub network: IpNet,
}

impl InterfaceAddress {
    /// Why no host can have this address in its own network.
    pub(crate) fn flaw(&self) -> Option<&'static str> {
        let IpNet::V4(network) = self.network else {
            return is_link_local(self.address)
                .then_some("a link-local address, which each port has by itself");
        };
        let ends_are_reserved = network.prefix_len() < 31;
        if ends_are_reserved && self.address == network.network() {
            return Some("the network's own address");
        }
        (ends_are_reserved && self.address == network.broadcast())
            .then_some("the network's broadcast address")
    }
}

/// A static route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StaticRoute {
    /// Destinations; host bits are 0.
    pub prefix: IpNet,
    /// A neighbour in one of the connected networks of the same interface, or by its link-local address.
    pub next_hop: IpAddr,
}

/// Why `address` cannot be the address of one host.
pub(crate) fn address_flaw(address: IpAddr) -> Option<&'static str> {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    let mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    [
        (address.is_unspecified(), "the unspecified address"),
        (address.is_multicast(), "a multicast address"),
        (address.is_loopback(), "a loopback address"),
        (broadcast, "the broadcast address"),
        (mapped, "an IPv4 address in the clothes of IPv6"),
    ]
    .into_iter()
    .find_map(|(applies, flaw)| applies.then_some(flaw))
}

/// Why nothing can be routed to `prefix`. The prefix of all addresses is sound.
#[must_use]
pub fn prefix_flaw(prefix: IpNet) -> Option<&'static str> {
    if prefix.prefix_len() == 0 {
        return None;
    }
    [
        ("224.0.0.0/4", "multicast addresses"),
        ("ff00::/8", "multicast addresses"),
        ("127.0.0.0/8", "loopback addresses"),
        ("::1/128", "loopback addresses"),
        ("fe80::/10", "link-local addresses, which never leave their link"),
    ]
    .into_iter()
    .find_map(|(reserved, flaw)| {
        let hits = |reserved: IpNet| overlap(reserved, prefix);
        reserved.parse().is_ok_and(hits).then_some(flaw)
    })
}

/// Whether an address means something on one link only (RFC 4291, 2.5.6).
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Whether two prefixes have an address in common.
pub(crate) fn overlap(a: IpNet, b: IpNet) -> bool {
    a.contains(&b) || b.contains(&a)
}

/// Whether `prefix` lies within one of `spaces`.
pub(crate) fn within(prefix: IpNet, spaces: &[IpNet]) -> bool {
    spaces.iter().any(|space| space.contains(&prefix))
}

/// The first of `routes` that would take packets for `prefix` away from where that leads, by being as long or longer. A default route is for what
/// has no route of its own, so that only another default route takes from it.
pub(crate) fn taken_by(prefix: IpNet, routes: &[StaticRoute]) -> Option<IpNet> {
    let takes =
        |route: IpNet| prefix.contains(&route) && (prefix.prefix_len() > 0 || route.prefix_len() == 0);
    routes.iter().map(|route| route.prefix).find(|route| takes(*route))
}

/// Reports each prefix of one list that overlaps an earlier one, and returns the sound ones.
pub(crate) fn without_overlaps(prefixes: Vec<Located<IpNet>>, report: &mut Report<'_>) -> Vec<IpNet> {
    let mut sound: Vec<IpNet> = Vec::with_capacity(prefixes.len());
    for Located { value: prefix, place } in prefixes {
        match sound.iter().find(|earlier| overlap(**earlier, prefix)) {
            None => sound.push(prefix),
            Some(earlier) if *earlier == prefix => {
                report.error(&place, format!("{prefix} is listed twice"), "leave one of them out");
            }
            Some(earlier) => report.error(
                &place,
                format!("{prefix} overlaps {earlier} of the same list"),
                "leave out the smaller of the two, or correct one of them",
            ),
        }
    }
    sound
}

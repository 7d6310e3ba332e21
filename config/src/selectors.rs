//! Traffic selectors of a connection (RFC 4301, 4.4.1; RFC 7296, 2.9): what may travel through it.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::connection::Nat;
use crate::document::Section;
use crate::gateway::VpnType;
use crate::prefix::{within, without_overlaps};
use crate::report::{Located, Place, Report};

/// What may enter and leave a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficSelectors {
    /// On our side, of all policies; at least one.
    pub local: Vec<IpNet>,
    /// On the peer's side, of all policies; at least one. Each address family is on both sides or on none.
    pub remote: Vec<IpNet>,
    /// What goes with what, where that is not each with each. Empty or two and more.
    several: Vec<SelectorPolicy>,
}

/// From any of `local` to any of `remote`, and back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorPolicy {
    /// On our side; at least one.
    pub local: Vec<IpNet>,
    /// On the peer's side; at least one.
    pub remote: Vec<IpNet>,
}

impl TrafficSelectors {
    /// Pairs of a local and a remote prefix of one family that go together: as many Child SAs there are where each is negotiated by itself.
    pub(crate) fn pairs(&self) -> usize {
        let of_one = |policy: &SelectorPolicy| -> usize {
            let of_family = |side: &[IpNet], ipv4| side.iter().filter(|one| is_ipv4(one) == ipv4).count();
            let families = [true, false].into_iter();
            families.map(|ipv4| of_family(&policy.local, ipv4) * of_family(&policy.remote, ipv4)).sum()
        };
        self.policies().iter().map(of_one).sum()
    }

    /// Each local prefix with each remote one.
    pub(crate) fn each_with_each(local: Vec<IpNet>, remote: Vec<IpNet>) -> Self {
        Self { local, remote, several: Vec::new() }
    }

    fn of_policies(mut policies: Vec<SelectorPolicy>) -> Self {
        if policies.len() == 1
            && let Some(SelectorPolicy { local, remote }) = policies.pop()
        {
            return Self::each_with_each(local, remote);
        }
        let all = |side: fn(&SelectorPolicy) -> &Vec<IpNet>| {
            let mut all: Vec<IpNet> = Vec::new();
            for prefix in policies.iter().flat_map(side) {
                if !all.contains(prefix) {
                    all.push(*prefix);
                }
            }
            all
        };
        Self { local: all(|one| &one.local), remote: all(|one| &one.remote), several: policies }
    }

    /// What goes with what: nothing else may travel.
    #[must_use]
    pub fn policies(&self) -> Vec<SelectorPolicy> {
        if self.several.is_empty() {
            return vec![SelectorPolicy { local: self.local.clone(), remote: self.remote.clone() }];
        }
        self.several.clone()
    }

    /// Reports more selectors than one side of a tunnel can name, and, of selectors `by_policy`, more pairs than there may be.
    pub(crate) fn check_size(&self, by_policy: bool, place: &Place, report: &mut Report<'_>) {
        let pairs = self.pairs();
        let policies = self.policies();
        let sides = policies.iter().map(|policy| policy.local.len().max(policy.remote.len()));
        let most = sides.max().unwrap_or(0);
        let remedy = "join prefixes that lie side by side, or let everything travel: any-to-any";
        if by_policy && pairs > PAIRS_MAX {
            report.error(place, format!("{pairs} pairs of prefixes are more than {PAIRS_MAX}"), remedy);
        } else if most > SIDE_MAX {
            let problem = format!("{most} prefixes on one side are more than a tunnel can name, {SIDE_MAX}");
            report.error(place, problem, remedy);
        }
    }
}

/// What the selectors of a connection have to fit.
pub(crate) struct Ends<'a> {
    /// What our gateway serves, as the peer knows it.
    pub(crate) served: &'a [IpNet],
    /// The prefixes behind the peer.
    pub(crate) prefixes: &'a [IpNet],
}

impl Ends<'_> {
    /// What travels where the configuration says nothing of it.
    pub(crate) fn by_default(&self, vpn_type: VpnType) -> TrafficSelectors {
        match vpn_type {
            // What is behind the peer is learned: it says what that is.
            VpnType::RouteBased if self.prefixes.is_empty() => self.own_to_any(),
            VpnType::RouteBased => self.any_to_any(),
            VpnType::PolicyBased => self.prefix_pairs(),
        }
    }

    /// Everything to everything, in each address family that both ends have.
    pub(crate) fn any_to_any(&self) -> TrafficSelectors {
        let any: Vec<IpNet> = EVERYTHING.into_iter().filter(|any| self.both_have(is_ipv4(any))).collect();
        TrafficSelectors::each_with_each(any.clone(), any)
    }

    /// What the gateway serves to everything, in each address family of it.
    fn own_to_any(&self) -> TrafficSelectors {
        let has = |any: &IpNet| self.served.iter().any(|prefix| is_ipv4(prefix) == is_ipv4(any));
        let remote = EVERYTHING.into_iter().filter(has).collect();
        TrafficSelectors::each_with_each(self.served.to_vec(), remote)
    }

    /// What the gateway serves to the peer's prefixes, in each address family that both ends have.
    pub(crate) fn prefix_pairs(&self) -> TrafficSelectors {
        let shared =
            |prefixes: &[IpNet]| prefixes.iter().copied().filter(|p| self.both_have(is_ipv4(p))).collect();
        TrafficSelectors::each_with_each(shared(self.served), shared(self.prefixes))
    }

    /// Reports that the ends cannot speak to each other, or that some of the peer's prefixes cannot be reached.
    pub(crate) fn check_families(&self, place: &Place, report: &mut Report<'_>) {
        if self.served.is_empty() || self.prefixes.is_empty() {
            return; // reported already
        }
        if ![true, false].into_iter().any(|ipv4| self.both_have(ipv4)) {
            let problem = "the network and the peer's prefixes have no address family in common";
            report.error(place, problem, "give both IPv4 prefixes, or both IPv6 prefixes");
            return;
        }
        let unreached = self.prefixes.iter().find(|prefix| !self.both_have(is_ipv4(prefix)));
        if let Some(prefix) = unreached {
            let problem =
                format!("the network has no address of the family of {prefix}, so nothing travels there");
            report.warning(
                place,
                problem,
                "add a prefix of that family to address_space, or take it from the peer's",
            );
        }
    }

    fn both_have(&self, ipv4: bool) -> bool {
        let has = |prefixes: &[IpNet]| prefixes.iter().any(|prefix| is_ipv4(prefix) == ipv4);
        has(self.served) && has(self.prefixes)
    }

    /// What [`Self::served`] is, for findings.
    pub(crate) fn served_name(nat: Option<&Nat>) -> &'static str {
        match nat {
            Some(nat) if !nat.egress.is_empty() => {
                "the network's address space as the peer knows it, by its egress NAT rules"
            }
            _ => "the address space of the network or of one that uses its gateway",
        }
    }

    /// Reads `traffic_selectors` of a connection: one table, or several, each a policy of its own. Prefixes of our side that are not of what the gateway serves go to `strangers`.
    pub(crate) fn read(
        &self,
        sections: Vec<Section<'_>>,
        strangers: &mut Vec<Located<IpNet>>,
        report: &mut Report<'_>,
    ) -> TrafficSelectors {
        let first = sections.first().map(|section| section.place.clone());
        let mut policies: Vec<SelectorPolicy> = Vec::new();
        for section in sections {
            let place = section.place.clone();
            let policy = self.policy(section, strangers, report);
            if policies.contains(&policy) && !policy.local.is_empty() && !policy.remote.is_empty() {
                report.error(
                    &place,
                    "the same selectors stand above already",
                    "leave one of the two tables out",
                );
            }
            policies.push(policy);
        }
        let selectors = TrafficSelectors::of_policies(policies);
        if let Some(place) = first {
            selectors.check_size(true, &place, report);
        }
        selectors
    }

    fn policy(
        &self,
        mut section: Section<'_>,
        strangers: &mut Vec<Located<IpNet>>,
        report: &mut Report<'_>,
    ) -> SelectorPolicy {
        let place = section.place.clone();
        let local = side(&mut section, "local", report);
        let remote = side(&mut section, "remote", report);
        let outside = |side: &[Located<IpNet>], space: &[IpNet]| -> Vec<Located<IpNet>> {
            let is_outside =
                |prefix: IpNet| !space.is_empty() && prefix.prefix_len() > 0 && !within(prefix, space);
            side.iter().filter(|prefix| is_outside(prefix.value)).cloned().collect()
        };
        strangers.extend(outside(&local, self.served));
        for Located { value, place } in outside(&remote, self.prefixes) {
            let problem = format!("{value} is not within the prefixes of the local network gateway");
            report.error(&place, problem, "take a part of that, or extend that");
        }
        let selectors = SelectorPolicy {
            local: without_overlaps(local, report),
            remote: without_overlaps(remote, report),
        };
        section.finish(report);
        for (ipv4, family) in [(true, "IPv4"), (false, "IPv6")] {
            let has = |side: &[IpNet]| side.iter().any(|prefix| is_ipv4(prefix) == ipv4);
            let known = !selectors.local.is_empty() && !selectors.remote.is_empty();
            if known && has(&selectors.local) != has(&selectors.remote) {
                let problem = format!("{family} is on one side only, so nothing of it can travel");
                report.error(
                    &place,
                    problem,
                    format!("add {family} prefixes to the other side, or take them out"),
                );
            }
        }
        selectors
    }
}

/// One side of the selectors.
fn side(section: &mut Section<'_>, key: &'static str, report: &mut Report<'_>) -> Vec<Located<IpNet>> {
    section.required_list::<IpNet>(key, "[\"10.1.0.0/16\"]", report).unwrap_or_default()
}

/// `selectors`, or the prefixes of the same families where a selector is everything.
pub(crate) fn named(selectors: &[IpNet], prefixes: &[IpNet]) -> Vec<IpNet> {
    let mut named = Vec::new();
    for selector in selectors {
        if selector.prefix_len() > 0 {
            named.push(*selector);
        } else {
            named.extend(prefixes.iter().filter(|prefix| is_ipv4(prefix) == is_ipv4(selector)));
        }
    }
    named
}

fn is_ipv4(prefix: &IpNet) -> bool {
    matches!(prefix, IpNet::V4(_))
}

/// Azure's bound of trafficSelectorPolicies.
const PAIRS_MAX: usize = 100;
/// A payload of traffic selectors counts them in one byte (RFC 7296, 3.13).
const SIDE_MAX: usize = 255;

const EVERYTHING: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED, 0)),
    IpNet::V6(Ipv6Net::new_assert(std::net::Ipv6Addr::UNSPECIFIED, 0)),
];

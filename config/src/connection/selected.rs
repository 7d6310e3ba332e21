//! The traffic selectors of a connection: its own, those that its gateway's kind asks for, or by policy.

use ipnet::IpNet;

use super::ability::check_selectors_allowed;
use super::{Found, Nat};
use crate::document::Section;
use crate::gateway::VpnType;
use crate::name::Name;
use crate::report::{Located, Report};
use crate::selectors::{Ends, TrafficSelectors};
use crate::transit::Stranger;

/// What may travel. Prefixes of our side that are not of what the gateway serves go to `strangers`.
pub(super) fn read(
    section: &mut Section<'_>,
    name: Option<&Located<Name>>,
    found: &Found<'_>,
    nat: Option<&Nat>,
    strangers: &mut Vec<Stranger>,
    report: &mut Report<'_>,
) -> Option<TrafficSelectors> {
    let by_policy = section.optional::<bool>("use_policy_based_traffic_selectors", report);
    let own = section.one_or_sections("traffic_selectors", report).filter(|own| !own.is_empty());
    // Without the rules nobody knows which addresses there are.
    let served = nat.map(|nat| nat.network_prefixes(&found.served)).unwrap_or_default();
    let ends = Ends {
        served: &served,
        prefixes: found.peer.filter(|_| nat.is_some()).map_or(&[][..], |peer| &peer.prefixes),
    };
    ends.check_families(&section.place, report);
    if let Some(gateway) = found.gateway {
        let place = own.as_ref().and_then(|own| own.first()).map(|own| own.place.clone());
        let flag = by_policy.as_ref().filter(|flag| flag.value).map(|flag| flag.place.clone());
        check_selectors_allowed(gateway, place.as_ref(), flag.as_ref(), report);
    }
    if let Some(flag) = by_policy.as_ref().filter(|flag| flag.value && own.is_some()) {
        let problem = "the connection has traffic_selectors of its own, which this would replace";
        report.error(&flag.place, problem, "leave one of the two out");
    }
    let mut outside = Vec::new();
    let own = own.map(|own| ends.read(own, &mut outside, report));
    let gateway = found.gateway?;
    let stranger = |prefix: Located<IpNet>| Stranger {
        connection: name.map(|name| name.value.clone()),
        gateway: gateway.name.clone(),
        prefix,
        served_name: Ends::served_name(nat),
    };
    strangers.extend(outside.into_iter().map(stranger));
    found.network?;
    found.peer?;
    Some(own.unwrap_or_else(|| {
        let flag = by_policy.filter(|flag| flag.value);
        let pairs = flag.is_some() || gateway.vpn_type == VpnType::PolicyBased;
        let selectors = if pairs { ends.prefix_pairs() } else { ends.by_default(gateway.vpn_type) };
        let place = flag.map_or_else(|| section.place.clone(), |flag| flag.place);
        selectors.check_size(pairs, &place, report);
        selectors
    }))
}

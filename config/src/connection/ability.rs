//! What the kind and the size of a gateway let its connections have: a policy, selectors, dead peer detection of their own.

use crate::choice::Choice as _;
use crate::connection::Protocol;
use crate::document::Section;
use crate::gateway::{VirtualNetworkGateway, VpnType};
use crate::policy::{self, Policy};
use crate::report::{Place, Report};

/// The connection's policy; gateways of size Basic and policy-based ones have none of their own.
pub(super) fn policy(
    section: &mut Section<'_>,
    gateway: Option<&VirtualNetworkGateway>,
    protocol: Protocol,
    report: &mut Report<'_>,
) -> Policy {
    let place = section.place.clone();
    let Some(section) = section.section("policy", report) else {
        let Some(gateway) = gateway else { return Policy::of(protocol) };
        warn_of_weak_defaults(gateway, &place, report);
        return Policy::on(gateway, protocol);
    };
    if let Some(gateway) = gateway.filter(|gateway| !gateway.sku.takes_policy()) {
        let problem = format!("the gateway \"{}\" is of size Basic, which takes no policy", gateway.name);
        report.error(&section.place, problem, "leave the policy out, or take a larger sku");
    }
    policy::read(section, protocol, report)
}

/// What a gateway that takes no policy offers, and nothing can be done about but to take another one.
fn warn_of_weak_defaults(gateway: &VirtualNetworkGateway, place: &Place, report: &mut Report<'_>) {
    if gateway.sku.takes_policy() {
        return;
    }
    let problem = format!(
        "the gateway \"{}\" is of size Basic, which offers, behind what is sound, DHGroup2, SHA1 and DES3, as the cloud's does: they are weak",
        gateway.name
    );
    report.warning(place, problem, "see to it that the peer takes better ones, or take a larger sku");
}

/// Selectors of one's own are for route-based gateways that take a policy.
pub(super) fn check_selectors_allowed(
    gateway: &VirtualNetworkGateway,
    own: Option<&Place>,
    by_policy: Option<&Place>,
    report: &mut Report<'_>,
) {
    if gateway.vpn_type == VpnType::PolicyBased {
        if let Some(place) = own {
            let problem = format!(
                "the gateway \"{}\" is PolicyBased: its selectors are the prefixes of both sides",
                gateway.name
            );
            report.error(place, problem, "leave traffic_selectors out, or take vpn_type = \"RouteBased\"");
        }
    } else if let Some(place) = own.or(by_policy).filter(|_| !gateway.sku.takes_policy()) {
        let problem = format!(
            "the gateway \"{}\" is of size {}, whose selectors are any-to-any",
            gateway.name,
            gateway.sku.word()
        );
        report.error(place, problem, "leave them out, or take a larger sku");
    }
}

/// Policy-based gateways have no dead peer detection that could be set.
pub(super) fn check_dpd(
    section: &Section<'_>,
    gateway: Option<&VirtualNetworkGateway>,
    report: &mut Report<'_>,
) {
    let policy_based = gateway.filter(|gateway| gateway.vpn_type == VpnType::PolicyBased);
    if let Some(gateway) = policy_based.filter(|_| section.has("dpd_timeout_s")) {
        let problem =
            format!("the gateway \"{}\" is PolicyBased, which takes no dpd_timeout_s", gateway.name);
        let remedy = "leave the key out, or take vpn_type = \"RouteBased\"";
        report.error(&section.place_of("dpd_timeout_s"), problem, remedy);
    }
}

//! When a connection's tunnel comes and goes: up from the start and always, or there while there is traffic for it.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{ConnectionMode, ConnectionType};
use crate::choice::Choice;
use crate::document::Section;
use crate::gateway::{VirtualNetworkGateway, VpnType};
use crate::local_network_gateway::{LocalNetworkGateway, PeerAddress};
use crate::report::{Located, Place, Report};

/// When we begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// As soon as it is configured, and again whenever it is down.
    OnLoad,
    /// When a packet wants to go through; the packets until the tunnel is up are dropped.
    OnTraffic,
}

impl Choice for Start {
    const WORDS: &'static [(&'static str, Self)] =
        &[("OnLoad", Self::OnLoad), ("OnTraffic", Self::OnTraffic)];
}

/// What decides whether this side begins at all.
pub(super) struct Begins<'a> {
    pub(super) connection_type: ConnectionType,
    pub(super) mode: ConnectionMode,
    pub(super) gateway: Option<&'a VirtualNetworkGateway>,
    pub(super) peer: Option<&'a LocalNetworkGateway>,
}

impl Begins<'_> {
    /// Why it never does, and what to do.
    fn never(&self) -> Option<(String, &'static str)> {
        let anywhere = self.peer.filter(|peer| peer.address == PeerAddress::Any);
        match (self.mode, anywhere) {
            (ConnectionMode::ResponderOnly, _) => {
                let problem = "this side never begins, whatever traffic there is".to_owned();
                Some((problem, "leave start out, or take mode = \"Default\""))
            }
            (_, Some(peer)) => {
                let problem = format!("\"{}\" has no address that could be called", peer.name);
                Some((problem, "give its address, or leave start out"))
            }
            (_, None) => None,
        }
    }
}

/// `start` and `idle_timeout_s`: on a policy-based gateway the tunnel is there while there is traffic, as in the cloud, unless `start` says otherwise.
pub(super) fn read(
    section: &mut Section<'_>,
    begins: &Begins<'_>,
    report: &mut Report<'_>,
) -> (Start, Option<Duration>) {
    let idle_place = section.place_of("idle_timeout_s");
    let own_start = section.optional::<Start>("start", report);
    let own_idle = section
        .has("idle_timeout_s")
        .then(|| section.integer("idle_timeout_s", IDLE_TIMEOUT_S, IDLE_TIMEOUT_S_POLICY_BASED, report));
    let never = begins.never();
    let is_policy_based = begins.gateway.is_some_and(|gateway| gateway.vpn_type == VpnType::PolicyBased);
    let by_default = if is_policy_based && never.is_none() { Start::OnTraffic } else { Start::OnLoad };
    let start = own_start.as_ref().map_or(by_default, |start| start.value);
    let may_go = start == Start::OnTraffic || never.is_some();
    let is_to_stay = own_start.as_ref().is_some_and(|start| start.value == Start::OnLoad);
    if let Some(Located { place, .. }) = own_start.filter(|start| start.value == Start::OnTraffic) {
        check_traffic(&place, begins, never, report);
    }
    if own_idle.is_some() {
        check_idle(&idle_place, begins.connection_type, may_go, report);
    }
    let idle_s =
        own_idle.or((is_policy_based && may_go && !is_to_stay).then_some(IDLE_TIMEOUT_S_POLICY_BASED));
    (start, idle_s.map(|seconds| Duration::from_secs(seconds.into())))
}

/// Whether traffic can bring it up.
fn check_traffic(
    place: &Place,
    begins: &Begins<'_>,
    never: Option<(String, &'static str)>,
    report: &mut Report<'_>,
) {
    if begins.connection_type == ConnectionType::Vnet2Vnet {
        let problem =
            "a connection between networks is up at all times: one side alone begins, whichever has traffic";
        report.error(place, problem, "leave start out");
    } else if let Some((problem, remedy)) = never {
        report.error(place, problem, remedy);
    }
}

/// Whether a tunnel that was taken down stays down.
fn check_idle(place: &Place, connection_type: ConnectionType, may_go: bool, report: &mut Report<'_>) {
    if connection_type == ConnectionType::Vnet2Vnet {
        let problem = "a connection between networks is up at all times";
        report.error(place, problem, "leave idle_timeout_s out");
    } else if !may_go {
        let problem = "a tunnel that was taken down would be brought up again at once";
        let remedy = "add start = \"OnTraffic\", or mode = \"ResponderOnly\", or leave the key out";
        report.error(place, problem, remedy);
    }
}

const IDLE_TIMEOUT_S: RangeInclusive<u32> = 10..=86_400;
/// As Azure's policy-based gateways have it.
const IDLE_TIMEOUT_S_POLICY_BASED: u32 = 300;

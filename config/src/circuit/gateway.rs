//! Gateways of type `ExpressRoute`, and their sizes.

use std::ops::RangeInclusive;

use serde::Serialize;

use crate::choice::Choice;
use crate::document::Section;
use crate::gateway::{VirtualNetworkGateway, VpnType};
use crate::name::Name;
use crate::network::VirtualNetwork;
use crate::report::{Place, Report};
use crate::shelf::Shelf;
use crate::sku::Sku;

/// The size of a gateway of private circuits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CircuitSku {
    /// `Standard`.
    Standard,
    /// `HighPerformance`.
    HighPerformance,
    /// `UltraPerformance`.
    UltraPerformance,
    /// `ErGw1AZ`.
    ErGw1Az,
    /// `ErGw2AZ`.
    ErGw2Az,
    /// `ErGw3AZ`.
    ErGw3Az,
    /// `ErGwScale`: as many scale units as one likes.
    ErGwScale,
}

impl Choice for CircuitSku {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("Standard", Self::Standard),
        ("HighPerformance", Self::HighPerformance),
        ("UltraPerformance", Self::UltraPerformance),
        ("ErGw1AZ", Self::ErGw1Az),
        ("ErGw2AZ", Self::ErGw2Az),
        ("ErGw3AZ", Self::ErGw3Az),
        ("ErGwScale", Self::ErGwScale),
    ];
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] = &[
        ("Basic", "gateways of type ExpressRoute are no longer of size Basic", CIRCUIT_WORDS),
        ("VpnGw1", VPN_SIZE, CIRCUIT_WORDS),
        ("VpnGw2", VPN_SIZE, CIRCUIT_WORDS),
        ("VpnGw3", VPN_SIZE, CIRCUIT_WORDS),
        ("VpnGw4", VPN_SIZE, CIRCUIT_WORDS),
        ("VpnGw5", VPN_SIZE, CIRCUIT_WORDS),
        ("custom", VPN_SIZE, CIRCUIT_WORDS),
    ];
}

/// What a size promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CircuitSize {
    /// The name, as `sku` takes it.
    #[serde(serialize_with = "word")]
    pub sku: CircuitSku,
    /// All circuits together, both ways; of `ErGwScale` a unit.
    pub bandwidth_mbit_per_s: u32,
    /// Prefixes behind its circuits, of all of them together.
    pub routes: u32,
}

fn word<S: serde::Serializer>(sku: &CircuitSku, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(sku.word())
}

const fn size(sku: CircuitSku, bandwidth_mbit_per_s: u32, routes: u32) -> CircuitSize {
    CircuitSize { sku, bandwidth_mbit_per_s, routes }
}

/// Azure's sizes. Of `ErGwScale` it publishes no number of routes: that of its largest size holds.
pub const CIRCUIT_SIZES: &[CircuitSize] = &[
    size(CircuitSku::Standard, 1000, 4000),
    size(CircuitSku::HighPerformance, 2000, 9500),
    size(CircuitSku::UltraPerformance, 10_000, 9500),
    size(CircuitSku::ErGw1Az, 1000, 4000),
    size(CircuitSku::ErGw2Az, 2000, 9500),
    size(CircuitSku::ErGw3Az, 10_000, 9500),
    size(CircuitSku::ErGwScale, 1000, 9500),
];

impl CircuitSku {
    /// What the size promises.
    ///
    /// # Panics
    /// Never: each size is in the table.
    #[must_use]
    pub fn size(self) -> &'static CircuitSize {
        CIRCUIT_SIZES.iter().find(|size| size.sku == self).expect("each size is in the table")
    }
}

/// A gateway through which a network reaches private circuits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressRouteGateway {
    /// Name, unique among gateways of either type.
    pub name: Name,
    /// The network that it serves; that network has no other gateway of this type.
    pub virtual_network: Name,
    /// Its size.
    pub sku: CircuitSku,
    /// Units of a size that has them, 1 to 40; else 1.
    pub scale_units: u32,
}

impl ExpressRouteGateway {
    /// What its circuits may carry together, in Mbit/s.
    #[must_use]
    pub fn bandwidth_mbit_per_s(&self) -> u32 {
        self.sku.size().bandwidth_mbit_per_s * self.scale_units
    }
}

/// Reads what a gateway of this type has besides its name, type and network.
pub(crate) fn read(
    section: &mut Section<'_>,
    name: Option<&Name>,
    network: Option<&Name>,
    report: &mut Report<'_>,
) -> Option<ExpressRouteGateway> {
    for key in OF_VPN {
        if section.has(key) {
            let problem = format!("{key} is of Vpn gateways, and this one is of type ExpressRoute");
            report.error(&section.place_of(key), problem, "leave it out, or take type = \"Vpn\"");
            section.skip(key);
        }
    }
    let sku = section.optional::<CircuitSku>("sku", report).map_or(CircuitSku::ErGw1Az, |sku| sku.value);
    let place = section.place_of("scale_units");
    let has_units = section.has("scale_units");
    let scale_units = section.integer("scale_units", SCALE_UNITS, 1, report);
    if has_units && sku != CircuitSku::ErGwScale {
        let problem = format!("a gateway of size {} has no scale units", sku.word());
        report.error(&place, problem, "leave it out, or take sku = \"ErGwScale\"");
    }
    let (name, virtual_network) = (name?.clone(), network?.clone());
    Some(ExpressRouteGateway { name, virtual_network, sku, scale_units })
}

/// Reports what keeps a `Vpn` and an `ExpressRoute` gateway from sharing a network.
pub(crate) fn check_coexistence(
    vpn: &VirtualNetworkGateway,
    networks: &Shelf<VirtualNetwork>,
    place: &Place,
    report: &mut Report<'_>,
) {
    let beside = format!("the gateway \"{}\" beside one of type ExpressRoute", vpn.name);
    if vpn.vpn_type == VpnType::PolicyBased {
        report.error(
            place,
            format!("{beside} has to be RouteBased"),
            "take vpn_type = \"RouteBased\" for it",
        );
    } else if vpn.sku == Sku::Basic {
        report.error(place, format!("{beside} cannot be of size Basic"), "take VpnGw1 or larger for it");
    }
    let network = networks.sound().get(&vpn.virtual_network);
    if let Some(subnet) = network.and_then(|network| network.gateway_subnet)
        && subnet.prefix_len() > SUBNET_LENGTH_OF_TWO
    {
        let problem = format!("{subnet} of \"{}\" is too small for two gateways", vpn.virtual_network);
        report.error(place, problem, "enlarge gateway_subnet to a /27 or more");
    }
}

/// Keys of the other type.
const OF_VPN: [&str; 7] = [
    "public_addresses",
    "vpn_type",
    "generation",
    "custom",
    "active_active",
    "bgp_settings",
    "vpn_client_configuration",
];
const SCALE_UNITS: RangeInclusive<u32> = 1..=40;
const SUBNET_LENGTH_OF_TWO: u8 = 27;
const VPN_SIZE: &str = "this is a size of VPN gateways, not of ExpressRoute gateways";
const CIRCUIT_WORDS: &str = "take ErGw1AZ, ErGw2AZ, ErGw3AZ or ErGwScale";

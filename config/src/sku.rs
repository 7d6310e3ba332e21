//! Sizes of gateways: the limits and abilities that Azure gives each of its SKUs, and a size of one's own (`custom`).
//!
//! `gateway` and `connection` enforce them where a configuration is read; `crossgate skus` prints [`TABLE`].

use std::ops::RangeInclusive;

use serde::Serialize;

use crate::choice::Choice;
use crate::document::Section;
use crate::report::Report;

/// The size of a VPN gateway. `AZ` names (zone-redundant in Azure) are accepted and mean the same here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sku {
    /// `Basic`: the only size for policy-based gateways; no custom IPsec/IKE policy.
    Basic,
    /// `Standard`, of the 2017 table.
    Standard,
    /// `HighPerformance`, of the 2017 table.
    HighPerformance,
    /// `VpnGw1`.
    VpnGw1,
    /// `VpnGw2`.
    VpnGw2,
    /// `VpnGw3`.
    VpnGw3,
    /// `VpnGw4`.
    VpnGw4,
    /// `VpnGw5`.
    VpnGw5,
    /// `custom`: limits of one's own, which no cloud has.
    Custom,
}

/// Azure's generations of gateways: the same names, other limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Generation {
    /// `Generation1`.
    One,
    /// `Generation2`.
    Two,
}

impl Choice for Generation {
    const WORDS: &'static [(&'static str, Self)] = &[("Generation1", Self::One), ("Generation2", Self::Two)];
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] =
        &[("None", "a VPN gateway has a generation", "leave the key out, or take \"Generation1\"")];
}

/// What a gateway may have at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Limits {
    /// Tunnels (connections) of a route-based gateway.
    pub tunnels: u32,
    /// Point-to-site sessions over SSTP.
    pub sstp_sessions: u32,
    /// Point-to-site sessions over IKEv2.
    pub ikev2_sessions: u32,
    /// All tunnels and sessions together; `None`: what the machine can do.
    pub bandwidth_mbit_per_s: Option<u32>,
}

/// A built-in size with its promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The name, as `sku` takes it.
    #[serde(serialize_with = "word")]
    pub sku: Sku,
    /// The generation, as `generation` takes it.
    #[serde(serialize_with = "word")]
    pub generation: Generation,
    /// Its limits.
    #[serde(flatten)]
    pub limits: Limits,
    /// What Azure measured in one tunnel under AES-256-GCM; `None` where nothing is published.
    pub tunnel_mbit_per_s: Option<u32>,
    /// BGP.
    pub bgp: bool,
    /// Two public addresses at once.
    pub active_active: bool,
    /// NAT rules.
    pub nat: bool,
    /// An IPsec/IKE policy of one's own, and selectors other than any-to-any.
    pub custom_policy: bool,
    /// `vpn_type = "PolicyBased"`.
    pub policy_based: bool,
}

fn word<T: Choice, S: serde::Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value.word())
}

impl Sku {
    /// The generation of a gateway that names none.
    pub(crate) fn default_generation(self) -> Generation {
        let first = TABLE.iter().find(|row| row.sku == self);
        first.map_or(Generation::One, |row| row.generation)
    }

    /// The built-in size of this name and generation; `None` if there is none, as for `custom`.
    #[must_use]
    pub fn row(self, generation: Generation) -> Option<&'static Row> {
        TABLE.iter().find(|row| row.sku == self && row.generation == generation)
    }

    /// Whether gateways of this size take a policy and selectors.
    pub(crate) fn takes_policy(self) -> bool {
        self != Self::Basic
    }

    /// Whether gateways of this size have NAT rules.
    pub(crate) fn has_nat(self, generation: Generation) -> bool {
        self.row(generation).is_none_or(|row| row.nat)
    }

    /// Whether gateways of this size may use two public addresses of one family.
    pub(crate) fn is_active_active(self) -> bool {
        !matches!(self, Self::Basic | Self::Standard)
    }
}

impl Choice for Sku {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("Basic", Self::Basic),
        ("Standard", Self::Standard),
        ("HighPerformance", Self::HighPerformance),
        ("VpnGw1", Self::VpnGw1),
        ("VpnGw2", Self::VpnGw2),
        ("VpnGw3", Self::VpnGw3),
        ("VpnGw4", Self::VpnGw4),
        ("VpnGw5", Self::VpnGw5),
        ("custom", Self::Custom),
        ("VpnGw1AZ", Self::VpnGw1),
        ("VpnGw2AZ", Self::VpnGw2),
        ("VpnGw3AZ", Self::VpnGw3),
        ("VpnGw4AZ", Self::VpnGw4),
        ("VpnGw5AZ", Self::VpnGw5),
    ];
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] = &[
        ("UltraPerformance", CIRCUIT_SIZE, VPN_SIZES),
        ("ErGw1AZ", CIRCUIT_SIZE, VPN_SIZES),
        ("ErGw2AZ", CIRCUIT_SIZE, VPN_SIZES),
        ("ErGw3AZ", CIRCUIT_SIZE, VPN_SIZES),
        ("ErGwScale", CIRCUIT_SIZE, VPN_SIZES),
    ];
}

/// Reads `custom` of a gateway.
pub(crate) fn read_custom(mut section: Section<'_>, report: &mut Report<'_>) -> Limits {
    if !section.has("tunnels") {
        let problem = "the key tunnels is missing";
        report.error(&section.place_of("tunnels"), problem, "add tunnels = 500, or as many as there may be");
    }
    let tunnels = section.integer("tunnels", TUNNELS, 1, report);
    let sstp_sessions = section.integer("sstp_sessions", SESSIONS, 0, report);
    let ikev2_sessions = section.integer("ikev2_sessions", SESSIONS, 0, report);
    let limited = section.has("bandwidth_mbit_per_s");
    let bandwidth = section.integer("bandwidth_mbit_per_s", BANDWIDTH_MBIT_PER_S, 1, report);
    section.finish(report);
    Limits { tunnels, sstp_sessions, ikev2_sessions, bandwidth_mbit_per_s: limited.then_some(bandwidth) }
}

const fn row(
    (sku, generation): (Sku, Generation),
    tunnels: u32,
    [sstp_sessions, ikev2_sessions]: [u32; 2],
    bandwidth_mbit_per_s: u32,
    tunnel_mbit_per_s: Option<u32>,
    [bgp, active_active, nat]: [bool; 3],
) -> Row {
    let bandwidth_mbit_per_s = Some(bandwidth_mbit_per_s);
    let limits = Limits { tunnels, sstp_sessions, ikev2_sessions, bandwidth_mbit_per_s };
    let basic = matches!(sku, Sku::Basic);
    let (custom_policy, policy_based) = (!basic, basic);
    Row { sku, generation, limits, tunnel_mbit_per_s, bgp, active_active, nat, custom_policy, policy_based }
}

const G1: Generation = Generation::One;
const G2: Generation = Generation::Two;

/// The built-in sizes: Azure's tables of 2017 (`Standard`, `HighPerformance`) and of 2024. The generation that a name alone means comes first.
pub const TABLE: &[Row] = &[
    row((Sku::Basic, G1), 10, [128, 0], 100, None, [false, false, false]),
    row((Sku::Standard, G1), 10, [128, 0], 100, None, [true, false, false]),
    row((Sku::HighPerformance, G1), 30, [128, 0], 200, None, [true, true, false]),
    row((Sku::VpnGw1, G1), 30, [128, 250], 650, Some(650), [true, true, false]),
    row((Sku::VpnGw2, G1), 30, [128, 500], 1000, Some(1200), [true, true, true]),
    row((Sku::VpnGw3, G1), 30, [128, 1000], 1250, Some(1250), [true, true, true]),
    row((Sku::VpnGw2, G2), 30, [128, 500], 1250, Some(1250), [true, true, true]),
    row((Sku::VpnGw3, G2), 30, [128, 1000], 2500, Some(1500), [true, true, true]),
    row((Sku::VpnGw4, G2), 100, [128, 5000], 5000, Some(2300), [true, true, true]),
    row((Sku::VpnGw5, G2), 100, [128, 10_000], 10_000, Some(2300), [true, true, true]),
];

/// An appliance has room for as many (`max_tunnels`); a limit beyond this is a slip.
const TUNNELS: RangeInclusive<u32> = 1..=100_000;
const SESSIONS: RangeInclusive<u32> = 0..=100_000;
const BANDWIDTH_MBIT_PER_S: RangeInclusive<u32> = 1..=1_000_000;
const CIRCUIT_SIZE: &str = "this is a size of ExpressRoute gateways, not of VPN gateways";
const VPN_SIZES: &str = "take a VPN size, VpnGw1 to VpnGw5";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_size_is_in_the_table_once_for_each_generation() {
        for (_, sku) in Sku::WORDS.iter().filter(|(_, sku)| *sku != Sku::Custom) {
            assert!(sku.row(sku.default_generation()).is_some(), "{sku:?}");
        }
        for row in TABLE {
            let same =
                TABLE.iter().filter(|other| (other.sku, other.generation) == (row.sku, row.generation));
            assert_eq!(same.count(), 1, "{row:?}");
        }
    }

    #[test]
    fn each_size_has_the_numbers_and_abilities_of_the_cloud_s_tables() {
        // Tunnels, sessions over SSTP and IKEv2, Mbit/s; BGP, active-active, NAT rules.
        for (sku, generation, numbers, abilities) in [
            (Sku::Basic, G1, [10, 128, 0, 100], [false, false, false]),
            (Sku::Standard, G1, [10, 128, 0, 100], [true, false, false]),
            (Sku::HighPerformance, G1, [30, 128, 0, 200], [true, true, false]),
            (Sku::VpnGw1, G1, [30, 128, 250, 650], [true, true, false]),
            (Sku::VpnGw2, G1, [30, 128, 500, 1000], [true, true, true]),
            (Sku::VpnGw2, G2, [30, 128, 500, 1250], [true, true, true]),
            (Sku::VpnGw3, G1, [30, 128, 1000, 1250], [true, true, true]),
            (Sku::VpnGw3, G2, [30, 128, 1000, 2500], [true, true, true]),
            (Sku::VpnGw4, G2, [100, 128, 5000, 5000], [true, true, true]),
            (Sku::VpnGw5, G2, [100, 128, 10_000, 10_000], [true, true, true]),
        ] {
            let row = sku.row(generation).expect("it is in the table");
            let Limits { tunnels, sstp_sessions, ikev2_sessions, bandwidth_mbit_per_s } = row.limits;
            let mbit_per_s = bandwidth_mbit_per_s.expect("each has a bandwidth");
            assert_eq!([tunnels, sstp_sessions, ikev2_sessions, mbit_per_s], numbers, "{sku:?}");
            assert_eq!([row.bgp, row.active_active, row.nat], abilities, "{sku:?}");
            assert_eq!(sku.is_active_active(), row.active_active, "{sku:?}");
            assert_eq!(
                (row.custom_policy, row.policy_based),
                (sku != Sku::Basic, sku == Sku::Basic),
                "{sku:?}"
            );
        }
    }
}

//! Sizes of gateways, with the limits that Azure gives them.

use crate::choice::Choice;

/// A built-in size of a VPN gateway. `AZ` names (zone-redundant in Azure) are accepted and mean the same here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
}

impl Sku {
    /// The most connections that a route-based gateway of this size may have.
    #[must_use]
    pub fn tunnels_max(self) -> usize {
        match self {
            Self::Basic | Self::Standard => 10,
            Self::HighPerformance | Self::VpnGw1 | Self::VpnGw2 | Self::VpnGw3 => 30,
            Self::VpnGw4 | Self::VpnGw5 => 100,
        }
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

const CIRCUIT_SIZE: &str = "this is a size of ExpressRoute gateways, not of VPN gateways";
const VPN_SIZES: &str = "take a VPN size, VpnGw1 to VpnGw5";

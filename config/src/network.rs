//! Virtual networks: one VRF each, on a port or on a VLAN of a port.

use ipnet::IpNet;

use crate::name::Name;
use crate::prefix::{InterfaceAddress, StaticRoute};

/// A VLAN number, 1 to 4094 (IEEE 802.1Q).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VlanId(u16);

impl VlanId {
    /// The VLAN `number`, unless it is one of the reserved 0 and 4095 or larger.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        (1..=4094).contains(&number).then_some(Self(number))
    }

    /// The number, 1 to 4094.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

/// A network behind this gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualNetwork {
    /// Name, unique among virtual networks.
    pub name: Name,
    /// The prefixes of the network; they do not overlap.
    pub address_space: Vec<IpNet>,
    /// The part of the address space set aside for gateways (Azure's `GatewaySubnet`); always there if the network
    /// has a gateway.
    pub gateway_subnet: Option<IpNet>,
    /// The port that leads into the network.
    pub port: Name,
    /// The VLAN on that port, or untagged. No two networks share port and VLAN.
    pub vlan: Option<VlanId>,
    /// The gateway's own addresses in the network; at least one, inside the address space.
    pub addresses: Vec<InterfaceAddress>,
    /// Static routes inside the network.
    pub routes: Vec<StaticRoute>,
}

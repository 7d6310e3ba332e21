//! Ports: the devices that DPDK polls, and the addresses of the public side (the underlay).

use crate::name::Name;
use crate::prefix::{InterfaceAddress, StaticRoute};

/// What DPDK is told to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// A physical function or an SR-IOV VF, by its full PCI address (`0000:01:00.0`): EAL's `-a`.
    Pci(String),
    /// A virtual device with its arguments (`net_af_packet0,iface=wan0`): EAL's `--vdev=`.
    Virtual(String),
}

/// A device with its name. A port that no virtual network names belongs to the underlay (VRF 0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Name, unique among ports.
    pub name: Name,
    /// The device.
    pub device: Device,
    /// Largest IP packet in bytes, without the Ethernet header.
    pub mtu_bytes: u16,
    /// Addresses on the underlay; empty on the port of a virtual network.
    pub addresses: Vec<InterfaceAddress>,
    /// Routes of the underlay through this port; empty on the port of a virtual network.
    pub routes: Vec<StaticRoute>,
}

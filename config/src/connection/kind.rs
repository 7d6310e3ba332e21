//! What a connection leads to, and who begins it.

use crate::choice::Choice;

/// What a connection leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionType {
    /// A peer described by a local network gateway.
    IPsec,
    /// A gateway of another virtual network.
    Vnet2Vnet,
    /// A private circuit: see [`crate::ExpressRouteConnection`].
    ExpressRoute,
    /// Clients of the gateway; made of its `vpn_client_configuration`, never named in a file.
    VpnClient,
}

impl Choice for ConnectionType {
    const WORDS: &'static [(&'static str, Self)] =
        &[("IPsec", Self::IPsec), ("Vnet2Vnet", Self::Vnet2Vnet), ("ExpressRoute", Self::ExpressRoute)];
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] = &[(
        "VPNClient",
        "clients are configured at their gateway",
        "leave the connection out, and write [virtual_network_gateway.vpn_client_configuration]",
    )];
}

/// Who may begin a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionMode {
    /// Both sides. We begin at once if the peer's address is known.
    Default,
    /// Only we; the peer's calls are refused.
    InitiatorOnly,
    /// Only the peer.
    ResponderOnly,
}

impl Choice for ConnectionMode {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("Default", Self::Default),
        ("InitiatorOnly", Self::InitiatorOnly),
        ("ResponderOnly", Self::ResponderOnly),
    ];
}

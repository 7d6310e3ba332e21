//! Connections: one peer, its key, and what travels to it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::choice::Choice;
use crate::identity::Identity;
use crate::name::Name;
use crate::policy::Policy;
use crate::secret::SharedKey;
use crate::selectors::TrafficSelectors;

/// What a connection leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionType {
    /// A peer described by a local network gateway.
    IPsec,
}

impl Choice for ConnectionType {
    const WORDS: &'static [(&'static str, Self)] = &[("IPsec", Self::IPsec)];
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] = &[
        (
            "Vnet2Vnet",
            "connections between two virtual networks of one file are not supported by this version",
            "take \"IPsec\" with a local network gateway that describes the other side",
        ),
        (
            "ExpressRoute",
            "private circuits are not supported by this version",
            "take \"IPsec\" with a local network gateway",
        ),
        (
            "VPNClient",
            "point-to-site is not supported by this version",
            "take \"IPsec\" with a local network gateway",
        ),
    ];
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

/// What happens to the maximum segment size of TCP that passes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MssClamp {
    /// Lowered to what fits into the tunnel.
    Auto,
    /// Left alone.
    Off,
    /// Lowered to this many bytes, 536 to 8960.
    Bytes(u16),
}

/// A connection between a gateway of ours and a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Name, unique among connections.
    pub name: Name,
    /// What it leads to.
    pub connection_type: ConnectionType,
    /// Our gateway.
    pub gateway: Name,
    /// The peer.
    pub local_network_gateway: Name,
    /// Our end: one of the gateway's public addresses, of the family of the peer's address.
    pub local_address: IpAddr,
    /// The key of both sides. Shared so that a connection can be handed around; the key itself is never copied.
    pub shared_key: Arc<SharedKey>,
    /// How we call ourselves.
    pub local_id: Identity,
    /// What the peer must call itself.
    pub remote_id: Identity,
    /// Who begins.
    pub mode: ConnectionMode,
    /// The peer is asked whether it is alive after this much silence; 9 s to 3600 s.
    pub dpd_timeout: Duration,
    /// TCP segment sizes.
    pub mss_clamp: MssClamp,
    /// Algorithms and lifetimes.
    pub policy: Policy,
    /// What may travel.
    pub traffic_selectors: TrafficSelectors,
}

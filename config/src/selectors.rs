//! Traffic selectors of a connection (RFC 4301, 4.4.1; RFC 7296, 2.9): what may travel through it.

use ipnet::IpNet;

/// What may enter and leave a tunnel: from any of `local` to any of `remote`, and back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficSelectors {
    /// On our side; at least one.
    pub local: Vec<IpNet>,
    /// On the peer's side; at least one. Each address family is on both sides or on none.
    pub remote: Vec<IpNet>,
}

//! What a peer assigns to us (RFC 7296, 2.19): our addresses inside the tunnel, asked for in IKE_AUTH, which are ours for as long as the IKE SA and its successors last.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::ConnectionConfig;
use crate::selector::{AddressRange, TrafficSelector};

/// What a peer assigned to us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    /// Our addresses inside the tunnel: one of a family at most, none where nothing was asked for.
    pub addresses: Vec<IpAddr>,
    /// Name servers behind the peer.
    pub dns: Vec<IpAddr>,
    /// Prefixes that the peer says are behind it. What goes there, selectors and routes decide.
    pub subnets: Vec<AddressRange>,
}

impl Assigned {
    /// The address of a family.
    pub(crate) fn address(&self, is_ipv4: bool) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| address.is_ipv4() == is_ipv4)
    }
}

/// A connection as it is with what its peer assigned: nothing is sent but from there. Unchanged where it asks for nothing.
pub(crate) fn narrowed(config: Arc<ConnectionConfig>, assigned: &Assigned) -> Arc<ConnectionConfig> {
    if !config.request_addresses {
        return config;
    }
    let hosts: Vec<TrafficSelector> = assigned.addresses.iter().copied().map(TrafficSelector::host).collect();
    let mut own = ConnectionConfig::clone(&config);
    for child in &mut own.children {
        child.local_selectors.clone_from(&hosts);
    }
    Arc::new(own)
}

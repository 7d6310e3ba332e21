//! Which connections the peer at an address may be of, found without a look at every connection. Owned by the endpoint.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use crate::config::ConnectionConfig;
use crate::event::ConnectionId;

/// Whose peer has which address among its places, and whose may be anywhere.
#[derive(Debug, Default)]
pub(crate) struct Known {
    at: HashMap<IpAddr, BTreeSet<ConnectionId>>,
    roaming: BTreeSet<ConnectionId>,
}

impl Known {
    pub(crate) fn add(&mut self, config: &ConnectionConfig) {
        for address in config.addresses() {
            self.at.entry(address).or_default().insert(config.id);
        }
        if config.may_roam() {
            self.roaming.insert(config.id);
        }
    }

    pub(crate) fn remove(&mut self, config: &ConnectionConfig) {
        for address in config.addresses() {
            let Some(ids) = self.at.get_mut(&address) else { continue };
            ids.remove(&config.id);
            if ids.is_empty() {
                self.at.remove(&address);
            }
        }
        self.roaming.remove(&config.id);
    }

    pub(crate) fn at(&self, remote: IpAddr) -> impl Iterator<Item = ConnectionId> {
        self.at.get(&remote).into_iter().flatten().copied()
    }

    /// Whether there is any whose peer may be anywhere.
    pub(crate) fn has_roaming(&self) -> bool {
        !self.roaming.is_empty()
    }

    /// Those whose peer may be anywhere.
    pub(crate) fn roaming(&self) -> impl Iterator<Item = ConnectionId> {
        self.roaming.iter().copied()
    }

    /// The connections that a peer at `remote` may be of: those of that address, then those with peers from anywhere.
    pub(crate) fn candidates(&self, remote: IpAddr) -> Vec<ConnectionId> {
        let at = self.at.get(&remote);
        let is_new = |id: &ConnectionId| at.is_none_or(|at| !at.contains(id));
        self.at(remote).chain(self.roaming().filter(is_new)).collect()
    }
}

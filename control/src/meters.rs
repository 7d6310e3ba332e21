//! The bandwidth of each gateway, by its size: one meter for as long as the gateway is configured and limited, and a share of it for each of its
//! connections, or for each client where a connection stands for many. `reconcile` has them follow a configuration and puts the shares into the workers' snapshot; another size is another rate of the same
//! meter, so that nothing else notices a resize.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

use crossgate_config::{Config, Name};
use crossgate_dataplane::meter::{Meter, Share};
use crossgate_ike::identity::Identity;

const BYTES_PER_MBIT: u64 = 1_000_000 / 8;

/// The meters in use.
#[derive(Debug, Default)]
pub struct Meters {
    gateways: BTreeMap<Name, Arc<Meter>>,
    /// By connection.
    shares: BTreeMap<Name, Arc<Share>>,
    /// By connection of clients, the users that are there.
    clients: BTreeMap<Name, Clients>,
}

/// The users of a connection, and by each address that one has, whose it is.
#[derive(Debug, Default)]
struct Clients {
    users: HashMap<Identity, Arc<Share>>,
    addresses: HashMap<IpAddr, Arc<Share>>,
}

impl Meters {
    /// Makes, resizes and forgets meters as `config` wants them.
    pub fn follow(&mut self, config: &Config) {
        let vpn = config.gateways().iter().map(|(name, gateway)| (name, gateway.limits.bandwidth_mbit_per_s));
        let of_circuits = config.circuit_gateways().iter();
        let of_circuits = of_circuits.map(|(name, gateway)| (name, Some(gateway.bandwidth_mbit_per_s())));
        let rates: BTreeMap<&Name, NonZeroU64> =
            vpn.chain(of_circuits).filter_map(|(name, mbit)| Some((name, rate(mbit?)?))).collect();
        self.gateways.retain(|name, _| rates.contains_key(name));
        for (name, rate) in rates {
            self.gateways
                .entry(name.clone())
                .and_modify(|meter| meter.resize(rate))
                .or_insert_with(|| Arc::new(Meter::new(rate)));
        }
        let before = std::mem::take(&mut self.shares);
        let tunnels = config.connections().values().map(|one| (&one.name, &one.gateway));
        let circuits = config.circuit_connections().values().map(|one| (&one.name, &one.gateway));
        for (name, gateway) in tunnels.chain(circuits) {
            let Some(meter) = self.gateways.get(gateway) else { continue };
            let kept = before.get(name).filter(|share| Arc::ptr_eq(share.meter(), meter));
            let share = kept.map_or_else(|| Arc::new(Share::new(Arc::clone(meter))), Arc::clone);
            self.shares.insert(name.clone(), share);
        }
        self.clients.retain(|connection, _| self.shares.contains_key(connection));
    }

    /// Makes and forgets shares as the users of a connection come and go, each with one address or two.
    pub fn follow_clients<'u>(
        &mut self,
        connection: &Name,
        leases: impl IntoIterator<Item = (IpAddr, &'u Identity)>,
    ) {
        let Some(meter) = self.shares.get(connection).map(|share| share.meter()) else { return };
        let before = self.clients.remove(connection).unwrap_or_default();
        let mut now = Clients::default();
        for (address, user) in leases {
            let kept = || before.users.get(user).filter(|share| Arc::ptr_eq(share.meter(), meter)).cloned();
            let made = || Arc::new(Share::new(Arc::clone(meter)));
            let share = now.users.entry(user.clone()).or_insert_with(|| kept().unwrap_or_else(made));
            now.addresses.insert(address, Arc::clone(share));
        }
        self.clients.insert(connection.clone(), now);
    }

    /// A connection's part in its gateway's bandwidth; `None`: not limited.
    #[must_use]
    pub fn share(&self, connection: &Name) -> Option<&Arc<Share>> {
        self.shares.get(connection)
    }

    /// The same of what leads to `peer`, which may be a client's address.
    #[must_use]
    pub fn share_of_peer(&self, connection: &Name, peer: Option<IpAddr>) -> Option<&Arc<Share>> {
        let of_client = || self.clients.get(connection)?.addresses.get(&peer?);
        of_client().or_else(|| self.share(connection))
    }
}

/// In bytes a second.
fn rate(mbit_per_s: u32) -> Option<NonZeroU64> {
    NonZeroU64::new(u64::from(mbit_per_s) * BYTES_PER_MBIT)
}

#[cfg(test)]
mod tests;

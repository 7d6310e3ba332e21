//! The bandwidth of each gateway, by its size: one meter for as long as the gateway is configured and limited, and a share of it for each of its
//! connections. `reconcile` has them follow a configuration and puts the shares into the workers' snapshot; another size is another rate of the same
//! meter, so that nothing else notices a resize.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use crossgate_config::{Config, Name};
use crossgate_dataplane::meter::{Meter, Share};

const BYTES_PER_MBIT: u64 = 1_000_000 / 8;

/// The meters in use.
#[derive(Debug, Default)]
pub struct Meters {
    gateways: BTreeMap<Name, Arc<Meter>>,
    /// By connection.
    shares: BTreeMap<Name, Arc<Share>>,
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
    }

    /// A connection's part in its gateway's bandwidth; `None`: not limited.
    #[must_use]
    pub fn share(&self, connection: &Name) -> Option<&Arc<Share>> {
        self.shares.get(connection)
    }
}

/// In bytes a second.
fn rate(mbit_per_s: u32) -> Option<NonZeroU64> {
    NonZeroU64::new(u64::from(mbit_per_s) * BYTES_PER_MBIT)
}

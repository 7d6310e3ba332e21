//! Clients' addresses: what changes in the core is handed on to be kept ([`crate::leases`]), and what was kept is given to the core at the start. Who has which
//! tells, too, which tunnels are of one client.

use std::collections::BTreeMap;

use crossgate_ike::client::Lease;

use super::Gateway;
use crate::leases::GRACE;

impl Gateway {
    /// Hands on what has changed. While the names of those connections are known: before a removed one is forgotten.
    pub(crate) fn gather_leases(&mut self) {
        for Lease { connection, address, user } in self.endpoint.lease_changes(self.clock.now()) {
            if let Some(name) = self.identifiers.connection_name(connection) {
                self.leases.put(name.to_string(), address, user);
            }
        }
    }

    /// Gives each client a part of its own in its gateway's bandwidth.
    pub(super) fn follow_clients(&mut self) {
        for connection in self.config.connections().values().filter(|connection| connection.is_of_clients()) {
            let ends = self.identifiers.ends(connection.name.as_str());
            let leases = ends.flat_map(|end| self.endpoint.leases(end));
            self.meters.follow_clients(&connection.name, leases);
        }
    }

    /// Keeps the addresses of the time before for those who had them.
    pub(crate) fn restore_leases(&mut self) {
        let Ok(store) = &self.store else { return };
        let kept = store.leases().unwrap_or_else(|error| {
            let remedy = error.remedy();
            tracing::error!("{error}: clients may get other addresses than before the restart; {remedy}");
            BTreeMap::new()
        });
        let mut of: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for ((connection, address), user) in kept {
            of.entry(connection).or_default().push((address, user));
        }
        let until = self.clock.now() + GRACE;
        for (connection, leases) in of {
            match self.identifiers.connection(&connection) {
                Some(id) => self.endpoint.keep_leases(id, leases, until),
                None => {
                    leases.into_iter().for_each(|(at, _)| self.leases.put(connection.clone(), at, None));
                }
            }
        }
    }
}

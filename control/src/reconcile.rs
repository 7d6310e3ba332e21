//! From what runs to what is wanted: a checked configuration is compared with the running one and only the difference is carried out, all of it or
//! nothing. The file at start, SIGHUP and `crossgate apply` all end here.
//!
//! Order: everything that can fail is done first, on copies (tables built, connections checked); then new tunnels get their routes before their
//! SAs exist (traffic is dropped there, never sent in clear), then connections are changed in the core, and those that are gone are deleted at their peers.

pub mod connections;
pub mod forwarding;

use std::collections::BTreeSet;
use std::path::Path;

use crossgate_config::{Config, Environment, Finding, Findings, Name, Severity};
use crossgate_dataplane::forwarding::BuildError;
use crossgate_ike::Command;
use crossgate_ike::config::{ConfigError, ConnectionConfig};
use crossgate_ike::event::ConnectionId;

use crate::clock::unix_seconds;
use crate::gateway::Gateway;
use crate::identifiers::Identifiers;
use crate::tunnels::Tunnels;

pub use forwarding::PortFacts;

/// Why a configuration was not applied. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The file is wrong in itself.
    #[error("{0}")]
    Findings(#[from] Findings),
    /// Something that is fixed while the gateway runs differs.
    #[error(
        "{what} cannot change while the gateway runs: restart crossgated with the new file, or leave it as it was"
    )]
    NeedsRestart {
        /// What differs.
        what: String,
    },
    /// The resources contradict each other in a way that only the tables show.
    #[error("the forwarding tables cannot be built: {0}")]
    Build(#[from] BuildError),
    /// A connection lacks what IKE cannot do without.
    #[error("connection {name}: {error}")]
    Connection {
        /// Its name.
        name: Name,
        /// What.
        error: ConfigError,
    },
}

/// One difference, in the order in which it is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Ports' addresses, networks or routes differ: the workers get a new snapshot.
    Forwarding,
    /// A connection is new.
    Add(Name),
    /// A connection is different.
    Change(Name),
    /// A connection is gone.
    Remove(Name),
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Forwarding => f.write_str("changed ports, networks or routes"),
            Self::Add(name) => write!(f, "added connection {name}"),
            Self::Change(name) => write!(f, "changed connection {name}"),
            Self::Remove(name) => write!(f, "removed connection {name}"),
        }
    }
}

impl Gateway {
    /// Reads a file and applies it.
    ///
    /// # Errors
    /// [`ApplyError`]; then everything is as before.
    pub fn apply_file(&mut self, file: &Path) -> Result<(Vec<Change>, Vec<Finding>), ApplyError> {
        let loaded = Config::read(file, &Environment::of_process())?;
        let warnings = loaded.warnings;
        debug_assert!(
            warnings.iter().all(|finding| finding.severity == Severity::Warning),
            "errors do not load"
        );
        let changes = self.apply(loaded.config)?;
        self.config_file = file.to_owned();
        Ok((changes, warnings))
    }

    /// Brings the gateway to `wanted`.
    ///
    /// # Errors
    /// [`ApplyError`]; then everything is as before.
    pub fn apply(&mut self, wanted: Config) -> Result<Vec<Change>, ApplyError> {
        check_fixed(&self.config, &wanted)?;
        let changes = differences(&self.config, &wanted);
        self.carry_out(wanted, changes)
    }

    /// Brings a fresh gateway to the configuration that it was made with.
    ///
    /// # Errors
    /// [`ApplyError`]; the gateway then has no connection and no route.
    pub fn start(&mut self) -> Result<(), ApplyError> {
        let wanted = self.config.clone();
        let mut changes = vec![Change::Forwarding];
        changes.extend(wanted.connections().keys().cloned().map(Change::Add));
        self.carry_out(wanted, changes).map(drop)
    }

    fn carry_out(&mut self, wanted: Config, changes: Vec<Change>) -> Result<Vec<Change>, ApplyError> {
        let gone: BTreeSet<Name> = changes
            .iter()
            .filter_map(|change| if let Change::Remove(name) = change { Some(name.clone()) } else { None })
            .collect();
        let removed: Vec<ConnectionId> =
            gone.iter().filter_map(|name| self.identifiers.connection(name.as_str())).collect();
        let identifiers = self.identifiers.extended(&wanted, &gone);
        let configured = translate(&wanted, &identifiers, &changes)?;
        let with_new = |tunnels: &Tunnels| {
            let mut tunnels = tunnels.clone();
            removed.iter().for_each(|id| tunnels.remove(*id));
            configured.iter().for_each(|connection| tunnels.add(connection.id));
            tunnels
        };
        forwarding::build(&wanted, &identifiers, &with_new(&self.tunnels), &self.facts)?;

        // From here on nothing fails.
        for id in &removed {
            self.remove_connection(*id);
        }
        self.tunnels = with_new(&self.tunnels);
        self.identifiers = identifiers;
        self.config = wanted;
        self.applied_at = unix_seconds();
        self.refresh_forwarding();
        for connection in configured {
            self.command(Command::Configure(Box::new(connection)));
        }
        for change in &changes {
            tracing::info!("{change}");
        }
        Ok(changes)
    }
}

/// The connections that are new or different, as the core wants them.
fn translate(
    wanted: &Config,
    identifiers: &Identifiers,
    changes: &[Change],
) -> Result<Vec<ConnectionConfig>, ApplyError> {
    let mut configured = Vec::new();
    for change in changes {
        let (Change::Add(name) | Change::Change(name)) = change else { continue };
        let connection = &wanted.connections()[name];
        let Some(id) = identifiers.connection(name.as_str()) else { continue };
        let translated = connections::translate(wanted, connection, id);
        translated.check().map_err(|error| ApplyError::Connection { name: name.clone(), error })?;
        configured.push(translated);
    }
    Ok(configured)
}

/// Refuses what a running process cannot change.
fn check_fixed(running: &Config, wanted: &Config) -> Result<(), ApplyError> {
    let refuse = |what: String| Err(ApplyError::NeedsRestart { what });
    if running.appliance() != wanted.appliance() {
        return refuse("[appliance]".to_owned());
    }
    let (old, new): (BTreeSet<_>, BTreeSet<_>) =
        (running.ports().keys().collect(), wanted.ports().keys().collect());
    if let Some(name) = old.symmetric_difference(&new).next() {
        return refuse(format!("port {name} (ports can neither be added nor removed)"));
    }
    for (name, port) in running.ports() {
        let other = &wanted.ports()[name];
        if port.device != other.device || port.mtu_bytes != other.mtu_bytes {
            return refuse(format!("device or mtu_bytes of port {name}"));
        }
    }
    Ok(())
}

/// What differs, in the order in which it is carried out.
fn differences(running: &Config, wanted: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    for name in running.connections().keys().filter(|name| !wanted.connections().contains_key(*name)) {
        changes.push(Change::Remove(name.clone()));
    }
    let below = |config: &Config| (config.ports().clone(), config.virtual_networks().clone());
    if below(running) != below(wanted) {
        changes.push(Change::Forwarding);
    }
    for (name, connection) in wanted.connections() {
        match running.connections().get(name) {
            None => changes.push(Change::Add(name.clone())),
            Some(old) => {
                if old.gateway != connection.gateway
                    || running.network_of(old).name != wanted.network_of(connection).name
                {
                    // Another network is another VRF: nothing of the old connection may live on in it.
                    changes.push(Change::Remove(name.clone()));
                    changes.push(Change::Add(name.clone()));
                    continue;
                }
                let same = old == connection
                    && running.gateway_of(old) == wanted.gateway_of(connection)
                    && running.peer_of(old) == wanted.peer_of(connection);
                if !same {
                    changes.push(Change::Change(name.clone()));
                }
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests;

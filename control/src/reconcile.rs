//! From what runs to what is wanted: a checked configuration is compared with the running one and only the difference is carried out, all of it or
//! nothing. The file at start, SIGHUP and `crossgate apply` all end here.
//!
//! Order: everything that can fail is done first, on copies (tables built, connections checked); then new tunnels get their routes before their
//! SAs exist (traffic is dropped there, never sent in clear), then connections are changed in the core, and those that are gone are deleted at their peers.

pub mod connections;
mod fixed;
pub mod forwarding;
mod learned;
mod plan;
mod told;

use std::collections::BTreeSet;
use std::path::Path;

use crossgate_config::{Checked, Config, Environment, Finding, Findings, Name, Source};
use crossgate_dataplane::forwarding::BuildError;
use crossgate_ike::Command;
use crossgate_ike::config::{ConfigError, ConnectionConfig};
use crossgate_ike::event::ConnectionId;

use crate::clock::unix_seconds;
use crate::gateway::Gateway;
use crate::identifiers::Identifiers;
use crate::nat_pools::NatPools;
use crate::store::{Entry, Occasion, StoreError};
use crate::tunnels::Tunnels;

use forwarding::Lasting;
pub use forwarding::PortFacts;
pub use plan::Step;
pub use told::log_findings;

/// Why a configuration was not applied. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The file is wrong in itself.
    #[error("{0}")]
    Findings(#[from] Findings),
    /// It asks for what cannot change while the gateway runs.
    #[error("{0}")]
    NeedsRestart(Findings),
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
    /// Gateways, NAT rules or local network gateways differ in what no connection is touched by.
    Definitions,
}

/// Who has a configuration applied, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    /// The user, as the kernel tells; the gateway's own for a start or a signal.
    pub user_id: u32,
    /// How.
    pub occasion: Occasion,
}

/// What came of applying a configuration.
#[derive(Debug)]
pub struct Done {
    /// What was carried out, in that order.
    pub changes: Vec<Change>,
    /// Warnings of the configuration.
    pub warnings: Vec<Finding>,
    /// The entry of the history, or why there is none. The configuration is applied all the same.
    pub entry: Result<u64, HistoryError>,
}

/// Why the history has no answer.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The store could not be opened at the start.
    #[error("nothing is kept, neither history nor usage: {problem}; {remedy}")]
    NoStore {
        /// Why.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The store fails.
    #[error("{0}; {remedy}", remedy = .0.remedy())]
    Store(#[from] StoreError),
    /// There is no such entry.
    #[error("the history has no entry {0}: `crossgate history` lists them")]
    NoEntry(u64),
    /// There is nothing to go back to.
    #[error("the history holds no configuration before this one")]
    NothingBefore,
}

impl Change {
    /// The same as something that is still to be done.
    #[must_use]
    pub fn planned(&self) -> String {
        match self {
            Self::Forwarding => "change ports, networks or routes".to_owned(),
            Self::Add(name) => format!("add connection {name}"),
            Self::Change(name) => format!("change connection {name}"),
            Self::Remove(name) => format!("remove connection {name}"),
            Self::Definitions => "change gateways of either kind or NAT rules, no connection".to_owned(),
        }
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Forwarding => f.write_str("changed ports, networks or routes"),
            Self::Add(name) => write!(f, "added connection {name}"),
            Self::Change(name) => write!(f, "changed connection {name}"),
            Self::Remove(name) => write!(f, "removed connection {name}"),
            Self::Definitions => f.write_str("changed gateways of either kind or NAT rules, no connection"),
        }
    }
}

impl Gateway {
    /// Reads a file and applies it.
    ///
    /// # Errors
    /// [`ApplyError`]; then everything is as before.
    pub fn apply_file(&mut self, file: &Path, cause: Cause) -> Result<Done, ApplyError> {
        let checked = Config::read(file, &Environment::of_process())?;
        let changes = self.apply(&checked, file)?;
        self.config_file = file.to_owned();
        self.config_file_differs = false;
        let entry = self.remember(cause, file.display().to_string());
        Ok(Done { changes, warnings: checked.warnings, entry })
    }

    /// Applies entry `number` of the history, or the one before the latest.
    ///
    /// # Errors
    /// [`RollbackError`]; then everything is as before.
    pub fn roll_back(&mut self, number: Option<u64>, user_id: u32) -> Result<Done, RollbackError> {
        let mut entries = self.history()?;
        let latest = entries.pop().ok_or(HistoryError::NothingBefore)?;
        let (number, entry) = match number {
            None => entries.pop().ok_or(HistoryError::NothingBefore)?,
            Some(number) => entries
                .into_iter()
                .chain([latest])
                .find(|(found, _)| *found == number)
                .ok_or(HistoryError::NoEntry(number))?,
        };
        let origin = format!("entry {number} of the history");
        let source = Source { file: Path::new(&origin), text: &entry.toml };
        let checked = Config::parse(source, &Environment::of_process()).map_err(ApplyError::from)?;
        let changes = self.apply(&checked, Path::new(&origin))?;
        self.config_file_differs |= !changes.is_empty();
        let entry = self.remember(Cause { user_id, occasion: Occasion::Rollback }, origin);
        Ok(Done { changes, warnings: checked.warnings, entry })
    }

    /// What applying a file would do, without doing it.
    ///
    /// # Errors
    /// [`ApplyError`], as applying it would give.
    pub fn plan_file(&self, file: &Path) -> Result<(Vec<Step>, Vec<Finding>), ApplyError> {
        let checked = Config::read(file, &Environment::of_process())?;
        self.check_fixed(&checked, file)?;
        let wanted = &checked.config;
        let changes = differences(&self.config, wanted);
        self.prepare(wanted, &changes, self.nat_pools.planned(wanted))?;
        Ok((plan::steps(&self.config, wanted, &changes), checked.warnings))
    }

    /// The applied configurations with their numbers, the oldest first.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn history(&self) -> Result<Vec<(u64, Entry)>, HistoryError> {
        Ok(self.store()?.entries()?)
    }

    /// Brings the gateway to `wanted`, which is out of `file`.
    ///
    /// # Errors
    /// [`ApplyError`]; then everything is as before.
    fn apply(&mut self, wanted: &Checked, file: &Path) -> Result<Vec<Change>, ApplyError> {
        self.check_fixed(wanted, file)?;
        let wanted = &wanted.config;
        let changes = differences(&self.config, wanted);
        let prepared = self.prepare(wanted, &changes, self.nat_pools.following(wanted))?;
        self.carry_out(wanted.clone(), &changes, prepared);
        Ok(changes)
    }

    fn check_fixed(&self, wanted: &Checked, file: &Path) -> Result<(), ApplyError> {
        let made_for_bytes = |port: &Name| {
            let fact = self.identifiers.port(port).and_then(|index| self.facts.get(usize::from(index.0)));
            fact.map_or(0, |fact| fact.mtu_bytes)
        };
        let origin = (file, &wanted.lines);
        fixed::check(&self.config, &wanted.config, origin, made_for_bytes).map_err(ApplyError::NeedsRestart)
    }

    /// Brings a fresh gateway to the configuration that it was made with.
    ///
    /// # Errors
    /// [`ApplyError`]; the gateway then has no connection and no route.
    pub fn start(&mut self) -> Result<(), ApplyError> {
        let wanted = self.config.clone();
        let changes = from_nothing(&wanted);
        let prepared = self.prepare(&wanted, &changes, self.nat_pools.following(&wanted))?;
        self.carry_out(wanted, &changes, prepared);
        self.restore_leases();
        let cause = Cause { user_id: own_user(), occasion: Occasion::Start };
        // What is wrong with the store is logged; traffic does not wait for it.
        drop(self.remember(cause, self.config_file.display().to_string()));
        Ok(())
    }

    /// Everything that can fail, on copies.
    fn prepare(
        &self,
        wanted: &Config,
        changes: &[Change],
        nat_pools: NatPools,
    ) -> Result<Prepared, ApplyError> {
        let mut prepared = Prepared::new(&self.identifiers, wanted, changes)?;
        prepared.nat_pools = nat_pools;
        let mut circuits = self.circuits.clone();
        circuits.follow(wanted, &prepared.identifiers, &self.meters);
        let lasting = Lasting { meters: &self.meters, nat_pools: &prepared.nat_pools, circuits: &circuits };
        let tunnels = prepared.tunnels(&self.tunnels);
        forwarding::build(wanted, &prepared.identifiers, &tunnels, lasting, &self.facts)?;
        Ok(prepared)
    }

    /// Nothing here fails.
    fn carry_out(&mut self, wanted: Config, changes: &[Change], prepared: Prepared) {
        for id in &prepared.removed {
            self.remove_connection(*id);
        }
        // Of the old configuration, with the last bytes of those that are gone.
        self.count_usage();
        prepared.removed.iter().for_each(|id| self.forget(*id));
        self.tunnels = prepared.tunnels(&self.tunnels);
        self.identifiers = prepared.identifiers;
        self.meters.follow(&wanted);
        self.circuits.follow(&wanted, &self.identifiers, &self.meters);
        self.nat_pools = prepared.nat_pools;
        self.nat_pools.retain_assigned(|end| {
            let name = self.identifiers.connection_name(end);
            name.and_then(|name| wanted.connections().get(name)).is_some_and(|one| one.request_addresses)
        });
        self.config = wanted;
        self.applied_at = unix_seconds();
        self.refresh_forwarding();
        self.refresh_first_mtus();
        for connection in prepared.configured {
            self.command(Command::Configure(Box::new(connection)));
        }
        for change in changes {
            tracing::info!("{change}");
        }
    }

    /// Puts what runs now into the history.
    fn remember(&self, cause: Cause, origin: String) -> Result<u64, HistoryError> {
        let Cause { user_id, occasion } = cause;
        let entry = Entry { at: self.applied_at, user_id, occasion, origin, toml: self.config.to_toml() };
        let recorded = self.store().and_then(|store| Ok(store.record(&entry)?));
        if let Err(error) = &recorded {
            tracing::error!("the applied configuration is not in the history: {error}");
        }
        recorded
    }

    pub(crate) fn store(&self) -> Result<&crate::store::Store, HistoryError> {
        let missing =
            |error: &StoreError| HistoryError::NoStore { problem: error.to_string(), remedy: error.remedy() };
        self.store.as_ref().map_err(missing)
    }
}

/// The user that the gateway runs as.
#[must_use]
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Why the gateway did not go back. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// The history has no such configuration.
    #[error("{0}")]
    History(#[from] HistoryError),
    /// It cannot be applied any more.
    #[error("{0}")]
    Apply(#[from] ApplyError),
}

/// What can be carried out without failing.
struct Prepared {
    removed: Vec<ConnectionId>,
    identifiers: Identifiers,
    configured: Vec<ConnectionConfig>,
    /// Those for the configuration: made once, since they are large. None at first.
    nat_pools: NatPools,
}

impl Prepared {
    /// What `changes` come to where `identifiers` are in use.
    fn new(identifiers: &Identifiers, wanted: &Config, changes: &[Change]) -> Result<Self, ApplyError> {
        let gone: BTreeSet<Name> = changes
            .iter()
            .filter_map(|change| if let Change::Remove(name) = change { Some(name.clone()) } else { None })
            .collect();
        let before = identifiers.all_connections();
        let identifiers = identifiers.extended(wanted, &gone);
        let left: BTreeSet<_> = identifiers.all_connections().collect();
        let removed = before.filter(|id| !left.contains(id)).collect();
        let configured = translate(wanted, &identifiers, changes)?;
        Ok(Self { removed, identifiers, configured, nat_pools: NatPools::default() })
    }

    /// The tunnels as they will be.
    fn tunnels(&self, present: &Tunnels) -> Tunnels {
        let mut tunnels = present.clone();
        self.removed.iter().for_each(|id| tunnels.remove(*id));
        self.configured.iter().for_each(|connection| tunnels.add(connection.id));
        tunnels
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
        for (end, id) in connection.local_ends().zip(identifiers.ends(name.as_str())) {
            let translated = connections::translate(wanted, connection, &end, id);
            translated.check().map_err(|error| ApplyError::Connection { name: name.clone(), error })?;
            configured.push(translated);
        }
    }
    Ok(configured)
}

/// What a fresh gateway has to do for a configuration.
fn from_nothing(wanted: &Config) -> Vec<Change> {
    let connections = wanted.connections().keys().cloned().map(Change::Add);
    std::iter::once(Change::Forwarding).chain(connections).collect()
}

/// What differs, in the order in which it is carried out.
fn differences(running: &Config, wanted: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    for name in running.connections().keys().filter(|name| !wanted.connections().contains_key(*name)) {
        changes.push(Change::Remove(name.clone()));
    }
    let below = |config: &Config| {
        let circuits = (
            config.circuits().clone(),
            config.circuit_gateways().clone(),
            config.circuit_connections().clone(),
        );
        (config.ports().clone(), config.virtual_networks().clone(), config.peerings().clone(), circuits)
    };
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
                // What matters of a gateway (its ends, selectors) is in the connection: another SKU touches no tunnel. But a peer with MOBIKE is told the gateway's other
                // addresses, too, and who begins may depend on the connection of the other end.
                let same = old == connection
                    && running.peer_of(old) == wanted.peer_of(connection)
                    && connections::mode(running, old) == connections::mode(wanted, connection)
                    && connections::other_addresses(running, old)
                        == connections::other_addresses(wanted, connection);
                if !same {
                    changes.push(Change::Change(name.clone()));
                }
            }
        }
    }
    if plan::has_more_differences(running, wanted, &changes) {
        changes.push(Change::Definitions);
    }
    changes
}

#[cfg(test)]
pub(crate) mod edits;
#[cfg(test)]
pub(crate) mod tests;

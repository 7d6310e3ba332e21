//! What survives a restart: the configurations that were applied, with who applied each and when, what was used (`store/usage.rs`), which client has which address
//! (`store/leases.rs`), and a secret of the gateway's own (`store/secret.rs`). One embedded database (redb), one file that only the gateway's user may read; this module alone opens it. A record is on the disk (fsync) when [`Store::record`] returns: whoever is killed
//! in the middle leaves the history as it was before or as it is after, never half of an entry.
//!
//! `reconcile` records, `console::methods` shows and rolls back. The operator's secrets are in it by reference only, as in an exported configuration.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::{Deserialize, Serialize};

pub use leases::{LeaseChanges, Leases};
pub use usage::{Amount, Key};

mod leases;
mod secret;
mod usage;

/// Entries that are kept.
pub const ENTRIES_MAX: usize = 20;

/// Number of an entry, from 1, to the entry as JSON.
const HISTORY: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("history");
/// Memory for pages that redb keeps; the whole database is smaller.
const CACHE_BYTES: usize = 4 << 20;
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
const OTHERS: u32 = 0o077;

/// Why the store has no answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be opened.
    #[error("the store {} cannot be opened: {source}", path.display())]
    Open {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: redb::Error,
    },
    /// It cannot be read or written.
    #[error("the store cannot be used: {0}")]
    Use(#[from] redb::Error),
    /// An entry is not one.
    #[error("entry {number} of the history cannot be read: {source}")]
    Entry {
        /// Its number.
        number: u64,
        /// Why.
        source: serde_json::Error,
    },
}

impl StoreError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Open { source: redb::Error::DatabaseAlreadyOpen, .. } => {
                "another gateway uses it: give each its own appliance.store"
            }
            Self::Open { .. } => {
                "make its directory writable for the gateway, or name another file in appliance.store"
            }
            Self::Use(_) => "see to its disk (is it full?); then restart the gateway",
            Self::Entry { .. } => "take another entry",
        }
    }
}

/// What had a configuration applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// The gateway started with it.
    Start,
    /// SIGHUP.
    Reload,
    /// `crossgate apply`.
    Apply,
    /// `crossgate rollback`.
    Rollback,
}

/// A configuration that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in seconds since 1970 UTC.
    pub at: u64,
    /// The user who asked for it, as the kernel tells; the gateway's own for a start or a signal.
    pub user_id: u32,
    /// How.
    pub occasion: Occasion,
    /// Where it came from: a file, or an entry of the history.
    pub origin: String,
    /// The configuration, exported: secrets by reference.
    pub toml: String,
}

/// The open database. Whoever writes waits for another one who writes; reading waits for nobody.
#[derive(Debug, Clone)]
pub struct Store(Arc<Database>);

impl Store {
    /// Opens the database at `path`, or makes it, with its directory.
    ///
    /// # Errors
    /// [`StoreError::Open`], also if another process has it open.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |source: redb::Error| StoreError::Open { path: path.to_owned(), source };
        make(path).map_err(failed)?;
        let file = private_file(path).map_err(|error| failed(redb::Error::Io(error)))?;
        database(file).map(|database| Self(Arc::new(database))).map_err(failed)
    }

    /// Puts `entry` at the end of the history, unless its configuration is what is there already, and drops what is beyond the last
    /// [`ENTRIES_MAX`]. Returns its number; on the disk then.
    ///
    /// # Errors
    /// [`StoreError::Use`]; the history is as before.
    pub fn record(&self, entry: &Entry) -> Result<u64, StoreError> {
        let last = self.entries()?.pop();
        if let Some((number, _)) = last.as_ref().filter(|(_, last)| last.toml == entry.toml) {
            return Ok(*number);
        }
        let number = last.map_or(1, |(number, _)| number + 1);
        let json = serde_json::to_vec(entry).expect("an entry is plain data");
        self.insert(number, &json)?;
        Ok(number)
    }

    fn insert(&self, number: u64, json: &[u8]) -> Result<(), redb::Error> {
        let transaction = self.0.begin_write()?;
        {
            let mut table = transaction.open_table(HISTORY)?;
            table.insert(number, json)?;
            let keep_from = number.saturating_sub(ENTRIES_MAX as u64 - 1);
            table.retain(|old, _| old >= keep_from)?;
        }
        // Durability::Immediate is redb's default: this returns after the fsync.
        Ok(transaction.commit()?)
    }

    /// Every entry with its number, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Use`] and [`StoreError::Entry`].
    pub fn entries(&self) -> Result<Vec<(u64, Entry)>, StoreError> {
        let transaction = self.0.begin_read().map_err(redb::Error::from)?;
        let table = transaction.open_table(HISTORY).map_err(redb::Error::from)?;
        let mut entries = Vec::new();
        for row in table.iter().map_err(redb::Error::from)? {
            let (number, json) = row.map_err(redb::Error::from)?;
            let number = number.value();
            let entry = serde_json::from_slice(json.value())
                .map_err(|source| StoreError::Entry { number, source })?;
            entries.push((number, entry));
        }
        Ok(entries)
    }
}

/// Makes the database if it is not there: beside its place, and moved there when it is whole. redb's own first writes are not atomic; a file that
/// a killed gateway left half made would be refused for ever.
fn make(path: &Path) -> Result<(), redb::Error> {
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let made = database(private_file(&new)?)?;
    let transaction = made.begin_write()?;
    transaction.open_table(HISTORY)?;
    transaction.open_table(usage::USAGE)?;
    transaction.open_table(leases::LEASES)?;
    transaction.open_table(secret::SECRETS)?;
    transaction.commit()?;
    drop(made);
    fs::rename(&new, path)?;
    Ok(File::open(directory)?.sync_all()?)
}

fn database(file: File) -> Result<Database, redb::Error> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    Ok(builder.create_file(file)?)
}

/// The file, made if it is not there, open to nobody else.
fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
    let file = options.custom_flags(NO_FOLLOW).open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & OTHERS != 0 {
        file.set_permissions(fs::Permissions::from_mode(mode & !OTHERS))?;
    }
    Ok(file)
}

/// A link in its place leads to a file that is somebody else's.
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

#[cfg(test)]
mod tests;

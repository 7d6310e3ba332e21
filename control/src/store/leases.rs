//! Addresses of clients in the store: for each connection and address the user who has it, or had it when the gateway ended. `crate::leases` writes, the start
//! of the gateway reads. Changes are on the disk (fsync) when [`Store::change_leases`] returns, all of them or none.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crossgate_ike::identity::Identity;
use crossgate_ike::wire::{IdType, Identification};
use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError};

use super::{Store, StoreError};

/// Connection and address (4 or 16 bytes) to the user, as an ID payload has him: kind and bytes.
pub(super) const LEASES: TableDefinition<'_, Key<'_>, Value<'_>> = TableDefinition::new("leases");
type Key<'k> = (&'k str, &'k [u8]);
type Value<'v> = (u8, &'v [u8]);

/// By connection and address, whose it is.
pub type Leases = BTreeMap<(String, IpAddr), Identity>;
/// By connection and address, whose it is from now on; `None`: nobody's.
pub type LeaseChanges = BTreeMap<(String, IpAddr), Option<Identity>>;

impl Store {
    /// Changes what is kept.
    ///
    /// # Errors
    /// [`StoreError::Use`]; nothing has changed then.
    pub fn change_leases(&self, changes: &LeaseChanges) -> Result<(), StoreError> {
        Ok(self.change(changes)?)
    }

    fn change(&self, changes: &LeaseChanges) -> Result<(), redb::Error> {
        let transaction = self.0.begin_write()?;
        {
            let mut table = transaction.open_table(LEASES)?;
            for ((connection, address), user) in changes {
                let octets = octets(*address);
                let row = (connection.as_str(), octets.as_slice());
                match user.as_ref().map(Identity::to_wire) {
                    Some(user) => drop(table.insert(row, (user.kind.0, user.data.as_slice()))?),
                    None => drop(table.remove(row)?),
                }
            }
        }
        Ok(transaction.commit()?)
    }

    /// What is kept.
    ///
    /// # Errors
    /// [`StoreError::Use`].
    pub fn leases(&self) -> Result<Leases, StoreError> {
        Ok(self.all_leases()?)
    }

    fn all_leases(&self) -> Result<Leases, redb::Error> {
        let transaction = self.0.begin_read()?;
        let table = match transaction.open_table(LEASES) {
            // A store of a version that kept none.
            Err(TableError::TableDoesNotExist(_)) => return Ok(Leases::new()),
            table => table?,
        };
        let mut leases = Leases::new();
        for row in table.iter()? {
            let (key, user) = row?;
            let ((connection, octets), (kind, data)) = (key.value(), user.value());
            let Some(address) = address(octets) else { continue };
            let user = Identification { kind: IdType(kind), reserved: [0; 3], data: data.to_vec() };
            leases.insert((connection.to_owned(), address), Identity::from_wire(&user));
        }
        Ok(leases)
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let ipv4 = <[u8; 4]>::try_from(octets).ok().map(IpAddr::from);
    ipv4.or_else(|| <[u8; 16]>::try_from(octets).ok().map(IpAddr::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_there_after_a_restart_until_they_are_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gw.redb");
        let key = |connection: &str, address: &str| (connection.to_owned(), address.parse().unwrap());
        let user = |name: &str| name.parse::<Identity>().unwrap();
        let one = [
            (key("gw-clients", "10.9.0.1"), Some(user("keyid:anna"))),
            (key("gw-clients", "fd00::1"), Some(user("keyid:anna"))),
            (key("gw-clients", "10.9.0.2"), Some(user("bert@example.org"))),
            (key("other-clients", "10.9.0.1"), Some(user("C=CH, CN=carl"))),
        ];
        Store::open(&path).unwrap().change_leases(&one.into()).unwrap();
        let other = [
            (key("gw-clients", "10.9.0.2"), None),
            (key("gw-clients", "10.9.0.1"), Some(user("laptop.example.org"))),
            (key("gw-clients", "10.9.0.7"), None),
        ];
        Store::open(&path).unwrap().change_leases(&other.into()).unwrap();
        let left = [
            (key("gw-clients", "10.9.0.1"), user("laptop.example.org")),
            (key("gw-clients", "fd00::1"), user("keyid:anna")),
            (key("other-clients", "10.9.0.1"), user("C=CH, CN=carl")),
        ];
        assert_eq!(Store::open(&path).unwrap().leases().unwrap(), Leases::from(left));
    }
}

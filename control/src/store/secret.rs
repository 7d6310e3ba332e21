//! The secret of this gateway's crash tokens (RFC 6290, 5.1) in the store: made at the first start, the same ever after. It opens no tunnel and proves nobody's
//! identity; who knows it can only end tunnels.

use redb::{ReadableTable as _, TableDefinition};
use zeroize::Zeroizing;

use super::{Store, StoreError};

/// Name of a secret to its bytes.
pub(super) const SECRETS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("secrets");
const CRASH_TOKENS: &str = "crash-tokens";

impl Store {
    /// The secret that crash tokens are made of. Where there is none yet, `fill` makes one, which is on the disk (fsync) when this returns. redb has
    /// a copy of it in its cache, as it is on the disk.
    ///
    /// # Errors
    /// [`StoreError::Use`].
    pub fn crash_secret(&self, fill: impl FnOnce(&mut [u8])) -> Result<Zeroizing<[u8; 32]>, StoreError> {
        Ok(self.secret(fill)?)
    }

    fn secret(&self, fill: impl FnOnce(&mut [u8])) -> Result<Zeroizing<[u8; 32]>, redb::Error> {
        let transaction = self.0.begin_write()?;
        let secret = {
            let mut table = transaction.open_table(SECRETS)?;
            let found = table.get(CRASH_TOKENS)?.and_then(|row| <[u8; 32]>::try_from(row.value()).ok());
            match found {
                Some(secret) => Zeroizing::new(secret),
                None => {
                    let mut secret = Zeroizing::new([0; 32]);
                    fill(secret.as_mut_slice());
                    table.insert(CRASH_TOKENS, secret.as_slice())?;
                    secret
                }
            }
        };
        transaction.commit()?;
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_made_once_and_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gw.redb");
        let first = Store::open(&path).unwrap().crash_secret(|out| out.fill(7)).unwrap();
        assert_eq!(*first, [7; 32]);
        let again = Store::open(&path).unwrap();
        for _ in 0..2 {
            assert_eq!(*again.crash_secret(|_| panic!("it is there")).unwrap(), [7; 32]);
        }
    }
}

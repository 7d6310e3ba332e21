//! Log-in by EAP (RFC 7296, 2.16): the gateway proves itself by a certificate, the client by a method of `crossgate-eap`. What both have in the end, a key, takes the place of
//! a shared key in AUTH.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossgate_eap::Users;
use crossgate_eap::mschapv2::PasswordHash;

use super::CertificateAuthentication;
use crate::identity::Identity;

/// How a gateway lets clients log in.
#[derive(Debug, PartialEq, Eq)]
pub struct EapAuthentication {
    /// Our own proof. What it trusts does not count: clients have no certificates here.
    pub own: Arc<CertificateAuthentication>,
    /// Who may log in.
    pub users: Arc<UserTable>,
}

/// Users by name, with what is kept of their passwords.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UserTable(BTreeMap<String, PasswordHash>);

impl UserTable {
    /// From names and what is kept of passwords.
    #[must_use]
    pub fn new(users: impl IntoIterator<Item = (String, PasswordHash)>) -> Self {
        Self(users.into_iter().collect())
    }

    /// Whether a user is there with the password that another table has.
    pub(crate) fn has_as_in(&self, other: &Self, user: &Identity) -> bool {
        let Identity::KeyId(name) = user else { return false };
        let of = |table: &Self| std::str::from_utf8(name).ok().and_then(|name| table.password(name));
        of(self).is_some_and(|password| of(other).is_some_and(|before| before == password))
    }
}

impl Users for UserTable {
    fn password(&self, user: &str) -> Option<PasswordHash> {
        self.0.get(user).cloned()
    }
}

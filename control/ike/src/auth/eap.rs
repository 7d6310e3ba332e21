//! Log-in of clients: the gateway proves itself by a certificate, the client by a method of `crossgate-eap` (RFC 7296, 2.16), whose key takes the place of a shared key in AUTH,
//! or by a certificate in AUTH as any peer does.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossgate_eap::mschapv2::PasswordHash;
use crossgate_eap::{Means, RadiusServer, TlsSettings, Users};
use crossgate_pki::UnixTime;

use super::CertificateAuthentication;
use crate::identity::Identity;

/// How a gateway lets clients log in.
#[derive(Debug, PartialEq, Eq)]
pub struct EapAuthentication {
    /// Our own proof, and whom we believe of those that prove themselves by certificate in AUTH.
    pub own: Arc<CertificateAuthentication>,
    /// Who may log in by password; `None`: nobody.
    pub users: Option<Arc<UserTable>>,
    /// How certificates are taken by EAP-TLS, and whether they are taken at all.
    pub tls: Option<Arc<TlsSettings>>,
    /// The servers that ask and judge who logs in by EAP, the most wanted first; `None`: this gateway does.
    pub radius: Option<Arc<[RadiusServer]>>,
}

impl EapAuthentication {
    /// Whether who proved itself under `before` may stay: it may still log in, by the same password or by the same certificate. Asked of all sessions in a row when a configuration
    /// is applied, so nothing here computes a certificate's signature.
    pub(crate) fn keeps(&self, before: &Self, user: &Identity, by: Option<&Means>, now: UnixTime) -> bool {
        match (by, &self.users, &before.users) {
            (Some(Means::Certificate(path)), ..) => {
                let trust = &self.own.trust;
                self.tls.is_some() && (*trust == before.own.trust || trust.check_again(path, now).is_ok())
            }
            (Some(Means::Radius), ..) => self.radius.is_some(),
            (Some(Means::Password) | None, Some(users), Some(old)) => users.has_as_in(old, user),
            (Some(Means::Password) | None, ..) => false,
        }
    }
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

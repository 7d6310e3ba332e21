//! Whom a certificate is for (RFC 5280, 4.2.1.6), compared with the identity that a peer claims (RFC 4945, 3.1).

use std::fmt;
use std::net::IpAddr;

use x509_cert::ext::pkix::name::GeneralName;

use crate::name::DistinguishedName;

/// A name that a certificate can vouch for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The certificate's subject.
    Name(DistinguishedName),
    /// subjectAltName dNSName: compared without case; an asterisk is a character like any other (RFC 4945, 3.1.2).
    Dns(String),
    /// subjectAltName rfc822Name: the domain is compared without case.
    Email(String),
    /// subjectAltName iPAddress.
    Address(IpAddr),
}

impl Subject {
    /// The names of a subjectAltName that IKE has identities for.
    pub(crate) fn from_general(name: &GeneralName) -> Option<Self> {
        match name {
            GeneralName::DnsName(name) => Some(Self::Dns(name.to_string())),
            GeneralName::Rfc822Name(name) => Some(Self::Email(name.to_string())),
            GeneralName::IpAddress(bytes) => {
                let bytes = bytes.as_bytes();
                let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
                v4.or(<[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok().map(Self::Address)
            }
            GeneralName::DirectoryName(name) => DistinguishedName::new(name).ok().map(Self::Name),
            _ => None,
        }
    }

    /// The same as it is compared: in lower case where case does not count, a DNS name without the final dot.
    #[must_use]
    pub fn plain(&self) -> Self {
        match self {
            Self::Dns(name) => Self::Dns(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()),
            Self::Email(address) => Self::Email(match address.rsplit_once('@') {
                Some((local, domain)) => format!("{local}@{}", domain.to_ascii_lowercase()),
                None => address.clone(),
            }),
            other => other.clone(),
        }
    }

    /// Whether both name the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.plain() == other.plain()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Dns(name) | Self::Email(name) => {
                name.chars().filter(|c| !c.is_control()).try_for_each(|c| write!(f, "{c}"))
            }
            Self::Address(address) => address.fmt(f),
        }
    }
}

//! Who a peer is (RFC 7296, 3.5): from the configuration's words, to and from the wire, and whether two are the same.
//!
//! Used by the configuration (through `config`), by IKE_AUTH in both roles, and by every log line that names a peer.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use crossgate_pki::{DistinguishedName, NameError, Subject};
use thiserror::Error;

use crate::wire::{IdType, Identification};

/// Longest FQDN, e-mail address or key-id in bytes.
const MAX_NAME_BYTES: usize = 255;
/// Longest distinguished name that a peer's bytes are read as, before anybody knows who it is.
const MAX_DISTINGUISHED_BYTES: usize = 4096;

/// An identity of one of the kinds a shared key can belong to, or one that is only carried along.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// `ID_IPV4_ADDR`.
    Ipv4(Ipv4Addr),
    /// `ID_IPV6_ADDR`.
    Ipv6(Ipv6Addr),
    /// `ID_FQDN`: a host name, lower case.
    Fqdn(String),
    /// `ID_RFC822_ADDR`: an e-mail address, its domain in lower case.
    Email(String),
    /// `ID_DER_ASN1_DN`: a certificate's subject.
    Name(DistinguishedName),
    /// `ID_KEY_ID`: opaque bytes.
    KeyId(Vec<u8>),
    /// What a client called itself that may log in although nobody vouches for the name: the same as no other session's, whatever that one calls itself. Never on the wire.
    Claimed {
        /// The name.
        name: Arc<str>,
        /// The session's number.
        session: u64,
    },
    /// Any other kind, or bytes that do not fit their kind: equal only to the same kind with the same bytes.
    Other {
        /// The kind on the wire.
        kind: IdType,
        /// The bytes on the wire. Shared, for they can be many, and a stranger's.
        data: Arc<[u8]>,
    },
}

/// Why a text is not an identity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// Nothing there.
    #[error("an identity must not be empty")]
    Empty,
    /// Longer than any name.
    #[error("an identity has at most {MAX_NAME_BYTES} bytes, this one has {0}")]
    TooLong(usize),
    /// A `keyid:0x` text that is not pairs of hexadecimal digits.
    #[error("after `keyid:0x` come pairs of hexadecimal digits")]
    Hex,
    /// A character that no host name has.
    #[error("`{0}` is no IP address, host name, e-mail address, distinguished name or `keyid:...`")]
    NotAName(String),
    /// A text with `=` that is no distinguished name.
    #[error(transparent)]
    Distinguished(#[from] NameError),
}

impl Identity {
    /// From what a peer sent. Never fails: what does not fit its kind is kept as [`Identity::Other`].
    ///
    /// Names lose their case here; AUTH covers the bytes as they came, hence [`Identification::body`], not this value.
    pub fn from_wire(id: &Identification) -> Self {
        let other = || Self::Other { kind: id.kind, data: id.data.as_slice().into() };
        let text = || std::str::from_utf8(&id.data).ok().filter(|text| !text.is_empty());
        match id.kind {
            IdType::IPV4_ADDR => {
                <[u8; 4]>::try_from(id.data.as_slice()).map_or_else(|_| other(), |a| Self::Ipv4(a.into()))
            }
            IdType::IPV6_ADDR => {
                <[u8; 16]>::try_from(id.data.as_slice()).map_or_else(|_| other(), |a| Self::Ipv6(a.into()))
            }
            IdType::FQDN => text().filter(|text| is_host_name(text)).map_or_else(other, fqdn),
            IdType::RFC822_ADDR => text().filter(|text| is_email(text)).map_or_else(other, email),
            IdType::DER_ASN1_DN if id.data.len() <= MAX_DISTINGUISHED_BYTES => {
                DistinguishedName::from_der(&id.data).map_or_else(|_| other(), Self::Name)
            }
            IdType::KEY_ID if id.data.len() <= MAX_NAME_BYTES => Self::KeyId(id.data.clone()),
            _ => other(),
        }
    }

    /// The body of an ID payload.
    pub fn to_wire(&self) -> Identification {
        let (kind, data) = match self {
            Self::Ipv4(address) => (IdType::IPV4_ADDR, address.octets().to_vec()),
            Self::Ipv6(address) => (IdType::IPV6_ADDR, address.octets().to_vec()),
            Self::Fqdn(name) => (IdType::FQDN, name.clone().into_bytes()),
            Self::Email(address) => (IdType::RFC822_ADDR, address.clone().into_bytes()),
            Self::Name(name) => (IdType::DER_ASN1_DN, name.der().to_vec()),
            Self::KeyId(data) => (IdType::KEY_ID, data.clone()),
            // Reserved: read again, it is nobody.
            Self::Claimed { name, .. } => (IdType(0), name.as_bytes().to_vec()),
            Self::Other { kind, data } => (*kind, data.to_vec()),
        };
        Identification { kind, reserved: [0; 3], data }
    }
}

impl Identity {
    /// As a certificate would have it; `None` for what no certificate vouches for (RFC 4945, 3.1).
    pub(crate) fn subject(&self) -> Option<Subject> {
        match self {
            Self::Ipv4(address) => Some(Subject::Address((*address).into())),
            Self::Ipv6(address) => Some(Subject::Address((*address).into())),
            Self::Fqdn(name) => Some(Subject::Dns(name.clone())),
            Self::Email(address) => Some(Subject::Email(address.clone())),
            Self::Name(name) => Some(Subject::Name(name.clone())),
            Self::KeyId(_) | Self::Claimed { .. } | Self::Other { .. } => None,
        }
    }
}

impl From<IpAddr> for Identity {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::Ipv4(address),
            IpAddr::V6(address) => Self::Ipv6(address),
        }
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    /// An IP address, a distinguished name (`C=CH, O=Example, CN=gw`), `keyid:text`, `keyid:0x` and hexadecimal digits, an e-mail address, or a host name (also as
    /// `fqdn:name`; a leading `@` is dropped, as other gateways write it).
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        if text.len() > MAX_NAME_BYTES {
            return Err(IdentityError::TooLong(text.len()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(address.into());
        }
        if let Some(key_id) = text.strip_prefix("keyid:") {
            return parse_key_id(key_id);
        }
        if text.contains('=') {
            return Ok(Self::Name(text.parse()?));
        }
        let name = text.strip_prefix("fqdn:").or_else(|| text.strip_prefix('@')).unwrap_or(text);
        match name {
            "" => Err(IdentityError::Empty),
            name if is_email(name) => Ok(email(name)),
            name if is_host_name(name) => Ok(fqdn(name)),
            _ => Err(IdentityError::NotAName(text.to_owned())),
        }
    }
}

impl fmt::Display for Identity {
    /// In the form that [`Identity::from_str`] reads, wherever there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(address) => address.fmt(f),
            Self::Ipv6(address) => address.fmt(f),
            Self::Fqdn(name) | Self::Email(name) => f.write_str(name),
            Self::Name(name) => name.fmt(f),
            Self::KeyId(data) => match std::str::from_utf8(data) {
                Ok(text) if is_plain(text) && !text.starts_with("0x") => write!(f, "keyid:{text}"),
                _ => write!(f, "keyid:0x{}", Hex(data)),
            },
            Self::Claimed { name, session } => write!(f, "unproven:{:?}#{session}", &**name),
            Self::Other { kind, data } => write!(f, "{kind}:0x{}", Hex(data)),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn fqdn(name: &str) -> Identity {
    // Host names compare without case (RFC 4343), and a final dot changes nothing.
    Identity::Fqdn(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase())
}

fn email(address: &str) -> Identity {
    // Only the domain compares without case (RFC 5321, 2.4).
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    Identity::Email(format!("{local}@{}", domain.to_ascii_lowercase()))
}

fn parse_key_id(text: &str) -> Result<Identity, IdentityError> {
    if text.is_empty() || text == "0x" {
        return Err(IdentityError::Empty);
    }
    let Some(digits) = text.strip_prefix("0x") else { return Ok(Identity::KeyId(text.as_bytes().to_vec())) };
    let nibbles: Vec<u8> = digits
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok()))
        .collect::<Option<_>>()
        .ok_or(IdentityError::Hex)?;
    match nibbles.as_chunks::<2>() {
        (pairs, []) => Ok(Identity::KeyId(pairs.iter().map(|[high, low]| high << 4 | low).collect())),
        _ => Err(IdentityError::Hex),
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic())
}

fn is_host_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*');
    let name = name.strip_suffix('.').unwrap_or(name);
    // A name that ends in a number is a mistyped address (RFC 3696, 2: no top level domain is all digits).
    let top = name.rsplit('.').next().unwrap_or(name);
    name.len() <= MAX_NAME_BYTES
        && !top.chars().all(|c| c.is_ascii_digit())
        && name.split('.').all(|label| !label.is_empty() && label.len() <= 63 && label.chars().all(allowed))
}

fn is_email(address: &str) -> bool {
    address.len() <= MAX_NAME_BYTES
        && address.rsplit_once('@').is_some_and(|(local, domain)| is_plain(local) && is_host_name(domain))
}

#[cfg(test)]
mod tests;

//! Identities of IKE (RFC 7296, 3.5): how each side calls itself.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crossgate_pki::{DistinguishedName, Subject};

/// An identity, as sent in IDi and IDr.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// `ID_IPV4_ADDR`.
    Ipv4(Ipv4Addr),
    /// `ID_IPV6_ADDR`.
    Ipv6(Ipv6Addr),
    /// `ID_FQDN`, in lower case, without a dot at the end.
    Fqdn(String),
    /// `ID_RFC822_ADDR`, as written.
    Email(String),
    /// `ID_DER_ASN1_DN`: the subject of a certificate.
    Name(DistinguishedName),
    /// `ID_KEY_ID`: bytes that only the two sides understand; never empty.
    KeyId(Vec<u8>),
}

impl Identity {
    /// Reads an address, a domain name, an e-mail address, a distinguished name (`C=CH, O=Example, CN=gw`), `keyid:text` or `keyid:0x0a1b` (hexadecimal bytes). `None` if
    /// `text` is none of them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(key_id) = text.strip_prefix("keyid:") {
            return key_id_bytes(key_id)
                .filter(|bytes| (1..=LENGTH_MAX).contains(&bytes.len()))
                .map(Self::KeyId);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(address.into());
        }
        if text.contains('=') {
            return text.parse().ok().map(Self::Name);
        }
        if let Some((local, domain)) = text.split_once('@') {
            let local_whole =
                (1..=64).contains(&local.len()) && local.chars().all(|c| c.is_ascii_graphic() && c != '@');
            return (local_whole && is_domain_name(domain)).then(|| Self::Email(text.to_owned()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        is_domain_name(name).then(|| Self::Fqdn(name.to_ascii_lowercase()))
    }
}

impl Identity {
    /// As a certificate would have it; `None` for a key-id, which no certificate vouches for.
    pub(crate) fn subject(&self) -> Option<Subject> {
        match self {
            Self::Ipv4(address) => Some(Subject::Address((*address).into())),
            Self::Ipv6(address) => Some(Subject::Address((*address).into())),
            Self::Fqdn(name) => Some(Subject::Dns(name.clone())),
            Self::Email(address) => Some(Subject::Email(address.clone())),
            Self::Name(name) => Some(Subject::Name(name.clone())),
            Self::KeyId(_) => None,
        }
    }

    /// From a certificate's name.
    pub(crate) fn from_subject(subject: &Subject) -> Self {
        match subject {
            Subject::Name(name) => Self::Name(name.clone()),
            Subject::Dns(name) => Self::Fqdn(name.to_ascii_lowercase()),
            Subject::Email(address) => Self::Email(address.clone()),
            Subject::Address(address) => (*address).into(),
        }
    }
}

/// As a configuration would write it.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(address) => address.fmt(f),
            Self::Ipv6(address) => address.fmt(f),
            Self::Fqdn(text) | Self::Email(text) => f.pad(text),
            Self::Name(name) => name.fmt(f),
            Self::KeyId(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if is_plain_key_id(text) => write!(f, "keyid:{text}"),
                _ => {
                    f.write_str("keyid:0x")?;
                    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
                }
            },
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

fn key_id_bytes(text: &str) -> Option<Vec<u8>> {
    let Some(digits) = text.strip_prefix("0x") else {
        return is_plain_key_id(text).then(|| text.as_bytes().to_vec());
    };
    let nibbles: Option<Vec<u8>> =
        digits.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let nibbles = nibbles.filter(|nibbles| nibbles.len() % 2 == 0)?;
    Some(nibbles.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Text that can follow `keyid:` and comes back as it was.
fn is_plain_key_id(text: &str) -> bool {
    !text.starts_with("0x") && text.chars().all(|c| c.is_ascii_graphic() || c == ' ')
}

/// RFC 1035, 2.3.1 and RFC 1123, 2.1; not all numeric, since that would be a mistyped address.
fn is_domain_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label) && text.chars().any(|c| c.is_ascii_alphabetic())
}

/// The longest key-id, in bytes: an identity has to fit into one IKE message together with the rest.
const LENGTH_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_identity_is_read_and_printed_alike() {
        for text in [
            "192.0.2.1",
            "2001:db8::1",
            "gw-a.example.net",
            "ops@example.net",
            "keyid:branch 7",
            "keyid:0x00ff",
            "C=CH, O=Example, CN=gw-a",
        ] {
            assert_eq!(Identity::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Identity::parse("GW-A.Example.net."), Some(Identity::Fqdn("gw-a.example.net".into())));
        assert_eq!(Identity::parse("keyid:0x0A1b"), Some(Identity::KeyId(vec![0x0a, 0x1b])));
        // A key-id whose bytes read like hexadecimal text is printed as bytes, so that it comes back as it was.
        let awkward = Identity::KeyId(b"0x12".to_vec());
        assert_eq!(Identity::parse(&awkward.to_string()), Some(awkward));
    }

    #[test]
    fn what_is_no_identity_is_refused() {
        for text in [
            "",
            "192.0.2.300",
            "1.2.3",
            "-a.example",
            "a..b",
            "@example.net",
            "a@",
            "a b",
            "keyid:",
            "keyid:0x0",
        ] {
            assert_eq!(Identity::parse(text), None, "{text:?}");
        }
    }
}

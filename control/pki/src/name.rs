//! Distinguished names (RFC 5280, 4.1.2.4): from DER and from text, to text, and whether two are the same (RFC 5280, 7.1).

use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use const_oid::ObjectIdentifier;
use der::asn1::{Any, BmpString, Ia5StringRef, PrintableStringRef, SetOfVec, Utf8StringRef};
use der::{Decode as _, Encode as _, Tag, Tagged as _};
use thiserror::Error;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::name::Name;

/// Attribute types with a name: the first name of a type is the one that is printed.
const TYPES: &[(&str, ObjectIdentifier)] = &[
    ("CN", COMMON_NAME),
    ("C", ObjectIdentifier::new_unwrap("2.5.4.6")),
    ("L", ObjectIdentifier::new_unwrap("2.5.4.7")),
    ("ST", ObjectIdentifier::new_unwrap("2.5.4.8")),
    ("S", ObjectIdentifier::new_unwrap("2.5.4.8")),
    ("STREET", ObjectIdentifier::new_unwrap("2.5.4.9")),
    ("O", ObjectIdentifier::new_unwrap("2.5.4.10")),
    ("OU", ObjectIdentifier::new_unwrap("2.5.4.11")),
    ("SURNAME", ObjectIdentifier::new_unwrap("2.5.4.4")),
    ("SERIALNUMBER", ObjectIdentifier::new_unwrap("2.5.4.5")),
    ("SN", ObjectIdentifier::new_unwrap("2.5.4.5")),
    ("TITLE", ObjectIdentifier::new_unwrap("2.5.4.12")),
    ("GN", ObjectIdentifier::new_unwrap("2.5.4.42")),
    ("DC", DOMAIN_COMPONENT),
    ("UID", ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.1")),
    ("E", EMAIL),
    ("EMAILADDRESS", EMAIL),
    ("EMAIL", EMAIL),
];
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const COUNTRY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.6");
const DOMAIN_COMPONENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.25");
const EMAIL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1");
/// Characters with a meaning in the text of a name (RFC 4514, 2.4).
const SPECIAL: &[char] = &[',', '+', '"', '\\', '<', '>', ';', '=', '/'];

/// A distinguished name.
///
/// Two are the same if they have the same attributes in the same order, whatever the kind of string, the case and the blanks; a name that is
/// written from its end to its beginning, as RFC 4514 has it and `openssl` and other gateways do not, is the same name.
///
/// A copy shares its parts, and comparing works nothing out anew: names of strangers are compared before they are believed.
#[derive(Clone)]
pub struct DistinguishedName(Arc<Parsed>);

/// What a name is made of.
struct Parsed {
    der: Vec<u8>,
    /// The relative names in order.
    parts: Vec<Part>,
    /// Without case and needless blanks, in that of both directions that sorts first: what is compared.
    canonical: Vec<Part>,
}

/// A relative name: its attributes, sorted.
type Part = Vec<(ObjectIdentifier, String)>;

/// Why a text is no distinguished name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// A part without `=`, or with nothing on one of its sides.
    #[error("`{0}` is no attribute and value, such as CN=gw.example.net")]
    Part(String),
    /// An attribute type without a known name.
    #[error(
        "`{0}` is no attribute type: take CN, O, OU, C, ST, L, DC, E, UID, SERIALNUMBER or a dotted number"
    )]
    Type(String),
    /// A value with characters that its type does not allow, or bytes that are no name.
    #[error("the value of {0} holds characters that it must not")]
    Value(String),
    /// The bytes are no name.
    #[error("the bytes are no distinguished name")]
    Der,
}

impl DistinguishedName {
    /// Reads a `Name`.
    ///
    /// # Errors
    /// [`NameError::Der`].
    pub fn from_der(der: &[u8]) -> Result<Self, NameError> {
        let name = Name::from_der(der).map_err(|_| NameError::Der)?;
        Self::new(&name)
    }

    pub(crate) fn new(name: &Name) -> Result<Self, NameError> {
        let der = name.to_der().map_err(|_| NameError::Der)?;
        let part = |attributes: &x509_cert::name::RelativeDistinguishedName| {
            let mut part: Vec<_> =
                attributes.iter().map(|attribute| (attribute.oid, text_of(&attribute.value))).collect();
            part.sort();
            part
        };
        let parts: Vec<Part> = name.iter_rdn().map(part).collect();
        let canonical = canonical(&parts);
        Ok(Self(Arc::new(Parsed { der, parts, canonical })))
    }

    /// The bytes of the `Name`.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// The values of its common names (CN), in order.
    pub fn common_names(&self) -> impl Iterator<Item = &str> {
        let attributes = self.0.parts.iter().flatten();
        attributes.filter(|(kind, _)| *kind == COMMON_NAME).map(|(_, value)| value.as_str())
    }

    /// Whether it names nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.parts.is_empty()
    }
}

/// Without case and needless blanks, in that of both directions that sorts first.
fn canonical(parts: &[Part]) -> Vec<Part> {
    let fold = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let folded = |part: &Part| part.iter().map(|(oid, text)| (*oid, fold(text))).collect();
    let forward: Vec<Part> = parts.iter().map(folded).collect();
    if forward.iter().le(forward.iter().rev()) {
        return forward;
    }
    forward.into_iter().rev().collect()
}

impl PartialEq for DistinguishedName {
    fn eq(&self, other: &Self) -> bool {
        self.0.canonical == other.0.canonical
    }
}

impl Eq for DistinguishedName {}

impl PartialOrd for DistinguishedName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for DistinguishedName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.canonical.cmp(&other.0.canonical)
    }
}

impl Hash for DistinguishedName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.canonical.hash(state);
    }
}

/// The text of a value; what is no string is kept as its bytes.
fn text_of(value: &Any) -> String {
    let utf8 = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    let text = match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => utf8(value.value()),
        Tag::TeletexString => Some(value.value().iter().map(|byte| char::from(*byte)).collect()),
        Tag::BmpString => value.decode_as::<BmpString>().ok().map(|text| text.to_string()),
        _ => None,
    };
    text.unwrap_or_else(|| {
        let mut hex = String::from("#");
        for byte in value.value() {
            let _ = write!(hex, "{byte:02x}"); // writing to a String cannot fail
        }
        hex
    })
}

impl FromStr for DistinguishedName {
    type Err = NameError;

    /// Attributes with their values, separated by commas, in the order of the certificate or from its end: `C=US, O=Example, CN=gw`.
    /// A backslash takes the meaning from the character behind it.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let attributes =
            split(text).into_iter().map(|part| attribute(&part)).collect::<Result<Vec<_>, _>>()?;
        let mut body = Vec::new();
        for attribute in attributes {
            let mut set = SetOfVec::new();
            set.insert(attribute).map_err(|_| NameError::Der)?;
            set.encode_to_vec(&mut body).map_err(|_| NameError::Der)?;
        }
        let sequence =
            Any::new(Tag::Sequence, body).and_then(|any| any.to_der()).map_err(|_| NameError::Der)?;
        Self::from_der(&sequence)
    }
}

/// The parts between commas that no backslash stands before. The backslashes stay.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ',' => parts.push(String::new()),
            '\\' => {
                let part = parts.last_mut().expect("there is always one");
                part.push(character);
                part.extend(characters.next());
            }
            _ => parts.last_mut().expect("there is always one").push(character),
        }
    }
    parts
}

fn attribute(part: &str) -> Result<AttributeTypeAndValue, NameError> {
    let wrong = || NameError::Part(part.trim().to_owned());
    let (kind, value) = part.split_once('=').ok_or_else(wrong)?;
    let (kind, value) = (kind.trim(), unescaped(value.trim()));
    if kind.is_empty() || value.is_empty() {
        return Err(wrong());
    }
    let known = TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(kind)).map(|(_, oid)| *oid);
    let oid = match known {
        Some(oid) => oid,
        None => ObjectIdentifier::new(kind).map_err(|_| NameError::Type(kind.to_owned()))?,
    };
    let bad_value = |_| NameError::Value(kind.to_owned());
    let value = match oid {
        COUNTRY => PrintableStringRef::new(&value).map_err(bad_value)?.into(),
        DOMAIN_COMPONENT | EMAIL => Any::from(Ia5StringRef::new(&value).map_err(bad_value)?),
        _ => Any::from(Utf8StringRef::new(&value).map_err(bad_value)?),
    };
    Ok(AttributeTypeAndValue { oid, value })
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.extend(characters.next()),
            other => out.push(other),
        }
    }
    out
}

impl fmt::Display for DistinguishedName {
    /// In the order of the certificate, as [`DistinguishedName::from_str`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for (oid, value) in self.0.parts.iter().flatten() {
            let separator = if text.is_empty() { "" } else { ", " };
            match TYPES.iter().find(|(_, known)| known == oid) {
                Some((name, _)) => write!(text, "{separator}{name}=")?,
                None => write!(text, "{separator}{oid}=")?,
            }
            for character in value.chars() {
                if SPECIAL.contains(&character) {
                    text.push('\\');
                }
                // A peer's name must not write control characters to a terminal.
                text.push(if character.is_control() { '\u{fffd}' } else { character });
            }
        }
        f.pad(&text)
    }
}

impl fmt::Debug for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DistinguishedName {
        text.parse().unwrap()
    }

    #[test]
    fn text_and_bytes_come_back_as_they_were() {
        for text in ["C=US, O=Example\\, Inc., CN=gw-a.example.net", "DC=net, DC=example, E=ops@example.net"]
        {
            assert_eq!(name(text).to_string(), text);
            assert_eq!(DistinguishedName::from_der(name(text).der()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn case_blanks_and_direction_do_not_matter_but_order_does() {
        assert_eq!(name("C=US,O=Example  Org,CN=gw"), name("c=us, o=example org, cn=GW"));
        assert_eq!(name("C=US, O=Example, CN=gw"), name("CN=gw, O=Example, C=US"));
        assert_ne!(name("C=US, O=Example, CN=gw"), name("O=Example, C=US, CN=gw"));
        assert_ne!(name("O=Example, CN=gw"), name("O=Example, CN=gw2"));
        assert_ne!(name("O=Example, CN=gw"), name("O=Example"));
    }

    #[test]
    fn what_is_no_name_is_told() {
        for text in ["gw", "CN=", "=gw", "FOO=bar", "C=\u{fc}", "CN=a,,O=b"] {
            assert!(text.parse::<DistinguishedName>().is_err(), "{text}");
        }
        assert_eq!(DistinguishedName::from_der(b"\x30\x02\x31\x05"), Err(NameError::Der));
    }
}

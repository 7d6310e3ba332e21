//! Secrets, which are pre-shared keys and private keys: read from a private file or the environment, kept in memory that is wiped, shown to nobody.
//!
//! A key never stands in the configuration itself, since that is copied, mailed and kept in version control.

mod file;
mod strength;

use std::fmt;
use std::path::PathBuf;

use crossgate_pki::PrivateKey;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::document::Section;
use crate::environment::Environment;
use crate::report::{Located, Place, Report};

pub(crate) use file::{path, read_regular};

/// Where a secret is kept. No secret in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretReference {
    /// In this private file; absolute.
    File(PathBuf),
    /// In this variable of the gateway's environment.
    Environment(String),
}

/// A pre-shared key. Wiped when dropped, printed as `SharedKey(..)`, compared in constant time (its length aside),
/// neither `Clone` nor serialisable. Two are equal if their keys are, wherever they are kept.
pub struct SharedKey {
    key: Zeroizing<Vec<u8>>,
    reference: SecretReference,
}

impl SharedKey {
    /// The key itself, for the authentication of IKE (RFC 7296, 2.15) and nothing else.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.key
    }

    /// Where it was read from.
    #[must_use]
    pub fn reference(&self) -> &SecretReference {
        &self.reference
    }
}

impl PartialEq for SharedKey {
    fn eq(&self, other: &Self) -> bool {
        self.key.ct_eq(&other.key).into()
    }
}

impl Eq for SharedKey {}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey(..)")
    }
}

/// Reads the key that `key` of `section` refers to.
pub(crate) fn read(
    section: &mut Section<'_>,
    key: &'static str,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<SharedKey> {
    let found = referenced(section, key, &SHARED_KEY, environment, report)?;
    let place = found.place.clone();
    let key = checked(found, report)?;
    if key.key.iter().any(|byte| b"-~".contains(byte)) {
        let problem = "the key holds a hyphen or a tilde, which gateways of Azure do not take";
        report.warning(&place, problem, format!("take neither, if one of them is the peer; {GENERATE}"));
    }
    Some(key)
}

/// Reads the post-quantum pre-shared key that `key` of `section` refers to.
pub(crate) fn read_ppk(
    section: &mut Section<'_>,
    key: &'static str,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<SharedKey> {
    let found = referenced(section, key, &PPK, environment, report)?;
    let place = found.place.clone();
    let key = checked(found, report)?;
    if key.key.len() < PPK_LENGTH_MIN {
        let problem = "the key has fewer than 256 bits: a quantum computer may search it";
        report.warning(&place, problem, GENERATE);
    }
    Some(key)
}

/// Reads the secret of a RADIUS server that `key` of `section` refers to.
pub(crate) fn read_radius(
    section: &mut Section<'_>,
    key: &'static str,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<SharedKey> {
    checked(referenced(section, key, &RADIUS, environment, report)?, report)
}

/// A private key, where it is kept, and what says so.
pub(crate) struct KeptPrivateKey {
    pub(crate) key: PrivateKey,
    pub(crate) reference: SecretReference,
}

/// Reads the private key (PEM) that `key` of `section` refers to.
pub(crate) fn read_private_key(
    section: &mut Section<'_>,
    key: &'static str,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<KeptPrivateKey> {
    let Found { value, reference, place } = referenced(section, key, &PRIVATE_KEY, environment, report)?;
    match PrivateKey::from_pem(&value) {
        Ok(key) => Some(KeptPrivateKey { key, reference }),
        Err(error) => {
            report.error(&place, error.to_string(), error.remedy());
            None
        }
    }
}

/// Reads the file of users that `key` of `section` refers to.
pub(crate) fn read_users(
    section: &mut Section<'_>,
    key: &'static str,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<Found> {
    referenced(section, key, &USERS, environment, report)
}

/// The bytes of a secret, where they are kept, and what says so.
pub(crate) struct Found {
    pub(crate) value: Zeroizing<Vec<u8>>,
    pub(crate) reference: SecretReference,
    pub(crate) place: Place,
}

/// What a kind of secret is to be, and what to tell who has it wrong.
struct Kind {
    max_bytes: usize,
    write_reference: &'static str,
    move_secret: &'static str,
    make_readable: &'static str,
}

/// The bytes that `key` of `section` refers to.
fn referenced(
    section: &mut Section<'_>,
    key: &'static str,
    kind: &Kind,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<Found> {
    let place = section.place_of(key);
    if !section.has(key) {
        report.error(&place, format!("the key {key} is missing"), kind.write_reference);
    }
    if section.is_string(key) {
        section.skip(key);
        report.error(&place, "a secret stands in the configuration itself", kind.move_secret);
        return None;
    }
    let mut reference = section.section(key, report)?;
    if reference.has("file") == reference.has("env") {
        report.error(&place, "the secret needs either file or env", kind.write_reference);
    }
    let file = reference.optional::<String>("file", report);
    let variable = reference.optional::<String>("env", report);
    reference.finish(report);
    let (value, reference, place) = match (file, variable) {
        (Some(file), None) => {
            let path = file::path(&file.value, report.source.file);
            (file::read(&file, kind, environment, report)?, SecretReference::File(path), file.place)
        }
        (None, Some(variable)) => {
            let value = from_environment(&variable, environment, report)?;
            (value, SecretReference::Environment(variable.value), variable.place)
        }
        _ => return None,
    };
    Some(Found { value, reference, place })
}

fn from_environment(
    name: &Located<String>,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<Zeroizing<Vec<u8>>> {
    let sound = !name.value.is_empty() && !name.value.contains(['=', '\0']);
    let value = sound.then(|| (environment.variable)(&name.value)).flatten();
    if value.is_none() {
        let problem = format!("the environment has no variable {:?}", name.value);
        report.error(&name.place, problem, "set it before the gateway starts, or take a private file");
    }
    value.map(|text| Zeroizing::new(text.as_bytes().to_vec()))
}

/// The key, if it is one that both sides can type and nobody can guess.
fn checked(found: Found, report: &mut Report<'_>) -> Option<SharedKey> {
    let Found { value: mut key, reference, place } = found;
    let place = &place;
    for ending in [b"\n".as_slice(), b"\r"] {
        if key.ends_with(ending) {
            key.pop();
        }
    }
    if key.len() < LENGTH_MIN {
        let problem = format!("the key has {} characters, too few", key.len());
        report.error(place, problem, format!("take at least {LENGTH_MIN}; {GENERATE}"));
    } else if key.len() > LENGTH_MAX {
        report.error(
            place,
            format!("the key has more than {LENGTH_MAX} characters"),
            format!("take fewer; {GENERATE}"),
        );
    } else if !key.iter().all(u8::is_ascii_graphic) {
        let problem = "the key holds a blank, a control character or a character beyond ASCII";
        report.error(place, problem, format!("take printable ASCII on one line; {GENERATE}"));
    } else if strength::is_placeholder(&key) {
        report.error(place, "the key is a placeholder or made of well-known words", GENERATE);
    } else if strength::estimate_bits(&key) < STRENGTH_MIN_BITS {
        report.error(place, "the key is easily guessed: it repeats itself or follows a pattern", GENERATE);
    } else {
        return Some(SharedKey { key, reference });
    }
    None
}

/// Fewer characters than this are guessed offline by whoever has recorded a handshake.
const LENGTH_MIN: usize = 20;
/// 256 bits in base64 (RFC 8784, 6).
const PPK_LENGTH_MIN: usize = 43;
/// As in Azure.
const LENGTH_MAX: usize = 128;
/// A key of 20 random hexadecimal digits passes, one of 20 letters that follow a pattern does not.
const STRENGTH_MIN_BITS: f64 = 55.0;

const GENERATE: &str =
    "make one with: (umask 077; openssl rand -base64 32 > FILE), and give the peer the same";
const WRITE_REFERENCE: &str =
    "write shared_key = { file = \"/etc/crossgate/peer.psk\" }, or { env = \"NAME\" }";
const MOVE_SECRET: &str = "take it out and treat it as known to others: make a new one with \
     (umask 077; openssl rand -base64 32 > FILE), and write shared_key = { file = \"FILE\" }";
const SHARED_KEY: Kind = Kind {
    // More than any key has; what is longer is refused for its length.
    max_bytes: 1024,
    write_reference: WRITE_REFERENCE,
    move_secret: MOVE_SECRET,
    make_readable: "make the file with: (umask 077; openssl rand -base64 32 > FILE), as the user that runs the gateway",
};
const PPK: Kind = Kind {
    write_reference: "write secret = { file = \"/etc/crossgate/peer.ppk\" }, or { env = \"NAME\" }",
    move_secret: "take it out and treat it as known to others: make a new one with \
         (umask 077; openssl rand -base64 32 > FILE), and write secret = { file = \"FILE\" }",
    ..SHARED_KEY
};
const RADIUS: Kind = Kind {
    write_reference: "write secret = { file = \"/etc/crossgate/radius.secret\" }, or { env = \"NAME\" }",
    move_secret: "take it out and treat it as known to others: make a new one with \
         (umask 077; openssl rand -base64 32 > FILE), and write secret = { file = \"FILE\" }",
    ..SHARED_KEY
};
const USERS: Kind = Kind {
    // Ten thousand users with long names and passwords.
    max_bytes: 1 << 20,
    write_reference: "write users = { file = \"/etc/crossgate/users\" } with a line NAME:PASSWORD for each user",
    move_secret: "take them out and give all of them new passwords, in a private file: users = { file = \"FILE\" }",
    make_readable: "make the file with: (umask 077; touch FILE), as the user that runs the gateway",
};
const PRIVATE_KEY: Kind = Kind {
    // A key of RSA with 8192 bits takes 6,400 bytes in PEM.
    max_bytes: 65_536,
    write_reference: "write private_key = { file = \"/etc/crossgate/gw.key\" }, or { env = \"NAME\" }",
    move_secret: "take it out and treat it as known to others: have a certificate issued for a new key, \
         and write private_key = { file = \"FILE\" }",
    make_readable: "name the private key's file, readable by the user that runs the gateway alone; \
         a new one: (umask 077; openssl genpkey -algorithm ED25519 -out FILE)",
};

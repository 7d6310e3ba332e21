//! X.509 certificates (RFC 5280) as IKE uses them (RFC 4945): keys and signatures, names, the path from a peer's certificate to a trust
//! anchor, revocation. Knows no IKE message, file, clock or source of randomness: bytes, the time and seeds are handed in.
//!
//! Called by the IKE core when a peer proves itself, and by the configuration, which checks what an operator names.
//!
//! The path is checked here and not by `rustls-webpki`, because that library answers for TLS: it wants an extended key usage and a DNS name or
//! address, knows neither distinguished names nor `keyCertSign`, and tells less of why a path fails than an operator needs. What is hard to get right
//! (DER, the maths) comes from RustCrypto's crates, with signatures by P-256 checked by `ring`, which is six times faster there.

#![forbid(unsafe_code)]

mod algorithm;
mod certificate;
mod credential;
mod error;
mod extension;
#[cfg(test)]
mod garbage;
mod name;
mod ocsp;
mod path;
mod pem;
mod private_key;
mod public_key;
mod revocation;
mod subject;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod time;
mod twin;
#[cfg(test)]
mod vectors;

pub use algorithm::{Digest, SignatureAlgorithm, UnknownAlgorithm};
pub use certificate::Certificate;
pub use credential::{Credential, CredentialError};
pub use error::{CertificateError, Side};
pub use name::{DistinguishedName, NameError};
pub use ocsp::{OcspPolicy, OcspResponse};
pub use path::{CHAIN_MAX, Paths, ProvenPath, TrustStore};
pub use pem::{ReadError, read_certificates, read_ocsp_responses, read_revocation_lists};
pub use private_key::{PrivateKey, PrivateKeyError};
pub use public_key::{KeyError, KeyKind, PublicKey, SignatureError};
pub use revocation::RevocationList;
pub use subject::Subject;
pub use time::UnixTime;

//! Makes keys, certificates and CRLs, for tests and benchmarks: each kind of key, and everything that can be wrong with a certificate.
//!
//! Only compiled with the feature `testing`. Keys come from a seed and are known to everybody.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use const_oid::ObjectIdentifier;
use der::asn1::{AnyRef, BitString, GeneralizedTime, Ia5String, OctetString, UintRef};
use der::flagset::FlagSet;
use der::{Any, DateTime, Decode as _, Encode, Tag};
use pkcs8::{EncodePrivateKey as _, LineEnding};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};
use x509_cert::name::Name;
use zeroize::Zeroizing;

use crate::algorithm::{Digest, SignatureAlgorithm};
use crate::certificate::Certificate;
use crate::name::DistinguishedName;
use crate::private_key::PrivateKey;
use crate::public_key::KeyKind;
use crate::subject::Subject;
use crate::time::UnixTime;

/// The time by which the certificates of [`Template::peer`] and [`Template::authority`] are valid: in 2033.
pub const NOW: UnixTime = UnixTime(2_000_000_000);
const DAY: u64 = 86_400;

/// A private key from a seed, as PKCS#8 in PEM.
///
/// # Panics
/// When a generator fails, which they do not.
#[must_use]
pub fn key_pem(kind: KeyKind, seed: u8) -> String {
    let mut random = ChaCha20Rng::from_seed([seed; 32]);
    let mut bytes = [0u8; 66];
    random.fill_bytes(&mut bytes);
    // Below the order of P-521.
    bytes[0] = 0;
    let pem = match kind {
        KeyKind::Rsa { bits } => {
            rsa::PrivateKey::new(&mut random, bits).expect("an RSA key").to_pkcs8_pem(LineEnding::LF)
        }
        KeyKind::P256 => {
            p256::SecretKey::from_slice(&bytes[1..33]).expect("a scalar").to_pkcs8_pem(LineEnding::LF)
        }
        KeyKind::P384 => {
            p384::SecretKey::from_slice(&bytes[1..49]).expect("a scalar").to_pkcs8_pem(LineEnding::LF)
        }
        KeyKind::P521 => p521::SecretKey::from_slice(&bytes).expect("a scalar").to_pkcs8_pem(LineEnding::LF),
        KeyKind::Ed25519 => {
            let key = ed25519_dalek::SigningKey::from_bytes(bytes[1..33].try_into().expect("32 bytes"));
            key.to_pkcs8_pem(LineEnding::LF)
        }
    };
    pem.expect("a key is PKCS#8").to_string()
}

/// What a certificate is to say.
#[derive(Clone, Debug)]
pub struct Template {
    /// Its subject, as text.
    pub subject: String,
    /// Its alternative names.
    pub names: Vec<Subject>,
    /// Its serial number.
    pub serial: u8,
    /// The first second of its life.
    pub not_before: UnixTime,
    /// The last.
    pub not_after: UnixTime,
    /// basicConstraints: a CA, with this many CAs below it.
    pub authority: Option<Option<u8>>,
    /// keyUsage, if it is to have one.
    pub key_usage: Option<KeyUsages>,
    /// extendedKeyUsage, if it is to have one.
    pub extended_key_usage: Option<ObjectIdentifier>,
    /// An extension that nobody knows, marked as critical.
    pub unknown_critical: bool,
    /// How the issuer signs it, if not by what fits its key.
    pub algorithm: Option<SignatureAlgorithm>,
}

impl Template {
    /// A certificate for a peer that is called by a DNS name.
    #[must_use]
    pub fn peer(name: &str) -> Self {
        Self {
            subject: format!("C=CH, O=Example, CN={name}"),
            names: vec![Subject::Dns(name.to_owned())],
            serial: 1,
            not_before: UnixTime(NOW.0 - 30 * DAY),
            not_after: UnixTime(NOW.0 + 30 * DAY),
            authority: None,
            key_usage: Some(KeyUsages::DigitalSignature),
            extended_key_usage: None,
            unknown_critical: false,
            algorithm: None,
        }
    }

    /// A certificate for a CA.
    #[must_use]
    pub fn authority(name: &str) -> Self {
        Self {
            names: Vec::new(),
            authority: Some(None),
            key_usage: Some(KeyUsages::KeyCertSign),
            ..Self::peer(name)
        }
    }

    /// The same, valid from `from` to `to`.
    #[must_use]
    pub const fn valid(mut self, from: UnixTime, to: UnixTime) -> Self {
        (self.not_before, self.not_after) = (from, to);
        self
    }
}

/// A certificate with its private key.
#[derive(Debug)]
pub struct Issued {
    /// The certificate.
    pub der: Vec<u8>,
    /// Its private key, PKCS#8 in PEM.
    pub key_pem: String,
    subject: DistinguishedName,
    key: PrivateKey,
}

impl Issued {
    /// A certificate that signs itself: a root.
    #[must_use]
    pub fn root(template: &Template, key_pem: &str) -> Self {
        let key = PrivateKey::from_pem(key_pem.as_bytes()).expect("a key in PEM");
        let subject: DistinguishedName = template.subject.parse().expect("a name");
        build(template, key_pem, &subject, &key)
    }

    /// A certificate that this one issues, whether it may or not.
    #[must_use]
    pub fn issue(&self, template: &Template, key_pem: &str) -> Self {
        build(template, key_pem, &self.subject, &self.key)
    }

    /// The certificate, read.
    #[must_use]
    pub fn certificate(&self) -> Certificate {
        Certificate::from_der(&self.der).expect("a certificate of our own can be read")
    }

    /// The certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        pem_rfc7468::encode_string("CERTIFICATE", pem_rfc7468::LineEnding::LF, &self.der).expect("PEM")
    }

    /// A CRL (DER) of this CA over serial numbers.
    #[must_use]
    pub fn revocation_list(&self, serials: &[u8], next_update: UnixTime) -> Vec<u8> {
        let algorithm = default_algorithm(&self.key);
        let at = time(UnixTime(NOW.0 - DAY));
        let entries: Vec<Vec<u8>> =
            serials.iter().map(|serial| sequence(&[encode(&uint(*serial)), at.clone()])).collect();
        let mut parts = vec![
            encode(&uint(1)),
            algorithm.to_der(),
            self.subject.der().to_vec(),
            at.clone(),
            time(next_update),
        ];
        if !entries.is_empty() {
            parts.push(sequence(&entries));
        }
        sign(&sequence(&parts), algorithm, &self.key)
    }
}

fn build(template: &Template, key_pem: &str, issuer: &DistinguishedName, signer: &PrivateKey) -> Issued {
    let key = PrivateKey::from_pem(key_pem.as_bytes()).expect("a key in PEM");
    let subject: DistinguishedName = template.subject.parse().expect("a name");
    let algorithm = template.algorithm.unwrap_or_else(|| default_algorithm(signer));
    let version = tagged(0, &encode(&uint(2)));
    let validity = sequence(&[time(template.not_before), time(template.not_after)]);
    let content = sequence(&[
        version,
        encode(&uint(template.serial)),
        algorithm.to_der(),
        issuer.der().to_vec(),
        validity,
        subject.der().to_vec(),
        key.public_key().info().to_vec(),
        tagged(3, &sequence(&extensions(template))),
    ]);
    let der = sign(&content, algorithm, signer);
    Issued { der, key_pem: key_pem.to_owned(), subject, key }
}

fn default_algorithm(key: &PrivateKey) -> SignatureAlgorithm {
    match key.public_key().kind() {
        KeyKind::Rsa { .. } => SignatureAlgorithm::RsaPkcs1(Digest::Sha256),
        KeyKind::P256 => SignatureAlgorithm::Ecdsa(Digest::Sha256),
        KeyKind::P384 => SignatureAlgorithm::Ecdsa(Digest::Sha384),
        KeyKind::P521 => SignatureAlgorithm::Ecdsa(Digest::Sha512),
        KeyKind::Ed25519 => SignatureAlgorithm::Ed25519,
    }
}

fn sign(content: &[u8], algorithm: SignatureAlgorithm, key: &PrivateKey) -> Vec<u8> {
    let signature =
        key.sign(algorithm, content, Zeroizing::new([7; 32])).expect("the algorithm fits the key");
    let bits = BitString::from_bytes(&signature).expect("a bit string");
    sequence(&[content.to_vec(), algorithm.to_der(), encode(&bits)])
}

fn extensions(template: &Template) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    if let Some(path_len_constraint) = template.authority {
        all.push(extension("2.5.29.19", true, &encode(&BasicConstraints { ca: true, path_len_constraint })));
    }
    if let Some(usage) = template.key_usage {
        let mut usages = FlagSet::from(usage);
        if template.authority.is_some() {
            usages |= KeyUsages::CRLSign;
        }
        all.push(extension("2.5.29.15", true, &encode(&KeyUsage(usages))));
    }
    if let Some(usage) = template.extended_key_usage {
        all.push(extension("2.5.29.37", false, &sequence(&[encode(&usage)])));
    }
    if !template.names.is_empty() {
        let names: Vec<Vec<u8>> = template.names.iter().map(|name| encode(&general_name(name))).collect();
        all.push(extension("2.5.29.17", false, &sequence(&names)));
    }
    if template.unknown_critical {
        all.push(extension("1.3.6.1.4.1.99999.1", true, &encode(&AnyRef::NULL)));
    }
    all
}

fn general_name(name: &Subject) -> GeneralName {
    let text = |text: &str| Ia5String::new(text).expect("ASCII");
    match name {
        Subject::Dns(name) => GeneralName::DnsName(text(name)),
        Subject::Email(name) => GeneralName::Rfc822Name(text(name)),
        Subject::Address(address) => (*address).into(),
        Subject::Name(name) => {
            GeneralName::DirectoryName(Name::from_der(name.der()).expect("a distinguished name is DER"))
        }
    }
}

fn extension(oid: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let oid = ObjectIdentifier::new(oid).expect("an object identifier");
    let value = OctetString::new(value).expect("an octet string");
    let mut parts = vec![encode(&oid)];
    if critical {
        parts.push(encode(&true));
    }
    parts.push(encode(&value));
    sequence(&parts)
}

fn encode(value: &impl Encode) -> Vec<u8> {
    value.to_der().expect("a small value is DER")
}

fn uint(value: u8) -> Any {
    let bytes = [value];
    Any::encode_from(&UintRef::new(&bytes).expect("a number")).expect("a number is DER")
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    encode(&Any::new(Tag::Sequence, parts.concat()).expect("a sequence"))
}

fn tagged(number: u8, inner: &[u8]) -> Vec<u8> {
    let tag = Tag::ContextSpecific { number: der::TagNumber(number.into()), constructed: true };
    encode(&Any::new(tag, inner).expect("a tagged value"))
}

fn time(at: UnixTime) -> Vec<u8> {
    let at = DateTime::from_unix_duration(std::time::Duration::from_secs(at.0)).expect("a date");
    encode(&GeneralizedTime::from_date_time(at))
}

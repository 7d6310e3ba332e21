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

    /// The same, for servers of TLS alone.
    #[must_use]
    pub const fn for_servers(mut self) -> Self {
        self.extended_key_usage = Some(const_oid::db::rfc5280::ID_KP_SERVER_AUTH);
        self
    }

    /// The same, valid from `from` to `to`.
    #[must_use]
    pub const fn valid(mut self, from: UnixTime, to: UnixTime) -> Self {
        (self.not_before, self.not_after) = (from, to);
        self
    }
}

/// What an OCSP response is to say, and what is to be wrong with it.
#[derive(Clone, Copy, Debug)]
pub struct OcspTemplate {
    /// The certificate that it is about.
    pub serial: u8,
    /// Since when it holds.
    pub this_update: UnixTime,
    /// Until when it holds.
    pub next_update: UnixTime,
    /// Whether the certificate is revoked.
    pub revoked: bool,
    /// Whether the responder does not know the certificate.
    pub unknown: bool,
    /// Whether it has a critical extension that nobody knows.
    pub critical: bool,
    /// Whether the answer has one.
    pub critical_of_answer: bool,
}

impl OcspTemplate {
    /// A response that certificate number `serial` is good, from a day ago until in a day.
    #[must_use]
    pub const fn good(serial: u8) -> Self {
        Self {
            serial,
            this_update: UnixTime(NOW.0 - DAY),
            next_update: UnixTime(NOW.0 + DAY),
            revoked: false,
            unknown: false,
            critical: false,
            critical_of_answer: false,
        }
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

    /// An OCSP response (DER) about a certificate of this CA, signed by `signer`, which is named by its subject.
    #[must_use]
    pub fn ocsp_response(&self, signer: &Self, template: &OcspTemplate) -> Vec<u8> {
        let issuer = self.certificate();
        let info = issuer.public_key().expect("a key of our own").info().to_vec();
        let info = spki::SubjectPublicKeyInfoRef::from_der(&info).expect("DER");
        let key = info.subject_public_key.as_bytes().expect("whole bytes");
        let octets = |bytes: &[u8]| encode(&OctetString::new(bytes).expect("an octet string"));
        let hash = spki::AlgorithmIdentifierRef { oid: const_oid::db::rfc5912::ID_SHA_256, parameters: None };
        let id = sequence(&[
            encode(&hash),
            octets(&Digest::Sha256.of(self.subject.der())),
            octets(&Digest::Sha256.of(key)),
            encode(&uint(template.serial)),
        ]);
        let at = time(template.this_update);
        let status = match (template.revoked, template.unknown) {
            (true, _) => tagged(1, &at),
            (_, true) => vec![0x82, 0],
            _ => vec![0x80, 0],
        };
        let critical = || tagged(1, &sequence(&[extension("1.3.6.1.4.1.99999.1", true, &[5, 0])]));
        let mut answer = vec![id, status, at.clone(), tagged(0, &time(template.next_update))];
        answer.extend(template.critical_of_answer.then(critical));
        let mut data = vec![tagged(1, signer.subject.der()), at, sequence(&[sequence(&answer)])];
        data.extend(template.critical.then(critical));
        let algorithm = default_algorithm(&signer.key);
        let signature = signer.key.sign(algorithm, &sequence(&data), Zeroizing::new([7; 32]));
        let bits = BitString::from_bytes(&signature.expect("the algorithm fits the key")).expect("bits");
        let basic = sequence(&[
            sequence(&data),
            algorithm.to_der(),
            encode(&bits),
            tagged(0, &sequence(std::slice::from_ref(&signer.der))),
        ]);
        let basic_oid = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
        sequence(&[vec![0x0a, 1, 0], tagged(0, &sequence(&[encode(&basic_oid), octets(&basic)]))])
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

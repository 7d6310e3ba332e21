//! How a connection's two sides prove themselves: by the key that both know (`secret`), or by certificates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossgate_pki::{
    Certificate, Credential, CredentialError, OcspPolicy, OcspResponse, PrivateKey, ReadError,
    RevocationList, Side, TrustStore, read_certificates, read_ocsp_responses, read_revocation_lists,
};

use crate::choice::Choice;
use crate::document::Section;
use crate::environment::Environment;
use crate::identity::Identity;
use crate::report::{Located, Place, Report};
use crate::secret::{self, SecretReference, SharedKey};
use crate::vpn_client::VpnClientConfiguration;

/// How both sides of a connection prove themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// By a key that both know. Shared so that a connection can be handed around; the key itself is never copied.
    SharedKey(Arc<SharedKey>),
    /// By certificates.
    Certificate(Certificates),
    /// We by a certificate, each client by its name and password.
    Login(VpnClientConfiguration),
}

/// Own certificate and key, and whom to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// Own certificate with its intermediates and private key.
    pub credential: Arc<Credential>,
    /// Authorities that are trusted, and what they revoked.
    pub trust: Arc<TrustStore>,
    /// How an RSA key signs.
    pub rsa_signature: RsaSignature,
    /// Whether RSA with SHA-1 is signed and accepted, for peers that do not speak RFC 7427.
    pub allow_sha1: bool,
    /// Where all of it comes from.
    pub files: CertificateFiles,
}

/// Padding of RSA signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RsaSignature {
    /// RSASSA-PSS.
    Pss,
    /// RSASSA-PKCS1-v1_5.
    Pkcs1,
}

/// The files that certificates come from. No secret in themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// Own certificate and its intermediates; absolute.
    pub certificate: PathBuf,
    /// Where the private key is kept.
    pub private_key: SecretReference,
    /// Trusted authorities; absolute.
    pub trust_anchors: Vec<PathBuf>,
    /// Revocation lists; absolute.
    pub crls: Vec<PathBuf>,
    /// OCSP responses about own certificates; absolute.
    pub ocsp_responses: Vec<PathBuf>,
}

impl Authentication {
    /// The shared key, if it is by one.
    #[must_use]
    pub const fn shared_key(&self) -> Option<&Arc<SharedKey>> {
        match self {
            Self::SharedKey(key) => Some(key),
            Self::Certificate(_) | Self::Login(_) => None,
        }
    }
}

impl Choice for OcspPolicy {
    const WORDS: &'static [(&'static str, Self)] =
        &[("Off", Self::Off), ("Ask", Self::Ask), ("Require", Self::Require)];
}

impl Choice for RsaSignature {
    const WORDS: &'static [(&'static str, Self)] = &[("PSS", Self::Pss), ("PKCS1", Self::Pkcs1)];
}

/// What connections of one file trust, by the files of authorities and of revocation lists: those that name the same files share it, be it a
/// thousand connections and a long list.
#[derive(Default)]
pub(crate) struct Trusts(BTreeMap<TrustKey, Arc<TrustStore>>);

type TrustKey = (Vec<PathBuf>, Vec<PathBuf>, OcspPolicy);

/// Reads `shared_key` or `[connection.authentication]`, whichever is there.
pub(crate) fn read(
    section: &mut Section<'_>,
    environment: &Environment<'_>,
    trusts: &mut Trusts,
    report: &mut Report<'_>,
) -> Option<Authentication> {
    let is_given = section.has("authentication");
    let own = section.section("authentication", report);
    if !is_given {
        let key = secret::read(section, "shared_key", environment, report)?;
        return Some(Authentication::SharedKey(Arc::new(key)));
    }
    if section.has("shared_key") {
        let place = section.place_of("shared_key");
        section.skip("shared_key");
        let problem = "the connection has both a shared_key and an authentication by certificates";
        report.error(
            &place,
            problem,
            "leave one of the two out: both sides prove themselves in the same way",
        );
    }
    certificates(own?, environment, trusts, report).map(Authentication::Certificate)
}

fn certificates(
    mut section: Section<'_>,
    environment: &Environment<'_>,
    trusts: &mut Trusts,
    report: &mut Report<'_>,
) -> Option<Certificates> {
    let responses = section.list::<String>("ocsp_responses", report).unwrap_or_default();
    let own = own_with(&mut section, &responses, environment, report);
    let anchors = section.required_list::<String>("trust_anchors", "[\"ca.pem\"]", report);
    let lists = section.list::<String>("crls", report).unwrap_or_default();
    let rsa_signature =
        section.optional("rsa_signature", report).map_or(RsaSignature::Pss, |word| word.value);
    let ocsp = section.optional("ocsp", report).map_or(OcspPolicy::Ask, |word| word.value);
    let sha1 = section.optional::<bool>("allow_sha1", report);
    section.finish(report);
    if let Some(flag) = sha1.as_ref().filter(|flag| flag.value) {
        let problem = "SHA-1 is broken: a proof that is signed with it can be forged with some effort";
        report.warning(
            &flag.place,
            problem,
            "let the peer speak RFC 7427 (digital signatures), and leave this out",
        );
    }
    let anchors = anchors?;
    let absolute = |file: &Located<String>| secret::path(&file.value, report.source.file);
    let trust_anchors = anchors.iter().map(absolute).collect::<Vec<_>>();
    let crls = lists.iter().map(absolute).collect::<Vec<_>>();
    let ocsp_responses = responses.iter().map(absolute).collect::<Vec<_>>();
    let trust = trust(&anchors, &lists, (trust_anchors.clone(), crls.clone(), ocsp), trusts, report);
    let OwnCertificate { credential, certificate, private_key } = own?;
    Some(Certificates {
        credential,
        trust: trust?,
        rsa_signature,
        allow_sha1: sha1.is_some_and(|flag| flag.value),
        files: CertificateFiles { certificate, private_key, trust_anchors, crls, ocsp_responses },
    })
}

/// What one side proves itself with, and where it comes from.
pub(crate) struct OwnCertificate {
    pub(crate) credential: Arc<Credential>,
    pub(crate) certificate: PathBuf,
    pub(crate) private_key: SecretReference,
}

/// Reads `certificate` and `private_key`.
pub(crate) fn own_certificate(
    section: &mut Section<'_>,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<OwnCertificate> {
    own_with(section, &[], environment, report)
}

/// The same, with files of OCSP responses about the certificates.
fn own_with(
    section: &mut Section<'_>,
    responses: &[Located<String>],
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<OwnCertificate> {
    let own = section.required::<String>("certificate", "\"gw-a.pem\"", report);
    let key = secret::read_private_key(section, "private_key", environment, report);
    let own = own?;
    let chain = certificates_of(&own, report);
    let key = key?;
    let responses = responses.iter().map(|file| responses_of(file, chain.as_deref(), report));
    let responses = responses.collect::<Vec<_>>();
    let credential = credential(&own.place, chain?, key.key, report)?;
    let responses = responses.into_iter().collect::<Option<Vec<_>>>()?;
    let credential = credential.with_responses(responses.into_iter().flatten().collect());
    let certificate = secret::path(&own.value, report.source.file);
    Some(OwnCertificate { credential: Arc::new(credential), certificate, private_key: key.reference })
}

fn trust(
    anchors: &[Located<String>],
    lists: &[Located<String>],
    files: TrustKey,
    Trusts(known): &mut Trusts,
    report: &mut Report<'_>,
) -> Option<Arc<TrustStore>> {
    if let Some(trust) = known.get(&files) {
        return Some(Arc::clone(trust));
    }
    // All files, so that each one that is wrong is reported.
    let anchors = anchors.iter().map(|file| certificates_of(file, report)).collect::<Vec<_>>();
    let lists = lists.iter().map(|file| lists_of(file, report)).collect::<Vec<_>>();
    let anchors = anchors.into_iter().collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
    let lists = lists.into_iter().collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
    let trust = Arc::new(TrustStore::new(anchors, lists).with_ocsp(files.2));
    known.insert(files, Arc::clone(&trust));
    Some(trust)
}

fn credential(
    place: &Place,
    chain: Vec<Certificate>,
    key: PrivateKey,
    report: &mut Report<'_>,
) -> Option<Credential> {
    let error = match Credential::new(chain, key) {
        Ok(credential) => return Some(credential),
        Err(error) => error,
    };
    let remedy = match &error {
        CredentialError::OtherKey(_) => {
            "name the key that the certificate was requested with, and put this gateway's certificate first in the file"
        }
        CredentialError::Empty | CredentialError::TooMany => {
            "name a file with this gateway's certificate, then its intermediates"
        }
        CredentialError::Certificate(error) => error.remedy(Side::Ours),
    };
    report.error(place, error.to_string(), remedy);
    None
}

pub(crate) fn certificates_of(file: &Located<String>, report: &mut Report<'_>) -> Option<Vec<Certificate>> {
    read_public(file, CERTIFICATES_MAX_BYTES, read_certificates, report)
}

pub(crate) fn lists_of(file: &Located<String>, report: &mut Report<'_>) -> Option<Vec<RevocationList>> {
    read_public(file, LISTS_MAX_BYTES, read_revocation_lists, report)
}

/// Responses about certificates of `chain`, which may not have been read.
fn responses_of(
    file: &Located<String>,
    chain: Option<&[Certificate]>,
    report: &mut Report<'_>,
) -> Option<Vec<OcspResponse>> {
    let found = read_public(file, CERTIFICATES_MAX_BYTES, read_ocsp_responses, report)?;
    let Some(chain) = chain else { return Some(found) };
    let is_ours = |response: &OcspResponse| chain.iter().any(|own| response.is_about(own));
    if found.iter().all(is_ours) {
        return Some(found);
    }
    let problem = format!("{}: it is about none of the certificates in certificate", file.value);
    report.error(&file.place, problem, "get a response about this gateway's certificate from its CA");
    None
}

/// Reads a file that anybody may read; its name is relative to the configuration's directory.
fn read_public<T>(
    file: &Located<String>,
    max_bytes: u64,
    parse: impl Fn(&[u8]) -> Result<Vec<T>, ReadError>,
    report: &mut Report<'_>,
) -> Option<Vec<T>> {
    let directory = report.source.file.parent().unwrap_or(Path::new(""));
    let path = directory.join(&file.value);
    let shown = path.display();
    let bytes = match secret::read_regular(&path, max_bytes) {
        Ok(bytes) => bytes,
        Err(problem) => {
            report.error(&file.place, problem, "name a file in PEM or DER that this user may read");
            return None;
        }
    };
    match parse(&bytes) {
        Ok(found) => Some(found),
        Err(error) => {
            let remedy = match &error {
                ReadError::PrivateKey => "take the private key out of it and treat it as known to others",
                _ => "name a file with X.509 in PEM (-----BEGIN ...) or DER",
            };
            report.error(&file.place, format!("{shown}: {error}"), remedy);
            None
        }
    }
}

/// How we call ourselves: as the file says if the certificate has that name, else as the certificate's subject.
pub(crate) fn local_identity(
    authentication: Option<&Authentication>,
    given: Option<Located<Identity>>,
    address: Option<Identity>,
    place: &Place,
    report: &mut Report<'_>,
) -> Option<Identity> {
    let Some(Authentication::Certificate(certificates)) = authentication else {
        return given.map(|given| given.value).or(address);
    };
    certified_name(&certificates.credential, given, place, report)
}

/// A name of a certificate: the given one, else its first.
pub(crate) fn certified_name(
    credential: &Credential,
    given: Option<Located<Identity>>,
    place: &Place,
    report: &mut Report<'_>,
) -> Option<Identity> {
    let certificate = credential.certificate();
    let names = certificate.names();
    let Some(given) = given else {
        if names.is_empty() {
            report.error(
                place,
                "the certificate names nobody",
                "have one issued with a subject or subjectAltName",
            );
        }
        return names.first().map(Identity::from_subject);
    };
    let subject = given.value.subject();
    // The certificate's own form of a name: a distinguished name is sent byte by byte.
    let own = names.iter().find(|name| subject.as_ref().is_some_and(|subject| name.is_same(subject)));
    if own.is_none() {
        let listed = names.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let problem = format!("the certificate is not for {}: its names are {listed}", given.value);
        report.error(&given.place, problem, "take one of its names, or leave local_id out");
    }
    own.map(Identity::from_subject)
}

/// Larger than any chain or bundle of authorities.
const CERTIFICATES_MAX_BYTES: u64 = 4 << 20;
/// Larger than the lists of most authorities.
const LISTS_MAX_BYTES: u64 = 64 << 20;

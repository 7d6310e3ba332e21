//! Clients with certificates: the authorities that issue them and what is not good any more, in the cloud's words (`vpnClientRootCertificates`,
//! `vpnClientRevokedCertificates`), and the authorities' own lists besides.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crossgate_pki::{Certificate, ReadError, TrustStore, read_certificates};

use crate::authentication::{certificates_of, lists_of};
use crate::document::Section;
use crate::report::{Located, Report};
use crate::secret;

/// The keys that are read here.
pub(super) const KEYS: [&str; 3] = [ROOTS, REVOKED, LISTS];
const ROOTS: &str = "vpn_client_root_certificates";
const REVOKED: &str = "vpn_client_revoked_certificates";
const LISTS: &str = "crls";
/// As the cloud's gateway has it.
const ROOTS_MAX: usize = 20;
const THUMBPRINT_BYTES: usize = 20;

/// Whose certificates may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// What follows from all below.
    pub trust: Arc<TrustStore>,
    /// The authorities.
    pub roots: Vec<RootCertificate>,
    /// Certificates that are not good any more.
    pub revoked: Vec<RevokedCertificate>,
    /// Lists of revoked certificates; absolute.
    pub crls: Vec<PathBuf>,
}

/// An authority that issues certificates of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootCertificate {
    /// What the operator calls it.
    pub name: String,
    /// Where it comes from.
    pub source: RootSource,
}

/// Where an authority's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootSource {
    /// It stands in the configuration: Base64 without line breaks.
    Data(String),
    /// A file; absolute.
    File(PathBuf),
}

/// A certificate that is not good any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// What the operator calls it.
    pub name: String,
    /// The SHA-1 hash of the certificate, as hexadecimal digits.
    pub thumbprint: String,
}

/// Reads what is said about certificates; `None` if something of it is wrong, which is reported.
pub(super) fn read(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<ClientCertificates> {
    let (roots, anchors) = roots(section, report)?;
    let (revoked, thumbprints) = revoked(section, report);
    let lists = section.list::<String>(LISTS, report).unwrap_or_default();
    let crls = lists.iter().map(|file| secret::path(&file.value, report.source.file)).collect();
    let lists = lists.iter().map(|file| lists_of(file, report)).collect::<Vec<_>>();
    let lists = lists.into_iter().collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
    let trust = Arc::new(TrustStore::new(anchors, lists).without(thumbprints).of_clients());
    Some(ClientCertificates { trust, roots, revoked, crls })
}

fn roots(
    section: &mut Section<'_>,
    report: &mut Report<'_>,
) -> Option<(Vec<RootCertificate>, Vec<Certificate>)> {
    let place = section.place_of(ROOTS);
    let sections = section.sections(ROOTS, report);
    let write = "write vpn_client_root_certificates = [{ name = \"Root\", file = \"root.pem\" }]";
    if sections.is_empty() {
        report.error(&place, "clients log in by certificate, but no authority issues any", write);
        return None;
    }
    if sections.len() > ROOTS_MAX {
        let problem = format!("there are more than {ROOTS_MAX} root certificates");
        report.error(
            &place,
            problem,
            "leave some out, or have clients' certificates issued by fewer authorities",
        );
    }
    let read = sections.into_iter().map(|section| root(section?, report)).collect::<Vec<_>>();
    let (roots, anchors): (Vec<_>, Vec<_>) =
        read.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip();
    Some((roots, anchors.into_iter().flatten().collect()))
}

fn root(mut section: Section<'_>, report: &mut Report<'_>) -> Option<(RootCertificate, Vec<Certificate>)> {
    let name = section.required::<String>("name", "\"Root\"", report);
    let data = section.optional::<String>("public_cert_data", report);
    let file = section.optional::<String>("file", report);
    let place = section.place.clone();
    section.finish(report);
    let (source, certificates) = match (data, file) {
        (Some(data), None) => inline(&data, report)?,
        (None, Some(file)) => {
            let path = secret::path(&file.value, report.source.file);
            (RootSource::File(path), certificates_of(&file, report)?)
        }
        _ => {
            let problem = "a root certificate has either public_cert_data or a file";
            report.error(&place, problem, "write { name = \"Root\", file = \"root.pem\" }");
            return None;
        }
    };
    if let Some(other) = certificates.iter().find(|certificate| !certificate.is_authority()) {
        let problem = format!("the certificate of {} is no authority's (basicConstraints)", other.subject());
        report.error(&place, problem, "name the certificate that issues those of the clients");
        return None;
    }
    Some((RootCertificate { name: name?.value, source }, certificates))
}

/// A certificate as the cloud's portal takes it: Base64 on one line. Whole PEM is taken, too.
fn inline(data: &Located<String>, report: &mut Report<'_>) -> Option<(RootSource, Vec<Certificate>)> {
    let body: String = data.value.lines().filter(|line| !line.starts_with("-----")).collect();
    let body: String = body.split_whitespace().collect();
    let lines: Vec<_> = body.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    let remedy = "give the certificate's public part as Base64 of DER, as between the lines -----BEGIN and -----END of PEM";
    if data.value.contains("PRIVATE KEY") {
        report.error(
            &data.place,
            ReadError::PrivateKey.to_string(),
            "take the private key out of it and treat it as known to others",
        );
        return None;
    }
    match read_certificates(pem.as_bytes()) {
        Ok(found) => Some((RootSource::Data(body), found)),
        Err(error) => {
            report.error(&data.place, format!("public_cert_data is no certificate: {error}"), remedy);
            None
        }
    }
}

fn revoked(
    section: &mut Section<'_>,
    report: &mut Report<'_>,
) -> (Vec<RevokedCertificate>, BTreeSet<[u8; THUMBPRINT_BYTES]>) {
    let mut thumbprints = BTreeSet::new();
    let mut revoked = Vec::new();
    for mut section in section.sections(REVOKED, report).into_iter().flatten() {
        let name = section.required::<String>("name", "\"a lost laptop\"", report);
        let example = "\"5BA93C9DB0CFF93F52B521D7420E43F6EDA2784F\"";
        let thumbprint = section.required::<String>("thumbprint", example, report);
        section.finish(report);
        let Some((name, thumbprint)) = name.zip(thumbprint) else { continue };
        let Some(bytes) = hash(&thumbprint.value) else {
            let problem = format!("{:?} is no thumbprint", thumbprint.value);
            let remedy = "write the certificate's SHA-1 hash with 40 hexadecimal digits: openssl x509 -noout -fingerprint -sha1 -in FILE";
            report.error(&thumbprint.place, problem, remedy);
            continue;
        };
        thumbprints.insert(bytes);
        revoked.push(RevokedCertificate { name: name.value, thumbprint: thumbprint.value });
    }
    (revoked, thumbprints)
}

/// 40 hexadecimal digits, in pairs with colons or blanks between them or not.
fn hash(text: &str) -> Option<[u8; THUMBPRINT_BYTES]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !b": ".contains(byte)).collect();
    let bytes = digits.chunks(2).map(|pair| {
        let pair =
            std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|byte| byte.is_ascii_hexdigit()));
        pair.filter(|pair| pair.len() == 2).and_then(|pair| u8::from_str_radix(pair, 16).ok())
    });
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

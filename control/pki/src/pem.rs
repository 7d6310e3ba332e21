//! PEM files (RFC 7468): certificates and CRLs, several to a file, with any text between them; DER where a file holds no PEM.

use thiserror::Error;
use zeroize::Zeroizing;

use crate::certificate::Certificate;
use crate::error::CertificateError;
use crate::ocsp::OcspResponse;
use crate::revocation::RevocationList;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";

/// Why a file of certificates or CRLs cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Nothing of the kind is in it.
    #[error("it holds no {0} in PEM or DER")]
    Nothing(&'static str),
    /// A PEM block is cut off or not base64.
    #[error("its PEM block {0} is broken")]
    Pem(usize),
    /// A private key stands where others may read it.
    #[error("it holds a private key")]
    PrivateKey,
    /// What is in a block cannot be used.
    #[error("its block {0}: {1}")]
    Content(usize, CertificateError),
}

/// One block: label, and bytes that are wiped.
pub(crate) struct Block<'a> {
    pub(crate) label: &'a str,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// The blocks of a file in order; an error for one that is broken.
pub(crate) fn blocks(text: &[u8]) -> impl Iterator<Item = Result<Block<'_>, ()>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let begin = find(rest, BEGIN)?;
        let from = &rest[begin..];
        let Some(length) = block_length(from) else {
            rest = &[];
            return Some(Err(()));
        };
        rest = &from[length..];
        Some(decode(&from[..length]))
    })
}

fn decode(block: &[u8]) -> Result<Block<'_>, ()> {
    let width = pem_rfc7468::detect_base64_line_width(block).map_err(drop)?;
    let mut decoder = pem_rfc7468::Decoder::new_wrapped(block, width).map_err(drop)?;
    let label = decoder.type_label();
    // One exact allocation: a vector that grows leaves copies behind that nobody wipes.
    let mut der = Zeroizing::new(vec![0; decoder.remaining_len()]);
    decoder.decode(&mut der).map_err(drop)?;
    Ok(Block { label, der })
}

/// From BEGIN to the end of the line with END.
fn block_length(from: &[u8]) -> Option<usize> {
    let end = find(from, END)?;
    let line = from[end..].iter().position(|byte| *byte == b'\n').unwrap_or(from.len() - end);
    Some((end + line + 1).min(from.len()))
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len()).position(|window| window == pattern)
}

/// Reads every certificate of a file.
///
/// # Errors
/// [`ReadError`].
pub fn read_certificates(file: &[u8]) -> Result<Vec<Certificate>, ReadError> {
    read(file, "certificate", &["CERTIFICATE", "X509 CERTIFICATE"], Certificate::from_der)
}

/// Reads every CRL of a file.
///
/// # Errors
/// [`ReadError`].
pub fn read_revocation_lists(file: &[u8]) -> Result<Vec<RevocationList>, ReadError> {
    read(file, "certificate revocation list", &["X509 CRL"], RevocationList::from_der)
}

/// Reads every OCSP response of a file, which is usually one in DER.
///
/// # Errors
/// [`ReadError`].
pub fn read_ocsp_responses(file: &[u8]) -> Result<Vec<OcspResponse>, ReadError> {
    read(file, "OCSP response", &["OCSP RESPONSE"], OcspResponse::from_der)
}

fn read<T>(
    file: &[u8],
    kind: &'static str,
    labels: &[&str],
    from_der: impl Fn(&[u8]) -> Result<T, CertificateError>,
) -> Result<Vec<T>, ReadError> {
    let mut found = Vec::new();
    let mut is_pem = false;
    for (index, block) in blocks(file).enumerate() {
        is_pem = true;
        let block = block.map_err(|()| ReadError::Pem(index + 1))?;
        if block.label.ends_with("PRIVATE KEY") {
            return Err(ReadError::PrivateKey);
        }
        if labels.contains(&block.label) {
            found.push(from_der(&block.der).map_err(|error| ReadError::Content(index + 1, error))?);
        }
    }
    // DER begins with a SEQUENCE.
    if !is_pem && file.first() == Some(&0x30) {
        found.push(from_der(file).map_err(|error| ReadError::Content(1, error))?);
    }
    if found.is_empty() { Err(ReadError::Nothing(kind)) } else { Ok(found) }
}

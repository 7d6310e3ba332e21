//! The extensions of a certificate that decide what it may do (RFC 5280, 4.2; RFC 4945, 5.1.3).

use const_oid::db::{rfc5280, rfc5912};
use const_oid::{AssociatedOid as _, ObjectIdentifier};
use der::Decode as _;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName,
    SubjectKeyIdentifier,
};

use crate::subject::Subject;

/// Extended key usages that let a certificate speak for a client that logs in by IKE: those of RFC 4945, 5.1.3.12 with their predecessors, and that of TLS. Other IKE peers have
/// that of TLS servers, too, as most certificates of gateways do.
const CLIENT_USAGES: &[ObjectIdentifier] = &[
    ObjectIdentifier::new_unwrap("2.5.29.37.0"), // anyExtendedKeyUsage
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.17"), // id-kp-ipsecIKE
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.8.2.2"), // iKEIntermediate
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.5"), // id-kp-ipsecEndSystem
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.6"), // id-kp-ipsecTunnel
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.7"), // id-kp-ipsecUser
    rfc5280::ID_KP_CLIENT_AUTH,
];

/// What a certificate may be used for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extensions {
    /// basicConstraints: whether it is an authority's.
    pub(crate) is_authority: bool,
    /// basicConstraints: how many authorities may follow.
    pub(crate) path_length: Option<u8>,
    /// keyUsage allows signatures (digitalSignature or nonRepudiation); true without the extension.
    pub(crate) signs: bool,
    /// keyUsage allows signing certificates; true without the extension.
    pub(crate) signs_certificates: bool,
    /// keyUsage allows signing CRLs; true without the extension.
    pub(crate) signs_revocations: bool,
    /// extendedKeyUsage allows IKE; true without the extension.
    pub(crate) serves_ike: bool,
    /// extendedKeyUsage allows a client of IKE; true without the extension.
    pub(crate) serves_clients: bool,
    /// extendedKeyUsage names it for OCSP responses; false without the extension.
    pub(crate) signs_ocsp: bool,
    pub(crate) alternative_names: Vec<Subject>,
    pub(crate) subject_key: Option<Vec<u8>>,
    pub(crate) authority_key: Option<Vec<u8>>,
    /// A critical extension that nobody here knows, or nameConstraints in any form.
    pub(crate) not_understood: Option<String>,
}

impl Extensions {
    /// Reads them. An extension that comes twice is an error (RFC 5280, 4.2).
    pub(crate) fn read(extensions: &[Extension]) -> der::Result<Self> {
        let mut read = Self {
            signs: true,
            signs_certificates: true,
            signs_revocations: true,
            serves_ike: true,
            serves_clients: true,
            ..Self::default()
        };
        for (index, extension) in extensions.iter().enumerate() {
            if extensions[..index].iter().any(|before| before.extn_id == extension.extn_id) {
                return Err(der::ErrorKind::Failed.into());
            }
            read.take(extension)?;
        }
        Ok(read)
    }

    fn take(&mut self, extension: &Extension) -> der::Result<()> {
        let value = extension.extn_value.as_bytes();
        match extension.extn_id {
            BasicConstraints::OID => {
                let constraints = BasicConstraints::from_der(value)?;
                (self.is_authority, self.path_length) = (constraints.ca, constraints.path_len_constraint);
            }
            KeyUsage::OID => {
                let usage = KeyUsage::from_der(value)?;
                self.signs = usage.digital_signature() || usage.non_repudiation();
                self.signs_certificates = usage.key_cert_sign();
                self.signs_revocations = usage.crl_sign();
            }
            ExtendedKeyUsage::OID => {
                let usages = ExtendedKeyUsage::from_der(value)?;
                self.serves_clients = usages.0.iter().any(|usage| CLIENT_USAGES.contains(usage));
                self.serves_ike = self.serves_clients || usages.0.contains(&rfc5280::ID_KP_SERVER_AUTH);
                self.signs_ocsp = usages.0.contains(&rfc5280::ID_KP_OCSP_SIGNING);
            }
            SubjectAltName::OID => {
                let names: Vec<GeneralName> = SubjectAltName::from_der(value)?.0;
                self.alternative_names = names.iter().filter_map(Subject::from_general).collect();
            }
            SubjectKeyIdentifier::OID => {
                self.subject_key = Some(SubjectKeyIdentifier::from_der(value)?.0.as_bytes().to_vec());
            }
            AuthorityKeyIdentifier::OID => {
                let identifier = AuthorityKeyIdentifier::from_der(value)?.key_identifier;
                self.authority_key = identifier.map(|identifier| identifier.as_bytes().to_vec());
            }
            // Which policies a path is valid under is of interest to nobody here, as long as it need not be valid under a certain one.
            rfc5912::ID_CE_CERTIFICATE_POLICIES => {}
            rfc5912::ID_CE_NAME_CONSTRAINTS => self.not_understood = Some("nameConstraints".to_owned()),
            other if extension.critical => self.not_understood = Some(other.to_string()),
            _ => {}
        }
        Ok(())
    }
}

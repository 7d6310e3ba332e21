//! Bytes as a certificate, a CRL, a key, a signature's algorithm or a name: each is refused or read, and what was read can be checked, printed and compared.

#![no_main]

use crossgate_pki::{
    Certificate, DistinguishedName, PrivateKey, RevocationList, SignatureAlgorithm, TrustStore, UnixTime,
    read_certificates,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(certificate) = Certificate::from_der(bytes) {
        let _ = TrustStore::default().verify(&certificate, &[], UnixTime(2_000_000_000)).map_err(|error| error.to_string());
        let names = certificate.names();
        assert!(names.iter().all(|name| certificate.is_for(name)), "it is for whom it names");
    }
    if let Ok(algorithm) = SignatureAlgorithm::from_der(bytes) {
        assert_eq!(SignatureAlgorithm::from_der(&algorithm.to_der()), Ok(algorithm));
    }
    if let Ok(name) = DistinguishedName::from_der(bytes) {
        let _ = name.to_string();
    }
    let _ = RevocationList::from_der(bytes);
    let _ = read_certificates(bytes);
    let _ = PrivateKey::from_pem(bytes);
    if let Some(Ok(name)) = std::str::from_utf8(bytes).ok().map(str::parse::<DistinguishedName>) {
        assert_eq!(DistinguishedName::from_der(name.der()), Ok(name));
    }
});

//! Bytes as an OCSP response (RFC 6960), alone and with a right one before them that has a bit turned: each is refused or read, and none that was changed where it counts says anything
//! of a certificate.

#![no_main]

use std::sync::LazyLock;

use crossgate_pki::testing::{Issued, NOW, OcspTemplate, Template, key_pem};
use crossgate_pki::{Certificate, KeyKind, OcspPolicy, OcspResponse, TrustStore, read_ocsp_responses};
use libfuzzer_sys::fuzz_target;

/// A certificate, whom it is checked by, and a response about it.
struct Made {
    end: Certificate,
    store: TrustStore,
    response: Vec<u8>,
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 1));
    let end = root.issue(&Template::peer("peer.example"), &key_pem(KeyKind::P256, 2)).certificate();
    let response = root.ocsp_response(&root, &OcspTemplate::good(1));
    let store = TrustStore::new(vec![root.certificate()], Vec::new()).with_ocsp(OcspPolicy::Require);
    Made { end, store, response }
});

/// Whether the response says that the certificate is good.
fn is_good(der: &[u8]) -> bool {
    let Ok(response) = OcspResponse::from_der(der) else { return false };
    assert_eq!(OcspResponse::from_der(response.der()).expect("it was read before").der(), response.der());
    let Made { end, store, .. } = &*MADE;
    let _ = (response.is_about(end), response.judge(end, NOW).map_err(|error| error.to_string()));
    let paths = store.paths(end, &[], NOW).expect("a path by names");
    paths.verify_with_ocsp(&[response]).is_ok()
}

fuzz_target!(|bytes: &[u8]| {
    let _ = read_ocsp_responses(bytes);
    let right = &MADE.response;
    assert!(is_good(right), "what nobody changed");
    if bytes != right {
        assert!(!is_good(bytes) || bytes.starts_with(right), "nobody signed it");
    }
    // The first two bytes say where the right one is changed, the third how.
    if let [high, low, change, rest @ ..] = bytes {
        let at = usize::from(u16::from_be_bytes([*high, *low])) % right.len();
        let mut bent = right.clone();
        bent[at] ^= change;
        bent.splice(at + 1..(at + 1 + rest.len()).min(right.len()), rest.iter().copied());
        let _ = is_good(&bent);
    }
});

//! The other certificate that there is of every one with an ECDSA signature: whoever has a signature (r, s) can make (r, n - s), which is as good (FIPS 186-5 does not say
//! which of the two is meant). The content is the same, the bytes and their hash are not; what an operator withdraws by a hash has to be withdrawn in both forms.

use der::asn1::{AnyRef, BitStringRef};
use der::{Any, Decode as _, Encode as _, Tag, Tagged as _};

use crate::ocsp::parts;

/// How many points P-256, P-384 and P-521 have (FIPS 186-5 and SP 800-186, 3.2.1), big-endian.
const ORDERS: [&[u8]; 3] = [
    &[
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ],
    &[
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf, 0x58, 0x1a,
        0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
    ],
    &[
        0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfa,
        0x51, 0x86, 0x87, 0x83, 0xbf, 0x2f, 0x96, 0x6b, 0x7f, 0xcc, 0x01, 0x48, 0xf7, 0x09, 0xa5, 0xd0, 0x3b,
        0xb5, 0xc9, 0xb8, 0x89, 0x9c, 0x47, 0xae, 0xbb, 0x6f, 0xb7, 0x1e, 0x91, 0x38, 0x64, 0x09,
    ],
];

/// The other forms that a certificate may have, in DER: one for each curve that its issuer's key may be of; none if it is not signed by ECDSA.
pub(crate) fn of(certificate: &[u8]) -> Vec<Vec<u8>> {
    ORDERS.iter().filter_map(|order| with_other(certificate, order).ok().flatten()).collect()
}

fn with_other(certificate: &[u8], order: &[u8]) -> der::Result<Option<Vec<u8>>> {
    let [content, algorithm, signature] = parts(AnyRef::from_der(certificate)?)?[..] else { return Ok(None) };
    let signature: BitStringRef<'_> = signature.decode_as()?;
    let Some(signature) = signature.as_bytes() else { return Ok(None) };
    let [r, s] = parts(AnyRef::from_der(signature)?)?[..] else { return Ok(None) };
    if (r.tag(), s.tag()) != (Tag::Integer, Tag::Integer) {
        return Ok(None);
    }
    let Some(other) = difference(order, s.value()) else { return Ok(None) };
    let s = Any::new(Tag::Integer, other)?;
    let signature = Any::new(Tag::Sequence, [r.to_der()?, s.to_der()?].concat())?.to_der()?;
    let signature = Any::new(Tag::BitString, [&[0][..], &signature].concat())?;
    let whole = [content.to_der()?, algorithm.to_der()?, signature.to_der()?].concat();
    Ok(Some(Any::new(Tag::Sequence, whole)?.to_der()?))
}

/// `order - number`, as the content of an INTEGER; `None` unless it is positive.
fn difference(order: &[u8], number: &[u8]) -> Option<Vec<u8>> {
    let number = &number[number.iter().take_while(|byte| **byte == 0).count()..];
    let mut result = vec![0; order.len().checked_sub(number.len())?];
    result.extend(number);
    let mut borrow = false;
    for (byte, minuend) in result.iter_mut().zip(order).rev() {
        let (less, first) = minuend.overflowing_sub(*byte);
        let (less, second) = less.overflowing_sub(u8::from(borrow));
        (*byte, borrow) = (less, first || second);
    }
    let zeros = result.iter().take_while(|byte| **byte == 0).count();
    if borrow || zeros == result.len() {
        return None;
    }
    let mut content = result.split_off(zeros);
    if content[0] >= 0x80 {
        content.insert(0, 0);
    }
    Some(content)
}

#[cfg(test)]
mod tests {
    use crate::certificate::Certificate;
    use crate::error::CertificateError;
    use crate::path::TrustStore;
    use crate::public_key::KeyKind;
    use crate::testing::{Issued, NOW, Template, key_pem};

    #[test]
    fn the_other_form_of_a_withdrawn_certificate_is_withdrawn_with_it() {
        for kind in [KeyKind::P256, KeyKind::P384, KeyKind::P521] {
            let root = Issued::root(&Template::authority("Root"), &key_pem(kind, 1));
            let peer = root.issue(&Template::peer("peer.example"), &key_pem(KeyKind::P256, 2)).certificate();
            let store = || TrustStore::new(vec![root.certificate()], Vec::new());
            let twins = super::of(peer.der()).into_iter().map(|der| Certificate::from_der(&der).unwrap());
            let good: Vec<_> = twins.filter(|twin| store().verify(twin, &[], NOW).is_ok()).collect();
            let [twin] = &good[..] else { panic!("{} of {kind}", good.len()) };
            assert_ne!(twin.thumbprint(), peer.thumbprint());
            assert_eq!(super::of(twin.der()).iter().filter(|der| **der == peer.der()).count(), 1);
            for withdrawn in [&peer, twin] {
                let store = store().without([withdrawn.thumbprint()].into());
                for shown in [&peer, twin] {
                    let refused = store.verify(shown, &[], NOW);
                    assert!(matches!(refused, Err(CertificateError::Withdrawn { .. })), "{refused:?}");
                }
            }
        }
        let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::Ed25519, 1));
        assert!(super::of(root.certificate().der()).is_empty());
    }
}

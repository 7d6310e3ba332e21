//! AUTH by shared key: prf(prf(shared key, "Key Pad for IKEv2"), signed octets) (RFC 7296, 2.15).

use super::AuthVerified;
use crate::crypto::prf::Prf;
use crate::secret::Secret;
use crate::wire::{AuthMethod, Authentication};

const KEY_PAD: &[u8] = b"Key Pad for IKEv2";

/// Our AUTH payload over [`super::signed_octets`] of our side.
pub fn authenticate(prf: Prf, shared_key: &Secret<Vec<u8>>, signed_octets: &[u8]) -> Authentication {
    let data = mac(prf, shared_key, signed_octets).expose().clone();
    Authentication { method: AuthMethod::SHARED_KEY_MIC, data }
}

/// Checks the peer's AUTH payload over [`super::signed_octets`] of its side, in constant time. `None` is a wrong key,
/// another method or a message that was changed on its way: AUTHENTICATION_FAILED, whichever it is.
pub fn verify(
    prf: Prf,
    shared_key: &Secret<Vec<u8>>,
    signed_octets: &[u8],
    peer: &Authentication,
) -> Option<AuthVerified> {
    let same = mac(prf, shared_key, signed_octets).matches(&peer.data);
    (peer.method == AuthMethod::SHARED_KEY_MIC && same).then_some(AuthVerified::plain())
}

/// Our AUTH payload after a resumption, by SK_pi or SK_pr instead of a shared key (RFC 5723, 5.1).
pub(crate) fn of_resumption(prf: Prf, sk_p: &Secret<Vec<u8>>, signed_octets: &[u8]) -> Authentication {
    let data = prf.compute(sk_p.expose(), &[signed_octets]).expose().clone();
    Authentication { method: AuthMethod::SHARED_KEY_MIC, data }
}

/// Checks the peer's, in constant time.
pub(crate) fn verify_resumption(
    prf: Prf,
    sk_p: &Secret<Vec<u8>>,
    signed_octets: &[u8],
    peer: &Authentication,
) -> Option<AuthVerified> {
    let is_same = prf.compute(sk_p.expose(), &[signed_octets]).matches(&peer.data);
    (peer.method == AuthMethod::SHARED_KEY_MIC && is_same).then_some(AuthVerified::plain())
}

/// Checks a HASH payload of IKEv1 (RFC 2409, 5), which only who has the shared key can make, in constant time.
pub(crate) fn verify_hash(expected: &Secret<Vec<u8>>, peer: &[u8]) -> Option<AuthVerified> {
    expected.matches(peer).then_some(AuthVerified::plain())
}

fn mac(prf: Prf, shared_key: &Secret<Vec<u8>>, signed_octets: &[u8]) -> Secret<Vec<u8>> {
    let padded = prf.compute(shared_key.expose(), &[KEY_PAD]);
    prf.compute(padded.expose(), &[signed_octets])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_octets_and_method_verify() {
        let key = Secret::from(b"correct".as_slice());
        let auth = authenticate(Prf::HmacSha2_256, &key, b"octets");
        assert!(verify(Prf::HmacSha2_256, &key, b"octets", &auth).is_some());
        assert!(verify(Prf::HmacSha2_256, &key, b"octetS", &auth).is_none());
        assert!(verify(Prf::HmacSha2_256, &Secret::from(b"wrong".as_slice()), b"octets", &auth).is_none());
        let other = Authentication { method: AuthMethod::NULL, ..auth };
        assert!(verify(Prf::HmacSha2_256, &key, b"octets", &other).is_none());
    }
}

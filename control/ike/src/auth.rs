//! Who the peer is: what AUTH covers (RFC 7296, 2.15), and the proof that it was checked.
//!
//! IKE_AUTH computes its own AUTH and checks the peer's here, by the method that the connection asks for.

use crate::crypto::prf::Prf;
use crate::secret::Secret;
use crate::wire::Identification;

pub mod psk;

/// Proof that a peer's AUTH payload was checked; only the check makes one, and an SA is not established without.
#[derive(Debug)]
#[must_use]
pub struct AuthVerified(());

/// What one side signs: its own first message, the other's nonce, and prf(SK_p, its identification) (RFC 7296, 2.15).
///
/// `intermediate` is what IKE_INTERMEDIATE exchanges add, nothing without them (RFC 9242, 3.3.2). `message` is the IKE_SA_INIT message that this side sent, as it was on the wire and without a non-ESP marker; of
/// several (cookies, another group) the last. `sk_p` and `id` are this side's; the identification as it was sent.
pub fn signed_octets(
    prf: Prf,
    message: &[u8],
    nonce_of_other: &[u8],
    sk_p: &Secret<Vec<u8>>,
    id: &Identification,
    intermediate: &[u8],
) -> Vec<u8> {
    let maced_id = prf.compute(sk_p.expose(), &[&id.body()]);
    [message, nonce_of_other, maced_id.expose(), intermediate].concat()
}

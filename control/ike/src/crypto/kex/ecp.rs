//! Elliptic curves over prime fields: public values are x and y, the secret is x (RFC 5903, 7).

use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytes, FieldBytesSize, PublicKey, SecretKey};
use zeroize::Zeroize;

use crate::secret::Secret;

/// Mark of an uncompressed point (SEC 1, 2.3.3), which IKE leaves out.
const UNCOMPRESSED: u8 = 4;
/// A value out of range comes up at most every second time (P-521 has the largest share); a generator that
/// gives so many in a row is broken.
const MAX_DRAWS: usize = 256;

/// Draws a scalar uniformly: out of range ones are drawn again. `mask` cuts the first byte to the curve's size.
pub(super) fn draw<C: CurveArithmetic>(random: &mut dyn FnMut(&mut [u8]), mask: u8) -> SecretKey<C> {
    let mut bytes = FieldBytes::<C>::default();
    for _ in 0..MAX_DRAWS {
        random(&mut bytes);
        bytes[0] &= mask;
        let key = SecretKey::from_bytes(&bytes);
        bytes.zeroize();
        if let Ok(key) = key {
            return key;
        }
    }
    panic!("the random generator gives no scalar in range: it is not random");
}

pub(super) fn public_value<C>(key: &SecretKey<C>) -> Vec<u8>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let point = key.public_key().to_sec1_point(false);
    point.as_bytes().get(1..).unwrap_or_default().to_vec()
}

/// `None` when `peer` is not a point of the curve. The point at infinity has no such encoding.
pub(super) fn agree<C>(key: &SecretKey<C>, peer: &[u8]) -> Option<Secret<Vec<u8>>>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let mut point = Vec::with_capacity(1 + peer.len());
    point.push(UNCOMPRESSED);
    point.extend_from_slice(peer);
    let peer = PublicKey::<C>::from_sec1_bytes(&point).ok()?;
    let shared = key.diffie_hellman(&peer);
    Some(Secret::from(shared.raw_secret_bytes().as_slice()))
}

//! ML-KEM-768 (FIPS 203) as a key exchange method: the initiator sends an encapsulation key, the responder a ciphertext.

use ::ml_kem::kem::{Decapsulate, Key, KeyExport};
use ::ml_kem::ml_kem_768::{Ciphertext, DecapsulationKey, EncapsulationKey};
use ::ml_kem::{B32, Seed};
use zeroize::Zeroize;

use crate::secret::Secret;

/// Bytes of the initiator's value (FIPS 203, table 3).
pub(super) const ENCAPSULATION_KEY_BYTES: usize = 1184;
/// Bytes of the responder's value (FIPS 203, table 3).
pub(super) const CIPHERTEXT_BYTES: usize = 1088;
/// Bytes of d and z, from which a decapsulation key is made; an encapsulation takes its m from the first half.
const SEED_BYTES: usize = 64;

/// Randomness for either side.
pub(super) fn draw(random: &mut dyn FnMut(&mut [u8])) -> Secret<Vec<u8>> {
    let mut seed = vec![0; SEED_BYTES];
    random(&mut seed);
    Secret::new(seed)
}

fn decapsulation_key(seed: &Secret<Vec<u8>>) -> DecapsulationKey {
    let mut copy = Seed::try_from(seed.expose().as_slice()).expect("the seed has its length");
    let key = DecapsulationKey::from_seed(copy);
    copy.zeroize();
    key
}

/// The initiator's value.
pub(super) fn encapsulation_key(seed: &Secret<Vec<u8>>) -> Vec<u8> {
    decapsulation_key(seed).encapsulation_key().to_bytes().to_vec()
}

/// The responder's value and the secret; `None` when `peer` is no encapsulation key (FIPS 203, 7.2: the modulus check).
pub(super) fn encapsulate(seed: &Secret<Vec<u8>>, peer: &[u8]) -> Option<(Vec<u8>, Secret<Vec<u8>>)> {
    let key = EncapsulationKey::new(&Key::<EncapsulationKey>::try_from(peer).ok()?).ok()?;
    let mut m = B32::try_from(seed.expose().get(..32)?).ok()?;
    let (ciphertext, mut shared) = key.encapsulate_deterministic(&m);
    m.zeroize();
    let secret = Secret::from(shared.as_slice());
    shared.zeroize();
    Some((ciphertext.to_vec(), secret))
}

/// The initiator's secret. A ciphertext that was changed gives another one, and no error (FIPS 203, 6.3: implicit rejection).
pub(super) fn decapsulate(seed: &Secret<Vec<u8>>, peer: &[u8]) -> Option<Secret<Vec<u8>>> {
    let ciphertext = Ciphertext::try_from(peer).ok()?;
    let mut shared = decapsulation_key(seed).decapsulate(&ciphertext);
    let secret = Secret::from(shared.as_slice());
    shared.zeroize();
    Some(secret)
}

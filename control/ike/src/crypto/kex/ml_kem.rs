//! ML-KEM (FIPS 203) as a key exchange method: the initiator sends an encapsulation key, the responder a ciphertext.

use ::ml_kem::kem::{Decapsulate, Key, KeyExport};
use ::ml_kem::{B32, Seed};
use zeroize::Zeroize;

use crate::secret::Secret;

/// A parameter set (FIPS 203, table 2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kem {
    MlKem512,
    MlKem768,
    MlKem1024,
}

/// Bytes of d and z, from which a decapsulation key is made; an encapsulation takes its m from the first half.
const SEED_BYTES: usize = 64;

/// Randomness for either side.
pub(super) fn draw(random: &mut dyn FnMut(&mut [u8])) -> Secret<Vec<u8>> {
    let mut seed = vec![0; SEED_BYTES];
    random(&mut seed);
    Secret::new(seed)
}

/// The three steps over the types of one parameter set.
macro_rules! steps {
    ($name:ident, $set:path) => {
        mod $name {
            use $set as set;

            use super::{B32, Decapsulate, Key, KeyExport, Secret, Seed, Zeroize};

            fn decapsulation_key(seed: &Secret<Vec<u8>>) -> set::DecapsulationKey {
                let mut copy = Seed::try_from(seed.expose().as_slice()).expect("the seed has its length");
                let key = set::DecapsulationKey::from_seed(copy);
                copy.zeroize();
                key
            }

            pub(super) fn encapsulation_key(seed: &Secret<Vec<u8>>) -> Vec<u8> {
                decapsulation_key(seed).encapsulation_key().to_bytes().to_vec()
            }

            pub(super) fn encapsulate(
                seed: &Secret<Vec<u8>>,
                peer: &[u8],
            ) -> Option<(Vec<u8>, Secret<Vec<u8>>)> {
                let key = Key::<set::EncapsulationKey>::try_from(peer).ok()?;
                let key = set::EncapsulationKey::new(&key).ok()?;
                let mut m = B32::try_from(seed.expose().get(..32)?).ok()?;
                let (ciphertext, mut shared) = key.encapsulate_deterministic(&m);
                m.zeroize();
                let secret = Secret::from(shared.as_slice());
                shared.zeroize();
                Some((ciphertext.to_vec(), secret))
            }

            pub(super) fn decapsulate(seed: &Secret<Vec<u8>>, peer: &[u8]) -> Option<Secret<Vec<u8>>> {
                let ciphertext = set::Ciphertext::try_from(peer).ok()?;
                let mut shared = decapsulation_key(seed).decapsulate(&ciphertext);
                let secret = Secret::from(shared.as_slice());
                shared.zeroize();
                Some(secret)
            }
        }
    };
}

steps!(of_512, ::ml_kem::ml_kem_512);
steps!(of_768, ::ml_kem::ml_kem_768);
steps!(of_1024, ::ml_kem::ml_kem_1024);

impl Kem {
    /// Bytes of the initiator's value (FIPS 203, table 3).
    pub(super) const fn key_bytes(self) -> usize {
        match self {
            Self::MlKem512 => 800,
            Self::MlKem768 => 1184,
            Self::MlKem1024 => 1568,
        }
    }

    /// Bytes of the responder's value (FIPS 203, table 3).
    pub(super) const fn ciphertext_bytes(self) -> usize {
        match self {
            Self::MlKem512 => 768,
            Self::MlKem768 => 1088,
            Self::MlKem1024 => 1568,
        }
    }

    /// The initiator's value.
    pub(super) fn encapsulation_key(self, seed: &Secret<Vec<u8>>) -> Vec<u8> {
        match self {
            Self::MlKem512 => of_512::encapsulation_key(seed),
            Self::MlKem768 => of_768::encapsulation_key(seed),
            Self::MlKem1024 => of_1024::encapsulation_key(seed),
        }
    }

    /// The responder's value and the secret; `None` when `peer` is no encapsulation key (FIPS 203, 7.2: the modulus check).
    pub(super) fn encapsulate(
        self,
        seed: &Secret<Vec<u8>>,
        peer: &[u8],
    ) -> Option<(Vec<u8>, Secret<Vec<u8>>)> {
        match self {
            Self::MlKem512 => of_512::encapsulate(seed, peer),
            Self::MlKem768 => of_768::encapsulate(seed, peer),
            Self::MlKem1024 => of_1024::encapsulate(seed, peer),
        }
    }

    /// The initiator's secret. A ciphertext that was changed gives another one, and no error (FIPS 203, 6.3: implicit rejection).
    pub(super) fn decapsulate(self, seed: &Secret<Vec<u8>>, peer: &[u8]) -> Option<Secret<Vec<u8>>> {
        match self {
            Self::MlKem512 => of_512::decapsulate(seed, peer),
            Self::MlKem768 => of_768::decapsulate(seed, peer),
            Self::MlKem1024 => of_1024::decapsulate(seed, peer),
        }
    }
}

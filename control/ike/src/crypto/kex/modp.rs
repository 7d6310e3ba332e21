//! Powers modulo the primes of RFC 2409, 3526 and 5114, in constant time.

use std::sync::LazyLock;

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, Uint};
use zeroize::{Zeroize, Zeroizing};

use super::{Group, primes};
use crate::secret::Secret;

pub(super) static MODP_768: LazyLock<FixedMontyParams<12>> = LazyLock::new(|| params(primes::MODP_768));
pub(super) static MODP_1024: LazyLock<FixedMontyParams<16>> = LazyLock::new(|| params(primes::MODP_1024));
pub(super) static MODP_1536: LazyLock<FixedMontyParams<24>> = LazyLock::new(|| params(primes::MODP_1536));
static MODP_2048_256: LazyLock<FixedMontyParams<32>> = LazyLock::new(|| params(primes::MODP_2048_256));
pub(super) static MODP_2048: LazyLock<FixedMontyParams<32>> = LazyLock::new(|| params(primes::MODP_2048));
static MODP_3072: LazyLock<FixedMontyParams<48>> = LazyLock::new(|| params(primes::MODP_3072));
static MODP_4096: LazyLock<FixedMontyParams<64>> = LazyLock::new(|| params(primes::MODP_4096));

/// Limbs of a private exponent: the longest has 512 bits.
const EXPONENT_LIMBS: usize = 8;

/// Bits of a private exponent: at least twice the group's strength, the upper estimates of RFC 3526, 8, rounded up.
/// Short exponents are safe where the primes are; in a subgroup of 256 bits, 64 more make them nearly uniform.
fn exponent_bits(group: Group) -> u32 {
    match group {
        Group::Modp768 | Group::Modp1024 | Group::Modp1536 => 256,
        Group::Modp2048 | Group::Modp2048Subgroup256 => 320,
        Group::Modp3072 => 448,
        _ => 512,
    }
}

/// A private exponent: always 64 bytes, of which only the group's share is not 0.
pub(super) fn draw(group: Group, random: &mut dyn FnMut(&mut [u8])) -> Secret<Vec<u8>> {
    let mut bytes = vec![0; EXPONENT_LIMBS * 8];
    let zeros = bytes.len() - usize::try_from(exponent_bits(group) / 8).expect("a few bytes");
    random(&mut bytes[zeros..]);
    Secret::new(bytes)
}

pub(super) fn public_value(group: Group, exponent: &Secret<Vec<u8>>) -> Vec<u8> {
    let (bits, exponent) = (exponent_bits(group), &read(exponent));
    match group {
        Group::Modp768 => power(&MODP_768, &Uint::from(2u8), exponent, bits),
        Group::Modp1024 => power(&MODP_1024, &Uint::from(2u8), exponent, bits),
        Group::Modp1536 => power(&MODP_1536, &Uint::from(2u8), exponent, bits),
        Group::Modp2048 => power(&MODP_2048, &Uint::from(2u8), exponent, bits),
        Group::Modp2048Subgroup256 => {
            power(&MODP_2048_256, &Uint::from_be_hex(primes::MODP_2048_256_GENERATOR), exponent, bits)
        }
        Group::Modp3072 => power(&MODP_3072, &Uint::from(2u8), exponent, bits),
        _ => power(&MODP_4096, &Uint::from(2u8), exponent, bits),
    }
}

fn read(exponent: &Secret<Vec<u8>>) -> Zeroizing<Uint<EXPONENT_LIMBS>> {
    Zeroizing::new(Uint::from_be_slice(exponent.expose()))
}

/// `None` when `peer` (as long as the prime) is 0, 1, p - 1 or above, or outside the subgroup of group 24.
pub(super) fn agree(group: Group, exponent: &Secret<Vec<u8>>, peer: &[u8]) -> Option<Secret<Vec<u8>>> {
    let (bits, exponent) = (exponent_bits(group), &read(exponent));
    match group {
        Group::Modp768 => agree_in(&MODP_768, exponent, bits, peer),
        Group::Modp1024 => agree_in(&MODP_1024, exponent, bits, peer),
        Group::Modp1536 => agree_in(&MODP_1536, exponent, bits, peer),
        Group::Modp2048 => agree_in(&MODP_2048, exponent, bits, peer),
        Group::Modp2048Subgroup256 => {
            is_in_subgroup(peer).then(|| agree_in(&MODP_2048_256, exponent, bits, peer)).flatten()
        }
        Group::Modp3072 => agree_in(&MODP_3072, exponent, bits, peer),
        _ => agree_in(&MODP_4096, exponent, bits, peer),
    }
}

/// Whether a value of group 24 lies in the subgroup of order q: its q-th power is 1 (RFC 6989, 2.2).
fn is_in_subgroup(peer: &[u8]) -> bool {
    let peer = Uint::<32>::from_be_slice(peer);
    let order = Uint::<4>::from_be_hex(primes::MODP_2048_256_ORDER);
    let is_reduced = peer < *MODP_2048_256.modulus().as_ref();
    is_reduced
        && FixedMontyForm::new(&peer, &MODP_2048_256).pow_bounded_exp(&order, 256).retrieve() == Uint::ONE
}

fn params<const LIMBS: usize>(prime: &str) -> FixedMontyParams<LIMBS> {
    FixedMontyParams::new_vartime(Odd::<Uint<LIMBS>>::from_be_hex(prime))
}

fn agree_in<const LIMBS: usize>(
    params: &FixedMontyParams<LIMBS>,
    exponent: &Uint<EXPONENT_LIMBS>,
    bits: u32,
    peer: &[u8],
) -> Option<Secret<Vec<u8>>> {
    let peer = Uint::<LIMBS>::from_be_slice(peer);
    let highest = params.modulus().as_ref().wrapping_sub(&Uint::ONE);
    if peer <= Uint::ONE || peer >= highest {
        return None;
    }
    Some(Secret::new(power(params, &peer, exponent, bits)))
}

pub(super) fn power<const LIMBS: usize, const EXPONENT: usize>(
    params: &FixedMontyParams<LIMBS>,
    base: &Uint<LIMBS>,
    exponent: &Uint<EXPONENT>,
    bits: u32,
) -> Vec<u8> {
    let mut power = FixedMontyForm::new(base, params).pow_bounded_exp(exponent, bits);
    let mut value = power.retrieve();
    let mut encoded = value.to_be_bytes();
    let bytes = encoded.as_slice().to_vec();
    power.zeroize();
    value.zeroize();
    encoded.zeroize();
    bytes
}

//! Published test cases: McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B (those with a 96-bit IV and an
//! AAD that ESP could have).

use hex_literal::hex;

use super::{open_one, seal_one};
use crate::{Aad, Kernel, Verdict};

/// Key, nonce, plaintext, ciphertext followed by the tag; no AAD.
type Case = (&'static [u8], [u8; 12], &'static [u8], &'static [u8]);

const ZERO: [u8; 12] = [0; 12];
const CAFE: [u8; 12] = hex!("cafebabefacedbaddecaf888");
const PLAINTEXT: &[u8] = &hex!(
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
);

const CASES: &[Case] = &[
    (&[0; 16], ZERO, &[], &hex!("58e2fccefa7e3061367f1d57a4e7455a")),
    (&[0; 16], ZERO, &[0; 16], &hex!("0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf")),
    (
        &hex!("feffe9928665731c6d6a8f9467308308"),
        CAFE,
        PLAINTEXT,
        &hex!(
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
            "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985"
            "4d5c2af327cd64a62cf35abd2ba6fab4"
        ),
    ),
    (&[0; 24], ZERO, &[], &hex!("cd33b28ac773f74ba00ed1f312572435")),
    (&[0; 24], ZERO, &[0; 16], &hex!("98e7247c07f0fe411c267e4384b0f6002ff58d80033927ab8ef4d4587514f0fb")),
    (
        &hex!("feffe9928665731c6d6a8f9467308308feffe9928665731c"),
        CAFE,
        PLAINTEXT,
        &hex!(
            "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c"
            "7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710acade256"
            "9924a7c8587336bfb118024db8674a14"
        ),
    ),
    (&[0; 32], ZERO, &[], &hex!("530f8afbc74536b9a963b4f1c4cb738b")),
    (&[0; 32], ZERO, &[0; 16], &hex!("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")),
    (
        &hex!("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"),
        CAFE,
        PLAINTEXT,
        &hex!(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
            "b094dac5d93471bdec1a502270e3cc6c"
        ),
    ),
];

#[test]
fn mcgrew_viega_cases_seal_and_open() {
    for kernel in Kernel::available() {
        for (number, (key, nonce, plaintext, sealed)) in CASES.iter().enumerate() {
            let aad = Aad::new(&[]);
            assert_eq!(seal_one(kernel, key, *nonce, aad, plaintext), *sealed, "{} {number}", kernel.name());
            let (verdict, opened) = open_one(kernel, key, *nonce, aad, sealed);
            assert_eq!(verdict, Verdict::Authentic, "{} {number}", kernel.name());
            assert_eq!(&opened[..plaintext.len()], *plaintext, "{} {number}", kernel.name());
        }
    }
}

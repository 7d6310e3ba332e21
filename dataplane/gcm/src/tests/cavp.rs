//! NIST's own test cases (CAVP, `gcmEncryptExtIV`), in the form in which NIST publishes them (`cavp.rsp`).

use super::{open_one, padded_aad, seal_one};
use crate::{Kernel, Verdict};

/// A case: names and values of its lines, in their order.
fn cases() -> impl Iterator<Item = [Vec<u8>; 6]> {
    include_str!("cavp.rsp").split("\n\n").skip(1).map(|case| {
        let mut values = case.lines();
        ["Key", "IV", "PT", "AAD", "CT", "Tag"].map(|name| {
            let (found, value) =
                values.next().and_then(|line| line.split_once(" = ")).expect("a line of a case");
            assert_eq!(found, name);
            bytes(value)
        })
    })
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let pairs = hexadecimal.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("text"), 16).expect("a byte"))
        .collect()
}

#[test]
fn nists_cases_seal_and_open_as_published() {
    let mut count = 0;
    for [key, iv, plaintext, aad, ciphertext, tag] in cases() {
        let (nonce, aad) = (iv.try_into().expect("96 bits"), padded_aad(&aad).expect("short"));
        let sealed = [ciphertext, tag].concat();
        for kernel in Kernel::available() {
            assert_eq!(seal_one(kernel, &key, nonce, aad, &plaintext), sealed, "{} {count}", kernel.name());
            let (verdict, opened) = open_one(kernel, &key, nonce, aad, &sealed);
            assert_eq!((verdict, &opened[..plaintext.len()]), (Verdict::Authentic, &plaintext[..]));
        }
        count += 1;
    }
    assert_eq!(count, 100);
}

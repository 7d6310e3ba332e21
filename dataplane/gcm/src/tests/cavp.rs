//! NIST's own test cases (CAVP, `gcmEncryptExtIV` and `gcmDecrypt`), in the form in which NIST publishes them (`cavp.rsp`, `cavp_decrypt.rsp`).

use super::{open_one, padded_aad, seal_one};
use crate::{Kernel, Verdict};

/// The value of a case's line, which has to have this name.
fn value(line: Option<&str>, name: &str) -> Vec<u8> {
    let (found, value) = line.and_then(|line| line.split_once(" = ")).expect("a line of a case");
    assert_eq!(found, name);
    let pairs = value.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("text"), 16).expect("a byte"))
        .collect()
}

#[test]
fn nists_cases_seal_and_open_as_published() {
    let mut count = 0;
    for case in include_str!("cavp.rsp").split("\n\n").skip(1) {
        let mut lines = case.lines();
        let [key, iv, plaintext, aad, ciphertext, tag] =
            ["Key", "IV", "PT", "AAD", "CT", "Tag"].map(|name| value(lines.next(), name));
        let (nonce, aad) = (iv.try_into().expect("96 bits"), padded_aad(&aad).expect("short"));
        let sealed = [ciphertext, tag].concat();
        for kernel in Kernel::available() {
            assert_eq!(seal_one(kernel, &key, nonce, aad, &plaintext), sealed, "{} {count}", kernel.name());
            let (verdict, opened) = open_one(kernel, &key, nonce, aad, &sealed);
            assert_eq!((verdict, &opened[..plaintext.len()]), (Verdict::Authentic, &plaintext[..]));
        }
        count += 1;
    }
    assert_eq!(count, 150);
}

#[test]
fn nists_cases_are_opened_or_refused_as_published() {
    let (mut opened, mut refused) = (0, 0);
    for case in include_str!("cavp_decrypt.rsp").split("\n\n").skip(1) {
        let mut lines = case.lines();
        let [key, iv, ciphertext, aad, tag] =
            ["Key", "IV", "CT", "AAD", "Tag"].map(|name| value(lines.next(), name));
        let (nonce, aad) = (iv.try_into().expect("96 bits"), padded_aad(&aad).expect("short"));
        let last = lines.next();
        let plaintext = (last != Some("FAIL")).then(|| value(last, "PT"));
        let sealed = [&ciphertext[..], &tag].concat();
        for kernel in Kernel::available() {
            let (verdict, left) = open_one(kernel, &key, nonce, aad, &sealed);
            let (expected, payload) = match &plaintext {
                Some(plaintext) => (Verdict::Authentic, plaintext.clone()),
                None => (Verdict::Forged, vec![0; ciphertext.len()]),
            };
            assert_eq!((verdict, &left[..ciphertext.len()]), (expected, &payload[..]), "{}", kernel.name());
        }
        *if plaintext.is_some() { &mut opened } else { &mut refused } += 1;
    }
    assert_eq!((opened, refused), (60, 90));
}

//! RFC 4231 for the functions; prf+ against values computed with Python's `hmac`, an independent implementation.

use hex_literal::hex;

use super::*;

mod vectors;

#[test]
fn hmac_case_2_of_rfc_4231() {
    let compute = |prf: Prf| prf.compute(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
    assert!(
        compute(Prf::HmacSha2_256)
            .matches(&hex!("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"))
    );
    assert!(compute(Prf::HmacSha2_384).matches(&hex!(
        "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"
    )));
    assert!(compute(Prf::HmacSha2_512).matches(&hex!(
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
        "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
    )));
}

#[test]
fn prf_plus_chains_its_blocks() {
    let key: Vec<u8> = (0..32).collect();
    for (prf, last) in [
        (Prf::HmacSha2_256, hex!("97bb0de8b5c0d8de9a0b8cf6ea1e79a4")),
        (Prf::HmacSha2_384, hex!("e3f5b2ae85f28b6798277727445ad42f")),
        (Prf::HmacSha2_512, hex!("ad043d34f68d49bae19f16f4c972a0e2")),
    ] {
        let stream = prf.plus(&key, &[b"se", b"ed"], 200);
        assert_eq!(stream.expose().len(), 200);
        assert_eq!(stream.expose()[184..], last);
        assert_eq!(prf.plus(&key, &[b"seed"], 7).expose()[..], stream.expose()[..7]);
    }
}

//! RFC 4231 for the functions; prf+ against values computed with Python's `hmac`, an independent implementation.

use hex_literal::hex;

use super::*;

mod vectors;
mod wycheproof;

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
fn hmac_cases_1_to_3_of_rfc_2202() {
    /// The byte of which the key consists, or the key; data; both outputs.
    type Case<'a> = (u8, &'a [u8], &'a [u8], [u8; 16], [u8; 20]);
    let cases: [Case<'_>; 3] = [
        (
            0x0b,
            &[],
            b"Hi There",
            hex!("9294727a3638bb1c13f48ef8158bfc9d"),
            hex!("b617318655057264e28bc0b6fb378c8ef146be00"),
        ),
        (
            0,
            b"Jefe",
            b"what do ya want for nothing?",
            hex!("750c783e6ab0b503eaa86e310a5db738"),
            hex!("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        ),
        (
            0xaa,
            &[],
            &[0xdd; 50],
            hex!("56be34521d144c88dbb8c733f0e8b3f6"),
            hex!("125d7342b9ac11cd91a39af48aa17b4f63f175d3"),
        ),
    ];
    for (byte, key, data, md5, sha1) in cases {
        // A key of one repeated byte is as long as the output.
        let key = |prf: Prf| if key.is_empty() { vec![byte; prf.output_bytes()] } else { key.to_vec() };
        assert!(Prf::HmacMd5.compute(&key(Prf::HmacMd5), &[data]).matches(&md5));
        assert!(Prf::HmacSha1.compute(&key(Prf::HmacSha1), &[data]).matches(&sha1));
    }
}

#[test]
fn prf_plus_chains_its_blocks() {
    let key: Vec<u8> = (0..32).collect();
    for (prf, last) in [
        (Prf::HmacMd5, hex!("fc6394d939d24e2f2fe0afaebeb89fc9")),
        (Prf::HmacSha1, hex!("34c32f064486dd3da29cd52df38a836e")),
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

//! NIST CAVP cases of the IKEv1 key derivation (SP 800-135, 4.1.1; as Mozilla's NSS tests quote them) for SHA-1, SHA-256 and SHA-384, which Python's `hmac` confirms; MD5, SHA-512 and
//! keying material of ESP, for which NIST has none, by Python's `hmac` alone, straight from the formulas of RFC 2409.

use hex_literal::hex;

use super::*;
use crate::crypto::suite::{Group, IkeCipher, Integrity, KeyBits};

/// One case: from SKEYID to the three keys.
struct Case {
    prf: Prf,
    skeyid: &'static [u8],
    shared: [u8; 32],
    cookies: (u64, u64),
    derive: &'static [u8],
    authenticate: &'static [u8],
    encrypt: &'static [u8],
}

const SIGNATURES: [Case; 5] = [
    Case {
        prf: Prf::HmacSha1,
        skeyid: &hex!("707197817fb2d90cf54d1842606bdea59b9f4823"),
        shared: hex!("8ba4cbc73c0187301dc19a975823854dbd641c597f637f8d053a83b9514673eb"),
        cookies: (0x8c3b_cd3a_6983_1d7f, 0xd2d9_a7ff_4fbe_95a7),
        derive: &hex!("384be709a8a5e63c3ed160cfe3921c4b37d5b32d"),
        authenticate: &hex!("48b327575abe3adba0f279849e289022a13e2b47"),
        encrypt: &hex!("a4a415c8e0c38c0da847c356cc61c24df8025560"),
    },
    Case {
        prf: Prf::HmacSha2_256,
        skeyid: &hex!("750c5c94b9c2ec20b68033e024dadf0fa87e8b48c6561b21c72478451a06583d"),
        shared: hex!("a1ff3dc6cf9b4c04709943cb4ca1f1789bcf360b03f1d027de3ae8ee039e9155"),
        cookies: (0x6c6b_eb72_631d_dc3d, 0xb84e_24b2_2cff_bd14),
        derive: &hex!("a4f7ca7de913814813e3312099e7c943bd293483f387532330237f1b20957310"),
        authenticate: &hex!("1d4b705746c43b0a6fcbb8db33983c0f24ff6f8b6543e3779fed227c6067f004"),
        encrypt: &hex!("03e6f16cd9ce9f64b5cdc5b34cca7163483ba5389a30afebef3d14640b0a815e"),
    },
    Case {
        prf: Prf::HmacSha2_384,
        skeyid: &hex!(
            "6e4514610bf82d0ab7bf0260096f6146a153c712071abb633ced813c572156c783e36874a65a64690ca701d4"
            "0d56ea18"
        ),
        shared: hex!("1724dbd893523764bfef8c6fa927856fccfb77ae254358cce29c2769a32915c1"),
        cookies: (0x1c8a_ba98_6a00_af0f, 0xb049_d967_2f73_c920),
        derive: &hex!(
            "b083234e9ed7745911f93eb31faa66fcf88906266830eb17ef166d295cb1f86a3543b8b8efa5df918533df53"
            "7e9c809c"
        ),
        authenticate: &hex!(
            "938295a374aceb4147a8024c9a007dd313403fd8fd7070dbd0cfbe1ccd308dbfbb7b9e9c64049e4df44ff551"
            "016cb7b5"
        ),
        encrypt: &hex!(
            "8595b249dc1fa8599729f87eb6b9dd13bfbfdfd4f9ebd78929bab6ecc402539ad32cb6e7ef4ba6a0f53da14e"
            "4df07ed4"
        ),
    },
    Case {
        prf: Prf::HmacSha2_512,
        skeyid: &hex!(
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b"
            "2c2d2e2f303132333435363738393a3b3c3d3e3f"
        ),
        shared: hex!("0505050505050505050505050505050505050505050505050505050505050505"),
        cookies: (0x0102_0304_0506_0708, 0x1112_1314_1516_1718),
        derive: &hex!(
            "ca507896bddbaa462a85d744baf7a4be000f06d2e09c9c76fca872dc766e864a1a2b4acb92fd2bfb59479f00"
            "44c0fba75f1e684bbee317b0afac80968e9c15a2"
        ),
        authenticate: &hex!(
            "cf871599e16d0d6f03237f20339c1d6feae57f0d4c7348edfd0860590cca203b3ffdc8faa1b9580442053139"
            "446a6a4579b5eb2e7a5e119c8b1fa1b23f8dd441"
        ),
        encrypt: &hex!(
            "e57425b7acf071adcce290c77aa19285a3737fff1dae0f93f2e438bf7385000dd7f4d5cad2cc019001ad0f9a"
            "226ecb23ad0a6207e579210ec96e478a3be52d90"
        ),
    },
    Case {
        prf: Prf::HmacMd5,
        skeyid: &hex!("000102030405060708090a0b0c0d0e0f"),
        shared: hex!("0505050505050505050505050505050505050505050505050505050505050505"),
        cookies: (0x0102_0304_0506_0708, 0x1112_1314_1516_1718),
        derive: &hex!("de11dc89a0b1e4742e4bc1b73202c8e8"),
        authenticate: &hex!("294feff7c430c963c88974b24002e1eb"),
        encrypt: &hex!("cb90d51e6eb21f32aef0a6e1961ecd9e"),
    },
];

#[test]
fn keys_of_nist_and_python_come_of_skeyid() {
    for case in SIGNATURES {
        let cipher = IkeCipher::AesCbc(KeyBits::B128, Integrity::HmacSha1_96);
        let suite = IkeSuite { cipher, prf: case.prf, group: Group::Modp2048 };
        let shared = Secret::from(case.shared.as_slice());
        let cookies = IkeSpis { initiator: IkeSpi(case.cookies.0), responder: IkeSpi(case.cookies.1) };
        let nonces = Nonces { initiator: &[], responder: &[] };
        let agreed = Agreed { shared: &shared, nonces, cookies };
        let keys = Keys::derive(suite, Secret::from(case.skeyid), agreed);
        assert!(keys.prove.matches(case.skeyid), "{:?}", case.prf);
        assert!(keys.derive.matches(case.derive), "{:?}", case.prf);
        assert!(keys.authenticate.matches(case.authenticate), "{:?}", case.prf);
        assert!(keys.encrypt.matches(&case.encrypt[..16]), "{:?}", case.prf);
    }
}

#[test]
fn skeyid_of_nist_with_signatures() {
    for (case, ni, nr) in [
        (&SIGNATURES[0], hex!("69a62284195f1680"), hex!("80c94ba25c8abda5")),
        (&SIGNATURES[2], hex!("cec89d845add83ef"), hex!("cebd43ab71d17db9")),
    ] {
        let shared = Secret::from(case.shared.as_slice());
        let cookies = IkeSpis { initiator: IkeSpi(1), responder: IkeSpi(2) };
        let nonces = Nonces { initiator: &ni, responder: &nr };
        let found = of_signatures(case.prf, Agreed { shared: &shared, nonces, cookies });
        assert!(found.matches(case.skeyid), "{:?}", case.prf);
    }
}

#[test]
fn skeyid_of_nist_with_a_shared_key() {
    let found = |prf, key: &[u8], initiator: [u8; 8], responder: [u8; 8]| {
        of_shared_key(prf, key, Nonces { initiator: &initiator, responder: &responder })
    };
    let sha1 = found(Prf::HmacSha1, &hex!("c0"), hex!("03a6f25a83c8c2a3"), hex!("9d958a6618f77e7f"));
    assert!(sha1.matches(&hex!("ab3be41bc62f2ef0c41a3076d58768be77fadd2e")));
    let sha256 = found(Prf::HmacSha2_256, &hex!("a0"), hex!("ead9ced494868f41"), hex!("f1aff4f425a94f18"));
    assert!(sha256.matches(&hex!("558a99b299773d267cf7c8ef073bf3b7af362c206c75a538403c5ef884d4cace")));
    let sha384 = found(Prf::HmacSha2_384, &hex!("9e"), hex!("d6596b7e5b398534"), hex!("136fbdfa8d0ceb8e"));
    assert!(sha384.matches(&hex!(
        "b54fa27cb4251051e44a659d73591845691d11f1874bf4e4088e5df6462d28e57a3a2af3ab4f9b746a8f5766f8785f2b"
    )));
}

#[test]
fn short_prfs_are_stretched_and_long_ones_cut() {
    let from = Secret::from(hex!("63e81194946ebd05df7df5ebf5d8750056bf1f1d").as_slice());
    let stretched = hex!("933347a07de5782247dd36d1562ffe0eecade1eb4134165257e3af1000af8ae3f165063828cbb60d");
    assert!(cut(Prf::HmacSha1, &from, 40).matches(&stretched));
    assert!(cut(Prf::HmacSha1, &from, 24).matches(&stretched[..24]));
    assert!(cut(Prf::HmacSha1, &from, 16).matches(&hex!("63e81194946ebd05df7df5ebf5d87500")));
}

#[test]
fn keying_material_of_esp_is_that_of_its_receiver_s_spi() {
    let keys = Keys {
        prove: Secret::new(Vec::new()),
        derive: Secret::from(SIGNATURES[0].derive),
        authenticate: Secret::new(Vec::new()),
        encrypt: Secret::new(Vec::new()),
    };
    let nonces = Nonces { initiator: &hex!("69a62284195f1680"), responder: &hex!("80c94ba25c8abda5") };
    let esp = EspSuite::AesCbc(KeyBits::B128, Integrity::HmacSha1_96);
    let plain = keys.esp(Prf::HmacSha1, esp, None, nonces, (0x0a0b_0c0d, 0x0102_0304));
    assert!(
        plain
            .initiator
            .matches(&hex!("2a802f859787dd6ea1edfa8b326dac472788ef94b3fcce527731344b97e9ed14c0fb6de0"))
    );
    let shared = Secret::from([5; 32].as_slice());
    let secret = keys.esp(Prf::HmacSha1, esp, Some(&shared), nonces, (0x0a0b_0c0d, 0x0102_0304));
    assert!(
        secret
            .responder
            .matches(&hex!("d35503994debe468ee546d9350e8fac1b0bb4510e6d478c27ee62d3bd197dbf7d5467dc3"))
    );
}

//! NIST CAVP cases: AES-GCM (`gcmEncryptExtIV`, `gcmDecrypt`) and AES-CBC (`CBCMMT`), as the `cryptography` project's vector
//! files have them. HMAC is proven beside `prf`.

use hex_literal::hex;

use super::*;
use crate::secret::Secret;

/// One case of AES-GCM with a nonce of 12 and a tag of 16 bytes.
struct Gcm {
    bits: KeyBits,
    key: &'static [u8],
    nonce: [u8; 12],
    aad: &'static [u8],
    plain: &'static [u8],
    sealed: &'static [u8],
    tag: [u8; 16],
}

/// One case of AES-CBC.
struct Cbc {
    bits: KeyBits,
    key: &'static [u8],
    iv: [u8; 16],
    plain: &'static [u8],
    sealed: &'static [u8],
}

const GCM: [Gcm; 6] = [
    Gcm {
        bits: KeyBits::B128,
        key: &hex!("fe47fcce5fc32665d2ae399e4eec72ba"),
        nonce: hex!("5adb9609dbaeb58cbd6e7275"),
        aad: &hex!("88319d6e1d3ffa5f987199166c8a9b56c2aeba5a"),
        plain: &hex!(
            "7c0e88c88899a779228465074797cd4c2e1498d259b54390b85e3eef1c02df60e743f1b840382c4bccaf3bafb4"
            "ca8429bea063"
        ),
        sealed: &hex!(
            "98f4826f05a265e6dd2be82db241c0fbbbf9ffb1c173aa83964b7cf5393043736365253ddbc5db8778371495da"
            "76d269e5db3e"
        ),
        tag: hex!("291ef1982e4defedaa2249f898556b47"),
    },
    Gcm {
        bits: KeyBits::B128,
        key: &hex!("e5b1e7a94e9e1fda0873571eec713429"),
        nonce: hex!("5ddde829a81713346af8e5b7"),
        aad: &hex!(
            "b0ce75da427fba93da6d3455b2b440a877599a6d8d6d2d66ee90b5cf9a33baaa8329a9ffaac290e8e33f2af254"
            "8c2a8a181b3d4d9f8fac860cc26b0d26b9cc53bc9f405afa73605ebeb376f2d1d7fcb065bab92f20f295556ade"
        ),
        plain: &hex!("850069e5ed768b5dc9ed7ad485"),
        sealed: &hex!("c211d9079d5562659db01e17d1"),
        tag: hex!("884893fb035d3d7237d47c363de62bb3"),
    },
    Gcm {
        bits: KeyBits::B192,
        key: &hex!("9900227ae0fccbb0d35ecf954629c969f36e539399f32ebe"),
        nonce: hex!("1398992bfbd63149c14ba2a2"),
        aad: &hex!("788b6885feff23fc27bf9c462877b642ba1aa68d"),
        plain: &hex!(
            "9d4227eed28b9738f21541c4755a923a43ba20d6f3d6a6b7e31e56f1502f5e93ed4c00511c6a7daeb0281ab947"
            "e91756638154"
        ),
        sealed: &hex!(
            "7b6ee7dd98eda9b20edb414711d9710de402b01950a6712e5809f608f7c0aa0fba4098f145fea6886d7baf51fc"
            "d182c8febf49"
        ),
        tag: hex!("f22c7c21f5ece2de684821092194f26c"),
    },
    Gcm {
        bits: KeyBits::B192,
        key: &hex!("ea319c2f397022a0d1b011e59b6524dffc609a2970c39c21"),
        nonce: hex!("f88c737fd24ad5804c468bbb"),
        aad: &hex!(
            "f8ef7628b75b405a37a78959fedc0bd7f8d0b38ec66f0cbd2aed154cb9240e2102909855f0ddaa3f6805cba53b"
            "53826acc49b8d9e66d6ba0df26506bfc1570dd9634a56448568dd57a0a087b6f45f1448d956d90b1d0eed8d271"
        ),
        plain: &hex!("c02dcc36a608b2d5e95f93821d"),
        sealed: &hex!("7c7dbe434a8463e2779b12e430"),
        tag: hex!("54d21140bd173e64f5932fbc3817654f"),
    },
    Gcm {
        bits: KeyBits::B256,
        key: &hex!("24501ad384e473963d476edcfe08205237acfd49b5b8f33857f8114e863fec7f"),
        nonce: hex!("9ff18563b978ec281b3f2794"),
        aad: &hex!("adb5ec720ccf9898500028bf34afccbcaca126ef"),
        plain: &hex!(
            "27f348f9cdc0c5bd5e66b1ccb63ad920ff2219d14e8d631b3872265cf117ee86757accb158bd9abb3868fdc0d0"
            "b074b5f01b2c"
        ),
        sealed: &hex!(
            "eb7cb754c824e8d96f7c6d9b76c7d26fb874ffbf1d65c6f64a698d839b0b06145dae82057ad55994cf59ad7f67"
            "c0fa5e85fab8"
        ),
        tag: hex!("bc95c532fecc594c36d1550286a7a3f0"),
    },
    Gcm {
        bits: KeyBits::B256,
        key: &hex!("ff9506b4d46ba54128876fadfcc673a4c927c618ea7d95cfcaa508cbc8f7fc66"),
        nonce: hex!("3742ad2208a0484345eee1be"),
        aad: &hex!(
            "f1360a27fdc244be8739d85af6491c762a693aafe668c449515fdeeedb6a90aeee3891bbc8b69adc6a6426cb12"
            "fcdebc32c9f58c5259d128b91efa28620a3a9a0168b0ff5e76951cb41647ba4aa1f87fac0d97ac580e42cffc7e"
        ),
        plain: &hex!("7fd0d6cadc92cad27bb2d7d8c8"),
        sealed: &hex!("bdb8346b28eb4d7226493611a6"),
        tag: hex!("7484d827b767647f44c7f94a39f8175c"),
    },
];

/// Cases that must not open; what they would hold is not said.
const GCM_FORGED: [Gcm; 3] = [
    Gcm {
        bits: KeyBits::B128,
        key: &hex!("52bdbbf9cf477f187ec010589cb39d58"),
        nonce: hex!("d3be36d3393134951d324b31"),
        aad: &hex!("93c4fc6a4135f54d640b0c976bf755a06a292c33"),
        plain: &[],
        sealed: &hex!(
            "700188da144fa692cf46e4a8499510a53d90903c967f7f13e8a1bd8151a74adc4fe63e32b992760b3a5f99e9a4"
            "7838867000a9"
        ),
        tag: hex!("8ca4e38aa3dfa6b1d0297021ccf3ea5f"),
    },
    Gcm {
        bits: KeyBits::B192,
        key: &hex!("39ee8afdc515cd2fed1e016df1d08c48d01b5ce7c799b32a"),
        nonce: hex!("72c9f8b19dca43db33a46cba"),
        aad: &hex!("e3158d92ef610031a9eae01742345dd890cdb65d"),
        plain: &[],
        sealed: &hex!(
            "faa0f2639391ae8de58b74d1c4ecb85d8c3a254ac11795101b5a888db5f203e6551675a75d958b995c585694cb"
            "5fbd548ed142"
        ),
        tag: hex!("6f2351bfc1f2a16f54481a01eb9d37ba"),
    },
    Gcm {
        bits: KeyBits::B256,
        key: &hex!("e9d381a9c413bee66175d5586a189836e5c20f5583535ab4d3f3e612dc21700e"),
        nonce: hex!("23e81571da1c7821c681c7ca"),
        aad: &hex!("6f39c9ae7b8e8a58a95f0dd8ea6a9087cbccdfd6"),
        plain: &[],
        sealed: &hex!(
            "a25f3f580306cd5065d22a6b7e9660110af7204bb77d370f7f34bee547feeff7b32a596fce29c9040e68b1589a"
            "ad48da881990"
        ),
        tag: hex!("5b6dcd70eefb0892fab1539298b92a4b"),
    },
];

const CBC: [Cbc; 6] = [
    Cbc {
        bits: KeyBits::B128,
        key: &hex!("b7f3c9576e12dd0db63e8f8fac2b9a39"),
        iv: hex!("c80f095d8bb1a060699f7c19974a1aa0"),
        plain: &hex!(
            "9ac19954ce1319b354d3220460f71c1e373f1cd336240881160cfde46ebfed2e791e8d5a1a136ebd1dc469dec0"
            "0c4187722b841cdabcb22c1be8a14657da200e"
        ),
        sealed: &hex!(
            "19b9609772c63f338608bf6eb52ca10be65097f89c1e0905c42401fd47791ae2c5440b2d473116ca78bd9ff2fb"
            "6015cfd316524eae7dcb95ae738ebeae84a467"
        ),
    },
    Cbc {
        bits: KeyBits::B128,
        key: &hex!("7b1ab9144b0239315cd5eec6c75663bd"),
        iv: hex!("0b1e74f45c17ff304d99c059ce5cde09"),
        plain: &hex!(
            "b968aeb199ad6b3c8e01f26c2edad444538c78bfa36ed68ca76123b8cdce615a01f6112bb80bfc3f17490578fb"
            "1f909a52e162637b062db04efee291a1f1af60"
        ),
        sealed: &hex!(
            "d3f89b71e033070f9d7516a6cb4ea5ef51d6fb63d4f0fea089d0a60e47bbb3c2e10e9ba3b282c7cb79aefe3068"
            "ce228377c21a58fe5a0f8883d0dbd3d096beca"
        ),
    },
    Cbc {
        bits: KeyBits::B192,
        key: &hex!("067bb17b4df785697eaccf961f98e212cb75e6797ce935cb"),
        iv: hex!("8b59c9209c529ca8391c9fc0ce033c38"),
        plain: &hex!(
            "db3785a889b4bd387754da222f0e4c2d2bfe0d79e05bc910fba941beea30f1239eacf0068f4619ec01c368e986"
            "fca6b7c58e490579d29611bd10087986eff54f"
        ),
        sealed: &hex!(
            "d5f5589760bf9c762228fde236de1fa2dd2dad448db3fa9be0c4196efd46a35c84dd1ac77d9db58c95918cb317"
            "a6430a08d2fb6a8e8b0f1c9b72c7a344dc349f"
        ),
    },
    Cbc {
        bits: KeyBits::B192,
        key: &hex!("92317d4d38168a359118a0df0b7b45cbfdcc2011e7175d3c"),
        iv: hex!("75be95a6a54400b2e1b485e24ead18ed"),
        plain: &hex!(
            "7b88fb0195a57ac61ccb3198a05517717523444da92d2e8c37840a7f7614c9effa6dd6f1d1a730ec350cd64b99"
            "738cfb3b962c791b2674929f936e894cbcb994"
        ),
        sealed: &hex!(
            "f67581763d23326f699e05696043b4c553928c2a9f857377f12029fcae4acee992dba50697f617a51899fbd636"
            "7214d97bf5dbd9bdab7fd745cd2be431118793"
        ),
    },
    Cbc {
        bits: KeyBits::B256,
        key: &hex!("0493ff637108af6a5b8e90ac1fdf035a3d4bafd1afb573be7ade9e8682e663e5"),
        iv: hex!("c0cd2bebccbb6c49920bd5482ac756e8"),
        plain: &hex!(
            "8b37f9148df4bb25956be6310c73c8dc58ea9714ff49b643107b34c9bff096a94fedd6823526abc27a8e0b1661"
            "6eee254ab4567dd68e8ccd4c38ac563b13639c"
        ),
        sealed: &hex!(
            "05d5c77729421b08b737e41119fa4438d1f570cc772a4d6c3df7ffeda0384ef84288ce37fc4c4c7d1125a499b0"
            "51364c389fd639bdda647daa3bdadab2eb5594"
        ),
    },
    Cbc {
        bits: KeyBits::B256,
        key: &hex!("7482c47004aef406115ca5fd499788d582efc0b29dc9e951b1f959406693a54f"),
        iv: hex!("485ebf2215d20b816ea53944829717ce"),
        plain: &hex!(
            "82fec664466d585023821c2e39a0c43345669a41244d05018a23d7159515f8ff4d88b01cd0eb83070d0077e065"
            "d74d7373816b61505718f8d4f270286a59d45e"
        ),
        sealed: &hex!(
            "6c24f19b9c0b18d7126bf68090cb8ae72db3ca7eabb594f506aae7a2493e5326a5afae4ec4d109375b56e2b6ff"
            "4c9cf639e72c63dc8114c796df95b3c6b62021"
        ),
    },
];

const ALL_INTEGRITY: [Integrity; 5] = [
    Integrity::HmacMd5_96,
    Integrity::HmacSha1_96,
    Integrity::HmacSha2_256_128,
    Integrity::HmacSha2_384_192,
    Integrity::HmacSha2_512_256,
];

impl Gcm {
    fn cipher(&self) -> IkeCipher {
        IkeCipher::AesGcm16(self.bits)
    }

    /// The nonce's first four bytes are the salt, which follows the key.
    fn keys(&self) -> MessageKeys {
        let encryption = Secret::new([self.key, &self.nonce[..GCM_SALT_BYTES]].concat());
        MessageKeys { encryption, integrity: Secret::new(Vec::new()) }
    }

    /// IV, content and tag, as they follow the covered head.
    fn body(&self) -> Vec<u8> {
        [&self.nonce[GCM_SALT_BYTES..], self.sealed, &self.tag].concat()
    }
}

#[test]
fn gcm_cases_of_nist_seal_and_open() {
    for (number, case) in GCM.iter().enumerate() {
        let (cipher, keys) = (case.cipher(), case.keys());
        let mut message = [case.aad, &case.nonce[GCM_SALT_BYTES..], case.plain].concat();
        cipher.seal(&keys, &mut message, case.aad.len());
        assert_eq!(message, [case.aad, &case.body()].concat(), "case {number}");
        assert_eq!(cipher.open(&keys, case.aad, &case.body()).as_deref(), Ok(case.plain), "case {number}");
    }
}

#[test]
fn forged_gcm_cases_of_nist_do_not_open() {
    for (number, case) in GCM_FORGED.iter().enumerate() {
        let opened = case.cipher().open(&case.keys(), case.aad, &case.body());
        assert_eq!(opened, Err(NotAuthentic), "case {number}");
    }
}

#[test]
fn cbc_cases_of_nist_seal_and_open_under_every_integrity() {
    for (number, case) in CBC.iter().enumerate() {
        for integrity in ALL_INTEGRITY {
            let cipher = IkeCipher::AesCbc(case.bits, integrity);
            let integrity_key = vec![7; cipher.integrity_key_bytes()];
            let keys = MessageKeys {
                encryption: Secret::from(case.key),
                integrity: Secret::new(integrity_key.clone()),
            };
            let mut message = [b"head".as_slice(), &case.iv, case.plain].concat();
            cipher.seal(&keys, &mut message, 4);
            let covered = [b"head".as_slice(), &case.iv, case.sealed].concat();
            let mac = integrity.prf().compute(&integrity_key, &[&covered]);
            let expected = [&covered, &mac.expose()[..integrity.icv_bytes()]].concat();
            assert_eq!(message, expected, "case {number}, {integrity:?}");
            assert_eq!(
                cipher.open(&keys, b"head", &message[4..]).as_deref(),
                Ok(case.plain),
                "case {number}"
            );
        }
    }
}

/// Cipher, key, IV, plain text and cipher text.
type DesCase<'a> = (IkeCipher, &'a [u8], [u8; 8], &'a [u8], [u8; 24]);

/// FIPS PUB 81, table C1 (DES-CBC); the triple DES value is OpenSSL's.
#[test]
fn des_and_triple_des_cases_seal_and_open_under_every_integrity() {
    let des = hex!("0123456789abcdef");
    let triple = hex!("0123456789abcdef23456789abcdef01456789abcdef0123");
    for integrity in ALL_INTEGRITY {
        let cases: [DesCase<'_>; 2] = [
            (
                IkeCipher::DesCbc(integrity),
                &des,
                hex!("1234567890abcdef"),
                b"Now is the time for all ",
                hex!("e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6"),
            ),
            (
                IkeCipher::TripleDesCbc(integrity),
                &triple,
                hex!("f69f2445df4f9b17"),
                b"The quick brown fox jump",
                hex!("63693c3d378a862f8051ae7c2934a296aa6c3102b6e5b79e"),
            ),
        ];
        for (cipher, key, iv, plain, sealed) in cases {
            assert_eq!((cipher.encryption_key_bytes(), cipher.iv_bytes()), (key.len(), 8));
            assert_eq!((cipher.padded_bytes(7), cipher.padded_bytes(8)), (8, 16));
            let keys = MessageKeys {
                encryption: Secret::from(key),
                integrity: Secret::new(vec![7; cipher.integrity_key_bytes()]),
            };
            let mut message = [b"head".as_slice(), &iv, plain].concat();
            cipher.seal(&keys, &mut message, 4);
            assert_eq!(message[12..36], sealed, "{cipher}");
            assert_eq!(message.len(), 36 + integrity.icv_bytes(), "{cipher}");
            assert_eq!(cipher.open(&keys, b"head", &message[4..]).as_deref(), Ok(plain), "{cipher}");
            message[20] ^= 1;
            assert_eq!(cipher.open(&keys, b"head", &message[4..]), Err(NotAuthentic), "{cipher}");
        }
    }
}

//! Published and independently computed values of every group, and values that no honest peer sends.
//!
//! RFC 5903, section 8 (checked against OpenSSL through Python's `cryptography`); RFC 7748, section 5.2; powers in the
//! MODP groups by Python's `pow`, with primes computed there from RFC 3526's formula and pi. Long values are compared by
//! their SHA-256.

use hex_literal::hex;
use sha2::{Digest, Sha256};

use super::*;

/// One curve of RFC 5903, section 8: initiator first.
struct Ecp {
    group: Group,
    private: [&'static [u8]; 2],
    public: [&'static [u8]; 2],
    shared: &'static [u8],
}

const RFC_5903: [Ecp; 3] = [
    Ecp {
        group: Group::Ecp256,
        private: [
            &hex!("c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433"),
            &hex!("c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53"),
        ],
        public: [
            &hex!(
                "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c37725811805271a0461cdb8252d61f1c456f"
                "a3e59ab1f45b33accf5f58389e0577b8990bb3"
            ),
            &hex!(
                "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf6356fbf3ca366cc23e8157854c13"
                "c58d6aac23f046ada30f8353e74f33039872ab"
            ),
        ],
        shared: &hex!("d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"),
    },
    Ecp {
        group: Group::Ecp384,
        private: [
            &hex!(
                "099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655e35b538041e649ee3faef89678"
                "3ab194"
            ),
            &hex!(
                "41cb0779b4bdb85d47846725fbec3c9430fab46cc8dc5060855cc9bda0aa2942e0308312916b8ed2960e4bd55a"
                "7448fc"
            ),
        ],
        public: [
            &hex!(
                "667842d7d180ac2cde6f74f37551f55755c7645c20ef73e31634fe72b4c55ee6de3ac808acb4bdb4c88732aee9"
                "5f41aa9482ed1fc0eeb9cafc4984625ccfc23f65032149e0e144ada024181535a0f38eeb9fcff3c2c947dae69b"
                "4c634573a81c"
            ),
            &hex!(
                "e558dbef53eecde3d3fccfc1aea08a89a987475d12fd950d83cfa41732bc509d0d1ac43a0336def96fda41d077"
                "4a3571dcfbec7aacf3196472169e838430367f66eebe3c6e70c416dd5f0c68759dd1fff83fa40142209dff5eaa"
                "d96db9e6386c"
            ),
        ],
        shared: &hex!(
            "11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4d603135569b9e9d09cf5d4a270"
            "f59746"
        ),
    },
    Ecp {
        group: Group::Ecp521,
        private: [
            &hex!(
                "0037ade9319a89f4dabdb3ef411aaccca5123c61acab57b5393dce47608172a095aa85a30fe1c2952c6771d937"
                "ba9777f5957b2639bab072462f68c27a57382d4a52"
            ),
            &hex!(
                "0145ba99a847af43793fdd0e872e7cdfa16be30fdc780f97bccc3f078380201e9c677d600b343757a3bdbf2a31"
                "63e4c2f869cca7458aa4a4effc311f5cb151685eb9"
            ),
        ],
        public: [
            &hex!(
                "0015417e84dbf28c0ad3c278713349dc7df153c897a1891bd98bab4357c9ecbee1e3bf42e00b8e380aeae57c2d"
                "107564941885942af5a7f4601723c4195d176ced3e017cae20b6641d2eeb695786d8c946146239d099e18e1d5a"
                "514c739d7cb4a10ad8a788015ac405d7799dc75e7b7d5b6cf2261a6a7f1507438bf01beb6ca3926f9582"
            ),
            &hex!(
                "00d0b3975ac4b799f5bea16d5e13e9af971d5e9b984c9f39728b5e5739735a219b97c356436adc6e95bb0352f6"
                "be64a6c2912d4ef2d0433ced2b6171640012d9460f015c68226383956e3bd066e797b623c27ce0eac2f551a10c"
                "2c724d9852077b87220b6536c5c408a1d2aebb8e86d678ae49cb57091f4732296579ab44fcd17f0fc56a"
            ),
        ],
        shared: &hex!(
            "01144c7d79ae6956bc8edb8e7c787c4521cb086fa64407f97894e5e6b2d79b04d1427e73ca4baa240a34786859"
            "810c06b3c715a3a8cc3151f2bee417996d19f3ddea"
        ),
    },
];

/// SHA-256 of values of one MODP group under the exponent 01 08 0f .. (steps of 7).
struct Modp {
    group: Group,
    exponent_bytes: u8,
    prime: [u8; 32],
    public: [u8; 32],
    /// With the public value of the exponent 03 0e 19 .. (steps of 11).
    shared: [u8; 32],
    power_of_5: [u8; 32],
    power_of_minus_2: [u8; 32],
}

const MODP: [Modp; 6] = [
    Modp {
        group: Group::Modp768,
        exponent_bytes: 32,
        prime: hex!("b52ba6a3026520a6c49d37e4587601801bee500123b3259b6bf03e7cecc3e63d"),
        public: hex!("91251c97eb43fdb078f05f5a634f12a067389fcc420d181f8173d1ed25521998"),
        shared: hex!("bbb7c6cc79ad9d20772e346b6c1570337777a8c8c4db800fef43b5f1d44299ee"),
        power_of_5: hex!("fd36879993fd1bedaca62113f2275a39dbc443fb76a9bbe20d8a48d1bc37e5e6"),
        power_of_minus_2: hex!("91251c97eb43fdb078f05f5a634f12a067389fcc420d181f8173d1ed25521998"),
    },
    Modp {
        group: Group::Modp1024,
        exponent_bytes: 32,
        prime: hex!("3f35a3f5f6c4376a744acad409bb22f8d897f949d2311d885adaa890981b67a0"),
        public: hex!("9e32ccbc23f45c52dff77810c4bd9e2a9b90eceb7ad59edbe54aa2c6485aaae3"),
        shared: hex!("fb340d171ad61a2c68bf9ab115f9ddaba8ebc0303b57c319861d37e97983b108"),
        power_of_5: hex!("3745452a1c8aa709c3d6e0f4b9e7cbbe4d636fe7f4768c4ce53a739e1f9ccfda"),
        power_of_minus_2: hex!("9e32ccbc23f45c52dff77810c4bd9e2a9b90eceb7ad59edbe54aa2c6485aaae3"),
    },
    Modp {
        group: Group::Modp1536,
        exponent_bytes: 32,
        prime: hex!("64fcc83ec403930bf18393dbc883ccaa1fbb08ac876f77f7aa99748ca945019b"),
        public: hex!("e704583413eb1db0d556b38a6de94cb0742e451b339a4d44cb45c9fe985070b9"),
        shared: hex!("553cb3da53b8c297422c70cd73b92357c6fbd2280ef63c25c088182e4460d051"),
        power_of_5: hex!("14909f52ff019718e5ec42c70491fbd73f1daefb972293a68526ccde955dbd0d"),
        power_of_minus_2: hex!("e704583413eb1db0d556b38a6de94cb0742e451b339a4d44cb45c9fe985070b9"),
    },
    Modp {
        group: Group::Modp2048,
        exponent_bytes: 40,
        prime: hex!("d66436f79bbd6b2e38c0ffbd079be904d2641415e2e67140e09448be9a60890e"),
        public: hex!("71fe64a03ed65476629d5edfb0adc65ca2a545b5d8981c732c8e278289f5da38"),
        shared: hex!("c4bc603dc75c1a415753657dcf7fad8503e010655f91677504654f10bcb01948"),
        power_of_5: hex!("83e477f8ab02dbdc102a1e5cc06918612ffafbc01716917cc2555adb0faf8d56"),
        power_of_minus_2: hex!("71fe64a03ed65476629d5edfb0adc65ca2a545b5d8981c732c8e278289f5da38"),
    },
    Modp {
        group: Group::Modp3072,
        exponent_bytes: 56,
        prime: hex!("48cf8b092fbce4359d9871abf74f98e25b6163379eaa15cd9087e800c6d1c55c"),
        public: hex!("cc9ba9be9d716c7c7164f3ead4f712962eb846f7e0896283344d1225a9d0da7e"),
        shared: hex!("71a48d512fef420c163c21870e006552d543cb349c8d1d713425f1405b235e9f"),
        power_of_5: hex!("8268f06fc54feea4e65ec536b05beac2531e6853507a37ee62cee958d36a6505"),
        power_of_minus_2: hex!("cc9ba9be9d716c7c7164f3ead4f712962eb846f7e0896283344d1225a9d0da7e"),
    },
    Modp {
        group: Group::Modp4096,
        exponent_bytes: 64,
        prime: hex!("4ee95187682bcb230ad26a95205f6920e84708f6251b3894329b09ec23919e33"),
        public: hex!("1926f86401c4624ad25ba7b7a3235cdbd51c8f5ca913c8e5a6dadc087ac7702b"),
        shared: hex!("186c92929726f40b594886fe7e2213faa26959670670cda8a8f8509586eaa736"),
        power_of_5: hex!("d47fc2fb5f622f10449d01c919568379915a6c49a1725ed94c2a8755aa5af499"),
        power_of_minus_2: hex!("1926f86401c4624ad25ba7b7a3235cdbd51c8f5ca913c8e5a6dadc087ac7702b"),
    },
];

/// The points of order 1, 2, 4 and 8 of Curve25519 and its twist, in every encoding below 2^255.
const SMALL_ORDER: [[u8; 32]; 7] = [
    hex!("0000000000000000000000000000000000000000000000000000000000000000"),
    hex!("0100000000000000000000000000000000000000000000000000000000000000"),
    hex!("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    hex!("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    hex!("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    hex!("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    hex!("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
];

fn agree(group: Group, private: &[u8], peer: &[u8]) -> Result<Vec<u8>, KexError> {
    PrivateValue::draw(group, &mut fixed(private)).agree(peer).map(|shared| shared.expose().clone())
}

fn exponent(start: u8, step: u8, bytes: u8) -> Vec<u8> {
    (0..bytes).map(|index| index.wrapping_mul(step).wrapping_add(start)).collect()
}

fn prime(group: Group) -> Vec<u8> {
    let digits = match group {
        Group::Modp768 => primes::MODP_768,
        Group::Modp1024 => primes::MODP_1024,
        Group::Modp1536 => primes::MODP_1536,
        Group::Modp2048 => primes::MODP_2048,
        Group::Modp3072 => primes::MODP_3072,
        _ => primes::MODP_4096,
    };
    let digits: Vec<u8> = digits.chars().map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// `value`, an odd big-endian number, minus `less`, at most its last byte.
fn minus(mut value: Vec<u8>, less: u8) -> Vec<u8> {
    *value.last_mut().unwrap() -= less;
    value
}

fn small(group: Group, value: u8) -> Vec<u8> {
    let mut bytes = vec![0; group.public_bytes()];
    *bytes.last_mut().unwrap() = value;
    bytes
}

#[test]
fn curves_of_rfc_5903() {
    for Ecp { group, private, public, shared } in RFC_5903 {
        for (own, other) in [(0, 1), (1, 0)] {
            let value = PrivateValue::draw(group, &mut fixed(private[own]));
            assert_eq!(value.public_value(), public[own], "{group}");
            assert_eq!(agree(group, private[own], public[other]).unwrap(), shared, "{group}");
        }
    }
}

#[test]
fn points_off_the_curve_and_other_encodings_are_refused() {
    for Ecp { group, private, public, shared } in RFC_5903 {
        let not = Err(KexError::NotInGroup { group });
        let peer = public[1];
        let half = peer.len() / 2;
        for at in [0, half - 1, half, peer.len() - 1] {
            let mut off = peer.to_vec();
            off[at] ^= 1;
            assert_eq!(agree(group, private[0], &off), not, "{group}: byte {at}");
        }
        let swapped = [&peer[half..], &peer[..half]].concat();
        assert_eq!(agree(group, private[0], &swapped), not, "{group}");
        // Coordinates beyond the field: all ones, and x plus the byte that P-521 leaves unused.
        assert_eq!(agree(group, private[0], &vec![0xff; peer.len()]), not, "{group}");
        let mut beyond = peer.to_vec();
        beyond[0] |= 0xfe;
        assert_eq!(agree(group, private[0], &beyond), not, "{group}");
        // Other encodings of points: with a mark in front, compressed.
        for mark in [0, 2, 3, 4] {
            let marked = [&[mark], &peer[..peer.len() - 1]].concat();
            assert_eq!(agree(group, private[0], &marked), not, "{group}: mark {mark}");
        }
        assert_eq!(agree(group, private[0], peer).unwrap(), shared, "{group}");
    }
}

#[test]
fn modp_powers_are_those_of_python() {
    for Modp { group, exponent_bytes, prime: hash, public, shared, power_of_5, power_of_minus_2 } in MODP {
        let (a, b) = (exponent(1, 7, exponent_bytes), exponent(3, 11, exponent_bytes));
        let p = prime(group);
        let sha = |value: &[u8]| <[u8; 32]>::from(Sha256::digest(value));
        assert_eq!(sha(&p), hash, "{group}");
        assert_eq!(sha(&PrivateValue::draw(group, &mut fixed(&a)).public_value()), public, "{group}");
        let peer = PrivateValue::draw(group, &mut fixed(&b)).public_value();
        assert_eq!(sha(&agree(group, &a, &peer).unwrap()), shared, "{group}");
        assert_eq!(sha(&agree(group, &a, &small(group, 5)).unwrap()), power_of_5, "{group}");
        assert_eq!(sha(&agree(group, &a, &minus(p, 2)).unwrap()), power_of_minus_2, "{group}");
    }
}

/// RFC 5114, appendix A.3; the long values by their SHA-256.
#[test]
fn subgroup_pair_of_rfc_5114() {
    let group = Group::Modp2048Subgroup256;
    let private = [
        hex!("0881382cdb87660c6dc13e614938d5b9c8b2f248581cc5e31b35454397fce50e"),
        hex!("7d62a7e3ef36de617b13d1afb82c780d83a23bd4ee6705645121f371f546a53d"),
    ]
    .map(|private| [&[0; 8], private.as_slice()].concat());
    let public = private.each_ref().map(|x| PrivateValue::draw(group, &mut fixed(x)).public_value());
    let sha = |value: &[u8]| <[u8; 32]>::from(Sha256::digest(value));
    assert_eq!(
        public.each_ref().map(|value| sha(value)),
        [
            hex!("ba101a638cd0382ded9814bbf575c26ac8bb2a7e0977ec68ac964ecc4b62a6c4"),
            hex!("f6c9bb57f3f682a66969bcf5471b2ba364c834dd833278e09536028d6c72553e"),
        ]
    );
    for (own, other) in [(0, 1), (1, 0)] {
        let shared = agree(group, &private[own], &public[other]).unwrap();
        assert_eq!(sha(&shared), hex!("01eb7b326b9093eea16968f04915ea1097194caee5bc657dba57bb69c6b7613d"));
    }
}

#[test]
fn subgroup_values_outside_it_are_refused() {
    let group = Group::Modp2048Subgroup256;
    let private = vec![9; 40];
    for value in [0, 1, 2, 5] {
        assert_eq!(
            agree(group, &private, &small(group, value)),
            Err(KexError::NotInGroup { group }),
            "{value}"
        );
    }
    assert_eq!(agree(group, &private, &[0xff; 256]), Err(KexError::NotInGroup { group }));
}

#[test]
fn modp_values_at_both_ends_are_refused() {
    for Modp { group, exponent_bytes, .. } in MODP {
        let (a, p) = (exponent(1, 7, exponent_bytes), prime(group));
        for refused in [small(group, 0), small(group, 1), minus(p.clone(), 1), p.clone()] {
            assert_eq!(agree(group, &a, &refused), Err(KexError::NotInGroup { group }));
        }
        assert!(agree(group, &a, &small(group, 2)).is_ok() && agree(group, &a, &minus(p, 2)).is_ok());
    }
}

#[test]
fn curve25519_cases_of_rfc_7748() {
    for (scalar, u, expected) in [
        (
            hex!("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
            hex!("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"),
            hex!("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"),
        ),
        (
            hex!("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"),
            hex!("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"),
            hex!("95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"),
        ),
    ] {
        assert_eq!(agree(Group::Curve25519, &scalar, &u).unwrap(), expected);
    }
    // The iteration of section 5.2, its first and its thousandth step.
    let mut scalar = small(Group::Curve25519, 0);
    scalar[0] = 9;
    let mut u = scalar.clone();
    for step in 1..=1000 {
        let next = agree(Group::Curve25519, &scalar, &u).unwrap();
        u = std::mem::replace(&mut scalar, next);
        if step == 1 {
            assert_eq!(scalar, hex!("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"));
        }
    }
    assert_eq!(scalar, hex!("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"));
}

#[test]
fn curve25519_takes_values_beyond_the_prime_and_ignores_the_top_bit() {
    // RFC 7748, section 5: implementations must accept non-canonical values and mask the most significant bit.
    let scalar = [0x5a; 32];
    let mut nine = [0; 32];
    nine[0] = 9;
    let mut nine_and_prime = [0xff; 32];
    (nine_and_prime[0], nine_and_prime[31]) = (0xed + 9, 0x7f);
    let expected = agree(Group::Curve25519, &scalar, &nine).unwrap();
    assert_eq!(agree(Group::Curve25519, &scalar, &nine_and_prime).unwrap(), expected);
    for mut value in [nine, nine_and_prime] {
        value[31] |= 0x80;
        assert_eq!(agree(Group::Curve25519, &scalar, &value).unwrap(), expected);
    }
}

#[test]
fn curve25519_points_of_small_order_give_no_secret() {
    let group = Group::Curve25519;
    for point in SMALL_ORDER {
        for top_bit in [0, 0x80] {
            let mut point = point;
            point[31] |= top_bit;
            assert_eq!(agree(group, &[0x5a; 32], &point), Err(KexError::AllZero { group }), "{point:02x?}");
        }
    }
}

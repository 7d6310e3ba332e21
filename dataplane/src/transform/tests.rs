use hex_literal::hex;
use proptest::prelude::*;

use super::*;

const CIPHERS: [Cipher; 6] = [
    Cipher::AesCbc128,
    Cipher::AesCbc192,
    Cipher::AesCbc256,
    Cipher::TripleDesCbc,
    Cipher::DesCbc,
    Cipher::Null,
];
const INTEGRITIES: [Integrity; 5] = [
    Integrity::HmacMd5_96,
    Integrity::HmacSha1_96,
    Integrity::HmacSha2_256_128,
    Integrity::HmacSha2_384_192,
    Integrity::HmacSha2_512_256,
];

fn all() -> impl Iterator<Item = Transform> {
    let separate =
        CIPHERS.into_iter().flat_map(|cipher| INTEGRITIES.map(|with| Transform::Separate(cipher, with)));
    separate.chain([Transform::ChaCha20Poly1305])
}

fn material(transform: Transform) -> Vec<u8> {
    (1..=u8::MAX).take(transform.key_bytes()).collect()
}

fn pair(transform: Transform) -> (Sealer, Opener) {
    let material = material(transform);
    let sealer = Sealer::new(transform, &material, &[0x5a; 16]).expect("its length");
    (sealer, Opener::new(transform, &material).expect("its length"))
}

/// An ESP packet with a payload of as many whole blocks as hold `bytes`, not yet sealed.
fn packet(shape: Shape, bytes: usize, sequence: u64) -> Vec<u8> {
    let payload_bytes =
        bytes.next_multiple_of(usize::from(shape.block_bytes)).max(usize::from(shape.block_bytes));
    let [.., a, b, c, d] = sequence.to_be_bytes();
    let mut packet = vec![0, 0, 1, 0, a, b, c, d];
    packet.extend(vec![0xee; usize::from(shape.iv_bytes)]);
    packet.extend((0..payload_bytes).map(|at| at.to_le_bytes()[0]));
    packet.extend(vec![0xee; usize::from(shape.icv_bytes)]);
    packet
}

fn payload(shape: Shape, packet: &[u8]) -> &[u8] {
    &packet[shape.front_bytes()..packet.len() - usize::from(shape.icv_bytes)]
}

/// RFC 3602, 4: cases 1 to 5; the last one is a whole ESP payload.
#[test]
fn aes_cbc_gives_the_rfcs_answers() {
    let counting: Vec<u8> = (0..32).collect();
    let from_a0: Vec<u8> = (0xa0..0xe0).collect();
    let ping = hex!(
        "08000ebda70a00008e9c083db95b070008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        "202122232425262728292a2b2c2d2e2f30313233343536370102030405060708090a0b0c0d0e0e01"
    );
    type Case<'a> = ([u8; 16], [u8; 16], &'a [u8], &'a [u8]);
    let cases: [Case<'_>; 5] = [
        (
            hex!("06a9214036b8a15b512e03d534120006"),
            hex!("3dafba429d9eb430b422da802c9fac41"),
            b"Single block msg",
            &hex!("e353779c1079aeb82708942dbe77181a"),
        ),
        (
            hex!("c286696d887c9aa0611bbb3e2025a45a"),
            hex!("562e17996d093d28ddb3ba695a2e6f58"),
            &counting,
            &hex!("d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1"),
        ),
        (
            hex!("6c3ea0477630ce21a2ce334aa746c2cd"),
            hex!("c782dc4c098c66cbd9cd27d825682c81"),
            b"This is a 48-byte message (exactly 3 AES blocks)",
            &hex!(
                "d0a02b3836451753d493665d33f0e8862dea54cdb293abc7506939276772f8d5"
                "021c19216bad525c8579695d83ba2684"
            ),
        ),
        (
            hex!("56e47a38c5598974bc46903dba290349"),
            hex!("8ce82eefbea0da3c44699ed7db51b7d9"),
            &from_a0,
            &hex!(
                "c30e32ffedc0774e6aff6af0869f71aa0f3af07a9a31a9c684db207eb0ef8e4e"
                "35907aa632c3ffdf868bb7b29d3d46ad83ce9f9a102ee99d49a53e87f4c3da55"
            ),
        ),
        (
            hex!("90d382b410eeba7ad938c46cec1a82bf"),
            hex!("e96e8c08ab465763fd098d45dd3ff893"),
            &ping,
            &hex!(
                "f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856"
                "a4699e523a55db080b59ec3a8e4b7e52775b07d1db34ed9c538ab50c551b874a"
                "a269add047ad2d5913ac19b7cfbad4a6"
            ),
        ),
    ];
    for (key, iv, clear, sealed) in cases {
        let mut bytes = clear.to_vec();
        Encryptor::new(Cipher::AesCbc128, &key).expect("a length").encrypt(&iv, &mut bytes);
        assert_eq!(bytes, sealed);
        Decryptor::new(Cipher::AesCbc128, &key).expect("a length").decrypt(&iv, &mut bytes);
        assert_eq!(bytes, clear);
    }
}

/// RFC 2202, 2 and 3 (case 1 of each), cut to 96 bits; RFC 4868, 2.7.2 (AUTH256, AUTH384 and AUTH512, cases 1 and 2).
#[test]
fn truncated_hmacs_give_the_rfcs_answers() {
    let jefe = |times: usize| b"Jefe".repeat(times);
    let (hi, what): (&[u8], &[u8]) = (b"Hi There", b"what do ya want for nothing?");
    type Case<'a> = (Integrity, Vec<u8>, &'a [u8], &'a [u8]);
    let cases: [Case<'_>; 8] = [
        (Integrity::HmacMd5_96, vec![0x0b; 16], hi, &hex!("9294727a3638bb1c13f48ef8")),
        (Integrity::HmacSha1_96, vec![0x0b; 20], hi, &hex!("b617318655057264e28bc0b6")),
        (Integrity::HmacSha2_256_128, vec![0x0b; 32], hi, &hex!("198a607eb44bfbc69903a0f1cf2bbdc5")),
        (Integrity::HmacSha2_256_128, jefe(8), what, &hex!("167f928588c5cc2eef8e3093caa0e87c")),
        (
            Integrity::HmacSha2_384_192,
            vec![0x0b; 48],
            hi,
            &hex!("b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee973"),
        ),
        (
            Integrity::HmacSha2_384_192,
            jefe(12),
            what,
            &hex!("2c7353974f1842fd66d53c452ca42122b28c0b594cfb184d"),
        ),
        (
            Integrity::HmacSha2_512_256,
            vec![0x0b; 64],
            hi,
            &hex!("637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8"),
        ),
        (
            Integrity::HmacSha2_512_256,
            jefe(16),
            what,
            &hex!("cb370917ae8a7ce28cfd1d8f4705d6141c173b2a9362c15df235dfb251b15454"),
        ),
    ];
    for (integrity, key, data, expected) in cases {
        let hmac = Hmac::new(integrity, &key);
        let mut icv = vec![0; usize::from(integrity.icv_bytes())];
        hmac.sign(&[&data[..3], &data[3..]], &mut icv);
        assert_eq!(icv, expected, "{integrity:?}");
        assert_eq!(hmac.verify(&[data], expected), Ok(()));
        icv[0] ^= 1;
        assert_eq!(hmac.verify(&[data], &icv), Err(NotAuthentic));
    }
}

/// RFC 7634, appendix A: a whole packet.
#[test]
fn chacha20_poly1305_opens_the_rfcs_packet() {
    let material: Vec<u8> = (0x80..0xa4).collect();
    let mut packet = hex!(
        "0102030400000005 1011121314151617"
        "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4c02f7"
        "2aa71e7c4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e0"
        "76aaa8266b7fb0f7b11b369907e1ad43"
    );
    let clear = hex!(
        "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f10111213"
        "1415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637 01020204"
    );
    let opener = Opener::new(Transform::ChaCha20Poly1305, &material).expect("its length");
    assert_eq!(opener.open(&mut packet, 5, Esn::Off), Ok(()));
    assert_eq!(payload(opener.shape(), &packet), clear);
}

#[test]
fn every_transform_opens_what_it_sealed_at_every_length() {
    for transform in all() {
        let (sealer, opener) = pair(transform);
        let shape = transform.shape();
        for bytes in (0..=2048).step_by(usize::from(shape.block_bytes)) {
            let sequence = (7 << 32) + bytes as u64;
            let clear = packet(shape, bytes, sequence);
            let mut sealed = clear.clone();
            sealer.seal(&mut sealed, sequence, Esn::On);
            let is_null = matches!(transform, Transform::Separate(Cipher::Null, _));
            assert_eq!(payload(shape, &sealed) == payload(shape, &clear), is_null, "{transform:?} {bytes}");
            assert_eq!(opener.open(&mut sealed, sequence, Esn::On), Ok(()), "{transform:?} {bytes}");
            assert_eq!(payload(shape, &sealed), payload(shape, &clear), "{transform:?} {bytes}");
        }
    }
}

#[test]
fn extended_sequence_numbers_are_covered_and_not_sent() {
    for transform in all() {
        let (sealer, opener) = pair(transform);
        let mut sealed = packet(transform.shape(), 100, 9);
        sealer.seal(&mut sealed, (3 << 32) + 9, Esn::On);
        assert_eq!(sealed[4..8], [0, 0, 0, 9]);
        for (sequence, esn) in [((4 << 32) + 9, Esn::On), (9, Esn::On), ((3 << 32) + 9, Esn::Off)] {
            let mut other = sealed.clone();
            assert_eq!(
                opener.open(&mut other, sequence, esn),
                Err(NotAuthentic),
                "{transform:?} {sequence:x}"
            );
        }
        assert_eq!(opener.open(&mut sealed, (3 << 32) + 9, Esn::On), Ok(()));
    }
}

#[test]
fn ivs_of_cbc_modes_never_repeat_and_do_not_show_the_number() {
    let transform = Transform::Separate(Cipher::TripleDesCbc, Integrity::HmacSha1_96);
    let (sealer, _) = pair(transform);
    let mut seen = std::collections::HashSet::new();
    for sequence in 1..=1000 {
        let mut sealed = packet(transform.shape(), 8, sequence);
        sealer.seal(&mut sealed, sequence, Esn::Off);
        assert!(seen.insert(sealed[8..16].to_vec()));
        assert_ne!(sealed[8..16], sequence.to_be_bytes());
    }
    let mut other = packet(transform.shape(), 8, 1);
    let drawn_otherwise = Sealer::new(transform, &material(transform), &[0x5b; 16]).expect("its length");
    drawn_otherwise.seal(&mut other, 1, Esn::Off);
    assert!(!seen.contains(&other[8..16]));
}

#[test]
fn material_of_another_length_is_refused() {
    for transform in all() {
        let mut material = material(transform);
        material.push(0);
        let error = MaterialError { transform, bytes: material.len() };
        assert_eq!(Opener::new(transform, &material).err(), Some(error));
        assert_eq!(
            Sealer::new(transform, &material[2..], &[0; 16]).err().map(|error| error.bytes),
            Some(material.len() - 2)
        );
    }
}

proptest! {
    /// Whatever one bit or the length becomes, the packet is refused and left as it came: nothing of it was decrypted.
    #[test]
    fn a_changed_packet_is_refused_and_nothing_of_it_decrypted(
        which in 0..31_usize, bytes in 0..600_usize, at in any::<prop::sample::Index>(), bit in 0..8, sequence: u64,
    ) {
        let transform = all().nth(which).expect("31 of them");
        let (sealer, opener) = pair(transform);
        let mut sealed = packet(transform.shape(), bytes, sequence);
        sealer.seal(&mut sealed, sequence, Esn::On);
        let at = at.index(sealed.len());
        sealed[at] ^= 1_u8 << bit;
        let before = sealed.clone();
        prop_assert_eq!(opener.open(&mut sealed, sequence, Esn::On), Err(NotAuthentic));
        prop_assert_eq!(&sealed, &before);
        sealed[at] ^= 1_u8 << bit;
        for shorter in [at, sealed.len() - usize::from(transform.shape().block_bytes)] {
            let before = sealed.clone();
            prop_assert_eq!(opener.open(&mut sealed[..shorter], sequence, Esn::On), Err(NotAuthentic));
            prop_assert_eq!(&sealed, &before);
        }
        prop_assert_eq!(opener.open(&mut sealed, sequence, Esn::On), Ok(()));
    }
}

//! Published pairs, both sides against each other, and values that must be refused.

use hex_literal::hex;

use super::*;

mod modp;
mod vectors;
mod wycheproof;

/// Hands out `bytes` once, the end of the buffer filled.
fn fixed(bytes: &[u8]) -> impl FnMut(&mut [u8]) + '_ {
    move |out| out.copy_from_slice(bytes)
}

fn counting(seed: u8) -> impl FnMut(&mut [u8]) {
    let mut next = seed;
    move |out| {
        for byte in out {
            next = next.wrapping_mul(5).wrapping_add(113);
            *byte = next;
        }
    }
}

#[test]
fn both_sides_agree_in_every_group() {
    for group in Group::ALL {
        let (a, b) =
            (PrivateValue::draw(group, &mut counting(1)), PrivateValue::draw(group, &mut counting(2)));
        let (public_a, public_b) = (a.public_value(), b.public_value());
        assert_eq!(public_a.len(), group.public_bytes(), "{group}");
        assert_ne!(public_a, public_b);
        let shared = a.agree(&public_b).unwrap();
        assert_eq!(shared, b.agree(&public_a).unwrap(), "{group}");
        assert_eq!(Group::from_id(group.id()), Some(group));
    }
}

#[test]
fn p256_pair_of_rfc_5903() {
    let i = hex!("C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433");
    let r = hex!("C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53");
    let public_i = hex!(
        "DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180"
        "5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3"
    );
    let shared = hex!("D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE");
    assert_eq!(PrivateValue::draw(Group::Ecp256, &mut fixed(&i)).public_value(), public_i);
    assert!(PrivateValue::draw(Group::Ecp256, &mut fixed(&r)).agree(&public_i).unwrap().matches(&shared));
}

#[test]
fn x25519_pair_of_rfc_7748() {
    let a = hex!("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    let b = hex!("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    let public_a = hex!("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    let shared = hex!("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_eq!(PrivateValue::draw(Group::Curve25519, &mut fixed(&a)).public_value(), public_a);
    assert!(PrivateValue::draw(Group::Curve25519, &mut fixed(&b)).agree(&public_a).unwrap().matches(&shared));
}

#[test]
fn ml_kem_gives_both_sides_one_secret_and_refuses_what_is_no_key() {
    let sizes = [(Group::MlKem512, 800, 768), (Group::MlKem768, 1184, 1088), (Group::MlKem1024, 1568, 1568)];
    for (group, key_bytes, ciphertext_bytes) in sizes {
        let initiator = || PrivateValue::draw(group, &mut counting(1));
        let responder = || PrivateValue::draw(group, &mut counting(2));
        let key = initiator().public_value();
        assert_eq!(key.len(), key_bytes);
        let (ciphertext, shared) = responder().answer(&key).unwrap();
        assert_eq!((ciphertext.len(), shared.expose().len()), (ciphertext_bytes, 32));
        assert_eq!(initiator().agree(&ciphertext).unwrap(), shared);
        let mut changed = ciphertext.clone();
        changed[7] ^= 1;
        assert_ne!(initiator().agree(&changed).unwrap(), shared, "implicit rejection");
        assert!(matches!(initiator().agree(&ciphertext[1..]), Err(KexError::Length { .. })));
        assert!(matches!(responder().answer(&key[1..]), Err(KexError::Length { .. })));
        // Coefficients of 4095 are above the modulus.
        let not = Err(KexError::NotInGroup { group });
        assert_eq!(responder().answer(&vec![0xff; key_bytes]).map(|_| ()), not);
        assert_eq!(Group::from_id(group.id()), None, "never alone");
    }
}

/// The accumulated vectors of ML-KEM-768 that Go's `crypto/mlkem` publishes: a hundred times key, ciphertext, secret and the secret of a random ciphertext,
/// all from one SHAKE128 and hashed by another.
#[test]
fn ml_kem_gives_the_accumulated_vectors() {
    use shake::{ExtendableOutput, Shake128, Update, XofReader};
    let group = Group::MlKem768;
    let mut input = Shake128::default().finalize_xof();
    let mut hash = Shake128::default();
    let (mut seed, mut m, mut random) = ([0; 64], [0; 64], [0; 1088]);
    for _ in 0..100 {
        input.read(&mut seed);
        let key = PrivateValue::draw(group, &mut fixed(&seed)).public_value();
        hash.update(&key);
        input.read(&mut m[..32]);
        let (ciphertext, shared) = PrivateValue::draw(group, &mut fixed(&m)).answer(&key).unwrap();
        hash.update(&ciphertext);
        hash.update(shared.expose());
        assert_eq!(PrivateValue::draw(group, &mut fixed(&seed)).agree(&ciphertext).unwrap(), shared);
        input.read(&mut random);
        hash.update(PrivateValue::draw(group, &mut fixed(&seed)).agree(&random).unwrap().expose());
    }
    let mut digest = [0; 32];
    hash.finalize_xof().read(&mut digest);
    assert_eq!(digest, hex!("1114b1b6699ed191734fa339376afa7e285c9e6acf6ff0177d346696ce564415"));
}

#[test]
fn values_outside_the_group_are_refused() {
    for group in Group::ALL {
        let refuse = |peer: &[u8]| PrivateValue::draw(group, &mut counting(3)).agree(peer).unwrap_err();
        let zeros = vec![0; group.public_bytes()];
        let expected = match group {
            Group::Curve25519 => KexError::AllZero { group },
            _ => KexError::NotInGroup { group },
        };
        assert_eq!(refuse(&zeros), expected);
        assert!(matches!(refuse(&zeros[1..]), KexError::Length { .. }));
        assert!(matches!(refuse(&[]), KexError::Length { .. }));
    }
    let modp = Group::ALL.into_iter().filter(|group| format!("{group}").starts_with("MODP"));
    for group in modp {
        let mut one = vec![0; group.public_bytes()];
        *one.last_mut().unwrap() = 1;
        let not = Err(KexError::NotInGroup { group });
        assert_eq!(PrivateValue::draw(group, &mut counting(3)).agree(&one).map(|_| ()), not);
        let above = vec![0xff; group.public_bytes()];
        assert_eq!(PrivateValue::draw(group, &mut counting(3)).agree(&above).map(|_| ()), not);
    }
}

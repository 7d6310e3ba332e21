//! Published powers in the MODP groups under exponents as long as the primes, which IKE has no use for: of the maths under [`PrivateValue`], not through it.
//!
//! Groups 1, 2 and 5: Botan's `src/tests/data/pubkey/dh.vec`. Group 14: NIST's ACVP server, `SafePrimes-KeyGen-1.0`, test case 4. Results are compared by their SHA-256.

use crypto_bigint::Uint;
use crypto_bigint::modular::FixedMontyParams;
use hex_literal::hex;
use sha2::{Digest, Sha256};

use crate::crypto::kex::modp;

/// The SHA-256 of a power.
fn power<const LIMBS: usize>(params: &FixedMontyParams<LIMBS>, base: &[u8], exponent: &[u8]) -> [u8; 32] {
    let (base, exponent) = (Uint::<LIMBS>::from_be_slice(base), Uint::<LIMBS>::from_be_slice(exponent));
    Sha256::digest(modp::power(params, &base, &exponent, Uint::<LIMBS>::BITS)).into()
}

#[test]
fn shared_secret_of_botan_with_768_bits() {
    let exponent = hex!(
        "70f70628fc92ffab93039b31efc65e760121ea6632f9d37189767ce01d4a7c5f782022db71857281e270a7aaad68467c"
        "2825635fc198208f749a5bf25c444d1274f6f760e068fe11a7b7faadc154ebe77dfbd2f9a399bf1710c75291e6b33e53"
    );
    let peer = hex!(
        "35f4fe8e20a94672fecc2f8c24597541e7a1edbf76c0d0a92fdc6e99ca016f4a3f315e42a5cfaf0a50541e420f2abb63"
        "2a2609336077cb8e0320caad947964788b26954b847e08b1ae08fc3d2d0f9dcd449a890b2e4448e4b2d106dfa887fb61"
    );
    let shared = hex!("79a8caa6229f6d896315addcf7e287f6b3bc077ef8cb4c31be0e6e97a0e92839");
    assert_eq!(power(&modp::MODP_768, &peer, &exponent), shared);
}

#[test]
fn shared_secret_of_botan_with_1024_bits() {
    let exponent = hex!(
        "a71fb45046f3e7058521c35f08200af51a0193d68776babc6f5571bcf092a77dd44e7b4e5aa450a7c4fd142df648c03b"
        "a1c6944941b3a5c2f2515177b23cfc0109825b85029798c6d3ef8c46d9c85a71558af8caa411b270ea3fddd7d3586784"
        "df92ccfad908096a0fb647b18a62d7e4aedaa26d9f4e1247bb208232fa9efb9c"
    );
    let peer = hex!(
        "51f0590a0593a41182a1e132e68e33d28f67ce0bf42c6beff057eb10255bb78d0ba2517603700ffbee570ea1591f5646"
        "8ea7aeafbe03b10d3b7a04271b94f8190031dadd2d852f8778d9a88486c89ef3c5ff4f478d4e21660a0b1542fb58fe82"
        "ff89fd8e10334a455c937ea11fbe28a8188c1da05b014fac2a28a273aa517082"
    );
    let shared = hex!("486e0a71529e95521e93baa9725f9b6265717f08732df64ffc57a737ff445f8b");
    assert_eq!(power(&modp::MODP_1024, &peer, &exponent), shared);
}

#[test]
fn shared_secret_of_botan_with_1536_bits() {
    let exponent = hex!(
        "4e83bc69deb2e98884e5beacd0331ad07869bc0cb3025b4882670a9af4ff1f628fe59526733b16b43d90d976ef55be00"
        "a95c7846f447374451565d6470373096c93448f390ebe47e63f22f1840ad1e006f09a85b75eb69dca9d3d823f9d3f32d"
        "81a03db69ce3a9d35b7999b3f1f692f795805411762570d247b55f02eb64a3c9cde4edf05bb008be68863fa5a01e7bac"
        "582b189a6c5d845e1216c91f2152b708dab6f985ef5e220c86d2b5cd50739f6a8f6e86527072777eb3940e8f12fdb8ff"
    );
    let peer = hex!(
        "003f11982bd3dfbffcdb49f3b4e401a004c42db40db314990413064c5b63d6e0d1e1a5178fab51af92ae6b7184ddd06f"
        "76b6ef9366247a8cd5abbe13c61468bfcdba7cd147ea543d567433e691efbe80ddbbed90cd2f606ee4c36e568aa00efd"
        "c78cc2d6f8f98c09e781b120421bf98a8eeb2a1064d93085105307a46cac09b27b4d1fdd6e3000574fa348d2632865d7"
        "958bf64a3a858a8605370f73dd82a1d79f66071e312328bfb4d965bc51044db4f981c00e23128aa00abc3f908a2690e0"
    );
    let shared = hex!("ce0e12769771d91a486290feafee30d391cd5880148c43baddcbf93e0ba7c97d");
    assert_eq!(power(&modp::MODP_1536, &peer, &exponent), shared);
}

#[test]
fn public_value_of_nist_with_2048_bits() {
    let exponent = hex!(
        "6c9404e2a0269fea0b8ccc66920d0008c5ebbcadff7d774783242ccaf8b2d69081f6cf9b232ebcbfe0ec23dab6809522"
        "5103c7938893034cf17f82b021c32dc6fe8e546a01ec994e7b2824a09e92c1ae075c0bf9a88e035fe9d1f776ec6b6307"
        "aed70036aca4bc62c9e37aaa0fe742ea554432029330045608b89b2fee72a99450f4e1256f4c1cbc685f33a7b211665e"
        "2d90bdab71f447b4fe5d99aa2e9542fd0a1b5ab8303e461a458576bc0f665db0a20fd3c35aa9d1b2e635c6a52565291f"
        "9193cb9c7c79830dc26eceadcc271c798eb07a6fa7f1377f7d54ed1b6c8176fe69eddff38a300310518116461e37f1ee"
        "a1c97ffff84d247559c24555ad577f9b"
    );
    let mut two = [0; 256];
    two[255] = 2;
    let public = hex!("32b1d85c2c58a46fd43be0cf9b67bbfd2f023146264d30e4dd315cd7343b1773");
    assert_eq!(power(&modp::MODP_2048, &two, &exponent), public);
}

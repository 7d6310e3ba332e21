//! The mathematics of MS-CHAPv2 (RFC 2759) and the key that EAP-MSCHAPv2 hands to the layer above (RFC 3079, draft-kamath-pppext-eap-mschapv2-02). MD4 and DES are what the
//! protocol is made of, and weak: inside IKEv2 or TLS, after the gateway has proven itself by a certificate, nobody else sees the exchange.

use des::Des;
use des::cipher::{BlockCipherEncrypt, KeyInit};
use md4::{Digest, Md4};
use sha1::Sha1;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Length of a challenge of either side.
pub const CHALLENGE_BYTES: usize = 16;
/// Length of the client's proof.
pub const PROOF_BYTES: usize = 24;
/// Length of the key for the layer above (RFC 3748, 7.10).
pub const MSK_BYTES: usize = 64;

/// What is kept of a password: its MD4. Whoever has it can log in.
#[derive(Clone)]
pub struct PasswordHash(Zeroizing<[u8; 16]>);

impl PartialEq for PasswordHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for PasswordHash {}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash")
    }
}

impl PasswordHash {
    /// Of a password (`NtPasswordHash`, RFC 2759, 8.3).
    #[must_use]
    pub fn of(password: &str) -> Self {
        // Room for all of it at once: a vector that grows leaves copies behind.
        let mut wide = Zeroizing::new(Vec::with_capacity(2 * password.len()));
        wide.extend(password.encode_utf16().flat_map(u16::to_le_bytes));
        Self(Zeroizing::new(Md4::digest(wide.as_slice()).into()))
    }

    fn hash(&self) -> Zeroizing<[u8; 16]> {
        Zeroizing::new(Md4::digest(self.0.as_slice()).into())
    }
}

/// What both sides have seen of one log-in.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// Ours.
    pub challenge: &'a [u8; CHALLENGE_BYTES],
    /// The client's.
    pub peer_challenge: &'a [u8; CHALLENGE_BYTES],
    /// The client's name, as it sent it.
    pub user: &'a [u8],
    /// The client's proof.
    pub proof: &'a [u8; PROOF_BYTES],
}

impl Exchange<'_> {
    /// Whether the client knows the password; in constant time.
    #[must_use]
    pub fn is_proven(&self, password: &PasswordHash) -> bool {
        self.client_proof(password).as_slice().ct_eq(self.proof).into()
    }

    /// What a client that knows the password sends (`GenerateNTResponse`, RFC 2759, 8.1); `proof` does not count.
    #[must_use]
    pub fn client_proof(&self, password: &PasswordHash) -> Zeroizing<[u8; PROOF_BYTES]> {
        let challenge = self.challenge_hash();
        let mut key = Zeroizing::new([0; 21]);
        key[..16].copy_from_slice(password.0.as_slice());
        let mut out = Zeroizing::new([0; PROOF_BYTES]);
        for (part, block) in key.as_chunks::<7>().0.iter().zip(out.as_chunks_mut::<8>().0) {
            *block = encrypted(part, challenge);
        }
        out
    }

    /// `ChallengeHash` (8.2): of the name without its domain.
    fn challenge_hash(&self) -> [u8; 8] {
        let user = self.user.rsplit(|byte| *byte == b'\\').next().unwrap_or_default();
        let digest = Sha1::new()
            .chain_update(self.peer_challenge)
            .chain_update(self.challenge)
            .chain_update(user)
            .finalize();
        *digest.first_chunk().expect("SHA-1 has 20 bytes")
    }

    /// Our proof that we know the password, too (`GenerateAuthenticatorResponse`, 8.7), as the client reads it.
    #[must_use]
    pub fn own_proof(&self, password: &PasswordHash) -> String {
        let digest = Sha1::new()
            .chain_update(password.hash().as_slice())
            .chain_update(self.proof)
            .chain_update(SERVER_MAGIC)
            .finalize();
        let proof = Sha1::new()
            .chain_update(digest)
            .chain_update(self.challenge_hash())
            .chain_update(PAD_MAGIC)
            .finalize();
        let hex: String = proof.iter().map(|byte| format!("{byte:02X}")).collect();
        format!("S={hex}")
    }

    /// The key for the layer above: the client's send key, its receive key, and zeros (RFC 3079, 3.4).
    #[must_use]
    pub fn msk(&self, password: &PasswordHash) -> Zeroizing<[u8; MSK_BYTES]> {
        let master: Zeroizing<[u8; 20]> = Zeroizing::new(
            Sha1::new()
                .chain_update(password.hash().as_slice())
                .chain_update(self.proof)
                .chain_update(MASTER_MAGIC)
                .finalize()
                .into(),
        );
        let mut msk = Zeroizing::new([0; MSK_BYTES]);
        for (magic, key) in
            [CLIENT_SENDS_MAGIC, CLIENT_RECEIVES_MAGIC].iter().zip(msk.as_chunks_mut::<16>().0)
        {
            let digest: Zeroizing<[u8; 20]> = Zeroizing::new(
                Sha1::new()
                    .chain_update(&master[..16])
                    .chain_update([0; 40])
                    .chain_update(magic)
                    .chain_update([0xf2; 40])
                    .finalize()
                    .into(),
            );
            key.copy_from_slice(&digest[..16]);
        }
        msk
    }
}

/// `DesEncrypt` (8.6): 56 bits of key, spread over 64 with room for parity.
fn encrypted(key: &[u8; 7], block: [u8; 8]) -> [u8; 8] {
    let bits = key.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    let spread: Zeroizing<[u8; 8]> =
        Zeroizing::new(std::array::from_fn(|at| ((bits >> (49 - 7 * at)) << 1).to_le_bytes()[0]));
    let mut block = block.into();
    Des::new((&*spread).into()).encrypt_block(&mut block);
    block.into()
}

const SERVER_MAGIC: &[u8] = b"Magic server to client signing constant";
const PAD_MAGIC: &[u8] = b"Pad to make it do more than one iteration";
const MASTER_MAGIC: &[u8] = b"This is the MPPE Master Key";
const CLIENT_SENDS_MAGIC: &[u8] =
    b"On the client side, this is the send key; on the server side, it is the receive key.";
const CLIENT_RECEIVES_MAGIC: &[u8] =
    b"On the client side, this is the receive key; on the server side, it is the send key.";

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    const CHALLENGE: [u8; 16] = hex!("5B5D7C7D7B3F2F3E3C2C602132262628");
    const PEER_CHALLENGE: [u8; 16] = hex!("21402324255E262A28295F2B3A337C7E");
    const PROOF: [u8; 24] = hex!("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF");

    fn exchange<'a>(user: &'a [u8], proof: &'a [u8; 24]) -> Exchange<'a> {
        Exchange { challenge: &CHALLENGE, peer_challenge: &PEER_CHALLENGE, user, proof }
    }

    #[test]
    fn vectors_of_rfc_2759_and_3079() {
        let password = PasswordHash::of("clientPass");
        assert_eq!(*password.0, hex!("44EBBA8D5312B8D611474411F56989AE"));
        assert_eq!(*password.hash(), hex!("41C00C584BD2D91C4017A2A12FA59F3F"));
        let exchange = exchange(b"User", &PROOF);
        assert_eq!(exchange.challenge_hash(), hex!("D02E4386BCE91226"));
        assert_eq!(*exchange.client_proof(&password), PROOF);
        assert!(exchange.is_proven(&password));
        assert_eq!(exchange.own_proof(&password), "S=407A5589115FD0D6209F510FE9C04566932CDA56");
        let msk = exchange.msk(&password);
        // RFC 3079, 3.5.3: the server's send key is the client's receive key.
        assert_eq!(msk[16..32], hex!("8B7CDC149B993A1BA118CB153F56DCCB"));
        assert!(msk[32..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn another_password_name_or_proof_is_none_and_a_domain_does_not_count() {
        let password = PasswordHash::of("clientPass");
        assert!(!exchange(b"User", &PROOF).is_proven(&PasswordHash::of("clientpass")));
        assert!(!exchange(b"user", &PROOF).is_proven(&password));
        let mut bent = PROOF;
        bent[23] ^= 1;
        assert!(!exchange(b"User", &bent).is_proven(&password));
        assert!(exchange(b"DOMAIN\\User", &PROOF).is_proven(&password));
    }
}

//! Keys of IKE SAs and Child SAs, cut from prf+ (RFC 7296, 2.14, 2.17, 2.18).
//!
//! `exchange` derives them once both nonces and the shared secret are there; [`crate::protect`] and [`crate::auth`] use
//! the IKE SA's, the workers get the Child SA's.

use crate::crypto::prf::Prf;
use crate::crypto::suite::{EspSuite, IkeSuite};
use crate::secret::Secret;
use crate::wire::{IkeSpi, Role};

/// Both nonces of an exchange, without their payload headers.
#[derive(Clone, Copy, Debug)]
pub struct Nonces<'a> {
    /// Ni: of the one who began this exchange.
    pub initiator: &'a [u8],
    /// Nr.
    pub responder: &'a [u8],
}

/// Both SPIs of an IKE SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IkeSpis {
    /// Of the SA's initiator.
    pub initiator: IkeSpi,
    /// Of the SA's responder.
    pub responder: IkeSpi,
}

/// The seven keys of an IKE SA (RFC 7296, 2.14).
#[derive(Debug)]
pub struct IkeKeys {
    /// The suite they are for.
    pub suite: IkeSuite,
    /// SK_d: from which Child SAs and the next IKE SA get theirs.
    pub derive: Secret<Vec<u8>>,
    /// Protects what the initiator sends.
    pub initiator: MessageKeys,
    /// Protects what the responder sends.
    pub responder: MessageKeys,
    /// SK_pi: proves the initiator in AUTH.
    pub prove_initiator: Secret<Vec<u8>>,
    /// SK_pr: proves the responder in AUTH.
    pub prove_responder: Secret<Vec<u8>>,
}

/// Keys of one direction of an IKE SA.
#[derive(Debug)]
pub struct MessageKeys {
    /// SK_e: the key, and for AES-GCM its salt.
    pub encryption: Secret<Vec<u8>>,
    /// SK_a: empty for AES-GCM.
    pub integrity: Secret<Vec<u8>>,
}

impl IkeKeys {
    /// Keys of a first IKE SA: SKEYSEED = prf(Ni | Nr, g^ir) (RFC 7296, 2.14).
    pub fn derive(suite: IkeSuite, shared: &Secret<Vec<u8>>, nonces: Nonces<'_>, spis: IkeSpis) -> Self {
        let mut both = nonces.initiator.to_vec();
        both.extend_from_slice(nonces.responder);
        let seed = suite.prf.compute(&both, &[shared.expose()]);
        Self::from_seed(suite, &seed, nonces, spis)
    }

    /// Keys of the IKE SA that replaces `self`: SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr | `more`), computed with the old
    /// SA's prf, then expanded with the new one's (RFC 7296, 2.18). `more` is the secret of an additional key exchange (RFC 9370, 2.2.4).
    pub fn rekey(
        &self,
        suite: IkeSuite,
        shared: &Secret<Vec<u8>>,
        nonces: Nonces<'_>,
        spis: IkeSpis,
        more: Option<&Secret<Vec<u8>>>,
    ) -> Self {
        let more: &[u8] = more.map_or(&[], |more| more.expose());
        let data: [&[u8]; 4] = [shared.expose(), nonces.initiator, nonces.responder, more];
        let seed = self.suite.prf.compute(self.derive.expose(), &data);
        Self::from_seed(suite, &seed, nonces, spis)
    }

    /// Keys of an IKE SA that takes a lost one up again: SKEYSEED = prf(SK_d (old), "Resumption" | Ni | Nr), with the old one's suite (RFC 5723, 5.1).
    pub fn resume(suite: IkeSuite, sk_d: &Secret<Vec<u8>>, nonces: Nonces<'_>, spis: IkeSpis) -> Self {
        let data: [&[u8]; 3] = [b"Resumption", nonces.initiator, nonces.responder];
        let seed = suite.prf.compute(sk_d.expose(), &data);
        Self::from_seed(suite, &seed, nonces, spis)
    }

    fn from_seed(suite: IkeSuite, seed: &Secret<Vec<u8>>, nonces: Nonces<'_>, spis: IkeSpis) -> Self {
        let prf_bytes = suite.prf.output_bytes();
        let (encryption, integrity) =
            (suite.cipher.encryption_key_bytes(), suite.cipher.integrity_key_bytes());
        let length = 3 * prf_bytes + 2 * encryption + 2 * integrity;
        let (spi_i, spi_r) = (spis.initiator.to_bytes(), spis.responder.to_bytes());
        let seed_parts: [&[u8]; 4] = [nonces.initiator, nonces.responder, &spi_i, &spi_r];
        let stream = suite.prf.plus(seed.expose(), &seed_parts, length);
        let mut cut = Cut(stream.expose());
        // In this order: SK_d, SK_ai, SK_ar, SK_ei, SK_er, SK_pi, SK_pr.
        let derive = cut.next(prf_bytes);
        let (integrity_i, integrity_r) = (cut.next(integrity), cut.next(integrity));
        let (encryption_i, encryption_r) = (cut.next(encryption), cut.next(encryption));
        Self {
            suite,
            derive,
            initiator: MessageKeys { encryption: encryption_i, integrity: integrity_i },
            responder: MessageKeys { encryption: encryption_r, integrity: integrity_r },
            prove_initiator: cut.next(prf_bytes),
            prove_responder: cut.next(prf_bytes),
        }
    }

    /// SK_d, SK_pi or SK_pr with a post-quantum pre-shared key: prf+(PPK, key) (RFC 8784, 3).
    pub fn with_ppk(&self, key: &Secret<Vec<u8>>, ppk: &Secret<Vec<u8>>) -> Secret<Vec<u8>> {
        let prf = self.suite.prf;
        prf.plus(ppk.expose(), &[key.expose()], prf.output_bytes())
    }

    /// Mixes a post-quantum pre-shared key into all three of them.
    pub fn mix_ppk(&mut self, ppk: &Secret<Vec<u8>>) {
        self.derive = self.with_ppk(&self.derive, ppk);
        self.prove_initiator = self.with_ppk(&self.prove_initiator, ppk);
        self.prove_responder = self.with_ppk(&self.prove_responder, ppk);
    }

    /// The keys that protect what `sender` sends.
    pub fn of_sender(&self, sender: Role) -> &MessageKeys {
        match sender {
            Role::Initiator => &self.initiator,
            Role::Responder => &self.responder,
        }
    }

    /// SK_pi or SK_pr: what proves `who` in AUTH.
    pub fn prove(&self, who: Role) -> &Secret<Vec<u8>> {
        match who {
            Role::Initiator => &self.prove_initiator,
            Role::Responder => &self.prove_responder,
        }
    }
}

/// Keying material of a pair of ESP SAs: for each direction the encryption key and its salt (RFC 4106, 8.1).
#[derive(Debug)]
pub struct ChildKeys {
    /// For packets from the one who began the exchange.
    pub initiator: Secret<Vec<u8>>,
    /// For packets to it.
    pub responder: Secret<Vec<u8>>,
}

impl ChildKeys {
    /// KEYMAT = prf+(SK_d, [g^ir (new) |] Ni | Nr) (RFC 7296, 2.17). `shared` only with perfect forward secrecy; nonces
    /// and roles are those of the exchange that makes the Child SA.
    pub fn derive(
        prf: Prf,
        sk_d: &Secret<Vec<u8>>,
        suite: EspSuite,
        shared: Option<&Secret<Vec<u8>>>,
        nonces: Nonces<'_>,
    ) -> Self {
        let shared: &[u8] = shared.map_or(&[], |shared| shared.expose());
        let each = suite.key_bytes();
        let stream = prf.plus(sk_d.expose(), &[shared, nonces.initiator, nonces.responder], 2 * each);
        let mut cut = Cut(stream.expose());
        Self { initiator: cut.next(each), responder: cut.next(each) }
    }
}

/// Cuts keys off the front of a stream that is exactly as long as all of them.
struct Cut<'a>(&'a [u8]);

impl Cut<'_> {
    fn next(&mut self, bytes: usize) -> Secret<Vec<u8>> {
        let (key, rest) = self.0.split_at(bytes);
        self.0 = rest;
        Secret::from(key)
    }
}

#[cfg(test)]
mod tests;

//! Keys of IKEv1 (RFC 2409, 5 and B): SKEYID and what comes of it, IVs, keying material of ESP.

use md5::Md5;
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha384, Sha512};

use crate::crypto::keys::{ChildKeys, IkeSpis, Nonces};
use crate::crypto::prf::Prf;
use crate::crypto::suite::{EspSuite, IkeSuite};
use crate::secret::Secret;
use crate::wire::{IkeSpi, ProtocolId};

/// Keys of an ISAKMP SA.
#[derive(Debug)]
pub(super) struct Keys {
    /// SKEYID: proves both sides in phase 1.
    pub(super) prove: Secret<Vec<u8>>,
    /// SKEYID_d: from which ESP gets its keys.
    pub(super) derive: Secret<Vec<u8>>,
    /// SKEYID_a: authenticates messages of phase 2.
    pub(super) authenticate: Secret<Vec<u8>>,
    /// Cut from SKEYID_e: encrypts all messages, of both sides.
    pub(super) encrypt: Secret<Vec<u8>>,
}

/// What both sides sent in the clear and agreed on.
#[derive(Clone, Copy)]
pub(super) struct Agreed<'a> {
    pub(super) shared: &'a Secret<Vec<u8>>,
    pub(super) nonces: Nonces<'a>,
    pub(super) cookies: IkeSpis,
}

/// SKEYID with a pre-shared key (RFC 2409, 5.4).
pub(super) fn of_shared_key(prf: Prf, key: &[u8], nonces: Nonces<'_>) -> Secret<Vec<u8>> {
    prf.compute(key, &[nonces.initiator, nonces.responder])
}

/// SKEYID with signatures (RFC 2409, 5.1).
pub(super) fn of_signatures(prf: Prf, agreed: Agreed<'_>) -> Secret<Vec<u8>> {
    let key = [agreed.nonces.initiator, agreed.nonces.responder].concat();
    prf.compute(&key, &[agreed.shared.expose()])
}

impl Keys {
    /// From SKEYID.
    pub(super) fn derive(suite: IkeSuite, prove: Secret<Vec<u8>>, agreed: Agreed<'_>) -> Self {
        let (i, r) = (agreed.cookies.initiator.to_bytes(), agreed.cookies.responder.to_bytes());
        let next = |before: &[u8], number: u8| {
            suite.prf.compute(prove.expose(), &[before, agreed.shared.expose(), &i, &r, &[number]])
        };
        let derive = next(&[], 0);
        let authenticate = next(derive.expose(), 1);
        let encrypt = next(authenticate.expose(), 2);
        let encrypt = cut(suite.prf, &encrypt, suite.cipher.encryption_key_bytes());
        Self { prove, derive, authenticate, encrypt }
    }

    /// Keying material of a pair of ESP SAs (RFC 2409, 5.5): each direction's from the SPI that its receiver chose. `shared` only with perfect forward
    /// secrecy; roles are those of the quick mode.
    pub(super) fn esp(
        &self,
        prf: Prf,
        suite: EspSuite,
        shared: Option<&Secret<Vec<u8>>>,
        nonces: Nonces<'_>,
        (of_initiator, of_responder): (u32, u32),
    ) -> ChildKeys {
        let of = |spi: u32| self.keymat(prf, suite.key_bytes(), shared, nonces, spi);
        ChildKeys { initiator: of(of_responder), responder: of(of_initiator) }
    }

    fn keymat(
        &self,
        prf: Prf,
        length: usize,
        shared: Option<&Secret<Vec<u8>>>,
        nonces: Nonces<'_>,
        spi: u32,
    ) -> Secret<Vec<u8>> {
        let shared: &[u8] = shared.map_or(&[], |shared| shared.expose());
        let spi = spi.to_be_bytes();
        let protocol = [ProtocolId::ESP.0];
        let tail = [shared, &protocol, &spi, nonces.initiator, nonces.responder];
        let mut stream = Vec::with_capacity(length + prf.output_bytes()); // a vector that grows leaves copies of keys behind
        let mut block = Secret::new(Vec::new());
        while stream.len() < length {
            let parts = [&[block.expose().as_slice()][..], &tail].concat();
            block = prf.compute(self.derive.expose(), &parts);
            stream.extend_from_slice(block.expose());
        }
        let stream = Secret::new(stream);
        Secret::from(&stream.expose()[..length])
    }
}

/// The cipher's key from SKEYID_e, which is stretched if it is too short (RFC 2409, B).
fn cut(prf: Prf, from: &Secret<Vec<u8>>, length: usize) -> Secret<Vec<u8>> {
    if from.expose().len() >= length {
        return Secret::from(&from.expose()[..length]);
    }
    let mut stream = Vec::with_capacity(length + prf.output_bytes());
    let mut block = prf.compute(from.expose(), &[&[0]]);
    loop {
        stream.extend_from_slice(block.expose());
        if stream.len() >= length {
            let stream = Secret::new(stream);
            return Secret::from(&stream.expose()[..length]);
        }
        block = prf.compute(from.expose(), &[block.expose()]);
    }
}

/// The negotiated hash, without a key.
pub(super) fn hash(prf: Prf, parts: &[&[u8]]) -> Vec<u8> {
    fn of<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
        let mut hash = D::new();
        parts.iter().for_each(|part| hash.update(part));
        hash.finalize().to_vec()
    }
    match prf {
        Prf::HmacMd5 => of::<Md5>(parts),
        Prf::HmacSha1 => of::<Sha1>(parts),
        Prf::HmacSha2_256 => of::<Sha256>(parts),
        Prf::HmacSha2_384 => of::<Sha384>(parts),
        Prf::HmacSha2_512 => of::<Sha512>(parts),
    }
}

/// The IV of phase 1 from both public values, and that of an exchange of phase 2 from the last block of phase 1 and the message ID (RFC 2409, B).
pub(super) fn iv(suite: IkeSuite, parts: &[&[u8]]) -> Vec<u8> {
    let mut iv = hash(suite.prf, parts);
    iv.truncate(suite.cipher.iv_bytes());
    iv
}

/// What one side sent in the clear.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) public: &'a [u8],
    pub(super) cookie: IkeSpi,
}

/// HASH_I or HASH_R (RFC 2409, 5), of `own` towards `other`.
pub(super) fn proof(
    prf: Prf,
    prove: &Secret<Vec<u8>>,
    (own, other): (Side<'_>, Side<'_>),
    sa_body: &[u8],
    id_body: &[u8],
) -> Secret<Vec<u8>> {
    let (of_own, of_other) = (own.cookie.to_bytes(), other.cookie.to_bytes());
    let parts = [own.public, other.public, &of_own, &of_other, sa_body, id_body];
    prf.compute(prove.expose(), &parts)
}

#[cfg(test)]
mod tests;

//! The portable kernel: the `aes-gcm` crate, packet by packet. Runs everywhere, and is what the other kernels are checked
//! against. Called by [`super::Kernel`]. Payloads in pieces, which that crate does not know, are put together from its `aes` and from `ghash`.

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::U12;
use aes_gcm::aes::cipher::BlockCipherEncrypt;
use aes_gcm::aes::{self, Aes128, Aes192, Aes256};
use aes_gcm::{AesGcm, KeyInit, Nonce, Tag};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use zeroize::Zeroize;

use super::pieces::{self, Block, Blocks};
use super::{Aad, Form, Job, Key, NONCE_BYTES, TAG_BYTES, Verdict, aad};

/// The crate's own key context, one variant per key length, and beside it the cipher alone, which it does not hand out; each zeroizes itself on drop.
pub(super) enum Context {
    Aes128(AesGcm<Aes128, U12>, Aes128),
    Aes192(AesGcm<Aes192, U12>, Aes192),
    Aes256(AesGcm<Aes256, U12>, Aes256),
}

/// A payload in pieces; its tag.
pub(super) fn pieces<const OPENS: bool>(
    key: &Key,
    nonce: super::Nonce,
    aad: Aad,
    payload: &mut [&mut [u8]],
) -> [u8; TAG_BYTES] {
    with_context(key, |context| {
        pieces::run::<_, OPENS>(Work::new(context, aad::bytes(nonce.words())), aad, payload)
    })
}

/// A key at work on one packet.
struct Work<'k> {
    context: &'k Context,
    /// The last counter block that was used.
    counter: Block,
    ghash: GHash,
}

impl<'k> Work<'k> {
    /// `nonce` has zeros in the counter's place.
    fn new(context: &'k Context, nonce: Block) -> Self {
        let mut key = Block::default();
        context.encrypt(&mut key);
        let ghash = GHash::new(&key.into());
        key.zeroize();
        Self { context, counter: nonce, ghash }
    }
}

impl Blocks for Work<'_> {
    fn stream(&mut self) -> Block {
        // No packet has so many blocks that the counter would reach the nonce.
        self.counter = (u128::from_be_bytes(self.counter) + 1).to_be_bytes();
        let mut block = self.counter;
        self.context.encrypt(&mut block);
        block
    }

    fn blocks<const OPENS: bool>(&mut self, blocks: &mut [Block]) {
        for block in blocks {
            if OPENS {
                self.hash(block);
            }
            *block = (u128::from_ne_bytes(*block) ^ u128::from_ne_bytes(self.stream())).to_ne_bytes();
            if !OPENS {
                self.hash(block);
            }
        }
    }

    fn hash(&mut self, block: &Block) {
        self.ghash.update(&[(*block).into()]);
    }

    fn ghash(&mut self) -> Block {
        self.ghash.clone().finalize().into()
    }
}

/// Seals each job by itself.
pub(super) fn seal(jobs: &mut [Job<'_>]) {
    for job in jobs {
        let (nonce, aad) = (job.nonce(), job.aad());
        with_context(job.key, |context| {
            let (payload, tag) = job.parts();
            *tag = context.seal(&nonce, &aad, payload);
        });
    }
}

/// Opens each job by itself.
pub(super) fn open(jobs: &mut [Job<'_>]) {
    for job in jobs {
        let (nonce, aad) = (job.nonce(), job.aad());
        let authentic = with_context(job.key, |context| {
            let (payload, tag) = job.parts();
            context.open(&nonce, &aad, payload, tag)
        });
        if authentic {
            job.verdict = Verdict::Authentic;
        } else {
            job.reject();
        }
    }
}

/// Hands out the key's context. One that was laid out for a SIMD kernel has none, and gets it made anew for each packet:
/// correct, and slow enough to notice.
fn with_context<T>(key: &Key, work: impl FnOnce(&Context) -> T) -> T {
    match &key.0 {
        #[cfg(target_arch = "x86_64")]
        Form::Simd(material) => work(&Context::new(material.key())),
        Form::Portable(context) => work(context),
    }
}

impl Context {
    /// `bytes` has 16, 24 or 32 bytes.
    pub(super) fn new(bytes: &[u8]) -> Self {
        let context = match bytes.len() {
            16 => Aes128::new_from_slice(bytes).map(|aes| Self::Aes128(aes.clone().into(), aes)),
            24 => Aes192::new_from_slice(bytes).map(|aes| Self::Aes192(aes.clone().into(), aes)),
            _ => Aes256::new_from_slice(bytes).map(|aes| Self::Aes256(aes.clone().into(), aes)),
        };
        context.expect("the key's length was checked")
    }

    /// One block by the cipher alone.
    fn encrypt(&self, block: &mut Block) {
        let mut encrypted = aes::Block::from(*block);
        match self {
            Self::Aes128(_, aes) => aes.encrypt_block(&mut encrypted),
            Self::Aes192(_, aes) => aes.encrypt_block(&mut encrypted),
            Self::Aes256(_, aes) => aes.encrypt_block(&mut encrypted),
        }
        *block = encrypted.into();
    }

    fn seal(&self, nonce: &[u8; NONCE_BYTES], aad: &Aad, payload: &mut [u8]) -> [u8; TAG_BYTES] {
        let nonce = Nonce::<U12>::from(*nonce);
        let (aad, length) = aad.to_bytes();
        let aad = &aad[..length];
        let tag: Result<Tag, _> = match self {
            Self::Aes128(gcm, _) => gcm.encrypt_inout_detached(&nonce, aad, payload.into()),
            Self::Aes192(gcm, _) => gcm.encrypt_inout_detached(&nonce, aad, payload.into()),
            Self::Aes256(gcm, _) => gcm.encrypt_inout_detached(&nonce, aad, payload.into()),
        };
        tag.expect("a job's payload is far below the limit of GCM").into()
    }

    fn open(&self, nonce: &[u8; NONCE_BYTES], aad: &Aad, payload: &mut [u8], tag: &[u8; TAG_BYTES]) -> bool {
        let nonce = Nonce::<U12>::from(*nonce);
        let (aad, length) = aad.to_bytes();
        let aad = &aad[..length];
        let tag = Tag::from(*tag);
        match self {
            Self::Aes128(gcm, _) => gcm.decrypt_inout_detached(&nonce, aad, payload.into(), &tag),
            Self::Aes192(gcm, _) => gcm.decrypt_inout_detached(&nonce, aad, payload.into(), &tag),
            Self::Aes256(gcm, _) => gcm.decrypt_inout_detached(&nonce, aad, payload.into(), &tag),
        }
        .is_ok()
    }
}

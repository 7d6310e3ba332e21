//! The portable kernel: the `aes-gcm` crate, packet by packet. Runs everywhere, and is what the other kernels are checked
//! against. Called by [`super::Kernel`].

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::U12;
use aes_gcm::aes::{Aes128, Aes192, Aes256};
use aes_gcm::{AesGcm, KeyInit, Nonce, Tag};

use super::{Aad, Form, Job, Key, NONCE_BYTES, TAG_BYTES, Verdict};

/// The crate's own key context, one variant per key length; each zeroizes itself on drop.
pub(super) enum Context {
    Aes128(AesGcm<Aes128, U12>),
    Aes192(AesGcm<Aes192, U12>),
    Aes256(AesGcm<Aes256, U12>),
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
            16 => AesGcm::new_from_slice(bytes).map(Self::Aes128),
            24 => AesGcm::new_from_slice(bytes).map(Self::Aes192),
            _ => AesGcm::new_from_slice(bytes).map(Self::Aes256),
        };
        context.expect("the key's length was checked")
    }

    fn seal(&self, nonce: &[u8; NONCE_BYTES], aad: &Aad, payload: &mut [u8]) -> [u8; TAG_BYTES] {
        let nonce = Nonce::<U12>::from(*nonce);
        let (aad, length) = aad.to_bytes();
        let aad = &aad[..length];
        let tag: Result<Tag, _> = match self {
            Self::Aes128(gcm) => gcm.encrypt_inout_detached(&nonce, aad, payload.into()),
            Self::Aes192(gcm) => gcm.encrypt_inout_detached(&nonce, aad, payload.into()),
            Self::Aes256(gcm) => gcm.encrypt_inout_detached(&nonce, aad, payload.into()),
        };
        tag.expect("a job's payload is far below the limit of GCM").into()
    }

    fn open(&self, nonce: &[u8; NONCE_BYTES], aad: &Aad, payload: &mut [u8], tag: &[u8; TAG_BYTES]) -> bool {
        let nonce = Nonce::<U12>::from(*nonce);
        let (aad, length) = aad.to_bytes();
        let aad = &aad[..length];
        let tag = Tag::from(*tag);
        match self {
            Self::Aes128(gcm) => gcm.decrypt_inout_detached(&nonce, aad, payload.into(), &tag),
            Self::Aes192(gcm) => gcm.decrypt_inout_detached(&nonce, aad, payload.into(), &tag),
            Self::Aes256(gcm) => gcm.decrypt_inout_detached(&nonce, aad, payload.into(), &tag),
        }
        .is_ok()
    }
}

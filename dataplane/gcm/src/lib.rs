//! AES-GCM over bursts: seals and opens the ESP payloads of a whole burst in place, whatever mix of keys and sizes it holds.
//!
//! This file holds the face of the kernels (key, job, choice of kernel); the arithmetic is in the others. The data plane's pipeline calls
//! [`Kernel::seal`] and [`Kernel::open`]; the control thread makes the [`Key`]s. NIST SP 800-38D with 96-bit nonces and
//! 128-bit tags, as ESP uses it (RFC 4106, sections 3 to 6).
//!
//! | kernel | instructions | width |
//! | --- | --- | --- |
//! | `vaes512` | AVX-512, VAES, VPCLMULQDQ | four blocks a register |
//! | `vaes256` | AVX2, VAES, VPCLMULQDQ | two blocks a register |
//! | `aesni` | AES-NI, PCLMULQDQ, AVX | one block a register |
//! | `portable` | whatever the `aes-gcm` crate finds | one packet at a time; the oracle for the others |

#[cfg(target_arch = "x86_64")]
mod aesni;
#[cfg(target_arch = "x86_64")]
mod vaes256;
#[cfg(target_arch = "x86_64")]
mod vaes512;

#[cfg(target_arch = "x86_64")]
mod burst;

#[cfg(target_arch = "x86_64")]
mod long;
#[cfg(target_arch = "x86_64")]
mod short;

#[cfg(target_arch = "x86_64")]
mod cipher;
#[cfg(target_arch = "x86_64")]
mod ghash;
#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(target_arch = "x86_64")]
mod limit;
#[cfg(target_arch = "x86_64")]
mod material;
#[cfg(target_arch = "x86_64")]
mod packet;

mod aad;
mod pieces;
mod portable;
mod wipe;

use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::str::FromStr;

pub use aad::{Aad, Nonce};
#[cfg(target_arch = "x86_64")]
pub use limit::Work;
pub use wipe::scrubbed;

use aad::Words;
#[cfg(target_arch = "x86_64")]
use {aesni::Aesni, material::Material, vaes256::Vaes256, vaes512::Vaes512};

/// Length of the integrity check value, in bytes (RFC 4106, section 6: the 16-byte one is the one to use).
pub const TAG_BYTES: usize = 16;
/// Length of the nonce, in bytes: 4 of salt, 8 of IV (RFC 4106, section 4).
pub const NONCE_BYTES: usize = 12;
/// Longest payload of one job, in bytes: no IP packet is longer, and counters and lengths cannot overflow below it.
pub const MAX_PAYLOAD_BYTES: usize = 65_535;

/// The value through which a burst is sealed or opened.
///
/// It exists only for instructions that this CPU has: [`Kernel::detect`] and [`Kernel::named`] are the only ways to get one.
/// Chosen once, at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(Engine);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    #[cfg(target_arch = "x86_64")]
    Vaes512(Vaes512),
    #[cfg(target_arch = "x86_64")]
    Vaes256(Vaes256),
    #[cfg(target_arch = "x86_64")]
    Aesni(Aesni),
    Portable,
}

/// A kernel's name, as configuration, console and benchmarks write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KernelName {
    /// AVX-512 with VAES and VPCLMULQDQ: four blocks an instruction.
    Vaes512,
    /// AVX2 with VAES and VPCLMULQDQ: two blocks an instruction.
    Vaes256,
    /// AES-NI, PCLMULQDQ and AVX: one block an instruction.
    Aesni,
    /// The `aes-gcm` crate.
    Portable,
}

/// Why a kernel cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// The name is none of [`KernelName::ALL`].
    #[error("there is no AES-GCM kernel `{0}`: use vaes512, vaes256, aesni or portable")]
    Unknown(String),
    /// This CPU lacks the kernel's instructions.
    #[error(
        "this CPU lacks the instructions of the AES-GCM kernel `{0}`: leave the choice to the gateway, or use portable"
    )]
    NotOnThisCpu(KernelName),
}

/// A key is 16, 24 or 32 bytes long; this one is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an AES key has 16, 24 or 32 bytes, not {0}")]
pub struct KeyLengthError(pub usize);

/// An expanded AES-GCM key, laid out for one kernel; zeroized on drop, never copied, never printed.
///
/// Made by the control thread, because it may allocate, and dropped by it. Any kernel takes any key: one laid out for another
/// kernel works, only slower.
pub struct Key(Form);

#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the one that matters: a hot SA has its key inside"
)]
enum Form {
    #[cfg(target_arch = "x86_64")]
    Simd(Material),
    Portable(Box<portable::Context>),
}

/// One packet's work: key, nonce, AAD and the bytes to transform in place.
pub struct Job<'a> {
    key: &'a Key,
    /// Start of `length` payload bytes and, behind them, the tag, all borrowed for `'a`. A pointer, because kernels work on several
    /// jobs at a time and read whole blocks, of which the last may reach into the tag.
    payload: NonNull<u8>,
    /// At most [`MAX_PAYLOAD_BYTES`].
    length: usize,
    /// The nonce, then zeros where a counter block has its counter (SP 800-38D, 7.1).
    nonce: Words,
    /// Additional authenticated data, then zeros.
    aad: Words,
    /// Bits of payload and of additional data (SP 800-38D, 7.1, step 5, from right to left).
    lengths: [u64; 2],
    verdict: Verdict,
    borrowed: PhantomData<&'a mut [u8]>,
}

/// What [`Kernel::open`] found out about a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not opened (yet).
    Pending,
    /// The tag fits; the payload is plaintext now.
    Authentic,
    /// The tag does not fit; the payload is zeros now, the tag is as it came.
    Forged,
}

impl Kernel {
    /// The fastest kernel that this CPU can run.
    #[must_use]
    pub fn detect() -> Self {
        KernelName::ALL.into_iter().find_map(|name| Self::named(name).ok()).unwrap_or(Self(Engine::Portable))
    }

    /// The kernel of that name.
    ///
    /// # Errors
    /// [`KernelError::NotOnThisCpu`] where the CPU lacks its instructions.
    pub fn named(name: KernelName) -> Result<Self, KernelError> {
        match name {
            #[cfg(target_arch = "x86_64")]
            KernelName::Vaes512 => Vaes512::detect().map(Engine::Vaes512),
            #[cfg(target_arch = "x86_64")]
            KernelName::Vaes256 => Vaes256::detect().map(Engine::Vaes256),
            #[cfg(target_arch = "x86_64")]
            KernelName::Aesni => Aesni::detect().map(Engine::Aesni),
            KernelName::Portable => Some(Engine::Portable),
            #[cfg(not(target_arch = "x86_64"))]
            KernelName::Vaes512 | KernelName::Vaes256 | KernelName::Aesni => None,
        }
        .map(Self)
        .ok_or(KernelError::NotOnThisCpu(name))
    }

    /// All kernels that this CPU can run, fastest first.
    pub fn available() -> impl Iterator<Item = Self> {
        KernelName::ALL.into_iter().filter_map(|name| Self::named(name).ok())
    }

    /// Which kernel this is.
    #[must_use]
    pub fn name(self) -> KernelName {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Engine::Vaes512(_) => KernelName::Vaes512,
            #[cfg(target_arch = "x86_64")]
            Engine::Vaes256(_) => KernelName::Vaes256,
            #[cfg(target_arch = "x86_64")]
            Engine::Aesni(_) => KernelName::Aesni,
            Engine::Portable => KernelName::Portable,
        }
    }

    /// Encrypts the payload of each job in place and writes its tag behind it.
    ///
    /// The caller answers for nonces: one that repeats under a key gives the key away (SP 800-38D, section 8).
    pub fn seal(self, jobs: &mut [Job<'_>]) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Engine::Vaes512(token) => token.seal(jobs),
            #[cfg(target_arch = "x86_64")]
            Engine::Vaes256(token) => token.seal(jobs),
            #[cfg(target_arch = "x86_64")]
            Engine::Aesni(token) => token.seal(jobs),
            Engine::Portable => portable::seal(jobs),
        }
    }

    /// Checks the tag of each job and decrypts its payload in place; [`Job::verdict`] says how it went.
    ///
    /// A forged job's payload is overwritten with zeros: nothing that was decrypted under it can be read by mistake. Tags are
    /// compared in constant time. One job's fate has no influence on another's.
    pub fn open(self, jobs: &mut [Job<'_>]) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Engine::Vaes512(token) => token.open(jobs),
            #[cfg(target_arch = "x86_64")]
            Engine::Vaes256(token) => token.open(jobs),
            #[cfg(target_arch = "x86_64")]
            Engine::Aesni(token) => token.open(jobs),
            Engine::Portable => portable::open(jobs),
        }
    }

    /// Does, `blocks` times, only the part of the work that no kernel of this width can do without; `false` for a kernel without
    /// a width, or a key of another kernel. For benchmarks.
    #[cfg(target_arch = "x86_64")]
    #[must_use]
    pub fn limit(self, key: &Key, blocks: usize, work: Work) -> bool {
        let Some(key) = key.simd() else { return false };
        match self.0 {
            Engine::Vaes512(token) => token.limit(key, blocks, work),
            Engine::Vaes256(token) => token.limit(key, blocks, work),
            Engine::Aesni(token) => token.limit(key, blocks, work),
            Engine::Portable => return false,
        }
        true
    }
}

impl Key {
    /// Expands an AES-128, AES-192 or AES-256 key and lays it out for `kernel`. Allocates; takes about a microsecond.
    ///
    /// # Errors
    /// [`KeyLengthError`] unless `bytes` has 16, 24 or 32 bytes.
    pub fn new(kernel: Kernel, bytes: &[u8]) -> Result<Self, KeyLengthError> {
        if ![16, 24, 32].contains(&bytes.len()) {
            return Err(KeyLengthError(bytes.len()));
        }
        Ok(Self(match kernel.0 {
            #[cfg(target_arch = "x86_64")]
            Engine::Vaes512(token) => Form::Simd(Material::new(token.into(), bytes)),
            #[cfg(target_arch = "x86_64")]
            Engine::Vaes256(token) => Form::Simd(Material::new(token.into(), bytes)),
            #[cfg(target_arch = "x86_64")]
            Engine::Aesni(token) => Form::Simd(Material::new(token, bytes)),
            Engine::Portable => Form::Portable(Box::new(portable::Context::new(bytes))),
        }))
    }

    /// The form that SIMD kernels read, if it was made for one of them.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn simd(&self) -> Option<&Material> {
        match &self.0 {
            Form::Simd(material) => Some(material),
            Form::Portable(_) => None,
        }
    }
}

// Twelve cache lines, with no thirteenth for the choice of form.
const _: () = assert!(size_of::<Key>() <= 768);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

impl<'a> Job<'a> {
    /// A job over `data`, which is the payload followed by [`TAG_BYTES`] for the tag (to be written by seal, read by open).
    ///
    /// For ESP: `data` runs from behind the IV to the end of the packet, `aad` is the ESP header (with the upper half of the
    /// sequence number under ESN), `nonce` is salt then IV. `None` if `data` is shorter than a tag or its payload longer than
    /// [`MAX_PAYLOAD_BYTES`].
    #[must_use]
    #[inline(always)]
    pub fn new(key: &'a Key, nonce: impl Into<Nonce>, aad: Aad, data: &'a mut [u8]) -> Option<Self> {
        let length = data.len().checked_sub(TAG_BYTES).filter(|&length| length <= MAX_PAYLOAD_BYTES)?;
        Some(Self {
            key,
            payload: NonNull::from(data).cast(),
            length,
            nonce: nonce.into().words(),
            aad: aad.words(),
            lengths: [8 * length as u64, 8 * u64::from(aad.length())],
            verdict: Verdict::Pending,
            borrowed: PhantomData,
        })
    }

    /// What [`Kernel::open`] found.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Payload and tag.
    fn parts(&mut self) -> (&mut [u8], &mut [u8; TAG_BYTES]) {
        // SAFETY: `new` took `length` bytes and the tag's behind them out of one exclusive borrow that lasts for `'a`; the two parts
        // do not overlap, and neither outlives the borrow of `self`.
        unsafe {
            let payload = std::slice::from_raw_parts_mut(self.payload.as_ptr(), self.length);
            (payload, &mut *self.payload.as_ptr().add(self.length).cast())
        }
    }

    /// The tag does not fit: leaves no plaintext behind.
    #[cold]
    fn reject(&mut self) {
        self.parts().0.fill(0);
        self.verdict = Verdict::Forged;
    }

    fn nonce(&self) -> [u8; NONCE_BYTES] {
        let bytes = aad::bytes(self.nonce);
        std::array::from_fn(|i| bytes[i])
    }

    fn aad(&self) -> Aad {
        #[expect(clippy::cast_possible_truncation, reason = "at most 16 bytes")]
        Aad::of_words(self.aad, (self.lengths[1] / 8) as u8)
    }
}

impl KernelName {
    /// Every kernel, fastest first.
    pub const ALL: [Self; 4] = [Self::Vaes512, Self::Vaes256, Self::Aesni, Self::Portable];

    /// The name as configuration and console write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vaes512 => "vaes512",
            Self::Vaes256 => "vaes256",
            Self::Aesni => "aesni",
            Self::Portable => "portable",
        }
    }
}

impl fmt::Display for KernelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KernelName {
    type Err = KernelError;

    fn from_str(text: &str) -> Result<Self, KernelError> {
        Self::ALL
            .into_iter()
            .find(|name| name.as_str() == text)
            .ok_or_else(|| KernelError::Unknown(text.to_owned()))
    }
}

#[cfg(test)]
mod tests;

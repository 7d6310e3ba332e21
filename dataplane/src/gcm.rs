//! AES-GCM over bursts: seals and opens the ESP payloads of a whole burst in place, whatever mix of keys and sizes it holds.
//!
//! Holds the face of the kernels (key, job, choice of kernel); the arithmetic is in the files of `gcm/`. The pipeline calls
//! [`Kernel::seal`] and [`Kernel::open`]; the control thread makes the [`Key`]s. NIST SP 800-38D with 96-bit nonces and
//! 128-bit tags, as ESP uses it (RFC 4106, sections 3 to 6).
//!
//! | kernel | instructions | width |
//! | --- | --- | --- |
//! | `portable` | whatever the `aes-gcm` crate finds | one packet at a time; the oracle for the others |

mod portable;

use std::fmt;
use std::str::FromStr;

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
    Portable,
}

/// A kernel's name, as configuration, console and benchmarks write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KernelName {
    /// AVX-512 with VAES and VPCLMULQDQ: four blocks an instruction.
    Vaes512,
    /// AVX2 with VAES and VPCLMULQDQ: two blocks an instruction.
    Vaes256,
    /// AES-NI and PCLMULQDQ: one block an instruction.
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
pub struct Key {
    context: Box<portable::Context>,
}

/// Additional authenticated data of one packet: 8 bytes without ESN, 12 with it (RFC 4106, section 5); at most 16 are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aad {
    bytes: [u8; 16], // zeros behind `len`: GHASH reads it as one padded block
    len: u8,
}

/// One packet's work: key, nonce, AAD and the bytes to transform in place.
pub struct Job<'a> {
    key: &'a Key,
    data: &'a mut [u8], // payload, then the tag: never shorter than the tag, never longer than MAX_PAYLOAD_BYTES + TAG_BYTES
    nonce: [u8; NONCE_BYTES],
    aad: Aad,
    verdict: Verdict,
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
            KernelName::Portable => Ok(Self(Engine::Portable)),
            _ => Err(KernelError::NotOnThisCpu(name)),
        }
    }

    /// All kernels that this CPU can run, fastest first.
    pub fn available() -> impl Iterator<Item = Self> {
        KernelName::ALL.into_iter().filter_map(|name| Self::named(name).ok())
    }

    /// Which kernel this is.
    #[must_use]
    pub fn name(self) -> KernelName {
        match self.0 {
            Engine::Portable => KernelName::Portable,
        }
    }

    /// Encrypts the payload of each job in place and writes its tag behind it.
    ///
    /// The caller answers for nonces: one that repeats under a key gives the key away (SP 800-38D, section 8).
    pub fn seal(self, jobs: &mut [Job<'_>]) {
        match self.0 {
            Engine::Portable => portable::seal(jobs),
        }
    }

    /// Checks the tag of each job and decrypts its payload in place; [`Job::verdict`] says how it went.
    ///
    /// A forged job's payload is overwritten with zeros: nothing that was decrypted under it can be read by mistake. Tags are
    /// compared in constant time. One job's fate has no influence on another's.
    pub fn open(self, jobs: &mut [Job<'_>]) {
        match self.0 {
            Engine::Portable => portable::open(jobs),
        }
    }
}

impl Key {
    /// Expands an AES-128, AES-192 or AES-256 key and lays it out for `kernel`. Allocates; takes about a microsecond.
    ///
    /// # Errors
    /// [`KeyLengthError`] unless `bytes` has 16, 24 or 32 bytes.
    pub fn new(kernel: Kernel, bytes: &[u8]) -> Result<Self, KeyLengthError> {
        match kernel.0 {
            Engine::Portable => Ok(Self { context: Box::new(portable::Context::new(bytes)?) }),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

impl Aad {
    /// Takes the bytes as they are authenticated: SPI and sequence number (8 bytes), or SPI and extended sequence number (12).
    /// More than 16 bytes do not compile.
    #[must_use]
    pub fn new<const N: usize>(bytes: &[u8; N]) -> Self {
        const { assert!(N <= 16) };
        let mut padded = [0; 16];
        padded[..N].copy_from_slice(bytes);
        #[expect(clippy::cast_possible_truncation, reason = "N is at most 16, asserted above")]
        Self { bytes: padded, len: N as u8 }
    }

    /// The bytes as given.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl<'a> Job<'a> {
    /// A job over `data`, which is the payload followed by [`TAG_BYTES`] for the tag (to be written by seal, read by open).
    ///
    /// For ESP: `data` runs from behind the IV to the end of the packet, `aad` is the ESP header (with the upper half of the
    /// sequence number under ESN), `nonce` is salt then IV. `None` if `data` is shorter than a tag or its payload longer than
    /// [`MAX_PAYLOAD_BYTES`].
    #[must_use]
    pub fn new(key: &'a Key, nonce: [u8; NONCE_BYTES], aad: Aad, data: &'a mut [u8]) -> Option<Self> {
        let fits = (TAG_BYTES..=MAX_PAYLOAD_BYTES + TAG_BYTES).contains(&data.len());
        fits.then_some(Self { key, data, nonce, aad, verdict: Verdict::Pending })
    }

    /// What [`Kernel::open`] found.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Payload and tag, apart. `new` saw to it that there is a tag.
    fn split(&mut self) -> (&mut [u8], &mut [u8; TAG_BYTES]) {
        self.data.split_last_chunk_mut().expect("a job's data holds at least a tag")
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

//! The keys of an SA in one direction: those of AES-GCM, or of any other transform. The control thread hands [`Keys`] in; SAs keep them behind a pointer,
//! an outbound SA behind one that its successor shares. The seal and open stages look here which way a packet goes.

use std::sync::Arc;

use crate::counter::Counter;
use crate::gcm::Key;
use crate::transform::{Opener, Sealer, Shape};

/// What protects an SA's packets: `T` is [`Sealer`] outbound, [`Opener`] inbound.
#[expect(clippy::large_enum_variant, reason = "handed over once, when an SA is made")]
pub enum Keys<T> {
    /// AES-GCM with a 16-byte ICV (RFC 4106): a burst at a time.
    AesGcm {
        /// The key, expanded.
        key: Key,
        /// First four bytes of the nonce (RFC 4106, 4).
        salt: [u8; 4],
    },
    /// Any other transform: packet by packet.
    Other(T),
}

/// Outbound, as workers read them.
#[derive(Clone)]
pub(crate) enum SealKeys {
    AesGcm { salt: [u8; 4], key: Arc<Key> },
    Other(Arc<Sealer>),
}

/// Inbound, as the home worker reads them.
pub(crate) enum OpenKeys {
    AesGcm { salt: [u8; 4], key: Box<Key> },
    Other(Box<Opener>),
}

impl SealKeys {
    /// What the transform adds to a packet.
    #[inline]
    pub(crate) fn shape(&self) -> Shape {
        match self {
            Self::AesGcm { .. } => Shape::AES_GCM,
            Self::Other(sealer) => sealer.shape(),
        }
    }

    /// Not an AES-GCM key: the kernels ask for that when its turn is near. A CPU drops most of what is asked for at once, and 12 lines for each of a
    /// burst's SAs would be at the cost of all the rest.
    #[inline]
    pub(super) fn prefetch(&self) {
        match self {
            Self::AesGcm { .. } => {}
            Self::Other(sealer) => dpdk_sys::prefetch(&**sealer),
        }
    }
}

impl OpenKeys {
    /// As [`Shape::holds`]; what AES-GCM needs is compiled in.
    #[inline(always)] // called in one place, once a packet
    pub(crate) fn holds(&self, rest_bytes: usize) -> Result<(), Counter> {
        match self {
            Self::AesGcm { .. } => Shape::AES_GCM.holds(rest_bytes),
            Self::Other(opener) => opener.shape().holds(rest_bytes),
        }
    }

    /// What the transform takes off a packet.
    #[inline(always)] // called once a packet
    pub(crate) fn shape(&self) -> Shape {
        match self {
            Self::AesGcm { .. } => Shape::AES_GCM,
            Self::Other(opener) => opener.shape(),
        }
    }

    /// Not an AES-GCM key: the kernels ask for that when its turn is near. A CPU drops most of what is asked for at once, and 12 lines for each of a
    /// burst's SAs would be at the cost of all the rest.
    #[inline]
    pub(super) fn prefetch(&self) {
        match self {
            Self::AesGcm { .. } => {}
            Self::Other(opener) => dpdk_sys::prefetch(&**opener),
        }
    }
}

impl From<Keys<Sealer>> for SealKeys {
    fn from(keys: Keys<Sealer>) -> Self {
        match keys {
            Keys::AesGcm { key, salt } => Self::AesGcm { salt, key: Arc::new(key) },
            Keys::Other(sealer) => Self::Other(Arc::new(sealer)),
        }
    }
}

impl From<Keys<Opener>> for OpenKeys {
    fn from(keys: Keys<Opener>) -> Self {
        match keys {
            Keys::AesGcm { key, salt } => Self::AesGcm { salt, key: Box::new(key) },
            Keys::Other(opener) => Self::Other(Box::new(opener)),
        }
    }
}

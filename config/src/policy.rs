//! IPsec/IKE policy of a connection: which algorithms are offered and accepted, and for how long keys live.

pub mod algorithm;

use std::num::NonZeroU64;
use std::time::Duration;

use algorithm::{DhGroup, IkeEncryption, IkeIntegrity, IpsecEncryption, PfsGroup, Prf};

use crate::choice::Choice;

/// One proposal for the IKE SA (RFC 7296, 3.3): any one of each list. Lists are in order of preference.
///
/// Combined-mode and other ciphers never meet in one proposal (RFC 7296, 3.3): `encryption` holds either only AES-GCM
/// and then `integrity` is empty, or only AES-CBC and then it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IkeProposal {
    /// Ciphers; at least one.
    pub encryption: Vec<IkeEncryption>,
    /// Integrity algorithms; empty for AES-GCM.
    pub integrity: Vec<IkeIntegrity>,
    /// Pseudo-random functions; at least one.
    pub prf: Vec<Prf>,
    /// Key exchange groups; at least one. The first is the one that an initiator guesses.
    pub dh_groups: Vec<DhGroup>,
}

/// The proposal for Child SAs (ESP): any one of each list. Lists are in order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpsecProposal {
    /// Ciphers; at least one. All are combined-mode, so there is no integrity algorithm.
    pub encryption: Vec<IpsecEncryption>,
    /// Groups for perfect forward secrecy when Child SAs are made or rekeyed by CREATE_CHILD_SA; at least one entry.
    pub pfs_groups: Vec<PfsGroup>,
    /// Extended sequence numbers.
    pub esn: Esn,
}

/// Extended sequence numbers (RFC 4304).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Esn {
    /// Offer both, extended first.
    Prefer,
    /// Nothing but extended ones.
    Require,
    /// Nothing but 32-bit ones.
    Off,
}

impl Choice for Esn {
    const WORDS: &'static [(&'static str, Self)] =
        &[("Prefer", Self::Prefer), ("Require", Self::Require), ("Off", Self::Off)];
}

/// Algorithms and lifetimes of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Proposals for the IKE SA in order of preference; one or two.
    pub ike: Vec<IkeProposal>,
    /// The proposal for Child SAs.
    pub ipsec: IpsecProposal,
    /// A Child SA is rekeyed before it is this old; 300 s to 172,799 s.
    pub sa_lifetime: Duration,
    /// A Child SA is rekeyed before it has carried this many KiB in one direction; at least 1024.
    pub sa_data_size_kib: NonZeroU64,
    /// The IKE SA is rekeyed before it is this old; 300 s to 172,799 s.
    pub ike_lifetime: Duration,
    /// Size of the replay window (RFC 4303, 3.4.3) in packets: a power of two, 32 to 4096.
    pub replay_window_packets: u16,
}

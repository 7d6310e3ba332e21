//! Why a system cannot be the other side, with the way out.

use crossgate_pki::KeyKind;

use crate::{Identity, Name};

/// Why there is no such configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerConfigError {
    /// The system lacks what the policy demands.
    #[error("{system} has none of the {what} of this connection: add {remedy} to its policy")]
    NoCommonGround {
        /// The system's word.
        system: &'static str,
        /// Groups, ciphers.
        what: &'static str,
        /// A setting that it has.
        remedy: &'static str,
    },
    /// The system has no word for the identity.
    #[error("{system} has no identity like {identity}: give the connection another one")]
    Identity {
        /// The system's word.
        system: &'static str,
        /// The identity.
        identity: Identity,
    },
    /// The system cannot be given the key.
    #[error("{system} cannot take a key with {character:?}: give both sides a key without it")]
    Key {
        /// The system's word.
        system: &'static str,
        /// What the key holds.
        character: char,
    },
    /// There is no other side of one's own.
    #[error("the connection is the gateway's clients: docs/clients.md shows how a client is set")]
    Clients,
    /// The system cannot check our certificate.
    #[error(
        "{system} takes certificates with keys of {takes}, and the gateway's has a key of {kind}: give it another one"
    )]
    CertificateKey {
        /// The system's word.
        system: &'static str,
        /// The kinds that it takes.
        takes: &'static str,
        /// The kind that it has.
        kind: KeyKind,
    },
    /// There are no words for the post-quantum pre-shared key.
    #[error(
        "the connection has a post-quantum pre-shared key (PPK), which is written for strongswan and crossgate only, not for {system}"
    )]
    Ppk {
        /// The system's word.
        system: &'static str,
    },
    /// The other side assigns this side its address.
    #[error(
        "the other side assigns this connection its address (request_addresses), which is written for strongswan only, not for {system}: set that side by hand; of a crossgate it is a gateway's vpn_client_configuration (docs/clients.md)"
    )]
    Assigns {
        /// The system's word.
        system: &'static str,
    },
    /// The system takes what lies between two pairs of prefixes into one tunnel.
    #[error(
        "{system} has one tunnel for each pair of prefixes, and an active-active gateway asks for two: {remedy}"
    )]
    SecondTunnel {
        /// The system's word.
        system: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// There are no words for IKEv1.
    #[error(
        "the connection speaks IKEv1, which is written for strongswan, libreswan and crossgate only, not for {system}: set that side by hand, as docs/peers.md shows"
    )]
    IkeV1 {
        /// The system's word.
        system: &'static str,
    },
    /// This side begins by asking for everything, and the system takes only what it has a pair of prefixes for.
    #[error(
        "{system} has a pair of prefixes for each tunnel, and this connection begins by asking for everything: add use_policy_based_traffic_selectors = true to it, or mode = \"ResponderOnly\""
    )]
    AnyToAny {
        /// The system's word.
        system: &'static str,
    },
    /// The other side is a gateway of another network on another appliance.
    #[error(
        "the connection leads to a gateway of another network (Vnet2Vnet), which is a crossgate, not {system}: write it for crossgate, or make it an IPsec connection"
    )]
    Vnet2Vnet {
        /// The system's word.
        system: &'static str,
    },
    /// The other side is a gateway of the same file.
    #[error("the connection leads to the gateway {0} of this appliance: its other end is in the same file")]
    SameAppliance(Name),
}

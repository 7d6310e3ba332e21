//! NAT detection (RFC 7296, 2.23): hashes of the addresses that each side believes in, and the path that follows from what they show. IKEv1 hashes otherwise
//! (`v1/nat.rs`) and takes the same path.
//!
//! IKE_SA_INIT puts them into NAT_DETECTION_SOURCE_IP and NAT_DETECTION_DESTINATION_IP and compares the peer's. SHA-1 is
//! what the RFC says; nothing depends on its strength.

use std::net::{IpAddr, SocketAddr};

use sha1::{Digest, Sha1};

use crate::crypto::keys::IkeSpis;
use crate::endpoint::NAT_PORT;
use crate::event::{Encapsulation, Path, Role};
use crate::notice::What;
use crate::sa::{Arrived, Cx};

/// Data of a NAT_DETECTION notification: SHA-1(SPIi | SPIr | address | port).
///
/// In an IKE_SA_INIT request the responder's SPI is [`crate::wire::IkeSpi::NONE`].
pub fn detection(spis: IkeSpis, address: SocketAddr) -> [u8; 20] {
    let mut hash = Sha1::new();
    hash.update(spis.initiator.to_bytes());
    hash.update(spis.responder.to_bytes());
    match address.ip() {
        IpAddr::V4(ip) => hash.update(ip.octets()),
        IpAddr::V6(ip) => hash.update(ip.octets()),
    }
    hash.update(address.port().to_be_bytes());
    hash.finalize().into()
}

/// What follows from the NATs that `path` says there are: ESP travels in UDP, also where it is `forced`, and the initiator moves to port 4500 (RFC 7296, 2.23;
/// RFC 3947, 4) unless it is there already, or on a port that a NAT made of it, as when an SA replaces another.
pub(crate) fn traversed(
    mut path: Path,
    forced: bool,
    role: Role,
    arrived: &Arrived<'_>,
    cx: &mut Cx<'_>,
) -> Path {
    let found = path.nat_before_us || path.nat_before_peer;
    if found {
        cx.note_from(What::NatFound, arrived.remote);
    }
    if found || forced {
        path.encapsulation = Encapsulation::Udp;
        if role == Role::Initiator && path.local.port() != NAT_PORT {
            path.local.set_port(NAT_PORT);
            path.remote.set_port(NAT_PORT);
        }
    }
    path
}

impl Path {
    /// Whether to follow a peer that comes from elsewhere: its NAT changed its mapping. Not where a NAT is before us: then the change may be our own (RFC 7296, 2.23).
    pub(crate) const fn follows_nat(&self) -> bool {
        self.nat_before_peer && !self.nat_before_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::IkeSpi;

    #[test]
    fn hash_covers_spis_address_and_port() {
        let spis = IkeSpis { initiator: IkeSpi(1), responder: IkeSpi::NONE };
        let address: SocketAddr = "192.0.2.1:500".parse().unwrap();
        let hash = detection(spis, address);
        assert_ne!(hash, detection(spis, "192.0.2.1:501".parse().unwrap()));
        assert_ne!(hash, detection(spis, "192.0.2.2:500".parse().unwrap()));
        assert_ne!(hash, detection(IkeSpis { responder: IkeSpi(2), ..spis }, address));
    }
}

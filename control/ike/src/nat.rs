//! NAT detection (RFC 7296, 2.23): hashes of the addresses that each side believes in.
//!
//! IKE_SA_INIT puts them into NAT_DETECTION_SOURCE_IP and NAT_DETECTION_DESTINATION_IP and compares the peer's. SHA-1 is
//! what the RFC says; nothing depends on its strength.

use std::net::{IpAddr, SocketAddr};

use sha1::{Digest, Sha1};

use crate::crypto::keys::IkeSpis;

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

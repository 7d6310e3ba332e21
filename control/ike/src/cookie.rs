//! Cookies for a responder under load (RFC 7296, 2.6): it proves that the initiator receives at its address, and costs
//! us no state.
//!
//! `Endpoint` asks for one when too many IKE SAs are half open, and rotates the secret now and then.

use std::net::{IpAddr, SocketAddr};

use crate::crypto::prf::Prf;
use crate::secret::Secret;
use crate::wire::IkeSpi;

const SECRET_BYTES: usize = 32;

/// Makes and checks cookies: version | HMAC-SHA-256(secret, Ni | address | port | SPIi).
#[derive(Debug, Default)]
pub struct Cookies {
    /// Version counts the rotations, so that a cookie says which secret made it.
    version: u32,
    current: Option<Secret<Vec<u8>>>,
    previous: Option<Secret<Vec<u8>>>,
}

impl Cookies {
    /// Takes a new secret; cookies of the one before stay valid until the next rotation.
    pub fn rotate(&mut self, random: &mut dyn FnMut(&mut [u8])) {
        let mut secret = vec![0; SECRET_BYTES];
        random(&mut secret);
        self.previous = self.current.replace(Secret::new(secret));
        self.version = self.version.wrapping_add(1);
    }

    /// The cookie for an initiator; `None` before the first rotation.
    pub fn issue(&self, nonce: &[u8], remote: SocketAddr, initiator: IkeSpi) -> Option<Vec<u8>> {
        let mac = mac(self.current.as_ref()?, nonce, remote, initiator);
        Some([self.version.to_be_bytes().as_slice(), mac.expose()].concat())
    }

    /// Whether `cookie` is one that was issued for the same initiator, by the current secret or the one before.
    pub fn is_valid(&self, cookie: &[u8], nonce: &[u8], remote: SocketAddr, initiator: IkeSpi) -> bool {
        let Some((version, given)) = cookie.split_first_chunk() else { return false };
        let secret = match self.version.wrapping_sub(u32::from_be_bytes(*version)) {
            0 => &self.current,
            1 => &self.previous,
            _ => return false,
        };
        secret.as_ref().is_some_and(|secret| mac(secret, nonce, remote, initiator).matches(given))
    }
}

fn mac(secret: &Secret<Vec<u8>>, nonce: &[u8], remote: SocketAddr, initiator: IkeSpi) -> Secret<Vec<u8>> {
    let address = match remote.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    // The nonce is the only part without a fixed length, and comes first: nothing else can pass for its end.
    let parts: [&[u8]; 4] = [nonce, &address, &remote.port().to_be_bytes(), &initiator.to_bytes()];
    Prf::HmacSha2_256.compute(secret.expose(), &parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_for_the_same_initiator_and_one_rotation() {
        let mut cookies = Cookies::default();
        let (nonce, remote, spi) = ([7; 32], "192.0.2.1:500".parse().unwrap(), IkeSpi(5));
        assert_eq!(cookies.issue(&nonce, remote, spi), None);
        cookies.rotate(&mut |out| out.fill(1));
        let cookie = cookies.issue(&nonce, remote, spi).unwrap();
        assert!(cookie.len() <= 64, "RFC 7296, 2.6");
        assert!(cookies.is_valid(&cookie, &nonce, remote, spi));
        assert!(!cookies.is_valid(&cookie, &nonce, "192.0.2.1:501".parse().unwrap(), spi));
        assert!(!cookies.is_valid(&cookie, &nonce, remote, IkeSpi(6)));
        assert!(!cookies.is_valid(&cookie[..35], &nonce, remote, spi));
        cookies.rotate(&mut |out| out.fill(2));
        assert!(cookies.is_valid(&cookie, &nonce, remote, spi));
        cookies.rotate(&mut |out| out.fill(3));
        assert!(!cookies.is_valid(&cookie, &nonce, remote, spi));
    }
}

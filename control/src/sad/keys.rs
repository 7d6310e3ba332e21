//! Negotiated suites as the data plane's transforms, and keying material as its keys (RFC 7296, 2.17: the cipher's key first, then the integrity
//! algorithm's; RFC 4106, 8.1: a salt behind the key). Called when a pair is installed.

use crossgate_dataplane::gcm::{Kernel, Key};
use crossgate_dataplane::sa::Keys;
use crossgate_dataplane::transform::{Cipher, Integrity, Opener, Sealer, Transform};
use crossgate_ike::crypto::suite::{EspSuite, Integrity as IkeIntegrity, KeyBits};
use crossgate_ike::event::EspHalf;
use zeroize::Zeroizing;

use super::InstallError;

/// RFC 4106, 4: the salt stands at the end of the keying material.
const SALT_BYTES: usize = 4;

/// What opens packets from the peer.
pub(super) fn inbound(suite: EspSuite, kernel: Kernel, half: &EspHalf) -> Result<Keys<Opener>, InstallError> {
    let material = half.key.expose();
    match transform(suite) {
        None => aes_gcm(kernel, material),
        Some(transform) => Opener::new(transform, material).map(Keys::Other).map_err(|_| wrong(material)),
    }
}

/// What seals packets to the peer; a CBC mode's IVs come from a key that is drawn here and serves this SA alone.
pub(super) fn outbound(
    suite: EspSuite,
    kernel: Kernel,
    half: &EspHalf,
) -> Result<Keys<Sealer>, InstallError> {
    let material = half.key.expose();
    match transform(suite) {
        None => aes_gcm(kernel, material),
        Some(transform) => {
            let mut iv_key = Zeroizing::new([0; 16]);
            getrandom::fill(&mut *iv_key).expect("the operating system gives randomness");
            let sealer = Sealer::new(transform, material, &iv_key);
            sealer.map(Keys::Other).map_err(|_| wrong(material))
        }
    }
}

fn aes_gcm<T>(kernel: Kernel, material: &[u8]) -> Result<Keys<T>, InstallError> {
    let (key, salt) = material.split_last_chunk::<SALT_BYTES>().ok_or_else(|| wrong(material))?;
    Ok(Keys::AesGcm { key: Key::new(kernel, key).map_err(|_| wrong(material))?, salt: *salt })
}

fn wrong(material: &[u8]) -> InstallError {
    InstallError::KeyLength(material.len())
}

/// `None` for AES-GCM, whose bursts have kernels of their own.
fn transform(suite: EspSuite) -> Option<Transform> {
    Some(match suite {
        EspSuite::AesGcm16(_) => return None,
        EspSuite::ChaCha20Poly1305 => Transform::ChaCha20Poly1305,
        EspSuite::AesCbc(bits, with) => {
            let cipher = match bits {
                KeyBits::B128 => Cipher::AesCbc128,
                KeyBits::B192 => Cipher::AesCbc192,
                KeyBits::B256 => Cipher::AesCbc256,
            };
            Transform::Separate(cipher, integrity(with))
        }
        EspSuite::TripleDesCbc(with) => Transform::Separate(Cipher::TripleDesCbc, integrity(with)),
        EspSuite::DesCbc(with) => Transform::Separate(Cipher::DesCbc, integrity(with)),
        EspSuite::Null(with) => Transform::Separate(Cipher::Null, integrity(with)),
    })
}

fn integrity(integrity: IkeIntegrity) -> Integrity {
    match integrity {
        IkeIntegrity::HmacMd5_96 => Integrity::HmacMd5_96,
        IkeIntegrity::HmacSha1_96 => Integrity::HmacSha1_96,
        IkeIntegrity::HmacSha2_256_128 => Integrity::HmacSha2_256_128,
        IkeIntegrity::HmacSha2_384_192 => Integrity::HmacSha2_384_192,
        IkeIntegrity::HmacSha2_512_256 => Integrity::HmacSha2_512_256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The core cuts keying material by its suite, the data plane by its transform.
    #[test]
    fn core_and_data_plane_agree_about_every_length() {
        let integrities = [
            IkeIntegrity::HmacMd5_96,
            IkeIntegrity::HmacSha1_96,
            IkeIntegrity::HmacSha2_256_128,
            IkeIntegrity::HmacSha2_384_192,
            IkeIntegrity::HmacSha2_512_256,
        ];
        let separate = integrities.into_iter().flat_map(|with| {
            let cbc = [KeyBits::B128, KeyBits::B192, KeyBits::B256].map(|bits| EspSuite::AesCbc(bits, with));
            cbc.into_iter().chain([
                EspSuite::TripleDesCbc(with),
                EspSuite::DesCbc(with),
                EspSuite::Null(with),
            ])
        });
        for suite in separate.chain([EspSuite::ChaCha20Poly1305]) {
            let transform = transform(suite).expect("not AES-GCM");
            assert_eq!(transform.key_bytes(), suite.key_bytes(), "{suite}");
            let icv_bytes = suite.integrity().map_or(16, IkeIntegrity::icv_bytes);
            assert_eq!(usize::from(transform.shape().icv_bytes), icv_bytes, "{suite}");
        }
    }
}

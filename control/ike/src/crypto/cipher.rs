//! Encryption and integrity of IKE messages: AES-GCM (RFC 5282), and AES, triple DES or DES in CBC mode with HMAC (RFC 7296, 3.14; RFC 4868).
//!
//! Called by [`crate::protect`] alone, which decides what is covered: here a message is `head` (covered, not encrypted)
//! and content.

use aes::cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, KeyInit, KeyIvInit};
use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::U12;
use aes_gcm::{AesGcm, Tag};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::keys::MessageKeys;
use super::suite::{GCM_SALT_BYTES, IkeCipher, Integrity, KeyBits};

/// Bytes of the IV in front of AES-GCM content (RFC 5282, 3.1).
pub const GCM_IV_BYTES: usize = 8;
/// Bytes of the tag behind AES-GCM content (RFC 5282, 3).
pub const GCM_TAG_BYTES: usize = 16;
/// Bytes of an AES block, and of the IV of AES-CBC (RFC 3602, 3).
const AES_BLOCK_BYTES: usize = 16;
/// Bytes of a DES block, and of the IV of DES-CBC (RFC 2405, 2).
const DES_BLOCK_BYTES: usize = 8;

/// The content cannot be opened: forged, damaged or under other keys. Says no more, since nothing of it is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAuthentic;

impl IkeCipher {
    /// Bytes in front of the encrypted content.
    pub fn iv_bytes(self) -> usize {
        match self {
            Self::AesGcm16(_) => GCM_IV_BYTES,
            Self::AesCbc(..) => AES_BLOCK_BYTES,
            Self::TripleDesCbc(_) | Self::DesCbc(_) => DES_BLOCK_BYTES,
        }
    }

    /// Whether the IV is a counter (RFC 5282, 3.1); otherwise it must not be foreseen (RFC 3602, 3).
    pub fn has_counter_iv(self) -> bool {
        matches!(self, Self::AesGcm16(_))
    }

    /// Bytes behind the encrypted content.
    pub fn icv_bytes(self) -> usize {
        self.integrity().map_or(GCM_TAG_BYTES, Integrity::icv_bytes)
    }

    /// Bytes that `content_bytes` become once the Pad Length byte is added and blocks are filled (RFC 7296, 3.14; a
    /// combined mode needs no padding, RFC 5282, 3).
    pub fn padded_bytes(self, content_bytes: usize) -> usize {
        match self {
            Self::AesGcm16(_) => content_bytes + 1,
            Self::AesCbc(..) | Self::TripleDesCbc(_) | Self::DesCbc(_) => {
                (content_bytes + 1).next_multiple_of(self.iv_bytes())
            }
        }
    }

    /// Seals the end of `message`: behind the first `head_bytes` stand IV and padded content, which are encrypted in
    /// place; the integrity value is appended and covers everything.
    ///
    /// # Panics
    /// When keys, IV or padding do not have the lengths that this cipher says.
    pub(crate) fn seal(self, keys: &MessageKeys, message: &mut Vec<u8>, head_bytes: usize) {
        match self {
            Self::AesGcm16(bits) => {
                let (head, rest) = message.split_at_mut(head_bytes);
                let (iv, content) = rest.split_at_mut(GCM_IV_BYTES);
                let (key, nonce) = gcm_key_and_nonce(keys, iv);
                let tag = match bits {
                    KeyBits::B128 => gcm_seal::<aes::Aes128>(key, &nonce, head, content),
                    KeyBits::B192 => gcm_seal::<aes::Aes192>(key, &nonce, head, content),
                    KeyBits::B256 => gcm_seal::<aes::Aes256>(key, &nonce, head, content),
                };
                message.extend_from_slice(&tag);
            }
            Self::AesCbc(_, integrity) | Self::TripleDesCbc(integrity) | Self::DesCbc(integrity) => {
                let (iv, content) = message[head_bytes..].split_at_mut(self.iv_bytes());
                self.encrypt_blocks(keys.encryption.expose(), iv, content);
                let mac = integrity.prf().compute(keys.integrity.expose(), &[message]);
                message.extend_from_slice(&mac.expose()[..integrity.icv_bytes()]);
            }
        }
    }

    /// Opens `sealed` (IV, content, integrity value), which `head` precedes. The result still has its padding.
    pub(crate) fn open(
        self,
        keys: &MessageKeys,
        head: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, NotAuthentic> {
        let content_bytes =
            sealed.len().checked_sub(self.iv_bytes() + self.icv_bytes()).ok_or(NotAuthentic)?;
        let (iv, rest) = sealed.split_at(self.iv_bytes());
        let (content, icv) = rest.split_at(content_bytes);
        match self {
            Self::AesGcm16(bits) => {
                let (key, nonce) = gcm_key_and_nonce(keys, iv);
                let mut content = content.to_vec();
                match bits {
                    KeyBits::B128 => gcm_open::<aes::Aes128>(key, &nonce, head, &mut content, icv)?,
                    KeyBits::B192 => gcm_open::<aes::Aes192>(key, &nonce, head, &mut content, icv)?,
                    KeyBits::B256 => gcm_open::<aes::Aes256>(key, &nonce, head, &mut content, icv)?,
                }
                Ok(content)
            }
            Self::AesCbc(_, integrity) | Self::TripleDesCbc(integrity) | Self::DesCbc(integrity) => {
                verify(integrity, keys, &[head, iv, content], icv)?;
                if !content.len().is_multiple_of(self.iv_bytes()) {
                    return Err(NotAuthentic);
                }
                let mut content = content.to_vec();
                self.decrypt_blocks(keys.encryption.expose(), iv, &mut content);
                Ok(content)
            }
        }
    }

    /// Encrypts whole blocks of a CBC mode in place, without integrity.
    ///
    /// # Panics
    /// When key, IV or content do not have the lengths that this cipher says, or it is no CBC mode.
    pub(crate) fn encrypt_blocks(self, key: &[u8], iv: &[u8], content: &mut [u8]) {
        match self {
            Self::AesCbc(KeyBits::B128, _) => cbc_encrypt::<cbc::Encryptor<aes::Aes128>>(key, iv, content),
            Self::AesCbc(KeyBits::B192, _) => cbc_encrypt::<cbc::Encryptor<aes::Aes192>>(key, iv, content),
            Self::AesCbc(KeyBits::B256, _) => cbc_encrypt::<cbc::Encryptor<aes::Aes256>>(key, iv, content),
            Self::TripleDesCbc(_) => cbc_encrypt::<cbc::Encryptor<des::TdesEde3>>(key, iv, content),
            Self::DesCbc(_) => cbc_encrypt::<cbc::Encryptor<des::Des>>(key, iv, content),
            Self::AesGcm16(_) => panic!("AES-GCM is no CBC mode"),
        }
    }

    /// The reverse.
    ///
    /// # Panics
    /// Likewise.
    pub(crate) fn decrypt_blocks(self, key: &[u8], iv: &[u8], content: &mut [u8]) {
        match self {
            Self::AesCbc(KeyBits::B128, _) => cbc_decrypt::<cbc::Decryptor<aes::Aes128>>(key, iv, content),
            Self::AesCbc(KeyBits::B192, _) => cbc_decrypt::<cbc::Decryptor<aes::Aes192>>(key, iv, content),
            Self::AesCbc(KeyBits::B256, _) => cbc_decrypt::<cbc::Decryptor<aes::Aes256>>(key, iv, content),
            Self::TripleDesCbc(_) => cbc_decrypt::<cbc::Decryptor<des::TdesEde3>>(key, iv, content),
            Self::DesCbc(_) => cbc_decrypt::<cbc::Decryptor<des::Des>>(key, iv, content),
            Self::AesGcm16(_) => panic!("AES-GCM is no CBC mode"),
        }
    }
}

/// The nonce is salt and IV (RFC 5282, 4).
fn gcm_key_and_nonce<'a>(keys: &'a MessageKeys, iv: &[u8]) -> (&'a [u8], [u8; 12]) {
    let material = keys.encryption.expose();
    let (key, salt) = material.split_at(material.len() - GCM_SALT_BYTES);
    let mut nonce = [0; 12];
    nonce[..GCM_SALT_BYTES].copy_from_slice(salt);
    nonce[GCM_SALT_BYTES..].copy_from_slice(iv);
    (key, nonce)
}

fn gcm_seal<C>(key: &[u8], nonce: &[u8; 12], aad: &[u8], content: &mut [u8]) -> [u8; GCM_TAG_BYTES]
where
    AesGcm<C, U12>: KeyInit + AeadInOut<NonceSize = U12, TagSize = aes_gcm::aead::consts::U16>,
{
    let cipher = AesGcm::<C, U12>::new_from_slice(key).expect("the key has the suite's length");
    let tag = cipher
        .encrypt_inout_detached(&Array::from(*nonce), aad, content.into())
        .expect("an IKE message is far below the limits of GCM");
    tag.into()
}

fn gcm_open<C>(
    key: &[u8],
    nonce: &[u8; 12],
    aad: &[u8],
    content: &mut [u8],
    tag: &[u8],
) -> Result<(), NotAuthentic>
where
    AesGcm<C, U12>: KeyInit + AeadInOut<NonceSize = U12, TagSize = aes_gcm::aead::consts::U16>,
{
    let cipher = AesGcm::<C, U12>::new_from_slice(key).expect("the key has the suite's length");
    let tag = Tag::try_from(tag).map_err(|_| NotAuthentic)?;
    cipher.decrypt_inout_detached(&Array::from(*nonce), aad, content.into(), &tag).map_err(|_| NotAuthentic)
}

fn cbc_encrypt<M: BlockModeEncrypt + KeyIvInit>(key: &[u8], iv: &[u8], content: &mut [u8]) {
    let (blocks, []) = Array::<u8, M::BlockSize>::slice_as_chunks_mut(content) else {
        panic!("the content is padded to whole blocks")
    };
    M::new_from_slices(key, iv).expect("key and IV have the suite's lengths").encrypt_blocks(blocks);
}

fn cbc_decrypt<M: BlockModeDecrypt + KeyIvInit>(key: &[u8], iv: &[u8], content: &mut [u8]) {
    let (blocks, []) = Array::<u8, M::BlockSize>::slice_as_chunks_mut(content) else {
        panic!("whole blocks were checked")
    };
    M::new_from_slices(key, iv).expect("key and IV have the suite's lengths").decrypt_blocks(blocks);
}

fn verify(integrity: Integrity, keys: &MessageKeys, data: &[&[u8]], icv: &[u8]) -> Result<(), NotAuthentic> {
    let mac = integrity.prf().compute(keys.integrity.expose(), data);
    if mac.expose()[..integrity.icv_bytes()].ct_eq(icv).into() { Ok(()) } else { Err(NotAuthentic) }
}

/// Takes the padding off decrypted content: its last byte says how many bytes precede it (RFC 7296, 3.14). The bytes
/// themselves may be anything.
pub(crate) fn unpad(content: &mut Vec<u8>) -> Result<(), NotAuthentic> {
    let pad = usize::from(*content.last().ok_or(NotAuthentic)?);
    let kept = content.len().checked_sub(pad + 1).ok_or(NotAuthentic)?;
    content[kept..].zeroize();
    content.truncate(kept);
    Ok(())
}

#[cfg(test)]
mod tests;

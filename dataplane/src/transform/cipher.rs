//! Ciphers beside an integrity algorithm: AES, triple DES and DES in CBC mode, or none. Called by [`super::Sealer`] and [`super::Opener`], which know the
//! lengths: IVs and payloads are whole blocks.

use aes::cipher::{
    Array, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit,
};
use aes::{Aes128Dec, Aes128Enc, Aes192Dec, Aes192Enc, Aes256Dec, Aes256Enc};
use des::{Des, TdesEde3};

use super::Cipher;

/// A key to encrypt with.
pub(super) enum Encryptor {
    Aes128(Aes128Enc),
    Aes192(Aes192Enc),
    Aes256(Aes256Enc),
    TripleDes(TdesEde3),
    Des(Des),
    Null,
}

/// A key to decrypt with.
pub(super) enum Decryptor {
    Aes128(Aes128Dec),
    Aes192(Aes192Dec),
    Aes256(Aes256Dec),
    TripleDes(TdesEde3),
    Des(Des),
    Null,
}

impl Encryptor {
    /// `None` if the key has another length than the cipher's.
    pub(super) fn new(cipher: Cipher, key: &[u8]) -> Option<Self> {
        Some(match cipher {
            Cipher::AesCbc128 => Self::Aes128(KeyInit::new_from_slice(key).ok()?),
            Cipher::AesCbc192 => Self::Aes192(KeyInit::new_from_slice(key).ok()?),
            Cipher::AesCbc256 => Self::Aes256(KeyInit::new_from_slice(key).ok()?),
            Cipher::TripleDesCbc => Self::TripleDes(KeyInit::new_from_slice(key).ok()?),
            Cipher::DesCbc => Self::Des(KeyInit::new_from_slice(key).ok()?),
            Cipher::Null => Self::Null,
        })
    }

    /// Encrypts whole blocks in place.
    pub(super) fn encrypt(&self, iv: &[u8], payload: &mut [u8]) {
        match self {
            Self::Aes128(key) => cbc_encrypt(key, iv, payload),
            Self::Aes192(key) => cbc_encrypt(key, iv, payload),
            Self::Aes256(key) => cbc_encrypt(key, iv, payload),
            Self::TripleDes(key) => cbc_encrypt(key, iv, payload),
            Self::Des(key) => cbc_encrypt(key, iv, payload),
            Self::Null => {}
        }
    }
}

impl Decryptor {
    /// `None` if the key has another length than the cipher's.
    pub(super) fn new(cipher: Cipher, key: &[u8]) -> Option<Self> {
        Some(match cipher {
            Cipher::AesCbc128 => Self::Aes128(KeyInit::new_from_slice(key).ok()?),
            Cipher::AesCbc192 => Self::Aes192(KeyInit::new_from_slice(key).ok()?),
            Cipher::AesCbc256 => Self::Aes256(KeyInit::new_from_slice(key).ok()?),
            Cipher::TripleDesCbc => Self::TripleDes(KeyInit::new_from_slice(key).ok()?),
            Cipher::DesCbc => Self::Des(KeyInit::new_from_slice(key).ok()?),
            Cipher::Null => Self::Null,
        })
    }

    /// Decrypts whole blocks in place.
    pub(super) fn decrypt(&self, iv: &[u8], payload: &mut [u8]) {
        match self {
            Self::Aes128(key) => cbc_decrypt(key, iv, payload),
            Self::Aes192(key) => cbc_decrypt(key, iv, payload),
            Self::Aes256(key) => cbc_decrypt(key, iv, payload),
            Self::TripleDes(key) => cbc_decrypt(key, iv, payload),
            Self::Des(key) => cbc_decrypt(key, iv, payload),
            Self::Null => {}
        }
    }
}

fn cbc_encrypt<C: BlockCipherEncrypt>(key: &C, iv: &[u8], payload: &mut [u8]) {
    let (blocks, rest) = Array::<u8, C::BlockSize>::slice_as_chunks_mut(payload);
    assert!(rest.is_empty(), "what is not encrypted must not leave");
    cbc::Encryptor::<&C>::inner_iv_slice_init(key, iv).expect("an IV is one block").encrypt_blocks(blocks);
}

fn cbc_decrypt<C: BlockCipherDecrypt>(key: &C, iv: &[u8], payload: &mut [u8]) {
    let (blocks, rest) = Array::<u8, C::BlockSize>::slice_as_chunks_mut(payload);
    debug_assert!(rest.is_empty(), "the shape was checked");
    cbc::Decryptor::<&C>::inner_iv_slice_init(key, iv).expect("an IV is one block").decrypt_blocks(blocks);
}

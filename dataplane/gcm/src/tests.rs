//! Every kernel of this CPU against published vectors and against the `aes-gcm` crate.

use hex_literal::hex;

use super::{Aad, Job, Kernel, KernelError, KernelName, Key, KeyLengthError, TAG_BYTES, Verdict};

mod cavp;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod constant_time;
#[cfg(target_arch = "x86_64")]
mod emulated;
mod esp;
mod oracle;
mod pieces;
mod vectors;
mod wycheproof;

/// Additional data of a length that is not known when this is compiled.
fn padded_aad(bytes: &[u8]) -> Option<Aad> {
    let mut padded = [0; 16];
    padded.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(Aad::of_words(super::aad::words(padded), u8::try_from(bytes.len()).ok()?))
}

/// Seals `payload` alone and returns ciphertext and tag.
fn seal_one(kernel: Kernel, key: &[u8], nonce: [u8; 12], aad: Aad, payload: &[u8]) -> Vec<u8> {
    let key = Key::new(kernel, key).expect("key length");
    let mut data = payload.to_vec();
    data.extend_from_slice(&[0xa5; TAG_BYTES]);
    kernel.seal(&mut [Job::new(&key, nonce, aad, &mut data).expect("room for the tag")]);
    data
}

/// Opens `sealed` alone and returns the verdict and what `data` holds then.
fn open_one(kernel: Kernel, key: &[u8], nonce: [u8; 12], aad: Aad, sealed: &[u8]) -> (Verdict, Vec<u8>) {
    let key = Key::new(kernel, key).expect("key length");
    let mut data = sealed.to_vec();
    let mut jobs = [Job::new(&key, nonce, aad, &mut data).expect("room for the tag")];
    kernel.open(&mut jobs);
    let verdict = jobs[0].verdict();
    (verdict, data)
}

#[test]
fn any_flipped_bit_is_forged_and_leaves_zeros() {
    let key = hex!("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
    let payload: Vec<u8> = (0..83).collect();
    for kernel in Kernel::available() {
        let aad = [7; 8];
        let sealed = seal_one(kernel, &key, [3; 12], Aad::new(&aad), &payload);
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let (verdict, left) = open_one(kernel, &key, [3; 12], Aad::new(&aad), &bad);
            assert_eq!(verdict, Verdict::Forged, "{} bit {bit}", kernel.name());
            assert!(left[..payload.len()].iter().all(|&byte| byte == 0), "{} bit {bit}", kernel.name());
            assert_eq!(left[payload.len()..], bad[payload.len()..], "the tag stays as it came");
        }
        for bit in 0..64 {
            let mut bad = aad;
            bad[bit / 8] ^= 1 << (bit % 8);
            let (verdict, _) = open_one(kernel, &key, [3; 12], Aad::new(&bad), &sealed);
            assert_eq!(verdict, Verdict::Forged, "{} AAD bit {bit}", kernel.name());
        }
        let (verdict, _) = open_one(kernel, &key, [4; 12], Aad::new(&aad), &sealed);
        assert_eq!(verdict, Verdict::Forged, "another nonce");
    }
}

#[test]
fn data_without_room_for_a_tag_makes_no_job() {
    let key = Key::new(Kernel::detect(), &[0; 16]).expect("key length");
    assert!(Job::new(&key, [0; 12], Aad::new(&[0; 8]), &mut [0; 15]).is_none());
    let mut long = vec![0; super::MAX_PAYLOAD_BYTES + TAG_BYTES + 1];
    assert!(Job::new(&key, [0; 12], Aad::new(&[0; 8]), &mut long).is_none());
    assert!(Job::new(&key, [0; 12], Aad::new(&[0; 8]), &mut long[1..]).is_some());
}

#[test]
fn keys_of_other_lengths_are_refused_and_none_is_printed() {
    for kernel in Kernel::available() {
        for length in (0..64).filter(|length| ![16, 24, 32].contains(length)) {
            assert_eq!(Key::new(kernel, &vec![1; length]).err(), Some(KeyLengthError(length)));
        }
        assert_eq!(format!("{:?}", Key::new(kernel, &[1; 16])), "Ok(Key(secret))");
    }
}

#[test]
fn names_are_read_as_they_are_written() {
    for name in KernelName::ALL {
        assert_eq!(name.to_string().parse(), Ok(name));
    }
    assert_eq!("sse2".parse::<KernelName>(), Err(KernelError::Unknown("sse2".to_owned())));
    assert!(Kernel::named(KernelName::Portable).is_ok());
    assert_eq!(Kernel::available().next(), Some(Kernel::detect()));
}

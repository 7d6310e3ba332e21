//! What kernels leave behind on the stack: registers that they spilled (round keys, key stream, powers of H), and keys on their way to where they are kept.
//! A thread wipes it when it is done with packets, and each time that it has made a key ([`scrubbed`]), not after each burst: until then the keys are in memory
//! anyway.

use std::hint::black_box;

use zeroize::Zeroize;

/// More than a kernel, what calls it, and an SA on its way take.
const BYTES: usize = 64 * 1024;

/// Does the work in frames below the caller's, then overwrites these, 64 KiB of them. What it returns ends up in the caller's frame: a box with a key, say, but no key.
pub fn scrubbed<T>(work: impl FnOnce() -> T) -> T {
    let done = below(work);
    wipe();
    done
}

#[inline(never)]
fn below<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn wipe() {
    let mut below = [0_u8; BYTES];
    // Volatile writes: they are made although nobody reads.
    below.zeroize();
    black_box(&below);
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    use std::collections::HashSet;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::{Aad, Job, Kernel, Key, TAG_BYTES, Verdict};

    /// Without a repetition in it.
    const RAW_KEY: [u8; 32] = {
        let mut key = [0; 32];
        let mut at = 0;
        while at < 32 {
            #[expect(clippy::cast_possible_truncation, reason = "small")]
            {
                key[at] = 0x35 ^ (at * 29) as u8;
            }
            at += 1;
        }
        key
    };

    /// All that follows from the key alone: round keys, of which the first are the key itself, and powers of H, each also in the other order of bytes.
    fn secrets(key_bytes: usize) -> HashSet<[u8; 16]> {
        let simd = Kernel::available().find_map(|kernel| {
            let key = Key::new(kernel, &RAW_KEY[..key_bytes]).expect("a key's length");
            key.simd().map(|material| material.secrets().collect::<Vec<_>>())
        });
        let all = simd.expect("a SIMD kernel on this CPU").into_iter();
        let reversed = |mut block: [u8; 16]| {
            block.reverse();
            block
        };
        all.filter(|block| *block != [0; 16]).flat_map(|block| [block, reversed(block)]).collect()
    }

    /// Makes a key, seals and opens short and long packets, whole and in pieces, and drops the key.
    fn use_a_key(kernel: Kernel, key_bytes: usize) {
        let key = Box::new(Key::new(kernel, &RAW_KEY[..key_bytes]).expect("a key's length"));
        let (nonce, aad) = ([3; 12], Aad::new(&[9; 8]));
        for length in [0, 64, 68, 240, 1404] {
            let mut packets = vec![vec![7; length + TAG_BYTES]; 5];
            let jobs = |packets: &mut Vec<Vec<u8>>, work: &dyn Fn(&mut [Job<'_>])| {
                let job = |packet| Job::new(&key, nonce, aad, packet).expect("a tag's room");
                let mut jobs: Vec<_> = packets.iter_mut().map(|packet| job(packet)).collect();
                work(&mut jobs);
            };
            jobs(&mut packets, &|jobs| kernel.seal(jobs));
            jobs(&mut packets, &|jobs| {
                kernel.open(jobs);
                assert!(jobs.iter().all(|job| job.verdict() == Verdict::Authentic));
            });
            let (front, back) = packets[0][..length].split_at_mut(length / 3);
            black_box(kernel.seal_pieces(&key, nonce, aad, &mut [front, back]));
        }
    }

    /// How many of the secrets' places are in the stack below that address.
    #[inline(never)]
    fn found(secrets: &HashSet<[u8; 16]>, below: u64) -> usize {
        let mut bytes = vec![0; BYTES];
        let memory = File::open("/proc/self/mem").expect("Linux has it");
        memory.read_exact_at(&mut bytes, below - BYTES as u64).expect("a thread's stack is larger");
        bytes.windows(16).filter(|window| secrets.contains(*window)).count()
    }

    /// How much is found after the work, plain and scrubbed, on a stack of its own.
    fn left_by(kernel: Kernel, key_bytes: usize) -> [usize; 2] {
        let secrets = secrets(key_bytes);
        let thread = std::thread::Builder::new().stack_size(4 * BYTES).spawn(move || {
            let marker = 0_u8;
            let here = std::ptr::from_ref(black_box(&marker)).addr() as u64;
            below(|| use_a_key(kernel, key_bytes));
            let plain = found(&secrets, here);
            scrubbed(|| use_a_key(kernel, key_bytes));
            [plain, found(&secrets, here)]
        });
        thread.expect("a thread").join().expect("no panic")
    }

    #[test]
    fn nothing_of_a_key_is_on_the_stack_after_scrubbed_work() {
        for kernel in Kernel::available() {
            for key_bytes in [16, 24, 32] {
                let [plain, scrubbed] = left_by(kernel, key_bytes);
                let place = format!("{}, AES-{}", kernel.name(), 8 * key_bytes);
                assert!(plain > 0, "{place}: nothing was left that could be wiped");
                assert_eq!(scrubbed, 0, "{place}");
            }
        }
    }
}

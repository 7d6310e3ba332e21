//! What kernels leave behind on the stack: registers that they spilled (round keys, key stream, powers of H). The thread that ran them wipes it when
//! it is done with packets ([`wipe_stack`]), not after each burst: until then its keys are in memory anyway.

use std::hint::black_box;

use zeroize::Zeroize;

/// More than a kernel and what calls it take.
const BYTES: usize = 64 * 1024;

/// Overwrites the stack below the caller's frame, where kernels that it called had theirs.
#[inline(never)]
pub fn wipe_stack() {
    let mut below = [0_u8; BYTES];
    // Volatile writes: they are made although nobody reads.
    below.zeroize();
    black_box(&below);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::*;

    const SECRET: [u8; 16] = *b"nobody must see ";

    /// Leaves the secret, deeper than what looks for it reaches.
    #[inline(never)]
    fn leave_behind() {
        let mut deep = [0_u8; BYTES / 2];
        deep[..16].copy_from_slice(&SECRET.map(black_box));
        black_box(&mut deep);
    }

    /// How often the secret is in the stack below this function's caller.
    #[inline(never)]
    fn found(below: u64) -> usize {
        let mut bytes = vec![0; BYTES];
        let memory = File::open("/proc/self/mem").expect("Linux has it");
        memory.read_exact_at(&mut bytes, below - BYTES as u64).expect("a thread's stack is larger");
        bytes.windows(16).filter(|window| **window == SECRET).count()
    }

    #[test]
    fn what_was_on_the_stack_is_gone() {
        let here = std::thread::Builder::new().stack_size(4 * BYTES).spawn(|| {
            let marker = 0_u8;
            let here = std::ptr::from_ref(black_box(&marker)).addr() as u64;
            leave_behind();
            let before = found(here);
            wipe_stack();
            (before, found(here))
        });
        let (before, after) = here.expect("a thread").join().expect("no panic");
        assert!(before > 0, "nothing was left that could be wiped");
        assert_eq!(after, 0);
    }
}

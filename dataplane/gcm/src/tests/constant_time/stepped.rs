//! Every kernel of this CPU, an instruction at a time (the trap flag): with other keys and other plaintext it goes the same way. Of bursts in the SIMD kernels, all
//! general registers are compared, too, and so are all addresses: what is secret stays in vector registers there.

use std::arch::asm;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, Once, PoisonError};

use super::{BURSTS, TABLE};
use crate::{Aad, Job, Kernel, KernelName, Key, TAG_BYTES, Verdict};

/// More than any burst of the test takes.
const STEPS: usize = 1 << 18;

/// What the handler notes: where each step ended, and the registers there, hashed.
static PLACES: [AtomicU64; STEPS] = [const { AtomicU64::new(0) }; STEPS];
static REGISTERS: [AtomicU64; STEPS] = [const { AtomicU64::new(0) }; STEPS];
static COUNT: AtomicUsize = AtomicUsize::new(0);
static HASHES: AtomicBool = AtomicBool::new(false);
/// The handler serves one thread at a time.
static STEPPING: Mutex<()> = Mutex::new(());

extern "C" fn on_step(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the third argument of such a handler is the interrupted context.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let step = COUNT.fetch_add(1, Relaxed);
    if step >= STEPS {
        return;
    }
    PLACES[step].store(registers[16].cast_unsigned(), Relaxed);
    let hash = |hash: u64, register: &i64| {
        (hash ^ register.cast_unsigned()).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    };
    // R8 to R15, RDI, RSI, RBP, RBX, RDX, RAX, RCX, RSP; then comes RIP.
    let hash = if HASHES.load(Relaxed) { registers[..16].iter().fold(0, hash) } else { 0 };
    REGISTERS[step].store(hash, Relaxed);
}

fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: all zeros is a valid `sigaction`; the handler touches atomics alone, and nothing else here has a use for SIGTRAP.
        let done = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_step as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(libc::SIGTRAP, &raw const action, std::ptr::null_mut())
        };
        assert_eq!(done, 0, "no handler");
    });
}

/// Place and registers after each instruction of the work, which begins with all registers zero but for the work's address and the stack.
fn trace<F: FnMut()>(hashes: bool, mut work: F) -> Vec<(u64, u64)> {
    extern "C" fn call<F: FnMut()>(work: *mut F) {
        // SAFETY: `trace` hands in its own.
        unsafe { (*work)() }
    }
    install();
    let _one = STEPPING.lock().unwrap_or_else(PoisonError::into_inner);
    COUNT.store(0, Relaxed);
    HASHES.store(hashes, Relaxed);
    let call: extern "C" fn(*mut F) = call;
    // SAFETY: a call by the C convention of a function that takes one pointer, with the stack as it was at the end, registers saved that the convention keeps, and
    // the trap flag set around it.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "push r12",
            "push r13",
            "push r14",
            "push r15",
            "xor ebx, ebx",
            "xor ebp, ebp",
            "xor ecx, ecx",
            "xor edx, edx",
            "xor esi, esi",
            "xor r8d, r8d",
            "xor r9d, r9d",
            "xor r10d, r10d",
            "xor r11d, r11d",
            "xor r12d, r12d",
            "xor r13d, r13d",
            "xor r14d, r14d",
            "xor r15d, r15d",
            "pushfq",
            "or qword ptr [rsp], 0x100",
            "popfq",
            "call rax",
            "pushfq",
            "and qword ptr [rsp], -0x101",
            "popfq",
            "pop r15",
            "pop r14",
            "pop r13",
            "pop r12",
            "pop rbp",
            "pop rbx",
            in("rax") call,
            in("rdi") &raw mut work,
            clobber_abi("C"),
        );
    }
    let steps = COUNT.load(Relaxed);
    assert!(steps < STEPS, "{steps} steps");
    let noted = PLACES.iter().zip(&REGISTERS).take(steps);
    noted.map(|(place, registers)| (place.load(Relaxed), registers.load(Relaxed))).collect()
}

/// The first step in which two traces differ, and where that was.
fn difference(one: &[(u64, u64)], other: &[(u64, u64)]) -> Option<(usize, u64)> {
    let at = one.iter().zip(other).position(|(one, other)| one != other);
    let at = at.or_else(|| (one.len() != other.len()).then_some(one.len().min(other.len())))?;
    Some((at, one.get(at).map_or(0, |(place, _)| *place)))
}

/// A secret byte of a variant: all zeros, all ones, two mixtures.
fn secret(variant: usize, at: usize) -> u8 {
    match variant {
        0 => 0,
        1 => 0xff,
        _ => ((at * 167 + variant * 71) ^ (at >> 3)).to_le_bytes()[0],
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    kernel: Kernel,
    key_bytes: usize,
    lengths: [usize; 8],
    opens: bool,
    forged: bool,
}

/// Keys and packets, each in its place for all variants.
struct Bench {
    keys: [Key; 8],
    buffers: [Vec<u8>; 8],
}

impl Bench {
    fn new(case: Case) -> Self {
        Self {
            keys: std::array::from_fn(|_| Key::new(case.kernel, &[0; 16]).expect("a key's length")),
            buffers: case.lengths.map(|length| vec![0; length + TAG_BYTES]),
        }
    }

    /// What the case does with that variant of the secrets, in a frame of its own, so that everything has its place.
    #[inline(never)]
    fn run(&mut self, case: Case, variant: usize) -> Vec<(u64, u64)> {
        for (number, key) in self.keys.iter_mut().enumerate() {
            let raw: Vec<u8> = (0..case.key_bytes).map(|at| secret(variant, at + 40 * number)).collect();
            *key = Key::new(case.kernel, &raw).expect("a key's length");
        }
        for (buffer, length) in self.buffers.iter_mut().zip(case.lengths) {
            (0..length).for_each(|at| buffer[at] = secret(variant, at + 1000));
        }
        if case.opens {
            case.kernel.seal(&mut self.jobs());
            let change = u8::from(case.forged);
            self.buffers.iter_mut().for_each(|buffer| *buffer.last_mut().expect("a tag") ^= change);
        }
        let mut jobs = self.jobs();
        let registers = case.kernel.name() != KernelName::Portable;
        let trace = trace(registers, || {
            if case.opens { case.kernel.open(&mut jobs) } else { case.kernel.seal(&mut jobs) }
        });
        let verdict = match case {
            Case { opens: false, .. } => Verdict::Pending,
            Case { forged: false, .. } => Verdict::Authentic,
            Case { .. } => Verdict::Forged,
        };
        assert!(jobs.iter().all(|job| job.verdict() == verdict));
        trace
    }

    fn jobs(&mut self) -> [Job<'_>; 8] {
        let mut parts = self.keys.iter().zip(&mut self.buffers);
        std::array::from_fn(|_| {
            let (key, buffer) = parts.next().expect("eight");
            Job::new(key, [3; 12], Aad::new(&[9; 8]), buffer).expect("a tag's room")
        })
    }
}

#[test]
fn every_kernel_goes_the_same_way_whatever_keys_and_plaintext_are() {
    for kernel in Kernel::available() {
        // A step is a signal: what is long is done once.
        let is_portable = kernel.name() == KernelName::Portable;
        let (bursts, key_lengths) =
            if is_portable { (&BURSTS[2..], &[16][..]) } else { (&BURSTS[..], &[16, 32][..]) };
        for &key_bytes in key_lengths {
            for (lengths, [opens, forged]) in bursts
                .iter()
                .flat_map(|lengths| [[false; 2], [true, false], [true; 2]].map(|way| (*lengths, way)))
            {
                let case = Case { kernel, key_bytes, lengths, opens, forged };
                let mut bench = Bench::new(case);
                // What happens once in a process, as finding out what the CPU has, is done before.
                bench.run(case, 0);
                let first = bench.run(case, 0);
                assert!(first.len() > 500, "{} steps", first.len());
                // With --nocapture.
                println!("{}, AES-{}, {case:?}: {} instructions", kernel.name(), 8 * key_bytes, first.len());
                for variant in 1..4 {
                    let other = bench.run(case, variant);
                    if let Some((step, place)) = difference(&first, &other) {
                        panic!(
                            "{}, AES-{}, {lengths:?}, opens {opens}, forged {forged}: step {step} of {} at {place:#x} depends on secrets",
                            kernel.name(),
                            8 * key_bytes,
                            first.len(),
                        );
                    }
                }
            }
        }
    }
}

/// A look-up at a secret place; in a frame of its own, as [`Bench::run`] is.
#[inline(never)]
fn look_up(secret: u8) -> Vec<(u64, u64)> {
    trace(true, || _ = black_box(black_box(&TABLE)[usize::from(black_box(secret))]))
}

/// A branch by a secret.
#[inline(never)]
fn branch(secret: u8) -> Vec<(u64, u64)> {
    trace(false, || {
        if black_box(secret) > 3 {
            black_box(&TABLE);
        }
    })
}

#[test]
fn leaks_are_noticed() {
    for leak in [look_up, branch] {
        assert_eq!(difference(&leak(3), &leak(3)), None);
        assert!(difference(&leak(3), &leak(4)).is_some());
    }
}

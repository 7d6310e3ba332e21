//! Keys and plaintext are declared undefined to valgrind's memcheck, which complains of each branch and each address that depends on something undefined.
//! Sealing may give no reason to; opening for a packet's verdict alone, which is what it has to tell: whether the tag fits.

use std::arch::asm;
use std::hint::black_box;
use std::process::Command;

use super::super::oracle::{Subject, subjects};
use super::{BURSTS, TABLE};
use crate::{Aad, Job, Kernel, Key, TAG_BYTES, Verdict};

/// Client requests of valgrind (valgrind.h, memcheck.h).
const RUNNING_ON_VALGRIND: usize = 0x1001;
const COUNT_ERRORS: usize = 0x1201;
const MAKE_MEM_UNDEFINED: usize = 0x4d43_0001;
const MAKE_MEM_DEFINED: usize = 0x4d43_0002;

/// Asks valgrind; 0 where there is none.
fn request(code: usize, arguments: [usize; 2]) -> usize {
    let words = [code, arguments[0], arguments[1], 0, 0, 0];
    let mut answer = 0;
    // SAFETY: without valgrind nothing is done: the rotations are by 128 bits in all. With it, it reads the words and answers in RDX.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") words.as_ptr(),
            inout("rdx") answer,
            options(nostack),
        );
    }
    answer
}

fn hide(secret: &[u8]) {
    request(MAKE_MEM_UNDEFINED, [secret.as_ptr().addr(), secret.len()]);
}

fn publish(bytes: &[u8]) {
    request(MAKE_MEM_DEFINED, [bytes.as_ptr().addr(), bytes.len()]);
}

/// How often memcheck complains of the work.
fn complaints(work: impl FnOnce()) -> usize {
    let before = request(COUNT_ERRORS, [0; 2]);
    work();
    request(COUNT_ERRORS, [0; 2]) - before
}

#[test]
fn no_branch_and_no_address_depends_on_keys_or_plaintext() {
    if request(RUNNING_ON_VALGRIND, [0; 2]) > 0 {
        return examine();
    }
    let (_, module) = module_path!().split_once("::").expect("a module of a crate");
    let me = std::env::current_exe().expect("the test's program");
    let output = Command::new("valgrind")
        .args(["--quiet", "--error-limit=no", "--vgdb=no"])
        .arg(me)
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .arg(format!("{module}::no_branch_and_no_address_depends_on_keys_or_plaintext"))
        .output()
        .expect("valgrind: 'make install-deps' installs it");
    let [told, complained] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{told}\n{complained}");
    for name in ["aesni", "portable", "emulated four lanes"] {
        assert!(told.contains(&format!("examined: {name}")), "{name} did not run\n{told}\n{complained}");
    }
}

fn examine() {
    leaks_are_noticed();
    for subject in subjects() {
        for key_bytes in [16, 24, 32] {
            BURSTS.iter().for_each(|lengths| check(&subject, key_bytes, lengths));
        }
        println!("examined: {}", subject.name);
    }
    for kernel in Kernel::available() {
        [16, 24, 32].into_iter().for_each(|key_bytes| check_pieces(kernel, key_bytes));
    }
}

fn leaks_are_noticed() {
    let secrets = [1_u8, 2];
    hide(&secrets);
    let branch = || {
        if black_box(secrets[0]) > 3 {
            std::process::abort();
        }
    };
    assert_eq!(complaints(branch), 1);
    let lookup = || _ = black_box(black_box(&TABLE)[usize::from(black_box(secrets[1]))]);
    assert_eq!(complaints(lookup), 1);
}

fn hidden_key(kernel: Kernel, key_bytes: usize) -> Key {
    let raw: Vec<u8> = (7..).take(key_bytes).collect();
    hide(&raw);
    let mut key = None;
    assert_eq!(complaints(|| key = Key::new(kernel, &raw).ok()), 0, "{} expands a key", kernel.name());
    key.expect("a key's length")
}

fn check(subject: &Subject, key_bytes: usize, lengths: &[usize]) {
    let place = format!("{}, AES-{}, {lengths:?}", subject.name, 8 * key_bytes);
    let key = hidden_key(subject.keys_for, key_bytes);
    let mut buffers: Vec<_> = lengths.iter().map(|length| vec![5; length + TAG_BYTES]).collect();
    for (buffer, length) in buffers.iter().zip(lengths) {
        hide(&buffer[..*length]);
    }
    let sealing = complaints(|| (subject.seal)(&mut jobs(&key, &mut buffers)));
    assert_eq!(sealing, 0, "seals: {place}");
    // What the wire shows is no secret.
    buffers.iter().for_each(|buffer| publish(buffer));
    let mut forged = buffers.clone();
    forged.iter_mut().for_each(|buffer| *buffer.last_mut().expect("a tag") ^= 1);
    for (mut buffers, verdict) in [(buffers, Verdict::Authentic), (forged, Verdict::Forged)] {
        let mut jobs = jobs(&key, &mut buffers);
        let opening = complaints(|| (subject.open)(&mut jobs));
        assert!(jobs.iter().all(|job| job.verdict() == verdict), "{place}");
        // The compiler may make two branches of one verdict.
        let of_verdicts = lengths.len()..=2 * lengths.len();
        assert!(of_verdicts.contains(&opening), "{opening} complaints, opens, {verdict:?}: {place}");
    }
}

fn jobs<'a>(key: &'a Key, buffers: &'a mut [Vec<u8>]) -> Vec<Job<'a>> {
    let job =
        |buffer: &'a mut Vec<u8>| Job::new(key, [3; 12], Aad::new(&[9; 8]), buffer).expect("a tag's room");
    buffers.iter_mut().map(job).collect()
}

fn check_pieces(kernel: Kernel, key_bytes: usize) {
    let place = format!("{}, AES-{}, pieces", kernel.name(), 8 * key_bytes);
    let (key, nonce, aad) = (hidden_key(kernel, key_bytes), [3; 12], Aad::new(&[9; 8]));
    let mut payload = [5; 700];
    hide(&payload);
    let mut tag = [0; TAG_BYTES];
    let cut = |payload: &mut [u8; 700], work: &mut dyn FnMut(&mut [&mut [u8]])| {
        let (front, back) = payload.split_at_mut(301);
        work(&mut [front, back]);
    };
    let sealing =
        complaints(|| cut(&mut payload, &mut |pieces| tag = kernel.seal_pieces(&key, nonce, aad, pieces)));
    assert_eq!(sealing, 0, "seals: {place}");
    publish(&payload);
    publish(&tag);
    let mut verdict = Verdict::Pending;
    let mut open = |pieces: &mut [&mut [u8]]| verdict = kernel.open_pieces(&key, nonce, aad, pieces, &tag);
    let opening = complaints(|| cut(&mut payload, &mut open));
    assert_eq!(verdict, Verdict::Authentic, "opens: {place}");
    assert!((1..=2).contains(&opening), "{opening} complaints, opens: {place}");
}

//! How the SIMD kernels go through a burst. Called by the kernels' entries.
//!
//! Jobs are sorted by the registers that they take, and by the number of AES rounds where a burst has several: long ones go
//! one after the other ([`super::long`]), short ones together with others of their size ([`super::short`]).

use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_storeu_si128};
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::lanes::Lanes;
use super::long::Long;
use super::material::{self, POWERS};
use super::short::Short;
use super::{Job, Verdict, portable};

/// Seal or open: which side of the cipher GHASH reads, and what becomes of the tag.
pub(super) trait Direction {
    /// GHASH reads what is there before decryption, else what is there after encryption.
    const OPENS: bool;
    /// Writes or checks the tag.
    fn finish(job: &mut Job<'_>, tag: __m128i);
    /// The whole job by the portable kernel.
    fn portable(job: &mut Job<'_>);

    /// Of what was read and what is written, the ciphertext.
    #[inline(always)]
    fn ciphertext<L: Lanes>(before: L::V, after: L::V) -> L::V {
        if Self::OPENS { before } else { after }
    }
}

pub(super) struct Seal;
pub(super) struct Open;

/// Jobs that are looked at together.
const JOBS: usize = 64;
/// The size of a long packet: short ones have at most eight registers, in any kernel.
const LONG: usize = 8;

/// Numbers of jobs that are all alike.
const ALL: [u8; JOBS] = {
    let mut numbers = [0; JOBS];
    let mut at = 0;
    while at < JOBS {
        #[expect(clippy::cast_possible_truncation, reason = "below 64")]
        {
            numbers[at] = at as u8;
        }
        at += 1;
    }
    numbers
};

/// What is worked on together: jobs of one number of AES rounds that take as many registers, or more than a chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    rounds: usize,
    /// Registers of a short packet less one, else [`LONG`].
    size: usize,
}

/// Numbers of jobs by the size of their kind.
struct Lists {
    numbers: [[u8; JOBS]; LONG + 1],
    counts: [usize; LONG + 1],
}

/// Transforms all jobs.
pub(super) fn run<L: Lanes, D: Direction>(lanes: L, jobs: &mut [Job<'_>]) {
    for jobs in jobs.chunks_mut(JOBS) {
        match alike::<L>(jobs) {
            Some(kind) => transform::<L, D>(lanes, jobs, kind.size, &ALL[..jobs.len()]),
            None => mixed::<L, D>(lanes, jobs),
        }
    }
}

/// How many packets (or groups of short ones) ahead of its own turn a key is asked for.
pub(super) const AHEAD: usize = 3;

/// Asks the cache for the key of the job at that place of the list, if there is one, and unless the one before has the same. All keys have been asked for
/// by then, at the burst's beginning; but a CPU drops most of what it is asked for at once, and the later ones still are in memory when
/// their turn comes: a third of the time of packets of 10,000 SAs.
///
/// # Safety
/// The list names live jobs.
#[inline(always)]
pub(super) unsafe fn fetch_key(jobs: NonNull<Job<'_>>, list: &[u8], at: usize) {
    let (Some(&before), Some(&number)) = (list.get(at - 1), list.get(at)) else { return };
    // SAFETY: live, says the caller.
    let [before, key] = [before, number].map(|number| unsafe { jobs.add(number.into()).as_ref() }.key);
    if !std::ptr::eq(before, key) {
        material::fetch(key);
    }
}

/// The kind of all jobs, if they have one; asks the cache for their keys on the way. Sorting them would cost 12 of 55 cycles for a
/// packet of 64 bytes.
#[inline(always)]
fn alike<L: Lanes>(jobs: &[Job<'_>]) -> Option<Kind> {
    let head = jobs.first()?;
    let first = Kind::of::<L>(head)?;
    let (mut alike, mut key, mut length) = (true, head.key, head.length);
    for job in jobs {
        // Nearly all, where there is one SA.
        if job.length == length && std::ptr::eq(job.key, key) {
            continue;
        }
        alike &= Kind::of::<L>(job) == Some(first);
        if !std::ptr::eq(job.key, key)
            && let Some(key) = job.key.simd()
        {
            key.prefetch();
        }
        (key, length) = (job.key, job.length);
    }
    alike.then_some(first)
}

impl Kind {
    /// A short packet has a counter block more than payload blocks, all of which fit into a chunk, and its blocks, the additional data and
    /// the lengths have each a power of H. `None` if the job has no SIMD key.
    #[inline(always)]
    fn of<L: Lanes>(job: &Job<'_>) -> Option<Self> {
        let blocks = job.length.div_ceil(16);
        let short = blocks < L::CHUNK * L::COUNT && blocks + 2 <= POWERS;
        let size = if short { blocks / L::COUNT } else { LONG };
        Some(Self { rounds: job.key.simd()?.rounds(), size })
    }
}

/// Jobs of several kinds.
fn mixed<L: Lanes, D: Direction>(lanes: L, jobs: &mut [Job<'_>]) {
    let mut done = 0;
    for rounds in [14, 10, 12] {
        if done == jobs.len() {
            break;
        }
        let mut lists = Lists { numbers: [[0; JOBS]; LONG + 1], counts: [0; LONG + 1] };
        for (number, job) in (0_u8..).zip(&*jobs) {
            if let Some(kind) = Kind::of::<L>(job).filter(|kind| kind.rounds == rounds) {
                lists.numbers[kind.size][lists.counts[kind.size]] = number;
                lists.counts[kind.size] += 1;
                done += 1;
            }
        }
        for size in 0..=LONG {
            let list = &lists.numbers[size][..lists.counts[size]];
            if !list.is_empty() {
                transform::<L, D>(lanes, jobs, size, list);
            }
        }
    }
    if done < jobs.len() {
        jobs.iter_mut().filter(|job| job.key.simd().is_none()).for_each(D::portable);
    }
}

/// Transforms the jobs that `list` names, all of them of that size and with as many AES rounds.
fn transform<L: Lanes, D: Direction>(lanes: L, jobs: &mut [Job<'_>], size: usize, list: &[u8]) {
    let jobs = NonNull::from(jobs).cast::<Job<'_>>();
    let direction = PhantomData::<D>;
    macro_rules! short {
        ($($registers:literal: $together:literal),*) => {
            match size + 1 {
                $($registers if $registers <= L::CHUNK => {
                    lanes.enter(Short::<_, $together, $registers> { jobs, list, direction });
                })*
                _ => lanes.enter(Long { jobs, list, direction }),
            }
        };
    }
    // As many together as give some eight chains of AES rounds.
    short!(1: 2, 2: 2, 3: 2, 4: 2, 5: 1, 6: 1, 7: 1, 8: 1);
}

impl Direction for Seal {
    const OPENS: bool = false;

    #[inline(always)]
    fn finish(job: &mut Job<'_>, tag: __m128i) {
        // SAFETY: a job has room for the tag behind its payload.
        unsafe { _mm_storeu_si128(job.payload.as_ptr().add(job.length).cast(), tag) }
    }

    fn portable(job: &mut Job<'_>) {
        portable::seal(std::slice::from_mut(job));
    }
}

impl Direction for Open {
    const OPENS: bool = true;

    /// Constant time: all 16 bytes are compared, whatever the first ones are.
    #[inline(always)]
    fn finish(job: &mut Job<'_>, tag: __m128i) {
        // SAFETY: a job has a tag behind its payload; every x86-64 has SSE2.
        let equal = unsafe {
            let received = _mm_loadu_si128(job.payload.as_ptr().add(job.length).cast());
            _mm_movemask_epi8(_mm_cmpeq_epi8(received, tag))
        };
        if equal == 0xffff {
            job.verdict = Verdict::Authentic;
        } else {
            job.reject();
        }
    }

    fn portable(job: &mut Job<'_>) {
        portable::open(std::slice::from_mut(job));
    }
}

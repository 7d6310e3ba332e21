//! Where in a pool a session is, or could be: the rows of a sequence that follows from its identity, all of them among the ports of its host's external address.

use std::sync::atomic::{AtomicU64, Ordering};

use super::word::{Seconds, Session, Word};
use super::{Place, Pool, ROW, halves, mix, scaled};

/// Rows that a session may be in. With 95 of 100 ports taken, one new session in 700 finds none.
const ROWS_TRIED: u64 = 32;

/// What a search comes to.
pub(super) enum Found {
    /// The session.
    Session(Place, Word),
    /// A place that it could take.
    Vacancy(Vacancy),
    /// Neither.
    Nothing,
}

/// A place that is free, or that of a session which gives way.
#[derive(Clone, Copy)]
pub(super) struct Vacancy {
    pub(super) place: Place,
    /// What it says.
    pub(super) word: Word,
    /// In how many rows of the sequence it had to be looked for.
    pub(super) rows: u64,
}

/// The rows of a session, in their order.
pub(super) struct Sequence {
    /// The first row of its external address, and how many that has.
    first: u64,
    rows: u64,
    hash: u64,
}

impl Sequence {
    fn len(&self) -> u64 {
        ROWS_TRIED.min(self.rows)
    }

    fn row(&self, number: u64) -> Option<usize> {
        // A small pool has all of its rows tried.
        let row = match self.rows <= ROWS_TRIED {
            true => (scaled(self.hash, self.rows) + number) % self.rows,
            false => scaled(mix(self.hash.wrapping_add(number)), self.rows),
        };
        usize::try_from(self.first + row).ok()
    }

    /// How many of the rows there are up to this one.
    pub(super) fn rows_up_to(&self, row: usize) -> Option<u64> {
        (0..self.len()).find(|number| self.row(*number) == Some(row)).map(|number| number + 1)
    }
}

/// Within how many rows of its sequence every session is: who is not there, and has found a free place, does not have to look further. Falls after each sweep
/// to what it has to be.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Reach {
    rows: AtomicU64,
    /// The same for sessions since the last sweep has begun.
    lately: AtomicU64,
}

impl Reach {
    fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// A session is that far away. Mostly two loads.
    pub(super) fn extend(&self, rows: u64) {
        for reach in [&self.lately, &self.rows] {
            if reach.load(Ordering::SeqCst) < rows {
                reach.fetch_max(rows, Ordering::SeqCst);
            }
        }
    }

    pub(super) fn begin_sweep(&self) {
        self.lately.store(0, Ordering::SeqCst);
    }

    /// The sweep has seen sessions that far away.
    pub(super) fn end_sweep(&self, rows: u64) {
        self.rows.store(rows.max(self.lately.load(Ordering::SeqCst)), Ordering::SeqCst);
        // Whoever has begun before the store has said so; whoever begins after it sees it.
        self.rows.fetch_max(self.lately.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

impl Pool {
    pub(super) fn sequence(&self, word: Word) -> Sequence {
        let [low, high] = halves(word.identity());
        let rows = u64::from(self.ports_per_address) / ROW as u64;
        let first = self.address_number(word.inside().address) * rows;
        Sequence { first, rows, hash: mix(mix(low ^ self.seed) ^ high) }
    }

    /// The session, or the first place that it could take: one that is free, else that of the session which has been silent for the longest of those that give way.
    pub(super) fn search(&self, session: Session, now: Seconds) -> Found {
        let identity = session.identity();
        let sequence = self.sequence(Word(identity));
        let reach = self.reach.rows();
        let (mut free, mut stalest): (Option<Vacancy>, Option<(u32, Vacancy)>) = (None, None);
        for number in 0..sequence.len() {
            if number >= reach && free.is_some() {
                break;
            }
            let Some((row, places)) = sequence.row(number).and_then(|row| Some((row, self.rows.get(row)?)))
            else {
                break;
            };
            let mut is_end = false;
            for (at, cell) in places.0.iter().enumerate() {
                let word = Word(cell.load(Ordering::Relaxed));
                let place = Place(u32::try_from(row * ROW + at).unwrap_or(0));
                let vacancy = Vacancy { place, word, rows: number + 1 };
                if !word.is_taken(now) {
                    free = free.or(Some(vacancy));
                } else if word.identity() == identity {
                    return Found::Session(place, word);
                } else if let Some(silent_s) = word.gives_way(now)
                    && stalest.is_none_or(|(longest_s, _)| silent_s > longest_s)
                {
                    stalest = Some((silent_s, vacancy));
                }
                is_end |= word == Word::UNTOUCHED;
            }
            // Whoever came before would have taken it.
            if is_end {
                break;
            }
        }
        free.or(stalest.map(|(_, vacancy)| vacancy)).map_or(Found::Nothing, Found::Vacancy)
    }

    /// How many rows the search for a session that is not there looks at, at most.
    #[cfg(test)]
    pub(super) fn reach_rows(&self) -> u64 {
        self.reach.rows()
    }
}

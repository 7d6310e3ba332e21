//! Sweeps of a pool: how full it is, and places back whose sessions are over. By the control thread, a slice at a time.

use std::sync::atomic::Ordering;

use super::word::{Seconds, Word};
use super::{Pool, ROW};
use crate::header::Protocol;

/// How full a pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Usage {
    /// Sessions at present; each has a port.
    pub sessions: u64,
    /// Those of them that are TCP's.
    pub tcp: u64,
    /// UDP's.
    pub udp: u64,
    /// ICMP echoes'.
    pub icmp: u64,
    /// Ports that there are, of all external addresses together.
    pub ports: u64,
    /// Sessions that were begun since the pool was made.
    pub begun: u64,
    /// Packets of new sessions that found no port.
    pub refused: u64,
}

/// A sweep under way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sweep {
    next_row: usize,
    seen: Usage,
    reach_rows: u64,
}

impl Pool {
    /// Looks at up to so many places more, at that time of the workers' clock in microseconds. At the end of the pool, tells how full that was, and begins anew with the next call.
    /// Places remember times for 12 days: each has to be looked at more often than that.
    pub fn sweep(&self, sweep: &mut Sweep, places: usize, now_us: u64) -> Option<Usage> {
        let now = Seconds::of_us(now_us);
        if sweep.next_row == 0 {
            self.reach.begin_sweep();
        }
        let rows = self.rows.get(sweep.next_row..).unwrap_or_default();
        let rows = rows.get(..places.div_ceil(ROW)).unwrap_or(rows);
        for (row, cells) in (sweep.next_row..).zip(rows) {
            for cell in &cells.0 {
                let word = Word(cell.load(Ordering::Relaxed));
                if word.is_taken(now) {
                    sweep.count(word);
                    let rows = self.sequence(word).rows_up_to(row).unwrap_or(0); // it is in one of them
                    sweep.reach_rows = sweep.reach_rows.max(rows);
                } else if word.protocol().0 != 0 {
                    // Lost to a worker that has just taken the place: so be it.
                    let free = Word::GIVEN_BACK.0;
                    let _ = cell.compare_exchange(word.0, free, Ordering::Relaxed, Ordering::Relaxed);
                }
            }
        }
        sweep.next_row += rows.len();
        if sweep.next_row < self.rows.len() {
            return None;
        }
        self.reach.end_sweep(sweep.reach_rows);
        Some(self.counted(std::mem::take(sweep).seen))
    }

    /// Ports that there are, of all external addresses together.
    #[must_use]
    pub fn ports(&self) -> u64 {
        (self.rows.len() * ROW) as u64
    }

    /// What a sweep said, with what has been counted since.
    #[must_use]
    pub fn counted(&self, usage: Usage) -> Usage {
        Usage {
            begun: self.counts.begun.load(Ordering::Relaxed),
            refused: self.counts.refused.load(Ordering::Relaxed),
            ports: self.ports(),
            ..usage
        }
    }
}

impl Sweep {
    fn count(&mut self, word: Word) {
        self.seen.sessions += 1;
        match word.protocol() {
            Protocol::TCP => self.seen.tcp += 1,
            Protocol::UDP => self.seen.udp += 1,
            _ => self.seen.icmp += 1,
        }
    }
}

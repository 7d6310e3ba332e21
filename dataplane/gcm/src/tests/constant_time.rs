//! That no branch and no address depends on keys, plaintext or tags, shown in two ways: [`memcheck`] follows every bit of them through what valgrind can run
//! (one lane, and the text for four on emulated registers), and [`stepped`] compares, instruction by instruction, what every kernel of this CPU does
//! with different ones. Both test themselves on code that leaks.

mod memcheck;
mod stepped;

/// Payloads of bursts: short ones of one size, long ones of one size, a mix.
const BURSTS: [[usize; 8]; 3] = [[68; 8], [1404; 8], [0, 1, 16, 240, 496, 1400, 68, 68]];

/// A table look-up and a branch: what no kernel may do with a secret.
const TABLE: [u8; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "a byte is meant")]
        {
            table[at] = (at * 7) as u8;
        }
        at += 1;
    }
    table
};

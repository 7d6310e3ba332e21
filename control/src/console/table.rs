//! Tables for people: as wide as the terminal, coloured only there, with numbers that can be read at a glance.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};

/// Where text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Columns; `None` where there is no terminal and lines may be of any length.
    pub width: Option<u16>,
    /// Whether colours are shown.
    pub colour: bool,
}

/// How a cell is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// As it should be.
    Good,
    /// On its way.
    Pending,
    /// Not as it should be.
    Bad,
    /// Neither.
    Plain,
}

impl Screen {
    /// A table with these column headings; a heading that begins with `>` is of numbers, to the right.
    #[must_use]
    pub fn table(&self, headings: &[&str]) -> Table {
        let mut table = self.bare();
        let cell = |heading: &&str| Cell::new(heading.trim_start_matches('>')).add_attribute(Attribute::Bold);
        table.set_header(headings.iter().map(cell));
        self.finish(&mut table);
        for (index, heading) in headings.iter().enumerate() {
            if let Some(column) = table.column_mut(index).filter(|_| heading.starts_with('>')) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    /// A table of names and values, of two columns without headings.
    #[must_use]
    pub fn facts<'r>(&self, rows: impl IntoIterator<Item = (&'r str, Cell)>) -> Table {
        let mut table = self.bare();
        for (name, value) in rows {
            table.add_row([Cell::new(name).add_attribute(Attribute::Bold), value]);
        }
        self.finish(&mut table);
        table
    }

    fn bare(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        match self.width {
            Some(width) => table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        if self.colour {
            table.enforce_styling()
        } else {
            table.force_no_tty()
        };
        table
    }

    /// Two blanks between columns, none before the first.
    fn finish(&self, table: &mut Table) {
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
    }
}

/// A table as text, every line ended, without blanks at the ends.
#[must_use]
pub fn text(table: &Table) -> String {
    table.trim_fmt() + "\n"
}

/// A cell of text from anywhere.
#[must_use]
pub fn cell(text: &str) -> Cell {
    Cell::new(clean(text))
}

/// A cell in the colour of its mood.
#[must_use]
pub fn moody(text: &str, mood: Mood) -> Cell {
    match mood {
        Mood::Good => cell(text).fg(Color::Green),
        Mood::Pending => cell(text).fg(Color::Yellow),
        Mood::Bad => cell(text).fg(Color::Red),
        Mood::Plain => cell(text),
    }
}

/// Text that cannot steer a terminal: control characters are shown by their escapes. Peers choose parts of what we print.
#[must_use]
pub fn clean(text: &str) -> String {
    let steers = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| if steers(c) { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// Bytes as `1.5 GiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    scaled(count, 1024, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

/// A plain count, exact below a million, else as `12.3 M`.
#[must_use]
pub fn count(count: u64) -> String {
    if count < 1_000_000 {
        count.to_string()
    } else {
        scaled(count, 1000, &["", "k", "M", "G", "T", "P", "E"])
    }
}

/// A rate as `1.5 Gbit/s`.
#[must_use]
pub fn bits_per_s(bits: u64) -> String {
    scaled(bits, 1000, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s", "Pbit/s", "Ebit/s"])
}

/// A number in powers of a thousand, `1.5 G`, for columns whose heading has the unit.
#[must_use]
pub fn thousands(count: u64) -> String {
    scaled(count, 1000, &["", "k", "M", "G", "T", "P", "E"])
}

/// A speed as `10 Gbit/s`.
#[must_use]
pub fn mbit_per_s(speed: u32) -> String {
    bits_per_s(u64::from(speed) * 1_000_000)
}

/// Seconds as `3d 4h`: the two largest units.
#[must_use]
pub fn age(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// Three digits at most where the unit is not the first, one of them behind the point.
fn scaled(count: u64, step: u64, units: &[&str]) -> String {
    let mut divisor = 1_u64;
    let mut units = units.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    for larger in units {
        // In tenths, rounded down, so that nothing looks larger than it is.
        if count / divisor < step {
            break;
        }
        divisor *= step;
        unit = larger;
    }
    let whole = count / divisor;
    let tenth = u64::try_from(u128::from(count % divisor) * 10 / u128::from(divisor)).unwrap_or(0);
    let point = if divisor > 1 && tenth > 0 && whole < 100 { format!(".{tenth}") } else { String::new() };
    format!("{whole}{point} {unit}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_down_to_what_can_be_read() {
        let cases =
            [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1_638_400, "1.5 MiB"), (u64::MAX, "15.9 EiB")];
        for (count, shown) in cases {
            assert_eq!(bytes(count), shown);
        }
        for (number, shown) in [(0, "0"), (999_999, "999999"), (1_999_999, "1.9 M"), (123_456_789, "123 M")] {
            assert_eq!(count(number), shown);
        }
        assert_eq!([100, 2500, 100_000].map(mbit_per_s), ["100 Mbit/s", "2.5 Gbit/s", "100 Gbit/s"]);
    }

    #[test]
    fn ages_are_told_in_their_two_largest_units() {
        for (seconds, shown) in [(0, "0s"), (59, "59s"), (61, "1m 1s"), (7260, "2h 1m"), (270_000, "3d 3h")] {
            assert_eq!(age(seconds), shown);
        }
    }

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\r\n\u{202e}c"), "a\\u{1b}[2Jb\\u{d}\\u{a}\\u{202e}c");
    }

    #[test]
    fn a_table_keeps_to_the_terminal() {
        for width in [20, 40, 80] {
            let screen = Screen { width: Some(width), colour: false };
            let mut table = screen.table(&["NAME", ">BYTES", "TEXT"]);
            table.add_row([cell("a-to-b"), cell("12"), cell("words and more words that want to be wrapped")]);
            for line in text(&table).lines() {
                assert!(line.chars().count() <= usize::from(width), "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn colours_are_for_terminals_only() {
        for colour in [false, true] {
            let mut table = Screen { width: None, colour }.table(&["STATE"]);
            table.add_row([moody("up", Mood::Good)]);
            assert_eq!(text(&table).contains('\u{1b}'), colour);
        }
    }
}

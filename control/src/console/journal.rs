//! The last lines of the log, kept for `crossgate log`. A layer of `tracing`: every event that the filter lets through is kept as one line.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::protocol::{Log, LogLine};

/// Lines that are kept.
const LINES_MAX: usize = 2000;

/// The kept lines; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Journal(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<LogLine>,
    last: u64,
}

impl Journal {
    /// The latest `lines` lines with numbers above `after`.
    #[must_use]
    pub fn read(&self, after: u64, lines: usize) -> Log {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = kept.kept.iter().filter(|line| line.number > after);
        let skip = newer.clone().count().saturating_sub(lines);
        Log { lines: newer.skip(skip).cloned().collect(), last: kept.last }
    }

    fn keep(&self, level: &str, text: String) {
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.last += 1;
        let line = LogLine {
            number: lines.last,
            at_ms: u64::try_from(at_ms).unwrap_or(u64::MAX),
            level: level.to_owned(),
            text,
        };
        if lines.kept.len() == LINES_MAX {
            lines.kept.pop_front();
        }
        lines.kept.push_back(line);
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        self.keep(event.metadata().level().as_str(), text.message + &text.fields);
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format_args!("{value:?}"));
    }
}

impl Text {
    fn put(&mut self, field: &Field, value: &fmt::Arguments<'_>) {
        let into = if field.name() == "message" {
            write!(self.message, "{value}")
        } else {
            write!(self.fields, " {}={value}", field.name())
        };
        debug_assert!(into.is_ok(), "writing to a string does not fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn lines_are_numbered_kept_and_the_oldest_forgotten() {
        let journal = Journal::default();
        let subscriber = tracing_subscriber::registry().with(journal.clone());
        tracing::subscriber::with_default(subscriber, || {
            for turn in 0..LINES_MAX + 2 {
                tracing::info!(connection = "a-to-b", turn, "established");
            }
        });
        let log = journal.read(0, 1);
        assert_eq!(log.last, LINES_MAX as u64 + 2);
        assert_eq!(log.lines[0].text, "established connection=a-to-b turn=2001");
        assert_eq!(journal.read(0, usize::MAX).lines.len(), LINES_MAX);
        assert!(journal.read(log.last, 10).lines.is_empty());
    }
}

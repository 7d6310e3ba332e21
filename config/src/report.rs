//! Collects findings while a configuration is read, and knows the line of every byte.

use std::fmt::Write as _;

use crate::environment::Source;
use crate::finding::{Finding, Severity};

/// Where something stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Line, from 1.
    pub(crate) line: usize,
    /// Path of the key.
    pub(crate) key: String,
}

/// A value with the place that it was read from.
#[derive(Debug, Clone)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// The findings so far.
pub(crate) struct Report<'s> {
    pub(crate) source: Source<'s>,
    line_starts: Vec<usize>,
    findings: Vec<Finding>,
}

impl<'s> Report<'s> {
    pub(crate) fn new(source: Source<'s>) -> Self {
        let after_newlines = source.text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(after_newlines).collect();
        Self { source, line_starts, findings: Vec::new() }
    }

    /// The line, from 1, of the byte at `offset`.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    pub(crate) fn error(&mut self, place: &Place, problem: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Error, place, problem.into(), remedy.into());
    }

    pub(crate) fn warning(&mut self, place: &Place, problem: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Warning, place, problem.into(), remedy.into());
    }

    fn add(&mut self, severity: Severity, place: &Place, problem: String, remedy: String) {
        let file = self.source.file.to_owned();
        self.findings.push(Finding {
            severity,
            file,
            line: place.line,
            key: place.key.clone(),
            problem,
            remedy,
        });
    }

    /// All findings, in the order of the file.
    pub(crate) fn into_findings(mut self) -> Vec<Finding> {
        self.findings.sort_by_key(|finding| finding.line);
        self.findings
    }
}

/// The one of `candidates` that `word` was probably meant to be.
pub(crate) fn did_you_mean<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_', ' '], "");
    let word = plain(word);
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&word, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `"a", "b" or "c"`, at most sixteen of them.
pub(crate) fn alternatives<'c>(words: impl Iterator<Item = &'c str>) -> String {
    let words: Vec<&str> = words.collect();
    let mut text = String::new();
    for (index, word) in words.iter().take(LISTED_MAX).enumerate() {
        let separator = match index {
            0 => "",
            _ if index + 1 == words.len() => " or ",
            _ => ", ",
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}\"{word}\"");
    }
    if words.len() > LISTED_MAX {
        let _ = write!(text, " and {} more", words.len() - LISTED_MAX);
    }
    text
}

const LISTED_MAX: usize = 16;

//! The file as sections and keys, each with its place. What a reader does not take from a section is an unknown key.

mod elsewhere;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::choice::Choice;
use crate::lines::Lines;
use crate::name::Name;
use crate::report::{Located, Place, Report, alternatives, did_you_mean};
use crate::value::{Value, Wrong, wrong_type};

/// One table of the file, being read.
pub(crate) struct Section<'i> {
    /// Where it begins; its key grows by the resource's name once that is known.
    pub(crate) place: Place,
    /// Key, its line, its value. Reading a key takes it out.
    entries: BTreeMap<String, (usize, Spanned<DeValue<'i>>)>,
    /// The keys that were asked for.
    known: Vec<&'static str>,
}

/// The whole file as a section. `None`, and a finding for the first flaw, if it is not TOML.
pub(crate) fn parse<'i>(report: &mut Report<'i>) -> Option<Section<'i>> {
    let (root, flaws) = DeTable::parse_recoverable(report.source.text);
    // The first alone: what follows it is mostly the parser's guesses at what was meant.
    if let Some(flaw) = flaws.first() {
        let line = report.line_of(flaw.span().map_or(0, |span| span.start));
        // The message alone: the error's own text would quote the line, which may hold a secret.
        let problem = format!("this is not TOML: {}", flaw.message());
        let remedy =
            "correct this line first (https://toml.io has the grammar); the rest is checked after that";
        report.error(&Place { line, key: String::new() }, problem, remedy);
    }
    let place = Place { line: 1, key: String::new() };
    flaws.is_empty().then(|| Section::new(place, root.into_inner(), report))
}

impl<'i> Section<'i> {
    fn new(place: Place, table: DeTable<'i>, report: &Report<'_>) -> Self {
        let entry = |(key, value): (Spanned<std::borrow::Cow<'i, str>>, Spanned<DeValue<'i>>)| {
            let line = report.line_of(key.span().start);
            (key.into_inner().into_owned(), (line, value))
        };
        Self { place, entries: table.into_iter().map(entry).collect(), known: Vec::new() }
    }

    /// The place of `key` in this section; the section's own line if the key is not there.
    pub(crate) fn place_of(&self, key: &str) -> Place {
        let line = self.entries.get(key).map_or(self.place.line, |(line, _)| *line);
        self.place_at(key, line)
    }

    fn place_at(&self, key: &str, line: usize) -> Place {
        let key =
            if self.place.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place.key) };
        Place { line, key }
    }

    fn take(&mut self, key: &'static str) -> Option<Located<DeValue<'i>>> {
        self.known.push(key);
        let (line, value) = self.entries.remove(key)?;
        Some(Located { value: value.into_inner(), place: self.place_at(key, line) })
    }

    /// The lines of the sections in it, none of them taken yet, and of their keys.
    pub(crate) fn lines(&self, report: &Report<'_>) -> Lines {
        let mut lines = Lines::default();
        for (kind, (line, value)) in &self.entries {
            if let DeValue::Table(table) = value.get_ref() {
                note(kind, *line, table, &mut lines, report);
            }
            for item in value.get_ref().as_array().into_iter().flat_map(|items| items.iter()) {
                let Some(table) = item.get_ref().as_table() else { continue };
                let line = report.line_of(item.span().start);
                let named = table.iter().find(|(key, _)| key.get_ref() == "name");
                if let Some(name) = named.and_then(|(_, name)| name.get_ref().as_str()) {
                    note(&format!("{kind}[{name}]"), line, table, &mut lines, report);
                }
                lines.note(kind, "", line);
            }
        }
        lines
    }

    /// Whether the section holds `key`, not yet taken.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Whether `key` is there and is a string.
    pub(crate) fn is_string(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|(_, value)| value.get_ref().is_str())
    }

    /// The choice that `key` names, or was probably meant to name; it stays to be read. `None` if it is absent or like none.
    pub(crate) fn meant<T: Choice>(&self, key: &str) -> Option<T> {
        let text = self.entries.get(key)?.1.get_ref().as_str()?;
        let word = did_you_mean(text, T::WORDS.iter().map(|(word, _)| *word))?;
        T::WORDS.iter().find(|(known, _)| *known == word).map(|(_, choice)| *choice)
    }

    /// As [`Self::optional`]; a word that is reported as wrong stands for the one that was probably meant, so that the other keys are not held against a default.
    pub(crate) fn choice<T: Choice>(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<T> {
        let meant = self.meant(key);
        self.optional::<T>(key, report).map(|found| found.value).or(meant)
    }

    /// Passes over the value of `key`.
    pub(crate) fn skip(&mut self, key: &'static str) {
        self.take(key);
    }

    /// Whether `key` is there and is a list of nothing.
    pub(crate) fn has_empty_list(&self, key: &str) -> bool {
        let list = self.entries.get(key).and_then(|(_, value)| value.get_ref().as_array());
        list.is_some_and(|list| list.is_empty())
    }

    /// The value of `key`; `None` if it is absent, or wrong and reported.
    pub(crate) fn optional<T: Value>(
        &mut self,
        key: &'static str,
        report: &mut Report<'_>,
    ) -> Option<Located<T>> {
        let Located { value, place } = self.take(key)?;
        read(&value, place, report)
    }

    /// As [`Self::optional`], and an absent key is reported; `example` is a value for it.
    pub(crate) fn required<T: Value>(
        &mut self,
        key: &'static str,
        example: &str,
        report: &mut Report<'_>,
    ) -> Option<Located<T>> {
        self.need(key, example, report);
        self.optional(key, report)
    }

    fn need(&self, key: &str, example: &str, report: &mut Report<'_>) {
        if !self.has(key) {
            let remedy = format!("add {key} = {example}");
            report.error(&self.place_of(key), format!("the key {key} is missing"), remedy);
        }
    }

    /// An integer within `range`, or `default` if it is absent (or wrong and reported).
    pub(crate) fn integer<T>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<T>,
        default: T,
        report: &mut Report<'_>,
    ) -> T
    where
        T: TryFrom<u64> + PartialOrd + fmt::Display,
    {
        let Some(Located { value, place }) = self.optional::<u64>(key, report) else { return default };
        match T::try_from(value).ok().filter(|value| range.contains(value)) {
            Some(value) => value,
            None => {
                let remedy = format!("take {} to {}", range.start(), range.end());
                report.error(&place, format!("{value} is out of range"), remedy);
                default
            }
        }
    }

    /// The items of a list; wrong ones are reported and left out. `None` if the key is absent or no list.
    pub(crate) fn list<T: Value>(
        &mut self,
        key: &'static str,
        report: &mut Report<'_>,
    ) -> Option<Vec<Located<T>>> {
        let Located { value, place } = self.take(key)?;
        let DeValue::Array(array) = value else {
            complain(&place, wrong_type("a list", &value, &format!("{key} = [..]")), report);
            return None;
        };
        let items = array.into_iter().enumerate().filter_map(|(index, item)| {
            let place = item_place(&place, index, &item, report);
            read(item.get_ref(), place, report)
        });
        Some(items.collect())
    }

    /// As [`Self::list`], where one value alone stands for a list of one.
    pub(crate) fn one_or_list<T: Value>(
        &mut self,
        key: &'static str,
        report: &mut Report<'_>,
    ) -> Option<Vec<Located<T>>> {
        match self.entries.get(key) {
            Some((_, value)) if !value.get_ref().is_array() => {
                Some(self.optional(key, report).into_iter().collect())
            }
            _ => self.list(key, report),
        }
    }

    /// As [`Self::list`]; an absent or empty list is reported.
    pub(crate) fn required_list<T: Value>(
        &mut self,
        key: &'static str,
        example: &str,
        report: &mut Report<'_>,
    ) -> Option<Vec<Located<T>>> {
        self.need(key, example, report);
        if self.has_empty_list(key) {
            report.error(&self.place_of(key), "the list is empty", format!("write {key} = {example}"));
        }
        self.list(key, report)
    }

    /// The table under `key`; `None` if it is absent, or no table and reported.
    pub(crate) fn section(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<Self> {
        let Located { value, place } = self.take(key)?;
        Self::of(value, place, &format!("[{key}]"), report)
    }

    /// The table under `key`, or the tables of a list; `None` if it is absent. A table that is none is reported and left out.
    pub(crate) fn one_or_sections(
        &mut self,
        key: &'static str,
        report: &mut Report<'_>,
    ) -> Option<Vec<Self>> {
        let Located { value, place } = self.take(key)?;
        let sections = match value {
            DeValue::Array(array) => Self::of_list(array, &place, key, report),
            one => vec![Self::of(one, place, &format!("[{key}]"), report)],
        };
        Some(sections.into_iter().flatten().collect())
    }

    /// The tables of a list of tables; `None` for each that is none and was reported.
    pub(crate) fn sections(&mut self, key: &'static str, report: &mut Report<'_>) -> Vec<Option<Self>> {
        let Some(Located { value, place }) = self.take(key) else { return Vec::new() };
        let DeValue::Array(array) = value else {
            complain(&place, wrong_type("a list of tables", &value, &format!("[[{key}]]")), report);
            return vec![None];
        };
        Self::of_list(array, &place, key, report)
    }

    fn of_list(array: DeArray<'i>, place: &Place, key: &str, report: &mut Report<'_>) -> Vec<Option<Self>> {
        let mut sections = Vec::with_capacity(array.len());
        for (index, item) in array.into_iter().enumerate() {
            let place = item_place(place, index, &item, report);
            sections.push(Self::of(item.into_inner(), place, &format!("[[{key}]]"), report));
        }
        sections
    }

    fn of(value: DeValue<'i>, place: Place, example: &str, report: &mut Report<'_>) -> Option<Self> {
        match value {
            DeValue::Table(table) => Some(Self::new(place, table, report)),
            other => {
                complain(&place, wrong_type("a table", &other, example), report);
                None
            }
        }
    }

    /// The resource's name; the places of all its other keys are told by it from here on.
    pub(crate) fn name(&mut self, kind: &str, report: &mut Report<'_>) -> Option<Located<Name>> {
        let name = self.required::<Name>("name", "\"a-name\"", report)?;
        self.place.key = format!("{kind}[{}]", name.value);
        Some(name)
    }

    /// Reports every key that nobody asked for, those that the cloud's gateway has with what stands for them here.
    pub(crate) fn finish(self, report: &mut Report<'_>) {
        for (key, (line, _)) in &self.entries {
            if let Some((problem, remedy)) = elsewhere::find(&self.place.key, key) {
                report.error(&self.place_at(&printable(key), *line), problem, remedy);
                continue;
            }
            let remedy = match did_you_mean(key, self.known.iter().copied()) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => {
                    format!("take it out; the keys here are {}", alternatives(self.known.iter().copied()))
                }
            };
            report.error(&self.place_at(&printable(key), *line), "there is no such key", remedy);
        }
    }
}

/// Notes the lines of a section and of its keys.
fn note(section: &str, line: usize, table: &DeTable<'_>, lines: &mut Lines, report: &Report<'_>) {
    lines.note(section, "", line);
    for (key, _) in table {
        lines.note(section, key.get_ref(), report.line_of(key.span().start));
    }
}

fn item_place(list: &Place, index: usize, item: &Spanned<DeValue<'_>>, report: &Report<'_>) -> Place {
    Place { line: report.line_of(item.span().start), key: format!("{}[{index}]", list.key) }
}

fn read<T: Value>(value: &DeValue<'_>, place: Place, report: &mut Report<'_>) -> Option<Located<T>> {
    match T::read(value) {
        Ok(value) => Some(Located { value, place }),
        Err(wrong) => {
            complain(&place, wrong, report);
            None
        }
    }
}

fn complain(place: &Place, wrong: Wrong, report: &mut Report<'_>) {
    report.error(place, wrong.problem, wrong.remedy);
}

/// A key as it can be printed: quoted and escaped unless it is a bare key.
fn printable(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare { key.to_owned() } else { format!("{key:?}") }
}

//! The resources of one kind while a file is read: which names are taken, and which resources are sound.
//!
//! A reference to a resource that is there but has flaws of its own is not reported again.

use std::collections::BTreeMap;

use crate::name::Name;
use crate::report::{Located, Report, alternatives, did_you_mean};

pub(crate) struct Shelf<T> {
    /// What the kind is called in findings.
    kind: &'static str,
    /// Each name with the line that it was first given on.
    declared: BTreeMap<Name, usize>,
    sound: BTreeMap<Name, T>,
    /// Names of the same kind whose resources are on another shelf, with what is said of whoever looks for them here: problem and remedy.
    elsewhere: BTreeMap<Name, (&'static str, &'static str)>,
    /// Whether something of this kind was left out because of a finding.
    has_gaps: bool,
    /// Whether the name of something of this kind could not be read.
    has_nameless: bool,
}

impl<T> Shelf<T> {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            declared: BTreeMap::new(),
            sound: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            has_gaps: false,
            has_nameless: false,
        }
    }

    /// Takes the name for a resource; a name that is taken already is reported.
    pub(crate) fn declare(&mut self, name: &Located<Name>, report: &mut Report<'_>) {
        if let Some(line) = self.declared.get(&name.value) {
            let problem = format!("the {} \"{}\" exists already, on line {line}", self.kind, name.value);
            report.error(&name.place, problem, "give each of them a name of its own, or leave one out");
        } else {
            self.declared.insert(name.value.clone(), name.place.line);
        }
    }

    /// Takes a name that another shelf has checked.
    pub(crate) fn note(&mut self, name: &Located<Name>) {
        self.declared.entry(name.value.clone()).or_insert(name.place.line);
    }

    /// Notes that the resource of a declared name is on another shelf: whoever refers to it here is told so.
    pub(crate) fn is_elsewhere(&mut self, name: &Name, problem: &'static str, remedy: &'static str) {
        self.elsewhere.insert(name.clone(), (problem, remedy));
    }

    /// Puts a sound resource on the shelf, or notes that one is missing. Of two with one name the first stays.
    pub(crate) fn put(&mut self, name: Option<Located<Name>>, resource: Option<T>) {
        self.has_nameless |= name.is_none();
        match name.zip(resource) {
            Some((name, resource)) if !self.sound.contains_key(&name.value) => {
                self.sound.insert(name.value, resource);
            }
            _ => self.has_gaps = true,
        }
    }

    /// The resource that `reference` names. A name that leads nowhere is reported.
    pub(crate) fn find(&self, reference: &Located<Name>, report: &mut Report<'_>) -> Option<&T> {
        if !self.declared.contains_key(&reference.value) && !self.has_nameless {
            let names = || self.declared.keys().map(Name::as_str);
            let remedy = match did_you_mean(reference.value.as_str(), names()) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None if self.declared.is_empty() => {
                    format!("add a [[{}]] with that name", self.kind.to_ascii_lowercase().replace(' ', "_"))
                }
                None => format!("name one that exists: {}", alternatives(names())),
            };
            report.error(
                &reference.place,
                format!("there is no {} \"{}\"", self.kind, reference.value),
                remedy,
            );
        }
        let found = self.sound.get(&reference.value);
        if let Some((problem, remedy)) = self.elsewhere.get(&reference.value).filter(|_| found.is_none()) {
            let problem = format!("the {} \"{}\" {problem}", self.kind, reference.value);
            report.error(&reference.place, problem, *remedy);
        }
        found
    }

    /// Each name that is taken, with its line.
    pub(crate) fn declared(&self) -> impl Iterator<Item = (&Name, usize)> {
        self.declared.iter().map(|(name, line)| (name, *line))
    }

    /// All sound resources, by name.
    pub(crate) fn sound(&self) -> &BTreeMap<Name, T> {
        &self.sound
    }

    /// Whether every resource of this kind is here, so that "none of them" can be said.
    pub(crate) fn is_complete(&self) -> bool {
        !self.has_gaps
    }

    pub(crate) fn into_sound(self) -> BTreeMap<Name, T> {
        self.sound
    }
}

//! Clients with passwords: a private file that names them.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use crate::document::Section;
use crate::environment::Environment;
use crate::report::Report;
use crate::secret::{self, SecretReference};

/// Names and passwords. Wiped when dropped, shown to nobody.
#[derive(PartialEq, Eq)]
pub struct Users {
    entries: Vec<(String, Zeroizing<String>)>,
    reference: SecretReference,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Users({})", self.entries.len())
    }
}

impl Users {
    /// Each name with its password.
    pub fn expose(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, password)| (name.as_str(), password.as_str()))
    }

    /// Where they were read from.
    #[must_use]
    pub fn reference(&self) -> &SecretReference {
        &self.reference
    }
}

/// A private file with a line `NAME:PASSWORD` for each user; empty lines and those that begin with # do not count.
pub(super) fn read(
    section: &mut Section<'_>,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<Users> {
    let found = secret::read_users(section, "users", environment, report)?;
    let Ok(text) = std::str::from_utf8(&found.value) else {
        report.error(&found.place, "the file of users is not UTF-8 text", "save it as UTF-8");
        return None;
    };
    let mut entries: Vec<(String, Zeroizing<String>)> = Vec::new();
    let mut names = BTreeSet::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line_number = number + 1;
        let parts = line.split_once(':').filter(|(name, _)| !name.is_empty() && !name.contains(['\\', ' ']));
        let Some((name, password)) = parts else {
            let problem = format!("line {line_number} of the file of users is no NAME:PASSWORD");
            report.error(
                &found.place,
                problem,
                "write one user on each line, the name without blanks and backslashes",
            );
            return None;
        };
        if !names.insert(name) {
            let problem = format!("line {line_number} of the file of users names {name:?} again");
            report.error(&found.place, problem, "leave one of the two out");
            return None;
        }
        if password.chars().count() < PASSWORD_MIN {
            let problem = format!(
                "the password on line {line_number} of the file of users has fewer than {PASSWORD_MIN} characters"
            );
            report.error(
                &found.place,
                problem,
                "take a longer one: whoever records a log-in may try passwords against it",
            );
            return None;
        }
        entries.push((name.to_owned(), Zeroizing::new(password.to_owned())));
    }
    Some(Users { entries, reference: found.reference })
}

/// Shorter passwords are found by trying.
const PASSWORD_MIN: usize = 8;

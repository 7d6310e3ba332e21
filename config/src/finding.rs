//! What is wrong with a configuration: file, line, key, problem and remedy, all of it at once.
//!
//! The readers of this crate make findings; `crossgate check`, `crossgate apply` and the daemon print them. A finding
//! never holds the value of a secret.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration works, but hardly as meant.
    Warning,
    /// The configuration is refused.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One thing that is wrong, with the way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Refused, or merely advised against.
    pub severity: Severity,
    /// The file as the caller named it.
    pub file: PathBuf,
    /// Line in that file, from 1; 0 where no line can be named (the file cannot be read).
    pub line: usize,
    /// Path of the key, such as `connection[a-to-b].policy.dh_group`; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    /// Where it is: file, line and key, as far as they are known.
    #[must_use]
    pub fn place(&self) -> String {
        let mut place = self.file.display().to_string();
        if self.line > 0 {
            place.push_str(&format!(":{}", self.line));
        }
        if !self.key.is_empty() {
            place.push_str(": ");
            place.push_str(&self.key);
        }
        place
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, problem, remedy, .. } = self;
        write!(f, "{severity}: {}: {problem}\n  remedy: {remedy}", self.place())
    }
}

/// Everything that is wrong with one configuration, in the order of the file; at least one of them is an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Findings(pub Vec<Finding>);

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            finding.fmt(f)?;
        }
        Ok(())
    }
}

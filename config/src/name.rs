//! Names of resources: what files, commands, logs and metrics call a thing.

use std::borrow::Borrow;
use std::fmt;

use serde::Serialize;

/// Name of a resource: 1 to 80 letters, digits, `-`, `_` and `.`, beginning with a letter or a digit, so that it can
/// stand in a file name, a command and a metric as it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// The name, if `text` is one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let whole = text.len() <= LENGTH_MAX
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        whole.then(|| Self(text.to_owned()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// So that a map by name can be asked with plain text.
impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The longest name; Azure's names of gateways and connections end here too.
const LENGTH_MAX: usize = 80;

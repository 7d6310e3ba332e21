//! Other systems' descriptions of gateways into a configuration of ours, with a list of everything that could not be taken over: Azure
//! Resource Manager templates (`import/template.rs`) and the classic network configuration (`import/classic.rs`).
//!
//! What comes out is a draft: it has the shape of a configuration, `CHANGE` where only the operator knows more, and references to secrets that
//! are still to be written. `crossgate check` says what is missing. `crossgate import` calls it. Input is somebody else's: nothing in it can make
//! this panic or run away.

mod classic;
mod draft;
mod expression;
mod policy;
mod template;

use serde::Serialize;

/// A draft with what is missing from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// The configuration as TOML.
    pub toml: String,
    /// What could not be taken over, in the order of the input.
    pub left_out: Vec<LeftOut>,
}

/// Something that could not be taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Where it stands in the input, such as `connections[a-to-b].properties.enableBgp`.
    pub place: String,
    /// Why, and what that means.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

/// Why nothing could be taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The input is longer than [`INPUT_MAX_BYTES`].
    #[error("the file is larger than {} MiB: name a template or a network configuration", INPUT_MAX_BYTES >> 20)]
    TooLarge,
    /// It is neither JSON nor XML.
    #[error("this is neither a Resource Manager template (JSON) nor a network configuration (XML): {0}")]
    Unreadable(String),
    /// It is one of both, but of something else.
    #[error("there is nothing of a gateway in it: {0}")]
    NothingThere(&'static str),
}

/// Takes over a template or a network configuration, whichever `text` is.
///
/// # Errors
/// [`ImportError`] if there is nothing to take over.
pub fn import(text: &str) -> Result<Imported, ImportError> {
    if text.len() > INPUT_MAX_BYTES {
        return Err(ImportError::TooLarge);
    }
    let text = text.trim_start_matches('\u{feff}');
    match text.trim_start().chars().next() {
        Some('<') => classic::import(text),
        _ => template::import(text),
    }
}

/// Larger than any template (Azure takes 4 MiB).
pub const INPUT_MAX_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests;

//! What is said besides of a peer that did not answer.

use std::fmt;

use crate::wire::NotifyType;

pub(super) struct Hint(pub(super) Option<NotifyType>);

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(notify) => write!(f, " (but somebody answered {notify})"),
        }
    }
}

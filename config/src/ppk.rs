//! Post-quantum pre-shared keys of connections (RFC 8784): `[connection.ppk]`.

use std::sync::Arc;

use crate::document::Section;
use crate::environment::Environment;
use crate::report::Report;
use crate::secret::{self, SharedKey};

/// A key that both sides have beside what they authenticate with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ppk {
    /// Its name, the same on both sides; 1 to 64 printable ASCII characters without blanks.
    pub id: String,
    /// The key itself. Shared so that a connection can be handed around; the key is never copied.
    pub secret: Arc<SharedKey>,
    /// Whether a peer without it is refused.
    pub required: bool,
}

/// Reads `[connection.ppk]`, if it is there.
pub(crate) fn read(
    section: &mut Section<'_>,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<Ppk> {
    let mut own = section.section("ppk", report)?;
    let id = own.required::<String>("id", "\"site-a.site-b\"", report);
    let secret = secret::read_ppk(&mut own, "secret", environment, report);
    let required = own.optional::<bool>("required", report);
    own.finish(report);
    let id = id?;
    let is_sound = (1..=ID_MAX_CHARACTERS).contains(&id.value.len())
        && id.value.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
    if !is_sound {
        let problem = format!("{:?} is no name of a PPK", id.value);
        let remedy = format!(
            "take 1 to {ID_MAX_CHARACTERS} printable ASCII characters without blanks, quotes and backslashes, such as \"site-a.site-b\""
        );
        report.error(&id.place, problem, remedy);
        return None;
    }
    Some(Ppk {
        id: id.value,
        secret: Arc::new(secret?),
        required: required.is_none_or(|required| required.value),
    })
}

/// As long as any system takes.
const ID_MAX_CHARACTERS: usize = 64;

//! Azure's `ipsecPolicies` in our words. The names are the same; what we do not speak is left out and told, and our default stands in its place.

use serde_json::Value;

use super::draft::{Connection, Draft, quoted, shown};
use super::expression::Scope;
use crate::choice::Choice;
use crate::policy::algorithm::{
    DhGroup, IkeEncryption, IkeIntegrity, IpsecEncryption, IpsecIntegrityWord, PfsWord,
};

/// Takes over one policy.
pub(super) fn take(
    policy: &Value,
    place: &str,
    scope: &Scope<'_>,
    connection: &mut Connection,
    draft: &mut Draft,
) {
    let known: [(&str, &'static str, Reader); 6] = [
        ("ikeEncryption", "ike_encryption", word::<IkeEncryption>),
        ("ikeIntegrity", "ike_integrity", ike_integrity),
        ("dhGroup", "dh_group", word::<DhGroup>),
        ("ipsecEncryption", "ipsec_encryption", word::<IpsecEncryption>),
        ("ipsecIntegrity", "ipsec_integrity", word::<IpsecIntegrityWord>),
        ("pfsGroup", "pfs_group", word::<PfsWord>),
    ];
    for (key, ours, read) in known {
        let Some(value) = policy.get(key) else { continue };
        let place = format!("{place}.{key}");
        match scope.text(value).map(|text| (read(&text), text)) {
            Some((Taken::As(word), _)) => connection.policy.push((ours, quoted(word))),
            Some((Taken::Refused(problem, remedy), text)) => {
                let problem = format!(
                    "{} is refused here: {problem}; any sound algorithm is taken instead",
                    shown(&text)
                );
                draft.leave_out(place, problem, format!("give the peer a sound one too: {remedy}"));
            }
            Some((Taken::Unknown, text)) => {
                draft.leave_out(
                    place,
                    format!("{} is not known here", shown(&text)),
                    "choose an algorithm by hand",
                );
            }
            None => unresolved(&place, draft),
        }
    }
    let range = |from: u64, to: u64| from..=to;
    for (key, ours, range) in [
        ("saLifeTimeSeconds", "sa_lifetime_s", range(300, 172_799)),
        ("saDataSizeKilobytes", "sa_data_size_kib", range(1024, 1 << 40)),
    ] {
        let Some(value) = policy.get(key) else { continue };
        let number = scope.text(value).and_then(|text| text.parse::<u64>().ok());
        match number.filter(|number| range.contains(number)) {
            Some(number) => connection.policy.push((ours, number.to_string())),
            None => {
                let problem = format!("it is not a number from {} to {}", range.start(), range.end());
                draft.leave_out(format!("{place}.{key}"), problem, "the default stands instead");
            }
        }
    }
}

/// A value that needs a running deployment.
pub(super) fn unresolved(place: &str, draft: &mut Draft) {
    let problem = "the expression has no value without its deployment";
    draft.leave_out(place, problem, "give the parameter a defaultValue, or write the value in by hand");
}

/// What becomes of a word.
type Reader = fn(&str) -> Taken;

enum Taken {
    As(&'static str),
    Refused(&'static str, &'static str),
    Unknown,
}

fn word<T: Choice>(text: &str) -> Taken {
    if let Some((word, _)) = T::WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)) {
        return Taken::As(word);
    }
    match T::REFUSED.iter().find(|(word, _, _)| word.eq_ignore_ascii_case(text)) {
        Some((_, problem, remedy)) => Taken::Refused(problem, remedy),
        None => Taken::Unknown,
    }
}

/// With GCM the integrity word says nothing, and with CBC it is never GCM.
fn ike_integrity(text: &str) -> Taken {
    match text.to_ascii_uppercase().as_str() {
        "GCMAES256" => Taken::As("GCMAES256"),
        "GCMAES192" => Taken::As("GCMAES192"),
        "GCMAES128" => Taken::As("GCMAES128"),
        _ => word::<IkeIntegrity>(text),
    }
}

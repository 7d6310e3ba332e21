//! Who gets a place at the console when places are short. Some are kept for those who may change the gateway, so that clients that only look can
//! never lock its owner out; of those that look, whoever has been quiet longest makes room.

use std::time::Duration;

use mio::Token;

use super::Access;

/// What becomes of a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// There is a place.
    Free,
    /// There is one once this client is gone.
    InPlaceOf(Token),
    /// There is none.
    Full,
}

/// A client that has a place: its token, what it may do, how long it has been quiet.
pub(super) type Seated = (Token, Access, Duration);

/// Decides for a newcomer that may do `access`.
pub(super) fn admit(access: Access, seated: impl Iterator<Item = Seated> + Clone) -> Admission {
    let looking = seated.clone().filter(|(_, access, _)| *access == Access::Look);
    let quietest = looking.clone().max_by_key(|(_, _, quiet)| *quiet);
    let all = seated.count();
    let (is_free, quiet_enough) = match access {
        Access::Change => (all < PLACES, Duration::ZERO),
        Access::Look => (all < PLACES && looking.count() < LOOK_PLACES, QUIET_ENOUGH),
    };
    if is_free {
        return Admission::Free;
    }
    match quietest {
        Some((token, _, quiet)) if quiet >= quiet_enough => Admission::InPlaceOf(token),
        _ => Admission::Full,
    }
}

/// All places.
pub(super) const PLACES: usize = 64;
/// Those that clients that only look may take.
pub(super) const LOOK_PLACES: usize = 48;
/// A client that looks and has been quiet for so long makes room for another one that looks.
const QUIET_ENOUGH: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` clients; number 7 of them has been quiet longest.
    fn seated(count: usize, access: Access, quiet_s: u64) -> impl Iterator<Item = Seated> + Clone {
        (0..count).map(move |number| {
            let quiet = Duration::from_secs(if number == 7 { quiet_s + 1 } else { quiet_s });
            (Token(number), access, quiet)
        })
    }

    #[test]
    fn those_who_only_look_never_take_the_owner_s_places() {
        assert_eq!(admit(Access::Look, seated(LOOK_PLACES - 1, Access::Look, 0)), Admission::Free);
        assert_eq!(admit(Access::Look, seated(LOOK_PLACES, Access::Look, 0)), Admission::Full);
        assert_eq!(admit(Access::Change, seated(LOOK_PLACES, Access::Look, 0)), Admission::Free);
    }

    #[test]
    fn whoever_looks_and_is_quiet_longest_makes_room() {
        assert_eq!(
            admit(Access::Look, seated(LOOK_PLACES, Access::Look, 10)),
            Admission::InPlaceOf(Token(7))
        );
        assert_eq!(admit(Access::Change, seated(PLACES, Access::Look, 0)), Admission::InPlaceOf(Token(7)));
    }

    #[test]
    fn those_who_may_change_are_never_put_out() {
        for access in [Access::Look, Access::Change] {
            assert_eq!(admit(access, seated(PLACES, Access::Change, 3600)), Admission::Full);
        }
    }
}

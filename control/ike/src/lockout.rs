//! Wrong passwords, by user and source: whoever tries one after the other has to wait. A source alone has more tries, since several users may be behind one address; a user alone
//! has no limit, for then anybody could lock anybody out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::environment::Instant;
use crate::half_open::source;

/// Wrong passwords of one user from one source, after which it waits.
const TRIES_OF_USER: u32 = 5;
/// The same of one source.
const TRIES_OF_SOURCE: u32 = 30;
/// How long it waits after the last one, and after which tries are forgotten.
const WAIT: Duration = Duration::from_secs(300);
/// Most that are remembered: beyond, the one whose last try is longest ago is forgotten.
const REMEMBERED_MAX: usize = 4_096;

/// Who tried: a source, and a user of it or all together.
type Key = (IpAddr, Option<String>);

/// Tries that failed.
#[derive(Debug, Default)]
pub(crate) struct Lockout {
    tries: HashMap<Key, Tries>,
}

#[derive(Clone, Copy, Debug)]
struct Tries {
    count: u32,
    last: Instant,
}

impl Lockout {
    /// Whether this user has to wait there.
    pub(crate) fn holds(&self, from: IpAddr, user: &str, now: Instant) -> bool {
        let has_tried = |user: Option<&str>, most: u32| {
            let tries = self.tries.get(&(source(from), user.map(ToOwned::to_owned)));
            tries.is_some_and(|tries| tries.count >= most && now < tries.last + WAIT)
        };
        has_tried(Some(user), TRIES_OF_USER) || has_tried(None, TRIES_OF_SOURCE)
    }

    /// A password was wrong, or the user is none.
    pub(crate) fn failed(&mut self, from: IpAddr, user: &str, now: Instant) {
        for user in [Some(user.to_owned()), None] {
            let key = (source(from), user);
            if !self.tries.contains_key(&key) {
                self.make_room(now);
            }
            let tries = self.tries.entry(key).or_insert(Tries { count: 0, last: now });
            if now >= tries.last + WAIT {
                tries.count = 0;
            }
            *tries = Tries { count: tries.count.saturating_add(1), last: now };
        }
    }

    /// A user logged in: what was wrong before was a slip.
    pub(crate) fn succeeded(&mut self, from: IpAddr, user: &str) {
        self.tries.remove(&(source(from), Some(user.to_owned())));
    }

    fn make_room(&mut self, now: Instant) {
        if self.tries.len() < REMEMBERED_MAX {
            return;
        }
        self.tries.retain(|_, tries| now < tries.last + WAIT);
        if self.tries.len() >= REMEMBERED_MAX
            && let Some(oldest) =
                self.tries.iter().min_by_key(|(_, tries)| tries.last).map(|(key, _)| key.clone())
        {
            self.tries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn a_user_waits_where_the_tries_came_from_and_nowhere_else() {
        let mut lockout = Lockout::default();
        for second in 0..5 {
            assert!(!lockout.holds(ip("192.0.2.1"), "anna", at(second)));
            lockout.failed(ip("192.0.2.1"), "anna", at(second));
        }
        assert!(lockout.holds(ip("192.0.2.1"), "anna", at(300)));
        assert!(!lockout.holds(ip("192.0.2.2"), "anna", at(300)), "from elsewhere");
        assert!(!lockout.holds(ip("192.0.2.1"), "bert", at(300)), "somebody else");
        assert!(!lockout.holds(ip("192.0.2.1"), "anna", at(304)), "it has waited");
        lockout.failed(ip("192.0.2.1"), "anna", at(304));
        assert!(!lockout.holds(ip("192.0.2.1"), "anna", at(305)), "from the beginning");
    }

    #[test]
    fn one_source_waits_whatever_users_it_tries_and_a_success_forgives_the_user() {
        let mut lockout = Lockout::default();
        for number in 0..30_u32 {
            lockout.failed(ip(&format!("2001:db8::{number}")), &format!("user {number}"), at(1));
        }
        assert!(lockout.holds(ip("2001:db8::99"), "anna", at(2)));
        assert!(!lockout.holds(ip("2001:db8:0:1::99"), "anna", at(2)));
        for _ in 0..4 {
            lockout.failed(ip("192.0.2.1"), "anna", at(1));
        }
        lockout.succeeded(ip("192.0.2.1"), "anna");
        lockout.failed(ip("192.0.2.1"), "anna", at(1));
        assert!(!lockout.holds(ip("192.0.2.1"), "anna", at(2)));
    }

    #[test]
    fn no_flood_of_names_takes_more_than_its_room() {
        let mut lockout = Lockout::default();
        for number in 0..10_000_u32 {
            lockout.failed(IpAddr::from(number.to_be_bytes()), "anna", at(1 + u64::from(number / 100)));
        }
        assert_eq!(lockout.tries.len(), REMEMBERED_MAX);
        lockout.failed(ip("192.0.2.1"), "anna", at(10_000));
        assert!(lockout.tries.len() < REMEMBERED_MAX, "those of long ago are forgotten");
    }
}

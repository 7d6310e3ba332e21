//! What routers on the way to the peers said of the size of our packets (RFC 1191, RFC 8201; RFC 4301, 8.2.1): kept by path, not by SA, so that a
//! rekeyed SA begins with it, and forgotten after ten minutes. Used by [`crate::sad::Sad`] alone.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crossgate_ike::environment::Instant;
use crossgate_ike::event::Path;

/// How long a router's word is kept before longer packets are tried again (RFC 1191, 6.3).
const AGES: Duration = Duration::from_secs(600);

/// Both outer addresses, ours first.
pub(super) type Ends = (IpAddr, IpAddr);

/// The paths that take less than their first interface.
#[derive(Debug, Default)]
pub(super) struct Paths {
    learned: BTreeMap<Ends, Learned>,
}

#[derive(Debug, Clone, Copy)]
struct Learned {
    mtu_bytes: u16,
    until: Instant,
}

/// The outer addresses of an SA's path.
pub(super) fn ends(path: &Path) -> Ends {
    (path.local.ip(), path.remote.ip())
}

impl Paths {
    /// A router said that this path takes no more than `mtu_bytes`.
    pub(super) fn learn(&mut self, path: Ends, mtu_bytes: u16, now: Instant) {
        self.learned.insert(path, Learned { mtu_bytes, until: now + AGES });
    }

    /// What a path takes at most, in bytes, if its first interface takes `interface_bytes`.
    pub(super) fn mtu_bytes(&self, path: Ends, interface_bytes: u16) -> u16 {
        self.learned.get(&path).map_or(interface_bytes, |learned| learned.mtu_bytes.min(interface_bytes))
    }

    /// Forgets what is too old; returns those paths.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Ends> {
        let old = self.learned.iter().filter(|(_, learned)| learned.until <= now);
        let old: Vec<Ends> = old.map(|(path, _)| *path).collect();
        for path in &old {
            self.learned.remove(path);
        }
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_of_a_router_lasts_ten_minutes_after_the_last_one() {
        let at = |seconds| Instant::from_epoch(Duration::from_secs(seconds));
        let ends = |remote: u8| (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, remote]));
        let mut paths = Paths::default();
        paths.learn(ends(2), 1400, at(0));
        paths.learn(ends(2), 1300, at(100));
        assert_eq!((paths.mtu_bytes(ends(2), 1500), paths.mtu_bytes(ends(3), 1500)), (1300, 1500));
        assert_eq!(paths.mtu_bytes(ends(2), 1280), 1280, "never more than the interface takes");
        assert!(paths.expire(at(699)).is_empty());
        assert_eq!(paths.expire(at(700)), [ends(2)]);
        assert_eq!(paths.mtu_bytes(ends(2), 1500), 1500);
        assert!(paths.expire(at(10_000)).is_empty());
    }
}

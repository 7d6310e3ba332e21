//! Connections that are taken down when no packet goes through them any more (`idle_timeout_s`).

use std::collections::BTreeMap;
use std::time::Duration;

use crossgate_ike::Command;
use crossgate_ike::environment::Instant;
use crossgate_ike::event::ConnectionId;

use super::Gateway;

/// When each connection that is up was last seen to carry something.
#[derive(Debug, Default)]
pub(super) struct Idle {
    seen: BTreeMap<ConnectionId, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    packets: u64,
    since: Instant,
}

impl Idle {
    /// Looks at the connections that are up, each with what it has carried since it is configured, in packets, and how long it may carry nothing. Those that have done so
    /// for as long begin anew.
    fn look(
        &mut self,
        now: Instant,
        up: impl Iterator<Item = (ConnectionId, u64, Duration)>,
    ) -> Vec<ConnectionId> {
        let (mut kept, mut idle) = (BTreeMap::new(), Vec::new());
        for (id, packets, timeout) in up {
            let before = self.seen.get(&id).filter(|seen| seen.packets == packets);
            let seen = before.copied().unwrap_or(Seen { packets, since: now });
            if now.saturating_since(seen.since) >= timeout {
                idle.push(id);
            } else {
                kept.insert(id, seen);
            }
        }
        self.seen = kept;
        idle
    }
}

impl Gateway {
    /// Takes down what has been idle for too long.
    pub(super) fn end_idle(&mut self) {
        let mut up = BTreeMap::new();
        for (_, pair) in self.sad.iter() {
            let id = pair.connection;
            let timeout = || {
                let name = self.identifiers.connection_name(id)?;
                self.config.connections().get(name)?.idle_timeout
            };
            if let Some(timeout) = timeout() {
                up.entry(id).or_insert((0, timeout)).0 += pair.inbound.packets() + pair.outbound.packets();
            }
        }
        let carried = |id: &ConnectionId| self.carried.get(id).map_or(0, |of| of.in_packets + of.out_packets);
        let up = up.iter().map(|(id, (packets, timeout))| (*id, packets + carried(id), *timeout));
        for id in self.idle.look(self.clock.now(), up) {
            let connection = self.name_of(id);
            tracing::info!(
                connection,
                "no packet has gone through for idle_timeout_s: taking the tunnel down"
            );
            self.command(Command::Idle(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_idle_after_its_time_without_a_packet_and_each_packet_starts_it_anew() {
        const QUIET: ConnectionId = ConnectionId(1);
        const BUSY: ConnectionId = ConnectionId(2);
        let mut idle = Idle::default();
        let mut ended = Vec::new();
        for second in 0..100 {
            let now = Instant::from_epoch(Duration::from_secs(second));
            // The first has a packet every twenty seconds until the fortieth, the other one always.
            let packets = (second / 20).min(2);
            let up = [(QUIET, packets, Duration::from_secs(30)), (BUSY, second, Duration::from_secs(30))];
            ended.extend(idle.look(now, up.into_iter()).into_iter().map(|id| (second, id)));
            if second == 70 {
                // It is down: nothing is known of it when it comes up again.
                assert!(idle.look(now, std::iter::empty()).is_empty());
            }
        }
        assert_eq!(ended, [(70, QUIET)]);
    }
}

//! The address translation of a known flow ([`crate::nat`]): worked out when a run of its packets begins, written into each of them. Flows without one
//! pay for a look at an [`Option`].

use std::net::IpAddr;

use super::Plain;
use crate::counter::Counter;
use crate::flow::{Action, Key, Way};
use crate::forwarding::{Forwarding, TunnelId};
use crate::header::Protocol;
use crate::nat::Rewrite;
use crate::pipeline::Context;
use crate::sa::Direction;

/// From the addresses that a flow's packets come with to those that they leave with.
pub(super) struct Translation {
    /// `None`: they stay, but what an ICMP error quotes may not.
    rewrite: Option<Rewrite>,
    /// For how many tunnels: the one that they come out of, the one that they enter, or both.
    tunnels: u8,
}

impl Translation {
    /// That of a flow whose packets `action` is done with; none if no rules are on its way.
    ///
    /// # Errors
    /// The drop reason: `NatNoMapping`.
    #[cold]
    pub(super) fn of(key: &Key, action: Action, forwarding: &Forwarding) -> Result<Option<Self>, Counter> {
        let (from, into) = match (key.way(), action) {
            (_, Action::General | Action::Ours) => return Ok(None),
            (Way::Tunnel(from), Action::Enter(into, _)) => (Some(from), Some(into)),
            (Way::Tunnel(from), Action::Forward(_)) => (Some(from), None),
            (Way::Interface(_), Action::Enter(into, _)) => (None, Some(into)),
            (Way::Interface(_), Action::Forward(_)) => return Ok(None),
        };
        let rules = |tunnel: Option<TunnelId>| {
            forwarding.tunnel(tunnel?).map(|tunnel| &tunnel.nat).filter(|nat| !nat.is_empty())
        };
        let passed = [(rules(from), Direction::Inbound), (rules(into), Direction::Outbound)];
        if passed.iter().all(|(rules, _)| rules.is_none()) {
            return Ok(None);
        }
        let old = key.ends();
        let (mut new, mut tunnels) = (old, 0);
        for (rules, direction) in passed {
            let Some(rules) = rules else { continue };
            let (source, destination): (IpAddr, IpAddr) = new;
            let other = rules.translated(direction, source, destination)?;
            tunnels += u8::from(other != new);
            new = other;
        }
        Ok(Some(Self { rewrite: Rewrite::new(old, new), tunnels }))
    }

    /// Whether a packet of the flow can be translated by [`Translation::write`]; else it is one for the general stages.
    #[inline]
    pub(super) fn takes(&self, plain: &Plain) -> bool {
        match &self.rewrite {
            Some(rewrite) => rewrite.takes(plain.protocol, plain.total_bytes),
            None => !matches!(plain.protocol, Protocol::ICMP | Protocol::ICMPV6),
        }
    }

    /// Writes the new addresses into a packet of the flow.
    #[inline]
    pub(super) fn write(&self, packet: &mut [u8], plain: &Plain, cx: &mut Context) {
        if let Some(rewrite) = &self.rewrite {
            rewrite.write_plain(packet, plain.protocol);
            cx.counters.add(Counter::NatTranslated, self.tunnels.into());
        }
    }
}

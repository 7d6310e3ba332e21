//! What became of a simulated pair, and what must always be so.

use super::{CONNECTION, Pair, Side};
use crate::config::EndpointConfig;
use crate::endpoint::Endpoint;
use crate::notice::What;
use crate::status::Phase;

impl Pair {
    /// Pairs of SAs that are installed and not retired, per side.
    #[must_use]
    pub fn live_children(&self) -> [usize; 2] {
        [self.sides[0].plane.live().len(), self.sides[1].plane.live().len()]
    }

    /// IKE SAs with a proven peer, per side.
    #[must_use]
    pub fn live_ikes(&self) -> [usize; 2] {
        let count = |side: &Side| {
            let status = side.endpoint.status();
            status.iter().flat_map(|c| &c.ike_sas).filter(|ike| ike.peer.is_some()).count()
        };
        [count(&self.sides[0]), count(&self.sides[1])]
    }

    /// How often something of the catalogue happened at a side.
    #[must_use]
    pub fn count(&self, index: usize, what: What) -> u64 {
        self.sides[index].endpoint.counters().find(|(name, _)| *name == what).map_or(0, |(_, count)| count)
    }

    /// Checks that both sides are up with one IKE SA and one pair each ([`Self::assert_up_with`]).
    ///
    /// # Panics
    /// With the trace, when that is not so.
    pub fn assert_up(&self, note: &str) {
        self.assert_up_with(1, note);
    }

    /// Checks that both sides are up with one IKE SA and one pair for each of `policies` policies, that what one sends the other receives under the same key, and that no SPI leaked.
    ///
    /// # Panics
    /// With the trace, when something of that is not so.
    pub fn assert_up_with(&self, policies: usize, note: &str) {
        assert_eq!(self.live_ikes(), [1, 1], "IKE SAs, {note}\n{}", self.trace());
        assert_eq!(self.live_children(), [policies, policies], "Child SAs, {note}\n{}", self.trace());
        for index in [0, 1] {
            for policy in 0..policies {
                self.assert_sends(index, policy, note);
            }
            let allocated = self.sides[index].plane.allocated();
            assert_eq!(allocated, policies, "SPIs leaked at {index}, {note}\n{}", self.trace());
            assert_eq!(self.sides[index].endpoint.status()[0].phase, Phase::Up, "{note}");
        }
    }

    /// Checks that nothing is left of either side: no connection, IKE SA in any state, job, timer or SPI.
    ///
    /// # Panics
    /// With the trace, when something is.
    pub fn assert_empty(&self, note: &str) {
        let empty = Endpoint::new(EndpointConfig::default()).census();
        for (index, side) in self.sides.iter().enumerate() {
            assert_eq!(side.endpoint.census(), empty, "left at {index}, {note}\n{}", self.trace());
            let left = (side.plane.allocated(), side.plane.installed().count());
            assert_eq!(left, (0, 0), "SPIs and pairs left at {index}, {note}\n{}", self.trace());
        }
    }

    /// What `index` sends under a policy, the other side receives under the same key.
    fn assert_sends(&self, index: usize, policy: usize, note: &str) {
        let sent = self.sides[index].plane.sends_on(CONNECTION, policy);
        let sent = sent.unwrap_or_else(|| {
            panic!("side {index} sends on nothing for policy {policy}, {note}\n{}", self.trace())
        });
        let found = self.sides[1 - index].plane.find(sent.outbound.spi);
        let found =
            found.unwrap_or_else(|| panic!("side {index} sends into the void, {note}\n{}", self.trace()));
        let same_key = found.sa.inbound.key == sent.outbound.key;
        assert!(same_key && found.sa.esn == sent.esn, "keys differ, {note}\n{}", self.trace());
    }
}

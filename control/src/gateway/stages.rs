//! Which stage of the workers takes how many cycles: measured while an operator asks, and for some seconds after.

use std::time::Duration;

use crossgate_dataplane::worker::StageTurns;
use crossgate_ike::environment::Instant;

use super::Gateway;
use crate::console::protocol::WorkerStages;

/// How long workers go on measuring after they were asked about last.
const MEASURED_FOR: Duration = Duration::from_secs(10);

impl Gateway {
    /// What every worker's stages have taken so far, by number; they are measured from now on for ten
    /// seconds, in one turn of sixteen.
    pub fn stages(&mut self) -> Vec<WorkerStages> {
        self.stages_until = Some(self.clock.now() + MEASURED_FOR);
        self.fleet.measure_stages(StageTurns::Sampled);
        self.fleet.stage_views()
    }

    /// Ends the measurement when nobody has asked for long enough.
    pub(super) fn end_stages(&mut self, now: Instant) {
        if self.stages_until.is_some_and(|until| until <= now) {
            self.stages_until = None;
            self.fleet.measure_stages(StageTurns::None);
        }
    }
}

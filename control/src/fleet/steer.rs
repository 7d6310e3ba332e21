//! How an inbound SA's packets reach the queue of the SA's home worker: by the device's own rules on the SPI, else from worker to worker.

use std::num::NonZeroU8;

use crossgate_dataplane::spi::{BUCKETS, Bucket};
use dpdk_sys::{Encapsulation, OuterFamily, Port, SpiRule, SteerError};

/// Who brings ESP packets to their SA's home worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Steering {
    /// There is one worker.
    Needless,
    /// The device, by the SPI; fragments and what else its rules do not see are handed over.
    Device,
    /// The workers hand over what another one received.
    Workers,
}

impl Steering {
    /// As the console says it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Needless => "none",
            Self::Device => "device",
            Self::Workers => "workers",
        }
    }
}

/// Tells a started port where each bucket of SPIs is at home, if it can: all of it or nothing.
pub(super) fn steer(port: &mut Port, queues: u16, workers: u16) -> Steering {
    let Some(workers) = u8::try_from(workers).ok().and_then(NonZeroU8::new).filter(|count| count.get() > 1)
    else {
        return Steering::Needless;
    };
    if queues < u16::from(workers.get()) {
        return Steering::Workers;
    }
    let mut told = 0_usize;
    for rule in rules(workers) {
        if let Err(error) = port.steer_spi(&rule) {
            port.clear_steering();
            log(&error, told);
            return Steering::Workers;
        }
        told += 1;
    }
    tracing::info!(rules = told, "the port steers ESP by SPI");
    Steering::Device
}

fn log(error: &SteerError, told: usize) {
    match error {
        SteerError::Unsupported { .. } => tracing::info!("{error}: workers hand ESP packets over"),
        SteerError::Refused { .. } => {
            tracing::warn!(rules = told, "{error}: its rules are taken back, workers hand ESP packets over");
        }
    }
}

/// A rule for each bucket, family and encapsulation.
fn rules(workers: NonZeroU8) -> impl Iterator<Item = SpiRule> {
    let outsides = [OuterFamily::Ipv4, OuterFamily::Ipv6]
        .into_iter()
        .flat_map(|outer| [Encapsulation::Plain, Encapsulation::Udp4500].map(|inside| (outer, inside)));
    outsides.flat_map(move |(outer, encapsulation)| {
        (0..BUCKETS).map(Bucket::new).map(move |bucket| SpiRule {
            spi: bucket.first_spi(),
            spi_mask: Bucket::SPI_MASK,
            outer,
            encapsulation,
            queue: u16::from(bucket.home(workers)),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossgate_dataplane::spi::SpiAllocator;

    #[test]
    fn each_spi_that_is_given_out_goes_to_its_home_whatever_is_around_it() {
        let workers = NonZeroU8::new(5).unwrap();
        let all: Vec<SpiRule> = rules(workers).collect();
        let mut spis = SpiAllocator::new(1024, |out| getrandom::fill(out).unwrap());
        for _ in 0..500 {
            let spi = spis.allocate().unwrap();
            let matching: Vec<_> =
                all.iter().filter(|rule| spi.get() & rule.spi_mask == rule.spi & rule.spi_mask).collect();
            assert_eq!(matching.len(), 4, "one of each kind");
            assert!(matching.iter().all(|rule| rule.queue == u16::from(spi.bucket().home(workers))));
            for (at, rule) in matching.iter().enumerate() {
                let kind = |rule: &SpiRule| (rule.outer, rule.encapsulation);
                assert!(matching[..at].iter().all(|other| kind(other) != kind(rule)));
            }
        }
    }
}

//! Ports and workers as the console shows them.

#[cfg(test)]
mod beside;

use crossgate_config::{Choice, Config, Name};
use crossgate_dataplane::counter::Counter;
use crossgate_dataplane::worker::{Histograms, Stage};
use dpdk_sys::{Link, PortStats};

use super::{Fleet, OpenPort, Reader, cycles_per_second, device};
use crate::console::protocol::{Port, Quantiles, StageCycles, Worker, WorkerStages};

impl Fleet {
    /// Every port, by name.
    #[must_use]
    pub fn ports(&self, config: &Config) -> Vec<Port> {
        self.ports.iter().map(|open| port(open, config)).collect()
    }

    /// Whether a port has a link; also where its driver cannot tell.
    #[must_use]
    pub fn has_link(&self, port: &Name) -> bool {
        let open = self.ports.iter().find(|open| open.name == *port);
        open.is_some_and(|open| !matches!(open.port.link(), Ok(Link::Down)))
    }

    /// Every worker, by number, with what each has recorded.
    pub fn worker_views<'a>(
        &self,
        config: &Config,
        recorded: impl Iterator<Item = &'a Histograms>,
    ) -> Vec<Worker> {
        let running = self.is_running();
        let hz = cycles_per_second(&self.eal);
        self.readers
            .iter()
            .zip(recorded)
            .enumerate()
            .map(|(index, (reader, histograms))| {
                let counters = reader.counters();
                Worker {
                    index,
                    core: reader.core.0,
                    running,
                    kernel: self.kernel.name().as_str().to_owned(),
                    idle: config.appliance().idle.word().to_owned(),
                    busy_percent: busy_percent(reader),
                    busy_cycles: reader.stats.busy_cycles(),
                    idle_cycles: reader.stats.idle_cycles(),
                    rx_packets: counters.get(Counter::RxPackets),
                    tx_packets: counters.get(Counter::TxPackets),
                    sealed_packets: counters.get(Counter::EspSealed),
                    opened_packets: counters.get(Counter::EspOpened),
                    dropped_packets: reader.dropped_packets(),
                    burst_packets: quantiles(&histograms.burst_packets, |packets| packets),
                    residence_ns: quantiles(&histograms.residence_cycles, |cycles| nanoseconds(cycles, hz)),
                }
            })
            .collect()
    }
}

impl Fleet {
    /// What every worker's stages have taken in the turns in which they were measured, by number.
    #[must_use]
    pub fn stage_views(&self) -> Vec<WorkerStages> {
        let view = |(index, reader): (usize, &Reader)| WorkerStages {
            index,
            core: reader.core.0,
            busy_cycles: reader.stats.busy_cycles(),
            packets: reader.counters().get(Counter::RxPackets),
            stages: Stage::ALL.map(|stage| stage_cycles(reader, stage)).to_vec(),
        };
        self.readers.iter().enumerate().map(view).collect()
    }
}

fn stage_cycles(reader: &Reader, stage: Stage) -> StageCycles {
    StageCycles { name: stage.as_str().to_owned(), cycles: reader.stats.stage_cycles(stage) }
}

fn port(open: &OpenPort, config: &Config) -> Port {
    let configured = &config.ports()[&open.name];
    let networks: Vec<_> =
        config.virtual_networks().values().filter(|network| network.port == open.name).collect();
    let circuits: Vec<_> = config.circuits().values().filter(|circuit| circuit.port == open.name).collect();
    let own = networks.iter().flat_map(|network| &network.addresses).chain(&configured.addresses);
    let own = own.chain(circuits.iter().flat_map(|circuit| &circuit.addresses));
    let addresses = own.map(|own| format!("{}/{}", own.address, own.network.prefix_len())).collect();
    let (link_up, speed_mbit_per_s) = match open.port.link() {
        Ok(Link::Up { speed_mbps, .. }) => (true, speed_mbps),
        Ok(Link::Down) | Err(_) => (false, None),
    };
    // A driver that does not count shows zeros.
    let stats: PortStats = open.port.stats().unwrap_or_default();
    Port {
        name: open.name.to_string(),
        device: device(&configured.device).to_owned(),
        driver: open.report.driver.to_string(),
        mac: open.port.mac().map_or_else(|error| error.to_string(), |mac| mac.to_string()),
        link_up,
        speed_mbit_per_s,
        mtu_bytes: open.report.mtu_bytes.min(configured.mtu_bytes),
        queues: open.report.rx_queues,
        esp_steering: open.steering.word().to_owned(),
        networks: if config.underlay_ports().any(|port| port.name == open.name) {
            vec!["underlay".to_owned()]
        } else {
            let names = networks.iter().map(|network| &network.name);
            names.chain(circuits.iter().map(|circuit| &circuit.name)).map(ToString::to_string).collect()
        },
        addresses,
        rx_packets: stats.rx_packets,
        rx_bytes: stats.rx_bytes,
        rx_missed: stats.rx_missed,
        rx_errors: stats.rx_errors + stats.rx_no_buffer,
        tx_packets: stats.tx_packets,
        tx_bytes: stats.tx_bytes,
        tx_errors: stats.tx_errors,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share for people: 53 bits of a cycle count are plenty")]
fn busy_percent(reader: &Reader) -> f64 {
    let (busy, idle) = (reader.stats.busy_cycles(), reader.stats.idle_cycles());
    if busy + idle == 0 { 0.0 } else { busy as f64 * 100.0 / (busy + idle) as f64 }
}

fn nanoseconds(cycles: u64, hz: u64) -> u64 {
    u64::try_from(u128::from(cycles) * 1_000_000_000 / u128::from(hz)).unwrap_or(u64::MAX)
}

fn quantiles(histogram: &hdrhistogram::Histogram<u64>, scale: impl Fn(u64) -> u64) -> Quantiles {
    Quantiles {
        p50: scale(histogram.value_at_quantile(0.5)),
        p99: scale(histogram.value_at_quantile(0.99)),
        p999: scale(histogram.value_at_quantile(0.999)),
        max: scale(histogram.max()),
    }
}

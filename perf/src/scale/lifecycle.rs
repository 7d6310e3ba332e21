//! What SAs take apart from cycles: memory, time to install them, time to rekey all of them under traffic.
//!
//! The measured worker seals on a core of its own; the caller is its control thread, sends packets of all SAs in random order, and opens
//! what comes out with a second, stepped worker. A rekey goes as in the product: the new inbound SA where packets arrive; when that is acknowledged, the new
//! outbound SA in the place of the old; when everything sealed by the old one has been opened, the old inbound SA goes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use crossgate_dataplane::counter::Counter;
use crossgate_dataplane::message::{Command, Replaced};
use crossgate_dataplane::worker::Idle;
use dpdk_sys::Burst;
use serde::Serialize;

use super::many;
use crate::bed::stepped::Gateway;
use crate::bed::threaded::Running;
use crate::bed::{Bed, LAN, Plan, Site, WAN};
use crate::machine::{self, Pin, report_precision};

/// Bytes of the inner packets.
const INNER_BYTES: u16 = 256;
/// Commands under way to either worker.
const COMMANDS: usize = 256;
/// Packets under way: fewer than a port holds.
const PACKETS: u64 = 1024;
/// Longest that rekeying may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// What all SAs of a gateway take.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Lifecycle {
    /// Bytes that the process occupies more for each outbound SA.
    outbound_sa_bytes: f64,
    inbound_sa_bytes: f64,
    /// For its route, tunnel and places in tables.
    tunnel_bytes: f64,
    /// Seconds to make and install all of them, each kind.
    install_outbound_s: f64,
    install_inbound_s: f64,
    /// Seconds from the first rekey's begin to the last one's end.
    rekey_s: f64,
    /// Traffic meanwhile.
    rekey_mpps: f64,
    rekey_lost_packets: u64,
}

impl Lifecycle {
    /// What to say about packets that were lost: a rekey is to lose none.
    pub(super) fn loss(self, sas: u32) -> Option<String> {
        let lost = self.rekey_lost_packets;
        (lost > 0).then(|| {
            format!(
                "LOSS: {lost} packets were lost while {sas} SAs were rekeyed under traffic; none should be"
            )
        })
    }

    pub(super) fn cells(self) -> [String; 6] {
        [
            format!("{:.0}", self.outbound_sa_bytes),
            format!("{:.0}", self.inbound_sa_bytes),
            format!("{:.2}", self.install_outbound_s + self.install_inbound_s),
            format!("{:.2}", self.rekey_s),
            format!("{:.2}", self.rekey_mpps),
            self.rekey_lost_packets.to_string(),
        ]
    }
}

/// Measures them for the plan's SAs.
pub(super) fn measure(bed: &Bed, plan: Plan) -> Result<Lifecycle> {
    let _pin = Pin::to(bed.other_core()?)?;
    let sas = f64::from(plan.sas);
    let before = machine::resident_bytes()?;
    let mut running = Running::new(bed, plan, Site(1), Idle::Poll)?;
    let tables = machine::resident_bytes()?;
    let began = Instant::now();
    let site = running.site;
    running.command(
        (0..plan.sas).map(|sa| Ok(Command::InstallOutbound(Arc::new(plan.outbound_sa(site, sa, 0)?)))),
    )?;
    let install_outbound_s = began.elapsed().as_secs_f64();
    let outbound = machine::resident_bytes()?;
    let began = Instant::now();
    running.command(
        (0..plan.sas).map(|sa| Ok(Command::InstallInbound(Box::new(plan.inbound_sa(site, sa, 0)?)))),
    )?;
    let install_inbound_s = began.elapsed().as_secs_f64();
    let inbound = machine::resident_bytes()?;
    let peer = Gateway::new(bed, plan, Site(2))?;
    let rekeyed = Rekeying::new(bed, running, peer).run()?;
    Ok(Lifecycle {
        outbound_sa_bytes: (outbound - tables) / sas,
        inbound_sa_bytes: (inbound - outbound) / sas,
        tunnel_bytes: (tables - before) / sas,
        install_outbound_s,
        install_inbound_s,
        rekey_s: rekeyed.seconds,
        rekey_mpps: report_precision(rekeyed.sent) / rekeyed.seconds / 1e6,
        rekey_lost_packets: rekeyed.sent - rekeyed.opened,
    })
}

/// How far each SA's rekey has come, and the traffic.
struct Rekeying<'a> {
    bed: &'a Bed,
    plan: Plan,
    sealing: Running,
    opening: Gateway,
    /// The next SA whose new inbound SA is to be sent, whose one was acknowledged, whose outbound SA was replaced.
    begun: u32,
    accepted: u32,
    switched: u32,
    /// Old inbound SAs, each with the number of packets that must have been opened before it goes; commands of the second worker that are
    /// no installs.
    old: VecDeque<(u32, u64)>,
    removed: u32,
    answers: VecDeque<Kind>,
    sent: u64,
    opened: u64,
}

/// What an acknowledgement of the opening worker is about.
enum Kind {
    Install,
    Remove,
}

/// How it went.
struct Rekeyed {
    seconds: f64,
    sent: u64,
    opened: u64,
}

impl<'a> Rekeying<'a> {
    fn new(bed: &'a Bed, sealing: Running, opening: Gateway) -> Self {
        let plan = sealing.plan;
        Self {
            bed,
            plan,
            sealing,
            opening,
            begun: 0,
            accepted: 0,
            switched: 0,
            old: VecDeque::new(),
            removed: 0,
            answers: VecDeque::new(),
            sent: 0,
            opened: 0,
        }
    }

    fn run(mut self) -> Result<Rekeyed> {
        let mut order = many::order(self.plan.sas);
        self.sealing.refresh()?;
        let began = Instant::now();
        while self.removed < self.plan.sas {
            self.traffic(&mut order)?;
            self.messages()?;
            ensure!(began.elapsed() < PATIENCE, "{} of {} SAs were rekeyed", self.removed, self.plan.sas);
        }
        let seconds = began.elapsed().as_secs_f64();
        // What is still under way.
        let drain = Instant::now();
        while self.opened < self.sent && drain.elapsed() < Duration::from_millis(100) {
            self.open()?;
        }
        let counters = self.opening.engine.handle.counters.snapshot();
        ensure!(
            counters.get(Counter::EspOpened) == self.opened,
            "{} packets came out, {} were opened",
            self.opened,
            counters.get(Counter::EspOpened)
        );
        Ok(Rekeyed { seconds, sent: self.sent, opened: self.opened })
    }

    /// A burst into the one worker, and what came out of it through the other.
    fn traffic(&mut self, order: &mut impl Iterator<Item = u32>) -> Result<()> {
        if self.sent - self.opened < PACKETS {
            let mut burst = many::burst(self.bed, self.plan, INNER_BYTES, order)?;
            self.sent += u64::from(self.sealing.wires[LAN].push_burst(&mut burst));
        }
        self.open()
    }

    fn open(&mut self) -> Result<()> {
        let mut burst = Burst::new();
        self.sealing.wires[WAN].pull_burst(&mut burst);
        burst.iter_mut().try_for_each(|packet| self.plan.arrive(packet.data_mut(), WAN))?;
        // Also without packets: it has commands to carry out.
        self.opening.pass(WAN, &mut burst);
        self.opened += u64::try_from(burst.len())?;
        Ok(())
    }

    /// Takes each rekey one step further where something was acknowledged.
    fn messages(&mut self) -> Result<()> {
        let plan = self.plan;
        let opening = &mut self.opening.engine.handle.control;
        while opening.poll_acknowledgement().is_some() {
            match self.answers.pop_front().context("an acknowledgement of nothing")? {
                Kind::Install => self.accepted += 1,
                Kind::Remove => self.removed += 1,
            }
        }
        while opening.unanswered() < COMMANDS {
            if let Some(&(sa, _)) = self.old.front().filter(|(_, sealed)| *sealed <= self.opened) {
                self.old.pop_front();
                opening.send(Command::RemoveInbound(plan.spi(sa, 0)?)).ok().context("the ring is full")?;
                self.answers.push_back(Kind::Remove);
            } else if self.begun < plan.sas {
                let sa = plan.inbound_sa(Site(2), self.begun, 1)?;
                opening.send(Command::InstallInbound(Box::new(sa))).ok().context("the ring is full")?;
                self.answers.push_back(Kind::Install);
                self.begun += 1;
            } else {
                break;
            }
        }
        let sealing = &mut self.sealing.set.handles[0].control;
        while let Some(answer) = sealing.poll_acknowledgement() {
            let Replaced::Outbound(old) = answer.replaced else { anyhow::bail!("no SA was replaced") };
            self.old.push_back((old.tunnel().0, self.sent));
        }
        while self.switched < self.accepted && sealing.unanswered() < COMMANDS {
            let sa = plan.outbound_sa(Site(1), self.switched, 1)?;
            sealing.send(Command::InstallOutbound(Arc::new(sa))).ok().context("the ring is full")?;
            self.switched += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifecycle(rekey_lost_packets: u64) -> Lifecycle {
        Lifecycle {
            outbound_sa_bytes: 1400.0,
            inbound_sa_bytes: 1400.0,
            tunnel_bytes: 1000.0,
            install_outbound_s: 0.1,
            install_inbound_s: 0.1,
            rekey_s: 0.1,
            rekey_mpps: 0.2,
            rekey_lost_packets,
        }
    }

    #[test]
    fn packets_lost_by_a_rekey_are_told() {
        assert_eq!(lifecycle(0).loss(100), None);
        let told = lifecycle(3).loss(100).expect("a loss");
        assert!(told.contains("3 packets") && told.contains("100 SAs"), "{told}");
    }
}

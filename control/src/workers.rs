//! The control thread's side of the workers' rings: commands go out in order, what is not yet acknowledged is known, what workers
//! replaced is dropped (and so zeroized) here.
//!
//! Every command gets a [`Ticket`]. [`Workers::is_applied`] tells whether that command and every one before it has taken effect in all
//! workers: IKE datagrams wait for that (make before break), and so does the reuse of an SPI.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::sync::Arc;

use crossgate_dataplane::forwarding::{Forwarding, InterfaceId, TunnelId};
use crossgate_dataplane::message::{Command, CommandId, ControlEnd, Event, Full, Inject, Replaced};
use crossgate_dataplane::sa::OutboundSa;
use crossgate_dataplane::spi::Spi;
use crossgate_dataplane::worker::Histograms;

/// Position of a command in the order of all commands to all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Number of a worker, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkerId(pub u8);

struct Lane {
    rings: ControlEnd,
    /// Not yet in the ring, because it was full.
    waiting: VecDeque<(Ticket, Command)>,
    /// In the ring or in the worker's hands.
    sent: VecDeque<(CommandId, Ticket)>,
    /// What the worker recorded since its start, as of the last time it was asked.
    histograms: Histograms,
}

/// All workers, seen from the control thread.
pub struct Workers {
    lanes: Vec<Lane>,
    count: NonZeroU8,
    last: u64,
    /// Whose event is looked for first.
    turn: usize,
}

impl Workers {
    /// Takes the control ends in the order of the workers.
    ///
    /// # Panics
    /// Without a worker, or with more than 255: a configuration has at least one and the SPI has 64 buckets.
    #[must_use]
    pub fn new(ends: Vec<ControlEnd>) -> Self {
        let count = u8::try_from(ends.len()).ok().and_then(NonZeroU8::new).expect("1 to 255 workers");
        let lane = |rings| Lane {
            rings,
            waiting: VecDeque::new(),
            sent: VecDeque::new(),
            histograms: Histograms::default(),
        };
        Self { lanes: ends.into_iter().map(lane).collect(), count, last: 0, turn: 0 }
    }

    /// Hands a new snapshot to every worker.
    pub fn set_forwarding(&mut self, forwarding: &Arc<Forwarding>) -> Ticket {
        self.at_every(|| Command::SetForwarding(Arc::clone(forwarding)))
    }

    /// Lets a worker seal with this SA.
    pub fn install_outbound(&mut self, worker: WorkerId, sa: &Arc<OutboundSa>) {
        self.at(worker, Command::InstallOutbound(Arc::clone(sa)));
    }

    /// Lets a worker seal with this SA no more, if it is still the tunnel's present one there.
    pub fn remove_outbound(&mut self, worker: WorkerId, tunnel: TunnelId, spi: Spi) {
        self.at(worker, Command::RemoveOutbound { tunnel, spi });
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> NonZeroU8 {
        self.count
    }

    /// The workers, in their order.
    pub fn ids(&self) -> impl Iterator<Item = WorkerId> + use<> {
        (0..self.count.get()).map(WorkerId)
    }

    /// Sends a command about an inbound SA to the worker that is its home.
    pub fn at_home(&mut self, spi: Spi, command: Command) -> Ticket {
        self.at(WorkerId(spi.bucket().home(self.count)), command)
    }

    fn at(&mut self, worker: WorkerId, command: Command) -> Ticket {
        self.last += 1;
        self.lanes[usize::from(worker.0)].put(Ticket(self.last), command);
        Ticket(self.last)
    }

    /// Sends a command to every worker but one: what that one learned by itself.
    pub fn at_others(&mut self, than: WorkerId, mut make: impl FnMut() -> Command) {
        self.last += 1;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if index != usize::from(than.0) {
                lane.put(Ticket(self.last), make());
            }
        }
    }

    /// Has a neighbour asked for, by the first worker.
    pub fn solicit(&mut self, interface: InterfaceId, address: IpAddr) {
        self.at(WorkerId(0), Command::Solicit { interface, address });
    }

    /// Asks every worker for what it has recorded since the last time.
    pub fn take_histograms(&mut self) {
        self.at_every(|| Command::TakeHistograms(Box::default()));
    }

    /// What each worker has recorded, in their order.
    pub fn histograms(&self) -> impl Iterator<Item = &Histograms> {
        self.lanes.iter().map(|lane| &lane.histograms)
    }

    /// Asks every worker for an answer and for nothing else; what was injected before is on its way by then.
    pub fn barrier(&mut self) -> Ticket {
        self.at_every(|| Command::Barrier)
    }

    fn at_every(&mut self, mut make: impl FnMut() -> Command) -> Ticket {
        self.last += 1;
        for lane in &mut self.lanes {
            lane.put(Ticket(self.last), make());
        }
        Ticket(self.last)
    }

    /// The ticket of the latest command.
    #[must_use]
    pub fn latest(&self) -> Ticket {
        Ticket(self.last)
    }

    /// Whether the command of this ticket and all before it have taken effect everywhere.
    #[must_use]
    pub fn is_applied(&self, ticket: Ticket) -> bool {
        self.lanes.iter().all(|lane| lane.oldest_open().is_none_or(|open| open > ticket))
    }

    /// Collects acknowledgements, drops what workers gave back, and sends what waited for room. Returns whether anything moved.
    pub fn poll(&mut self) -> bool {
        let mut moved = false;
        for lane in &mut self.lanes {
            while let Some(acknowledgement) = lane.rings.poll_acknowledgement() {
                moved = true;
                let sent = lane.sent.pop_front();
                debug_assert_eq!(sent.map(|(id, _)| id), Some(acknowledgement.id), "answers come in order");
                match acknowledgement.replaced {
                    Replaced::Histograms(recorded) => lane.add(&recorded),
                    Replaced::Refused(command) => {
                        tracing::error!(
                            ?command,
                            "a worker's tables are full: raise max_tunnels of [appliance] and restart"
                        );
                    }
                    // Dropped here, on the control thread: this is where keys of old SAs are wiped.
                    _ => {}
                }
            }
            lane.flush();
        }
        moved
    }

    /// The next event of any worker. They take turns, so that a flood at one does not drown what the others say.
    pub fn next_event(&mut self) -> Option<(WorkerId, Event)> {
        for _ in 0..self.lanes.len() {
            let index = self.turn;
            self.turn = (index + 1) % self.lanes.len();
            if let Some(event) = self.lanes[index].rings.poll_event() {
                let number = u8::try_from(index).expect("no more than 255 workers");
                return Some((WorkerId(number), event));
            }
        }
        None
    }

    /// Gives a packet to a worker for sending; `spread` picks the worker, the same for the same value.
    ///
    /// # Errors
    /// The packet, if that worker's ring is full.
    pub fn inject(&mut self, spread: u64, packet: Inject) -> Result<(), Full<Inject>> {
        let index =
            usize::try_from(spread % self.lanes.len() as u64).expect("less than the number of workers");
        self.lanes[index].rings.inject(packet)
    }

    /// Commands not yet acknowledged, over all workers.
    #[must_use]
    pub fn open_commands(&self) -> usize {
        self.lanes.iter().map(|lane| lane.waiting.len() + lane.sent.len()).sum()
    }
}

impl Lane {
    fn add(&mut self, recorded: &Histograms) {
        let Histograms { burst_packets, residence_cycles } = &mut self.histograms;
        burst_packets.add(&recorded.burst_packets).expect("both have the same bounds");
        residence_cycles.add(&recorded.residence_cycles).expect("both have the same bounds");
    }

    fn put(&mut self, ticket: Ticket, command: Command) {
        self.waiting.push_back((ticket, command));
        self.flush();
    }

    fn flush(&mut self) {
        while let Some((ticket, command)) = self.waiting.pop_front() {
            match self.rings.send(command) {
                Ok(id) => self.sent.push_back((id, ticket)),
                Err(Full(command)) => return self.waiting.push_front((ticket, command)),
            }
        }
    }

    fn oldest_open(&self) -> Option<Ticket> {
        self.sent
            .front()
            .map(|(_, ticket)| *ticket)
            .or_else(|| self.waiting.front().map(|(ticket, _)| *ticket))
    }
}

//! A peer that has the keys: it speaks IKE as it should up to some message, of IKE_AUTH or any later exchange, whose content is then another one under the same seal. Nothing panics, no data
//! plane is asked for what it cannot do, and after a reset both sides are up with nothing left of what was before.

#![no_main]

use std::net::IpAddr;
use std::time::Duration;

use arbitrary::Arbitrary;
use crossgate_ike::config::{ConnectionConfig, Mode, Version};
use crossgate_ike::crypto::kex::Group;
use crossgate_ike::crypto::suite::{IkeCipher, IkeSuite, Integrity, KeyBits};
use crossgate_ike::event::Command;
use crossgate_ike::sim::{CONNECTION, Inside, Link, Pair, connection};
use crossgate_ike::v1::wire as v1;
use crossgate_ike::wire::{ExchangeType, MessageKind, PayloadType};
use crossgate_ike::EndpointConfig;
use libfuzzer_sys::fuzz_target;

/// A payload by its type, whether it is critical, and its body.
type RawPayload = (u8, bool, Vec<u8>);

/// What becomes of a message before it is sealed.
#[derive(Arbitrary, Debug)]
enum Change {
    Bent(u16, u8),
    Cut(u16),
    Lengthened(Vec<u8>),
    Replaced(Vec<RawPayload>),
    Preceded(Vec<RawPayload>),
    BeginningWith(u8),
    OfExchange(u8),
    Numbered(u8),
    Turned,
}

#[derive(Arbitrary, Debug)]
enum Operation {
    RekeyIke(bool),
    RekeyChild(bool),
    Expire(bool),
    Reset(bool),
    /// So many things that happen.
    Step(u8),
    Pass(u16),
    /// The next protected message of one side is changed.
    Forge(bool, Vec<Change>),
    /// One side begins an exchange of IKEv1.
    Say(bool, bool, u32, Vec<RawPayload>),
}

/// How both sides are configured.
#[derive(Arbitrary, Debug)]
struct Setting {
    is_v1: bool,
    secrecy: bool,
    post_quantum: bool,
    mobile: bool,
    resumption: bool,
    childless: bool,
    symmetric: bool,
}

/// More than this makes a run slow without making it different.
const MOST_OPERATIONS: usize = 24;
/// A message is waited for so long.
const PATIENCE: Duration = Duration::from_secs(3);

impl Setting {
    fn config(&self, index: usize) -> ConnectionConfig {
        let mut config = connection(index);
        if self.symmetric {
            config.mode = Mode::Default;
        }
        if self.is_v1 {
            config.version = Version::V1;
            let integrity = Integrity::HmacSha2_256_128;
            let cipher = IkeCipher::AesCbc(KeyBits::B256, integrity);
            config.ike_suites = vec![IkeSuite { cipher, prf: integrity.prf(), group: Group::Ecp256 }];
        } else if self.post_quantum {
            config.additional = vec![Some(Group::MlKem512), None];
        }
        if self.secrecy {
            config.children[0].pfs_groups = vec![Some(Group::Ecp256)];
        }
        if self.mobile {
            config.other_addresses = vec![IpAddr::from([192, 0, 2, if index == 0 { 11 } else { 12 }])];
        }
        config.resumption = self.resumption;
        config.childless = self.childless;
        config
    }
}

/// Payloads one after the other, and the type of the first; the last one is followed by `then`.
fn chain(payloads: &[RawPayload], then: u8) -> (u8, Vec<u8>) {
    let mut bytes = Vec::new();
    for (place, (_, critical, body)) in payloads.iter().enumerate() {
        let next = payloads.get(place + 1).map_or(then, |payload| payload.0);
        let length = u16::try_from(body.len() + 4).unwrap_or(u16::MAX).to_be_bytes();
        bytes.extend([next, if *critical { 0x80 } else { 0 }, length[0], length[1]]);
        bytes.extend(body);
    }
    (payloads.first().map_or(then, |payload| payload.0), bytes)
}

fn apply(change: Change, inside: &mut Inside) {
    let length = inside.content.len();
    match change {
        Change::Bent(at, how) => {
            if let Some(byte) = inside.content.get_mut(usize::from(at) % length.max(1)) {
                *byte ^= how;
            }
        }
        Change::Cut(at) => inside.content.truncate(usize::from(at) % (length + 1)),
        Change::Lengthened(more) => inside.content.extend(more),
        Change::Replaced(payloads) => {
            let (first, content) = chain(&payloads, 0);
            (inside.first, inside.content) = (PayloadType(first), content);
        }
        Change::Preceded(payloads) => {
            let (first, mut content) = chain(&payloads, inside.first.0);
            content.append(&mut inside.content);
            (inside.first, inside.content) = (PayloadType(first), content);
        }
        Change::BeginningWith(first) => inside.first = PayloadType(first),
        Change::OfExchange(exchange) => inside.exchange = ExchangeType(exchange),
        Change::Numbered(by) => inside.id.0 = inside.id.0.wrapping_add(u32::from(by) % 4),
        Change::Turned => {
            inside.kind = match inside.kind {
                MessageKind::Request => MessageKind::Response,
                MessageKind::Response => MessageKind::Request,
            }
        }
    }
}

/// Changes the next protected message of one side, if there is one soon.
fn forge(pair: &mut Pair, side: usize, changes: Vec<Change>) {
    let until = pair.now + PATIENCE;
    let mut changes = Some(changes);
    loop {
        let done = pair.forge(side, |inside| {
            for change in changes.take().into_iter().flatten() {
                apply(change, inside);
            }
        });
        if done || changes.is_none() || !pair.step(until) {
            break;
        }
    }
}

fn carry_out(pair: &mut Pair, operation: Operation) {
    match operation {
        Operation::RekeyIke(side) => pair.command(usize::from(side), Command::RekeyIke(CONNECTION)),
        Operation::RekeyChild(side) => {
            if let Some(child) = pair.sides[usize::from(side)].plane.live().first() {
                let command = Command::RekeyChild(*child);
                pair.command(usize::from(side), command);
            }
        }
        Operation::Expire(side) => {
            let spi = pair.sides[usize::from(side)].plane.installed().next().map(|found| found.sa.inbound.spi);
            if let Some(spi) = spi {
                pair.command(usize::from(side), Command::HardLifetime(spi));
            }
        }
        Operation::Reset(side) => pair.command(usize::from(side), Command::Reset(CONNECTION)),
        Operation::Step(count) => {
            for _ in 0..count % 16 {
                pair.step(pair.now + PATIENCE);
            }
        }
        Operation::Pass(milliseconds) => pair.run_for(Duration::from_millis(milliseconds.into())),
        Operation::Forge(side, changes) => forge(pair, side.into(), changes),
        Operation::Say(side, is_quick, id, payloads) => {
            let exchange =
                if is_quick { v1::ExchangeType::QUICK_MODE } else { v1::ExchangeType::INFORMATIONAL };
            let (first, content) = chain(&payloads, 0);
            pair.say_v1(side.into(), exchange, id, v1::PayloadType(first), &content);
        }
    }
}

fuzz_target!(|input: (u64, Setting, Vec<Operation>)| {
    let (seed, setting, operations) = input;
    let mut pair = Pair::new(seed, Link::LAN, &EndpointConfig::default());
    for index in [1, 0] {
        pair.command(index, Command::Configure(Box::new(setting.config(index))));
    }
    for operation in operations.into_iter().take(MOST_OPERATIONS) {
        carry_out(&mut pair, operation);
    }
    pair.run_for(Duration::from_secs(60));
    for index in [0, 1] {
        pair.command(index, Command::Reset(CONNECTION));
    }
    pair.run_for(Duration::from_secs(1200));
    pair.assert_up("after a reset");
});

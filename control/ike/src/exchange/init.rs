//! IKE_SA_INIT (RFC 7296, 1.2, 2.6, 2.7, 2.23): algorithms, keys, NATs. Initiator: prepare, send, share. Responder: cookies and refusals without state, then answer.
//!
//! Nothing here is authenticated. An initiator takes an answer that fits its request, believes no error (it is remembered for the operator), and follows
//! COOKIE, INVALID_KE_PAYLOAD and OFFER_ADDITIONAL_KEY_EXCHANGES a few times only.

use std::net::SocketAddr;

use crate::config::ConnectionConfig;
use crate::crypto::keys::{IkeSpis, Nonces};
use crate::event::Path;
use crate::nat;
use crate::sa::{Arrived, Cx};
use crate::wire::{
    ExchangeType, Header, IkeSpi, Message, MessageId, MessageKind, Notify, NotifyType, Payload, Role,
};

mod initiator;
mod responder;

pub(crate) use initiator::{InitPreparing, InitSent, InitSharing, begin, begin_anew};
pub(crate) use responder::{InitAnswering, accept, has_place, refuse, refuse_version};

/// What IKE_AUTH signs and derives from (RFC 7296, 2.15).
#[derive(Debug)]
pub(crate) struct Transcript {
    pub(crate) request: Vec<u8>,
    pub(crate) answer: Vec<u8>,
    pub(crate) nonce_initiator: Vec<u8>,
    pub(crate) nonce_responder: Vec<u8>,
    /// What IKE_INTERMEDIATE adds to what is signed: empty without it.
    pub(crate) intermediate: Vec<u8>,
    /// Whether both sides announced USE_PPK (RFC 8784, 3).
    pub(crate) ppk: bool,
}

impl Transcript {
    pub(crate) fn nonces(&self) -> Nonces<'_> {
        Nonces { initiator: &self.nonce_initiator, responder: &self.nonce_responder }
    }
}

/// MD5 of "Crossgate IKEv2: offers additional key exchanges on request". A responder that wants one answers OFFER_ADDITIONAL_KEY_EXCHANGES and keeps no state; the initiator
/// begins again with the offer. So two Crossgates mix by default, and no other peer sees transforms that it may not know. Whoever can change messages on their
/// way can suppress this, as he can anything unauthenticated here; whoever just records them cannot.
const MIXES_ON_REQUEST: [u8; 16] = u128::to_be_bytes(0xae5b_d04f_31e3_036e_c8d0_fbe8_bc75_9123);

fn header(spis: (IkeSpi, IkeSpi), sender: Role, kind: MessageKind) -> Header {
    let exchange = ExchangeType::IKE_SA_INIT;
    Header { initiator_spi: spis.0, responder_spi: spis.1, exchange, sender, kind, id: MessageId(0) }
}

/// Both SPIs by name.
pub(crate) fn spi_pair(spis: (IkeSpi, IkeSpi)) -> IkeSpis {
    IkeSpis { initiator: spis.0, responder: spis.1 }
}

/// NAT detection and IKE fragmentation, as both sides announce them. Forcing encapsulation means to hash an address that nobody has (RFC 7296, 2.23).
pub(crate) fn nat_payloads(
    spis: (IkeSpi, IkeSpi),
    local: SocketAddr,
    remote: SocketAddr,
    force: bool,
) -> Vec<Payload> {
    let source = if force { SocketAddr::new(local.ip(), 0) } else { local };
    let notify = |kind, data| Payload::Notify(Notify::new(kind, data));
    vec![
        notify(NotifyType::NAT_DETECTION_SOURCE_IP, nat::detection(spi_pair(spis), source).to_vec()),
        notify(NotifyType::NAT_DETECTION_DESTINATION_IP, nat::detection(spi_pair(spis), remote).to_vec()),
        notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED, Vec::new()),
    ]
}

/// What the peer's hashes say about NATs, and the path that follows from it: UDP encapsulation, and for the initiator the move to port 4500.
pub(crate) fn detect_nat(
    message: &Message,
    spis: (IkeSpi, IkeSpi),
    arrived: &Arrived<'_>,
    mut path: Path,
    role: Role,
    config: &ConnectionConfig,
    cx: &mut Cx<'_>,
) -> Path {
    let of = |kind| message.notifies().filter(move |notify| notify.kind == kind);
    let differs = |kind: NotifyType, address: SocketAddr| {
        let expected = nat::detection(spi_pair(spis), address);
        of(kind).next().is_some() && !of(kind).any(|notify| notify.data == expected)
    };
    path.nat_before_peer = differs(NotifyType::NAT_DETECTION_SOURCE_IP, arrived.remote);
    path.nat_before_us = differs(NotifyType::NAT_DETECTION_DESTINATION_IP, arrived.local);
    let speaks = of(NotifyType::NAT_DETECTION_SOURCE_IP).next().is_some();
    nat::traversed(path, speaks && config.force_encapsulation, role, arrived, cx)
}

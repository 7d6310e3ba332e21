//! MOBIKE (RFC 4555): what the two sides of an IKE SA know of each other's addresses, and the paths between them. The exchanges are in `exchange/mobike.rs`.
//!
//! Whoever began the first of a chain of rekeyed IKE SAs decides on the path (section 3: "the initiator"), the other side follows. Where a request of the one who decides
//! stays without an answer, it goes out on all other paths as well; the path by which the answer comes is the new one.

use std::net::{IpAddr, SocketAddr};

use crate::config::ConnectionConfig;
use crate::endpoint::NAT_PORT;
use crate::event::Path;
use crate::place::is_unicast;
use crate::wire::{Message, Notify, NotifyType, Payload};

/// Most addresses of a peer that are remembered.
const PEER_ADDRESSES_MAX: usize = 8;
/// Most paths that a request goes out on besides the present one.
const PATHS_MAX: usize = 12;

/// Both ends of a path: ours, the peer's.
pub(crate) type Ends = (SocketAddr, SocketAddr);

/// What an IKE SA knows of its peer's addresses, once both sides have said that they speak MOBIKE.
#[derive(Clone, Debug)]
pub(crate) struct Mobility {
    /// Whether we decide on the path.
    pub(crate) decides: bool,
    /// Where the peer was at first.
    origin: IpAddr,
    /// Where else it can be reached, as it says.
    peer: Vec<IpAddr>,
    /// How the peer sees our address, as a hash: another one is another mapping of a NAT before us.
    pub(crate) seen: Option<Vec<u8>>,
}

impl Mobility {
    /// Whether a connection offers MOBIKE when it begins: only where there is another path. It costs the move to port 4500 (section 3.3).
    pub(crate) fn is_offered(config: &ConnectionConfig) -> bool {
        config.mobike && (config.places.len() > 1 || !config.other_addresses.is_empty())
    }

    /// From the peer's message of IKE_AUTH, if the peer speaks MOBIKE and we want it to.
    pub(crate) fn of_peer(message: &Message, wanted: bool, decides: bool, path: &Path) -> Option<Self> {
        let speaks = wanted && message.notify(NotifyType::MOBIKE_SUPPORTED).is_some();
        speaks.then(|| {
            let (origin, peer) = (path.remote.ip(), additional(message));
            Self { decides, origin, peer, seen: None }
        })
    }

    /// For the IKE SA that replaces this one: how the peer sees us is a hash over SPIs, and learned anew under the new ones.
    pub(crate) fn of_heir(&self) -> Self {
        Self { seen: None, ..self.clone() }
    }

    /// The peer tells its other addresses anew: they replace what it told before (section 3.6).
    pub(crate) fn note_addresses(&mut self, message: &Message) {
        let none = message.notify(NotifyType::NO_ADDITIONAL_ADDRESSES).is_some();
        let told = additional(message);
        if none || !told.is_empty() {
            self.peer = told;
        }
    }

    /// All paths but the present one: from each of our addresses to each of the peer's, the present ones first.
    pub(crate) fn others(&self, path: &Path, config: &ConnectionConfig) -> Vec<Ends> {
        let mut locals = vec![path.local];
        let own = std::iter::once(config.local_address).chain(config.other_addresses.iter().copied());
        add(&mut locals, own);
        let mut remotes = vec![path.remote];
        add(&mut remotes, config.addresses().chain([self.origin]).chain(self.peer.iter().copied()));
        let all = remotes.iter().flat_map(|remote| locals.iter().map(|local| (*local, *remote)));
        all.filter(|(local, remote)| local.is_ipv4() == remote.is_ipv4())
            .filter(|ends| *ends != (path.local, path.remote))
            .take(PATHS_MAX)
            .collect()
    }
}

fn add(to: &mut Vec<SocketAddr>, addresses: impl Iterator<Item = IpAddr>) {
    for address in addresses {
        if is_unicast(&address) && !to.iter().any(|known| known.ip() == address) {
            to.push(SocketAddr::new(address, NAT_PORT));
        }
    }
}

/// What a message says in ADDITIONAL_IP4_ADDRESS and ADDITIONAL_IP6_ADDRESS.
fn additional(message: &Message) -> Vec<IpAddr> {
    let address = |notify: &Notify| match notify.kind {
        NotifyType::ADDITIONAL_IP4_ADDRESS => {
            <[u8; 4]>::try_from(notify.data.as_slice()).ok().map(IpAddr::from)
        }
        NotifyType::ADDITIONAL_IP6_ADDRESS => {
            <[u8; 16]>::try_from(notify.data.as_slice()).ok().map(IpAddr::from)
        }
        _ => None,
    };
    message.notifies().filter_map(address).filter(is_unicast).take(PEER_ADDRESSES_MAX).collect()
}

/// MOBIKE_SUPPORTED, and where else we can be reached than at `local` (sections 3.1 and 3.4).
pub(crate) fn announcement(config: &ConnectionConfig, local: IpAddr) -> impl Iterator<Item = Payload> {
    let supported = Payload::Notify(Notify::new(NotifyType::MOBIKE_SUPPORTED, Vec::new()));
    std::iter::once(supported).chain(addresses(config, local))
}

/// Where else we can be reached than at `local`.
pub(crate) fn addresses(config: &ConnectionConfig, local: IpAddr) -> Vec<Payload> {
    let own = std::iter::once(&config.local_address).chain(&config.other_addresses);
    let others = own.filter(|address| **address != local).map(|address| match address {
        IpAddr::V4(address) => Notify::new(NotifyType::ADDITIONAL_IP4_ADDRESS, address.octets().to_vec()),
        IpAddr::V6(address) => Notify::new(NotifyType::ADDITIONAL_IP6_ADDRESS, address.octets().to_vec()),
    });
    others.map(Payload::Notify).collect()
}

//! The test bed of the benchmarks that run whole workers: two sites with a gateway each, their addresses, SAs, forwarding
//! tables and frames. `bed/stepped.rs` has a gateway whose worker runs when it is told to, `bed/threaded.rs` one whose
//! worker runs on a core of its own, `bed/traffic.rs` the sizes of packets, `bed/frame.rs` their bytes.
//!
//! SA `i` of a site protects host `i` of either site, so that a route, a tunnel with its selectors and an SA each way belong to it.

pub(crate) mod frame;
pub(crate) mod stepped;
pub(crate) mod threaded;
pub(crate) mod traffic;

use std::net::IpAddr;
use std::num::NonZeroU64;

use anyhow::{Context, Result};
use crossgate_dataplane::forwarding::{
    DontFragment, Forwarding, Interface, InterfaceId, MssClamp, NextHop, PortIndex, Tunnel, TunnelId, VrfId,
};
use crossgate_dataplane::gcm::{Kernel, Key};
use crossgate_dataplane::header::ethernet::{EtherType, Mac};
use crossgate_dataplane::message::{NeighbourEntry, RingSizes};
use crossgate_dataplane::nat::Nat;
use crossgate_dataplane::sa::{
    DscpPolicy, Encapsulation, Endpoints, Esn, InboundParameters, InboundSa, Keys, Lifetime,
    OutboundParameters, OutboundSa,
};
use crossgate_dataplane::selector::{Selectors, TrafficSelector};
use crossgate_dataplane::spi::Spi;
use crossgate_dataplane::transform::{Opener, Sealer, Transform};
use crossgate_dataplane::worker::{Idle, Launch, Sizes};
use dpdk_sys::{Eal, EalOptions, Mempool, MempoolOptions, RegisteredThread};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The public side, as a position of ports and wires.
pub(crate) const WAN: usize = 0;
/// The site's side.
pub(crate) const LAN: usize = 1;
/// Our MAC addresses, by port.
pub(crate) const OURS: [Mac; 2] = [Mac([2, 0, 0, 0, 0, 0]), Mac([2, 0, 0, 0, 0, 1])];
/// Those of the peer and of the site's router, by port.
pub(crate) const THEIRS: [Mac; 2] = [Mac([2, 0, 0, 0, 2, 2]), Mac([2, 0, 0, 0, 1, 1])];
/// First four bytes of every nonce (RFC 4106, 4).
pub(crate) const SALT: [u8; 4] = [9, 8, 7, 6];
/// The default of the configuration.
const REPLAY_WINDOW_PACKETS: u32 = 1024;
/// Room for the outer headers of the longest inner packet, so that nothing is fragmented.
const MTU_BYTES: u16 = 1600;
const SITE: VrfId = VrfId(1);

/// DPDK's environment for the calling thread, and a pool of packets.
pub(crate) struct Bed {
    pub(crate) pool: Mempool,
    pub(crate) eal: Eal,
    /// Where measured workers run: the last core that the process may use. The calling thread must not be pinned when this is found.
    pub(crate) worker_core: usize,
    other_core: Option<usize>,
    _registered: RegisteredThread,
}

impl Bed {
    /// Starts DPDK; once in a process.
    pub(crate) fn start(memory_mib: u32, packets: u32) -> Result<Self> {
        let eal = Eal::start(&EalOptions { memory_mib, ..EalOptions::default() })
            .context("start DPDK (it needs root; hugepages are taken where there are enough)")?;
        eprintln!("packets live in {}", eal.memory());
        let registered = eal.register_thread()?;
        let cores: Vec<_> = core_affinity::get_core_ids().context("which cores there are")?;
        let worker_core = cores.iter().map(|core| core.id).max().context("no core at all")?;
        let other_core = cores.iter().map(|core| core.id).find(|core| *core != worker_core);
        let pool = Mempool::new(&eal, &MempoolOptions { packets, ..MempoolOptions::default() })?;
        Ok(Self { pool, eal, worker_core, other_core, _registered: registered })
    }

    /// The core for generator, sink and control thread while a worker is on its own.
    pub(crate) fn other_core(&self) -> Result<usize> {
        self.other_core.context("this needs two cores: one for the worker, one for the generator")
    }
}

/// IP version of inner and outer packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    V4,
    V6,
}

/// Which way packets go through the measured worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    Outbound,
    Inbound,
    /// Half of the packets each way, in the same bursts.
    Both,
}

/// One of the two sites: 1 or 2.
#[derive(Clone, Copy)]
pub(crate) struct Site(pub(crate) u8);

/// What the two gateways have in common.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) kernel: Kernel,
    pub(crate) key_bits: usize,
    /// Instead of AES-GCM, with its name in tables.
    pub(crate) transform: Option<(&'static str, Transform)>,
    pub(crate) family: Family,
    /// SAs each way.
    pub(crate) sas: u32,
    pub(crate) esn: Esn,
}

/// Keying material, the same for every SA: what it costs does not depend on it.
fn material(transform: Transform) -> Vec<u8> {
    (1..=u8::MAX).take(transform.key_bytes()).collect()
}

impl Family {
    /// The number in tables and JSON.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }

    pub(crate) fn ether_type(self) -> EtherType {
        match self {
            Self::V4 => EtherType::IPV4,
            Self::V6 => EtherType::IPV6,
        }
    }

    /// Where the source address begins in the IP header; what is before it changes on the way.
    fn addresses_at(self) -> usize {
        match self {
            Self::V4 => 12,
            Self::V6 => 8,
        }
    }
}

impl Serialize for Family {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for Family {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            4 => Ok(Self::V4),
            6 => Ok(Self::V6),
            other => Err(serde::de::Error::custom(format!("no IP version {other}"))),
        }
    }
}

impl Direction {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
            Self::Both => "both",
        }
    }
}

impl Site {
    pub(crate) fn other(self) -> Self {
        Self(3 - self.0)
    }

    /// The gateway's public address.
    pub(crate) fn public(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => [192, 0, 2, self.0].into(),
            Family::V6 => [0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(self.0)].into(),
        }
    }

    /// The gateway's address inside.
    pub(crate) fn own(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => [10, 64 * self.0, 0, 1].into(),
            Family::V6 => [0xfd00, u16::from(self.0), 0, 0, 0, 0, 0, 1].into(),
        }
    }

    /// The router behind which all hosts are.
    fn router(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => [10, 64 * self.0, 0, 99].into(),
            Family::V6 => [0xfd00, u16::from(self.0), 0, 0, 0, 0, 0, 0x99].into(),
        }
    }

    /// The host that an SA protects.
    pub(crate) fn host(self, family: Family, sa: u32) -> IpAddr {
        let [_, high, middle, low] = (sa + 0x1_0000).to_be_bytes();
        match family {
            Family::V4 => [10, 64 * self.0 + high, middle, low].into(),
            Family::V6 => {
                let (high, low) = (u16::from(high), u16::from_be_bytes([middle, low]));
                [0xfd00, u16::from(self.0), 0, 1, 0, 0, high, low].into()
            }
        }
    }

    /// All hosts of the site.
    pub(crate) fn prefix(self, family: Family) -> Result<IpNet> {
        let bits = if family == Family::V4 { 10 } else { 32 };
        Ok(IpNet::new(self.own(family), bits)?.trunc())
    }
}

impl Plan {
    /// One SA each way, with ESN.
    pub(crate) fn single(kernel: Kernel, key_bits: usize, family: Family) -> Self {
        Self { kernel, key_bits, transform: None, family, sas: 1, esn: Esn::On }
    }

    /// The AES key of an SA, in its so-manieth generation.
    pub(crate) fn raw_key(&self, sa: u32, generation: u8) -> Vec<u8> {
        let seed = (u64::from(sa) << 8 | u64::from(generation)).to_le_bytes();
        (0_u8..)
            .zip(seed.into_iter().cycle())
            .map(|(at, byte)| byte ^ at.wrapping_mul(37))
            .take(self.key_bits / 8)
            .collect()
    }

    /// The SPI: two generations of an SA never share a slot.
    pub(crate) fn spi(&self, sa: u32, generation: u8) -> Result<Spi> {
        let slot = 1 + sa + self.sas * u32::from(generation & 1);
        Spi::new(slot << 8 | u32::from(generation)).context("an SPI that is reserved")
    }

    pub(crate) fn outbound_sa(&self, site: Site, sa: u32, generation: u8) -> Result<OutboundSa> {
        Ok(OutboundSa::new(OutboundParameters {
            tunnel: TunnelId(sa),
            spi: self.spi(sa, generation)?,
            keys: match self.transform {
                None => self.aes_gcm(sa, generation)?,
                Some((_, transform)) => {
                    Keys::Other(Sealer::new(transform, &material(transform), &[generation; 16])?)
                }
            },
            endpoints: self.endpoints(site)?,
            encapsulation: Encapsulation::Plain,
            esn: self.esn,
            first_sequence: NonZeroU64::MIN,
            lifetime: Lifetime::UNLIMITED,
            dscp: DscpPolicy::Copy,
            path_mtu_bytes: MTU_BYTES,
            keepalive: None,
        }))
    }

    pub(crate) fn inbound_sa(&self, site: Site, sa: u32, generation: u8) -> Result<InboundSa> {
        Ok(InboundSa::new(InboundParameters {
            tunnel: TunnelId(sa),
            spi: self.spi(sa, generation)?,
            keys: match self.transform {
                None => self.aes_gcm(sa, generation)?,
                Some((_, transform)) => Keys::Other(Opener::new(transform, &material(transform))?),
            },
            endpoints: self.endpoints(site)?,
            encapsulation: Encapsulation::Plain,
            esn: self.esn,
            replay_window_packets: REPLAY_WINDOW_PACKETS,
            lifetime: Lifetime::UNLIMITED,
        }))
    }

    fn aes_gcm<T>(&self, sa: u32, generation: u8) -> Result<Keys<T>> {
        Ok(Keys::AesGcm { key: Key::new(self.kernel, &self.raw_key(sa, generation))?, salt: SALT })
    }

    fn endpoints(&self, site: Site) -> Result<Endpoints> {
        Endpoints::new(site.public(self.family), site.other().public(self.family))
            .context("two address families")
    }

    /// How the workers of a gateway are made.
    pub(crate) fn launch(&self, idle: Idle) -> Launch {
        Launch {
            kernel: self.kernel,
            idle,
            sizes: Sizes { inbound_sas: 2 * self.sas + 1, tunnels: self.sas, ..Sizes::default() },
            rings: RingSizes::default(),
            handover_packets: 256,
            seed: 1,
        }
    }

    /// A gateway's interfaces, tunnels and routes.
    pub(crate) fn forwarding(&self, site: Site) -> Result<Forwarding> {
        let family = self.family;
        let interface = |port: usize, vrf, address: IpAddr| -> Result<Interface> {
            let bits = if family == Family::V4 { 24 } else { 64 };
            Ok(Interface {
                port: PortIndex(u16::try_from(port)?),
                vlan: None,
                vrf,
                mac: OURS[port],
                mtu_bytes: MTU_BYTES,
                addresses: vec![IpNet::new(address, bits)?],
            })
        };
        let mut builder = Forwarding::builder();
        builder
            .interface(InterfaceId(0), interface(WAN, VrfId::UNDERLAY, site.public(family))?)
            .interface(InterfaceId(1), interface(LAN, SITE, site.own(family))?)
            .route(SITE, site.prefix(family)?, NextHop::Via(InterfaceId(1), site.router(family)));
        for sa in 0..self.sas {
            let selector = |site: Site| vec![TrafficSelector::of_prefix(site.host(family, sa).into())];
            let tunnel = Tunnel {
                vrf: SITE,
                selectors: Selectors { local: selector(site), remote: selector(site.other()) },
                alternative: None,
                mss_clamp: MssClamp::Auto,
                dont_fragment: DontFragment::Copy,
                nat: Nat::default(),
            };
            builder.tunnel(TunnelId(sa), tunnel).route(
                SITE,
                site.other().host(family, sa).into(),
                NextHop::Tunnel(TunnelId(sa)),
            );
        }
        Ok(builder.build()?)
    }

    /// Whom a gateway sends to: the peer, and the site's router.
    pub(crate) fn neighbours(&self, site: Site) -> [NeighbourEntry; 2] {
        let addresses = [site.other().public(self.family), site.router(self.family)];
        [WAN, LAN].map(|port| NeighbourEntry {
            interface: InterfaceId(u16::from(port == LAN)),
            address: addresses[port],
            mac: THEIRS[port],
        })
    }
}

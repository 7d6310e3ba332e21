//! SAs between the two sites.

use std::num::NonZeroU64;
use std::time::Duration;

use crossgate_dataplane::forwarding::TunnelId;
use crossgate_dataplane::gcm::{Aad, Job, Kernel, Key};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::sa::{
    DscpPolicy, Encapsulation, Endpoints, Esn, InboundParameters, InboundSa, Keys, Lifetime,
    OutboundParameters, OutboundSa,
};
use crossgate_dataplane::spi::Spi;
use crossgate_dataplane::transform::{Opener, Sealer, Transform};

use super::{Gateway, KEY, OURS, PEER, SALT, Site, TUNNEL, WAN, frame, packet};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Of the gateway that the SA is for: keys are expanded for it.
    pub(crate) kernel: Kernel,
    pub(crate) outer_v6: bool,
    pub(crate) in_udp: bool,
    pub(crate) esn: Esn,
    /// Of the AES-GCM key.
    pub(crate) key_bytes: usize,
    /// Instead of AES-GCM.
    pub(crate) transform: Option<Transform>,
    pub(crate) first: u64,
    pub(crate) lifetime: Lifetime,
    pub(crate) window: u32,
    pub(crate) tunnel: TunnelId,
    pub(crate) path_mtu: u16,
    pub(crate) keepalive: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            kernel: Kernel::detect(),
            outer_v6: false,
            in_udp: false,
            esn: Esn::On,
            key_bytes: 32,
            transform: None,
            first: 1,
            lifetime: Lifetime::UNLIMITED,
            window: 64,
            tunnel: TUNNEL,
            path_mtu: 1500,
            keepalive: None,
        }
    }
}

const IV_KEY: [u8; 16] = [0x1c; 16];

fn aes_gcm<T>(options: &Options) -> Keys<T> {
    let key = Key::new(options.kernel, &KEY[..options.key_bytes]).expect("a length");
    Keys::AesGcm { key, salt: SALT }
}

/// Keying material as long as the transform wants it.
pub(crate) fn material(transform: Transform) -> Vec<u8> {
    KEY.iter()
        .copied()
        .cycle()
        .zip(1..)
        .map(|(byte, at): (u8, u8)| byte ^ at)
        .take(transform.key_bytes())
        .collect()
}

/// The SPI that a site chose: slot 1 for site 1, slot 2 for site 2, in a bucket that says who is home.
pub(crate) fn spi(site: Site, bucket: u32) -> Spi {
    Spi::new(bucket << 26 | u32::from(site.0) << 8 | 7).expect("not reserved")
}

fn encapsulation(options: &Options) -> Encapsulation {
    if options.in_udp {
        Encapsulation::Udp { local_port: 4500, remote_port: 4500 }
    } else {
        Encapsulation::Plain
    }
}

/// An SPI of worker 0 with this slot.
pub(crate) fn raw_spi(slot: u32) -> Spi {
    Spi::new(slot << 8 | 7).expect("not reserved")
}

pub(crate) fn outbound(site: Site, options: &Options, bucket: u32) -> OutboundSa {
    outbound_to(site, options, spi(site.other(), bucket))
}

pub(crate) fn outbound_to(site: Site, options: &Options, spi: Spi) -> OutboundSa {
    let other = site.other();
    OutboundSa::new(OutboundParameters {
        tunnel: options.tunnel,
        spi,
        keys: match options.transform {
            None => aes_gcm(options),
            Some(transform) => {
                Keys::Other(Sealer::new(transform, &material(transform), &IV_KEY).expect("its length"))
            }
        },
        endpoints: Endpoints::new(site.public(options.outer_v6), other.public(options.outer_v6))
            .expect("one family"),
        encapsulation: encapsulation(options),
        esn: options.esn,
        first_sequence: NonZeroU64::new(options.first).expect("not zero"),
        lifetime: options.lifetime,
        dscp: DscpPolicy::Copy,
        path_mtu_bytes: options.path_mtu,
        keepalive: options.keepalive,
    })
}

pub(crate) fn inbound(site: Site, options: &Options, bucket: u32) -> InboundSa {
    inbound_at(site, options, spi(site, bucket))
}

pub(crate) fn inbound_at(site: Site, options: &Options, spi: Spi) -> InboundSa {
    let other = site.other();
    InboundSa::new(InboundParameters {
        tunnel: options.tunnel,
        spi,
        keys: match options.transform {
            None => aes_gcm(options),
            Some(transform) => Keys::Other(Opener::new(transform, &material(transform)).expect("its length")),
        },
        endpoints: Endpoints::new(site.public(options.outer_v6), other.public(options.outer_v6))
            .expect("one family"),
        encapsulation: encapsulation(options),
        esn: options.esn,
        replay_window_packets: options.window,
        lifetime: options.lifetime,
    })
}

/// Two gateways with SAs between them.
pub(crate) fn pair(options: &Options) -> [Gateway; 2] {
    [Site(1), Site(2)].map(|site| {
        let mut gateway = Gateway::new(site, 1);
        gateway.install(outbound(site, options, 0), inbound(site, options, 0));
        gateway
    })
}

/// A frame with an authentic ESP packet to `site`, whose decrypted payload (inner packet, padding, pad length, next header) is `plain`: what a peer sends
/// that has the keys and no manners.
pub(crate) fn authentic(site: Site, spi: Spi, esn: Esn, sequence: u64, plain: &[u8]) -> Vec<u8> {
    let key = Key::new(Kernel::detect(), &KEY).expect("a length");
    let (spi, iv) = (spi.get().to_be_bytes(), sequence.to_be_bytes());
    let nonce: [u8; 12] = std::array::from_fn(|at| if at < 4 { SALT[at] } else { iv[at - 4] });
    let aad = match esn {
        Esn::On => Aad::new::<12>(&std::array::from_fn(|at| if at < 4 { spi[at] } else { iv[at - 4] })),
        Esn::Off => Aad::new::<8>(&std::array::from_fn(|at| if at < 4 { spi[at] } else { iv[at] })),
    };
    let mut sealed = [plain, &[0; 16]].concat();
    let job = Job::new(&key, nonce, aad, &mut sealed).expect("short");
    Kernel::detect().seal(&mut [job]);
    let esp = [&spi[..], &iv[4..], &iv, &sealed].concat();
    let outer = packet(site.other().public(false), site.public(false), Protocol::ESP, 64, &esp);
    frame(OURS[WAN], PEER, &outer)
}

/// The payload of ESP for an inner packet: as much padding as it takes, and the next header that fits.
pub(crate) fn padded(inner: &[u8]) -> Vec<u8> {
    let pad = (inner.len() + 2).next_multiple_of(4) - inner.len() - 2;
    let padding = &[1, 2, 3][..pad];
    let next_header = if inner[0] >> 4 == 4 { 4 } else { 41 };
    [inner, padding, &[u8::try_from(pad).expect("few"), next_header]].concat()
}

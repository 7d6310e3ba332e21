//! IPsec/IKE policy of a connection: which algorithms are offered and accepted, and for how long keys live.

pub(crate) mod agreement;
pub mod algorithm;
mod defaults;

use std::ops::RangeInclusive;
use std::time::Duration;

use algorithm::{
    DhGroup, IkeEncryption, IkeIntegrity, IkeIntegrityWord, IpsecEncryption, IpsecIntegrity,
    IpsecIntegrityWord, PfsGroup, PfsWord, Prf,
};

use defaults::Defaults;

use crate::choice::Choice;
use crate::connection::Protocol;
use crate::document::Section;
use crate::gateway::{VirtualNetworkGateway, VpnType};
use crate::report::{Located, Place, Report};

/// One proposal for the IKE SA (RFC 7296, 3.3): any one of each list. Lists are in order of preference.
///
/// Combined-mode and other ciphers never meet in one proposal (RFC 7296, 3.3): `encryption` holds either only AES-GCM
/// and then `integrity` is empty, or only CBC modes and then it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IkeProposal {
    /// Ciphers; at least one.
    pub encryption: Vec<IkeEncryption>,
    /// Integrity algorithms; empty for AES-GCM.
    pub integrity: Vec<IkeIntegrity>,
    /// Pseudo-random functions; at least one.
    pub prf: Vec<Prf>,
    /// Key exchange groups; at least one. The first is the one that an initiator guesses.
    pub dh_groups: Vec<DhGroup>,
}

/// The proposal for Child SAs (ESP): any one of each list. Lists are in order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpsecProposal {
    /// Ciphers; at least one.
    pub encryption: Vec<IpsecEncryption>,
    /// Integrity algorithms beside those ciphers that have none of their own; empty if there are no such ciphers.
    pub integrity: Vec<IpsecIntegrity>,
    /// Groups for perfect forward secrecy when Child SAs are made or rekeyed by CREATE_CHILD_SA; at least one entry.
    pub pfs_groups: Vec<PfsGroup>,
    /// Extended sequence numbers.
    pub esn: Esn,
}

/// A key exchange besides the group's, mixed into the IKE SA's keys where the peer can (RFC 9370).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdditionalKeyExchange {
    /// ML-KEM-512 (FIPS 203): safe from quantum computers, as strong as AES-128.
    MlKem512,
    /// ML-KEM-768: as strong as AES-192.
    MlKem768,
    /// ML-KEM-1024: as strong as AES-256.
    MlKem1024,
    /// The group alone, with peers that can nothing else.
    None,
    /// ML-KEM-768 with another Crossgate, and with whoever offers it; offered to nobody else, since some peers refuse a message that has what they do not know.
    Auto,
}

impl AdditionalKeyExchange {
    /// What it comes to, in order of preference.
    #[must_use]
    pub const fn methods(&self) -> &[Self] {
        match self {
            Self::Auto => &[Self::MlKem768, Self::None],
            one => std::slice::from_ref(one),
        }
    }
}

impl Choice for AdditionalKeyExchange {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("MLKEM768", Self::MlKem768),
        ("MLKEM1024", Self::MlKem1024),
        ("MLKEM512", Self::MlKem512),
        ("None", Self::None),
        ("Auto", Self::Auto),
    ];
}

/// Extended sequence numbers (RFC 4304).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Esn {
    /// Offer both, extended first.
    Prefer,
    /// Nothing but extended ones.
    Require,
    /// Nothing but 32-bit ones.
    Off,
}

impl Choice for Esn {
    const WORDS: &'static [(&'static str, Self)] =
        &[("Prefer", Self::Prefer), ("Require", Self::Require), ("Off", Self::Off)];
}

/// Algorithms and lifetimes of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Proposals for the IKE SA in order of preference; one or two.
    pub ike: Vec<IkeProposal>,
    /// What is mixed into the IKE SA's keys besides, in order of preference, at least one entry; without [`AdditionalKeyExchange::None`] no peer is
    /// accepted that cannot. [`AdditionalKeyExchange::Auto`] stands alone; in IKEv1 it is none.
    pub additional_key_exchanges: Vec<AdditionalKeyExchange>,
    /// The proposal for Child SAs.
    pub ipsec: IpsecProposal,
    /// Whether the first Child SA of an IKE SA, too, gets a key exchange of its own where the peer can (RFC 6023).
    pub pfs_from_start: bool,
    /// A Child SA is rekeyed before it is this old; 300 s to 172,799 s.
    pub sa_lifetime: Duration,
    /// A Child SA is rekeyed before it has carried this many KiB in one direction; at least 1024.
    pub sa_data_size_kib: u64,
    /// The IKE SA is rekeyed before it is this old; 300 s to 172,799 s.
    pub ike_lifetime: Duration,
    /// Size of the replay window (RFC 4303, 3.4.3) in packets: a power of two, 32 to 4096.
    pub replay_window_packets: u16,
}

impl Default for Policy {
    /// That of IKEv2.
    fn default() -> Self {
        Self::of(Protocol::IkeV2)
    }
}

impl Policy {
    /// What is offered and accepted without a policy: every algorithm that is sound, the strongest first, in IKEv1 as many as fit its first message. The last entry
    /// of `pfs_groups` lets peers without perfect forward secrecy rekey.
    #[must_use]
    pub fn of(protocol: Protocol) -> Self {
        Self::of_defaults(&Defaults::of(protocol))
    }

    /// The same on this gateway. One that takes no policy has, behind what is sound, what the cloud's have: SHA-1, 3DES and group 2; a policy-based one also their life
    /// of Child SAs.
    #[must_use]
    pub fn on(gateway: &VirtualNetworkGateway, protocol: Protocol) -> Self {
        if gateway.sku.takes_policy() {
            return Self::of(protocol);
        }
        let policy = Self::of_defaults(&Defaults::without_policy(protocol));
        let sa_lifetime = match gateway.vpn_type {
            VpnType::PolicyBased => Duration::from_secs(SA_LIFETIME_S_POLICY_BASED),
            VpnType::RouteBased => policy.sa_lifetime,
        };
        Self { sa_lifetime, ..policy }
    }

    fn of_defaults(defaults: &Defaults) -> Self {
        let (ike, ipsec) = proposals(Words::default(), defaults);
        Self {
            ike,
            additional_key_exchanges: ADDITIONAL_KEY_EXCHANGES.to_vec(),
            ipsec,
            pfs_from_start: false,
            sa_lifetime: Duration::from_secs(SA_LIFETIME_S_DEFAULT.into()),
            sa_data_size_kib: SA_DATA_SIZE_KIB_DEFAULT,
            ike_lifetime: Duration::from_secs(IKE_LIFETIME_S_DEFAULT.into()),
            replay_window_packets: REPLAY_WINDOW_PACKETS_DEFAULT,
        }
    }
}

/// Reads `policy` of a connection.
pub(crate) fn read(mut section: Section<'_>, protocol: Protocol, report: &mut Report<'_>) -> Policy {
    let ike_encryption = words(&mut section, "ike_encryption", report);
    let ike_integrity = words(&mut section, "ike_integrity", report);
    let dh_groups = words(&mut section, "dh_group", report);
    let (ipsec_encryption, ipsec_integrity) = ipsec_words(&mut section, report);
    let pfs_groups = words(&mut section, "pfs_group", report);
    let named =
        Words { ike_encryption, ike_integrity, dh_groups, ipsec_encryption, ipsec_integrity, pfs_groups };
    check_ike(&named, &section.place, report);
    let (ike, mut ipsec) = proposals(named, &Defaults::of(protocol));
    ipsec.esn = section.optional("esn", report).map_or(Esn::Prefer, |esn| esn.value);
    let additional_key_exchanges = additional_key_exchanges(&mut section, report);
    let pfs_from_start = section.optional("pfs_from_start", report).is_some_and(|word| word.value);
    let sa_lifetime_s = section.integer("sa_lifetime_s", LIFETIME_S, SA_LIFETIME_S_DEFAULT, report);
    let ike_lifetime_s = section.integer("ike_lifetime_s", LIFETIME_S, IKE_LIFETIME_S_DEFAULT, report);
    let sa_data_size_kib =
        section.integer("sa_data_size_kib", SA_DATA_SIZE_KIB, SA_DATA_SIZE_KIB_DEFAULT, report);
    let replay_window_packets = replay_window(&mut section, report);
    section.finish(report);
    Policy {
        ike,
        additional_key_exchanges,
        ipsec,
        pfs_from_start,
        sa_lifetime: Duration::from_secs(sa_lifetime_s.into()),
        sa_data_size_kib,
        ike_lifetime: Duration::from_secs(ike_lifetime_s.into()),
        replay_window_packets,
    }
}

/// The algorithms as the file names them; an empty list stands for the default.
#[derive(Default)]
struct Words {
    ike_encryption: Vec<IkeEncryption>,
    ike_integrity: Vec<IkeIntegrityWord>,
    dh_groups: Vec<DhGroup>,
    ipsec_encryption: Vec<IpsecEncryption>,
    ipsec_integrity: Vec<IpsecIntegrity>,
    pfs_groups: Vec<PfsWord>,
}

/// A list of words, or one word; each once.
fn words<T: Choice>(section: &mut Section<'_>, key: &'static str, report: &mut Report<'_>) -> Vec<T> {
    if section.has_empty_list(key) {
        report.error(
            &section.place_of(key),
            "the list is empty",
            "name an algorithm, or leave the key out for the defaults",
        );
    }
    let mut sound: Vec<T> = Vec::new();
    for Located { value, place } in section.one_or_list::<T>(key, report).unwrap_or_default() {
        if let Some((problem, remedy)) = value.weakness() {
            report.warning(&place, format!("{} is weak: {problem}", value.word()), remedy);
        }
        if sound.contains(&value) {
            report.error(&place, format!("{} is listed twice", value.word()), "leave one of them out");
        } else {
            sound.push(value);
        }
    }
    sound
}

/// `additional_key_exchange`; the word for all peers stands alone.
fn additional_key_exchanges(
    section: &mut Section<'_>,
    report: &mut Report<'_>,
) -> Vec<AdditionalKeyExchange> {
    let key = "additional_key_exchange";
    let place = section.place_of(key);
    let methods: Vec<AdditionalKeyExchange> = words(section, key, report);
    if methods.len() > 1 && methods.contains(&AdditionalKeyExchange::Auto) {
        let problem = "Auto chooses by the peer, so it stands alone";
        report.error(&place, problem, "leave Auto out, or the others");
    }
    if methods.is_empty() { ADDITIONAL_KEY_EXCHANGES.to_vec() } else { methods }
}

/// `ipsec_encryption` with `ipsec_integrity`: integrity algorithms for the ciphers that need one, and for the others their own names again, or nothing.
fn ipsec_words(
    section: &mut Section<'_>,
    report: &mut Report<'_>,
) -> (Vec<IpsecEncryption>, Vec<IpsecIntegrity>) {
    let encryption_place = section.place_of("ipsec_encryption");
    let place = section.place_of("ipsec_integrity");
    let has_encryption = section.has("ipsec_encryption");
    let encryption: Vec<IpsecEncryption> = words(section, "ipsec_encryption", report);
    let integrity: Vec<IpsecIntegrityWord> = words(section, "ipsec_integrity", report);
    let (mut within, mut beside) = (Vec::new(), Vec::new());
    for word in &integrity {
        match word {
            IpsecIntegrityWord::Within(cipher) => within.push(*cipher),
            IpsecIntegrityWord::Beside(integrity) => beside.push(*integrity),
        }
    }
    if !has_encryption {
        if let Some(unused) = beside.first() {
            let problem =
                format!("{} needs a cipher beside it, and ipsec_encryption names none", unused.word());
            report.error(&place, problem, "add \"AES256\" or \"AES128\" to ipsec_encryption");
        }
        return (within, Vec::new());
    }
    if encryption.is_empty() || integrity.is_empty() {
        return (encryption, Vec::new());
    }
    let needy = encryption.iter().find(|cipher| !cipher.is_combined_mode());
    let combined = encryption.iter().filter(|cipher| cipher.is_combined_mode());
    let same =
        within.len() == combined.clone().count() && combined.clone().all(|cipher| within.contains(cipher));
    match needy {
        Some(cipher) if beside.is_empty() => {
            let problem =
                format!("{} needs an integrity algorithm, and ipsec_integrity names none", cipher.word());
            report.error(&place, problem, "add \"SHA256\" or \"SHA384\" to ipsec_integrity");
        }
        Some(_) if within.is_empty() || same => {}
        None if same && beside.is_empty() => {}
        _ => {
            let problem =
                format!("ipsec_integrity differs from ipsec_encryption on line {}", encryption_place.line);
            let remedy = "AES-GCM and ChaCha20-Poly1305 do both: name the same algorithms, or leave ipsec_integrity out";
            report.error(&place, problem, remedy);
        }
    }
    (encryption, beside)
}

/// AES-CBC needs an integrity algorithm of its own.
fn check_ike(words: &Words, place: &Place, report: &mut Report<'_>) {
    let cbc = words.ike_encryption.iter().find(|cipher| !cipher.is_combined_mode());
    let only_gcm =
        !words.ike_integrity.is_empty() && words.ike_integrity.iter().all(|w| *w == IkeIntegrityWord::Gcm);
    if let Some(cipher) = cbc.filter(|_| only_gcm) {
        let problem = format!("{} needs an integrity algorithm, and ike_integrity names none", cipher.word());
        report.error(place, problem, "add \"SHA384\" or \"SHA256\" to ike_integrity");
    }
}

fn replay_window(section: &mut Section<'_>, report: &mut Report<'_>) -> u16 {
    let place = section.place_of("replay_window_packets");
    let window = section.integer(
        "replay_window_packets",
        REPLAY_WINDOW_PACKETS,
        REPLAY_WINDOW_PACKETS_DEFAULT,
        report,
    );
    if !window.is_power_of_two() {
        let (below, above) = (window.next_power_of_two() / 2, window.next_power_of_two());
        report.error(&place, format!("{window} is not a power of two"), format!("take {below} or {above}"));
    }
    window
}

/// Makes proposals of the words, with the defaults where there are none. Ciphers of a kind share a proposal; the kind
/// that is named first comes first.
fn proposals(words: Words, defaults: &Defaults) -> (Vec<IkeProposal>, IpsecProposal) {
    let or_default = |given: Vec<DhGroup>| if given.is_empty() { defaults.dh_groups.to_vec() } else { given };
    let dh_groups = or_default(words.dh_groups);
    let encryption =
        if words.ike_encryption.is_empty() { defaults.ike_encryption.to_vec() } else { words.ike_encryption };
    let named: Vec<IkeIntegrity> = words.ike_integrity.iter().filter_map(|word| word.integrity()).collect();
    let integrity = if named.is_empty() { defaults.ike_integrity.to_vec() } else { named };
    let (gcm, cbc): (Vec<_>, Vec<_>) =
        encryption.iter().copied().partition(|cipher| cipher.is_combined_mode());
    let proposal = |encryption: Vec<IkeEncryption>| IkeProposal {
        integrity: if encryption.iter().all(|cipher| cipher.is_combined_mode()) {
            Vec::new()
        } else {
            integrity.clone()
        },
        encryption,
        prf: integrity.iter().map(|hash| Prf::from(*hash)).collect(),
        dh_groups: dh_groups.clone(),
    };
    let gcm_first = encryption[0].is_combined_mode();
    let in_order = if gcm_first { [gcm, cbc] } else { [cbc, gcm] };
    let ike = in_order.into_iter().filter(|kind| !kind.is_empty()).map(proposal).collect();
    let encryption = match words.ipsec_encryption {
        none if none.is_empty() => defaults.ipsec_encryption.to_vec(),
        named => named,
    };
    let pfs_groups = pfs_groups(&words.pfs_groups, &dh_groups, defaults.dh_groups);
    let integrity = match encryption.iter().all(|cipher| cipher.is_combined_mode()) {
        true => Vec::new(),
        false if words.ipsec_integrity.is_empty() => defaults.ipsec_integrity.to_vec(),
        false => words.ipsec_integrity,
    };
    (ike, IpsecProposal { encryption, integrity, pfs_groups, esn: Esn::Prefer })
}

/// The groups in the order of the words, each once.
fn pfs_groups(words: &[PfsWord], dh_groups: &[DhGroup], defaults: &[DhGroup]) -> Vec<PfsGroup> {
    if words.is_empty() {
        return defaults.iter().map(|group| PfsGroup::Group(*group)).chain([PfsGroup::None]).collect();
    }
    let mut groups = Vec::new();
    for word in words {
        let named = match word {
            PfsWord::Own(group) => vec![*group],
            PfsWord::OfIke => dh_groups.iter().map(|group| PfsGroup::Group(*group)).collect(),
        };
        for group in named {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
    }
    groups
}

/// A peer that knows nothing of RFC 9370 should pass over the proposals with it (RFC 7296, 3.3.6), but some refuse the whole message.
const ADDITIONAL_KEY_EXCHANGES: &[AdditionalKeyExchange] = &[AdditionalKeyExchange::Auto];
/// Azure's bounds of saLifeTimeSeconds.
const LIFETIME_S: RangeInclusive<u32> = 300..=172_799;
const SA_LIFETIME_S_DEFAULT: u32 = 27_000;
/// As Azure's policy-based gateways have it.
const SA_LIFETIME_S_POLICY_BASED: u64 = 3600;
const IKE_LIFETIME_S_DEFAULT: u32 = 28_800;
/// From Azure's least to 2^40 KiB, beyond which nothing is gained.
const SA_DATA_SIZE_KIB: RangeInclusive<u64> = 1024..=1 << 40;
const SA_DATA_SIZE_KIB_DEFAULT: u64 = 102_400_000;
const REPLAY_WINDOW_PACKETS: RangeInclusive<u16> = 32..=4096;
const REPLAY_WINDOW_PACKETS_DEFAULT: u16 = 1024;

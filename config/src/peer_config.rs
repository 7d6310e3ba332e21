//! The other side's configuration for a connection, in the words of its system, from the same data: addresses, identities, algorithms,
//! selectors and lifetimes cannot be mistyped. What only the other side knows (names of its interfaces, its routers) stands there with `CHANGE`.
//!
//! `crossgate peer-config` prints it. Each system has its file below.

mod certificates;
mod cisco_ios;
mod crossgate;
mod error;
mod juniper_srx;
mod libreswan;
mod strongswan;
mod vyos;

pub use error::PeerConfigError;

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::choice::Choice;
use crate::policy::algorithm::{DhGroup, IpsecEncryption, IpsecIntegrity, PfsGroup};
use crate::selectors::named;
use crate::{Config, Connection, ConnectionMode, Identity, LocalEnd, Policy, Ppk, Protocol, SelectorPolicy};

/// A system that can be the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum System {
    /// strongSwan, `swanctl.conf`.
    StrongSwan,
    /// Libreswan, `ipsec.conf` and its secrets.
    Libreswan,
    /// VyOS 1.4, commands of its configuration mode.
    VyOs,
    /// Cisco IOS XE, commands of its configuration mode.
    CiscoIos,
    /// Juniper SRX, commands of its configuration mode.
    JuniperSrx,
    /// Another Crossgate.
    Crossgate,
}

impl Choice for System {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("strongswan", Self::StrongSwan),
        ("libreswan", Self::Libreswan),
        ("vyos", Self::VyOs),
        ("cisco-ios", Self::CiscoIos),
        ("juniper-srx", Self::JuniperSrx),
        ("crossgate", Self::Crossgate),
    ];
}

/// Whether the shared key is written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyText {
    /// A word that has to be replaced.
    Placeholder,
    /// The key itself.
    Written,
}

impl Config {
    /// The configuration of the other side of `connection`, one of this configuration.
    ///
    /// # Errors
    /// [`PeerConfigError`] if that system cannot be the other side.
    ///
    /// # Panics
    /// If `connection` is of another configuration.
    pub fn peer_config(
        &self,
        connection: &Connection,
        system: System,
        key_text: KeyText,
    ) -> Result<String, PeerConfigError> {
        if let Some(gateway) = connection.remote_gateway() {
            return Err(PeerConfigError::SameAppliance(gateway.clone()));
        }
        if connection.learns_prefixes() && system != System::Crossgate {
            return Err(PeerConfigError::Vnet2Vnet { system: system.word() });
        }
        if connection.is_of_clients() {
            return Err(PeerConfigError::Clients);
        }
        if connection.request_addresses && system != System::StrongSwan {
            return Err(PeerConfigError::Assigns { system: system.word() });
        }
        if connection.ppk.is_some() && !matches!(system, System::StrongSwan | System::Crossgate) {
            return Err(PeerConfigError::Ppk { system: system.word() });
        }
        let speaks_both = matches!(system, System::StrongSwan | System::Libreswan | System::Crossgate);
        if connection.protocol == Protocol::IkeV1 && !speaks_both {
            return Err(PeerConfigError::IkeV1 { system: system.word() });
        }
        let mut out = String::new();
        for (number, end) in (1..).zip(connection.local_ends()) {
            let far = Far::of(self, connection, key_text, &end, number);
            match write(system, &far, &mut out) {
                Ok(()) => {}
                Err(Stop::Peer(error)) => return Err(error),
                Err(Stop::Text(_)) => unreachable!("writing to a String cannot fail"),
            }
        }
        Ok(out)
    }
}

fn write(system: System, far: &Far<'_>, out: &mut String) -> Result<(), Stop> {
    match system {
        System::StrongSwan => strongswan::write(far, out),
        System::Libreswan => libreswan::write(far, out),
        System::VyOs => vyos::write(far, out),
        System::CiscoIos => cisco_ios::write(far, out),
        System::JuniperSrx => juniper_srx::write(far, out),
        System::Crossgate => crossgate::write(far, out),
    }
}

/// Why writing stopped.
enum Stop {
    Peer(PeerConfigError),
    Text(fmt::Error),
}

impl From<fmt::Error> for Stop {
    fn from(error: fmt::Error) -> Self {
        Self::Text(error)
    }
}

impl From<PeerConfigError> for Stop {
    fn from(error: PeerConfigError) -> Self {
        Self::Peer(error)
    }
}

/// A connection seen from the other side: "local" is there, "remote" is here. Of two ends that we have the other side hears of one after the other.
struct Far<'a> {
    config: &'a Config,
    connection: &'a Connection,
    policy: &'a Policy,
    /// The connection's name, of letters, digits, `-` and `_`; at our second end with a word behind it.
    name: String,
    /// The same at both ends: what the files of keys are called by.
    key_name: String,
    /// Which of our ends this is: 1, or 2 at an active-active gateway.
    number: u8,
    /// The other side's address; `None` if it may be anywhere, or at several.
    local: Option<IpAddr>,
    /// Ours.
    remote: IpAddr,
    local_id: &'a Identity,
    remote_id: Identity,
    /// The prefixes behind the other side.
    local_prefixes: &'a [IpNet],
    /// Those on our side that the connection carries, as the other side knows them.
    remote_prefixes: Vec<IpNet>,
    key_text: KeyText,
}

/// One pair of selectors of one address family.
#[derive(Clone, Copy)]
struct Pair {
    local: IpNet,
    remote: IpNet,
}

impl<'a> Far<'a> {
    fn of(
        config: &'a Config,
        connection: &'a Connection,
        key_text: KeyText,
        end: &LocalEnd,
        number: u8,
    ) -> Self {
        let peer = config.peer_of(connection);
        let suffix = if number > 1 { "-second" } else { "" };
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
        let key_name: String = connection.name.as_str().chars().map(plain).collect();
        Self {
            config,
            connection,
            policy: &connection.policy,
            name: format!("{key_name}{suffix}"),
            key_name,
            number,
            local: peer.address.address().filter(|_| peer.backup_addresses.is_empty()),
            remote: end.address,
            local_id: &connection.remote_id,
            remote_id: end.id.clone(),
            local_prefixes: &peer.prefixes,
            remote_prefixes: config.prefixes_carried(connection),
            key_text,
        }
    }

    /// A key as text, or what stands in its place. Keys are printable ASCII.
    fn text_of(&self, key: &[u8], placeholder: &str) -> String {
        match self.key_text {
            KeyText::Written => String::from_utf8_lossy(key).into_owned(),
            KeyText::Placeholder => placeholder.to_owned(),
        }
    }

    /// The shared key as text, where there is one.
    fn key(&self) -> Option<String> {
        Some(self.text_of(self.connection.authentication.shared_key()?.expose(), PLACEHOLDER))
    }

    /// The post-quantum pre-shared key with its name, as text.
    fn ppk(&self) -> Option<(&Ppk, String)> {
        let ppk = self.connection.ppk.as_ref()?;
        Some((ppk, self.text_of(ppk.secret.expose(), PPK_PLACEHOLDER)))
    }

    /// The shared key, where there is one, if it holds none of the characters that the system would take for something else.
    fn key_without(&self, system: &'static str, forbidden: &str) -> Result<Option<String>, PeerConfigError> {
        let key = self.key();
        match key.iter().flat_map(|key| key.chars()).find(|c| forbidden.contains(*c)) {
            None => Ok(key),
            Some(character) => Err(PeerConfigError::Key { system, character }),
        }
    }

    /// Whether everything may travel to everything: the other side may then route instead of naming prefixes.
    fn is_any_to_any(&self) -> bool {
        self.connection.traffic_selectors.local.iter().all(|prefix| prefix.prefix_len() == 0)
            && self.connection.traffic_selectors.remote.iter().all(|prefix| prefix.prefix_len() == 0)
    }

    /// The other side's selectors: prefixes, where this side would take everything.
    fn local_selectors(&self) -> Vec<IpNet> {
        named(&self.connection.traffic_selectors.remote, self.local_prefixes)
    }

    /// The other side's selectors and ours in the same way, policy by policy.
    fn policies(&self) -> Vec<SelectorPolicy> {
        let turned = |policy: &SelectorPolicy| SelectorPolicy {
            local: named(&policy.remote, self.local_prefixes),
            remote: named(&policy.local, &self.remote_prefixes),
        };
        self.connection.traffic_selectors.policies().iter().map(turned).collect()
    }

    /// Every pair of prefixes of one family, for systems that take pairs.
    fn pairs(&self) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for SelectorPolicy { local, remote } in self.policies() {
            for local in local {
                let fitting =
                    remote.iter().filter(|remote| remote.addr().is_ipv4() == local.addr().is_ipv4());
                pairs.extend(fitting.map(|remote| Pair { local, remote: *remote }));
            }
        }
        pairs
    }

    /// Ciphers of Child SAs with what integrity algorithms go with them: those that have their own apart from others, the kind named first at the front.
    fn esp_kinds(&self) -> Vec<(Vec<IpsecEncryption>, &'a [IpsecIntegrity])> {
        let ipsec = &self.policy.ipsec;
        let (combined, separate): (Vec<_>, Vec<_>) =
            ipsec.encryption.iter().copied().partition(|cipher| cipher.is_combined_mode());
        let mut kinds = vec![(combined, &[][..]), (separate, &ipsec.integrity[..])];
        if ipsec.encryption.first().is_some_and(|first| !first.is_combined_mode()) {
            kinds.reverse();
        }
        kinds.retain(|(ciphers, _)| !ciphers.is_empty());
        kinds
    }

    /// Each cipher of Child SAs with the best integrity algorithm, for systems that take one of each.
    fn esp_pairs(&self) -> Vec<(IpsecEncryption, Option<IpsecIntegrity>)> {
        let best = self.policy.ipsec.integrity.first().copied();
        let ciphers = self.policy.ipsec.encryption.iter();
        ciphers.map(|cipher| (*cipher, best.filter(|_| !cipher.is_combined_mode()))).collect()
    }

    fn is_ikev1(&self) -> bool {
        self.connection.protocol == Protocol::IkeV1
    }

    /// Refuses a connection that asks by IKEv1 for everything: there a selector is taken as it is, or not at all.
    fn names_pairs(&self, system: &'static str) -> Result<(), PeerConfigError> {
        let asks = self.connection.mode != ConnectionMode::ResponderOnly;
        let is_refused = self.is_ikev1() && asks && self.is_any_to_any();
        if is_refused { Err(PeerConfigError::AnyToAny { system }) } else { Ok(()) }
    }

    /// The group of quick mode, in which there is one for all proposals: the first that the system has.
    fn quick_mode_group(&self, is_known: impl Fn(DhGroup) -> bool) -> Option<DhGroup> {
        self.policy.ipsec.pfs_groups.iter().find_map(|pfs| match pfs {
            PfsGroup::Group(group) if is_known(*group) => Some(*group),
            PfsGroup::Group(_) | PfsGroup::None => None,
        })
    }

    /// Refuses a gateway that has a tunnel from each of two addresses, for systems that find the tunnel of a packet by its prefixes alone.
    fn one_tunnel(&self, system: &'static str, remedy: &'static str) -> Result<(), PeerConfigError> {
        let has_second = self.connection.second_address.is_some();
        if has_second { Err(PeerConfigError::SecondTunnel { system, remedy }) } else { Ok(()) }
    }

    fn has(&self, ipv4: bool) -> bool {
        self.pairs().iter().any(|pair| pair.local.addr().is_ipv4() == ipv4)
    }

    /// The mode of the other side: whoever must not begin here must begin there.
    fn mode(&self) -> ConnectionMode {
        match self.connection.mode {
            ConnectionMode::InitiatorOnly => ConnectionMode::ResponderOnly,
            ConnectionMode::ResponderOnly => ConnectionMode::InitiatorOnly,
            ConnectionMode::Default if self.local.is_none() => ConnectionMode::InitiatorOnly,
            ConnectionMode::Default => ConnectionMode::Default,
        }
    }

    /// Whether the other side, if it begins, does so for traffic alone: it would bring up at once what we take down when it is idle.
    fn begins_on_traffic(&self) -> bool {
        self.connection.idle_timeout.is_some() && self.mode() != ConnectionMode::ResponderOnly
    }

    /// The lines that every configuration begins with, behind the system's sign for comments.
    fn head(&self, sign: &str, out: &mut String) -> fmt::Result {
        if self.number > 1 {
            writeln!(
                out,
                "\n{sign} The same to the gateway's second address: both tunnels are up, and either may carry any packet."
            )?;
        }
        let gateway = &self.config.appliance().name;
        writeln!(out, "{sign} The other side of connection \"{}\" of {gateway}.", self.connection.name)?;
        if self.key_text == KeyText::Placeholder {
            if self.certificates().is_none() {
                writeln!(out, "{sign} Replace {PLACEHOLDER} by the shared key of both sides.")?;
            }
            if self.connection.ppk.is_some() {
                writeln!(out, "{sign} Replace {PPK_PLACEHOLDER} by the post-quantum key of both sides.")?;
            }
        }
        self.tell_certificates(sign, out)
    }
}

/// A proposal for each choice of one word from each list, for IKEv1, where a proposal has one algorithm of each kind. Empty lists have no place in it.
fn each_choice(lists: &[Vec<&str>]) -> Vec<String> {
    lists.iter().filter(|list| !list.is_empty()).fold(Vec::new(), |begun: Vec<String>, list| {
        if begun.is_empty() {
            return list.iter().map(ToString::to_string).collect();
        }
        begun.iter().flat_map(|begun| list.iter().map(move |word| format!("{begun}-{word}"))).collect()
    })
}

fn joined(prefixes: &[IpNet], separator: &str) -> String {
    prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}

/// `group20` and the like: IANA's number behind a prefix, for systems that lack Curve25519.
fn numbered_group(group: DhGroup, prefix: &str) -> Option<String> {
    (group != DhGroup::Curve25519).then(|| format!("{prefix}{}", group.number()))
}

/// What stands in place of a key.
const PLACEHOLDER: &str = "REPLACE-WITH-THE-SHARED-KEY";
/// What lets a system route into both tunnels.
const ANY_TO_ANY: &str =
    "leave the connection's traffic selectors any-to-any, so that it has tunnel interfaces";
const PPK_PLACEHOLDER: &str = "REPLACE-WITH-THE-POST-QUANTUM-KEY";

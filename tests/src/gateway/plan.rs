//! A gateway's configuration file, made from what a test chooses.

use crate::certificates::Certificates;
use crate::failure::{Result, Tried};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The pre-shared key of every connection in the lab, unless a test takes another.
pub const SHARED_KEY: &str = "vB7.qzN2_kTfW9xR4mYh6LdC";

/// How DPDK takes hold of a veth end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// `AF_PACKET`: works with every interface.
    AfPacket,
    /// `AF_XDP`: faster.
    AfXdp,
    /// A card's own, by PCI address; the devices of the plan are PCI addresses then.
    Pci,
}

/// What a gateway shall be; [`Plan::site`] fits the lab's standard sites.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The appliance's name.
    pub name: String,
    /// The driver of both ports.
    pub driver: Driver,
    /// The workers' cores.
    pub worker_cores: Vec<usize>,
    /// The AES-GCM kernel that its workers use.
    pub aes_gcm: &'static str,
    /// More arguments of both ports' devices, each behind a comma.
    pub device_arguments: String,
    /// How many times faster than others' its clock runs, where a test would wait for what it does after a long time; 1 as a rule.
    pub clock_speed: u32,
    /// The interface of the public side.
    pub wan_device: String,
    /// The interface of the inner side.
    pub lan_device: String,
    /// The longest IP packet on the public side.
    pub wan_mtu_bytes: u16,
    /// Addresses on the public side.
    pub wan: Vec<String>,
    /// Addresses on the inner side.
    pub lan: Vec<String>,
    /// The inner side's address space.
    pub space: Vec<String>,
    /// The subnet of the gateway itself.
    pub gateway_subnet: String,
    /// The gateway's size.
    pub sku: String,
    /// More lines of the gateway's section, as TOML; `FOLDER` in it stands for the gateway's folder.
    pub gateway_extra: String,
    /// Private files in its folder, by name.
    pub files: Vec<(&'static str, String)>,
    /// Its connections.
    pub connections: Vec<Connection>,
    /// A whole file instead of what the above makes; `FOLDER` in it stands for the gateway's folder, where the connections' keys are.
    pub instead: Option<String>,
}

/// One connection of a plan, with its local network gateway.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its name.
    pub name: String,
    /// The peer's outer address.
    pub peer: String,
    /// Where it is called when nobody answers there.
    pub backups: Vec<String>,
    /// The prefixes behind the peer.
    pub prefixes: Vec<String>,
    /// The pre-shared key.
    pub shared_key: String,
    /// Certificates instead of it.
    pub certificates: Option<Certificates>,
    /// A post-quantum pre-shared key besides.
    pub ppk: Option<Ppk>,
    /// `Default`, `InitiatorOnly` or `ResponderOnly`.
    pub mode: String,
    /// Seconds after which a silent peer is taken for dead.
    pub dpd_timeout_s: u32,
    /// More lines of its section, as TOML.
    pub extra: String,
    /// Keys and values of its policy, as TOML.
    pub policy: Vec<(&'static str, String)>,
    /// Own identity and the peer's, where they are not the addresses.
    pub identities: Option<(String, String)>,
    /// Own traffic selectors, local and remote.
    pub selectors: Option<(Vec<String>, Vec<String>)>,
}

/// A post-quantum pre-shared key of a connection.
#[derive(Clone, Debug)]
pub struct Ppk {
    /// Its name.
    pub id: String,
    /// The key.
    pub secret: String,
    /// Whether the peer must have it.
    pub required: bool,
}

impl Plan {
    /// The gateway of site 1 or 2: 192.0.2.N outside, 10.N.0.0/16 and fd00:N::/48 inside, and a connection "peer" to
    /// the other site.
    #[must_use]
    pub fn site(number: u8) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            name: format!("gw-{number}"),
            driver: Driver::AfPacket,
            worker_cores: vec![usize::from(number).min(cores - 1)],
            aes_gcm: "auto",
            device_arguments: String::new(),
            clock_speed: 1,
            wan_device: "wan".to_owned(),
            lan_device: "lan".to_owned(),
            wan_mtu_bytes: 1500,
            wan: vec![format!("192.0.2.{number}/24")],
            lan: vec![format!("10.{number}.0.1/24"), format!("fd00:{number}::1/64")],
            space: vec![format!("10.{number}.0.0/16"), format!("fd00:{number}::/48")],
            gateway_subnet: format!("10.{number}.255.0/27"),
            sku: "VpnGw1".to_owned(),
            gateway_extra: String::new(),
            files: Vec::new(),
            connections: vec![Connection::to_site(3 - number)],
            instead: None,
        }
    }

    /// An example as an operator copies it, with its socket and store where the lab has them, and a key in `NAME.psk` for each of `keys`:
    /// [`example_key`].
    #[must_use]
    pub fn example(text: &str, keys: &[&str]) -> Self {
        let lab = "[appliance]\nsocket = \"FOLDER/console.sock\"\nstore = \"FOLDER/store.redb\"";
        let own = |line: &&str| !line.starts_with("socket = ") && !line.starts_with("store = ");
        let text = text.lines().filter(own).collect::<Vec<_>>().join("\n") + "\n";
        let with_key = |&name: &&str| Connection {
            name: name.to_owned(),
            shared_key: example_key(name),
            ..Connection::to_site(2)
        };
        let name = text.lines().find_map(|line| line.strip_prefix("name = ")).unwrap_or_default();
        Self {
            name: name.trim_matches('"').to_owned(),
            connections: keys.iter().map(with_key).collect(),
            instead: Some(text.replacen("[appliance]", lab, 1)),
            ..Self::site(1)
        }
    }

    /// The same with another mode of its first connection.
    #[must_use]
    pub fn with_mode(mut self, mode: &str) -> Self {
        mode.clone_into(&mut self.connections[0].mode);
        self
    }

    /// The same with a key of its first connection's policy; `value` as TOML.
    #[must_use]
    pub fn with_policy(mut self, key: &'static str, value: &str) -> Self {
        self.connections[0].policy.push((key, value.to_owned()));
        self
    }

    /// Writes `gateway.toml` and the keys' files into `folder`, which the gateway knows by the name `seen_as`.
    pub fn write(&self, folder: &Path, seen_as: &Path) -> Result<()> {
        for connection in &self.connections {
            if let Some(certificates) = &connection.certificates {
                certificates.write_for_gateway(folder, &connection.name)?;
            }
            let ppk = connection.ppk.as_ref().map(|ppk| ("ppk", &ppk.secret));
            for (kind, key) in [Some(("psk", &connection.shared_key)), ppk].into_iter().flatten() {
                let path = folder.join(format!("{}.{kind}", connection.name));
                fs::write(&path, key)
                    .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)))
                    .tried(|| path.display().to_string())?;
            }
        }
        for (name, text) in &self.files {
            let path = folder.join(name);
            fs::write(&path, text)
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)))
                .tried(|| path.display().to_string())?;
        }
        let path = folder.join("gateway.toml");
        fs::write(&path, self.text(seen_as)).tried(|| path.display().to_string())
    }

    /// The file's text, with the socket and the keys in `folder`.
    #[must_use]
    pub fn text(&self, folder: &Path) -> String {
        if let Some(text) = &self.instead {
            return text.replace("FOLDER", &folder.display().to_string());
        }
        let Self { name, worker_cores, aes_gcm, wan_mtu_bytes, wan, lan, space, gateway_subnet, sku, .. } =
            self;
        let public: Vec<&str> = wan.iter().filter_map(|address| address.split('/').next()).collect();
        let mut text = format!(
            "[appliance]
name = {name:?}
workers = {worker_cores:?}
aes_gcm = {aes_gcm:?}
control_core = 0
socket = \"{place}/console.sock\"
store = \"{place}/store.redb\"

[[port]]
name = \"wan\"
device = {:?}
mtu_bytes = {wan_mtu_bytes}
addresses = {wan:?}

[[port]]
name = \"lan\"
device = {:?}

[[virtual_network]]
name = \"site\"
address_space = {space:?}
gateway_subnet = {gateway_subnet:?}
port = \"lan\"
addresses = {lan:?}

[[virtual_network_gateway]]
name = \"gw\"
virtual_network = \"site\"
type = \"Vpn\"
vpn_type = \"RouteBased\"
sku = {sku:?}
public_addresses = {public:?}
",
            self.driver.device(0, &self.wan_device) + &self.device_arguments,
            self.driver.device(1, &self.lan_device) + &self.device_arguments,
            place = folder.display(),
        );
        text.push_str(&self.gateway_extra.replace("FOLDER", &folder.display().to_string()));
        for connection in &self.connections {
            connection.append(folder, &mut text);
        }
        text
    }
}

impl Connection {
    /// The connection "peer" to site 1 or 2, with a policy that every strongSwan of the lab accepts.
    #[must_use]
    pub fn to_site(number: u8) -> Self {
        Self {
            name: "peer".to_owned(),
            peer: format!("192.0.2.{number}"),
            backups: Vec::new(),
            prefixes: vec![format!("10.{number}.0.0/16"), format!("fd00:{number}::/48")],
            shared_key: SHARED_KEY.to_owned(),
            certificates: None,
            ppk: None,
            mode: "Default".to_owned(),
            dpd_timeout_s: 45,
            extra: String::new(),
            policy: Vec::new(),
            identities: None,
            selectors: None,
        }
    }

    fn append(&self, folder: &Path, text: &mut String) {
        let Self { name, peer, backups, prefixes, mode, dpd_timeout_s, extra, .. } = self;
        let _ = write!(
            text,
            "
[[local_network_gateway]]
name = {name:?}
address = {peer:?}
backup_addresses = {backups:?}
prefixes = {prefixes:?}

[[connection]]
name = {name:?}
type = \"IPsec\"
gateway = \"gw\"
local_network_gateway = {name:?}
mode = {mode:?}
dpd_timeout_s = {dpd_timeout_s}
{extra}
"
        );
        if self.certificates.is_none() {
            let _ = writeln!(text, "shared_key = {{ file = \"{}/{name}.psk\" }}", folder.display());
        }
        if let Some((local, remote)) = &self.identities {
            let _ = write!(text, "local_id = {local:?}\nremote_id = {remote:?}\n");
        }
        if !self.policy.is_empty() {
            text.push_str("[connection.policy]\n");
        }
        for (key, value) in &self.policy {
            let _ = writeln!(text, "{key} = {value}");
        }
        if let Some((local, remote)) = &self.selectors {
            let _ = write!(text, "[connection.traffic_selectors]\nlocal = {local:?}\nremote = {remote:?}\n");
        }
        if let Some(Ppk { id, required, .. }) = &self.ppk {
            let folder = folder.display();
            let _ = write!(
                text,
                "[connection.ppk]\nid = {id:?}\nsecret = {{ file = \"{folder}/{name}.ppk\" }}\nrequired = {required}\n"
            );
        }
        if let Some(certificates) = &self.certificates {
            text.push_str(&certificates.table(folder, name));
        }
    }
}

/// The key in an example's file `NAME.psk`.
#[must_use]
pub fn example_key(name: &str) -> String {
    format!("{}.Wq8_rTz5.nVb3Kx7", name.replace('-', "."))
}

/// The text of many connections that wait for their peers, each with a site of its own and the key of the connection "peer".
#[must_use]
pub fn many(count: u32, folder: &Path, more: &str) -> String {
    let one = |number: u32| {
        let (high, low) = (number / 250, number % 250);
        format!(
            "
[[local_network_gateway]]
name = \"many-{number}\"
address = \"198.18.{high}.{}\"
prefixes = [\"10.{}.{low}.0/24\"]
[[connection]]
name = \"many-{number}\"
gateway = \"gw\"
local_network_gateway = \"many-{number}\"
mode = \"ResponderOnly\"
shared_key = {{ file = \"{}/peer.psk\" }}
{more}",
            low + 1,
            high + 100,
            folder.display()
        )
    };
    (0..count).map(one).collect()
}

impl Driver {
    /// DPDK's words for the interface `device` as port `number`. The rings are sized for a machine whose cores are
    /// shared: they hold what arrives while a worker waits for its turn. The queueing discipline is not bypassed (DPDK would): a
    /// capture must see what is sent.
    fn device(self, number: usize, device: &str) -> String {
        match self {
            Self::AfPacket => {
                format!(
                    "net_af_packet{number},iface={device},blocksz=4096,framesz=2048,framecnt=4096,qdisc_bypass=0"
                )
            }
            Self::AfXdp => format!("net_af_xdp{number},iface={device}"),
            Self::Pci => device.to_owned(),
        }
    }
}

//! strongSwan's configuration: one connection with one child and a pre-shared key.

use crate::certificates::Certificates;
use crate::failure::{Result, Tried};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What a test chooses; `Default` fits the lab's standard pair of sites.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which IKE it speaks, 1 or 2.
    pub version: u8,
    /// Its own outer address.
    pub local: String,
    /// The gateway's outer address.
    pub remote: String,
    /// Who it says it is.
    pub local_id: String,
    /// Whom it expects.
    pub remote_id: String,
    /// The pre-shared key.
    pub shared_key: String,
    /// Certificates instead of it.
    pub certificates: Option<Certificates>,
    /// IKE proposal, in strongSwan's words.
    pub ike: String,
    /// ESP proposal, in strongSwan's words.
    pub esp: String,
    /// The prefixes on its side.
    pub local_prefixes: Vec<String>,
    /// The prefixes on the gateway's side.
    pub remote_prefixes: Vec<String>,
    /// Seconds without a sign of life after which it asks for one; 0: never.
    pub dpd_delay_s: u32,
    /// More lines of the child's section.
    pub child_extra: String,
    /// More children of the connection, by name, with the prefixes on its side.
    pub more_children: Vec<(&'static str, &'static str)>,
    /// More lines of the connection's section.
    pub connection_extra: String,
    /// A whole `swanctl.conf` instead of what the above makes.
    pub instead: Option<String>,
    /// More connections.
    pub more_connections: String,
    /// More lines of the daemon's section.
    pub daemon_extra: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: 2,
            local: "192.0.2.2".to_owned(),
            remote: "192.0.2.1".to_owned(),
            local_id: "192.0.2.2".to_owned(),
            remote_id: "192.0.2.1".to_owned(),
            shared_key: crate::gateway::SHARED_KEY.to_owned(),
            certificates: None,
            ike: "aes256gcm16-prfsha384-ecp384".to_owned(),
            esp: "aes256gcm16-ecp384".to_owned(),
            local_prefixes: vec!["10.2.0.0/16".to_owned(), "fd00:2::/48".to_owned()],
            remote_prefixes: vec!["10.1.0.0/16".to_owned(), "fd00:1::/48".to_owned()],
            dpd_delay_s: 0,
            child_extra: String::new(),
            more_children: Vec::new(),
            connection_extra: String::new(),
            instead: None,
            more_connections: String::new(),
            daemon_extra: String::new(),
        }
    }
}

/// Which ESP it uses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Esp {
    /// Its own, over a TUN device.
    Userspace,
    /// The kernel's.
    Kernel,
}

impl Settings {
    /// Writes its files into `folder`; it will find them under `seen_as` (another path, in a guest).
    pub(super) fn write(&self, folder: &Path, seen_as: &Path, esp: Esp) -> Result<()> {
        fs::create_dir_all(folder).tried(|| folder.display().to_string())?;
        if let Some(certificates) = &self.certificates {
            certificates.write_for_strongswan(folder)?;
        }
        let daemon = daemon(seen_as, esp, &self.daemon_extra);
        let files = [("strongswan.conf", daemon), ("swanctl.conf", self.connection())];
        for (name, text) in files {
            let path = folder.join(name);
            fs::write(&path, text)
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)))
                .tried(|| path.display().to_string())?;
        }
        Ok(())
    }

    fn connection(&self) -> String {
        if let Some(text) = &self.instead {
            return text.clone();
        }
        let Self { version, local, remote, local_id, remote_id, shared_key, ike, esp, .. } = self;
        let (local_ts, remote_ts) = (self.local_prefixes.join(","), self.remote_prefixes.join(","));
        let Self { dpd_delay_s, child_extra, connection_extra, more_connections, .. } = self;
        let more_children = self.more_children.iter().fold(String::new(), |all, (name, local)| {
            format!("{all}            {name} {{ local_ts = {local}\nremote_ts = {remote_ts}\nesp_proposals = {esp}\n}}\n")
        });
        let (auth, certs) = match self.certificates {
            Some(_) => ("pubkey", "certs = peer.pem"),
            None => ("psk", ""),
        };
        format!(
            "connections {{
    peer {{
        version = {version}
        mobike = no
        local_addrs = {local}
        remote_addrs = {remote}
        proposals = {ike}
        dpd_delay = {dpd_delay_s}s
        {connection_extra}
        local {{
            auth = {auth}
            {certs}
            id = {local_id}
        }}
        remote {{
            auth = {auth}
            id = {remote_id}
        }}
        children {{
            net {{
                local_ts = {local_ts}
                remote_ts = {remote_ts}
                esp_proposals = {esp}
                {child_extra}
            }}
{more_children}
        }}
    }}
    {more_connections}
}}
secrets {{
    ike-peer {{
        id-1 = {local_id}
        id-2 = {remote_id}
        secret = \"{shared_key}\"
    }}
}}
"
        )
    }
}

fn daemon(folder: &Path, esp: Esp, extra: &str) -> String {
    let folder = folder.display();
    let kernel = match esp {
        // The first to register is the one that does ESP.
        Esp::Userspace => "kernel-libipsec kernel-netlink",
        Esp::Kernel => "kernel-netlink",
    };
    format!(
        "charon-systemd {{
    filelog {{
        log {{
            path = {folder}/log
            time_format = %H:%M:%S
            flush_line = yes
            default = 1
            ike = 2
        }}
    }}
}}
charon {{
    {extra}
    load = random nonce openssl pem pkcs1 pkcs8 x509 pubkey constraints revocation aes sha1 sha2 hmac kdf gcm curve25519 {kernel} socket-default vici updown counters eap-identity eap-mschapv2 eap-tls
    install_routes = yes
    replay_window = 1024
    retransmit_timeout = 1.0
    retransmit_tries = 4
    plugins {{
        vici {{
            socket = unix://{folder}/vici
        }}
    }}
}}
swanctl {{
    load = random openssl pem pkcs1 pkcs8 x509 pubkey
}}
"
    )
}

//! FreeRADIUS as the authentication server of a gateway, in a namespace of its own, with the users and certificates of a test. It has its own folder with configuration and
//! log; nothing under /etc is read but its dictionaries.

use crate::failure::{Result, Tried};
use crate::namespace::Namespace;
use crate::process::Process;
use crate::wait::{Look, until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// For a start on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a test chooses.
#[derive(Clone, Debug)]
pub struct Radius<'t> {
    /// Where its gateway asks from.
    pub gateway: &'t str,
    /// What both share.
    pub secret: &'t str,
    /// Users with their passwords.
    pub users: &'t [(&'t str, &'t str)],
    /// Its own certificate and its private key in PEM, and the authority of its clients' certificates.
    pub certificates: [&'t str; 3],
}

/// A FreeRADIUS that runs.
pub struct FreeRadius {
    process: Process,
    // Kept until it ends.
    _folder: tempfile::TempDir,
}

impl FreeRadius {
    /// Starts one in `namespace`; returns when it answers questions.
    pub fn start(namespace: &Namespace, radius: &Radius<'_>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("radius").tempdir();
        let folder = folder.tried(|| "a folder for FreeRADIUS".to_owned())?;
        radius.write(folder.path())?;
        let mut command = namespace.command("freeradius");
        command.args(["-f", "-xx", "-l", "stdout", "-n", "radiusd", "-D", "/usr/share/freeradius", "-d"]);
        command.arg(folder.path());
        let process = Process::start("freeradius", &command, &folder.path().join("log"))?;
        let mut server = Self { process, _folder: folder };
        until("FreeRADIUS", PATIENCE, || {
            server.process.must_run()?;
            Ok(Look::when(server.log().contains("Ready to process requests"), || server.log()))
        })?;
        Ok(server)
    }

    /// What it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}

impl Radius<'_> {
    fn write(&self, folder: &Path) -> Result<()> {
        let users = self
            .users
            .iter()
            .map(|(name, password)| format!("{name} Cleartext-Password := \"{password}\"\n"));
        let [own, key, authority] = self.certificates;
        let files = [
            ("dictionary", String::new()),
            ("radiusd.conf", self.configuration(folder)),
            ("users", users.collect()),
            ("own.pem", own.to_owned()),
            ("own.key", key.to_owned()),
            ("ca.pem", authority.to_owned()),
        ];
        for (name, text) in files {
            let path = folder.join(name);
            fs::write(&path, text)
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)))
                .tried(|| path.display().to_string())?;
        }
        Ok(())
    }

    fn configuration(&self, folder: &Path) -> String {
        let Self { gateway, secret, .. } = self;
        let folder = folder.display();
        format!(
            "prefix = /usr
libdir = /usr/lib/freeradius
run_dir = {folder}
logdir = {folder}
pidfile = {folder}/pid
security {{
    reject_delay = 0
    status_server = no
    allow_vulnerable_openssl = yes
}}
client gateway {{
    ipaddr = {gateway}
    secret = {secret}
    require_message_authenticator = yes
}}
modules {{
    eap {{
        default_eap_type = mschapv2
        timer_expire = 60
        mschapv2 {{
        }}
        tls-config tls-common {{
            private_key_file = {folder}/own.key
            certificate_file = {folder}/own.pem
            ca_file = {folder}/ca.pem
            tls_min_version = \"1.2\"
            tls_max_version = \"1.2\"
        }}
        tls {{
            tls = tls-common
        }}
    }}
    mschap {{
    }}
    files {{
        filename = {folder}/users
    }}
}}
server default {{
    listen {{
        type = auth
        ipaddr = *
        port = 1812
    }}
    authorize {{
        eap {{
            ok = return
        }}
        files
    }}
    authenticate {{
        Auth-Type MS-CHAP {{
            mschap
        }}
        eap
    }}
}}
"
        )
    }
}

//! strongSwan as the peer: a charon in a namespace, with its ESP in userspace (always in UDP 4500, no extended sequence
//! numbers, replay window of 128), or in a guest, with the kernel's ESP. Each has its own folder with configuration,
//! control socket and log; nothing under /etc or /run is touched.

mod settings;

pub use settings::Settings;

use crate::failure::{Failure, Result, Tried, ensure};
use crate::guest::Guest;
use crate::met;
use crate::namespace::Namespace;
use crate::newer;
use crate::process::{self, Process};
use crate::wait::{Look, until};
use rustix::process::Signal;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// For what takes a few round trips, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// The names in its configuration.
const CONNECTION: &str = "peer";
const CHILD: &str = "net";

/// A strongSwan that runs.
pub struct StrongSwan<'a> {
    place: Place<'a>,
}

enum Place<'a> {
    Namespace { namespace: &'a Namespace, folder: tempfile::TempDir, edition: Edition, process: Process },
    Guest { guest: &'a Guest },
}

/// Which strongSwan runs in a namespace.
#[derive(Clone, Copy)]
enum Edition {
    /// This machine's.
    Own,
    /// That of a newer Debian.
    Newer,
}

/// Finds the unique names of SAs of a kind in a list of SAs.
type Names = fn(&str) -> Vec<&str>;

/// Where a guest keeps strongSwan's files: in its own memory.
const IN_GUEST: &str = "/tmp/peer";

impl<'a> StrongSwan<'a> {
    /// Starts one in `namespace`; returns when it answers and has its configuration.
    pub fn start(namespace: &'a Namespace, settings: &Settings) -> Result<Self> {
        Self::start_edition(namespace, settings, Edition::Own)
    }

    /// The same with the strongSwan of a newer Debian than this machine's.
    pub fn start_newer(namespace: &'a Namespace, settings: &Settings) -> Result<Self> {
        Self::start_edition(namespace, settings, Edition::Newer)
    }

    fn start_edition(namespace: &'a Namespace, settings: &Settings, edition: Edition) -> Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("peer").tempdir().tried(|| "a folder for strongSwan".into())?;
        settings.write(folder.path(), edition.folder(folder.path()), settings::Esp::Userspace)?;
        let process = charon(namespace, folder.path(), edition)?;
        let mut peer = Self { place: Place::Namespace { namespace, folder, edition, process } };
        peer.load()?;
        met::peer("strongSwan, ESP of its own", || version(&peer.told_version()?))?;
        Ok(peer)
    }

    /// Starts the guest's in `guest`; returns when it answers and has its configuration.
    pub fn start_in_guest(guest: &'a Guest, settings: &Settings) -> Result<Self> {
        guest.run("modprobe -a esp4 esp6 xfrm_user")?;
        settings.write(&guest.share().join("peer"), Path::new(IN_GUEST), settings::Esp::Kernel)?;
        guest.run(&format!(
            "cp -r /share/peer {IN_GUEST}; cd {IN_GUEST}; chmod go= swanctl.conf
             STRONGSWAN_CONF={IN_GUEST}/strongswan.conf setsid {} charon-systemd > out 2>&1 < /dev/null &",
            guest.prefix()
        ))?;
        let mut peer = Self { place: Place::Guest { guest } };
        peer.load()?;
        met::peer("strongSwan, ESP of the Linux kernel", || {
            Ok(format!("{}, Linux {}", version(&peer.told_version()?)?, guest.run("uname -r")?.trim()))
        })?;
        Ok(peer)
    }

    /// Asks it something through swanctl; a status other than 0 is a failure.
    pub fn swanctl(&self, arguments: &str) -> Result<String> {
        let mut words = arguments.split_whitespace();
        let verb = words.next().unwrap_or_default();
        match &self.place {
            Place::Namespace { folder, edition, .. } => {
                let seen = edition.folder(folder.path());
                let mut command = edition.command(folder.path(), "swanctl")?;
                command.args([verb, "--uri", &format!("unix://{}/vici", seen.display())]).args(words);
                command.env("STRONGSWAN_CONF", seen.join("strongswan.conf")).env("SWANCTL_DIR", seen);
                process::run(&mut command)
            }
            Place::Guest { guest } => {
                let rest = words.collect::<Vec<_>>().join(" ");
                guest.run(&format!(
                    "STRONGSWAN_CONF={IN_GUEST}/strongswan.conf SWANCTL_DIR={IN_GUEST} \
                     {} swanctl {verb} --uri unix://{IN_GUEST}/vici {rest}",
                    guest.prefix()
                ))
            }
        }
    }

    /// What it says of its version. It tells that, and then that no daemon is at the usual place.
    fn told_version(&self) -> Result<String> {
        match &self.place {
            Place::Namespace { folder, edition, .. } => {
                let mut command = edition.command(folder.path(), "swanctl")?;
                Ok(process::finish(command.arg("--version"), PATIENCE)?.output)
            }
            Place::Guest { guest } => guest.run(&format!("{} swanctl --version || true", guest.prefix())),
        }
    }

    /// Brings the tunnel up from its side; fails with what it said if that does not work.
    pub fn initiate(&self) -> Result<()> {
        self.swanctl(&format!("--initiate --child {CHILD} --timeout 30")).map(drop)
    }

    /// Starts to bring the tunnel up and does not wait for the outcome.
    pub fn try_initiate(&self) -> Result<()> {
        self.swanctl(&format!("--initiate --child {CHILD} --timeout -1")).map(drop)
    }

    /// Rekeys the Child SA; returns when its peer has the new one and the old one is gone.
    pub fn rekey_child(&self) -> Result<()> {
        self.rekey(&format!("--rekey --child {CHILD}"), child_names)
    }

    /// Rekeys the IKE SA; returns when the new one has replaced it.
    pub fn rekey_ike(&self) -> Result<()> {
        self.rekey(&format!("--rekey --ike {CONNECTION}"), ike_names)
    }

    /// Does `work`, which makes the other side rekey the IKE SA; returns when the new one has replaced the old.
    pub fn gets_another_ike_sa(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        self.replaced("another IKE SA at strongSwan", ike_names, work)
    }

    /// Deletes the IKE SA and its children.
    pub fn terminate(&self) -> Result<()> {
        self.swanctl(&format!("--terminate --ike {CONNECTION} --timeout 20")).map(drop)
    }

    /// Its SAs, as it lists them.
    pub fn sas(&self) -> Result<String> {
        self.swanctl("--list-sas")
    }

    /// How many Child SAs are installed.
    pub fn children(&self) -> Result<usize> {
        Ok(child_names(&self.sas()?).len())
    }

    /// Waits until exactly one IKE SA with one Child SA is there, and neither more nor less.
    pub fn is_up(&self) -> Result<()> {
        until("one IKE SA with one Child SA at strongSwan", PATIENCE, || {
            let sas = self.sas()?;
            Ok(Look::when(ike_names(&sas).len() == 1 && child_names(&sas).len() == 1, || sas))
        })
    }

    /// Waits until its list of SAs holds `text`.
    pub fn has(&self, text: &str) -> Result<()> {
        until(&format!("strongSwan to list {text:?}"), PATIENCE, || {
            let sas = self.sas()?;
            Ok(Look::when(sas.contains(text), || sas))
        })
    }

    /// Waits until no SA is there.
    pub fn is_down(&self) -> Result<()> {
        until("strongSwan to have no SA", PATIENCE, || {
            let sas = self.sas()?;
            Ok(Look::when(sas.trim().is_empty(), || sas))
        })
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        match &self.place {
            Place::Namespace { folder, .. } => {
                std::fs::read_to_string(folder.path().join("log")).unwrap_or_else(|error| error.to_string())
            }
            Place::Guest { guest } => {
                guest.run(&format!("cat {IN_GUEST}/log")).unwrap_or_else(|error| error.to_string())
            }
        }
    }

    /// Waits until its log holds `text`.
    pub fn says(&self, text: &str) -> Result<()> {
        until(&format!("strongSwan to log {text:?}"), PATIENCE, || {
            let log = self.log();
            Ok(Look::when(log.contains(text), || tail(&log, 20)))
        })
    }

    /// Kills it without a word to its peer, and starts it anew with the same configuration.
    pub fn kill_and_restart(&mut self) -> Result<()> {
        let Place::Namespace { namespace, folder, edition, process } = &mut self.place else {
            return Err(Failure::Untrue("only a strongSwan in a namespace can be restarted".to_owned()));
        };
        process.end(Signal::KILL, PATIENCE)?;
        let _ = std::fs::remove_file(folder.path().join("vici"));
        *process = charon(namespace, folder.path(), *edition)?;
        self.load()
    }

    /// Gives it another configuration; SAs that it has stay as they are.
    pub fn reconfigure(&mut self, settings: &Settings) -> Result<()> {
        match &self.place {
            Place::Namespace { folder, edition, .. } => {
                settings.write(folder.path(), edition.folder(folder.path()), settings::Esp::Userspace)?;
            }
            Place::Guest { guest } => {
                settings.write(&guest.share().join("peer"), Path::new(IN_GUEST), settings::Esp::Kernel)?;
                guest.run(&format!("cp -r /share/peer/. {IN_GUEST}/; chmod go= {IN_GUEST}/swanctl.conf"))?;
            }
        }
        self.load()
    }

    fn load(&mut self) -> Result<()> {
        until("strongSwan to answer", PATIENCE, || {
            if let Place::Namespace { process, .. } = &mut self.place {
                process.must_run()?;
            }
            Ok(self.swanctl("--stats").map_or_else(|error| Look::NotYet(error.to_string()), Look::Holds))
        })?;
        let loaded = self.swanctl("--load-all")?;
        ensure(loaded.contains("loaded connection"), || {
            format!("strongSwan did not take its configuration:\n{loaded}")
        })
    }

    fn rekey(&self, request: &str, names: Names) -> Result<()> {
        self.replaced(&format!("strongSwan's {request} to be done"), names, || {
            self.swanctl(request).map(drop)
        })
    }

    /// Does `work` and waits until one SA is there, which was not there before.
    fn replaced(&self, what: &str, names: Names, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let before = self.sas()?;
        let before = names(&before);
        work()?;
        until(what, PATIENCE, || {
            let now = self.sas()?;
            let after = names(&now);
            let done = after.len() == 1 && !before.contains(&after[0]) && !now.contains("REKEY");
            Ok(Look::when(done, || now.clone()))
        })
    }
}

impl Drop for StrongSwan<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let sas = self.sas().unwrap_or_else(|error| error.to_string());
            eprintln!(
                "== strongSwan's SAs\n{sas}\n== the end of strongSwan's log\n{}",
                tail(&self.log(), 60)
            );
        }
    }
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

impl Edition {
    /// A command of this edition that sees `folder` as [`Edition::folder`] says.
    fn command(self, folder: &Path, program: &str) -> Result<Command> {
        match self {
            Self::Own => Ok(Command::new(program)),
            Self::Newer => newer::command(folder, program),
        }
    }

    /// As what this edition sees the folder with its files.
    fn folder(self, folder: &Path) -> &Path {
        match self {
            Self::Own => folder,
            Self::Newer => Path::new(newer::SHARED),
        }
    }
}

fn version(told: &str) -> Result<String> {
    let version =
        told.lines().find_map(|line| Some(line.strip_prefix("strongSwan ")?.split_once(" swanctl")?.0));
    version.map(str::to_owned).ok_or_else(|| Failure::Untrue(format!("no version in {told:?}")))
}

fn charon(namespace: &Namespace, folder: &Path, edition: Edition) -> Result<Process> {
    let inner = edition.command(folder, "charon-systemd")?;
    let mut command = namespace.command(&inner.get_program().to_string_lossy());
    command.args(inner.get_args());
    command.env("STRONGSWAN_CONF", edition.folder(folder).join("strongswan.conf"));
    Process::start("charon-systemd", &command, &folder.join("out"))
}

/// The unique names of established IKE SAs in a list of SAs ("peer: #3, ESTABLISHED, ..").
fn ike_names(sas: &str) -> Vec<&str> {
    sas.lines()
        .filter(|line| !line.starts_with(' ') && line.contains("ESTABLISHED"))
        .filter_map(number)
        .collect()
}

/// The unique names of installed Child SAs in a list of SAs ("  net: #3, reqid 1, INSTALLED, ..").
fn child_names(sas: &str) -> Vec<&str> {
    sas.lines().filter(|line| line.contains("INSTALLED")).filter_map(number).collect()
}

fn number(line: &str) -> Option<&str> {
    line.split(": ").nth(1)?.split(',').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAS: &str = "peer: #2, ESTABLISHED, IKEv2, 0a_i* 0b_r
  local  '192.0.2.2' @ 192.0.2.2[4500]
  net: #7, reqid 1, REKEYED, TUNNEL-in-UDP, ESP:AES_GCM_16-256
  net: #8, reqid 1, INSTALLED, TUNNEL-in-UDP, ESP:AES_GCM_16-256
";

    #[test]
    fn only_what_is_installed_or_established_counts() {
        assert_eq!(ike_names(SAS), ["#2"]);
        assert_eq!(child_names(SAS), ["#8"]);
    }
}

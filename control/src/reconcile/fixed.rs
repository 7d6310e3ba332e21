//! What a running process cannot change: DPDK, its ports and the workers with their queues are made once, when it starts. Every such
//! difference is a finding of its own, for `crossgate apply` and `crossgate diff` alike.

use std::path::Path;

use crossgate_config::{
    Config, Difference, Finding, Findings, Kind, Lines, Name, SettingDifference, Severity, What,
};

/// Looks whether everything that differs between `running` and `wanted` (out of this file with these lines) can change. `made_for_bytes` is the MTU that a port
/// and its buffers were made for.
///
/// # Errors
/// All that cannot.
pub(super) fn check(
    running: &Config,
    wanted: &Config,
    (file, lines): (&Path, &Lines),
    made_for_bytes: impl Fn(&Name) -> u16,
) -> Result<(), Findings> {
    let mut findings = Vec::new();
    let mut refuse = |resource: &str, setting: &str, problem: String, remedy: String| {
        let (severity, file, line) = (Severity::Error, file.to_owned(), lines.of(resource, setting));
        let key = if setting.is_empty() { resource.to_owned() } else { format!("{resource}.{setting}") };
        findings.push(Finding { severity, file, line, key, problem, remedy });
    };
    for Difference { kind, name, what } in running.differences(wanted) {
        let resource = match kind {
            Kind::Appliance => kind.section().to_owned(),
            Kind::Port => format!("{}[{name}]", kind.section()),
            _ => continue,
        };
        match what {
            What::Added => refuse(
                &resource,
                "",
                format!("the port is new, and {PORTS}"),
                "restart crossgated with this file, or leave the port out".to_owned(),
            ),
            What::Removed => refuse(
                &resource,
                "",
                format!("the port is gone, and {PORTS}"),
                "restart crossgated with this file, or put the port back".to_owned(),
            ),
            What::Changed(settings) => {
                for SettingDifference { key, from, to } in settings {
                    let Some(why) = why(running, wanted, kind, &name, &key, &made_for_bytes) else {
                        continue;
                    };
                    let shown = |value: Option<String>| value.unwrap_or_else(|| "(default)".to_owned());
                    let (from, to) = (shown(from), shown(to));
                    refuse(
                        &resource,
                        &key,
                        format!("{from} -> {to}, but {why}"),
                        format!("restart crossgated with this file, or keep {from}"),
                    );
                }
            }
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(Findings(findings)) }
}

/// Why a setting cannot change; `None` if it can.
fn why(
    running: &Config,
    wanted: &Config,
    kind: Kind,
    name: &Name,
    key: &str,
    made_for_bytes: impl Fn(&Name) -> u16,
) -> Option<String> {
    match (kind, key) {
        (Kind::Appliance, "workers" | "control_core" | "idle" | "aes_gcm") => Some(THREADS.to_owned()),
        (Kind::Appliance, "max_tunnels") => Some(TABLES.to_owned()),
        (Kind::Appliance, "memory" | "memory_mib" | "eal") => Some(MEMORY.to_owned()),
        (Kind::Appliance, _) => Some(FILES.to_owned()),
        (Kind::Port, "device") => Some(PORTS.to_owned()),
        (Kind::Port, "mtu_bytes") => {
            let mtu_bytes = |config: &Config| config.ports().get(name).map_or(0, |port| port.mtu_bytes);
            let most_bytes = made_for_bytes(name).max(mtu_bytes(running));
            (mtu_bytes(wanted) > most_bytes).then(|| {
                format!("the port and its buffers were made for {most_bytes} when the gateway started: only less is possible")
            })
        }
        _ => None,
    }
}

const THREADS: &str = "threads and their queues are made once, when the gateway starts";
const MEMORY: &str = "DPDK takes memory and arguments once, when the gateway starts";
const TABLES: &str = "the workers' tables are made once, when the gateway starts";
const FILES: &str = "the gateway opens its socket and its store once, when it starts";
const PORTS: &str = "DPDK opens ports once, when the gateway starts";

#[cfg(test)]
mod tests {
    use super::super::tests::{FILE, checked, config};
    use super::*;

    /// What is refused of `to`, a line each.
    fn refused(to: &str) -> Vec<String> {
        let (made_for_bytes, wanted) = (|_: &Name| 1500, checked(to));
        match check(&config(FILE), &wanted.config, (Path::new("gw.toml"), &wanted.lines), made_for_bytes) {
            Ok(()) => Vec::new(),
            Err(findings) => findings.to_string().lines().map(|line| line.trim().to_owned()).collect(),
        }
    }

    #[test]
    fn everything_that_needs_a_restart_is_told_at_once() {
        assert!(refused(FILE).is_empty());
        let second = FILE
            .replace("workers = [0]", "workers = [1]\nmemory_mib = 300\nstore = \"/srv/gw.redb\"")
            .replace("\"net_null1\"", "\"net_null2\"\nmtu_bytes = 9000")
            .replace("10.1.0.1/24", "10.1.0.2/24");
        assert_eq!(
            refused(&second),
            [
                "error: gw.toml:4: appliance.workers: [0] -> [1], but threads and their queues are made once, when the gateway starts",
                "remedy: restart crossgated with this file, or keep [0]",
                "error: gw.toml:5: appliance.memory_mib: 256 -> 300, but DPDK takes memory and arguments once, when the gateway starts",
                "remedy: restart crossgated with this file, or keep 256",
                "error: gw.toml:6: appliance.store: \"/var/lib/crossgate/gw.redb\" -> \"/srv/gw.redb\", but the gateway opens its \
                 socket and its store once, when it starts",
                "remedy: restart crossgated with this file, or keep \"/var/lib/crossgate/gw.redb\"",
                "error: gw.toml:14: port[lan].device: \"net_null1\" -> \"net_null2\", but DPDK opens ports once, when the gateway starts",
                "remedy: restart crossgated with this file, or keep \"net_null1\"",
                "error: gw.toml:15: port[lan].mtu_bytes: 1500 -> 9000, but the port and its buffers were made for 1500 when the gateway \
                 started: only less is possible",
                "remedy: restart crossgated with this file, or keep 1500",
            ]
        );
    }

    #[test]
    fn ports_neither_come_nor_go() {
        let second = FILE.replace("name = \"lan\"", "name = \"lam\"").replace("= \"lan\"", "= \"lam\"");
        let told = refused(&second);
        assert_eq!(
            (told.len(), &told[0], &told[2]),
            (
                4,
                &"error: gw.toml:10: port[lam]: the port is new, and DPDK opens ports once, when the gateway starts".to_owned(),
                &"error: gw.toml:6: port[lan]: the port is gone, and DPDK opens ports once, when the gateway starts".to_owned(),
            )
        );
    }

    #[test]
    fn mtu_changes_up_to_what_the_port_was_made_for() {
        let with = |bytes: u16| FILE.replace("\"net_null1\"", &format!("\"net_null1\"\nmtu_bytes = {bytes}"));
        assert!(refused(&with(1400)).is_empty());
        let made_for_bytes = |_: &Name| 1500;
        let check = |from: u16, to: u16| {
            let wanted = checked(&with(to));
            let origin = (Path::new("gw.toml"), &wanted.lines);
            check(&config(&with(from)), &wanted.config, origin, made_for_bytes)
        };
        assert!(check(1400, 1500).is_ok() && check(1400, 1501).is_err());
        // The device took less than was asked for: nothing is made worse by what is asked for now.
        assert!(check(9000, 8000).is_ok() && check(9000, 9001).is_err());
    }
}

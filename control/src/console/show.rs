//! What the gateway answered, as text for people. Programs take the answers themselves (`--json`).

mod configuration;
mod resources;
mod stages;
mod usage;

use comfy_table::Cell;

use super::protocol::{
    Assigned, Connection, Counter, LogLine, NatRule, NatSessions, Part, Place, Port, Quantiles, Sa, Status,
    Tunnel, Worker,
};
pub use configuration::{applied, circuit_skus, findings, history, left_out, planned, skus};
pub use resources::{gateway, gateways, local_network_gateways, networks};
pub use stages::stages;
pub use usage::{usage, usage_csv};

use super::table::{Mood, Screen, age, bytes, cell, clean, count, mbit_per_s, moody, text};

/// The gateway as a whole.
#[must_use]
pub fn status(status: &Status, screen: Screen) -> String {
    let up = format!("{} of {} up", status.connections_up, status.connections);
    let all_up = if status.connections_up == status.connections { Mood::Good } else { Mood::Bad };
    let program = format!("crossgated {}, process {}, DPDK {}", status.version, status.pid, status.dpdk);
    let buffers = format!("{} of {} in use", status.buffers_in_use, status.buffers);
    let mut facts = vec![
        ("Gateway", cell(&status.name)),
        ("Program", cell(&program)),
        ("Running for", cell(&age(status.uptime_s))),
        ("Configuration", cell(&configuration(status))),
        ("Connections", moody(&up, all_up)),
        ("Child SAs", cell(&status.child_sas.to_string())),
        ("Workers", cell(&format!("{}, AES-GCM by {}", status.workers, status.kernel))),
        ("Memory", cell(&status.memory)),
        ("Packet buffers", cell(&buffers)),
        ("Dropped packets", cell(&count(status.dropped_packets))),
    ];
    if status.open_commands > 0 {
        facts.push(("Open commands", cell(&status.open_commands.to_string())));
    }
    text(&screen.facts(facts))
}

fn configuration(status: &Status) -> String {
    let at = time(status.applied_at.saturating_mul(1000));
    match status.config_file_differs {
        false => format!("{}, applied {at}", status.config_file),
        true => format!("rolled back {at}; {} differs from it", status.config_file),
    }
}

/// All connections.
#[must_use]
pub fn connections(connections: &[Connection], screen: Screen) -> String {
    if connections.is_empty() {
        return "No connection is configured.\n".into();
    }
    // Only where sites have several connections is there something to say about who carries what.
    let has_parts = connections.iter().any(|connection| connection.part.is_some());
    let mut headings =
        vec!["CONNECTION", "STATE", "FOR", "PEER", "REMOTE", ">FLOWS", ">IN", ">OUT", "WHY NOT"];
    if !has_parts {
        headings.retain(|heading| *heading != ">FLOWS");
    }
    let mut table = screen.table(&headings);
    for connection in connections {
        let failure = connection.failure.as_ref().map_or("", |failure| &failure.problem);
        let mut row = vec![
            cell(&connection.name),
            state(&connection.state),
            cell(&connection.up_s.map_or_else(String::new, age)),
            cell(&connection.peer),
            cell(&connection.remote),
        ];
        if has_parts {
            row.push(cell(&connection.part.as_ref().map_or_else(String::new, percent)));
        }
        row.extend([
            cell(&bytes(connection.traffic.in_bytes)),
            cell(&bytes(connection.traffic.out_bytes)),
            moody(failure, Mood::Bad),
        ]);
        table.add_row(row);
    }
    text(&table)
}

/// One connection with its Child SAs.
#[must_use]
pub fn connection(connection: &Connection, sas: &[Sa], screen: Screen) -> String {
    let traffic = &connection.traffic;
    let flow = |n_bytes, packets| format!("{} in {} packets", bytes(n_bytes), count(packets));
    let mut facts: Vec<(&str, Cell)> = vec![
        ("Connection", cell(&connection.name)),
        ("State", state(&connection.state)),
        ("Gateway", cell(&format!("{} of {}", connection.gateway, connection.virtual_network))),
        ("Peer", cell(&connection.peer)),
        ("Addresses", cell(&format!("{} to {}", connection.local, connection.remote))),
        ("Mode", cell(&connection.mode)),
    ];
    facts.extend(places(&connection.places));
    facts.extend([
        ("Behind the peer", cell(&connection.remote_prefixes.join(", "))),
        ("Received", cell(&flow(traffic.in_bytes, traffic.in_packets))),
        ("Sent", cell(&flow(traffic.out_bytes, traffic.out_packets))),
    ]);
    facts.extend(connection.tunnels.iter().map(|tunnel| ("Tunnel", one_tunnel(tunnel))));
    if let Some(part) = &connection.part {
        let Part { routing_weight, beside, .. } = part;
        let beside = beside.join(", ");
        facts.push((
            "Flows",
            cell(&format!(
                "{} of those to the site, by weight {routing_weight} beside {beside}",
                percent(part)
            )),
        ));
    }
    facts.extend(connection.assigned.iter().map(|assigned| ("Goes out as", cell(&self::assigned(assigned)))));
    facts.extend(connection.nat_rules.iter().map(|rule| ("NAT rule", cell(&nat_rule(rule)))));
    let optional = [
        ("Up for", connection.up_s.map(age)),
        ("Peer's identity", connection.peer_id.clone()),
        ("We are", connection.role.clone()),
        ("IKE algorithms", connection.ike_suite.clone()),
        ("ESP algorithms", connection.esp_suite.clone()),
        ("Encapsulation", connection.encapsulation.clone()),
        ("IKE rekey in", connection.ike_rekey_in_s.map(age)),
    ];
    facts.extend(optional.into_iter().filter_map(|(name, value)| Some((name, cell(&value?)))));
    if let Some(failure) = &connection.failure {
        let retry = failure.retry_in_s.map_or_else(String::new, |s| format!(", tried again in {}", age(s)));
        let problem = format!("{} ({} ago{retry})", failure.problem, age(failure.ago_s));
        facts.push(("Failed", moody(&problem, Mood::Bad)));
        facts.push(("Remedy", cell(&failure.remedy)));
    }
    let mut shown = text(&screen.facts(facts));
    if !sas.is_empty() {
        shown.push('\n');
        shown.push_str(&self::sas(sas, screen));
    }
    shown
}

/// One of several tunnels of a connection.
fn one_tunnel(tunnel: &Tunnel) -> Cell {
    let Tunnel { local, remote, state, flows_percent, traffic, .. } = tunnel;
    let (sent, received) = (bytes(traffic.out_bytes), bytes(traffic.in_bytes));
    let why = tunnel.problem.as_ref().map_or_else(String::new, |problem| format!(": {problem}"));
    let text = format!(
        "{local} to {remote} {state}, {flows_percent:.0} % of the flows, {received} in, {sent} out{why}"
    );
    moody(&text, if state == "up" { Mood::Plain } else { Mood::Bad })
}

fn percent(part: &Part) -> String {
    format!("{:.0} %", part.flows_percent)
}

/// Where a peer is looked for, if there is more to say than its address: a line each.
fn places(places: &[Place]) -> Vec<(&'static str, Cell)> {
    let is_plain = |place: &Place| place.place.parse::<std::net::IpAddr>().is_ok();
    if matches!(places, [] | [_]) && places.iter().all(is_plain) {
        return Vec::new();
    }
    let headings = std::iter::once("Looked for at").chain(std::iter::repeat(""));
    let line = |place: &Place| {
        let used = if place.in_use { " (in use)" } else { "" };
        let ago = place.ago_s.map_or_else(String::new, |s| format!(" ({} ago)", age(s)));
        match &place.problem {
            Some(problem) => moody(&format!("{}{used}: {problem}{ago}", place.place), Mood::Bad),
            None => cell(&format!("{}{used}", place.place)),
        }
    };
    headings.zip(places.iter().map(line)).collect()
}

/// Child SAs.
#[must_use]
pub fn sas(sas: &[Sa], screen: Screen) -> String {
    if sas.is_empty() {
        return "There is no Child SA.\n".into();
    }
    let headings = [
        "CONNECTION",
        "STATE",
        "SPI IN",
        "SPI OUT",
        "ALGORITHMS",
        "OVER",
        ">AGE",
        ">REKEY IN",
        ">IN",
        ">OUT",
        ">REPLAYED",
        ">FORGED",
        "SELECTORS",
    ];
    let mut table = screen.table(&headings);
    for sa in sas {
        let selectors = format!("{} = {}", sa.local_selectors.join(" "), sa.remote_selectors.join(" "));
        let state =
            sa.worker.map_or_else(|| sa.state.clone(), |worker| format!("{}, worker {worker}", sa.state));
        let suite = if sa.esn { format!("{} ESN", sa.suite) } else { sa.suite.clone() };
        table.add_row([
            cell(
                &sa.user
                    .as_ref()
                    .map_or_else(|| sa.connection.clone(), |user| format!("{}: {user}", sa.connection)),
            ),
            moody(&state, if sa.state == "sends" { Mood::Good } else { Mood::Plain }),
            cell(&sa.inbound_spi),
            cell(&sa.outbound_spi),
            cell(&suite),
            cell(&sa.encapsulation),
            cell(&age(sa.age_s)),
            cell(&age(sa.rekey_in_s)),
            cell(&bytes(sa.traffic.in_bytes)),
            cell(&bytes(sa.traffic.out_bytes)),
            unwanted(sa.replayed),
            unwanted(sa.forged),
            cell(&selectors),
        ]);
    }
    text(&table)
}

/// Ports.
#[must_use]
pub fn ports(ports: &[Port], screen: Screen) -> String {
    let headings = [
        "PORT",
        "LINK",
        "NETWORKS",
        "ADDRESSES",
        "MAC",
        ">MTU",
        ">QUEUES",
        "ESP BY",
        ">IN",
        ">OUT",
        ">MISSED",
        ">ERRORS",
        "DRIVER",
    ];
    let mut table = screen.table(&headings);
    for port in ports {
        let speed = port.speed_mbit_per_s.map_or_else(|| "up".to_owned(), mbit_per_s);
        table.add_row([
            cell(&port.name),
            if port.link_up { moody(&speed, Mood::Good) } else { moody("down", Mood::Bad) },
            cell(&port.networks.join(" ")),
            cell(&port.addresses.join(" ")),
            cell(&port.mac),
            cell(&port.mtu_bytes.to_string()),
            cell(&port.queues.to_string()),
            cell(&port.esp_steering),
            cell(&format!("{} / {}", count(port.rx_packets), bytes(port.rx_bytes))),
            cell(&format!("{} / {}", count(port.tx_packets), bytes(port.tx_bytes))),
            unwanted(port.rx_missed),
            unwanted(port.rx_errors.saturating_add(port.tx_errors)),
            cell(&port.driver),
        ]);
    }
    text(&table)
}

/// Workers.
#[must_use]
pub fn workers(workers: &[Worker], screen: Screen) -> String {
    let headings = [
        ">WORKER",
        ">CORE",
        "STATE",
        "IDLE",
        ">BUSY",
        ">RECEIVED",
        ">SENT",
        ">SEALED",
        ">OPENED",
        ">DROPPED",
        ">BURST 50/99/MAX",
        ">µs A BURST 50/99/MAX",
        "AES-GCM",
    ];
    let mut table = screen.table(&headings);
    for worker in workers {
        let quantiles = |q: &Quantiles| format!("{}/{}/{}", q.p50, q.p99, q.max);
        table.add_row([
            cell(&worker.index.to_string()),
            cell(&worker.core.to_string()),
            if worker.running { moody("runs", Mood::Good) } else { moody("stopped", Mood::Bad) },
            cell(&worker.idle),
            cell(&format!("{:.1} %", worker.busy_percent)),
            cell(&count(worker.rx_packets)),
            cell(&count(worker.tx_packets)),
            cell(&count(worker.sealed_packets)),
            cell(&count(worker.opened_packets)),
            cell(&count(worker.dropped_packets)),
            cell(&quantiles(&worker.burst_packets)),
            cell(&microseconds(&worker.residence_ns)),
            cell(&worker.kernel),
        ]);
    }
    text(&table)
}

/// Counters: those that have moved, or all.
#[must_use]
pub fn counters<'c>(counters: impl IntoIterator<Item = &'c Counter>, screen: Screen) -> String {
    let mut table = screen.table(&["GROUP", "COUNTER", ">TOTAL", "UNIT", "MEANING", "REMEDY"]);
    for counter in counters {
        let moved = counter.drop && counter.total > 0;
        table.add_row([
            cell(&counter.group),
            moody(&counter.name, if moved { Mood::Pending } else { Mood::Plain }),
            cell(&counter.total.to_string()),
            cell(&counter.unit),
            cell(&counter.meaning),
            cell(if counter.total > 0 { &counter.remedy } else { "" }),
        ]);
    }
    if table.is_empty() { "No counter has moved.\n".into() } else { text(&table) }
}

/// A line of the log.
#[must_use]
pub fn log_line(line: &LogLine) -> String {
    format!("{} {:5} {}\n", time(line.at_ms), clean(&line.level), clean(&line.text))
}

fn state(state: &str) -> Cell {
    let mood = match state {
        "up" => Mood::Good,
        "connecting" | "partial" | "waiting" => Mood::Pending,
        _ => Mood::Bad,
    };
    moody(state, mood)
}

/// A count that should be 0.
fn unwanted(number: u64) -> Cell {
    moody(&count(number), if number == 0 { Mood::Plain } else { Mood::Bad })
}

fn microseconds(quantiles: &Quantiles) -> String {
    let shown = |ns: u64| format!("{}.{}", ns / 1000, ns / 100 % 10);
    format!("{}/{}/{}", shown(quantiles.p50), shown(quantiles.p99), shown(quantiles.max))
}

/// Milliseconds since 1970 as a time of day in UTC (RFC 3339).
fn time(at_ms: u64) -> String {
    let at = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_millis(at_ms.min(TIME_MAX_MS)));
    at.map_or_else(String::new, |at| humantime::format_rfc3339_millis(at).to_string())
}

/// The end of the year 9999, the last that RFC 3339 can write.
const TIME_MAX_MS: u64 = 253_402_300_799_999;

fn nat_rule(rule: &NatRule) -> String {
    let NatRule { name, mode, internal_mapping, external_mapping, sessions } = rule;
    let sessions = sessions.as_ref().map(nat_sessions).unwrap_or_default();
    format!("{name}: {mode}, {internal_mapping} as {external_mapping}{sessions}")
}

/// What a peer assigned.
fn assigned(assigned: &Assigned) -> String {
    let Assigned { addresses, dns_servers, subnets, sessions } = assigned;
    let sessions = sessions.as_ref().map(nat_sessions).unwrap_or_default();
    let mut text = addresses.join(", ") + &sessions;
    for (what, list) in [("name servers", dns_servers), ("subnets", subnets)] {
        if !list.is_empty() {
            text.push_str(&format!("; {what} {}", list.join(", ")));
        }
    }
    text
}

/// How full a dynamic rule is.
fn nat_sessions(sessions: &NatSessions) -> String {
    let NatSessions { tcp, udp, icmp, ports, refused, .. } = sessions;
    let used = tcp + udp + icmp;
    let none = if *refused > 0 { format!("; {refused} packets found no port") } else { String::new() };
    format!(" by ports: {used} of {ports} in use ({tcp} TCP, {udp} UDP, {icmp} ICMP){none}")
}

#[cfg(test)]
mod tests;

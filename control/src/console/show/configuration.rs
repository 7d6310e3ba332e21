//! What was said of configurations, as text: changes, plans, the history, findings, drafts and sizes.

use std::collections::BTreeMap;

use crossgate_config::import::LeftOut;
use crossgate_config::sku::Row;
use crossgate_config::{CIRCUIT_SIZES, Choice as _, Finding, Severity};

use super::time;
use crate::console::protocol::{Applied, Past, Planned};
use crate::console::table::{Screen, cell, clean, text};

/// What applying a configuration changed.
#[must_use]
pub fn applied(applied: &Applied) -> String {
    let mut lines: Vec<String> = applied.warnings.iter().map(finding).collect();
    lines.extend(applied.changes.iter().map(|change| clean(change)));
    if applied.changes.is_empty() {
        lines.push("Nothing differs from what runs.".into());
    }
    if let Some(trouble) = &applied.trouble {
        lines.push(format!("It is applied, but not in the history: {}", clean(trouble)));
    }
    lines.join("\n") + "\n"
}

/// What applying a configuration would change.
#[must_use]
pub fn planned(planned: &Planned) -> String {
    let mut lines: Vec<String> = planned.warnings.iter().map(finding).collect();
    for (index, step) in planned.steps.iter().enumerate() {
        lines.push(format!("{}. {}", index + 1, clean(&step.change)));
        lines.extend(step.details.iter().map(|detail| format!("     {}", clean(detail))));
    }
    if planned.steps.is_empty() {
        lines.push("Nothing differs from what runs.".into());
    }
    lines.join("\n") + "\n"
}

/// The applied configurations, the latest first; `user_name` names a user.
#[must_use]
pub fn history(entries: &[Past], user_name: &dyn Fn(u32) -> String, screen: Screen) -> String {
    if entries.is_empty() {
        return "The history is empty.\n".into();
    }
    let mut table = screen.table(&[">NUMBER", "APPLIED", "BY", "HOW", "FROM"]);
    for entry in entries.iter().rev() {
        let number = if entry.latest { format!("* {}", entry.number) } else { entry.number.to_string() };
        table.add_row([
            cell(&number),
            cell(&time(entry.at.saturating_mul(1000))),
            cell(&user_name(entry.user_id)),
            cell(&entry.occasion),
            cell(&entry.origin),
        ]);
    }
    text(&table)
}

/// Findings, and how many there are.
#[must_use]
pub fn findings(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let plural = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    let mut lines: Vec<String> = findings.iter().map(finding).collect();
    let warnings = findings.len() - errors;
    lines.push(match (errors, warnings) {
        (0, 0) => "The configuration is accepted.".into(),
        (0, _) => format!("The configuration is accepted, with {}.", plural(warnings, "warning")),
        (_, 0) => format!("The configuration is refused: {}.", plural(errors, "error")),
        _ => format!(
            "The configuration is refused: {}, {}.",
            plural(errors, "error"),
            plural(warnings, "warning")
        ),
    });
    lines.join("\n") + "\n"
}

/// The built-in sizes of gateways, and what was measured for each bandwidth (the key `None`: without a limit).
#[must_use]
pub fn skus(rows: &[Row], measured: Option<&BTreeMap<Option<u32>, u64>>, screen: Screen) -> String {
    let mut headings =
        vec!["SKU", "GEN", ">TUNNELS", ">SSTP", ">IKEV2", ">MBIT/S", ">ONE", "BGP", "PAIR", "NAT"];
    headings.extend(measured.map(|_| ">HERE"));
    let mut table = screen.table(&headings);
    let speed = |mbit: Option<u32>| mbit.map_or_else(|| "-".to_owned(), |mbit| mbit.to_string());
    let yes = |has: bool| cell(if has { "yes" } else { "no" });
    for row in rows {
        let mut cells = vec![
            cell(row.sku.word()),
            cell(row.generation.word().trim_start_matches("Generation")),
            cell(&row.limits.tunnels.to_string()),
            cell(&row.limits.sstp_sessions.to_string()),
            cell(&row.limits.ikev2_sessions.to_string()),
            cell(&speed(row.limits.bandwidth_mbit_per_s)),
            cell(&speed(row.tunnel_mbit_per_s)),
            yes(row.bgp),
            yes(row.active_active),
            yes(row.nat),
        ];
        let here = |measured: &BTreeMap<_, u64>| measured.get(&row.limits.bandwidth_mbit_per_s).copied();
        cells.extend(
            measured.map(|measured| cell(&here(measured).map_or("-".to_owned(), |mbit| mbit.to_string()))),
        );
        table.add_row(cells);
    }
    let limit = measured.and_then(|measured| measured.get(&None));
    let foot = limit.map_or_else(String::new, |mbit| {
        format!("HERE: one core of this machine, held to MBIT/S; without a limit it does {mbit}.\n")
    });
    text(&table) + SKUS_FOOT + &foot
}

/// The sizes of gateways of type `ExpressRoute`.
#[must_use]
pub fn circuit_skus(screen: Screen) -> String {
    let mut table = screen.table(&["SKU", ">MBIT/S", ">ROUTES"]);
    for size in CIRCUIT_SIZES {
        table.add_row([
            cell(size.sku.word()),
            cell(&size.bandwidth_mbit_per_s.to_string()),
            cell(&size.routes.to_string()),
        ]);
    }
    format!("\nGateways of type ExpressRoute:\n{}{CIRCUITS_FOOT}", text(&table))
}

/// What an import could not take over.
#[must_use]
pub fn left_out(left_out: &[LeftOut]) -> String {
    let lines = left_out.iter().map(|left| {
        format!("{}: {}\n  remedy: {}\n", clean(&left.place), clean(&left.problem), clean(&left.remedy))
    });
    format!("Not taken over, or to be seen to:\n{}", lines.collect::<String>())
}

/// A finding on two lines.
fn finding(finding: &Finding) -> String {
    let shown = finding.to_string();
    shown.lines().map(clean).collect::<Vec<_>>().join("\n")
}

const CIRCUITS_FOOT: &str = "
MBIT/S: all circuits together, both ways; of ErGwScale a unit (scale_units, 1 to
40). ROUTES: prefixes behind all circuits. Both are enforced.
";
const SKUS_FOOT: &str = "
Azure's limits of each size and generation; names with AZ mean the same.
MBIT/S: all tunnels and sessions together. ONE: measured in one tunnel, with
AES-256-GCM. PAIR: two public addresses, active-active. Basic alone may be
PolicyBased, and takes no policy. Enforced: tunnels, MBIT/S, policy, kind, pair.
A size of your own: sku = \"custom\" with [virtual_network_gateway.custom].
";

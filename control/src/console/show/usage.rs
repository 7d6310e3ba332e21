//! What was used, as a table and as comma-separated values.

use std::fmt::Write as _;

use crate::console::protocol::Usage;
use crate::console::table::{Screen, bytes, cell, clean, text};

/// A row for each gateway, and below it one for each of its connections.
#[must_use]
pub fn usage(usage: &Usage, screen: Screen) -> String {
    if usage.rows.is_empty() {
        return "Nothing was used in that time.\n".into();
    }
    let mut table = screen.table(&["PERIOD", "GATEWAY", "CONNECTION", ">HOURS", ">EGRESS"]);
    for row in &usage.rows {
        table.add_row([
            cell(&row.period),
            cell(&row.gateway),
            cell(row.connection.as_deref().unwrap_or("(all)")),
            cell(&hours(row.seconds)),
            cell(&bytes(row.egress_bytes)),
        ]);
    }
    text(&table)
}

/// One line of headings, and one for each row; the connection of a gateway's own row is empty. Names have neither commas nor quotes.
#[must_use]
pub fn usage_csv(usage: &Usage) -> String {
    let mut lines = "period,gateway,connection,hours,egress_bytes\n".to_owned();
    for row in &usage.rows {
        let connection = row.connection.as_deref().unwrap_or("");
        let (period, gateway, hours) = (clean(&row.period), clean(&row.gateway), hours(row.seconds));
        let _ = writeln!(lines, "{period},{gateway},{},{hours},{}", clean(connection), row.egress_bytes);
    }
    lines
}

/// Hours with four decimals: to a third of a second.
fn hours(seconds: u64) -> String {
    format!("{}.{:04}", seconds / 3600, seconds % 3600 * 10_000 / 3600)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::protocol::UsageRow;

    fn a_month() -> Usage {
        let row = |connection: Option<&str>, seconds, egress_bytes| UsageRow {
            period: "2026-11".into(),
            gateway: "gw".into(),
            connection: connection.map(str::to_owned),
            seconds,
            egress_bytes,
        };
        let rows = vec![row(None, 36_001, 3 << 30), row(Some("a-to-b"), 1800, 3 << 30)];
        Usage { rows, more: false, recorded_at: 1 }
    }

    #[test]
    fn gateways_and_their_connections_are_told_in_hours_and_bytes() {
        let plain = Screen { width: None, colour: false };
        assert_eq!(
            usage(&a_month(), plain),
            "PERIOD   GATEWAY  CONNECTION    HOURS  EGRESS\n\
             2026-11  gw       (all)       10.0002   3 GiB\n\
             2026-11  gw       a-to-b       0.5000   3 GiB\n"
        );
    }

    #[test]
    fn values_for_spreadsheets_are_exact() {
        assert_eq!(
            usage_csv(&a_month()),
            "period,gateway,connection,hours,egress_bytes\n\
             2026-11,gw,,10.0002,3221225472\n\
             2026-11,gw,a-to-b,0.5000,3221225472\n"
        );
    }
}

//! Workers by stage.

use super::super::stages::StageShares;
use super::super::table::{Screen, cell, count, text};

/// Cycles a packet, a worker a line and a stage a column.
#[must_use]
pub fn stages(workers: &[StageShares], screen: Screen) -> String {
    let Some(first) = workers.first() else { return "No worker.\n".into() };
    let names = first.stages.iter().map(|stage| format!(">{}", stage.name.to_uppercase()));
    let headings: Vec<String> =
        [">WORKER", ">CORE", ">PACKETS"].map(str::to_owned).into_iter().chain(names).collect();
    let mut headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    headings.push(">CYCLES A PACKET");
    let mut table = screen.table(&headings);
    for worker in workers {
        let mut row = vec![
            cell(&worker.index.to_string()),
            cell(&worker.core.to_string()),
            cell(&count(worker.packets)),
        ];
        let is_measured = worker.stages.iter().any(|stage| stage.percent > 0.0);
        let cycles = |cycles: f64| cell(&if is_measured { format!("{cycles:.0}") } else { "-".to_owned() });
        row.extend(worker.stages.iter().map(|stage| cycles(stage.cycles_per_packet)));
        row.push(cycles(worker.cycles_per_packet));
        table.add_row(row);
    }
    text(&table)
}

//! The result of a benchmark, as JSON for programs or as a table for people.

use std::collections::BTreeMap;

use anyhow::Result;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use serde::Serialize;

use crate::machine;

/// A benchmark's rows, and what they were made on.
#[derive(Serialize)]
pub(crate) struct Report<R> {
    cpu: String,
    tsc_hz: f64,
    versions: BTreeMap<&'static str, String>,
    load_average: String,
    /// What is missing, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    rows: Vec<R>,
}

/// A row that can be a line of a table.
pub(crate) trait Row: Serialize {
    /// Headings of the columns.
    const HEADINGS: &'static [&'static str];
    /// Cells, in the order of the headings.
    fn cells(&self) -> Vec<String>;
}

impl<R: Row> Report<R> {
    pub(crate) fn new(rows: Vec<R>) -> Result<Self> {
        let (cpu, tsc_hz, versions) = (machine::cpu()?, machine::tsc_hz(), machine::versions());
        Ok(Self { cpu, tsc_hz, versions, load_average: machine::load_average()?, notes: Vec::new(), rows })
    }

    pub(crate) fn with_notes(self, notes: Vec<String>) -> Self {
        Self { notes, ..self }
    }

    /// Versions of what only this benchmark measures.
    pub(crate) fn with_versions(
        mut self,
        versions: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        self.versions.extend(versions);
        self
    }
}

/// Names of a row's fields in its JSON, in alphabetical order.
#[cfg(test)]
pub(crate) fn fields(row: &impl Serialize) -> Vec<String> {
    let json = serde_json::to_value(row).expect("JSON");
    let mut names: Vec<_> = json.as_object().expect("an object").keys().cloned().collect();
    names.sort_unstable();
    names
}

/// Prints the report on standard output.
pub(crate) fn print<R: Row>(report: &Report<R>, json: bool) -> Result<()> {
    if json {
        return print_json(report);
    }
    println!("{}, TSC {:.3} GHz", report.cpu, report.tsc_hz / 1e9);
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(R::HEADINGS.iter().copied());
    for row in &report.rows {
        table.add_row(row.cells());
    }
    println!("{table}");
    report.notes.iter().for_each(|note| println!("{note}"));
    Ok(())
}

/// Prints anything as JSON on standard output.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

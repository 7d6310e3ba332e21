//! `crossgate-perf report`: runs the benchmarks, each as a process of its own (DPDK starts once in a process), keeps their JSON in a folder,
//! and makes of it one JSON document, a Markdown page of tables and plots.

mod handshakes;
mod model;
mod plot;
mod stages;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// In the order of the page.
const BENCHMARKS: [&str; 7] = ["compare", "worker", "kernels", "scale", "latency", "ndr", "handshakes"];

/// What to run, and where results go.
#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    /// The folder of results.
    #[arg(long, default_value = "docs/benchmarks")]
    output: PathBuf,
    /// Run only these; the others' results stay as they are.
    #[arg(long, value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(BENCHMARKS))]
    only: Vec<String>,
    /// Run nothing: make page and plots anew from the folder's results.
    #[arg(long)]
    render: bool,
}

/// A benchmark's result, whatever its rows are.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Results {
    cpu: String,
    tsc_hz: f64,
    versions: BTreeMap<String, String>,
    #[serde(default)]
    load_average: String,
    /// How long the benchmark took, its start included; of a document, all of them together.
    #[serde(default)]
    seconds: f64,
    #[serde(default)]
    notes: Vec<String>,
    pub(crate) rows: Vec<Map<String, Value>>,
}

/// Runs and renders.
pub(crate) fn run(quick: bool, json: bool, options: &Options) -> Result<()> {
    std::fs::create_dir_all(&options.output)
        .with_context(|| format!("make the folder {}", options.output.display()))?;
    let mut failed = Vec::new();
    if !options.render {
        for name in BENCHMARKS {
            let wanted = options.only.is_empty() || options.only.iter().any(|only| only == name);
            if wanted && let Err(error) = measure(name, quick, &options.output) {
                eprintln!("{name}: {error:#}");
                failed.push(name);
            }
        }
    }
    let all = read(&options.output)?;
    let document = together(&all)?;
    let text = serde_json::to_string_pretty(&document)?;
    write(&options.output.join("report.json"), &text)?;
    write(&options.output.join("results.md"), &table::page(&all, &document))?;
    plot::all(&options.output, &all)?;
    let scale = all.iter().find(|(name, _)| *name == "scale");
    if let Some(page) = scale.and_then(|(_, scale)| model::page(&scale.rows, scale.tsc_hz)) {
        write(&options.output.join("model.md"), &page)?;
    }
    if json {
        println!("{text}");
    } else {
        println!("{}: report.json, results.md and plots", options.output.display());
    }
    ensure!(failed.is_empty(), "without a new result: {}", failed.join(", "));
    Ok(())
}

/// Draws rows of `ndr` alone.
pub(crate) fn plot_ndr(file: &Path, rows: &[impl Serialize]) -> Result<()> {
    let rows: Vec<Map<String, Value>> = serde_json::from_value(serde_json::to_value(rows)?)?;
    plot::of_ndr(file, &rows)
}

/// Runs one benchmark and keeps what it printed.
fn measure(name: &str, quick: bool, output: &Path) -> Result<()> {
    eprintln!("{name} ..");
    let began = Instant::now();
    let mut command = Command::new(std::env::current_exe()?);
    command.args([name, "--json"]).stdout(Stdio::piped());
    if quick {
        command.arg("--quick");
    }
    let done = command.spawn()?.wait_with_output()?;
    ensure!(done.status.success(), "it ended with {}", done.status);
    let text = String::from_utf8(done.stdout)?;
    let mut results = serde_json::from_str::<Results>(&text).context("it printed no result")?;
    results.seconds = began.elapsed().as_secs_f64().round();
    write(&output.join(format!("{name}.json")), &serde_json::to_string_pretty(&results)?)?;
    eprintln!("{name}: {:.0} s", results.seconds);
    Ok(())
}

/// Results that the folder has.
fn read(output: &Path) -> Result<Vec<(&'static str, Results)>> {
    let mut all = Vec::new();
    for name in BENCHMARKS {
        let path = output.join(format!("{name}.json"));
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let results = serde_json::from_str(&text)
                    .with_context(|| format!("{} is no result", path.display()))?;
                all.push((name, results));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => bail!("read {}: {error}", path.display()),
        }
    }
    ensure!(!all.is_empty(), "{} has no results: run without --render", output.display());
    Ok(all)
}

/// All rows in one, each with its benchmark's name.
fn together(all: &[(&str, Results)]) -> Result<Results> {
    let mut document = all.first().context("no results")?.1.clone();
    document.rows.clear();
    document.notes.clear();
    document.seconds = all.iter().map(|(_, results)| results.seconds).sum();
    for (name, results) in all {
        ensure!(
            results.cpu == document.cpu,
            "{name} was measured on another CPU ({}): run it again",
            results.cpu
        );
        document.versions.extend(results.versions.clone());
        document.notes.extend(results.notes.iter().map(|note| format!("{name}: {note}")));
        document.rows.extend(results.rows.iter().map(|row| {
            let mut row = row.clone();
            row.insert("benchmark".to_owned(), Value::from(*name));
            row
        }));
    }
    Ok(document)
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text.trim_end().to_owned() + "\n")
        .with_context(|| format!("write {}", path.display()))
}

/// A figure of a row; none where it has none.
fn number(row: &Map<String, Value>, key: &str) -> Option<f64> {
    row.get(key).and_then(Value::as_f64)
}

/// A word of a row, or its figure as one.
fn word(row: &Map<String, Value>, key: &str) -> String {
    match row.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(cpu: &str, rows: &[Value]) -> Results {
        let rows = rows.iter().map(|row| row.as_object().expect("an object").clone()).collect();
        Results {
            cpu: cpu.to_owned(),
            tsc_hz: 1e9,
            versions: BTreeMap::from([(cpu.to_owned(), "1".to_owned())]),
            load_average: String::new(),
            seconds: 20.0,
            notes: vec!["something is missing".to_owned()],
            rows,
        }
    }

    #[test]
    fn rows_of_all_benchmarks_come_together_under_one_object() {
        let one = results("a", &[serde_json::json!({ "engine": "vaes256" })]);
        let two = results("a", &[serde_json::json!({ "mpps": 1.5 }), serde_json::json!({ "mpps": 2.5 })]);
        let document = together(&[("kernels", one), ("worker", two)]).expect("one CPU");
        let json = serde_json::to_value(&document).expect("JSON");
        for key in ["cpu", "tsc_hz", "versions", "rows"] {
            assert!(json.get(key).is_some(), "{key}");
        }
        assert_eq!(json["rows"][0]["benchmark"], "kernels");
        assert_eq!(json["rows"][2], serde_json::json!({ "benchmark": "worker", "mpps": 2.5 }));
        assert!((document.seconds - 40.0).abs() < f64::EPSILON, "{}", document.seconds);
        assert_eq!(document.notes, ["kernels: something is missing", "worker: something is missing"]);
    }

    #[test]
    fn results_of_two_machines_are_not_mixed() {
        assert!(together(&[("kernels", results("a", &[])), ("worker", results("b", &[]))]).is_err());
    }
}

//! Cycles of a worker by stage, from those rows of `worker` that have them: a table, and bars of stacked stages.

use std::path::Path;

use anyhow::{Result, anyhow};
use crossgate_dataplane::worker::Stage;
use plotters::prelude::*;
use serde_json::{Map, Value};

use super::plot::{COLOURS, FONT, SIZE};
use super::word;
use crate::worker::COUNTERS_ON;

/// One row with stages.
struct Bar {
    direction: String,
    traffic: String,
    /// As [`Stage::ALL`]; 0 where no packet came by.
    cycles: Vec<f64>,
    counters_on_percent: Option<f64>,
}

fn bars(rows: &[Map<String, Value>]) -> Vec<Bar> {
    let staged = rows.iter().filter_map(|row| Some((row, row.get("stages")?.as_object()?)));
    let bar = |(row, stages): (&Map<String, Value>, &Map<String, Value>)| {
        let figure = |key: &str| stages.get(key).and_then(Value::as_f64);
        Bar {
            direction: word(row, "direction"),
            traffic: word(row, "traffic"),
            cycles: Stage::ALL.map(|stage| figure(stage.as_str()).unwrap_or(0.0)).to_vec(),
            counters_on_percent: figure(COUNTERS_ON),
        }
    };
    staged.map(bar).collect()
}

/// The stages that any bar has, by their place in [`Stage::ALL`].
fn used(bars: &[Bar]) -> impl Iterator<Item = (usize, Stage)> + Clone + '_ {
    Stage::ALL.into_iter().enumerate().filter(|(at, _)| bars.iter().any(|bar| bar.cycles[*at] > 0.0))
}

/// The table, with a heading of its own; empty where no row has stages.
pub(super) fn table(rows: &[Map<String, Value>]) -> String {
    let bars = bars(rows);
    if bars.is_empty() {
        return String::new();
    }
    let names = || used(&bars).map(|(_, stage)| stage.as_str());
    let headings = ["direction", "inner bytes"].into_iter().chain(names());
    let headings: Vec<_> = headings.chain(["all stages", "counting them, %"]).collect();
    let mut table = String::from(
        "### By stage\n\nCycles a packet of each stage in its best burst, source and sink included in the first and the last; and how much longer bursts \
         take while one turn in sixteen is counted (`crossgate workers --stages`), in the median.\n\n",
    );
    table.push_str(&format!("| {} |\n|{}\n", headings.join(" | "), " --- |".repeat(headings.len())));
    for bar in &bars {
        let cycles = used(&bars).map(|(at, _)| format!("{:.0}", bar.cycles[at]));
        let mut cells = vec![bar.direction.clone(), bar.traffic.clone()];
        cells.extend(cycles);
        cells.push(format!("{:.0}", bar.cycles.iter().sum::<f64>()));
        cells.push(bar.counters_on_percent.map_or_else(String::new, |percent| format!("{percent:+.1}")));
        table.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    table
}

/// The plot; none where no row has stages.
pub(super) fn draw(path: &Path, rows: &[Map<String, Value>]) -> Result<()> {
    let bars = bars(rows);
    if bars.is_empty() {
        return Ok(());
    }
    draw_bars(path, &bars).map_err(|error| anyhow!("plot {}: {error}", path.display()))
}

fn draw_bars(path: &Path, bars: &[Bar]) -> Result<(), Box<dyn std::error::Error>> {
    let top = bars.iter().map(|bar| bar.cycles.iter().sum::<f64>()).fold(0.0, f64::max) * 1.05;
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut builder = ChartBuilder::on(&root);
    builder.caption("A worker by stage, AES-256-GCM, IPv4", ("sans-serif", 20));
    builder.margin(12).x_label_area_size(42).y_label_area_size(60);
    let mut chart = builder.build_cartesian_2d((0..bars.len() - 1).into_segmented(), 0.0..top)?;
    let name = |at: &SegmentValue<usize>| match at {
        SegmentValue::CenterOf(at) => {
            bars.get(*at).map_or_else(String::new, |bar| format!("{} {}", bar.direction, bar.traffic))
        }
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .x_labels(bars.len())
        .x_label_formatter(&name)
        .y_desc("TSC cycles a packet")
        .label_style(FONT)
        .disable_x_mesh()
        .light_line_style(WHITE)
        .draw()?;
    for ((at, stage), colour) in used(bars).zip(COLOURS.into_iter().cycle()) {
        let blocks = bars.iter().enumerate().map(|(place, bar)| {
            let below: f64 = bar.cycles[..at].iter().sum();
            let corners = [
                (SegmentValue::Exact(place), below),
                (SegmentValue::Exact(place + 1), below + bar.cycles[at]),
            ];
            let mut block = Rectangle::new(corners, colour.filled());
            block.set_margin(0, 0, 8, 8);
            block
        });
        chart
            .draw_series(blocks)?
            .label(stage.as_str())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .label_font(FONT)
        .draw()?;
    drop(chart);
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Map<String, Value>> {
        let rows = serde_json::json!([
            { "direction": "outbound", "traffic": "64",
              "stages": { "receive": 57.2, "encrypt": 52.0, "counters_on_percent": 0.44 } },
            { "direction": "inbound", "traffic": "64",
              "stages": { "receive": 51.0, "decrypt": 60.0, "counters_on_percent": -0.2 } },
            { "direction": "outbound", "traffic": "128" } ]);
        serde_json::from_value(rows).expect("rows")
    }

    #[test]
    fn stages_stand_side_by_side_with_their_sum() {
        let table = table(&rows());
        let lines: Vec<_> = table.lines().filter(|line| line.starts_with('|')).collect();
        let expected = [
            "| direction | inner bytes | receive | decrypt | encrypt | all stages | counting them, % |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            "| outbound | 64 | 57 | 0 | 52 | 109 | +0.4 |",
            "| inbound | 64 | 51 | 60 | 0 | 111 | -0.2 |",
        ];
        assert_eq!(lines, expected);
        assert_eq!(super::table(&rows()[2..]), "");
    }

    #[test]
    fn bars_have_the_names_of_cases_and_stages() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("stages.svg");
        draw(&path, &rows()).expect("drawn");
        let svg = std::fs::read_to_string(&path).expect("the plot");
        for part in ["outbound 64", "inbound 64", "receive", "decrypt", "encrypt"] {
            assert!(svg.contains(part), "{part} is not in the plot");
        }
        assert!(!svg.contains("outbound 128"));
    }
}

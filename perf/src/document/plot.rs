//! Plots of the results, as SVG.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use plotters::prelude::*;
use serde_json::{Map, Value};

use super::{Results, handshakes, number, stages, word};

pub(super) const SIZE: (u32, u32) = (900, 540);
pub(super) const FONT: (&str, u32) = ("sans-serif", 15);
pub(super) const COLOURS: [RGBColor; 10] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 39, 40),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(255, 127, 14),
    RGBColor(23, 190, 207),
    RGBColor(140, 86, 75),
    RGBColor(127, 127, 127),
    RGBColor(188, 189, 34),
    RGBColor(227, 119, 194),
];

/// A line: its name, and its points from left to right.
type Series = (String, Vec<(f64, f64)>);

/// What stands at the axes.
struct Axes {
    title: &'static str,
    x: &'static str,
    y: &'static str,
    logarithmic: bool,
}

type Rows = [Map<String, Value>];

/// Everything that the results have.
pub(super) fn all(output: &Path, all: &[(&str, Results)]) -> Result<()> {
    for (name, results) in all {
        let rows = &results.rows;
        let (axes, series) = match *name {
            "compare" => compare(rows),
            "worker" => worker(rows),
            "kernels" => kernels(rows),
            "scale" => scale(rows),
            "latency" => latency(rows),
            "ndr" => ndr(rows),
            "handshakes" => {
                handshakes::draw(&output.join("handshakes.svg"), rows)?;
                continue;
            }
            _ => continue,
        };
        if series.iter().any(|(_, points)| !points.is_empty()) {
            draw(&output.join(format!("{name}.svg")), &axes, &series)
                .map_err(|error| anyhow!("plot {name}.svg: {error}"))?;
        }
        if *name == "worker" {
            stages::draw(&output.join("worker-stages.svg"), rows)?;
        }
    }
    Ok(())
}

/// The plot of rows of `ndr` alone.
pub(crate) fn of_ndr(file: &Path, rows: &Rows) -> Result<()> {
    let (axes, series) = ndr(rows);
    ensure!(!series.is_empty(), "nothing to plot: only rates of packets that all have one size are drawn");
    draw(file, &axes, &series).map_err(|error| anyhow!("plot {}: {error}", file.display()))
}

fn compare(rows: &Rows) -> (Axes, Vec<Series>) {
    let axes = Axes {
        title: "One worker, AES-256-GCM, without source and sink",
        x: "bytes of the inner packet",
        y: "TSC cycles a packet",
        logarithmic: false,
    };
    let chosen =
        rows.iter().filter(|row| number(row, "key_bits") == Some(256.0) && word(row, "traffic") != "imix");
    let name =
        |row: &_| format!("{}, {}, {}", word(row, "program"), word(row, "engine"), word(row, "direction"));
    (axes, lines(chosen, name, "inner_bytes", "net_cycles_per_packet"))
}

fn worker(rows: &Rows) -> (Axes, Vec<Series>) {
    let axes = Axes {
        title: "A worker, best kernel, without source and sink",
        x: "bytes of the inner packet",
        y: "TSC cycles a packet",
        logarithmic: false,
    };
    let chosen =
        rows.iter().filter(|row| word(row, "kernel") != "portable" && word(row, "traffic") != "imix");
    let name = |row: &_| {
        format!("AES-{}, IPv{}, {}", word(row, "key_bits"), word(row, "ip_version"), word(row, "direction"))
    };
    (axes, lines(chosen, name, "inner_bytes", "net_cycles_per_packet"))
}

fn kernels(rows: &Rows) -> (Axes, Vec<Series>) {
    let axes = Axes {
        title: "AES-256-GCM seal, bursts of 32, one SA",
        x: "bytes of payload",
        y: "TSC cycles a packet",
        logarithmic: false,
    };
    let chosen = rows.iter().filter(|row| {
        word(row, "direction") == "seal"
            && number(row, "key_bits") == Some(256.0)
            && number(row, "sas") == Some(1.0)
    });
    (axes, lines(chosen, |row| word(row, "engine"), "payload_bytes", "cycles_per_packet"))
}

fn scale(rows: &Rows) -> (Axes, Vec<Series>) {
    let axes = Axes {
        title: "Many SAs in random order",
        x: "SAs each way",
        y: "throughput against one SA",
        logarithmic: true,
    };
    let chosen = rows.iter().filter(|row| number(row, "workers") == Some(1.0));
    let name = |row: &_| format!("{}, {} bytes", word(row, "direction"), word(row, "inner_bytes"));
    (axes, lines(chosen, name, "sas", "throughput_ratio"))
}

fn latency(rows: &Rows) -> (Axes, Vec<Series>) {
    let axes = Axes {
        title: "99th percentile of residence by load",
        x: "percent of the zero-loss rate",
        y: "microseconds",
        logarithmic: false,
    };
    let chosen = rows.iter().filter(|row| number(row, "load_percent").is_some_and(|load| load > 0.0));
    let name = |row: &_| format!("{} bytes, {}", word(row, "traffic"), word(row, "direction"));
    (axes, lines(chosen, name, "load_percent", "p99_us"))
}

fn ndr(rows: &Rows) -> (Axes, Vec<Series>) {
    let axes = Axes {
        title: "Zero-loss rate of one worker",
        x: "bytes of the inner packet",
        y: "Gbit/s of inner packets",
        logarithmic: false,
    };
    let chosen = rows.iter().filter(|row| word(row, "traffic") != "imix");
    let name = |row: &_| match word(row, "generator").as_str() {
        "own thread" => word(row, "direction"),
        other => format!("{other}, IPv{}, {} flows", word(row, "ip_version"), word(row, "flows")),
    };
    (axes, lines(chosen, name, "inner_bytes", "gbit_per_s"))
}

/// One line for each name, in the order in which names come.
fn lines<'a>(
    rows: impl Iterator<Item = &'a Map<String, Value>>,
    name: impl Fn(&Map<String, Value>) -> String,
    x: &str,
    y: &str,
) -> Vec<Series> {
    let mut series: Vec<Series> = Vec::new();
    for row in rows {
        let (Some(x), Some(y)) = (number(row, x), number(row, y)) else { continue };
        let name = name(row);
        match series.iter_mut().find(|(known, _)| *known == name) {
            Some((_, points)) => points.push((x, y)),
            None => series.push((name, vec![(x, y)])),
        }
    }
    for (_, points) in &mut series {
        points.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    }
    series
}

fn draw(path: &Path, axes: &Axes, series: &[Series]) -> Result<(), Box<dyn std::error::Error>> {
    let points = || series.iter().flat_map(|(_, points)| points);
    let most = |pick: fn(&(f64, f64)) -> f64| points().map(pick).fold(0.0, f64::max);
    let (right, top) = (most(|point| point.0), most(|point| point.1) * 1.05);
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut builder = ChartBuilder::on(&root);
    builder.caption(axes.title, ("sans-serif", 20)).margin(12).x_label_area_size(42).y_label_area_size(60);
    // The two kinds of axes are two types.
    macro_rules! chart {
        ($x:expr) => {{
            let mut chart = builder.build_cartesian_2d($x, 0.0..top)?;
            chart
                .configure_mesh()
                .x_desc(axes.x)
                .y_desc(axes.y)
                .label_style(FONT)
                .light_line_style(WHITE)
                .draw()?;
            for ((name, points), colour) in series.iter().zip(COLOURS.iter().cycle()) {
                let colour = *colour;
                chart
                    .draw_series(
                        LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3),
                    )?
                    .label(name.as_str())
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE.mix(0.8))
                .label_font(FONT)
                .draw()?;
        }};
    }
    if axes.logarithmic {
        chart!((1.0..right.max(2.0)).log_scale());
    } else {
        chart!(0.0..right);
    }
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(rows: &str) -> Results {
        let json = format!(r#"{{ "cpu": "c", "tsc_hz": 1e9, "versions": {{}}, "rows": [{rows}] }}"#);
        serde_json::from_str(&json).expect("results")
    }

    #[test]
    fn each_benchmark_becomes_a_plot_with_its_lines_and_words() {
        let rows = r#"{ "direction": "outbound", "inner_bytes": 64, "workers": 1, "sas": 100000, "throughput_ratio": 0.7 },
            { "direction": "outbound", "inner_bytes": 64, "workers": 1, "sas": 1, "throughput_ratio": 1.0 },
            { "direction": "inbound", "inner_bytes": 64, "workers": 1, "sas": 1, "throughput_ratio": 1.0 }"#;
        let folder = tempfile::tempdir().expect("a folder");
        all(folder.path(), &[("scale", results(rows))]).expect("plotted");
        let svg = std::fs::read_to_string(folder.path().join("scale.svg")).expect("the plot");
        for part in ["<svg", "outbound, 64 bytes", "inbound, 64 bytes", "SAs each way", "</svg>"] {
            assert!(svg.contains(part), "{part} is not in the plot");
        }
    }

    #[test]
    fn points_go_from_left_to_right_and_incomplete_rows_are_left_out() {
        let results = results(r#"{ "a": 2, "b": 20 }, { "a": 1, "b": 10 }, { "a": 3 }"#);
        let series = lines(results.rows.iter(), |_| "one".to_owned(), "a", "b");
        assert_eq!(series, [("one".to_owned(), vec![(1.0, 10.0), (2.0, 20.0)])]);
    }

    #[test]
    fn results_without_rows_make_no_plot() {
        let folder = tempfile::tempdir().expect("a folder");
        all(folder.path(), &[("scale", results(""))]).expect("nothing to plot");
        assert!(!folder.path().join("scale.svg").exists());
    }
}

//! Handshakes beside strongSwan's, from those rows of `handshakes` that have both: a pair of bars for each case.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde_json::{Map, Value};

use super::plot::{COLOURS, FONT, SIZE};
use super::{number, word};

/// In the order of their bars.
const PROGRAMS: [&str; 2] = ["crossgate", "strongswan"];
/// A key of the rows of a responder alone.
const RATE: &str = "handshakes_per_cpu_s";

/// One case: its name, and the rate of each of [`PROGRAMS`].
type Case = (String, [Option<f64>; PROGRAMS.len()]);

fn cases(rows: &[Map<String, Value>]) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (row, program) in rows.iter().filter_map(|row| {
        let program = word(row, "program");
        Some((row, PROGRAMS.iter().position(|known| *known == program)?))
    }) {
        // What ran on one thread with its peer says nothing about a responder.
        let Some(ike_sas) = number(row, "ike_sas") else { continue };
        let words = ["authentication", "key_exchange"].map(|key| word(row, key));
        let name = format!("{}, {}, {ike_sas} SAs", words[0], words[1]);
        let at = cases.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            cases.push((name, Default::default()));
            cases.len() - 1
        });
        cases[at].1[program] = number(row, RATE);
    }
    cases
}

/// The plot; none where no responder was measured.
pub(super) fn draw(path: &Path, rows: &[Map<String, Value>]) -> Result<()> {
    let cases = cases(rows);
    if cases.is_empty() {
        return Ok(());
    }
    draw_bars(path, &cases).map_err(|error| anyhow!("plot {}: {error}", path.display()))
}

fn draw_bars(path: &Path, cases: &[Case]) -> Result<(), Box<dyn std::error::Error>> {
    let most = cases.iter().flat_map(|(_, rates)| rates).copied().flatten().fold(1.0, f64::max);
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut builder = ChartBuilder::on(&root);
    builder.caption("IKEv2 handshakes: a responder on one core", ("sans-serif", 20));
    builder.margin(12).x_label_area_size(42).y_label_area_size(290);
    // A case takes a height of one, from the top down.
    let height = u16::try_from(cases.len())?;
    let mut chart = builder.build_cartesian_2d(0.0..most * 1.15, f64::from(height)..0.0)?;
    chart
        .configure_mesh()
        .x_desc("handshakes a second of CPU time")
        .y_labels(0)
        .label_style(FONT)
        .disable_y_mesh()
        .light_line_style(WHITE)
        .draw()?;
    let text = |words: String, place: (f64, f64), right: HPos, away: i32| {
        let style = FONT.into_font().color(&BLACK).pos(Pos::new(right, VPos::Center));
        EmptyElement::at(place) + Text::new(words, (away, 0), style)
    };
    let tops = || (0..height).map(f64::from).zip(cases);
    chart
        .draw_series(tops().map(|(top, (name, _))| text(name.clone(), (0.0, top + 0.5), HPos::Right, -10)))?;
    for (program, colour) in (0_u8..).zip(COLOURS).take(PROGRAMS.len()) {
        let place = usize::from(program);
        let begin = |top: f64| top + 0.12 + 0.38 * f64::from(program);
        let bars = tops().filter_map(|(top, (_, rates))| {
            let corners = [(0.0, begin(top)), (rates[place]?, begin(top) + 0.38)];
            Some(Rectangle::new(corners, colour.filled()))
        });
        chart
            .draw_series(bars)?
            .label(PROGRAMS[place])
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled()));
        chart.draw_series(tops().map(|(top, (_, rates))| {
            let words = rates[place].map_or_else(|| "n/a".to_owned(), |rate| format!("{rate:.0}"));
            text(words, (rates[place].unwrap_or(0.0), begin(top) + 0.19), HPos::Left, 6)
        }))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
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
            { "program": "crossgate", "authentication": "psk", "key_exchange": "ECP256", "ike_sas": 2001,
              "handshakes_per_cpu_s": 1370.5 },
            { "program": "strongswan", "authentication": "psk", "key_exchange": "ECP256", "ike_sas": 2001,
              "handshakes_per_cpu_s": 390.8 },
            { "program": "crossgate", "authentication": "psk", "key_exchange": "MLKEM768", "ike_sas": 2001,
              "handshakes_per_cpu_s": 2382.1 },
            { "program": "strongswan", "authentication": "psk", "key_exchange": "MLKEM768", "ike_sas": 2001,
              "handshakes_per_s": null },
            { "program": "crossgate", "authentication": "psk", "key_exchange": "ECP384", "handshakes_per_s": 299.6 } ]);
        serde_json::from_value(rows).expect("rows")
    }

    #[test]
    fn cases_have_the_rates_of_both_programs_and_leave_out_what_is_no_responder() {
        let expected = [
            ("psk, ECP256, 2001 SAs".to_owned(), [Some(1370.5), Some(390.8)]),
            ("psk, MLKEM768, 2001 SAs".to_owned(), [Some(2382.1), None]),
        ];
        assert_eq!(cases(&rows()), expected);
    }

    #[test]
    fn bars_have_the_names_of_cases_and_programs_and_their_figures() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("handshakes.svg");
        draw(&path, &rows()).expect("drawn");
        let svg = std::fs::read_to_string(&path).expect("the plot");
        for part in ["psk, ECP256, 2001 SAs", "crossgate", "strongswan", "391", "n/a"] {
            assert!(svg.contains(part), "{part} is not in the plot");
        }
        assert!(!svg.contains("ECP384"));
    }

    #[test]
    fn without_a_responder_there_is_no_plot() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("handshakes.svg");
        draw(&path, &rows()[4..]).expect("nothing to draw");
        assert!(!path.exists());
    }
}

//! The picture of `crossgate top`: lines of text in columns, readable without colours, made for 80 by 24 and for more.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{ConnectionRates, DropRate, Rates, WorkerRates};
use crate::console::table::{age, bits_per_s, clean, count, thousands};

/// What the operator chose, and what there is to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The first connection that is shown.
    pub first: usize,
    /// Whether colours are shown.
    pub colour: bool,
    /// What is wrong with the gateway itself, if it does not answer.
    pub trouble: Option<String>,
}

/// Draws `rates` over the whole frame; `None` before the second sample.
pub fn draw(frame: &mut Frame<'_>, rates: Option<&Rates>, view: &View) {
    let area = frame.area();
    let [height, width] = [area.height, area.width].map(usize::from);
    let mut lines =
        rates.map_or_else(Vec::new, |rates| picture(rates, view, height.saturating_sub(1), width));
    if let Some(trouble) = &view.trouble {
        lines.insert(0, Line::styled(clip(trouble, width), view.style(Color::Red)));
    } else if rates.is_none() {
        lines.push(Line::from("The first rates are known in a moment."));
    }
    let body = Rect { height: area.height.saturating_sub(1), ..area };
    frame.render_widget(Paragraph::new(lines), body);
    let foot = Rect { y: area.bottom().saturating_sub(1), height: area.height.min(1), ..area };
    frame.render_widget(Paragraph::new(Line::styled(clip(KEYS, width), faint())), foot);
}

/// The lines from title to drops, at most `height`.
fn picture(rates: &Rates, view: &View, height: usize, width: usize) -> Vec<Line<'static>> {
    let workers = rates.workers.len().min(WORKERS_MAX);
    let drops = rates.drops.len().min(DROPS_MAX);
    // Title, three headings, two blank lines between the parts, and a line for what is left out.
    let fixed = 7 + workers + drops.max(1);
    let room = height.saturating_sub(fixed).max(1);
    let mut lines = vec![title(rates, width)];
    lines.extend(connections(&rates.connections, view, room, width));
    lines.push(Line::default());
    lines.push(heading(&worker_columns(WORKER_HEADINGS), width));
    lines.extend(rates.workers.iter().take(workers).map(|worker| self::worker(worker, view, width)));
    lines.push(Line::default());
    lines.push(heading(&drop_columns(["DROPS", "per s", "TOTAL", "WHAT TO DO"]), width));
    if rates.drops.is_empty() {
        lines.push(Line::from("none since the gateway was started"));
    }
    lines.extend(rates.drops.iter().take(drops).map(|drop| self::drop(drop, view, width)));
    lines.truncate(height);
    lines
}

fn title(rates: &Rates, width: usize) -> Line<'static> {
    let up = rates.connections.iter().filter(|connection| connection.state == "up").count();
    let sum = |rate: fn(&ConnectionRates) -> u64| {
        bits_per_s(rates.connections.iter().map(rate).fold(0, u64::saturating_add))
    };
    let text = format!(
        "{}  running {}  {up} of {} connections up  in {}  out {}",
        clean(&rates.name),
        age(rates.uptime_s),
        rates.connections.len(),
        sum(|connection| connection.in_bits_per_s),
        sum(|connection| connection.out_bits_per_s),
    );
    Line::styled(clip(&text, width), Style::new().add_modifier(Modifier::BOLD))
}

fn connections(
    connections: &[ConnectionRates],
    view: &View,
    room: usize,
    width: usize,
) -> Vec<Line<'static>> {
    let name_width = width.saturating_sub(RATES_WIDTH).clamp(NAME_MIN, NAME_MAX);
    let headings =
        ["CONNECTION", "STATE", "IN bit/s", "IN pkt/s", "OUT bit/s", "OUT pkt/s"].map(str::to_owned);
    let mut lines = vec![heading(&connection_columns(headings, name_width), width)];
    if connections.is_empty() {
        lines.push(Line::from("no connection is configured"));
    }
    // The last screenful is the furthest that one can scroll.
    let first = view.first.min(connections.len().saturating_sub(room));
    for connection in connections.iter().skip(first).take(room) {
        lines.push(self::connection(connection, view, name_width, width));
    }
    let hidden = connections.len().saturating_sub(room);
    if hidden > 0 {
        let text =
            format!("  {} to {} of {}", first + 1, first + room.min(connections.len()), connections.len());
        lines.push(Line::styled(clip(&text, width), faint()));
    }
    lines
}

fn connection(connection: &ConnectionRates, view: &View, name_width: usize, width: usize) -> Line<'static> {
    let colour = match connection.state.as_str() {
        "up" => Color::Green,
        "connecting" | "partial" | "waiting" => Color::Yellow,
        _ => Color::Red,
    };
    let name = format!("{:name_width$} ", clip(&clean(&connection.name), name_width));
    let state = Span::styled(format!("{:10}", clean(&connection.state)), view.style(colour));
    let rest = match &connection.problem {
        Some(problem) if connection.state != "up" => format!(" {}", clean(problem)),
        _ => rate_columns([
            thousands(connection.in_bits_per_s),
            count(connection.in_packets_per_s),
            thousands(connection.out_bits_per_s),
            count(connection.out_packets_per_s),
        ]),
    };
    let used = name_width + 1 + 10;
    Line::from(vec![Span::from(name), state, Span::from(clip(&rest, width.saturating_sub(used)))])
}

fn connection_columns(
    [name, state, in_bits, in_packets, out_bits, out_packets]: [String; 6],
    wide: usize,
) -> String {
    format!("{name:wide$} {state:10}{}", rate_columns([in_bits, in_packets, out_bits, out_packets]))
}

fn rate_columns([in_bits, in_packets, out_bits, out_packets]: [String; 4]) -> String {
    format!("{in_bits:>11}{in_packets:>10}{out_bits:>11}{out_packets:>10}")
}

fn worker(worker: &WorkerRates, view: &View, width: usize) -> Line<'static> {
    if !worker.running {
        let text = format!("{:6}{:>5}  stopped", worker.index, worker.core);
        return Line::styled(clip(&text, width), view.style(Color::Red));
    }
    let load = format!("{} {:>3.0} %", bar(worker.busy_percent), worker.busy_percent);
    let columns = [
        worker.index.to_string(),
        worker.core.to_string(),
        load,
        count(worker.rx_packets_per_s),
        count(worker.tx_packets_per_s),
        count(worker.sealed_packets_per_s),
        count(worker.opened_packets_per_s),
        count(worker.dropped_packets_per_s),
    ];
    Line::from(clip(&worker_columns(columns.each_ref().map(String::as_str)), width))
}

fn worker_columns([index, core, load, rx, tx, sealed, opened, dropped]: [&str; 8]) -> String {
    format!("{index:>6}{core:>5}  {load:18}{rx:>9}{tx:>9}{sealed:>10}{opened:>10}{dropped:>10}")
}

fn drop(drop: &DropRate, view: &View, width: usize) -> Line<'static> {
    let name = clip(&clean(&drop.name), DROP_NAME);
    let text = drop_columns([&name, &count(drop.per_s), &count(drop.total), &clean(&drop.remedy)]);
    let style = if drop.per_s > 0 { view.style(Color::Yellow) } else { Style::new() };
    Line::styled(clip(&text, width), style)
}

fn drop_columns([name, per_s, total, remedy]: [&str; 4]) -> String {
    format!("{name:DROP_NAME$}{per_s:>9}{total:>9}  {remedy}")
}

fn heading(text: &str, width: usize) -> Line<'static> {
    Line::styled(clip(text, width), Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED))
}

/// Ten characters, one for each tenth.
fn bar(percent: f64) -> String {
    let filled = (1..=10).filter(|tenth| percent >= f64::from(*tenth) * 10.0 - 5.0).count();
    format!("[{}{}]", "#".repeat(filled), " ".repeat(10 - filled))
}

/// The beginning that fits, with a sign that something is missing.
fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut clipped: String = text.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        clipped.push('~');
    }
    clipped
}

fn faint() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

impl View {
    fn style(&self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }
}

const KEYS: &str = "q quit   up, down, page up, page down: connections";
const WORKER_HEADINGS: [&str; 8] =
    ["WORKER", "CORE", "LOAD", "RX/s", "TX/s", "SEALED/s", "OPENED/s", "DROPPED/s"];
const WORKERS_MAX: usize = 4;
const DROPS_MAX: usize = 5;
/// Columns of state and rates.
const RATES_WIDTH: usize = 53;
const NAME_MIN: usize = 10;
const NAME_MAX: usize = 40;
const DROP_NAME: usize = 28;

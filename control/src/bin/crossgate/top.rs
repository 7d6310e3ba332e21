//! `crossgate top`: takes samples, draws rates until the operator has seen enough, and leaves the terminal as it was.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossgate::console::client::{Client, ClientError};
use crossgate::console::top::{Rates, Sample, View, draw};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGTERM};

use crate::{Failure, Outcome, print};

/// What was asked for.
pub(crate) struct Options {
    /// Between two samples.
    pub(crate) interval: Duration,
    /// Rates until the end; `None` for no end.
    pub(crate) count: Option<u64>,
    /// A line of JSON each, instead of a picture.
    pub(crate) json: bool,
}

/// Shows rates until `q`, Ctrl-C or the end that was asked for.
pub(crate) fn run(
    mut client: Client,
    socket: &Path,
    options: &Options,
    colour: bool,
) -> Result<Outcome, Failure> {
    let first = Sample::take(&mut client)?;
    if options.json {
        return lines(client, first, options);
    }
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        return Err(Failure::Usage {
            problem: "the live view needs a terminal".into(),
            remedy: "take crossgate --json top, or crossgate connections".into(),
        });
    }
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&ended))?;
    }
    let screen = Screen { terminal: ratatui::try_init()? };
    let view = View { colour, ..View::default() };
    let mut live = Live { screen, client: Some(client), last: first, rates: None, view };
    live.run(socket, options, &ended)
}

/// Rates as JSON, a line each.
fn lines(mut client: Client, mut last: Sample, options: &Options) -> Result<Outcome, Failure> {
    let mut left = options.count;
    while left != Some(0) {
        std::thread::sleep(options.interval);
        let sample = Sample::take(&mut client)?;
        print(&format!("{}\n", json!(Rates::between(&last, &sample))))?;
        last = sample;
        left = left.map(|left| left - 1);
    }
    Ok(Outcome::Good)
}

/// The terminal in raw mode on its other screen; dropped, it is as it was. Panics restore it too (ratatui's hook).
struct Screen {
    terminal: DefaultTerminal,
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

struct Live {
    screen: Screen,
    client: Option<Client>,
    last: Sample,
    rates: Option<Rates>,
    view: View,
}

impl Live {
    fn run(&mut self, socket: &Path, options: &Options, ended: &AtomicBool) -> Result<Outcome, Failure> {
        let mut left = options.count;
        let mut due = Instant::now() + options.interval.min(FIRST_AFTER);
        loop {
            let Self { screen, rates, view, .. } = self;
            screen.terminal.draw(|frame| draw(frame, rates.as_ref(), view))?;
            if left == Some(0) || ended.load(Ordering::Relaxed) || !self.until(due, ended)? {
                return Ok(Outcome::Good);
            }
            if Instant::now() < due {
                continue; // a key has changed the view
            }
            due = Instant::now() + options.interval;
            if self.look(socket) {
                left = left.map(|left| left - 1);
            }
        }
    }

    /// Takes a sample; a gateway that does not answer is told, and asked anew at the next look.
    fn look(&mut self, socket: &Path) -> bool {
        let client = match self.client.take() {
            Some(client) => Ok(client),
            None => Client::connect(socket),
        };
        let taken = client.and_then(|mut client| Ok((Sample::take(&mut client)?, client)));
        match taken {
            Ok((sample, client)) => {
                self.rates = Some(Rates::between(&self.last, &sample));
                self.last = sample;
                self.client = Some(client);
                self.view.trouble = None;
                true
            }
            Err(error) => {
                self.view.trouble = Some(trouble(&error));
                false
            }
        }
    }

    /// Waits until `due` or until a key changes the view. False: the operator has seen enough.
    fn until(&mut self, due: Instant, ended: &AtomicBool) -> io::Result<bool> {
        loop {
            let wait = due.saturating_duration_since(Instant::now());
            if wait.is_zero() || ended.load(Ordering::Relaxed) {
                return Ok(true);
            }
            if !event::poll(wait.min(SIGNAL_EVERY))? {
                continue;
            }
            match event::read()? {
                Event::Resize(..) => return Ok(true),
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    let control = key.modifiers.contains(KeyModifiers::CONTROL);
                    let first = self.view.first;
                    self.view.first = match key.code {
                        KeyCode::Char('q') | KeyCode::Esc => return Ok(false),
                        KeyCode::Char('c' | 'd') if control => return Ok(false),
                        KeyCode::Down => first + 1,
                        KeyCode::Up => first.saturating_sub(1),
                        KeyCode::PageDown => first + PAGE,
                        KeyCode::PageUp => first.saturating_sub(PAGE),
                        KeyCode::Home => 0,
                        _ => continue,
                    };
                    // Not further than there are connections, so that the way back is not longer than the way there.
                    self.view.first = self.view.first.min(self.last.connections.len().saturating_sub(1));
                    return Ok(true);
                }
                _ => {}
            }
        }
    }
}

fn trouble(error: &ClientError) -> String {
    format!("{error}; asking again")
}

/// The first rates come soon, whatever the interval.
const FIRST_AFTER: Duration = Duration::from_millis(500);
/// How late a signal may be noticed.
const SIGNAL_EVERY: Duration = Duration::from_millis(200);
/// Connections that a page is taken for.
const PAGE: usize = 10;

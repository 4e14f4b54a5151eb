//! The terminal: drawn when something has changed, given back at the end.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::ColorChoice;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event as Input};
use upstream_trace_core::event::{Event, Host, Nanos};
use upstream_trace_core::verdict::{Output, Summary};

use super::draw::{draw, plain};
use super::keys::Choice;
use super::model::Model;
use crate::output::{Extra, Sink, SinkState, look};

/// Between two looks at whether something has changed: the screen is at most this old.
const LOOK: Duration = Duration::from_millis(200);
/// For the terminal to be given back.
const PATIENCE: Duration = Duration::from_millis(500);
/// Lines that are left on the terminal at the end.
const LEFT: usize = 20;

/// The sink: a screen of a running trace.
pub struct Top {
    model: Arc<Mutex<Model>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Top {
    /// Takes the terminal. `on_start` runs first on the thread that draws.
    ///
    /// # Errors
    /// If stdout is no terminal.
    pub fn open(choice: ColorChoice, on_start: fn()) -> Result<Self> {
        let colour = look(choice, false).colour;
        let terminal = take()?;
        let model = Arc::<Mutex<Model>>::default();
        let shared = Arc::clone(&model);
        let run = move || {
            on_start();
            run(terminal, &shared, colour, true)
        };
        let thread = thread::Builder::new().name("top".to_owned()).spawn(run);
        let thread =
            thread.inspect_err(|_| ratatui::restore()).context("cannot start a thread for the screen")?;
        Ok(Self { model, thread: Some(thread) })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Model) -> T) -> T {
        act(&mut self.model.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Top {
    fn start(&mut self, host: &Host) {
        self.with(|model| model.start(host));
    }

    fn event(&mut self, event: &Event) {
        if matches!(event, Event::Host(_)) {
            self.with(|model| model.event(event));
        }
    }

    fn output(&mut self, output: &Output) {
        self.with(|model| model.output(output));
    }

    fn tick(&mut self, now: Nanos) {
        self.with(|model| model.tick(now));
    }

    fn summary(&mut self, _summary: &Summary, _extra: &Extra) {}

    fn finish(&mut self) -> Result<()> {
        self.with(|model| model.over = true);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let until = Instant::now() + PATIENCE;
        while !thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        if thread.is_finished() { thread.join().unwrap_or(Ok(())) } else { Ok(()) }
    }

    fn state(&self) -> SinkState {
        self.with(|model| model.state())
    }
}

impl Drop for Top {
    /// However the trace ends, the terminal is given back.
    fn drop(&mut self) {
        if self.thread.is_some() {
            let _ended = self.finish();
        }
    }
}

/// Shows what does not change any more: a recording.
///
/// # Errors
/// If stdout is no terminal.
pub fn show(model: Model, choice: ColorChoice) -> Result<()> {
    let colour = look(choice, false).colour;
    let terminal = take()?;
    run(terminal, &Mutex::new(model), colour, false)
}

fn take() -> Result<DefaultTerminal> {
    if !stdout().is_terminal() {
        bail!("top needs a terminal; use --json, or `report` for a recording");
    }
    ratatui::try_init().context("cannot take the terminal")
}

/// Draws until the user or the trace ends it; what was on the screen stays on the terminal as text.
fn run(mut terminal: DefaultTerminal, model: &Mutex<Model>, colour: bool, live: bool) -> Result<()> {
    let mut choice = Choice::default();
    let result = follow(&mut terminal, model, &mut choice, colour, live);
    ratatui::restore();
    let mut model = model.lock().unwrap_or_else(PoisonError::into_inner);
    model.over = true;
    model.changes += 1;
    let lines = plain(&model, &choice, LEFT);
    for line in lines.iter().take(LEFT) {
        let _closed = writeln!(stdout(), "{line}");
    }
    result
}

fn follow(
    terminal: &mut DefaultTerminal,
    model: &Mutex<Model>,
    choice: &mut Choice,
    colour: bool,
    live: bool,
) -> Result<()> {
    let lock = || model.lock().unwrap_or_else(PoisonError::into_inner);
    let mut shown = lock().clone();
    let mut stale = true;
    while !(choice.quits || live && lock().over) {
        if !choice.paused {
            let model = lock();
            if model.changes != shown.changes {
                shown = model.clone();
                stale = true;
            }
        }
        if stale {
            terminal.draw(|frame| draw(frame, &shown, choice, colour)).context("cannot draw")?;
            stale = false;
        }
        // Sleeps: a key, another size, or time for a look.
        if event::poll(LOOK).context("cannot read keys")? {
            stale = match event::read().context("cannot read keys")? {
                Input::Key(key) => choice.key(key),
                Input::Resize(..) => true,
                _ => false,
            };
        }
    }
    Ok(())
}

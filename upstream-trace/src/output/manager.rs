//! Tells the service manager that tracing has begun, how it goes, and that the event loop still turns (`Type=notify`).

use std::time::{Duration, Instant};

use anyhow::Result;
use sd_notify::NotifyState;
use upstream_trace_core::event::{Host, Nanos};
use upstream_trace_core::verdict::{Output, Summary};
use upstream_trace_read::output::{Extra, Sink};

use super::handoff::{Handoff, Intake};

/// Messages that may wait; a watchdog that comes late is no better than none.
const WAITING: usize = 8;
/// Between two lines of status.
const STATUS: Duration = Duration::from_secs(10);
/// For the last message.
const END: Duration = Duration::from_millis(200);

enum Message {
    Ready(String),
    Status(String),
    Alive,
    Stopping,
}

/// The sink.
pub struct Manager {
    queue: Handoff<Message>,
    /// Half of the time after which the manager would restart us.
    watchdog: Option<Duration>,
    alive: Instant,
    said: Instant,
    failures: u64,
    last: Option<&'static str>,
}

impl Manager {
    /// `None` unless a manager listens.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn open(on_start: fn()) -> Result<Option<Self>> {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Ok(None);
        }
        let watchdog = sd_notify::watchdog_enabled().map(|time| time / 2);
        let run = move |intake: Intake<Message>| {
            on_start();
            while let Some(message) = intake.next() {
                tell(&message);
                intake.delivered(1);
            }
        };
        let now = Instant::now();
        let queue = Handoff::start("manager", WAITING, run)?;
        Ok(Some(Self { queue, watchdog, alive: now, said: now, failures: 0, last: None }))
    }

    fn status(&self) -> String {
        match self.last {
            Some(cause) => format!("{} failed attempts, the last one: {cause}", self.failures),
            None => "no failed attempts".to_owned(),
        }
    }
}

impl Sink for Manager {
    fn start(&mut self, host: &Host) {
        let text = format!("tracing {} workers", host.workers.len());
        self.queue.push(Message::Ready(text));
    }

    fn output(&mut self, output: &Output) {
        if let Output::Failure(verdict) = output {
            self.failures += 1;
            self.last = Some(verdict.cause);
        }
    }

    fn tick(&mut self, _now: Nanos) {
        if self.watchdog.is_some_and(|time| self.alive.elapsed() >= time) {
            self.alive = Instant::now();
            self.queue.push(Message::Alive);
        }
        if self.said.elapsed() >= STATUS {
            self.said = Instant::now();
            self.queue.push(Message::Status(self.status()));
        }
    }

    fn summary(&mut self, _summary: &Summary, _extra: &Extra) {}

    fn finish(&mut self) -> Result<()> {
        self.queue.push(Message::Stopping);
        self.queue.finish(END);
        Ok(())
    }
}

fn tell(message: &Message) {
    let states = match message {
        Message::Ready(text) => vec![NotifyState::Ready, NotifyState::Status(text)],
        Message::Status(text) => vec![NotifyState::Status(text)],
        Message::Alive => vec![NotifyState::Watchdog],
        Message::Stopping => vec![NotifyState::Stopping],
    };
    // A manager that has gone needs no news.
    let _gone = sd_notify::notify(&states);
}

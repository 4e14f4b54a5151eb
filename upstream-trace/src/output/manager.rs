//! Tells the service manager that tracing has begun, how it goes, and that the event loop still turns (`Type=notify`).

use std::time::Duration;

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
    /// When the last sign of life and the last status were sent.
    alive: Nanos,
    said: Nanos,
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
        // A manager that has gone needs no news.
        let tell = |states: &[NotifyState<'_>]| drop(sd_notify::notify(states));
        Ok(Some(Self::to(tell, sd_notify::watchdog_enabled(), on_start)?))
    }

    /// `watchdog` is the time after which the manager restarts what gives no sign of life.
    fn to(
        mut tell: impl FnMut(&[NotifyState<'_>]) + Send + 'static,
        watchdog: Option<Duration>,
        on_start: fn(),
    ) -> Result<Self> {
        let run = move |intake: Intake<Message>| {
            on_start();
            while let Some(message) = intake.next() {
                tell(&message.states());
                intake.delivered(1);
            }
        };
        let (queue, watchdog) = (Handoff::start("manager", WAITING, run)?, watchdog.map(|time| time / 2));
        Ok(Self { queue, watchdog, alive: 0, said: 0, failures: 0, last: None })
    }

    fn status(&self) -> String {
        match self.last {
            Some(cause) => format!("failed attempts: {}, the last one: {cause}", self.failures),
            None => "no failed attempts".to_owned(),
        }
    }
}

impl Sink for Manager {
    fn start(&mut self, host: &Host) {
        (self.alive, self.said) = (host.at, host.at);
        let text = format!("tracing {} workers", host.workers.len());
        self.queue.push(Message::Ready(text));
    }

    fn output(&mut self, output: &Output) {
        if let Output::Failure(verdict) = output {
            self.failures += 1;
            self.last = Some(verdict.cause);
        }
    }

    /// Comes from the event loop: one that does not turn gives no sign of life.
    fn tick(&mut self, now: Nanos) {
        let since = |then: Nanos| Duration::from_nanos(now.saturating_sub(then));
        if self.watchdog.is_some_and(|time| since(self.alive) >= time) {
            self.alive = now;
            self.queue.push(Message::Alive);
        }
        if since(self.said) >= STATUS {
            self.said = now;
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

impl Message {
    fn states(&self) -> Vec<NotifyState<'_>> {
        match self {
            Self::Ready(text) => vec![NotifyState::Ready, NotifyState::Status(text)],
            Self::Status(text) => vec![NotifyState::Status(text)],
            Self::Alive => vec![NotifyState::Watchdog],
            Self::Stopping => vec![NotifyState::Stopping],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::output::testkit::{failure, server};

    const MINUTE: Duration = Duration::from_mins(1);
    const SECOND: Nanos = 1_000_000_000;

    /// A manager that has been told of the start, at one second, and what it is sent: each datagram as one text.
    fn started(watchdog: Option<Duration>) -> (Manager, Receiver<String>) {
        let (to, told) = channel();
        let tell = move |states: &[NotifyState<'_>]| {
            let lines: Vec<_> = states.iter().map(ToString::to_string).collect();
            to.send(lines.join("\n")).unwrap();
        };
        let mut manager = Manager::to(tell, watchdog, || ()).unwrap();
        manager.start(&Host { at: SECOND, workers: vec![11, 12], ..Host::default() });
        (manager, told)
    }

    /// All that was told until the end.
    fn ended(mut manager: Manager, told: &Receiver<String>) -> Vec<String> {
        manager.queue.push(Message::Stopping);
        assert_eq!(manager.queue.finish(Duration::from_secs(20)), 0, "all of it was told");
        told.try_iter().collect()
    }

    #[test]
    fn ready_comes_once_there_is_something_to_watch_and_stopping_at_the_end() {
        let (manager, told) = started(None);
        assert_eq!(ended(manager, &told), ["READY=1\nSTATUS=tracing 2 workers", "STOPPING=1"]);
    }

    #[test]
    fn signs_of_life_come_at_half_the_time_and_only_from_turns_of_the_loop() {
        let (mut manager, told) = started(Some(MINUTE));
        for second in [2, 30, 31, 32, 60, 61, 200] {
            // Statuses are not what this is about.
            manager.said = second * SECOND;
            manager.tick(second * SECOND);
        }
        let told = ended(manager, &told);
        // At 31, 61 and 200 s.
        assert_eq!(told[1..], ["WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]);
    }

    #[test]
    fn without_a_watchdog_there_is_no_sign_of_life() {
        let (mut manager, told) = started(None);
        (1..10).for_each(|second| manager.tick(second * SECOND));
        assert!(!ended(manager, &told).iter().any(|told| told.contains("WATCHDOG")));
    }

    #[test]
    fn the_status_says_how_it_goes() {
        let (mut manager, told) = started(None);
        manager.tick(10 * SECOND);
        manager.tick(11 * SECOND);
        manager.output(&Output::Failure(failure(1, &server(80))));
        manager.tick(20 * SECOND);
        manager.tick(21 * SECOND);
        let statuses = ["STATUS=no failed attempts", "STATUS=failed attempts: 1, the last one: port-refused"];
        assert_eq!(ended(manager, &told)[1..3], statuses);
    }

    #[test]
    fn a_manager_that_does_not_listen_holds_up_nothing() {
        let (go, wait) = channel::<()>();
        let tell = move |_: &[NotifyState<'_>]| {
            let _never_sent = wait.recv();
        };
        let mut manager = Manager::to(tell, Some(Duration::ZERO), || ()).unwrap();
        (0..100).for_each(|now| manager.tick(now));
        manager.finish().unwrap();
        assert!(manager.queue.lost() > 0);
        drop(go);
    }
}

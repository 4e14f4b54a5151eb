//! Failures as log events of OpenTelemetry, over HTTP.
//!
//! The event loop copies a verdict into a bounded queue. A thread makes batches, and tries again for as long as the
//! receiver is away; what does not fit the queue meanwhile, or is refused, is counted as lost at `otlp`.

mod answer;
mod client;
mod encode;
mod resource;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use anyhow::Result;
use upstream_trace_core::event::{Host, LossPlace};
use upstream_trace_core::verdict::{Output, Summary, Verdict};
use upstream_trace_read::output::{Extra, Sink};

use answer::Sent;
pub use client::Endpoint;
use client::{Client, Environment};
use encode::{Record, Run};

use super::handoff::{Handoff, Intake};

/// Verdicts that may wait: about 8 MB.
const WAITING: usize = 2_048;
/// Records of a request.
const BATCH: usize = 256;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// A batch is sent after this time, even if it is small.
    gather: Duration,
    /// For a request and its answer.
    request: Duration,
    /// Pause after the first failed request, and the longest one; each is twice the one before.
    pause: Duration,
    longest_pause: Duration,
    /// After that time a batch is given up.
    give_up: Duration,
    /// For the last batch, at the end.
    end: Duration,
}

const PACE: Pace = Pace {
    gather: Duration::from_secs(1),
    request: Duration::from_secs(10),
    pause: Duration::from_secs(1),
    longest_pause: Duration::from_secs(30),
    give_up: Duration::from_mins(5),
    end: Duration::from_millis(700),
};

enum Message {
    Start(Box<Host>),
    Failure(Box<Verdict>),
}

/// The sink.
pub struct Otlp {
    queue: Handoff<Message>,
    pace: Pace,
}

impl Otlp {
    /// Begins to send. `on_start` runs first on the thread.
    ///
    /// # Errors
    /// If certificates that the environment names cannot be read.
    pub fn open(endpoint: &Endpoint, on_start: fn()) -> Result<Self> {
        Self::start(endpoint, Environment::read(), PACE, on_start)
    }

    fn start(endpoint: &Endpoint, environment: Environment, pace: Pace, on_start: fn()) -> Result<Self> {
        let client = Client::new(endpoint, &environment, pace.request)?;
        let resource = environment.resource;
        let run = move |intake: Intake<Message>| {
            on_start();
            Exporter { client, resource, pace, intake, run: Run::default(), failing: false }.run();
        };
        Ok(Self { queue: Handoff::start("otlp", WAITING, run)?, pace })
    }
}

impl Sink for Otlp {
    fn start(&mut self, host: &Host) {
        self.queue.push(Message::Start(Box::new(host.clone())));
    }

    fn output(&mut self, output: &Output) {
        if let Output::Failure(verdict) = output {
            // Most of a verdict is its evidence, which is not sent.
            let verdict = Verdict { evidence: Vec::new(), ..verdict.clone() };
            self.queue.push(Message::Failure(Box::new(verdict)));
        }
    }

    fn lost(&self, to: &mut Vec<(LossPlace, u64)>) {
        to.push((LossPlace::Otlp, self.queue.lost()));
    }

    fn summary(&mut self, _summary: &Summary, _extra: &Extra) {}

    fn finish(&mut self) -> Result<()> {
        let before = self.queue.lost();
        let left = self.queue.finish(self.pace.end) + (self.queue.lost() - before);
        if left > 0 {
            log::warn!("{left} events could not be sent to the OTLP receiver before the end");
        }
        Ok(())
    }
}

/// What runs on the thread.
struct Exporter {
    client: Client,
    resource: Vec<(String, String)>,
    pace: Pace,
    intake: Intake<Message>,
    run: Run,
    /// The last request failed, and that was said.
    failing: bool,
}

impl Exporter {
    fn run(mut self) {
        loop {
            let batch = self.intake.batch(BATCH, self.pace.gather);
            if batch.is_empty() {
                return;
            }
            let mut records = Vec::with_capacity(batch.len());
            for message in batch {
                match message {
                    Message::Start(host) => {
                        self.run = Run::new(&host, &self.resource);
                        self.intake.delivered(1);
                    }
                    Message::Failure(verdict) => match self.run.record(&verdict) {
                        Ok(record) => records.push(record),
                        Err(error) => {
                            log::debug!("{error}");
                            self.intake.lose(1);
                        }
                    },
                }
            }
            if !records.is_empty() {
                self.deliver(&records);
            }
        }
    }

    fn deliver(&mut self, records: &[Record]) {
        let (count, begun) = (records.len() as u64, Instant::now());
        let request = self.run.request(records);
        let mut pause = self.pace.pause;
        loop {
            let (why, after) = match self.client.send(&request) {
                Sent::Taken(rejected) => {
                    let rejected = rejected.min(count);
                    self.intake.delivered(count - rejected);
                    self.intake.lose(rejected);
                    self.works_again();
                    return;
                }
                Sent::Refused(why) => {
                    self.fails(&why);
                    break;
                }
                Sent::Later(why, after) => (why, after),
            };
            self.fails(&why);
            let tired = begun.elapsed() >= self.pace.give_up;
            if tired || !self.intake.pause(after.unwrap_or(pause)) {
                break;
            }
            pause = (pause * 2).min(self.pace.longest_pause);
        }
        self.intake.lose(count);
    }

    fn fails(&mut self, why: &str) {
        if !std::mem::replace(&mut self.failing, true) {
            log::warn!(
                "the OTLP receiver does not take events: {why}; tracing goes on, and what is lost is counted"
            );
        }
    }

    fn works_again(&mut self) {
        if std::mem::take(&mut self.failing) {
            log::warn!("the OTLP receiver takes events again");
        }
    }
}

//! Metrics for Prometheus: served over HTTP, or written for the textfile collector of `node_exporter`.
//!
//! The event loop only counts. Whoever wants the text takes a copy of the numbers, which are bounded, and makes it of that
//! on a thread of its own.

mod file;
mod numbers;
mod samples;
mod server;
mod text;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use upstream_trace_core::event::{Event, Host};
use upstream_trace_core::verdict::{Output, Summary};
use upstream_trace_read::output::{Extra, Sink, Vitals};

use numbers::{Counter, Numbers};

/// For the last file to be written.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where metrics go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// They are served over HTTP, as `/metrics`.
    Listen(SocketAddr),
    /// They are written to this file.
    File(PathBuf),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.rsplit_once('.').is_some_and(|(name, end)| !name.is_empty() && end == "prom") {
            return Ok(Self::File(text.into()));
        }
        let error = "neither an address with a port (127.0.0.1:9944) nor a file that ends in .prom";
        text.parse().map(Self::Listen).map_err(|_| error.to_owned())
    }
}

/// The numbers, for all that count and show them. Nobody holds the lock for longer than a copy takes.
#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<Counter>>);

impl Shared {
    fn count(&self, count: impl FnOnce(&mut Counter)) {
        count(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn snapshot(&self) -> Numbers {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).numbers.clone()
    }
}

/// The sink.
#[derive(Debug)]
pub struct Metrics {
    shared: Shared,
    file: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Metrics {
    /// Begins to serve or to write. `on_start` runs first on each thread.
    ///
    /// # Errors
    /// If the address cannot be listened on, or the file cannot be written.
    pub fn open(target: &Target, on_start: fn()) -> Result<Self> {
        let shared = Shared::default();
        let file = match target {
            Target::Listen(address) => {
                let bound = server::serve(*address, shared.clone(), on_start)?;
                log::info!("serving metrics on http://{bound}/metrics");
                None
            }
            Target::File(path) => {
                let (end, ended) = channel();
                Some((end, file::keep(path.clone(), shared.clone(), ended, on_start)?))
            }
        };
        Ok(Self { shared, file })
    }
}

impl Sink for Metrics {
    fn start(&mut self, host: &Host) {
        self.shared.count(|counter| counter.start(host));
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Upstream(sample) => self.shared.count(|counter| counter.sample(sample)),
            Event::Config(config) => self.shared.count(|counter| counter.config(config)),
            _ => {}
        }
    }

    fn output(&mut self, output: &Output) {
        self.shared.count(|counter| counter.output(output));
    }

    fn vitals(&mut self, vitals: &Vitals) {
        self.shared.count(|counter| counter.numbers.vitals.clone_from(vitals));
    }

    fn summary(&mut self, _summary: &Summary, _extra: &Extra) {}

    /// The last numbers are written, unless the file system hangs.
    fn finish(&mut self) -> Result<()> {
        if let Some((end, thread)) = self.file.take() {
            drop(end);
            let until = Instant::now() + PATIENCE;
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_apart() {
        let listen = |text: &str| Target::Listen(text.parse().unwrap());
        assert_eq!("127.0.0.1:9944".parse(), Ok(listen("127.0.0.1:9944")));
        assert_eq!("[::1]:9944".parse(), Ok(listen("[::1]:9944")));
        assert_eq!("/var/lib/x.prom".parse(), Ok(Target::File("/var/lib/x.prom".into())));
        for wrong in ["9944", "localhost", "x.txt", "", ".prom"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }
}

//! nginx's own words, beside what the kernel says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::Notify;
use upstream_trace_core::event::{Event, LogLine, Nanos, Outputs};

use super::now;
use super::resolver::ResolverLook;
use crate::errorlog::{ErrorLog, Follower, LogOutput, Ready};
use crate::host::{WatchedPids, children, privileges, stat};

/// Logs that are slow without hanging, on a host without any processor to spare, are waited for so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// At the start they are waited for so long.
const PROMPT: Duration = Duration::from_millis(250);

/// The error logs of the watched processes.
pub(super) struct ErrorLogs {
    follower: Follower,
    asked: Instant,
    /// What the configuration says of syslog, by worker.
    syslog: Arc<BTreeMap<u32, Vec<String>>>,
    /// And of where logs go.
    outputs: Arc<BTreeMap<u32, Arc<Outputs>>>,
    /// Whether the kernel shows what nobody keeps; `None` if that was not tried.
    pub(super) writes: Option<bool>,
    /// Writes that look like lines, to where no `error_log` goes.
    passed_over: u64,
    /// Questions whose answer was not waited for any longer.
    late: u64,
    /// Lines from before this time are about attempts that nobody saw.
    since: Nanos,
    /// What was said beside them.
    kept: Vec<LogOutput>,
}

impl ErrorLogs {
    /// Lines are read from here on. `kernel_tells` is set once the kernel side shows who is asked for names.
    pub(super) fn open(
        source: &ErrorLog,
        watched: WatchedPids,
        kernel_tells: Arc<AtomicBool>,
        wake: &Arc<Notify>,
    ) -> Result<Self> {
        let wake = Arc::clone(wake);
        let ready = Ready {
            on_start: || {
                if let Err(error) = privileges::drop_capabilities() {
                    log::debug!("capabilities: {error:#}");
                }
            },
            line: Arc::new(move || {
                let mut look = ResolverLook::new(Arc::clone(&kernel_tells));
                Box::new(move |line: &mut LogLine| {
                    // Now, not when reading began: on a busy host there may be long between the two, and what was read
                    // is no older than this. A container's runtime knows better.
                    if line.source.is_none() {
                        line.at = now();
                    }
                    look.complete(line);
                })
            }),
            wake: Arc::new(move || wake.notify_one()),
        };
        let follower = Follower::open(source.clone(), watched, now(), ready)?;
        Ok(Self {
            follower,
            asked: Instant::now(),
            syslog: Arc::default(),
            outputs: Arc::default(),
            writes: None,
            passed_over: 0,
            late: 0,
            since: 0,
            kept: Vec::new(),
        })
    }

    /// From here on attempts are seen, from the time that is given back. Lines that were written before would be taken for those
    /// of the next ones.
    pub(super) fn begin(&mut self, watched: WatchedPids) -> Nanos {
        let since = now();
        self.ask(since, watched);
        self.kept = self.take_all(PROMPT);
        self.kept.retain(|said| line_of(said).is_none());
        self.since = since;
        since
    }

    /// All that is written until `known` is to be handed on.
    pub(super) fn ask(&mut self, known: Nanos, mut watched: WatchedPids) {
        self.asked = Instant::now();
        if self.syslog.keys().any(|worker| !watched.workers.contains(worker)) {
            Arc::make_mut(&mut self.syslog).retain(|worker, _| watched.workers.contains(worker));
        }
        if self.outputs.keys().any(|worker| !watched.workers.contains(worker)) {
            Arc::make_mut(&mut self.outputs).retain(|worker, _| watched.workers.contains(worker));
        }
        watched.syslog = Arc::clone(&self.syslog);
        watched.outputs = Arc::clone(&self.outputs);
        watched.writes = self.writes;
        self.follower.ask(known, watched);
    }

    /// The configuration says where lines go that go to no file.
    pub(super) fn notice(&mut self, event: &Event) {
        let Event::Config(config) = event else { return };
        let outputs = Arc::make_mut(&mut self.outputs);
        for worker in &config.older {
            outputs.remove(worker);
        }
        for worker in &config.workers {
            match &config.outputs {
                Some(known) => drop(outputs.insert(*worker, Arc::clone(known))),
                None => drop(outputs.remove(worker)),
            }
        }
        if config.syslog.is_empty() && self.syslog.is_empty() {
            return;
        }
        let syslog = Arc::make_mut(&mut self.syslog);
        for worker in config.workers.iter().chain(&config.older) {
            match config.syslog[..] {
                [] => drop(syslog.remove(worker)),
                [..] => drop(syslog.insert(*worker, config.syslog.clone())),
            }
        }
    }

    /// The same for the last time.
    pub(super) fn ask_last(&mut self, known: Nanos) {
        self.asked = Instant::now();
        self.follower.ask_last(known);
    }

    /// Some of what was read; to be called until there is nothing.
    pub(super) fn take(&mut self) -> Vec<LogOutput> {
        let mut taken = std::mem::take(&mut self.kept);
        loop {
            let read = self.follower.take();
            let at_end = read.is_empty();
            let seen = |said: &LogOutput| line_of(said).is_none_or(|line| line.at >= self.since);
            taken.extend(read.into_iter().filter(seen));
            if at_end || !taken.is_empty() {
                return taken;
            }
        }
    }

    /// What comes until the last question is answered, as long as that does not hang.
    pub(super) fn take_all(&mut self, limit: Duration) -> Vec<LogOutput> {
        self.follower.take_all(Instant::now() + limit)
    }

    /// Whether all that was asked for was handed on, or is not waited for any longer.
    pub(super) fn is_done(&mut self) -> bool {
        if self.follower.is_done() {
            return true;
        }
        let late = self.asked.elapsed() >= PATIENCE;
        self.late += u64::from(late);
        late
    }

    /// Whether a log of each worker is read.
    pub(super) fn tell(&self) -> bool {
        self.follower.tells()
    }

    /// Workers whose lines are read nowhere.
    pub(super) fn unread(&self) -> &[u32] {
        self.follower.unread()
    }

    /// Nobody else tells of the lines of this worker, as far as is known. One that is new writes where another worker of its
    /// master does; where there is none that is known, nobody reads it yet.
    pub(super) fn is_unread(&self, worker: u32) -> bool {
        let unread = self.follower.unread();
        if unread.contains(&worker) || self.follower.knows(worker) {
            return unread.contains(&worker);
        }
        sibling(worker, |other| self.follower.knows(other)).is_none_or(|sibling| unread.contains(&sibling))
    }

    /// Where the logs of this worker go, if that is known.
    pub(super) fn outputs(&self, worker: u32) -> Option<&Outputs> {
        self.outputs.get(&worker).map(|outputs| &**outputs)
    }

    /// Counts a write that looks like a line and is none; a sentence at the first, the tenth, the hundredth.
    pub(super) fn pass_over(&mut self, worker: u32) -> Option<String> {
        self.passed_over += 1;
        let count = self.passed_over;
        count.checked_ilog10().is_some_and(|digits| 10_u64.pow(digits) == count).then(|| {
            format!(
                "Worker {worker} writes what looks like a line of error.log to a pipe where no `error_log` goes, perhaps an \
                 access log that begins with a client's words: passed over, {count} so far."
            )
        })
    }

    /// How often something could not be read, or not in time.
    pub(super) fn lost(&self) -> u64 {
        self.follower.gaps() + self.late
    }
}

fn line_of(said: &LogOutput) -> Option<&LogLine> {
    let LogOutput::Event(event) = said else { return None };
    if let Event::Log(line) = &**event { Some(line) } else { None }
}

/// Another child of the same parent, of those that are known.
fn sibling(pid: u32, knows: impl Fn(u32) -> bool) -> Option<u32> {
    let parent = stat(pid)?.parent;
    children(parent).into_iter().find(|child| *child != pid && knows(*child))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_new_worker_is_known_by_another_one_of_its_master() {
        let mut started = [(); 2].map(|()| Command::new("sleep").arg("100").spawn().unwrap());
        let pids = started.each_ref().map(std::process::Child::id);
        assert_eq!(sibling(pids[0], |pid| pid == pids[1]), Some(pids[1]));
        assert_eq!(sibling(pids[0], |pid| pid == pids[0]), None);
        assert_eq!(sibling(std::process::id(), |pid| pids.contains(&pid)), None);
        for child in &mut started {
            child.kill().and_then(|()| child.wait()).unwrap();
        }
        assert_eq!(sibling(pids[0], |_| true), None);
    }
}

//! The tool as a process: its lines as they come, its status at the end.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use crate::pace::patient;
use crate::util::{alive, signal};

#[derive(Debug, Default)]
struct Lines {
    seen: Mutex<Vec<(Instant, String)>>,
    news: Condvar,
}

/// A running tool; killed on drop if it was not stopped.
#[derive(Debug)]
pub struct Tool {
    child: Child,
    began: Instant,
    lines: Arc<Lines>,
    readers: Vec<JoinHandle<()>>,
    errors: Arc<Lines>,
}

/// What a tool that ended has said.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// Lines of standard output, with the time since its start.
    pub lines: Vec<(Duration, String)>,
    /// Standard error.
    pub stderr: String,
}

impl Tool {
    /// Starts it; the environment says nothing about a terminal.
    pub fn start(path: &Path, args: &[String]) -> Result<Self> {
        let mut child = Command::new(path)
            .args(args)
            .args(depth(args))
            .env_remove("COLUMNS")
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", path.display()))?;
        let (lines, errors) = (Arc::<Lines>::default(), Arc::<Lines>::default());
        let out = child.stdout.take().context("stdout")?;
        let err = child.stderr.take().context("stderr")?;
        let readers = vec![read(out, Arc::clone(&lines)), read(err, Arc::clone(&errors))];
        Ok(Self { child, began: Instant::now(), lines, readers, errors })
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of standard output; gives the time it came.
    pub fn wait_line(&self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Option<(Instant, String)> {
        wait(&self.lines, limit, || alive(self.pid()), wanted)
    }

    /// Waits for a line of standard error.
    pub fn wait_error(&self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Option<(Instant, String)> {
        wait(&self.errors, limit, || alive(self.pid()), wanted)
    }

    /// Sends it a signal and waits until it has ended.
    pub fn stop(self, how: Signal) -> Result<Ended> {
        if alive(self.pid()) {
            signal(self.pid(), how)?;
        }
        self.wait(Duration::from_secs(5))
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self, limit: Duration) -> Result<Ended> {
        let (begin, limit) = (Instant::now(), patient(limit));
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if begin.elapsed() > limit {
                bail!("the tool did not end within {limit:?}\n{}", self.said());
            }
            thread::sleep(Duration::from_millis(5));
        };
        for reader in self.readers.drain(..) {
            let _panicked = reader.join();
        }
        let lines = take(&self.lines).into_iter().map(|(at, line)| (at - self.began, line)).collect();
        let stderr: Vec<String> = take(&self.errors).into_iter().map(|(_, line)| line).collect();
        Ok(Ended { status, lines, stderr: stderr.join("\n") })
    }

    /// All it has said until now.
    #[must_use]
    pub fn said(&self) -> String {
        let of = |lines: &Lines| take(lines).into_iter().map(|(_, line)| line + "\n").collect::<String>();
        format!("{}{}", of(&self.lines), of(&self.errors))
    }
}

/// The depth that the run of the lab is for, for a trace that names none.
fn depth(args: &[String]) -> Option<String> {
    // `prlimit` and `setpriv` may stand before it.
    let subcommand =
        |arg: &String| matches!(arg.as_str(), "report" | "redact" | "explain" | "doctor" | "config");
    let traces = args.first().is_some_and(|first| first.starts_with("--")) && !args.iter().any(subcommand);
    let names_one = args.iter().any(|arg| arg.starts_with("--depth"));
    let depth = std::env::var("UPSTREAM_TRACE_DEPTH").ok().filter(|_| traces && !names_one);
    depth.map(|depth| format!("--depth={depth}"))
}

impl Ended {
    /// All it has said.
    #[must_use]
    pub fn said(&self) -> String {
        let line = |(at, line): &(Duration, String)| format!("{:>9.3} {line}\n", at.as_secs_f64());
        let out: String = self.lines.iter().map(line).collect();
        format!("{out}{}\n{}", self.stderr, self.status)
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _already_gone = self.child.kill();
            let _already_gone = self.child.wait();
        }
    }
}

fn read(from: impl Read + Send + 'static, lines: Arc<Lines>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            lines.seen.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), line));
            lines.news.notify_all();
        }
    })
}

fn take(lines: &Lines) -> Vec<(Instant, String)> {
    lines.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn wait(
    lines: &Lines,
    limit: Duration,
    more: impl Fn() -> bool,
    wanted: impl Fn(&str) -> bool,
) -> Option<(Instant, String)> {
    let (begin, limit) = (Instant::now(), patient(limit));
    let mut read = 0;
    let mut seen = lines.seen.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(found) = seen[read..].iter().find(|(_, line)| wanted(line)) {
            return Some(found.clone());
        }
        read = seen.len();
        if begin.elapsed() >= limit || !more() {
            return None;
        }
        let (next, _) =
            lines.news.wait_timeout(seen, Duration::from_millis(50)).unwrap_or_else(PoisonError::into_inner);
        seen = next;
    }
}

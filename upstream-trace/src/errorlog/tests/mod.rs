//! The whole way, with a process whose open files can be told what to be.

mod rotation;
mod whole;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio, id};
use std::sync::atomic::{AtomicU32, Ordering};

use upstream_trace_core::event::{Event, LogLine, Nanos};

use super::{LogOutput, Logs};
use crate::errorlog::ErrorLog;
use crate::host::WatchedPids;

const SECOND: Nanos = 1_000_000_000;

/// A folder that is gone after the test.
pub(super) struct Dir(PathBuf);

impl Dir {
    pub(super) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("logs-{name}-{}-{number}", id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(super) fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A shell that opens files as it is told, in the place of a worker.
struct Worker {
    shell: Child,
    dir: Dir,
    steps: u32,
}

impl Worker {
    fn new(name: &str, script: &str) -> Self {
        let dir = Dir::new(name);
        let mut command = Command::new("sh");
        command.current_dir(&dir.0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut worker = Self { shell: command.spawn().unwrap(), dir, steps: 0 };
        worker.run(script);
        worker
    }

    /// Runs a command in the shell, and waits until that is done.
    fn run(&mut self, script: &str) {
        self.steps += 1;
        let done = format!("done-{}", self.steps);
        writeln!(self.shell.stdin.as_mut().unwrap(), "{script}\n: > {done}").unwrap();
        while !self.dir.path(&done).exists() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    fn watched(&self) -> WatchedPids {
        WatchedPids { workers: vec![self.shell.id()], ..WatchedPids::default() }
    }

    fn logs(&self) -> Logs {
        Logs::open(&ErrorLog::Auto, &self.watched(), 1).unwrap()
    }

    fn line(&self, message: &str) -> String {
        line(self.shell.id(), message)
    }

    fn log(&self, file: &str, message: &str) {
        self.dir.append(file, &self.line(message));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

fn line(pid: u32, message: &str) -> String {
    format!("2026/11/20 09:12:01 [error] {pid}#{pid}: *5 {message}\n")
}

fn tick(logs: &mut Logs, watched: &WatchedPids, now: Nanos) -> Vec<LogOutput> {
    let mut said = Vec::new();
    logs.tick(watched, now, &mut |what| said.push(what));
    said
}

fn events(said: &[LogOutput]) -> impl Iterator<Item = &Event> {
    said.iter().filter_map(|said| if let LogOutput::Event(event) = said { Some(&**event) } else { None })
}

fn lines(said: &[LogOutput]) -> Vec<LogLine> {
    events(said)
        .filter_map(|event| if let Event::Log(line) = event { Some(line.clone()) } else { None })
        .collect()
}

fn messages(said: &[LogOutput]) -> Vec<String> {
    lines(said).into_iter().map(|line| line.message).collect()
}

fn followed(said: &[LogOutput]) -> Vec<(bool, Option<String>)> {
    let followed = |event: &Event| match event {
        Event::LogFollowed(event) => Some((event.followed, event.level.clone())),
        _ => None,
    };
    events(said).filter_map(followed).collect()
}

fn notes(said: &[LogOutput]) -> Vec<&str> {
    said.iter()
        .filter_map(|said| if let LogOutput::Note(text) = said { Some(text.as_str()) } else { None })
        .collect()
}

//! nginx's own words, beside what the kernel says.

use std::mem;

use upstream_trace_core::event::{Event, LogLine, Nanos};
use upstream_trace_core::verdict::{Note, Output};

use super::{Live, now};
use crate::errorlog::LogOutput;
use crate::nginx::{self, SocketKind, SocketRole};

impl Live {
    /// Takes in what nginx wrote since the last time. To be called before the ring buffer is read: nginx writes the
    /// line before it closes the socket, and a tool that did not get to run for a while must not judge the attempt
    /// without it.
    pub(super) fn read_logs(&mut self) {
        let now = now();
        let mut logs = mem::take(&mut self.logs);
        let watched = self.nginx.watched();
        logs.tick(&watched, now, &mut |said| self.hear(said, now));
        self.logs = logs;
    }

    /// Takes in all that nginx wrote, at the end.
    pub(super) fn finish_logs(&mut self, now: Nanos) {
        let mut logs = mem::take(&mut self.logs);
        let watched = self.nginx.watched();
        logs.finish(&watched, now, &mut |said| self.hear(said, now));
    }

    fn hear(&mut self, said: LogOutput, at: Nanos) {
        match said {
            LogOutput::Event(mut event) => {
                // What was lost must be known before a line is taken for one without an attempt.
                self.heard = true;
                if let Event::Log(line) = &mut *event {
                    // Now, not when this turn began: on a busy host there may be long between the two, and what was
                    // read is no older than this.
                    line.at = now();
                    name_resolver(line);
                    self.on_connect_line(line);
                    if let Some(worker) = line.worker.filter(|_| about_names(&line.message)) {
                        let at = line.at;
                        self.names_of(worker, at);
                    }
                }
                self.feed(*event);
            }
            LogOutput::Note(text) => {
                let text = self.redactor.as_mut().map(|redactor| redactor.note(&text)).unwrap_or(text);
                self.say(&[Output::Note(Note { at, text })]);
            }
        }
    }
}

/// nginx does not say which name server failed it; it holds a socket to each that it asked.
fn name_resolver(line: &mut LogLine) {
    let Some(worker) = line.worker.filter(|_| line.resolver.is_none() && about_names(&line.message)) else {
        return;
    };
    let open = nginx::open_sockets(worker).unwrap_or_default();
    let mut asked: Vec<_> = open
        .iter()
        .filter(|socket| socket.role == SocketRole::Resolver)
        .filter_map(|socket| match &socket.kind {
            SocketKind::Udp(socket) | SocketKind::Tcp(socket) => Some(socket.remote),
            SocketKind::Unix { .. } => None,
        })
        .collect();
    asked.sort_unstable();
    asked.dedup();
    // Of several nobody can say which one it was.
    if let [only] = asked[..] {
        line.resolver = Some(only.to_string());
    }
}

fn about_names(message: &str) -> bool {
    message.contains("could not be resolved")
}

//! Lines of logs that nobody keeps where they could be read, seen when a worker writes them. The hook slows every system
//! call of the host where it is a tracepoint: it is attached only while there is such a log.

use std::fs;

use upstream_trace_common::LogWrite;
use upstream_trace_core::errorlog::{Wrapping, parse};
use upstream_trace_core::event::{Event, LogLine, LogSource, Nanos};
use upstream_trace_core::hooks::When;

use super::logs::ErrorLogs;
use crate::errorlog::{LogOutput, Whose, whose};
use crate::host::descriptor_path;
use crate::kernel::load::Kernel;

/// Attaches the hook while it is needed, and takes it away after.
///
/// With no worker at all it stays: nginx is started again, perhaps.
pub(super) fn poll(kernel: &mut Kernel, logs: &mut ErrorLogs, any_worker: bool) {
    let wanted = !logs.unread().is_empty();
    match logs.writes {
        None if wanted => {
            kernel.attach_late(When::OnLog);
            logs.writes = Some(kernel.has_late(When::OnLog));
        }
        Some(true) if !wanted && any_worker => {
            kernel.put_off(When::OnLog);
            logs.writes = None;
        }
        // A limit on the overhead took it away.
        Some(true) if !kernel.has_late(When::OnLog) => logs.writes = Some(false),
        _ => {}
    }
}

/// The line that a worker wrote, if its lines are read nowhere else; or what there is to say of it.
pub(super) fn line(write: &LogWrite, logs: &mut ErrorLogs) -> Option<LogOutput> {
    let worker = write.header.tgid;
    if !logs.is_unread(worker) {
        return None;
    }
    let text = write.text.get(..usize::from(write.len))?;
    let line = line_of(text, write.header.now_ns, worker)?;
    let outputs = logs.outputs(worker);
    let doubtful = match whose(worker, write.fd, outputs) {
        // A datagram, as the kernel side has made sure of.
        _ if text.starts_with(b"<") && is_socket(worker, write.fd) => {
            outputs.is_some_and(|outputs| outputs.severe)
        }
        Whose::Nginx => false,
        Whose::Doubtful => true,
        Whose::Other => return None,
        Whose::Nobody => return logs.pass_over(worker).map(LogOutput::Note),
    };
    Some(LogOutput::Event(Box::new(Event::Log(LogLine { doubtful, ..line }))))
}

fn line_of(text: &[u8], at: Nanos, worker: u32) -> Option<LogLine> {
    // Further lines are what an application wrote.
    let first = text.split(|byte| *byte == b'\n').next()?;
    let piece = Wrapping::Syslog.open(first);
    let line = piece.as_ref().map_or(first, |piece| &piece.text);
    let found = parse(line)?;
    let (after, source) = (at.saturating_sub(1), Some(LogSource::Write));
    Some(LogLine { at, after, worker: Some(worker), source, file: "write".to_owned(), ..found })
}

fn is_socket(pid: u32, fd: i32) -> bool {
    let link = fs::read_link(descriptor_path(pid, fd)).unwrap_or_default();
    link.to_str().is_some_and(|link| link.starts_with("socket:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "2026/11/20 09:12:01 [error] 7#7: *5 upstream timed out (110: Connection timed out)";

    #[test]
    fn a_line_and_a_datagram() {
        for text in [format!("{LINE}\n"), format!("<187>Nov 20 09:12:01 host nginx: {LINE}")] {
            let line = line_of(text.as_bytes(), 5, 1_007).unwrap();
            assert_eq!((line.at, line.after, line.worker, line.pid), (5, 4, Some(1_007), 7));
            assert_eq!((line.errno, line.source), (Some(110), Some(LogSource::Write)));
        }
        assert_eq!(line_of(b"", 5, 7), None);
        assert_eq!(line_of(b"<187>Nov 20 09:12:01 host nginx: hello", 5, 7), None);
    }

    #[test]
    fn what_an_application_wrote_behind_it_is_none() {
        let lua = format!("2026/11/20 09:12:01 [error] 7#7: *5 [lua] x.lua:1: x\n{LINE}\n");
        assert!(line_of(lua.as_bytes(), 5, 7).is_some_and(|line| line.message.starts_with("[lua]")));
    }
}

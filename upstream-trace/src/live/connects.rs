//! Errors of `connect()` itself, and unix connections.
//!
//! Where the kernel has nothing cheaper, only tracepoints of system calls show them, and those slow every system call of
//! the host (50 ns each, whatever the call). So they are attached only where they are needed: the one on `connect()` where
//! error.log does not tell (its line `connect() to 10.0.0.2:80 failed (101: ...)` has all that the hook would see), the
//! one on `close()` once there is a unix upstream. Unix connections themselves are taken over at what nginx first sends.

use std::net::SocketAddr;

use upstream_trace_common::{Record, flags, stats};
use upstream_trace_core::Bounded;
use upstream_trace_core::errno::{EACCES, EHOSTUNREACH, EINVAL, ENETDOWN, ENETUNREACH, EPERM};
use upstream_trace_core::errorlog;
use upstream_trace_core::event::{AttemptId, ConnectError, Event, LogLine, Nanos, Upstream};
use upstream_trace_core::hooks::When;

use super::context::{Batch, Context};
use super::now;
use super::origins::Origins;
use crate::host::netns;
use crate::kernel::load::Kernel;

/// Errors of TCP that come before the state changes; of the others the state hook tells.
const BEFORE_STATE: [i32; 6] = [EPERM, EACCES, EINVAL, ENETDOWN, ENETUNREACH, EHOSTUNREACH];

/// A line comes before the socket is closed; but both are read at different times.
const LINES_COME: u32 = 2;

/// Until then it is known who serves a new upstream, or will not be.
const ORIGINS_KNOWN: Nanos = 300_000_000;

/// What is attached late, and why.
#[derive(Debug)]
pub(super) struct Connects {
    hooks: Hooks,
    /// Since when the end of unix connections is seen.
    pub(super) unix: Option<Nanos>,
    unix_seen: Option<Nanos>,
    /// Lines about errors of `connect()` on TCP.
    told: u64,
    /// How often in a row more sockets were given up than lines came.
    unexplained: u32,
    /// Attempts that only a line told of.
    pub(super) numbered: u64,
    /// Told by lines that were just read, with the upstream that the line before named for the same client: the kernel
    /// side may have more to say of that time.
    waiting: Vec<(ConnectError, Option<Upstream>)>,
    /// What each worker last wrote of an upstream: the number of the client's connection, and the upstream.
    lines: Bounded<u32, (u64, Option<Upstream>)>,
    /// What last failed in each worker.
    failed: Bounded<u32, (AttemptId, Option<Upstream>, Nanos)>,
}

/// Who tells of errors of `connect()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hooks {
    /// Lines do.
    Off,
    /// The hooks are there, and lines that were written before are still to be read: these tell.
    Late {
        /// Since when the hooks are there.
        since: Nanos,
    },
    /// The hooks do, since then.
    On(Nanos),
}

/// Workers remembered; the one not heard of for longest makes room.
const MAX_WORKERS: usize = 1024;

/// nginx turns to the next peer at once; reading its lines and events takes a turn of ours.
const RETRY: Nanos = 500_000_000;

impl Connects {
    /// Attaches the hooks on `connect()` if error.log will not tell.
    pub(super) fn begin(kernel: &mut Kernel, log_tells: bool) -> Self {
        if !log_tells {
            kernel.attach_late(When::OnConnect);
        }
        let hooks = if kernel.puts_off(When::OnConnect) { Hooks::Off } else { Hooks::On(0) };
        Self::new(hooks)
    }

    fn new(hooks: Hooks) -> Self {
        Self {
            hooks,
            unix: None,
            unix_seen: None,
            told: 0,
            unexplained: 0,
            numbered: 0,
            waiting: Vec::new(),
            lines: Bounded::new(MAX_WORKERS),
            failed: Bounded::new(MAX_WORKERS),
        }
    }

    /// Lines are not needed any more.
    fn are_seen(&self) -> bool {
        matches!(self.hooks, Hooks::On(_))
    }

    /// Nobody watches what nginx sends any more. Where only that shows unix connections, their end need not be watched
    /// either, which would slow every system call of the host; what is known of them is forgotten.
    pub(super) fn leave_unix(&mut self, context: &mut Context) {
        let (had, puts_off) = (self.unix.take(), |context: &Context| context.kernel.puts_off(When::OnUnix));
        self.unix_seen = None;
        let before = puts_off(context);
        context.kernel.put_off(When::OnUnix);
        if had.is_some() && !before && puts_off(context) {
            let born_by_send = |record: &Record| record.flags & flags::UNIX != 0 && record.sock_inode != 0;
            let known: Vec<_> = context.tables.records().filter(born_by_send).collect();
            for record in known {
                context.tables.end(&record);
            }
        }
    }

    /// Attaches what shows the end of unix connections, once there is one; true if that was done.
    pub(super) fn look_for_unix(&mut self, now: Nanos, context: &mut Context, origins: &Origins) -> bool {
        if self.unix.is_some() || !context.tables.has_unix() {
            return false;
        }
        // Loading the hook takes a while, and an origin may crash meanwhile: first it must be known.
        let seen = *self.unix_seen.get_or_insert(now);
        if !origins.looked_since(seen) && now.saturating_sub(seen) < ORIGINS_KNOWN {
            return false;
        }
        context.kernel.attach_late(When::OnUnix);
        self.unix = Some(now);
        true
    }

    /// Once a second: attaches the hooks on `connect()` if error.log does not tell of every error.
    pub(super) fn poll(&mut self, context: &mut Context, logs_tell: bool) {
        if self.hooks != Hooks::Off {
            return;
        }
        let seen = context.tables.sums().map_or(0, |sums| sums[stats::UNCONNECTED as usize]);
        let silent = seen > self.told;
        self.unexplained = if silent { self.unexplained + 1 } else { 0 };
        if self.unexplained >= LINES_COME || !logs_tell {
            context.kernel.attach_late(When::OnConnect);
            self.hooks = Hooks::Late { since: now() };
        }
    }

    /// All lines that were written before `known` were read.
    pub(super) fn lines_are_read(&mut self, known: Nanos) {
        if matches!(self.hooks, Hooks::Late { since } if since < known) {
            self.hooks = Hooks::On(known);
        }
    }

    /// A line told of this error of `connect()` that a hook saw, or will.
    pub(super) fn is_told(&self, event: &Event) -> bool {
        match (event, self.hooks) {
            (Event::ConnectError(error), Hooks::On(since)) => error.at <= since,
            (Event::ConnectError(_), Hooks::Late { .. }) => true,
            _ => false,
        }
    }

    /// Keeps the attempt that a line is about, if no hook saw it.
    pub(super) fn line(&mut self, line: &LogLine) {
        let (Some(worker), Some(connection)) = (line.worker, line.connection) else { return };
        if line.upstream.is_none() || self.are_seen() {
            return;
        }
        let before = self.lines.get(&worker).filter(|(of, _)| *of == connection);
        let before = before.and_then(|(_, upstream)| upstream.clone());
        if let Some(error) = self.failed(line) {
            self.waiting.push((error, before));
        }
        let upstream = target(&line.message).or_else(|| errorlog::upstream_address(line));
        self.lines.insert(worker, (connection, upstream), line.at);
    }

    /// Tells of what was kept. What the kernel side said of that time has been heard by now, so that it is known which
    /// attempt failed before for the same client: this one is nginx's next try.
    pub(super) fn flush(&mut self, to: &mut Batch) {
        for (mut error, before) in std::mem::take(&mut self.waiting) {
            let failed = self.failed.get(&error.worker);
            error.retry_of = failed
                .filter(|(_, upstream, at)| before.is_some() && *upstream == before && error.at < at + RETRY)
                .map(|(id, ..)| *id);
            self.remember(error.worker, error.id, Some(&error.upstream), error.at);
            to.event(Event::ConnectError(error));
        }
    }

    /// Remembers which attempt of a worker failed last.
    pub(super) fn notice(&mut self, event: &Event) {
        if let Event::End(attempt) = event {
            self.remember(attempt.worker, attempt.id, attempt.upstream.as_ref(), attempt.seen);
        }
    }

    fn remember(&mut self, worker: u32, id: AttemptId, upstream: Option<&Upstream>, at: Nanos) {
        if self.are_seen() {
            return;
        }
        self.failed.insert(worker, (id, upstream.cloned(), at), at);
    }

    fn failed(&mut self, line: &LogLine) -> Option<ConnectError> {
        let (upstream, errno, worker) = (target(&line.message)?, line.errno?, line.worker?);
        let is_tcp = matches!(upstream, Upstream::Tcp(_));
        self.told += u64::from(is_tcp);
        if is_tcp && !BEFORE_STATE.contains(&errno) {
            return None;
        }
        self.numbered += 1;
        let id = AttemptId::connect_line(line.at, self.numbered);
        let netns = netns::inode_of(worker).unwrap_or(0);
        Some(ConnectError { netns, ..ConnectError::blank(id, line.at, worker, upstream, errno) })
    }
}

/// Where to, in nginx's words: `connect() to ADDRESS failed (`.
fn target(message: &str) -> Option<Upstream> {
    let (target, _) = message.strip_prefix("connect() to ")?.split_once(" failed (")?;
    match target.strip_prefix("unix:") {
        Some(path) => Some(Upstream::Unix(path.to_owned())),
        None => target.parse::<SocketAddr>().ok().map(Upstream::Tcp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_connect() {
        let tcp = |text: &str| Some(Upstream::Tcp(text.parse().unwrap()));
        let of =
            |to: &str| target(&format!("connect() to {to} failed (101: Network is unreachable) while x"));
        assert_eq!(of("10.0.0.2:80"), tcp("10.0.0.2:80"));
        assert_eq!(of("[2001:db8::1]:443"), tcp("[2001:db8::1]:443"));
        assert_eq!(of("unix:/run/app.sock"), Some(Upstream::Unix("/run/app.sock".to_owned())));
        assert_eq!(of("nonsense"), None);
        assert_eq!(target("connect() failed (111: Connection refused) while connecting to upstream"), None);
    }

    #[test]
    fn hooks_take_over_from_lines_once_those_before_them_are_read() {
        let mut connects = Connects::new(Hooks::Off);
        let error = |at| {
            let upstream = Upstream::Tcp("10.0.0.2:80".parse().unwrap());
            Event::ConnectError(ConnectError::blank(AttemptId::NONE, at, 7, upstream, 101))
        };
        assert!(!connects.is_told(&error(5)), "other hooks see some of them");
        connects.hooks = Hooks::Late { since: 10 };
        connects.lines_are_read(10);
        assert!(connects.is_told(&error(11)) && !connects.are_seen());
        connects.lines_are_read(20);
        assert!(connects.is_told(&error(20)) && !connects.is_told(&error(21)) && connects.are_seen());
    }
}

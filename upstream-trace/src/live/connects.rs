//! Errors of `connect()` itself, and unix connections.
//!
//! Where the kernel has nothing cheaper, only tracepoints of system calls show them, and those slow every system call of
//! the host (50 ns each, whatever the call). So they are attached only where they are needed: the one on `connect()` where
//! error.log does not tell (its line `connect() to 10.0.0.2:80 failed (101: ...)` has all that the hook would see), the
//! one on `close()` once there is a unix upstream. Unix connections themselves are taken over at what nginx first sends.

use std::net::SocketAddr;

use upstream_trace_common::stats;
use upstream_trace_core::Bounded;
use upstream_trace_core::errno::{EACCES, EHOSTUNREACH, EINVAL, ENETDOWN, ENETUNREACH, EPERM};
use upstream_trace_core::errorlog;
use upstream_trace_core::event::{AttemptId, ConnectError, Event, LogLine, Nanos, Upstream};

use super::stop::with_signals_blocked;
use super::{Live, now};
use crate::host::netns;
use crate::kernel::hooks::When;
use crate::kernel::load::Kernel;

/// Errors of TCP that come before the state changes; of the others the state hook tells.
const BEFORE_STATE: [i32; 6] = [EPERM, EACCES, EINVAL, ENETDOWN, ENETUNREACH, EHOSTUNREACH];

/// A line comes before the socket is closed; but both are read at different times.
const LINES_COME: u32 = 2;

/// Until then it is known who serves a new upstream, or will not be.
const ORIGINS_KNOWN: Nanos = 300_000_000;

/// What is attached late, and why.
#[derive(Debug)]
pub struct Connects {
    attached: bool,
    /// Since when the end of unix connections is seen.
    pub(super) unix: Option<Nanos>,
    unix_seen: Option<Nanos>,
    /// Lines about errors of `connect()` on TCP.
    told: u64,
    /// How often in a row more sockets were given up than lines came.
    unexplained: u32,
    /// Attempts that only a line told of.
    pub(super) numbered: u64,
    /// Of what happened until then lines told.
    pub(super) since: Nanos,
    /// Told by lines that were just read, with the upstream that the line before named for the same client: the kernel
    /// side may have more to say of that time.
    waiting: Vec<(ConnectError, Option<Upstream>)>,
    /// What each worker last wrote of an upstream: the number of the client's connection, and the upstream.
    lines: Bounded<u32, (u64, Option<Upstream>)>,
    /// What last failed in each worker.
    failed: Bounded<u32, (AttemptId, Option<Upstream>, Nanos)>,
}

/// Workers remembered; the one not heard of for longest makes room.
const MAX_WORKERS: usize = 1024;

/// nginx turns to the next peer at once; reading its lines and events takes a turn of ours.
const RETRY: Nanos = 500_000_000;

impl Default for Connects {
    fn default() -> Self {
        Self {
            attached: false,
            unix: None,
            unix_seen: None,
            told: 0,
            unexplained: 0,
            numbered: 0,
            since: 0,
            waiting: Vec::new(),
            lines: Bounded::new(MAX_WORKERS),
            failed: Bounded::new(MAX_WORKERS),
        }
    }
}

impl Connects {
    /// Attaches the hooks on `connect()` if error.log will not tell.
    pub fn begin(kernel: &mut Kernel, log_tells: bool) -> Self {
        if !log_tells {
            kernel.attach_late(When::OnConnect);
        }
        Self { attached: !kernel.puts_off(When::OnConnect), ..Self::default() }
    }
}

impl Live {
    /// Attaches what shows the end of unix connections, once there is one.
    pub(super) fn look_for_unix(&mut self, now: Nanos) {
        if self.connects.unix.is_some() || !self.tables.has_unix() {
            return;
        }
        // Loading the hook takes a while, and an origin may crash meanwhile: first it must be known.
        let seen = *self.connects.unix_seen.get_or_insert(now);
        if !self.origins.looked_since(seen) && now.saturating_sub(seen) < ORIGINS_KNOWN {
            return;
        }
        with_signals_blocked(|| self.kernel.attach_late(When::OnUnix));
        self.connects.unix = Some(now);
        // What ended before it was there.
        self.scan.soon();
    }

    /// Attaches the hooks on `connect()`.
    fn watch_connects(&mut self) {
        if !self.connects.attached {
            with_signals_blocked(|| self.kernel.attach_late(When::OnConnect));
            // Until here lines tell, from here on the hooks do.
            self.read_logs();
            self.connects.attached = true;
            self.connects.since = now();
        }
    }

    /// Once a second: whether error.log tells of every error of `connect()`.
    pub(super) fn check_connects(&mut self) {
        if self.connects.attached {
            return;
        }
        let seen = self.tables.sums().map_or(0, |sums| sums[stats::UNCONNECTED as usize]);
        let silent = seen > self.connects.told;
        self.connects.unexplained = if silent { self.connects.unexplained + 1 } else { 0 };
        if self.connects.unexplained >= LINES_COME || !self.logs.tells_of(&self.nginx.worker_pids()) {
            self.watch_connects();
        }
    }

    /// Keeps the attempt that a line is about, if no hook saw it.
    pub(super) fn on_connect_line(&mut self, line: &LogLine) {
        let (Some(worker), Some(connection)) = (line.worker, line.connection) else { return };
        if line.upstream.is_none() || self.connects.attached {
            return;
        }
        let before = self.connects.lines.get(&worker).filter(|(of, _)| *of == connection);
        let before = before.and_then(|(_, upstream)| upstream.clone());
        if let Some(error) = self.connect_failed(line) {
            self.connects.waiting.push((error, before));
        }
        let upstream = target(&line.message).or_else(|| errorlog::upstream_address(line));
        self.connects.lines.insert(worker, (connection, upstream), line.at);
    }

    /// Tells of what was kept. What the kernel side said of that time has been heard by now, so that it is known which
    /// attempt failed before for the same client: this one is nginx's next try.
    pub(super) fn flush_connect_errors(&mut self) {
        for (mut error, before) in std::mem::take(&mut self.connects.waiting) {
            let failed = self.connects.failed.get(&error.worker);
            error.retry_of = failed
                .filter(|(_, upstream, at)| before.is_some() && *upstream == before && error.at < at + RETRY)
                .map(|(id, ..)| *id);
            self.remember_failure(error.worker, error.id, Some(&error.upstream), error.at);
            self.event(Event::ConnectError(error));
        }
    }

    /// An attempt of this worker failed.
    pub(super) fn remember_failure(
        &mut self,
        worker: u32,
        id: AttemptId,
        upstream: Option<&Upstream>,
        at: Nanos,
    ) {
        if self.connects.attached {
            return;
        }
        self.connects.failed.insert(worker, (id, upstream.cloned(), at), at);
    }

    fn connect_failed(&mut self, line: &LogLine) -> Option<ConnectError> {
        let (upstream, errno, worker) = (target(&line.message)?, line.errno?, line.worker?);
        let is_tcp = matches!(upstream, Upstream::Tcp(_));
        self.connects.told += u64::from(is_tcp);
        if is_tcp && !BEFORE_STATE.contains(&errno) {
            return None;
        }
        self.connects.numbered += 1;
        Some(ConnectError {
            id: AttemptId::connect_line(line.at, self.connects.numbered),
            at: line.at,
            retry_of: None,
            worker,
            netns: netns::inode_of(worker).unwrap_or(0),
            upstream,
            errno,
            took: 0,
            had_syn_sent: false,
        })
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
}

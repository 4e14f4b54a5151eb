//! Finds attempts that are stuck without anything happening: no packet lost, no error, just no answer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use upstream_trace_common::{Disposition, EndFacts, Record, flags};
use upstream_trace_core::event::{Attempt, AttemptId, Event, Nanos, Socket, Upstream};

use super::context::{Batch, Context};
use super::unwatched::{Answered, Stuck, Unwatched};
use crate::host::netns;
use crate::kernel::tables;
use crate::netlink::diag::Diag;
use crate::nginx;

/// Between two scans.
const INTERVAL: Duration = Duration::from_millis(250);

/// Before a scan that is due soon.
const SOON: Duration = Duration::from_millis(40);

/// A scan of many connections takes long; it must not take more than this part of the time.
const SHARE: u32 = 50;

/// A stuck attempt is looked at again after this time.
const AGAIN: Nanos = 1_000_000_000;

/// Looking at a descriptor costs a system call: only for connections on which nothing happened for this long.
const QUIET: Nanos = 1_000_000_000;

/// Stuck attempts that are looked at in one scan; one upstream that hangs makes them all alike.
const MOST: usize = 256;

/// When to scan next.
#[derive(Debug)]
pub(super) struct Scan {
    due: Instant,
    /// When a stuck attempt was last looked at closely.
    looked: HashMap<AttemptId, Nanos>,
    unwatched: Unwatched,
}

impl Scan {
    /// The first scan is due at once.
    pub(super) fn new() -> Self {
        Self { due: Instant::now(), looked: HashMap::new(), unwatched: Unwatched::new() }
    }

    /// Scans once what has just begun to be watched had time to be seen.
    pub(super) fn soon(&mut self) {
        self.due = self.due.min(Instant::now() + SOON);
    }

    fn is_due(&self, id: AttemptId, now: Nanos) -> bool {
        self.looked.get(&id).is_none_or(|at| now.saturating_sub(*at) >= AGAIN)
    }

    /// Scans at the next turn: the last one.
    pub(super) fn now(&mut self) {
        self.due = Instant::now();
        self.unwatched.now();
    }

    /// Looks for stuck attempts if it is time. The end of unix connections is seen since `closes`.
    pub(super) fn poll(&mut self, now: Nanos, closes: Option<Nanos>, context: &mut Context, to: &mut Batch) {
        if Instant::now() < self.due {
            return;
        }
        let begun = Instant::now();
        let (slow, mut stuck, mut vanished) = (context.slow, Vec::new(), Vec::new());
        let (io, looks) = (context.tables.io_since(), self.unwatched.is_due());
        for mut record in context.tables.records() {
            if io == 0 || record.io_since != io {
                // What was noted is void.
                record.flags &= !flags::OUTSTANDING;
                if looks {
                    self.unwatched.add(&record, now, slow);
                }
            }
            if has_vanished(&record, now) || is_over(&record, closes, now) {
                vanished.push(record);
            } else if stuck.len() < MOST
                && is_stuck(&record, now, slow)
                && self.is_due(AttemptId::from_kernel(record.id), now)
            {
                stuck.push(record);
            }
        }
        for record in vanished {
            to.events.extend(end_of(record, now, context).map(Event::End));
        }
        self.looked.retain(|_, at| now.saturating_sub(*at) <= 2 * AGAIN);
        self.report_stuck(stuck, now, context, to);
        if looks {
            let seen = self.unwatched.look(now, slow);
            for Answered { failed, retry, remote } in seen.answered {
                to.event(Event::RetryAnswered {
                    at: now,
                    failed: AttemptId::from_kernel(failed),
                    retry: AttemptId::from_kernel(retry),
                    upstream: Some(Upstream::Tcp(remote)),
                });
            }
            for Stuck { sk, id, attempt } in seen.stuck {
                if self.is_due(attempt.id, now) {
                    self.looked.insert(attempt.id, now);
                    context.tables.announce(sk, id);
                    to.event(Event::Trouble(attempt));
                }
            }
        }
        self.due = begun + INTERVAL.max(begun.elapsed() * SHARE);
    }

    fn report_stuck(&mut self, stuck: Vec<Record>, now: Nanos, context: &mut Context, to: &mut Batch) {
        let mut diags: HashMap<u32, Option<Diag>> = HashMap::new();
        for mut record in stuck {
            record.header.now_ns = now;
            let Some(mut attempt) = context.attempt(&record) else { continue };
            let diag = diags
                .entry(attempt.netns)
                .or_insert_with(|| netns::run_in(attempt.worker, Diag::open).and_then(|diag| diag).ok());
            if let (Some(diag), Some(local), Some(Upstream::Tcp(remote))) =
                (diag, attempt.local, &attempt.upstream)
            {
                match fresh(diag, local, *remote, now) {
                    Some(socket) => {
                        let sequence = attempt.socket.sequence_at(&socket);
                        attempt.socket = Socket { sequence, ..socket };
                    }
                    // It has just ended; its record is on the way.
                    None => continue,
                }
            }
            self.looked.insert(AttemptId::from_kernel(record.id), now);
            context.tables.announce(record.sk, record.id);
            to.event(Event::Trouble(attempt));
        }
    }
}

/// Ends a unix connection whose end no hook saw; the attempt if that failed.
fn end_of(mut record: Record, now: Nanos, context: &mut Context) -> Option<Attempt> {
    record.header.now_ns = now;
    record.end = record.unseen_end() as u8;
    let disposition = EndFacts::of(&record, now).disposition();
    if !context.tables.end(&record) || disposition != Disposition::Report {
        return None;
    }
    context.attempt(&record)
}

/// A request without an answer, or a handshake without an end, for longer than `slow`.
fn is_stuck(record: &Record, now: Nanos, slow: Nanos) -> bool {
    let waits_since = if record.flags & flags::OUTSTANDING != 0 {
        // A request that is being sent piece by piece is not stuck.
        record.request_ns.max(record.last_send_ns)
    } else if record.flags & flags::ESTABLISHED == 0 {
        record.born_ns
    } else {
        return false;
    };
    now.saturating_sub(waits_since) >= slow
}

/// A unix connection that nginx learnt the end of, so that it has closed it, while no hook saw that. The hook sees it if
/// it was attached (since `closes`) when the connection began, and knows its descriptor.
fn is_over(record: &Record, closes: Option<Nanos>, now: Nanos) -> bool {
    let seen = record.fd >= 0 && closes.is_some_and(|since| record.born_ns > since);
    record.learnt_of_end() && (!seen || is_quiet(record, now))
}

/// Nothing happened for a while.
fn is_quiet(record: &Record, now: Nanos) -> bool {
    let last = record.born_ns.max(record.last_send_ns).max(record.last_recv_ns);
    now.saturating_sub(last) > QUIET
}

/// A unix connection that was quiet for a while, and whose descriptor is gone.
fn has_vanished(record: &Record, now: Nanos) -> bool {
    record.flags & flags::UNIX != 0
        && record.fd >= 0
        && is_quiet(record, now)
        && !tables::descriptor_exists(record.tgid, record.fd, record.sock_inode)
}

/// What the socket knows now; the record has it as of the last event.
fn fresh(diag: &mut Diag, local: SocketAddr, remote: SocketAddr, now: Nanos) -> Option<Socket> {
    let socket = diag.tcp_socket(local, remote).ok()??;
    Some(nginx::numbers(&socket.info.unwrap_or_default(), &socket, now))
}

//! Names that nginx looks up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use upstream_trace_common::DnsMessage;
use upstream_trace_core::dns::{Exchange, Tracker};
use upstream_trace_core::event::{Event, Nanos};

use super::context::Batch;
use crate::kernel::decode;

/// What crosses the sockets to name servers, put together.
#[derive(Default)]
pub(super) struct Dns {
    tracker: Tracker,
    /// The kernel side shows who is asked: nobody else has to find out.
    seen: Arc<AtomicBool>,
}

impl Dns {
    /// Whether the kernel side has shown messages to name servers.
    pub(super) fn seen(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.seen)
    }

    /// The hooks that show them are gone.
    pub(super) fn is_blind(&mut self) {
        self.seen.store(false, Ordering::Relaxed);
        self.tracker.forget_unreported();
    }

    /// Something crossed a socket to a name server.
    pub(super) fn message(&mut self, message: &DnsMessage, to: &mut Batch) {
        let Some(server) = decode::socket_addr(&message.server) else { return };
        self.seen.store(true, Ordering::Relaxed);
        let is = |bit: u16| message.how & bit != 0;
        let exchange = Exchange {
            at: message.header.now_ns,
            worker: message.header.tgid,
            netns: message.netns,
            server,
            tcp: is(DnsMessage::TCP),
            sent: is(DnsMessage::SENT),
            for_client: is(DnsMessage::FOR_CLIENT),
            result: message.result,
            payload: message.payload.get(..usize::from(message.len)).unwrap_or_default(),
        };
        to.events.extend(self.tracker.on(&exchange).into_iter().map(Event::Lookup));
    }

    /// Tells how the lookups of a worker stand, before its line about one of them.
    pub(super) fn before_line(&mut self, worker: u32, at: Nanos, to: &mut Batch) {
        to.events.extend(self.tracker.of(worker, at).into_iter().map(Event::Lookup));
    }

    /// Tells of names that have been looked up for longer than `slow`.
    pub(super) fn poll(&mut self, now: Nanos, slow: Nanos, to: &mut Batch) {
        to.events.extend(self.tracker.tick(now, slow).into_iter().map(Event::Lookup));
    }

    /// Lookups for which there was no room.
    pub(super) fn lost(&self) -> u64 {
        self.tracker.lost
    }
}

//! Names that nginx looks up.

use upstream_trace_common::DnsMessage;
use upstream_trace_core::dns::Exchange;
use upstream_trace_core::event::{Event, Nanos};

use super::Live;
use crate::kernel::decode;

impl Live {
    /// Something crossed a socket to a name server.
    pub(super) fn on_dns_message(&mut self, message: &DnsMessage) {
        let Some(server) = decode::socket_addr(&message.server) else { return };
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
        if let Some(lookup) = self.names.on(&exchange) {
            self.feed(Event::Lookup(lookup));
        }
    }

    /// Tells of names that have been looked up for long.
    pub(super) fn look_at_names(&mut self, now: Nanos) {
        for lookup in self.names.tick(now, self.slow) {
            self.feed(Event::Lookup(lookup));
        }
    }

    /// Tells how the lookups of a worker stand, before its line about one of them.
    pub(super) fn names_of(&mut self, worker: u32, now: Nanos) {
        for lookup in self.names.of(worker, now) {
            self.feed(Event::Lookup(lookup));
        }
    }
}

//! Which rule of a firewall dropped a packet.

use upstream_trace_core::event::{Event, Fact, Nanos, PacketDrop, Route, Upstream};

use super::{Live, now};
use crate::host::netns;

impl Live {
    /// Looks up the rules that may have dropped this packet.
    pub(super) fn ruled(&mut self, packet: &PacketDrop) {
        let now = now();
        let (nginx, enricher) = (&self.nginx, &mut self.enricher);
        let process = |inode: u32| {
            let own = std::process::id();
            let mut pids = nginx.worker_pids().into_iter().chain([own]);
            pids.find(|pid| inode == 0 || netns::inode_of(*pid) == Some(inode))
        };
        let device = |pid: u32, to| {
            let facts = enricher.facts(pid, packet.netns, &Upstream::Tcp(to), now)?.facts;
            facts.into_iter().find_map(|fact| match fact {
                Fact::Route(Route::Found { local: true, .. }) => Some("lo".to_owned()),
                Fact::Route(Route::Found { interface, .. }) => interface,
                _ => None,
            })
        };
        for rules in self.rulesets.dropped(packet, now, process, device) {
            self.feed(Event::Rules(rules));
        }
    }

    /// Tells of rulesets that took longer to read.
    pub(super) fn poll_rules(&mut self, now: Nanos) {
        for rules in self.rulesets.poll(now) {
            self.feed(Event::Rules(rules));
        }
    }
}

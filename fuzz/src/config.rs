//! Files of nginx's configuration.

use upstream_trace::nginx::config::fuzz;
use upstream_trace_core::event::{AttemptId, Event, Upstream};
use upstream_trace_core::{Engine, event::Attempt};

use crate::Target;

/// Takes such a file; what follows a zero is `/etc/hosts`.
pub(crate) const TARGET: Target = Target::of_bytes("config", run);

fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (text, hosts) = text.split_once('\0').unwrap_or((&text, ""));
    let (config, _) = fuzz::config(text, hosts);
    for group in config.groups.iter().flat_map(|group| &group.servers) {
        assert!(group.target.addresses.is_empty() || group.target.port.is_none(), "{group:?}");
    }
    // Names and timeouts are looked up for an attempt at each address, and nothing else changes.
    let addresses = config.groups.iter().flat_map(|group| &group.servers).flat_map(|s| &s.target.addresses);
    let upstreams: Vec<Upstream> = addresses.take(4).cloned().collect();
    let mut engine = Engine::new();
    engine.on(Event::Config(Box::new(config)));
    for (id, upstream) in (1..).zip(upstreams) {
        engine.on(Event::End(Attempt::blank(AttemptId::lookup(id), 1, 7, Some(upstream))));
    }
    let _ = engine.finish();
}

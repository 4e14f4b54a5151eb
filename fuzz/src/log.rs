//! Lines of error.log: their words are those of clients and upstreams.

use upstream_trace_core::event::LogLine;
use upstream_trace_core::log;

use crate::Target;

/// Takes lines.
pub(crate) const TARGET: Target = Target::of_bytes("log", run);

fn run(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Some(line) = log::parse(line) {
            check(&line);
        }
    }
}

fn check(line: &LogLine) {
    let texts = [
        &line.client,
        &line.server,
        &line.request,
        &line.subrequest,
        &line.upstream,
        &line.host,
        &line.resolver,
    ];
    let texts = texts.into_iter().flatten().chain([&line.message, &line.time, &line.level]);
    for text in texts.chain(&line.action) {
        assert!(!text.chars().any(char::is_control), "a control character in {text:?}");
    }
    let _ = (log::kind(line), log::doing(line), log::upstream_group(line));
    if let Some(upstream) = log::upstream_address(line) {
        assert!(log::fits(line, &upstream), "{line:?} names {upstream} and does not fit it");
    }
}

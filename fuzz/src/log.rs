//! Lines of error.log: their words are those of clients and upstreams.

use upstream_trace_core::errorlog;
use upstream_trace_core::event::LogLine;

use crate::Target;

/// Takes lines.
pub(crate) const TARGET: Target = Target::of_bytes("log", run);

fn run(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Some(line) = errorlog::parse(line) {
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
    let _ = (errorlog::kind(line), errorlog::doing(line), errorlog::upstream_group(line));
    if let Some(upstream) = errorlog::upstream_address(line) {
        assert!(errorlog::fits(line, &upstream), "{line:?} names {upstream} and does not fit it");
    }
}

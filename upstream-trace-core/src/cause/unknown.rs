//! The evidence fits no cause.

use super::{Cause, Finding, NginxTimer, Signal};
use crate::case::Case;
use crate::errno;
use crate::hooks::Concerns;
use crate::text::sentence;

/// Its id.
pub(super) const ID: &str = "unknown";

pub(super) const CAUSE: Cause = Cause {
    id: ID,
    reason: None,
    title: "the evidence fits no known cause",
    means: "The attempt failed, and the evidence fits no cause, or what would decide was not seen. A wrong \
            cause is worse than none.",
    told_apart: "The summary names the missing evidence: hooks that this kernel refuses, lost events, a \
                 connection that was open before the tool started.",
    fix: "Compare with nginx's error.log at that time. `upstream-trace doctor` shows which evidence this host \
          withholds.",
    by_nginx_timer: NginxTimer::WholeSeconds,
    judge,
    ..Cause::BLANK
};

#[allow(clippy::unnecessary_wraps, reason = "signature of all recognisers; this one always finds itself")]
fn judge(case: &Case<'_>) -> Option<Finding> {
    if case.line_only {
        return Some(Finding::possible(format!(
            "nginx logged about {}: {}. Nothing else was seen of that attempt.",
            case.target(),
            case.log_words()
        )));
    }
    if case.errno() == Some(errno::ECONNABORTED) && case.ended_by_origin().is_none() {
        return Some(Finding::possible(format!(
            "The kernel ended nginx's own side of the connection to {} with {}: somebody on this host, or a BPF program, did \
             that from outside of nginx (`ss -K`), neither nginx nor the origin.",
            case.target(),
            errno::text(errno::ECONNABORTED)
        )));
    }
    let errno = case.errno().map(|errno| format!(" with {}", errno::text(errno))).unwrap_or_default();
    let state = if case.pending() { "is in trouble" } else { "failed" };
    let missing = missing(case);
    let missing =
        if missing.is_empty() { String::new() } else { format!(" Missing: {}.", missing.join("; ")) };
    Some(Finding::possible(format!(
        "The attempt to {} {state}{errno}; the evidence fits no known cause.{missing}",
        case.target()
    )))
}

/// What would have told more.
fn missing(case: &Case<'_>) -> Vec<String> {
    let mut missing = Vec::new();
    if case.lossy {
        missing.push("events were lost at that time".to_owned());
    }
    if case.attempt.adopted {
        missing.push("what happened before tracing started".to_owned());
    }
    if case.attempt.trail_lost > 0 {
        missing.push(format!("{} steps of the attempt", case.attempt.trail_lost));
    }
    for hook in case.missing_hooks().filter(|hook| would_have_told(case, &hook.name)) {
        let costs = hook.costs.as_ref().map(|costs| format!(" ({costs})")).unwrap_or_default();
        missing.push(sentence(&format!("hook {}{costs}", hook.name)).into_owned());
    }
    missing
}

/// The hook gives a signal that concerns such an attempt, and that no other hook gives.
fn would_have_told(case: &Case<'_>, hook: &str) -> bool {
    let signals = Signal::of_hook(hook);
    // A hook of another release: nobody knows.
    signals.is_empty() || signals.iter().any(|signal| case.lacks(*signal) && concerns(case, *signal))
}

fn concerns(case: &Case<'_>, signal: Signal) -> bool {
    let at_once = case.connect.is_some();
    match signal.concerns() {
        Concerns::All => true,
        Concerns::Nobody => false,
        Concerns::Tcp => case.tcp(),
        // What a connection that failed at once, or is none of TCP, never had.
        Concerns::TcpBegun => case.tcp() && !at_once,
        Concerns::TcpConnecting => case.tcp() && case.connecting(),
        Concerns::Unix => case.unix(),
        Concerns::AtOnce => at_once || case.line_only,
        Concerns::Connected => !at_once && !case.connecting(),
        Concerns::NotConnecting => !case.connecting(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Hook;
    use crate::testkit::{connect_error, expect};
    use crate::verdict::Confidence;

    #[test]
    fn it_names_the_missing_evidence() {
        let error = connect_error(12);
        let hooks = [Hook {
            name: "kfree_skb".to_owned(),
            kind: "tp_btf".to_owned(),
            attached: false,
            why: None,
            costs: None,
        }];
        let mut case = Case::of_connect_error(&error);
        case.hooks = &hooks;
        case.lossy = true;
        expect(&case, "unknown", Confidence::Possible);
        let summary = judge(&case).expect("always").summary;
        assert!(
            summary.contains("ENOMEM") && summary.contains("hook kfree_skb") && summary.contains("lost"),
            "{summary}"
        );
    }

    #[test]
    fn a_hook_that_would_not_have_told_is_not_named() {
        let error = connect_error(12);
        let hook = |name: &str| Hook {
            name: name.to_owned(),
            kind: "tp_btf".to_owned(),
            attached: false,
            why: None,
            costs: None,
        };
        let hooks = [hook("sock_send_length"), hook("sched_process_fork"), hook("tcp_send_reset")];
        let mut case = Case::of_connect_error(&error);
        case.hooks = &hooks;
        let summary = judge(&case).expect("always").summary;
        assert!(!summary.contains("sock_send_length") && !summary.contains("fork"), "{summary}");
        assert!(summary.contains("tcp_send_reset"), "{summary}");
    }
}

//! What only depth can tell: what is expected of `--depth watch` in place of what a scenario asks for. docs/DEPTH.md has
//! the same list, sentence by sentence.

use std::env;

use super::Limit;

/// All of it; of several that touch a scenario the first counts.
pub const ONLY_DEPTH: &[Limit] = &[
    Limit {
        why: "Error statuses are not seen, and an error status in answer to a retry counts as an answer.",
        scenarios: &["upstream-error-status"],
        unseen: true,
        fields: &["recovered"],
        ..WATCH
    },
    Limit {
        why: "Unix sockets keep nothing that tells whether a request was under way, nor whom it went to: failures are \
              known from error.log only, as `unknown` where its words name no cause.",
        scenarios: &[
            "not-accepted/unix",
            "not-reading/unix",
            "slow-response/unix",
            "slow-body/unix",
            "stale-keepalive/unix",
            "backend-crashed/unix",
            "pending/silent-origin-unix",
            "origins/who-listened-on-a-socket",
            "software/php-fpm",
        ],
        instead: &["unknown", "slow-response", "premature-close", "reset-by-backend"],
        unseen: true,
        fields: &["summary"],
        ..WATCH
    },
    Limit {
        why: "A line about a unix socket is not joined to an attempt: the line is all there is.",
        scenarios: &["log/timeout-unix"],
        fields: &["log_lines"],
        ..WATCH
    },
    Limit {
        why: "Attempts over unix sockets are counted only where the kernel allows fentry or kprobes.",
        scenarios: &["healthy/answers-unix", "load/unix"],
        fields: &["attempts"],
        ..WATCH
    },
    Limit {
        why: "Bytes of TLS are not seen: without error.log a handshake that an alert ended, or what is no TLS, is not told \
              of, and the evidence has no alert.",
        scenarios: &["tls-handshake-failed", "invalid-response/plain-http-on-tls"],
        unseen: true,
        ..WATCH
    },
    Limit {
        why: "Over TLS only the configuration and error.log tell a handshake from a request: such a verdict is less sure, and \
              without error.log a request that nginx gives up is not told of if it followed its handshake within a tick of \
              the kernel's clock. It is `unknown` if the origin answers nginx's goodbye at once.",
        scenarios: &["slow-response/tls"],
        unseen: true,
        ..WATCH
    },
    Limit {
        why: "The evidence of a TLS handshake that was cut off, or not answered, has no `tls-hello`.",
        scenarios: &["slow-tls-handshake", "premature-close/tls", "reset-by-backend/tls"],
        ..WATCH
    },
    Limit {
        why: "Whether nginx had begun to read an answer is not known: an answer that it left unread, or read only in part, may \
              look like one that was slow or was cut off.",
        scenarios: &[
            "worker-stalled/answer-lay-unread",
            "worker-stalled/told-while-pending",
            "slow-client/origin-gives-up",
            "request-rejected-early/half-of-the-answer-was-read",
        ],
        instead: &["slow-body", "slow-response", "reset-by-backend", "truncated-response"],
        unseen: true,
        fields: &["phase"],
        ..WATCH
    },
    Limit {
        why: "That a request was under way is read from the socket: a silence is `likely` to be a slow response, not proven.",
        scenarios: &["other-end/one-is-served-and-two-wait", "worker-stalled/nothing-came"],
        ..WATCH
    },
    Limit {
        why: "How many bytes of an answer had come is not known, so that a header that is not complete looks like an earlier \
              answer or a handshake.",
        scenarios: &["slow-body", "request-rejected-early"],
        ..WATCH
    },
    Limit {
        why: "A request that never left this host has no time of its own: it counts from the end of the handshake, and is in \
              phase `send`.",
        scenarios: &["firewall-drop-local/request-dropped-later"],
        fields: &["phase"],
        ..WATCH
    },
    Limit {
        why: "Of several connections to one upstream that looked healthy at the same moment it is not known which one a line \
              is about.",
        scenarios: &["mixed"],
        fields: &["local"],
        ..WATCH
    },
    Limit {
        why: "For how long a pooled connection was idle is not known, and of several that were found dead one after the other \
              only the last is told together with what followed.",
        scenarios: &["tries/dead-pooled-connections"],
        fields: &[
            "idle_ms",
            "recovered",
            "summary",
            "/requests",
            "/tries/number",
            "/tries/of",
            "/tries/chain/2/answered",
        ],
        ..WATCH
    },
    Limit {
        why: "Messages of name servers are not seen: which server failed is not known.",
        scenarios: &["dns-failure/two-names-two-ways", "hostile/questions-to-an-upstream"],
        unseen: true,
        fields: &["upstream"],
        ..WATCH
    },
];

const WATCH: Limit = Limit { holds: is_watch, ..Limit::NONE };

/// Whether this run is one with `--depth watch`, where a scenario names no depth.
fn is_watch() -> bool {
    env::var_os("UPSTREAM_TRACE_DEPTH").is_some_and(|depth| depth == "watch")
}

#[cfg(test)]
mod tests {
    use super::ONLY_DEPTH;

    #[test]
    fn the_documentation_has_the_same_list() {
        let text = std::fs::read_to_string("../docs/DEPTH.md").expect("read docs/DEPTH.md");
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (text, begin) = (words(&text), "## What only depth can tell");
        let list = text.split_once(begin).map(|(_, list)| list).expect("a list");
        let list = list.split_once(" ## ").map_or(list, |(list, _)| list);
        for limit in ONLY_DEPTH {
            assert!(list.contains(&words(limit.why)), "docs/DEPTH.md lacks: {}", limit.why);
        }
        assert_eq!(list.matches(" - ").count(), ONLY_DEPTH.len(), "docs/DEPTH.md has more than the lab");
    }
}

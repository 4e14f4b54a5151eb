//! nginx was told something that cannot work.

use std::net::{IpAddr, Ipv4Addr};

use super::{Cause, Finding, Signal};
use crate::case::Case;
use crate::errno::{self, ECONNREFUSED, EINVAL, ENETUNREACH, EPROTOTYPE};
use crate::errorlog::{self, Doing, Kind};
use crate::event::UnixTarget;

pub(super) const CAUSE: Cause = Cause {
    id: "misconfigured",
    reason: Some(0),
    title: "nginx is configured with something that cannot work",
    means: "The configured upstream can never answer: the path is a datagram socket or no socket at all, a \
            variable in `proxy_pass` holds no address, names have to be resolved and there is no `resolver`, or the \
            address is one that TCP cannot connect to (multicast, broadcast, link-local). Or a subrequest goes out \
            with the Content-Length of its client and without the body, for which the origin waits. Or locations \
            that speak different protocols share one pool of idle connections. Or the worker may not use the memory, \
            the address family or the privilege that the configuration asks for.",
    told_apart: "connect() returns EPROTOTYPE for a socket of the wrong type. ECONNREFUSED counts only if the \
                 path is no socket; otherwise it is `socket-refused`. nginx logs the other errors. A name \
                 server that fails is `dns-failure`.",
    fix: "Compare `proxy_pass`, `fastcgi_pass` or `uwsgi_pass` with the path and type that the service listens \
          on: `ss -xlp`. If `proxy_pass` has variables, log their values. If they hold names, set `resolver` (for \
          example `resolver 127.0.0.53;`): nginx does not read /etc/resolv.conf.",
    rivals: &[
        "socket-refused",
        "socket-missing",
        "dns-failure",
        "slow-response",
        "invalid-response",
        "slow-body",
    ],
    needs: &[Signal::ConnectErrors],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if case.log_kind() == Some(Kind::Misconfigured) {
        let words = case.log_words();
        if words.starts_with(errorlog::OTHER_PROTOCOL) {
            return Some(Finding::proven(crossed(case)).fix(OWN_POOL));
        }
        let finding = Finding::proven(format!("nginx cannot do what its configuration asks for: {words}."));
        let no_memory = errorlog::MEMORY_CALLS.iter().any(|call| words.starts_with(call));
        return Some(if no_memory { finding.fix(MEMORY) } else { finding });
    }
    if crossed_pool(case) {
        let summary = crossed(case);
        // Where nginx refused nothing, it took frames of HTTP/2 for an answer without a header, or the origin paused.
        let finding = match case.log_kind() {
            Some(Kind::Invalid) if case.reused() => Finding::likely(summary).or(&["invalid-response"]),
            Some(Kind::Invalid) => Finding::possible(summary).or(&["invalid-response"]),
            _ => Finding::possible(summary).or(&["slow-body"]),
        };
        return Some(finding.fix(OWN_POOL));
    }
    if let Some(path) = promised_body(case).filter(|_| case.awaiting() && case.gave_up()) {
        let summary = format!(
            "{} waits for a request body: the subrequest {path} has the Content-Length of its client, and nginx sends no body there.",
            case.target()
        );
        return Some(Finding::likely(summary).or(&["slow-response"]).fix(NO_BODY));
    }
    if let Some(what) = impossible(case) {
        let errno = errno::text(case.tcp_connect_errno()?);
        return Some(
            Finding::proven(format!("{} is {what}: connect() failed at once with {errno}.", case.target()))
                .fix("Give nginx the address of one host: in `server` or `proxy_pass`, or in the name's DNS records."),
        );
    }
    let path = case.path();
    let wrong = match (case.unix_connect_errno()?, case.unix_target()) {
        (EPROTOTYPE, _) => "a datagram socket, and nginx needs a stream socket",
        (ECONNREFUSED, Some(UnixTarget::NotASocket)) => "no socket",
        _ => return None,
    };
    Some(Finding::proven(format!("{path} is {wrong}: nginx has the wrong path.")))
}

fn crossed(case: &Case<'_>) -> String {
    format!(
        "{} got a request on a connection that was opened for another protocol: locations that speak different protocols to \
         it share one pool.",
        case.target()
    )
}

const OWN_POOL: &str =
    "Give each protocol an `upstream` of its own, with the same `server` and its own `keepalive`.";

/// nginx refused what came on a connection from a pool in which those of several protocols lie, or waited for more of it.
pub(super) fn crossed_pool(case: &Case<'_>) -> bool {
    let said = matches!(case.log_kind(), Some(Kind::Invalid | Kind::TimedOut(Doing::Body)));
    // Of a connection that nobody watched it is not known whether it was reused.
    said && (case.reused() || case.attempt.by_socket) && case.pool_of_several_protocols()
}

const NO_BODY: &str =
    "In that location: `proxy_pass_request_body off;` and `proxy_set_header Content-Length \"\";`.";

/// The subrequest of nginx's line, if what nginx sends for it announces a body that does not follow. See
/// [`crate::event::Pass::promises_body`].
pub(super) fn promised_body<'a>(case: &Case<'a>) -> Option<&'a str> {
    let line = case.log?;
    let path = line.subrequest.as_deref()?;
    let has_body = ["POST ", "PUT ", "PATCH "]
        .iter()
        .any(|method| line.request.as_ref().is_some_and(|request| request.starts_with(method)));
    let there = |location: &str| location.split(' ').next_back() == path.split('?').next();
    let mut passes =
        case.passes().into_iter().filter(|pass| pass.location.as_deref().is_some_and(there)).peekable();
    (has_body && passes.peek().is_some() && passes.all(|pass| pass.promises_body)).then_some(path)
}

const MEMORY: &str = "The worker got no memory: `systemctl show nginx -p MemoryMax`, `prlimit -p PID`, `dmesg -T`. Raise the limit, \
                      or lower what a request takes (`proxy_buffers`, `proxy_buffer_size`) or `worker_connections`.";

/// TCP connects to no such address, whatever the routing table says.
fn impossible(case: &Case<'_>) -> Option<&'static str> {
    match (case.tcp_connect_errno()?, case.ip()?) {
        (ENETUNREACH, ip) if ip.is_multicast() => Some("a multicast address"),
        (ENETUNREACH, IpAddr::V4(Ipv4Addr::BROADCAST)) => Some("the broadcast address"),
        (EINVAL, IpAddr::V6(ip)) if ip.segments()[0] & 0xffc0 == 0xfe80 => {
            Some("a link-local address, which is none without its interface, and nginx cannot name that")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Config, LogLine, Upstream};
    use crate::testkit::{connect_error, expect, line, unix_error, verdict};
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn wrong_socket_type_proves_it() {
        expect(&Case::of_connect_error(&unix_error(EPROTOTYPE)), "misconfigured", Confidence::Proven);
    }

    #[test]
    fn nginx_says_what_it_lacks() {
        for (message, phase, status) in [
            ("no resolver defined to resolve app.test", Phase::Resolve, Some(502)),
            ("no port in upstream \"x\"", Phase::Connect, Some(500)),
        ] {
            let line = line(message);
            let case = Case::of_line(&line, crate::testkit::id(1));
            expect(&case, "misconfigured", Confidence::Likely);
            assert_eq!((case.phase(), case.status()), (phase, status));
        }
    }

    #[test]
    fn addresses_that_no_connection_can_go_to() {
        for (address, errno, id) in [
            ("224.0.0.9:80", ENETUNREACH, "misconfigured"),
            ("255.255.255.255:80", ENETUNREACH, "misconfigured"),
            ("[ff02::1]:80", ENETUNREACH, "misconfigured"),
            ("[fe80::1]:80", EINVAL, "misconfigured"),
            ("[fe80::1]:80", ENETUNREACH, "no-route"),
            ("10.0.0.9:80", EINVAL, "no-route"),
        ] {
            let mut error = connect_error(errno);
            error.upstream = Upstream::Tcp(address.parse().expect("an address"));
            let (found, _, _) = verdict(&Case::of_connect_error(&error));
            assert_eq!(found, id, "{address} {errno}");
        }
    }

    #[test]
    fn a_worker_without_memory_is_told_so() {
        let line = line(
            "malloc(67108864) failed (12: Cannot allocate memory) while reading response header from upstream",
        );
        let found = judge(&Case::of_line(&line, crate::testkit::id(1))).expect("found");
        assert!(found.fix.is_some_and(|fix| fix.contains("MemoryMax")));
    }

    #[test]
    fn a_pool_of_two_protocols() {
        let (attempt, mut read) = (crate::testkit::reused_request(), crate::testkit::config());
        read.groups[0].keepalive = Some(8);
        for pass in &mut read.passes {
            pass.group = Some(read.groups[0].name.clone());
        }
        let line = line("upstream sent invalid header while reading response header from upstream");
        let id = |read: &Config| {
            let mut case = Case::of_attempt(&attempt);
            (case.config, case.log) = (Some(read), Some(&line));
            verdict(&case).0
        };
        assert_eq!(id(&read), "invalid-response", "both speak HTTP/1");
        read.passes[1].http2 = true;
        assert_eq!(id(&read), "misconfigured");
        read.groups[0].pool_per_location = true;
        assert_eq!(id(&read), "invalid-response");
    }

    #[test]
    fn an_origin_that_waits_for_a_body_is_not_slow() {
        let mut read = crate::testkit::config();
        read.passes[0].location = Some("= /auth".to_owned());
        read.passes[0].promises_body = true;
        let attempt = crate::testkit::unanswered_request();
        let mut said = line(
            "upstream timed out (110: Connection timed out) while reading response header from upstream",
        );
        (said.request, said.server) = (Some("POST / HTTP/1.1".to_owned()), Some("lab".to_owned()));
        said.subrequest = Some("/auth".to_owned());
        let found = |said: &LogLine, read: &Config| {
            let mut case = Case::of_attempt(&attempt);
            (case.log, case.config) = (Some(said), Some(read));
            verdict(&case).0
        };
        assert_eq!(found(&said, &read), "misconfigured");
        let get = LogLine { request: Some("GET / HTTP/1.1".to_owned()), ..said.clone() };
        assert_eq!(found(&get, &read), "slow-response", "there is no body");
        let own = LogLine { subrequest: None, ..said.clone() };
        assert_eq!(found(&own, &read), "slow-response", "nginx sends the body with it");
        read.passes[0].promises_body = false;
        assert_eq!(found(&said, &read), "slow-response", "no length is sent");
    }

    #[test]
    fn a_refusal_alone_does_not() {
        assert_eq!(judge(&Case::of_connect_error(&unix_error(ECONNREFUSED))), None);
    }
}

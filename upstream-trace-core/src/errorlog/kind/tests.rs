use super::*;
use crate::errorlog::parse;

fn of(level: &str, message: &str) -> Option<Kind> {
    let tail = ", client: ::1, server: lab, request: \"GET / HTTP/1.1\", upstream: \"http://10.0.0.2:80/\"";
    kind(&parse(format!("2026/11/20 09:12:01 [{level}] 1#1: *5 {message}{tail}").as_bytes()).expect("a line"))
}

#[test]
fn words_of_failed_attempts() {
    for (message, expected) in [
        ("connect() to 10.0.0.2:80 failed (99: x) while connecting to upstream", Kind::SyncConnectError),
        ("connect() failed (111: x) while connecting to upstream", Kind::Connect),
        ("upstream timed out (110: x) while SSL handshaking to upstream", Kind::TimedOut(Doing::Tls)),
        ("upstream prematurely closed connection while reading upstream", Kind::Closed),
        ("readv() failed (104: x) while reading upstream", Kind::Receive),
        ("writev() failed (32: x) while sending request to upstream", Kind::Send),
        (
            "peer closed connection in SSL handshake (104: x) while SSL handshaking to upstream",
            Kind::TlsClosed,
        ),
        (
            "SSL_do_handshake() failed (SSL: error:1:SSL alert number 40) while SSL handshaking to upstream",
            Kind::Tls,
        ),
        (
            "SSL_do_handshake() failed (SSL: error:1:wrong version number) while SSL handshaking to upstream",
            Kind::Invalid,
        ),
        (
            "SSL_read() failed (SSL: error:1:SSL routines::tlsv13 alert certificate required:SSL alert number 116) while reading response header from upstream",
            Kind::Tls,
        ),
        (
            "SSL_read() failed (SSL: error:1:SSL routines::decryption failed or bad record mac) while reading upstream",
            Kind::Invalid,
        ),
        (
            "malloc(67108864) failed (12: Cannot allocate memory) while reading response header from upstream",
            Kind::Misconfigured,
        ),
        ("upstream SSL certificate verify error: (20:x) while SSL handshaking to upstream", Kind::Tls),
        ("upstream sent too big header while reading response header from upstream", Kind::TooBig),
        ("upstream sent invalid chunked response while reading upstream", Kind::Invalid),
        ("upstream rejected request with error 7 while reading response header from upstream", Kind::Invalid),
        ("no live upstreams while connecting to upstream", Kind::NoLive),
        ("socket() failed (24: x) while connecting to upstream", Kind::Files),
        ("768 worker_connections are not enough while connecting to upstream", Kind::Connections),
        ("bind(10.0.0.9) failed (99: x) while connecting to upstream", Kind::Bind),
        ("pwritev() \"/t/proxy/1\" failed (28: x) while reading upstream", Kind::TempFile),
        ("open() \"/t/proxy/1\" failed (13: x) while reading upstream", Kind::TempFile),
        ("pread() \"/t/body/1\" failed (5: x) while sending request to upstream", Kind::TempFile),
        ("app.test could not be resolved (3: Host not found)", Kind::Name),
        ("no resolver defined to resolve app.test", Kind::Misconfigured),
        ("upstream prematurely closed connection while sending to client", Kind::Closed),
        ("recv() failed (104: x) while sending to client", Kind::Receive),
        ("upstream timed out (110: x) while sending to client", Kind::TimedOut(Doing::Body)),
        ("upstream violated stream flow control, received 1 data frame with window 0", Kind::Invalid),
        ("upstream sent too large http2 header while reading response header from upstream", Kind::TooBig),
        ("socket() failed (97: x) while connecting to upstream", Kind::Misconfigured),
        ("setsockopt(IP_TRANSPARENT) failed (1: x) while connecting to upstream", Kind::Misconfigured),
        ("cannot load certificate \"/c.pem\": BIO_new_file() failed (SSL: x)", Kind::Misconfigured),
    ] {
        assert_eq!(of("error", message), Some(expected), "{message}");
    }
}

#[test]
fn words_of_no_failed_attempt() {
    for (level, message) in [
        (
            "info",
            "epoll_wait() reported that client prematurely closed connection, so upstream connection is closed too while sending request to upstream",
        ),
        ("warn", "upstream server temporarily disabled while connecting to upstream"),
        ("warn", "an upstream response is buffered to a temporary file /x while reading upstream"),
        (
            "warn",
            "upstream sent more data than specified in \"Content-Length\" header while reading upstream",
        ),
        ("error", "upstream sent no valid HTTP/1.0 header while reading response header from upstream"),
        (
            "error",
            "FastCGI sent in stderr: \"upstream timed out (110: x)\" while reading response header from upstream",
        ),
        ("error", "send() failed (32: Broken pipe) while sending to client"),
        ("error", "recv() failed (104: x) while proxying and reading from client"),
        ("error", "SSL_do_handshake() failed (SSL: x) while SSL handshaking"),
        ("warn", "100 worker_connections are not enough, reusing connections"),
        ("error", "open() \"/x\" failed (2: No such file or directory)"),
        ("error", "open() \"/x\" failed (13: x) while reading response header from upstream"),
        ("crit", "open() \"/x\" failed (2: x) while reading upstream"),
        ("info", "upstream timed out (110: x) while reading upstream"),
        ("error", "writev() failed (32: Broken pipe) while sending to client"),
        ("error", "open() \"/x\" failed (13: x) while sending to client"),
        ("error", "auth request unexpected status: 500 while sending to client"),
        ("error", "unsafe URI \"/..\" was detected while reading response header from upstream"),
    ] {
        assert_eq!(of(level, message), None, "{message}");
    }
    assert_eq!(
        of("info", "upstream timed out (110: x) while proxying upgraded connection"),
        Some(Kind::TimedOut(Doing::Tunnel))
    );
}

fn parsed(text: &str) -> LogLine {
    parse(format!("2026/11/20 09:12:01 [error] 1#1: *5 {text}").as_bytes()).expect("a line")
}

#[test]
fn lines_that_are_passed_over_are_known() {
    for text in [
        "auth request unexpected status: 500 while sending to client, client: ::1, server: lab",
        "connect() failed (111: x) while requesting certificate status, responder: ocsp.test, peer: 10.0.0.9:80, certificate: \"/c.pem\"",
        "recv() failed (111: x) while proxying and reading from upstream, udp client: ::1, server: 0.0.0.0:53, upstream: \"10.0.0.2:53\"",
        "unexpected status code 302 in slice response while reading response header from upstream, client: ::1, server: lab",
    ] {
        let line = parsed(text);
        assert!(matches!(meaning(&line), Some(Meaning::PassedOver(_))), "{text}");
        assert!(kind(&line).is_none());
        assert_eq!(is_used(&line), own_target(&line).is_some(), "{text}");
    }
    let own = "connect() failed (111: x) while requesting certificate status, responder: ocsp.test, peer: 10.0.0.9:80";
    assert_eq!(own_target(&parsed(own)).map(|peer| peer.port()), Some(80));
}

#[test]
fn names_that_nginx_resolves_for_itself() {
    let resolved = "app.test could not be resolved (3: Host not found)";
    assert_eq!(kind(&parsed(resolved)), Some(Kind::Name));
    assert_eq!(kind(&parsed("\"x\" name could not be resolved (3: Host not found)")), None);
    let for_a_certificate =
        "ocsp.test could not be resolved (3: x) while requesting certificate status, responder: ocsp.test";
    assert_eq!(kind(&parsed(for_a_certificate)), None);
}

#[test]
fn sockets_of_lua_programs() {
    for (text, expected) in [
        ("connect() failed (111: Connection refused), client: ::1, server: lab", Kind::Connect),
        ("connect() failed (111: Connection refused), context: ngx.timer", Kind::Connect),
        ("lua tcp socket read timed out, client: ::1, server: lab", Kind::TimedOut(Doing::Header)),
        (
            "lua tcp socket connect timed out, when connecting to 10.0.0.9:6379, client: ::1, server: lab",
            Kind::TimedOut(Doing::Connecting),
        ),
    ] {
        assert_eq!(kind(&parsed(text)), Some(expected), "{text}");
    }
}

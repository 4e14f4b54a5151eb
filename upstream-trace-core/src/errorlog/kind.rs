//! What a line says went wrong.

use super::messages::{Meaning, OF_ANSWERS, OF_NGINX, find};
use crate::event::LogLine;

/// What nginx was doing for the upstream when its timer ran out or an error came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Connecting.
    Connecting,
    /// TLS handshake.
    Tls,
    /// Sending the request.
    Sending,
    /// Reading the header of the answer.
    Header,
    /// Reading the body of the answer.
    Body,
    /// Carrying bytes both ways: an upgraded connection, or `stream`.
    Tunnel,
}

impl Doing {
    /// Each of them.
    pub const ALL: [Self; 6] =
        [Self::Connecting, Self::Tls, Self::Sending, Self::Header, Self::Body, Self::Tunnel];
}

/// What went wrong, by nginx's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `connect()` returned an error.
    SyncConnectError,
    /// The connection was not made, or was found broken before it was used.
    Connect,
    /// A timer ran out.
    TimedOut(Doing),
    /// The upstream closed in order.
    Closed,
    /// Reading failed.
    Receive,
    /// Sending failed.
    Send,
    /// The upstream closed or reset during the TLS handshake.
    TlsClosed,
    /// The TLS handshake failed.
    Tls,
    /// The header of the answer did not fit the buffer.
    TooBig,
    /// The answer was not valid.
    Invalid,
    /// Every upstream of the group had been ejected.
    NoLive,
    /// A name could not be resolved.
    Name,
    /// Too many open files.
    Files,
    /// Too many connections of the worker.
    Connections,
    /// nginx could not write or read its own temporary or cache file.
    TempFile,
    /// The address to connect from could not be taken.
    Bind,
    /// nginx was told something that cannot work.
    Misconfigured,
}

/// What a line says went wrong with an upstream; `None` if it tells of no failed attempt: a client that went away, a
/// hint about buffers, an ejected peer (its failure has a line of its own), words of a program
/// behind `FastCGI`.
#[must_use]
pub fn kind(line: &LogLine) -> Option<Kind> {
    match meaning(line)? {
        Meaning::Failed(kind) => Some(kind),
        Meaning::PassedOver(_) => None,
    }
}

/// What a line means, if it is about an upstream.
#[must_use]
pub fn meaning(line: &LogLine) -> Option<Meaning> {
    let words = line.message.as_str();
    // At a finer level stand the idle tunnels.
    if !matches!(line.level.as_str(), "error" | "crit" | "alert" | "emerg") {
        return timed_out(words, line).filter(|_| line.level == "info").map(Meaning::Failed);
    }
    if own_target(line).is_some() {
        return Some(Meaning::PassedOver("nginx asked for itself: about a certificate"));
    }
    if line.udp {
        return Some(Meaning::PassedOver("datagrams to upstreams are not traced"));
    }
    let failed = |kind: Option<Kind>| kind.map(Meaning::Failed);
    failed(timed_out(words, line))
        .or_else(|| find(OF_ANSWERS, words))
        .or_else(|| failed(of_tls(words, line)))
        .or_else(|| failed(of_call(words, line)))
        .or_else(|| failed(of_lua(words, line)))
        .or_else(|| of_nginx(words, line))
}

/// Whom nginx asked for itself, not for an upstream: the responder that knows whether a certificate is revoked.
#[must_use]
pub fn own_target(line: &LogLine) -> Option<std::net::SocketAddr> {
    let (_, about) = line.message.split_once(" while requesting certificate status, ")?;
    let (_, peer) = about.split_once("peer: ")?;
    peer.split(',').next()?.parse().ok()
}

/// The line is a worker's complaint about a name server.
#[must_use]
pub fn is_resolver_error(line: &LogLine) -> bool {
    let responses = [
        "DNS error (",
        "unexpected ",
        "wrong ident",
        "invalid ",
        "no A or CNAME",
        "no names in ",
        "short DNS",
    ];
    let of_dns = line.message.contains("DNS");
    line.action.as_deref() == Some("resolving")
        || (of_dns && responses.iter().any(|with| line.message.starts_with(with)))
}

/// Verdicts use the line: it is about a failed attempt, a name server, or a connection of nginx's own. Other lines that
/// are passed over are not used: some hold what an application wrote.
#[must_use]
pub fn is_used(line: &LogLine) -> bool {
    matches!(meaning(line), Some(Meaning::Failed(_))) || own_target(line).is_some() || is_resolver_error(line)
}

/// What nginx was doing, if it was doing something for an upstream.
#[must_use]
pub fn doing(line: &LogLine) -> Option<Doing> {
    Some(match line.action.as_deref()? {
        "connecting to upstream" => Doing::Connecting,
        "SSL handshaking to upstream" => Doing::Tls,
        "sending request to upstream" => Doing::Sending,
        "reading response header from upstream" => Doing::Header,
        "reading upstream" => Doing::Body,
        // An answer that is passed on unbuffered.
        "sending to client" if line.upstream.is_some() => Doing::Body,
        "proxying upgraded connection"
        | "proxying connection"
        | "proxying and reading from upstream"
        | "proxying and sending to upstream" => Doing::Tunnel,
        _ => return None,
    })
}

fn timed_out(words: &str, line: &LogLine) -> Option<Kind> {
    let doing = doing(line);
    if words.starts_with("upstream timed out (") {
        // Only lines of a tunnel stand at a finer level than `error`.
        let worth = line.level != "info" || doing == Some(Doing::Tunnel);
        return doing.filter(|_| worth).map(Kind::TimedOut);
    }
    let idle = words.starts_with("connection timed out (") && line.upstream.is_some();
    doing.filter(|doing| idle && *doing == Doing::Tunnel).map(Kind::TimedOut)
}

fn of_tls(words: &str, line: &LogLine) -> Option<Kind> {
    if words.starts_with("upstream SSL certificate ") {
        return Some(Kind::Tls);
    }
    // From TLS 1.3 on the origin may refuse the client's certificate after the handshake.
    let calls = ["SSL_read() failed (SSL:", "SSL_write() failed (SSL:"];
    if calls.iter().any(|call| words.starts_with(call)) && words.contains(" alert ") {
        return doing(line).map(|_| Kind::Tls);
    }
    if doing(line) != Some(Doing::Tls) {
        return None;
    }
    if words.starts_with("peer closed connection in SSL handshake") {
        return Some(Kind::TlsClosed);
    }
    let failed = words.starts_with("SSL_do_handshake() failed");
    // What came was not TLS at all.
    let other = ["wrong version number", "unknown protocol", "packet length too long", "http request"];
    let foreign = !words.contains("alert") && other.iter().any(|reason| words.contains(reason));
    failed.then_some(if foreign { Kind::Invalid } else { Kind::Tls })
}

fn of_call(words: &str, line: &LogLine) -> Option<Kind> {
    let (call, _) = words.split_once(" failed")?;
    if call == "connect()" && line.action.is_none() && line.errno.is_some() {
        // A program's own socket.
        return Some(Kind::Connect);
    }
    let doing = doing(line)?;
    let to_client = line.action.as_deref() == Some("sending to client");
    Some(match call {
        "connect()" => Kind::Connect,
        "socket()" if matches!(line.errno, Some(23 | 24)) => Kind::Files,
        // No such family, no such protocol, not allowed.
        "socket()" if matches!(line.errno, Some(1 | 13 | 93 | 94 | 97)) => Kind::Misconfigured,
        // What the client did.
        "send()" | "writev()" | "sendfile()" | "sendmsg()" | "SSL_write()" if to_client => return None,
        "recv()" | "readv()" | "read()" | "SSL_read()" if doing != Doing::Connecting => Kind::Receive,
        "send()" | "writev()" | "write()" | "sendfile()" | "sendmsg()" | "SSL_write()"
            if doing != Doing::Connecting =>
        {
            Kind::Send
        }
        _ if to_client && call.starts_with("open() ") => return None,
        _ if FILE_CALLS.iter().any(|name| call.starts_with(name)) && of_file(doing, line) => Kind::TempFile,
        _ if call.starts_with("connect() to ") => Kind::SyncConnectError,
        _ if call.starts_with("bind(") => Kind::Bind,
        _ => return None,
    })
}

/// Calls on a file, which nginx names with the path in quotes.
const FILE_CALLS: [&str; 8] = [
    "open() \"",
    "mkdir() \"",
    "write() \"",
    "pwrite() \"",
    "writev() \"",
    "pwritev() \"",
    "pread() \"",
    "rename() \"",
];

/// The file belongs to the response (or the request body) that is carried at that moment. While the header is read it may
/// be one that the origin named (X-Accel-Redirect), and one that is missing is no fault of the file system.
fn of_file(doing: Doing, line: &LogLine) -> bool {
    matches!(doing, Doing::Body | Doing::Sending) && line.upstream.is_some() && line.errno != Some(2)
}

/// The file that a line of [`Kind::TempFile`] names.
#[must_use]
pub fn file_named(line: &LogLine) -> Option<&str> {
    let (_, rest) = line.message.split_once('"')?;
    rest.split_once('"').map(|(file, _)| file)
}

/// What nginx itself lacks, or was told.
fn of_nginx(words: &str, line: &LogLine) -> Option<Meaning> {
    // nginx also resolves names for itself: those of `server ... resolve`. Others are about something else then.
    let name = words.split_once(" could not be resolved (").map(|(name, _)| name);
    if name.is_some_and(|name| line.client.is_some() || !name.contains(' ')) {
        return Some(Meaning::Failed(Kind::Name)).filter(|_| line.client.is_some() || line.action.is_none());
    }
    line.client.as_ref()?;
    if words.contains("worker_connections are not enough") && !words.contains("reusing connections") {
        return Some(Meaning::Failed(Kind::Connections));
    }
    find(OF_NGINX, words)
}

/// Sockets that a Lua program opened: they say neither what nginx was doing nor, mostly, to whom.
fn of_lua(words: &str, line: &LogLine) -> Option<Kind> {
    if line.upstream.is_some() {
        return None;
    }
    let lua = words.strip_prefix("lua ")?;
    let says = |with: &str| lua.starts_with(with);
    if says("tcp socket connect timed out") {
        return Some(Kind::TimedOut(Doing::Connecting));
    }
    if says("tcp socket read timed out") {
        return Some(Kind::TimedOut(Doing::Header));
    }
    if says("tcp socket write timed out") {
        return Some(Kind::TimedOut(Doing::Sending));
    }
    let certificate = ["ssl certificate verify error", "ssl certificate does not match host"];
    certificate.iter().any(|with| says(with)).then_some(Kind::Tls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errorlog::parse;

    fn of(level: &str, message: &str) -> Option<Kind> {
        let tail =
            ", client: ::1, server: lab, request: \"GET / HTTP/1.1\", upstream: \"http://10.0.0.2:80/\"";
        kind(
            &parse(format!("2026/11/20 09:12:01 [{level}] 1#1: *5 {message}{tail}").as_bytes())
                .expect("a line"),
        )
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
            ("upstream SSL certificate verify error: (20:x) while SSL handshaking to upstream", Kind::Tls),
            ("upstream sent too big header while reading response header from upstream", Kind::TooBig),
            ("upstream sent invalid chunked response while reading upstream", Kind::Invalid),
            (
                "upstream rejected request with error 7 while reading response header from upstream",
                Kind::Invalid,
            ),
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
            (
                "upstream sent too large http2 header while reading response header from upstream",
                Kind::TooBig,
            ),
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
        let for_a_certificate = "ocsp.test could not be resolved (3: x) while requesting certificate status, responder: ocsp.test";
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
}

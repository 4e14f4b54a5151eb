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

/// The worker begins to leave lines out: freenginx does above a rate, and says so once.
#[must_use]
pub fn is_limiting(line: &LogLine) -> bool {
    line.message == "too many log messages, limiting"
}

/// Verdicts use the line: it is about a failed attempt, a name server, a connection of nginx's own, or lines that are
/// left out. Others that are passed over are not used: some hold what an application wrote.
#[must_use]
pub fn is_used(line: &LogLine) -> bool {
    matches!(meaning(line), Some(Meaning::Failed(_)))
        || own_target(line).is_some()
        || is_resolver_error(line)
        || is_limiting(line)
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
    if words.starts_with(calls[0]) && DAMAGED.iter().any(|reason| words.contains(reason)) {
        return doing(line).map(|_| Kind::Invalid);
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

/// OpenSSL's words for a record that was damaged, or is none.
const DAMAGED: [&str; 7] = [
    "bad record mac",
    "bad record type",
    "wrong version number",
    "packet length too long",
    "encrypted length too long",
    "data length too long",
    "unexpected message",
];

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
        _ if line.upstream.is_some() && MEMORY_CALLS.iter().any(|name| call.starts_with(name)) => {
            Kind::Misconfigured
        }
        _ if call.starts_with("connect() to ") => Kind::SyncConnectError,
        _ if call.starts_with("bind(") => Kind::Bind,
        _ => return None,
    })
}

/// Calls for memory.
pub const MEMORY_CALLS: [&str; 3] = ["malloc(", "posix_memalign(", "memalign("];

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
mod tests;

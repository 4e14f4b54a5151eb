//! What nginx can write about upstreams, by how its messages begin: one list, of nginx up to 1.31, its forks, and the
//! modules that people add.
//!
//! Errors of calls (`recv() failed ...`), timeouts and TLS depend on what nginx was doing, too; see [`super::kind`].

use super::Kind;

/// What a message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// An attempt failed.
    Failed(Kind),
    /// No upstream failed. Why such a line is passed over.
    PassedOver(&'static str),
}

/// How a message begins, and what it means.
pub(super) type Message = (&'static str, Meaning);

const INVALID: Meaning = Meaning::Failed(Kind::Invalid);
/// A request of HTTP/2 found an idle connection that was opened for another protocol.
pub const OTHER_PROTOCOL: &str = "no connection data found for keepalive http2 connection";

const TOLD: Meaning = Meaning::Failed(Kind::Misconfigured);

const ORIGIN_ANSWERED: Meaning = Meaning::PassedOver("the origin answered; nginx could not use that answer");
const OWN_CACHE: Meaning = Meaning::PassedOver("it is about nginx's own cache");
const FOLLOWS: Meaning = Meaning::PassedOver("it follows from a failure that has a line of its own");

/// Of these the first that fits counts. They need no client: nginx was busy with an answer.
pub(super) const OF_ANSWERS: &[Message] = &[
    ("upstream prematurely closed connection", Meaning::Failed(Kind::Closed)),
    ("upstream sent too big header", Meaning::Failed(Kind::TooBig)),
    ("upstream sent too large http2 header name", INVALID),
    ("upstream sent too large http2 header value", INVALID),
    ("upstream sent too large http2 header", Meaning::Failed(Kind::TooBig)),
    (
        "upstream sent no valid HTTP/1.0 header",
        Meaning::PassedOver("it is passed on as an answer of HTTP/0.9"),
    ),
    ("upstream sent ", INVALID),
    ("upstream prematurely sent response", INVALID),
    ("upstream prematurely closed stream", INVALID),
    ("upstream prematurely closed FastCGI", INVALID),
    ("upstream rejected request with error", INVALID),
    ("upstream violated stream flow control", INVALID),
    ("upstream violated connection flow control", INVALID),
    ("unsupported FastCGI protocol version", INVALID),
    ("invalid FastCGI ", INVALID),
    ("invalid header after joining FastCGI records", INVALID),
    ("memcached sent invalid ", INVALID),
    ("FastCGI sent in stderr: ", Meaning::PassedOver("these are the application's words")),
    ("unsafe URI \"", ORIGIN_ANSWERED),
    ("auth request unexpected status: ", ORIGIN_ANSWERED),
    ("connection upgrade in subrequest", ORIGIN_ANSWERED),
    ("unexpected status code ", ORIGIN_ANSWERED),
    ("etag mismatch in slice response", ORIGIN_ANSWERED),
    ("invalid range in slice response", ORIGIN_ANSWERED),
    ("unexpected range in slice response", ORIGIN_ANSWERED),
    ("no range in slice response", ORIGIN_ANSWERED),
    ("cache file \"", OWN_CACHE),
    ("attempt to send data on a closed socket", FOLLOWS),
    ("attempt to receive data on a closed socket", FOLLOWS),
];

/// What nginx itself lacks, or was told; while it is busy with a request.
pub(super) const OF_NGINX: &[Message] = &[
    ("no live upstreams", Meaning::Failed(Kind::NoLive)),
    ("the new socket has number", Meaning::Failed(Kind::Files)),
    ("no resolver defined to resolve ", TOLD),
    ("no port in upstream \"", TOLD),
    ("no host in upstream \"", TOLD),
    ("no path in the unix domain socket in upstream \"", TOLD),
    ("too long path in the unix domain socket in upstream \"", TOLD),
    ("invalid port in upstream \"", TOLD),
    ("invalid port range in upstream \"", TOLD),
    ("invalid host in upstream \"", TOLD),
    ("invalid IPv6 address in upstream \"", TOLD),
    ("invalid URL prefix in \"", TOLD),
    ("invalid local address \"", TOLD),
    ("zero length URI to proxy", TOLD),
    ("no upstream configuration", TOLD),
    ("too long http2 ", TOLD),
    ("no buffer space in ", TOLD),
    (OTHER_PROTOCOL, TOLD),
    ("https protocol requires SSL support", TOLD),
    ("grpcs protocol requires SSL support", TOLD),
    ("suwsgi protocol requires SSL support", TOLD),
    ("fastcgi request record is too big", TOLD),
    ("fastcgi request length mismatch", TOLD),
    ("scgi request length mismatch", TOLD),
    ("uwsgi request length mismatch", TOLD),
    ("uwsgi request is too ", TOLD),
    ("the \"$memcached_key\" variable is not set", TOLD),
    ("cannot load certificate ", TOLD),
    ("SSL_set_tlsext_host_name(", TOLD),
    ("SSL_set_alpn_protos() failed", TOLD),
    ("SSL_use_certificate(", TOLD),
    ("SSL_use_PrivateKey(", TOLD),
    ("SSL_set0_chain(", TOLD),
    ("SSL_new() failed", TOLD),
    ("SSL_set_fd() failed", TOLD),
    ("SSL_set_session() failed", TOLD),
    ("setsockopt(IP_TRANSPARENT) failed", TOLD),
    ("setsockopt(SO_REUSEADDR) failed", TOLD),
    ("could not enable transparent proxying for IPv6", TOLD),
    ("could not send PROXY protocol header at once", TOLD),
    ("buffered data on next upstream", TOLD),
    ("cannot add new server to upstream \"", TOLD),
    ("failed to run balancer_by_lua", TOLD),
    ("lua balancer: ", TOLD),
    ("rewrite or internal redirection cycle while internally redirecting to", ORIGIN_ANSWERED),
    ("cache \"", OWN_CACHE),
    ("thread pool \"", OWN_CACHE),
];

/// What such a message means by this list.
pub(super) fn find(list: &[Message], words: &str) -> Option<Meaning> {
    list.iter().find(|(starts, _)| words.starts_with(starts)).map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_hides_another() {
        for list in [OF_ANSWERS, OF_NGINX] {
            for (at, (later, meaning)) in list.iter().enumerate() {
                let earlier = list[..at].iter().find(|(starts, _)| later.starts_with(starts));
                assert_eq!(earlier, None, "{later} {meaning:?}");
            }
        }
    }
}

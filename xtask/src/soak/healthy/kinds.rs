//! The kinds of requests, each with a location of its own.

/// One kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Its location, without the slash, and what the access log calls it.
    pub(super) name: &'static str,
    /// How often it is asked for beside the others; 0 if only the odd client does.
    pub(super) share: usize,
    /// Bytes of the request's body; 0 for `GET`.
    pub(super) body: usize,
    /// Whether only newer nginx can do it.
    pub(super) newer: bool,
    /// Directives of its location.
    pub(super) location: &'static str,
}

const fn kind(name: &'static str, share: usize, location: &'static str) -> Kind {
    Kind { name, share, body: 0, newer: false, location }
}

const fn newer(name: &'static str, share: usize, location: &'static str) -> Kind {
    Kind { newer: true, ..kind(name, share, location) }
}

const fn post(name: &'static str, share: usize, body: usize, location: &'static str) -> Kind {
    Kind { body, ..kind(name, share, location) }
}

/// What the odd client asks for in bursts, between which the origin closes its connections.
pub(super) const IDLE: &str = "idle";
/// What is answered after a tenth of a second.
pub(super) const SLOW: &str = "slow";
/// What becomes a WebSocket.
pub(super) const WEBSOCKET: &str = "websocket";

/// Kinds that the access log has under another name: nginx goes on elsewhere with them.
pub(super) const RENAMED: [(&str, &str); 2] = [("redirected", "accel"), ("fallen", "fallback")];

/// All. `@origin@` is the folder of the origin, `@far@` its address, `@dir@` the folder of the proxy, `POOL` what HTTP/1
/// needs to keep connections.
const ALL: &[Kind] = &[
    kind("http10", 4, "proxy_http_version 1.0; proxy_pass http://@far@:8001;"),
    kind(
        "http11",
        4,
        "proxy_http_version 1.1; proxy_set_header Connection close; proxy_pass http://@far@:8001;",
    ),
    kind("default", 4, "proxy_pass http://plain;"),
    kind("kept", 6, "POOL proxy_pass http://kept;"),
    // The origin ends each connection after ten requests.
    kind("short", 4, "POOL proxy_pass http://short;"),
    kind(IDLE, 0, "POOL proxy_pass http://idle;"),
    kind("several", 4, "POOL proxy_pass http://several;"),
    kind("unix", 4, "proxy_http_version 1.0; proxy_pass http://unix:@origin@/origin.sock:;"),
    kind("unix-kept", 4, "POOL proxy_pass http://unix_kept;"),
    kind("tls", 2, "proxy_http_version 1.0; proxy_pass https://@far@:8003;"),
    kind(
        "tls-new-session",
        1,
        "proxy_http_version 1.0; proxy_ssl_session_reuse off; proxy_pass https://@far@:8003;",
    ),
    kind("tls-kept", 4, "POOL proxy_ssl_verify on; proxy_ssl_name origin.test; proxy_pass https://tls_kept;"),
    kind("grpc", 4, "grpc_pass grpc://grpc_kept;"),
    kind("grpc-new", 4, "grpc_pass grpc://@far@:8002;"),
    kind("grpcs", 2, "grpc_pass grpcs://@far@:8004;"),
    kind("grpcs-kept", 4, "grpc_pass grpcs://grpcs_kept;"),
    newer("http2", 4, "proxy_http_version 2; proxy_pass http://http2_kept;"),
    newer("http2-new", 4, "proxy_http_version 2; proxy_pass http://@far@:8002;"),
    newer("http2-tls", 4, "proxy_http_version 2; proxy_pass https://http2_tls_kept;"),
    kind("fastcgi", 2, "fastcgi_pass 127.0.0.1:9010; PHP"),
    kind("fastcgi-kept", 2, "fastcgi_pass php; fastcgi_keep_conn on; PHP"),
    kind("uwsgi", 4, "uwsgi_param REQUEST_METHOD $request_method; uwsgi_pass 127.0.0.1:9011;"),
    kind("scgi", 4, "scgi_param REQUEST_METHOD $request_method; scgi_pass 127.0.0.1:9012;"),
    post("post", 4, 3_000, "POOL proxy_pass http://kept;"),
    post("post-file", 1, 60_000, "POOL client_body_buffer_size 16k; proxy_pass http://kept;"),
    post("post-raw", 1, 60_000, "POOL proxy_request_buffering off; proxy_pass http://kept;"),
    // An origin that answers before it has read all says so on the connection afterwards: pooled, the next one gets it.
    post("post-grpc", 2, 3_000, "grpc_pass grpc://@far@:8002;"),
    kind("big", 1, "proxy_pass http://plain;"),
    kind("big-raw", 1, "proxy_buffering off; proxy_pass http://plain;"),
    kind("chunked", 4, "POOL proxy_pass http://kept;"),
    kind("until-close", 4, "proxy_http_version 1.0; proxy_pass http://plain/chunked;"),
    kind("empty", 2, "POOL proxy_pass http://kept;"),
    kind("fallback", 2, "POOL proxy_intercept_errors on; error_page 404 = /fallen; proxy_pass http://kept;"),
    kind("accel", 2, "POOL proxy_pass http://kept;"),
    kind("auth", 2, "auth_request /authorize; POOL proxy_pass http://kept;"),
    kind("ssi", 2, "ssi on; POOL proxy_pass http://kept;"),
    kind("mirror", 2, "mirror /mirrored; POOL proxy_pass http://kept;"),
    kind("slice", 1, "slice 64k; proxy_set_header Range $slice_range; POOL proxy_pass http://kept;"),
    kind(
        "cache",
        4,
        "CACHE proxy_cache_background_update on; proxy_cache_use_stale updating; proxy_pass http://plain;",
    ),
    kind("cache-lock", 4, "CACHE proxy_cache_lock on; POOL proxy_pass http://kept;"),
    kind("named", 4, "proxy_http_version 1.0; proxy_pass http://n$arg_n.origin.test:8001;"),
    kind("named-over-tcp", 1, "proxy_http_version 1.0; proxy_pass http://tcp$arg_n.origin.test:8001;"),
    newer("resolved", 2, "proxy_pass http://resolved;"),
    kind(SLOW, 0, "proxy_pass http://127.0.0.1:9013;"),
    kind(
        WEBSOCKET,
        0,
        "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; \
         proxy_pass http://127.0.0.1:9013;",
    ),
];

/// Those that this nginx can do.
pub(super) fn all(newer: bool) -> impl Iterator<Item = Kind> {
    ALL.iter().copied().filter(move |kind| newer || !kind.newer)
}

/// Ports of the proxy's `stream`, what they are called, and where they go.
pub(super) const STREAMS: [(u16, &str, &str); 4] = [
    (8101, "stream", "proxy_pass @far@:8006;"),
    (8102, "stream-tls", "proxy_ssl on; proxy_pass @far@:8007;"),
    (8103, "stream-unix", "proxy_pass unix:@origin@/close.sock;"),
    (8104, "stream-group", "proxy_pass group;"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = all(true).map(|kind| kind.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(all(false).count() < count && all(false).all(|kind| !kind.newer));
    }
}

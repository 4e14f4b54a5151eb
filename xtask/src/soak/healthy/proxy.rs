//! The configuration of the nginx that is traced.

use std::fmt::Write as _;
use std::path::Path;

use super::kinds::{self, STREAMS};
use super::origin::FAR;

/// Where it listens for HTTP.
pub(super) const PORT: u16 = 8080;
/// Where it listens for HTTP/2.
pub(super) const HTTP2_PORT: u16 = 8081;
/// Where it staples what its own OCSP responder said of its certificate, one port each: each asks by itself.
pub(super) const STAPLING: std::ops::Range<u16> = 8440..8444;
/// Where it asks that responder about its clients' certificates.
pub(super) const CLIENT_CERTIFICATES: u16 = 8444;

const POOL: &str = "proxy_http_version 1.1; proxy_set_header Connection '';";
const PHP: &str = "fastcgi_param SCRIPT_NAME /ping; fastcgi_param SCRIPT_FILENAME /ping; \
    fastcgi_param REQUEST_METHOD GET;";
const CACHE: &str = "proxy_cache all; proxy_cache_key $uri$arg_n; proxy_cache_valid 200 2s; \
    proxy_cache_revalidate on;";

/// Its whole text.
pub(super) fn configuration(dir: &Path, origin: &Path, modules: Option<&Path>, newer: bool) -> String {
    let load = modules.map(|dir| format!("load_module {}/ngx_stream_module.so;", dir.display()));
    let mut text = format!(
        "# Workers run as root: no other user need exist, and nothing outside can reach them.
{}
user root;
worker_processes 2;
worker_rlimit_nofile 20000;
worker_shutdown_timeout 10s;
pid @dir@/nginx.pid;
error_log @dir@/error.log info;
events {{ worker_connections 4096; }}
",
        load.unwrap_or_default()
    );
    if modules.is_some() {
        stream(&mut text);
    }
    http(&mut text, newer);
    let words = [
        ("POOL", POOL),
        ("PHP", PHP),
        ("CACHE", CACHE),
        ("@far@", FAR),
        ("@dir@", &dir.display().to_string()),
    ];
    let text = words.iter().fold(text, |text, (word, meaning)| text.replace(word, meaning));
    text.replace("@origin@", &origin.display().to_string())
}

fn stream(text: &mut String) {
    // Writing to a string cannot fail.
    let mut servers = String::new();
    let mut names = String::new();
    for (port, name, pass) in STREAMS {
        let _ok = writeln!(names, "        {port} {name};");
        let _ok = writeln!(servers, "    server {{ listen 127.0.0.1:{port} backlog=4096; {pass} }}");
    }
    let _ok = write!(
        text,
        "stream {{
    map $server_port $kind {{\n{names}    }}
    log_format kinds '/$kind $status -';
    access_log @dir@/access.log kinds buffer=64k flush=1s;
    proxy_connect_timeout 10s;
    upstream group {{ zone stream 64k; least_conn; server @far@:8006 max_fails=0; server unix:@origin@/close.sock max_fails=0; }}
{servers}}}
"
    );
}

fn http(text: &mut String, newer: bool) {
    let locations = kinds::all(newer).fold(String::new(), |all, kind| {
        all + &format!("        location /{} {{ {} }}\n", kind.name, kind.location)
    });
    let resolved =
        "upstream resolved { zone resolved 64k; server group.origin.test:8001 resolve max_fails=0; }";
    let stapling = STAPLING.fold(String::new(), |all, port| {
        all + &format!(
            "    server {{ listen 127.0.0.1:{port} ssl; ssl_stapling on; \
             ssl_stapling_responder http://@far@:8001/ocsp; location / {{ return 204; }} }}\n"
        )
    });
    let _ok = write!(
        text,
        "http {{
    log_format kinds '$uri $status $upstream_status';
    access_log @dir@/access.log kinds buffer=64k flush=1s;
    log_subrequest on;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_temp_path @dir@/body;
    proxy_temp_path @dir@/proxy;
    fastcgi_temp_path @dir@/fastcgi;
    uwsgi_temp_path @dir@/uwsgi;
    scgi_temp_path @dir@/scgi;
    proxy_cache_path @dir@/cache keys_zone=all:8m inactive=10s use_temp_path=off;
    proxy_connect_timeout 10s;
    proxy_ssl_trusted_certificate @origin@/certificate.pem;
    resolver 127.0.0.1:5300 valid=1s;
    upstream plain {{ server @far@:8001 max_fails=0; }}
    upstream kept {{ server @far@:8001 max_fails=0; keepalive 16; keepalive_timeout 20s; }}
    upstream short {{ server @far@:8005 max_fails=0; keepalive 16; keepalive_timeout 1s; }}
    upstream idle {{ server @far@:8005 max_fails=0; keepalive 16; }}
    upstream several {{
        zone several 64k; least_conn;
        server @far@:8001 max_fails=0; server unix:@origin@/origin.sock max_fails=0; keepalive 4; keepalive_timeout 20s;
    }}
    upstream unix_kept {{ server unix:@origin@/origin.sock max_fails=0; keepalive 16; keepalive_timeout 20s; }}
    upstream tls_kept {{ server @far@:8003 max_fails=0; keepalive 16; keepalive_timeout 20s; }}
    upstream grpc_kept {{ server @far@:8002 max_fails=0; keepalive 8; keepalive_timeout 20s; }}
    upstream grpcs_kept {{ server @far@:8004 max_fails=0; keepalive 8; keepalive_timeout 20s; }}
    upstream http2_kept {{ server @far@:8002 max_fails=0; keepalive 8; keepalive_timeout 20s; }}
    upstream http2_tls_kept {{ server @far@:8004 max_fails=0; keepalive 8; keepalive_timeout 20s; }}
    upstream php {{ server unix:@origin@/php.sock max_fails=0; keepalive 2; }}
    {}
    ssl_certificate @origin@/certificate.pem;
    ssl_certificate_key @origin@/key.pem;
    ssl_trusted_certificate @origin@/certificate.pem;
{stapling}    server {{
        listen 127.0.0.1:{CLIENT_CERTIFICATES} ssl;
        ssl_client_certificate @origin@/certificate.pem;
        ssl_verify_client on; ssl_ocsp leaf; ssl_ocsp_responder http://@far@:8001/ocsp;
        location / {{ return 204; }}
    }}
    server {{
        listen 127.0.0.1:{PORT} backlog=4096;
        listen 127.0.0.1:{HTTP2_PORT} http2 backlog=4096;
{locations}        location = /authorize {{ internal; proxy_pass_request_body off; proxy_set_header Content-Length ''; POOL proxy_pass http://unix_kept; }}
        location = /mirrored {{ internal; proxy_pass http://plain; }}
        location /included {{ internal; POOL proxy_pass http://several; }}
        location = /fallen {{ internal; POOL proxy_pass http://unix_kept; }}
        location /redirected {{ internal; POOL proxy_pass http://kept; }}
    }}
}}
",
        if newer { resolved } else { "" }
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_balanced_and_filled_in() {
        for newer in [false, true] {
            let text = configuration(Path::new("/p"), Path::new("/o"), Some(Path::new("/m")), newer);
            assert_eq!(text.matches('{').count(), text.matches('}').count(), "{text}");
            assert!(!text.contains('@') && !text.contains("POOL"), "{text}");
            assert_eq!(text.contains("proxy_http_version 2;"), newer);
            assert!(text.starts_with('#') && text.contains("load_module /m/ngx_stream_module.so;"));
        }
        assert!(!configuration(Path::new("/p"), Path::new("/o"), None, false).contains("stream {"));
    }
}

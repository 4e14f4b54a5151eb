//! The words that stay in a message of nginx: its own, those of OpenSSL, and those of the C library.
//!
//! A line of error.log may quote clients, upstreams and programs without a mark. So a message keeps only words from this
//! list, and numbers.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Texts about upstreams and name servers.
const NGINX: &str = "\
connect() to failed while connecting to upstream
bind() socket() send() recv() read() write() readv() writev() sendfile() sendmsg() failed
SSL_do_handshake() SSL_read() SSL_write() SSL_shutdown() failed (SSL:
SSL handshaking to upstream sending request to upstream reading response header from upstream reading upstream
proxying upgraded connection proxying connection proxying and reading from upstream proxying and sending to upstream
resolving sending to client reading client request body finalizing request keepalive connecting requesting
upstream timed out connection timed out
upstream prematurely closed connection stream FastCGI request stdout
upstream prematurely sent response
upstream sent too big header too long or no valid HTTP/1.0 HTTP/1.1 HTTP/0.9 HTTP/2 header
upstream sent invalid header name value line character status chunked response unexpected data after final chunk
upstream sent duplicate header line previous value more data than specified in length unknown encoding both and at the
same time unsupported FastCGI protocol version record type padding id high low byte request end error
upstream sent frame for closed stream http2 headers continuation table index dynamic size update settings ack ping goaway
window with large truncated string promise trailer trailers extra flags reset rst gRPC
upstream rejected request with error as because it uwsgi SCGI memcached
upstream SSL certificate verify error does not match no peer closed connection in SSL handshake
no live upstreams could not be resolved no resolver defined to resolve the new socket has number but only files are
available worker_connections are not enough reusing connections
no port in upstream no host in upstream invalid port in upstream invalid host in upstream invalid URL prefix in
zero length URI to proxy no upstream configuration invalid local address
DNS error query id name unexpected DNS response for qtype UDP TCP wrong ident expect invalid A AAAA or CNAME types in";

/// Reasons of the C library (and of nginx for DNS) that an upstream or a name server can be the cause of.
const REASONS: &str = "\
Operation not permitted Permission denied No such file or directory Interrupted system call Input/output Bad file
descriptor Resource temporarily unavailable Cannot allocate memory Invalid argument Too many open files in system
No space left on device Broken pipe Address family not supported by protocol already in use Cannot assign requested
Network is down unreachable Software caused connection abort Connection reset by peer No buffer space available
Transport endpoint is already connected Connection timed out Connection refused Host is down No route to host Operation
now in progress Protocol wrong type for socket Message too long Success
Format error Server failure Host not found Unimplemented Operation refused Unknown timed";

/// Reasons of OpenSSL.
const TLS: &str = "\
error SSL routines system lib library sslv3 tlsv1 tlsv11 tlsv12 tlsv13 alert number handshake failure bad certificate
unsupported revoked expired unknown ca access denied decode decrypt export restriction protocol version insufficient
security internal inappropriate fallback user canceled no renegotiation missing extension unsupported unrecognized name
required application psk identity record mac overflow decompression close notify unexpected message illegal parameter
wrong version number packet length too long http request unknown unexpected eof while reading certificate verify failed
no shared cipher ciphers available dh ee ca key md too small weak inappropriate legacy sigalg disallowed signature
algorithm algorithms type digest block padding excessive size session id context uninitialized shutdown renegotiation
unsafe disabled not yet valid has is self signed self-signed in chain unable to get local issuer verify the first
leaf hostname IP address email mismatch purpose CRL invalid CA path length constraint exceeded";

/// Every word of the lists.
static WORDS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    [NGINX, REASONS, TLS].iter().flat_map(|list| list.split_whitespace()).map(bare).collect()
});

/// Longest number that stays; more digits may be of a card or a phone.
const DIGITS: usize = 7;

/// The word holds nothing of a client, an upstream or a program.
pub(super) fn is_known(word: &str) -> bool {
    let known = |part: &str| {
        let part = bare(part);
        part.is_empty() || WORDS.contains(part) || is_number(part) || is_code(part) || is_function(part)
    };
    known(word) || word.split(':').all(known)
}

/// Without what stands around a word.
fn bare(word: &str) -> &str {
    word.trim_matches(['(', ')', ',', ';', ':', '.', '"'])
}

fn is_number(word: &str) -> bool {
    word.len() <= DIGITS && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Of an error of OpenSSL: `0A000410`.
fn is_code(word: &str) -> bool {
    word.len() == 8 && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))
}

/// A function of OpenSSL: `tls_process_server_certificate`.
fn is_function(word: &str) -> bool {
    let prefix = ["ssl_", "ssl3_", "tls_", "tls1_", "ssl23_", "SSL_", "SSL3_", "SSL23_"];
    prefix.iter().any(|prefix| word.starts_with(prefix))
        && word.len() <= 48
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

//! Lines as nginx writes them, and as others would like it to.

use super::*;
use crate::errorlog::{fits, upstream_address, upstream_group};
use crate::event::Upstream;

const TAIL: &str = r#", client: 192.0.2.7, server: lab, request: "GET / HTTP/1.1", upstream: "http://10.0.0.2:8080/", host: "lab""#;

fn read(message: &str, tail: &str) -> LogLine {
    parse(format!("2026/11/20 09:12:01 [error] 1713#1714: *134 {message}{tail}\n").as_bytes())
        .expect("a line")
}

fn tcp(text: &str) -> Upstream {
    Upstream::Tcp(text.parse().expect("an address"))
}

fn unix(path: &str) -> Upstream {
    Upstream::Unix(path.to_owned())
}

/// The address in a line with this upstream.
fn address(upstream: &str) -> Option<Upstream> {
    upstream_address(&LogLine { upstream: Some(upstream.to_owned()), ..LogLine::default() })
}

#[test]
fn an_ordinary_line() {
    let line = read("connect() failed (111: Connection refused) while connecting to upstream", TAIL);
    assert_eq!((line.pid, line.connection, line.errno), (1713, Some(134), Some(111)));
    assert_eq!((line.time.as_str(), line.level.as_str()), ("2026/11/20 09:12:01", "error"));
    assert_eq!(line.message, "connect() failed (111: Connection refused) while connecting to upstream");
    assert_eq!(line.action.as_deref(), Some("connecting to upstream"));
    assert_eq!((line.client.as_deref(), line.server.as_deref()), (Some("192.0.2.7"), Some("lab")));
    assert_eq!((line.request.as_deref(), line.host.as_deref()), (Some("GET / HTTP/1.1"), Some("lab")));
    assert_eq!(upstream_address(&line), Some(tcp("10.0.0.2:8080")));
    assert!(!line.truncated && line.resolver.is_none() && line.subrequest.is_none());
}

#[test]
fn the_number_counts_and_not_the_text() {
    for text in ["(110: Operation timed out)", "(110: Connection timed out)", "(110: Zeit überschritten)"] {
        let line = read(&format!("upstream timed out {text} while reading upstream"), TAIL);
        assert_eq!(line.errno, Some(110), "{text}");
    }
    for text in [
        "(20:unable to get local issuer certificate)",
        "(SSL: error:0A00010B:SSL routines::wrong version number)",
    ] {
        assert_eq!(
            read(&format!("SSL_do_handshake() failed {text} while SSL handshaking to upstream"), TAIL).errno,
            None
        );
    }
    assert_eq!(read("app.test could not be resolved (3: Host not found)", TAIL).errno, None);
    assert_eq!(read("app.test could not be resolved (110: Operation timed out)", TAIL).errno, Some(110));
    assert_eq!(read("recv() failed (99999999999: x) while reading upstream", TAIL).errno, None);
}

#[test]
fn lines_without_a_request() {
    let line = parse(b"2026/11/20 09:12:01 [error] 7#0: recv() failed (111: Connection refused) while resolving, resolver: 127.0.0.1:53").expect("a line");
    assert_eq!((line.connection, line.errno, line.action.as_deref()), (None, Some(111), Some("resolving")));
    assert_eq!((line.resolver.as_deref(), line.client), (Some("127.0.0.1:53"), None));
    let line =
        parse(b"2026/11/20 09:12:01 [alert] 7#7: worker process 9 exited on signal 11").expect("a line");
    assert_eq!(line.message, "worker process 9 exited on signal 11");
    for other in [
        "",
        "\n",
        "nginx: [emerg] bind() failed",
        "2026/11/20 09:12:01 error 7#7: x",
        "2026/11/20 09:12:01 [error] x#7: y",
    ] {
        assert_eq!(parse(other.as_bytes()), None, "{other}");
    }
}

#[test]
fn forms_of_the_upstream() {
    assert_eq!(address("http://10.0.0.2:80/uri?a=http://1.1.1.1:1/"), Some(tcp("10.0.0.2:80")));
    assert_eq!(address("https://[::1]:8443/"), Some(tcp("[::1]:8443")));
    assert_eq!(address("fastcgi://127.0.0.1:9000"), Some(tcp("127.0.0.1:9000")));
    assert_eq!(address("grpc://10.0.0.2:50051"), Some(tcp("10.0.0.2:50051")));
    assert_eq!(address("10.0.0.2:80"), Some(tcp("10.0.0.2:80")));
    assert_eq!(address("http://unix:/run/app.sock:/uri/x"), Some(unix("/run/app.sock")));
    assert_eq!(address("http://unix:/run/app.sock/uri/x"), Some(unix("/run/app.sock")));
    assert_eq!(address("http://unix:/run/app/uri"), None);
    assert_eq!(address("fastcgi://unix:/run/php.sock:"), Some(unix("/run/php.sock")));
    assert_eq!(address("fastcgi://unix:/run/php"), Some(unix("/run/php")));
    assert_eq!(address("http://backend/uri"), None);
    let line = |upstream: &str| LogLine { upstream: Some(upstream.to_owned()), ..LogLine::default() };
    assert_eq!(upstream_group(&line("http://backend/uri")), Some("backend"));
    assert_eq!(upstream_group(&line("http://10.0.0.2:80/uri")), None);
    assert!(fits(&line("http://unix:/run/app/uri"), &unix("/run/app")));
    assert!(!fits(&line("http://unix:/run/app2:/uri"), &unix("/run/app")));
    assert!(!fits(&line("http://10.0.0.2:8080/"), &tcp("10.0.0.2:80")));
}

#[test]
fn a_stream_line() {
    let tail = ", client: 192.0.2.7, server: 0.0.0.0:9000, upstream: \"10.0.0.2:80\", bytes from/to client:0/0, bytes from/to upstream:0/0";
    let line = read("upstream timed out (110: Connection timed out) while connecting to upstream", tail);
    assert_eq!(
        (line.upstream.as_deref(), line.server.as_deref()),
        (Some("10.0.0.2:80"), Some("0.0.0.0:9000"))
    );
}

#[test]
fn angie_quotes_what_nginx_leaves_bare() {
    let tail = r#", client: "127.0.0.1", server: "", request_line: "GET /"a HTTP/1.1", upstream: "http://10.0.0.2:8080/a", host: "lab""#;
    let line = read("upstream timed out (110: x) while connecting to upstream", tail);
    assert_eq!((line.client.as_deref(), line.server.as_deref()), (Some("127.0.0.1"), Some("")));
    assert_eq!((line.request.as_deref(), line.host.as_deref()), (Some("GET /\"a HTTP/1.1"), Some("lab")));
    assert_eq!(upstream_address(&line), Some(tcp("10.0.0.2:8080")));
    let line =
        read("app could not be resolved (3: Host not found)", r#", client: "unix:", server: "lab, b""#);
    assert_eq!((line.client.as_deref(), line.server.as_deref()), (Some("unix:"), Some("lab, b")));
    let line = read("recv() failed (111: x) while resolving", r#", resolver: "127.0.0.1:53""#);
    assert_eq!(line.resolver.as_deref(), Some("127.0.0.1:53"));
}

#[test]
fn tags_follow_on_any_part() {
    let message = "upstream timed out (110: x) while reading upstream";
    let tags = |line: &LogLine| line.tags.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>();
    let line = read(message, &format!("{TAIL}, request_id: \"5f3a\", zone: eu"));
    assert_eq!(
        (line.host.as_deref(), tags(&line)),
        (Some("lab"), vec!["request_id=5f3a".into(), "zone=eu".into()])
    );
    let stream = ", client: ::1, server: 0.0.0.0:9000, upstream: \"10.0.0.2:80\", bytes from/to client:0/0, bytes from/to upstream:0/0, zone: eu";
    let line = read(message, stream);
    assert_eq!((line.upstream.as_deref(), tags(&line)), (Some("10.0.0.2:80"), vec!["zone=eu".into()]));
    let line = read(message, ", client: ::1, server: lab, upstream: \"fastcgi://10.0.0.2:9000\", id: \"5\"");
    assert_eq!((upstream_address(&line), tags(&line)), (Some(tcp("10.0.0.2:9000")), vec!["id=5".into()]));
    let line = read(message, &format!("{TAIL}, referrer: \"x\", id: \"evil\", id: \"5\""));
    assert_eq!((line.host.as_deref(), tags(&line).len()), (Some("lab"), 0));
}

#[test]
fn words_of_the_client_are_not_taken_for_nginx() {
    let evil = r#", upstream: "http://6.6.6.6:1/", host: "x""#;
    let line = |request: &str, uri: &str, end: &str| {
        let tail = format!(
            r#", client: 192.0.2.7, server: lab, request: "{request}", upstream: "http://10.0.0.2:80{uri}", {end}"#
        );
        read("upstream timed out (110: x) while reading upstream", &tail)
    };
    for (request, end) in [
        (format!("GET /a\"{evil} HTTP/1.1"), "host: \"lab\"".to_owned()),
        (
            "GET / HTTP/1.1".to_owned(),
            format!("host: \"lab\", referrer: \"\"{evil}, client: 6.6.6.6, server: x\""),
        ),
        ("GET /\"quoted\" HTTP/2.0".to_owned(), "host: \"l\"ab\"".to_owned()),
    ] {
        let line = line(&request, "/a\"b", &end);
        assert_eq!(line.request.as_deref(), Some(request.as_str()));
        assert_eq!(line.upstream.as_deref(), Some("http://10.0.0.2:80/a\"b"));
        assert_eq!(line.client.as_deref(), Some("192.0.2.7"));
    }
    let line = line("GET /", "/", "host: \"lab\"");
    assert_eq!((line.request.as_deref(), upstream_address(&line)), (Some("GET /"), Some(tcp("10.0.0.2:80"))));
}

#[test]
fn words_of_the_upstream_that_look_like_nginxs_leave_it_unnamed() {
    let evil =
        r#", client: 6.6.6.6, server: x, request: "GET / HTTP/1.1", upstream: "http://6.6.6.6:1/", host: "x"#;
    let line = read(
        &format!("upstream sent invalid header: \"X{evil}\" while reading response header from upstream"),
        TAIL,
    );
    assert_eq!((line.upstream, line.client), (None, None));
    let line = read(
        "upstream sent invalid header: \"X, client: y\" while reading response header from upstream",
        TAIL,
    );
    assert_eq!(upstream_address(&line), Some(tcp("10.0.0.2:8080")));
    assert!(line.message.ends_with("reading response header from upstream"));
}

#[test]
fn control_characters_are_written_out_and_long_lines_noted() {
    let line =
        read("upstream sent invalid header: \"X\x1b[2J\" while reading response header from upstream", TAIL);
    assert!(line.message.contains("X\\x1b[2J"), "{}", line.message);
    let mut long = format!("2026/11/20 09:12:01 [error] 1#1: *1 upstream timed out (110: x) while reading upstream, client: ::1, server: lab, request: \"GET /{}", "a".repeat(3_000)).into_bytes();
    long.truncate(2_047);
    let line = parse(&long).expect("a line");
    assert!(line.truncated && line.upstream.is_none() && line.request.is_some());
    let cut = read(
        "upstream timed out (110: x) while reading upstream",
        ", client: ::1, server: lab, upstream: \"http://10.0.0.2:80",
    );
    assert_eq!(cut.upstream, None);
}

#[test]
fn no_bytes_make_it_panic() {
    let whole = format!(
        "2026/11/20 09:12:01 [error] 1713#1713: *134 connect() failed (111: é) while connecting to upstream{TAIL}"
    );
    let mut state = 1u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..20_000 {
        let mut bytes = whole.clone().into_bytes();
        for _ in 0..random() % 20 {
            let at = random() as usize % bytes.len();
            match random() % 4 {
                0 => bytes[at] = random() as u8,
                1 => bytes[at] = b"\"(), :/#*\\"[random() as usize % 9],
                2 => drop(bytes.drain(at..(at + random() as usize % 40).min(bytes.len()))),
                _ => bytes.insert(at, b'"'),
            }
            bytes.push(b' ');
        }
        if let Some(line) = parse(&bytes) {
            let _ = (upstream_address(&line), upstream_group(&line), fits(&line, &unix("/a")));
        }
    }
    for end in 0..whole.len() {
        let _ = parse(&whole.as_bytes()[..end]);
    }
}

#[test]
fn of_words_that_look_like_many_parts_nothing_is_believed() {
    let part = ", client: 192.0.2.7, server: lab, upstream: \"http://10.0.0.9:80/\"";
    for (count, believed) in [(2, true), (MAX_WAYS, true), (MAX_WAYS + 1, false)] {
        let text = format!(
            "2026/11/20 09:12:01 [error] 1#1: *5 FastCGI sent in stderr: \"x\"{}",
            part.repeat(count)
        );
        let line = parse(text.as_bytes()).expect("a line");
        assert_eq!(line.upstream.is_some(), believed, "{count}");
        assert_eq!(line.message, "FastCGI sent in stderr: \"x\"");
    }
}

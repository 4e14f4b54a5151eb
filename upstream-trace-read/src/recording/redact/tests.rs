use super::*;
use upstream_trace_core::event::{Config, Group, Pass, Server, Target};

fn line(upstream: &str, message: &str) -> LogLine {
    let own = |text: &str| Some(text.to_owned());
    LogLine {
        client: own("192.0.2.7"),
        server: own("shop.test"),
        request: own("POST /cart/42?token=secret HTTP/1.1"),
        host: own("Shop.test:8443"),
        upstream: own(upstream),
        message: message.to_owned(),
        file: "/var/log/nginx/shop.test.error.log".to_owned(),
        ..LogLine::default()
    }
}

fn redacted(redactor: &mut Redactor, line: LogLine) -> LogLine {
    let mut event = Event::Log(line);
    redactor.event(&mut event);
    let Event::Log(line) = event else { panic!("another event") };
    line
}

#[test]
fn names_stand_for_texts() {
    let mut redactor = Redactor::default();
    let found = redacted(&mut redactor, line("http://10.0.0.2:80/cart/42?token=secret", "words"));
    assert_eq!(found.client.as_deref(), Some("client-1"));
    assert_eq!(found.server.as_deref(), Some("host-1"));
    assert_eq!(found.host.as_deref(), Some("host-1:8443"));
    assert_eq!(found.request.as_deref(), Some("POST /path-1?... HTTP/1.1"));
    assert_eq!(found.upstream.as_deref(), Some("http://10.0.0.2:80/path-1?..."));
    assert_eq!((found.message.as_str(), found.file.as_str()), ("(redacted)", "file-1"));
    let again = redacted(&mut redactor, line("http://backend/other", "words"));
    assert_eq!(again.client, found.client);
    assert_eq!(again.upstream.as_deref(), Some("http://host-2/path-2"));
}

#[test]
fn sockets_stay_and_paths_behind_them_go() {
    let mut redactor = Redactor::default();
    let mut url = |text: &str| redacted(&mut redactor, line(text, "")).upstream.unwrap_or_default();
    assert_eq!(url("http://unix:/run/app.sock:/secret"), "http://unix:/run/app.sock:/path-1");
    assert_eq!(url("http://unix:/run/app.sock/secret"), "http://unix:/run/app.sock/path-1");
    assert_eq!(url("fastcgi://unix:/run/php.fpm:"), "fastcgi://unix:/run/php.fpm:");
    // Where this one ends is not known.
    assert_eq!(url("http://unix:/run/app/secret"), "http://unix:/path-3");
    redactor.sockets.push("/run/app".to_owned());
    let mut url = |text: &str| redacted(&mut redactor, line(text, "")).upstream.unwrap_or_default();
    assert_eq!(url("http://unix:/run/app/secret"), "http://unix:/run/app/path-1");
}

#[test]
fn words_keep_their_kind() {
    let mut redactor = Redactor::default();
    let mut words = |text: &str| redactor.words(text);
    for text in [
        "upstream timed out (110: Connection timed out) while connecting to upstream",
        "connect() to unix:/run/app.sock failed (2: No such file or directory) while connecting to upstream",
        "no live upstreams while connecting to upstream",
        "SSL_do_handshake() failed (SSL: error:0A000410:SSL routines::sslv3 alert handshake failure:SSL alert number 40) while SSL handshaking to upstream",
        "SSL_do_handshake() failed (SSL: error:14094410:SSL routines:ssl3_read_bytes:sslv3 alert handshake failure:SSL alert number 40) while SSL handshaking to upstream",
        "upstream SSL certificate verify error: (10:certificate has expired) while SSL handshaking to upstream",
        "upstream SSL certificate verify error: (19:self-signed certificate in certificate chain) while SSL handshaking to upstream",
        "upstream sent unsupported FastCGI protocol version: 9 while reading response header from upstream",
        "768 worker_connections are not enough while connecting to upstream",
        "upstream prematurely closed connection while reading response header from upstream",
        "send() failed (1: Operation not permitted) while resolving",
        "the new socket has number 1024, but only 1024 files are available",
        "zero length URI to proxy",
    ] {
        assert_eq!(words(text), text);
    }
    assert_eq!(
        words("app.internal could not be resolved (3: Host not found)"),
        "host-1 could not be resolved (3: Host not found)"
    );
    assert_eq!(words("no resolver defined to resolve app.internal"), "no resolver defined to resolve host-1");
    assert_eq!(
        words(
            "upstream sent invalid header: \"X-User: bob \"x\"\" while reading response header from upstream"
        ),
        "upstream sent invalid header: \"(redacted)\" while reading response header from upstream"
    );
}

#[test]
fn odd_requests() {
    let mut redactor = Redactor::default();
    let mut request = |text: &str| redactor.request(text);
    assert_eq!(request("GET / HTTP/1.0"), "GET / HTTP/1.0");
    assert_eq!(request("GET http://user:pass@host/x HTTP/1.1"), "GET /path-1 HTTP/1.1");
    assert_eq!(request("\\x16\\x03secret"), "? /path-2");
    assert_eq!(request("GET /a b c"), "GET /path-3");
    assert_eq!(request(""), "");
}

#[test]
fn the_path_of_a_location_is_that_of_its_requests() {
    let mut redactor = Redactor::default();
    assert_eq!(
        ["= /auth", "/auth", "~* ^/a b"].map(|path| redactor.path(path)),
        ["= /path-1", "/path-1", "~* /path-2"]
    );
}

#[test]
fn configuration_and_lines_get_the_same_names() {
    let mut redactor = Redactor::default();
    let target = |text: &str| Target { text: text.to_owned(), ..Target::default() };
    let server = |text: &str| Server { target: target(text), ..Server::default() };
    let servers = vec![server("10.0.0.2:80"), server("app1.internal:8080"), server("unix:/run/app.sock")];
    let pass = Pass {
        group: Some("backend".to_owned()),
        server: Some("shop.test".to_owned()),
        location: Some("~ ^/cart".to_owned()),
        place: "/etc/nginx/sites/shop.test:12".to_owned(),
        ..Pass::default()
    };
    let mut event = Event::Config(Box::new(Config {
        file: "/etc/nginx/nginx.conf".to_owned(),
        groups: vec![Group { name: "backend".to_owned(), servers, ..Group::default() }],
        passes: vec![pass],
        syslog: vec!["logs.shop.test:514".to_owned(), "unix:/dev/log".to_owned()],
        unread: Some("/etc/nginx/shop.test.conf: permission denied".to_owned()),
        ..Config::default()
    }));
    redactor.event(&mut event);
    let text = serde_json::to_string(&event).expect("JSON");
    for private in ["shop", "cart", "backend", "app1", "sites"] {
        assert!(!text.contains(private), "{private}: {text}");
    }
    for stays in ["10.0.0.2:80", "host-2:8080", "unix:/run/app.sock", "file-2:12", "unix:/dev/log"] {
        assert!(text.contains(stays), "{stays}: {text}");
    }
    let line = redacted(&mut redactor, line("http://backend/cart", "no live upstreams"));
    let Event::Config(config) = event else { panic!("another event") };
    assert_eq!(line.upstream, Some(format!("http://{}/path-2", config.groups[0].name)));
    assert_eq!(line.server, config.passes[0].server);
}

#[test]
fn hosts_are_told_apart_and_not_named() {
    let named = |hostname: &str, at| {
        let mut event = Event::Host(Host { hostname: hostname.to_owned(), at, ..Host::default() });
        Redactor::default().event(&mut event);
        let Event::Host(host) = event else { panic!("another event") };
        host.hostname
    };
    let one = named("web1.internal", 1);
    assert!(one.starts_with("host-") && one.len() == 11, "{one}");
    assert_eq!(one, named("web1.internal", 1));
    assert_eq!(one, named("anything", 1), "the name has no part in it");
    assert_ne!(one, named("web1.internal", 2));
    assert_eq!(named("", 1), "");
}

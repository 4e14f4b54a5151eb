use std::rc::Rc;

use super::super::files::placed;
use super::super::syntax;
use super::*;

fn read(text: &str) -> Config {
    let (directives, stop) = syntax::parse(text, concerns, &mut 1_000);
    assert_eq!(stop, None);
    of(&placed(directives, &Rc::from("f")), &Names::new())
}

#[test]
fn groups_and_their_servers() {
    let read = read(
        "http { upstream a { zone a 64k; keepalive 16; keepalive_timeout 5s; \
                     server 10.0.0.1; server app:8080 weight=2 max_fails=3 fail_timeout=30s backup; \
                     server unix:/run/a.sock down; } } \
                     stream { upstream a { server 10.0.0.1:53; } }",
    );
    let [http, stream] = &read.groups[..] else { panic!("{:?}", read.groups) };
    assert_eq!((http.name.as_str(), http.keepalive, http.stream), ("a", Some(16), false));
    assert_eq!(http.keepalive_timeout.as_ref().map(|time| time.ms), Some(5_000));
    assert_eq!(http.servers[0].target.addresses[0].to_string(), "10.0.0.1:80");
    let app = &http.servers[1];
    assert_eq!((app.max_fails, app.fail_timeout_ms, app.target.port), (3, 30_000, Some(8080)));
    assert_eq!(app.parameters, "weight=2 max_fails=3 fail_timeout=30s backup");
    assert!(http.servers[2].down && !app.down);
    assert!(stream.stream && !read.dynamic);
    assert_eq!(stream.keepalive_timeout.as_ref().and_then(|time| time.place.clone()), None);
}

#[test]
fn lines_that_go_to_syslog_alone() {
    let servers = |text: &str| read(text).syslog;
    assert_eq!(servers("error_log syslog:server=a; http { server { location / { } } }"), [""; 0]);
    let alone = "http { error_log syslog:server=unix:/dev/log,nohostname crit; error_log memory:32m debug;
        server { error_log syslog:facility=user,server=10.0.0.1:514; error_log syslog:server=unix:/dev/log; } }";
    assert_eq!(servers(alone), ["unix:/dev/log", "10.0.0.1:514"]);
    let both = "http { server { error_log syslog:server=10.0.0.1; error_log /var/log/x.log; } }";
    assert_eq!(servers(both), [""; 0]);
    let many: Vec<_> = (0..100).map(|number| format!("error_log syslog:server=10.0.0.{number};")).collect();
    assert_eq!(servers(&format!("stream {{ {} }}", many.join(" "))).len(), MAX_SYSLOG);
}

#[test]
fn bodies_that_are_announced_and_not_sent() {
    let read = read(
        "http { proxy_set_header Host x; server {
          location /a { auth_request /auth; proxy_pass http://10.0.0.1; }
          location = /auth { proxy_pass http://10.0.0.2; }
          location /off { proxy_pass_request_body off; proxy_pass http://10.0.0.3; }
          location /fine { proxy_pass_request_body off; proxy_set_header content-length ''; proxy_pass http://10.0.0.4; }
          location /php { proxy_pass_request_body off; fastcgi_pass 10.0.0.5:9000; } } }",
    );
    let promised: Vec<_> = read.passes.iter().map(|pass| pass.promises_body).collect();
    assert_eq!(promised, [false, true, true, false, false]);
}

#[test]
fn what_a_connection_speaks() {
    let read = read(
        "http { server { proxy_set_header Upgrade $http_upgrade; proxy_set_header Host x; proxy_http_version 2;
          location /a { proxy_pass http://10.0.0.1; }
          location /b { proxy_http_version 1.1; proxy_set_header Host y; proxy_pass http://10.0.0.2; }
          location /c { grpc_pass 10.0.0.3:80; } location /d { tunnel_pass 10.0.0.4:80; } } }",
    );
    let tunnels: Vec<_> = read.passes.iter().map(|pass| (pass.tunnels, pass.http2)).collect();
    assert_eq!(tunnels, [(true, true), (false, false), (false, true), (true, false)]);
}

#[test]
fn passes_inherit_their_timeouts_wherever_these_stand() {
    let read = read("http { upstream a { server 10.0.0.1; }
        server { server_name Example.org www.example.org;
          location /x { proxy_pass http://a/uri; proxy_read_timeout 500ms; }
          location / { if ($x) { proxy_pass http://10.0.0.9; } location /y { fastcgi_pass unix:/run/php.sock; } }
        }
        proxy_connect_timeout 1m30s; }");
    let [x, direct, php] = &read.passes[..] else { panic!("{:?}", read.passes) };
    assert_eq!(
        (x.group.as_deref(), x.server.as_deref(), x.location.as_deref()),
        (Some("a"), Some("example.org"), Some("/x"))
    );
    assert_eq!((x.read.ms, x.read.place.as_deref()), (500, Some("f:3")));
    assert_eq!(
        (x.connect.ms, x.connect.text.as_str(), x.connect.place.as_deref()),
        (90_000, "1m30s", Some("f:6"))
    );
    assert_eq!((x.send.ms, &x.send.place), (60_000, &None));
    assert_eq!(
        direct.target.as_ref().map(|target| target.addresses[0].to_string()).as_deref(),
        Some("10.0.0.9:80")
    );
    assert_eq!((direct.read.ms, direct.location.as_deref()), (60_000, Some("/")));
    assert_eq!((php.read.directive.as_str(), php.location.as_deref()), ("fastcgi_read_timeout", Some("/y")));
    assert_eq!(php.connect.directive, "fastcgi_connect_timeout");
}

#[test]
fn schemes_and_ports() {
    let read = read(
        "http { upstream a { server 10.0.0.1; } server { server_name .wild.org;
        location /1 { proxy_pass https://10.0.0.2/x; } location /2 { proxy_pass http://[fd00::1]:81; }
        location /3 { grpc_pass grpcs://10.0.0.3; } location /4 { grpc_pass a; }
        location /5 { proxy_pass http://unix:/run/a.sock:/uri; } location /6 { uwsgi_pass 10.0.0.4:3031; }
        location /7 { proxy_pass https://A; } } }",
    );
    let shown: Vec<_> = read
        .passes
        .iter()
        .map(|pass| match (&pass.group, &pass.target) {
            (Some(group), None) => group.clone(),
            (None, Some(target)) => target.addresses.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        shown,
        ["10.0.0.2:443", "[fd00::1]:81", "10.0.0.3:443", "a", "unix:/run/a.sock", "10.0.0.4:3031", "a"]
    );
    assert!(read.passes.iter().all(|pass| pass.server.as_deref() == Some("wild.org")));
}

#[test]
fn what_only_a_request_knows_makes_it_dynamic() {
    for text in [
        "http { server { location / { proxy_pass http://$host; } } }",
        "http { upstream a { server 0.0.0.1; balancer_by_lua_block { x } } }",
        "http { server { access_by_lua_file x; } }",
        "http { js_import x; }",
    ] {
        assert!(read(text).dynamic, "{text}");
    }
    assert!(
        !read(
            "http { server { set $x 1; location / { proxy_pass http://a; proxy_set_header Host $host; } } }"
        )
        .dynamic
    );
}

#[test]
fn stream_has_one_timeout_for_both_ways() {
    let read = read(
        "stream { server { listen 9000; proxy_pass 10.0.0.1:9001; proxy_timeout 5s; } \
                     server { listen 127.0.0.1:9002; proxy_pass a; } }",
    );
    let [first, second] = &read.passes[..] else { panic!("{:?}", read.passes) };
    assert_eq!((first.server.as_deref(), first.read.ms, first.send.ms), (Some("0.0.0.0:9000"), 5_000, 5_000));
    assert_eq!((second.server.as_deref(), second.read.text.as_str()), (Some("127.0.0.1:9002"), "10m"));
}

#[test]
fn times() {
    for (text, ms) in [
        ("60", Some(60_000)),
        ("60s", Some(60_000)),
        ("1m30s", Some(90_000)),
        ("1h", Some(3_600_000)),
        ("500ms", Some(500)),
        ("1m 30s", Some(90_000)),
        ("1M", Some(2_592_000_000)),
        ("", None),
        ("x", None),
        ("5x", None),
        ("99999999999999999999s", None),
        ("18446744073709551615y", None),
    ] {
        assert_eq!(milliseconds(text), ms, "{text}");
    }
}

#[test]
fn addresses_of_clients_to_connect_from() {
    for (bind, expected) in [
        ("", false),
        ("proxy_bind 10.0.0.9;", false),
        ("proxy_bind $remote_addr transparent;", true),
        ("fastcgi_bind 10.0.0.9 transparent;", true),
        ("proxy_bind $server_addr;", true),
    ] {
        let text = format!("http {{ server {{ location / {{ {bind} proxy_pass http://10.0.0.2; }} }} }}");
        assert_eq!(read(&text).transparent, Some(expected), "{bind}");
    }
}

#[test]
fn which_passes_speak_tls() {
    let read = read("http { server { location /a { proxy_pass https://10.0.0.1; } location /b { grpc_pass grpcs://10.0.0.1; }
          location /c { proxy_pass http://10.0.0.1; } location /d { fastcgi_pass 10.0.0.1:9000; } } }
        stream { server { proxy_ssl on; proxy_pass 10.0.0.1:5; } server { proxy_pass 10.0.0.1:6; } }");
    let tls: Vec<_> = read.passes.iter().map(|pass| pass.tls).collect();
    assert_eq!(tls, [true, true, false, false, true, false].map(Some));
    let port = |pass: &Pass| Some(pass.target.as_ref()?.addresses.first()?.to_string());
    assert_eq!(port(&read.passes[0]).as_deref(), Some("10.0.0.1:443"));
}

use upstream_trace_core::event::{Event, Host, LogFollowed, LogLine, Nanos, Upstream};

use super::super::model::tests::{connect_error, contained, host, many_causes, refused, story_of, two_hosts};
use super::*;

const S: Nanos = 1_000_000_000;

fn page(recordings: &[Vec<Event>]) -> String {
    of(&story_of(recordings)).unwrap()
}

#[test]
fn the_page_tells_the_story() {
    let page = page(&two_hosts());
    for part in [
        "<h1>3 of 3 attempts to reach an upstream failed</h1>",
        "nginx on web1, web2 · 2026-11-20 09:12:00 to ",
        "unix:/run/app.sock on web2",
        "On web1 (2).",
        "<code>ss -lntp sport = :8080</code>",
        "Bar chart: 3 failed attempts",
        "Mostly port-refused at 10.0.0.2:8080: nothing listens on the upstream&#39;s port. 2 kinds of failure",
        "3 attempts, each with all that was seen of it.",
        "nginx asked for a connection (SYN)",
    ] {
        assert!(page.contains(part), "{part:?} is not in the page");
    }
    assert!(page.starts_with(super::super::file::BEGIN));
}

#[test]
fn where_nginx_runs() {
    let page = page(&contained());
    assert!(page.contains("<p>Runs in: nginx in docker container web (nginx:1.30).</p>"), "of the problem");
    assert!(page.contains("runs in: nginx in docker container web (nginx:1.30)"), "of the attempt");
}

#[test]
fn nothing_from_outside_is_markup() {
    const BAD: &str = "</script><img src=x onerror=alert(1)>\"'`&\u{202e}\u{1b}";
    let mut events = vec![host(BAD)];
    if let Some(Event::Host(host)) = events.first_mut() {
        *host = Host { kernel: BAD.into(), nginx: vec![BAD.into()], version: BAD.into(), ..host.clone() };
    }
    let upstream = Upstream::Unix(BAD.into());
    let (worker, at) = (1713, 3 * S);
    events.push(Event::LogFollowed(LogFollowed { at: S, worker, followed: true, level: None }));
    events.push(connect_error(1, at, upstream, 2));
    events.push(Event::Log(LogLine {
        at,
        worker: Some(worker),
        level: "error".into(),
        message: "no live upstreams while connecting to upstream".into(),
        action: Some("connecting to upstream".into()),
        upstream: Some(format!("http://{BAD}/")),
        client: Some(BAD.into()),
        request: Some(BAD.into()),
        server: Some(BAD.into()),
        host: Some(BAD.into()),
        file: BAD.into(),
        ..LogLine::default()
    }));
    let page = page(&[events]);
    assert_eq!(page.matches("<img").count(), 0, "markup from outside");
    assert_eq!(page.matches("</script>").count(), 1, "the page's own");
    assert!(!page.contains(['\u{202e}', '\u{1b}']), "characters that hide or turn text");
    assert!(page.contains("&#60;img src=x onerror=alert(1)&#62;&#34;&#39;"), "it is shown as it is");
    assert!(!page.contains("href=\"http") && !page.contains(" src=\""), "nothing leads out");
}

#[test]
fn a_page_without_failures() {
    let page = page(&[vec![host("web1"), Event::Tick { at: 9 * S }]]);
    assert!(page.contains("<h1>No attempt to reach an upstream failed</h1>"));
    assert!(page.contains("No attempt failed, and none was pending at the end."));
    assert!(!page.contains("id=\"filter\""));
}

#[test]
fn more_causes_than_colours_and_places() {
    let page = page(&many_causes());
    assert!(page.contains("<summary>3 more</summary>"), "the others unfold");
    assert_eq!(page.matches("<details class=\"attempt").count(), 8);
}

#[test]
fn a_storm_makes_a_page_that_opens() {
    let storm = |host_number: u64| {
        let failed = (0..5_000).map(move |n| {
            let upstream = format!("10.{host_number}.{}.{}:80", n % 700 / 250, n % 250);
            refused(n, 2 * S + n * 1_000_000, &upstream)
        });
        [host(&format!("web{host_number}"))].into_iter().chain(failed).collect::<Vec<_>>()
    };
    let page = page(&[storm(1), storm(2)]);
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
    assert!(page.contains("1,000 of 10,000 attempts are listed"), "the cap is said");
    assert!(page.contains("upstreams with fewer failures are not listed"));
}

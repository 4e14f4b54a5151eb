//! What nginx's client gets, and what the tool says of it: requests within requests, pages in place of errors, stale answers,
//! sessions of `stream`.

use anyhow::Result;
use upstream_trace_tests::origin::{Script, Step};
use upstream_trace_tests::util::ms;
use upstream_trace_tests::{Lab, Likely, Proven, Scenario};

const V4: &str = "10.99.0.2:8081";
const OTHER: &str = "10.99.0.2:8082";

pub(crate) const ALL: &[Scenario] = &[
    // The attempt failed, whatever page its client gets.
    ("status/error-page", |lab| {
        let page = "error_page 502 504 =200 /sorry;";
        let sorry = "location = /sorry { return 200 \"sorry\"; }";
        let world = lab.world().upstream(V4).location(page).server(sorry).start()?;
        let trace = world.trace(&[])?;
        world.get("/").status(200);
        let seen = trace.finish()?;
        seen.failure("port-refused").confidence(Proven | Likely).upstream(V4).status(502).recovered(false);
        seen.nothing_else();
        Ok(())
    }),
    ("status/error-page-at-another-upstream", |lab| {
        let page = "error_page 502 = @other;";
        let other = format!("location @other {{ proxy_pass http://{OTHER}; }}");
        let world = lab.world().upstream(V4).location(page).server(&other).start()?;
        let _origin = world.origin(OTHER, Script::answer(10))?;
        let trace = world.trace(&[])?;
        world.get("/").status(200);
        let seen = trace.finish()?;
        // Another location is no retry of nginx's upstream.
        seen.failure("port-refused").confidence(Proven | Likely).upstream(V4).status(502);
        seen.nothing_else();
        Ok(())
    }),
    ("status/stale-answer-from-the-cache", |lab| {
        let cache = "proxy_cache c; proxy_cache_valid 200 1s; proxy_cache_use_stale error timeout;";
        let path = "proxy_cache_path @folder@/cache keys_zone=c:1m;";
        let world = lab.world().upstream(V4).location(cache).config(|config| config.http.push(path.into()));
        let world = world.start()?;
        let origin = world.origin(V4, Script::answer(10))?;
        let trace = world.trace(&[])?;
        world.get("/").status(200);
        world.stop(origin)?;
        world.pause(ms(2_200));
        world.get("/").status(200);
        let seen = trace.finish()?;
        seen.failure("port-refused").confidence(Proven | Likely).upstream(V4).status(502).recovered(false);
        seen.nothing_else();
        Ok(())
    }),
    // The trap beside: the answer is of the cache, and nothing failed.
    ("status/fresh-answer-from-the-cache", |lab| {
        let cache = "proxy_cache c; proxy_cache_valid 200 1m;";
        let path = "proxy_cache_path @folder@/cache keys_zone=c:1m;";
        let world = lab.world().upstream(V4).location(cache).config(|config| config.http.push(path.into()));
        let world = world.start()?;
        let origin = world.origin(V4, Script::answer(10))?;
        let trace = world.trace(&[])?;
        world.get("/").status(200);
        world.stop(origin)?;
        world.get("/").status(200);
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    ("status/mirror", |lab| subrequest(lab, "mirror /sub;", 200)),
    ("status/auth-request", |lab| subrequest(lab, "auth_request /sub;", 500)),
    ("status/stream-goes-on-to-the-next", |lab| {
        let servers = format!(
            "upstream two {{ server {V4}; server {OTHER} backup; }}\n\
             server {{ listen 127.0.0.1:8090; proxy_pass two; proxy_connect_timeout 1s; }}"
        );
        let world = lab.world().upstream(V4).stream(&servers).start()?;
        let _origin = world.origin(OTHER, Script::answer(10))?;
        let trace = world.trace(&[])?;
        world.get_from("127.0.0.1:8090", "/").status(200);
        let seen = trace.finish()?;
        seen.failure("port-refused").confidence(Proven | Likely).upstream(V4).recovered(true);
        seen.nothing_else();
        Ok(())
    }),
    // nginx had begun to read the refusal of an upload; what it did not read is lost.
    ("request-rejected-early/half-of-the-answer-was-read", |lab| half_read(lab, Step::Close, true)),
    // The trap beside: no data was unread, the application asked for a reset.
    ("request-rejected-early/not-by-a-reset-in-the-answer", |lab| half_read(lab, Step::Reset, false)),
];

fn half_read(lab: &Lab, end: Step, unread: bool) -> Result<()> {
    let world = lab.world().upstream(V4).start()?;
    let half = Step::Send(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 9\r\n".to_vec());
    let read = if unread { Step::Head } else { Step::Request };
    let steps = vec![read, half, Step::Sleep(ms(300)), end];
    let _origin = world.origin(V4, Script::new(steps))?;
    let trace = world.trace(&[])?;
    world.post("/", 30_000).status(502);
    let seen = trace.finish()?;
    let cause = if unread { "request-rejected-early" } else { "reset-by-backend" };
    seen.failure(cause).confidence(Proven).upstream(V4).status(502);
    seen.nothing_else();
    Ok(())
}

/// A subrequest fails; what the client gets depends on what it is for.
fn subrequest(lab: &Lab, directive: &str, status: u16) -> Result<()> {
    let location = format!("location = /sub {{ internal; proxy_pass http://{OTHER}; }}");
    let world = lab.world().upstream(V4).location(directive).server(&location).start()?;
    let _origin = world.origin(V4, Script::answer(10))?;
    let trace = world.trace(&[])?;
    world.get("/").status(status);
    let seen = trace.finish()?;
    let failure = seen.failure("port-refused").confidence(Proven | Likely).upstream(OTHER);
    failure.recovered(false).logged("subrequest", "/sub");
    seen.nothing_else();
    Ok(())
}

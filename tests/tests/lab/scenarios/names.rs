//! What nginx's configuration calls it: groups, servers, timeouts. And the attempts of one request, told together.

use std::fs;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use upstream_trace_tests::expect::Expected;
use upstream_trace_tests::origin::{Ending, Script};
use upstream_trace_tests::seen::Seen;
use upstream_trace_tests::util::{alive, ms, signal, wait_until};
use upstream_trace_tests::{Lab, Scenario, World};

const V4: &str = "10.99.0.2:8081";
const OTHER: &str = "10.99.0.2:8082";
const THIRD: &str = "10.99.0.2:8083";

pub(crate) const ALL: &[Scenario] = &[
    ("names/group", |lab| {
        let world = lab.world().upstream("10.99.0.2:8081 weight=2").start()?;
        let trace = world.trace(&[])?;
        world.get("/").status(502);
        let seen = trace.finish()?;
        let failure = seen.failure("port-refused").upstream(V4);
        has(lab, &failure, "/group", &json!("origin"));
        has(lab, &failure, "/peer", &json!("10.99.0.2:8081 weight=2"));
        summary_has(lab, &seen, "/by_cause/0/group", &json!("origin"));
        summary_has(lab, &seen, "/upstreams/0/group", &json!("origin"));
        seen.nothing_else();
        Ok(())
    }),
    ("names/unix", |lab| {
        let world = lab.world().upstream("unix:app.sock").start()?;
        let trace = world.trace(&[])?;
        world.get("/").status(502);
        let seen = trace.finish()?;
        let failure = seen.failure("socket-missing");
        has(lab, &failure, "/group", &json!("origin"));
        has(lab, &failure, "/peer", &json!(world.unix("app.sock")));
        seen.nothing_else();
        Ok(())
    }),
    ("names/without-a-group", |lab| {
        let world = lab.world().location("proxy_pass http://10.99.0.2:8081/x;").start()?;
        let trace = world.trace(&[])?;
        world.get("/").status(502);
        let seen = trace.finish()?;
        let failure = seen.failure("port-refused").upstream(V4);
        has(lab, &failure, "/group", &Value::Null);
        if let Some(object) = failure.object() {
            let passes = object["passes"].to_string();
            lab.check(passes.contains("location / ("), || format!("passes is {passes}"));
        }
        seen.nothing_else();
        Ok(())
    }),
    ("names/in-an-included-file", |lab| {
        let included = "include groups/*.conf;".to_owned();
        let world = lab.world().config(|config| config.http.push(included)).start()?;
        let folder = world.folder().join("groups");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("api.conf"), "upstream api { server 10.99.0.2:8081; }\n")?;
        let conf = world.folder().join("nginx.conf");
        fs::write(&conf, fs::read_to_string(&conf)?.replace("return 204;", "proxy_pass http://api;"))?;
        reload(&world)?;
        let trace = world.trace(&[])?;
        world.get("/").status(502);
        let seen = trace.finish()?;
        has(lab, &seen.failure("port-refused"), "/group", &json!("api"));
        seen.nothing_else();
        Ok(())
    }),
    ("names/read-timeout", |lab| {
        let timeout = "proxy_read_timeout 1500ms;";
        let world = lab.world().upstream(V4).location(timeout).start()?;
        let _origin = world.origin(V4, Script::silent())?;
        let trace = world.trace(&[])?;
        world.get("/").status(504);
        let seen = trace.finish()?;
        let failure = seen.failure("slow-response");
        has(lab, &failure, "/directives/0/name", &json!("proxy_read_timeout"));
        has(lab, &failure, "/directives/0/value", &json!("1500ms"));
        has(lab, &failure, "/directives/0/default", &json!(false));
        has(lab, &failure, "/directives/1", &Value::Null);
        says(lab, &failure, "fix", "proxy_read_timeout 1500ms");
        seen.nothing_else();
        Ok(())
    }),
    ("names/connect-timeout", |lab| {
        let world = lab.world().upstream("10.99.0.2:8081").connect_timeout("1s").start()?;
        let _origin = world.origin(V4, Script::never_accept(0))?;
        let _waiting = world.fill(V4)?;
        let trace = world.trace(&[])?;
        world.get("/").status(504);
        let seen = trace.finish()?;
        let failure = seen.failure_of(&["accept-queue-full", "firewall-drop-remote"]);
        has(lab, &failure, "/directives/0/name", &json!("proxy_connect_timeout"));
        has(lab, &failure, "/directives/0/value", &json!("1s"));
        seen.nothing_else();
        Ok(())
    }),
    ("names/after-a-reload", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let trace = world.trace(&[])?;
        world.get("/").status(502);
        let conf = world.folder().join("nginx.conf");
        fs::write(&conf, fs::read_to_string(&conf)?.replace("origin", "renamed"))?;
        reload(&world)?;
        // New workers are looked for once a second.
        world.pause(ms(1500));
        world.get("/").status(502);
        let seen = trace.finish()?;
        has(lab, &seen.failure("port-refused"), "/group", &json!("origin"));
        has(lab, &seen.failure("port-refused"), "/group", &json!("renamed"));
        seen.nothing_else();
        Ok(())
    }),
    ("names/edited-and-not-reloaded", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::silent())?;
        world.pause(ms(1500));
        let conf = world.folder().join("nginx.conf");
        fs::write(&conf, fs::read_to_string(&conf)?)?;
        let trace = world.trace(&[])?;
        world.get("/").status(504);
        let seen = trace.finish()?;
        let failure = seen.failure("slow-response");
        has(lab, &failure, "/group", &json!("origin"));
        has(lab, &failure, "/directives", &Value::Null);
        let noted = seen.of_type("note").any(|note| note["text"].to_string().contains("was changed after"));
        lab.check(noted || trace_is_off(&seen), || "nobody said that the file was changed".into());
        seen.nothing_else();
        Ok(())
    }),
    ("tries/two-refused-and-one-answers", |lab| {
        let world = lab.world().upstream(V4).upstream(OTHER).upstream(THIRD).start()?;
        let _origin = world.origin(THIRD, Script::answer(10))?;
        let trace = world.trace(&[])?;
        world.get("/").status(200);
        let seen = trace.finish()?;
        for number in 1..=2 {
            let failure = seen.failure("port-refused").recovered(true);
            has(lab, &failure, "/tries/number", &json!(number));
            has(lab, &failure, "/tries/of", &json!(3));
            has(lab, &failure, "/tries/chain/0/cause", &json!("port-refused"));
            has(lab, &failure, "/tries/chain/1/cause", &json!("port-refused"));
            has(lab, &failure, "/tries/chain/2/upstream", &json!(THIRD));
            has(lab, &failure, "/tries/chain/2/answered", &json!(true));
        }
        seen.nothing_else();
        Ok(())
    }),
    ("tries/all-refused", |lab| {
        let world = lab.world().upstream(V4).upstream("unix:app.sock").start()?;
        let trace = world.trace(&[])?;
        world.get("/").status(502);
        let seen = trace.finish()?;
        let first = seen.failure("port-refused").recovered(false);
        has(lab, &first, "/tries/chain/1/cause", &json!("socket-missing"));
        let second = seen.failure("socket-missing").recovered(false);
        has(lab, &second, "/tries/number", &json!(2));
        has(lab, &second, "/tries/chain/0/upstream", &json!(V4));
        seen.nothing_else();
        Ok(())
    }),
    ("tries/dead-pooled-connections", |lab| {
        let world = lab.world().upstream(V4).keepalive(4).start()?;
        let trace = world.trace(&[])?;
        burn(&world)?;
        let seen = trace.finish()?;
        for number in 1..=2 {
            let failure = seen.failure("stale-keepalive").recovered(true).reused(true);
            has(lab, &failure, "/tries/number", &json!(number));
            has(lab, &failure, "/tries/of", &json!(3));
            has(lab, &failure, "/tries/chain/2/answered", &json!(true));
            has(lab, &failure, "/requests", &json!(1));
            let idle = failure.object().map_or(1e9, |object| object["idle_ms"].as_f64().unwrap_or(0.0));
            lab.check(idle >= 100.0 || lab.may_differ("idle_ms"), || format!("idle_ms is {idle}"));
            says(lab, &failure, "summary", "2 dead pooled connections");
        }
        seen.nothing_else();
        Ok(())
    }),
    ("tries/what-ejected-the-peers", |lab| {
        let world = lab.world().upstream(V4).upstream(OTHER).start()?;
        let trace = world.trace(&[])?;
        world.get("/").status(502);
        world.get("/").status(502).log("no live upstreams while connecting to upstream");
        let seen = trace.finish()?;
        seen.failures(2, "port-refused", drop);
        let failure = seen.failure("no-live-upstreams");
        has(lab, &failure, "/because", &json!(["port-refused"]));
        has(lab, &failure, "/group", &json!("origin"));
        for (place, upstream) in [V4, OTHER].into_iter().enumerate() {
            has(lab, &failure, &format!("/ejected/{place}/upstream"), &json!(upstream));
            has(lab, &failure, &format!("/ejected/{place}/cause"), &json!("port-refused"));
        }
        seen.nothing_else();
        Ok(())
    }),
];

/// What is at this place of an object must be this.
fn has(lab: &Lab, failure: &Expected<'_>, place: &str, expected: &Value) {
    let Some(object) = failure.object() else { return };
    let got = object.pointer(place).cloned().unwrap_or_default();
    if got != *expected && lab.may_differ(place) {
        return;
    }
    lab.check(got == *expected, || format!("{place} of {} is {got}, not {expected}", object["cause"]));
}

fn says(lab: &Lab, failure: &Expected<'_>, field: &str, text: &str) {
    let Some(object) = failure.object() else { return };
    let got = object[field].as_str().unwrap_or_default();
    if !got.contains(text) && lab.may_differ(field) {
        return;
    }
    lab.check(got.contains(text), || format!("{field} of {} is {got:?}, without {text:?}", object["cause"]));
}

fn trace_is_off(seen: &Seen<'_>) -> bool {
    seen.of_type("start").next().is_none()
}

fn summary_has(lab: &Lab, seen: &Seen<'_>, place: &str, expected: &Value) {
    let summary = seen.summary();
    let got = summary.pointer(place).cloned().unwrap_or_default();
    lab.check(summary.is_null() || got == *expected, || format!("summary{place} is {got}, not {expected}"));
}

fn reload(world: &World<'_>) -> Result<()> {
    let before = world.nginx().worker()?;
    world.nginx().reload()?;
    wait_until("the old worker to end", Duration::from_secs(5), || !alive(before))
}

/// Makes nginx take two pooled connections for a request that the origin has reset, one after the other. A stopped
/// worker finds the request first, and then the ends of both connections.
fn burn(world: &World<'_>) -> Result<()> {
    let origin = world.origin(V4, Script::slow_answer(ms(100), 10))?;
    let (mut client, mut other) = (world.connect()?, world.connect()?);
    client.send("GET", "/", &[], true)?;
    other.send("GET", "/", &[], true)?;
    world.answer(client.receive()).status(200);
    world.answer(other.receive()).status(200);
    let worker = world.nginx().worker()?;
    world.pause(ms(150));
    signal(worker, nix::sys::signal::Signal::SIGSTOP)?;
    let closed = client.send("GET", "/", &[], true).and_then(|()| {
        world.pause(ms(50));
        origin.close_connections(Ending::Rst)
    });
    world.pause(ms(50));
    signal(worker, nix::sys::signal::Signal::SIGCONT)?;
    closed?;
    world.answer(client.receive()).status(200);
    Ok(())
}

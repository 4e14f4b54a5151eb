//! Many healthy requests: no failure, nothing lost.

use std::env;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::Value;
use upstream_trace_tests::client::{Connection, Reply};
use upstream_trace_tests::origin::{Script, Shows};
use upstream_trace_tests::util::wait_until;
use upstream_trace_tests::{Lab, Scenario, World};

const V4: &str = "10.99.0.2:8081";
const TLS: &str = "10.99.0.2:8443";
const DEAD: &str = "10.99.0.2:8099";
const CLIENTS: usize = 4;

pub(crate) const ALL: &[Scenario] = &[
    ("load/keepalive", |lab| load(lab, V4, 16)),
    ("load/new-connections", |lab| load(lab, V4, 0)),
    ("load/unix", |lab| load(lab, "unix:app.sock", 0)),
    ("load/all-that-is-healthy", all_that_is_healthy),
    ("load/max-overhead", max_overhead),
    ("load/failures-among-successes", |lab| {
        let world = lab.world().upstream(V4).config(failing_location).start()?;
        let _origin = world.origin(V4, Script::answer(100))?;
        let trace = world.trace(&[])?;
        let failures = 200;
        requests(&world, 1000, false, |number| if number % 5 == 4 { ("/refused", 502) } else { ("/", 200) })?;
        let seen = trace.finish()?;
        seen.failures(failures, "port-refused", |failure| {
            drop(failure.upstream("10.99.0.2:8099").status(502));
        });
        seen.nothing_else();
        Ok(())
    }),
    ("load/storm-of-failures", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let trace = world.trace(&[])?;
        requests(&world, 2000, false, |_| ("/", 502))?;
        let seen = trace.finish()?;
        seen.failures(2000, "port-refused", |failure| drop(failure.upstream(V4)));
        seen.nothing_else();
        Ok(())
    }),
];

fn failing_location(config: &mut upstream_trace_tests::nginx::Config) {
    config.server.push("location /refused { proxy_pass http://10.99.0.2:8099; }".into());
}

fn healthy_requests() -> usize {
    env::var("LAB_HEALTHY").ok().and_then(|count| count.parse().ok()).unwrap_or(2000)
}

/// Small and big answers, uploads, kept and new connections, TLS, unix sockets, retries that are answered, clients that
/// leave, and two reloads meanwhile.
fn all_that_is_healthy(lab: &Lab) -> Result<()> {
    let world = lab
        .world()
        .upstream(V4)
        .keepalive(16)
        .certificate(Shows::Valid)
        .config(|config| {
            config.workers = 2;
            config.http.push(format!("upstream retried {{ server {DEAD} max_fails=0; server {V4}; }}"));
            config.server.push(format!("location /tls {{ proxy_pass https://{TLS}; }}"));
            config.server.push("location /unix { proxy_pass http://unix:@folder@/app.sock:/; }".into());
            config.server.push("location /retried { proxy_pass http://retried; }".into());
            for (path, port) in [("big", 8082), ("slow", 8083)] {
                config.server.push(format!("location /{path} {{ proxy_pass http://10.99.0.2:{port}; }}"));
            }
        })
        .start()?;
    let _origins = [
        world.origin(V4, Script::answer(100))?,
        world.origin("10.99.0.2:8082", Script::answer(300_000))?,
        world.origin("10.99.0.2:8083", Script::slow_answer(Duration::from_millis(40), 100))?,
        world.origin("unix:app.sock", Script::answer(100))?,
    ];
    let _tls = world.tls_origin(TLS, "-www")?;
    let trace = world.trace(&[])?;
    let count = healthy_requests();
    let (done, namespace) = (AtomicUsize::new(0), world.ng());
    let (done, failed) = (&done, &AtomicBool::new(false));
    thread::scope(|scope| {
        let client = move |client: usize| -> Result<()> {
            let mut connection = Connection::open(namespace)?;
            for number in (client..count).step_by(CLIENTS) {
                done.fetch_add(1, Ordering::SeqCst);
                if number % 50 < CLIENTS {
                    // This one leaves before its answer comes.
                    let mut leaves = Connection::open(namespace)?;
                    leaves.send("GET", "/slow", &[], false)?;
                    thread::sleep(Duration::from_millis(10));
                    continue;
                }
                if number % 30 == 3 {
                    // What it answers ends with the connection.
                    let mut alone = Connection::open(namespace)?;
                    alone.send("GET", "/tls", &[], false)?;
                    let reply = alone.receive();
                    ensure!(reply.status == 200 && reply.complete, "request {number}, TLS: {reply:?}");
                    continue;
                }
                let (method, path, body): (_, _, &[u8]) = match number % 10 {
                    1 => ("GET", "/unix", &[]),
                    2 => ("GET", "/retried", &[]),
                    4 | 5 => ("GET", "/big", &[]),
                    6 | 7 => ("POST", "/", &[b'x'; 16_000]),
                    _ => ("GET", "/", &[]),
                };
                let ask = |connection: &mut Connection| match connection.send(method, path, body, true) {
                    Ok(()) => connection.receive(),
                    Err(_) => Reply::default(),
                };
                let mut reply = ask(&mut connection);
                if reply.status == 0 {
                    connection = Connection::open(namespace)?;
                    reply = ask(&mut connection);
                }
                ensure!(
                    reply.status == 200 && reply.complete,
                    "request {number}, {method} {path}: {reply:?}"
                );
            }
            Ok(())
        };
        let watched = move |number| client(number).inspect_err(|_| failed.store(true, Ordering::SeqCst));
        let threads: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || watched(number))).collect();
        for part in [count / 3, count * 2 / 3] {
            wait_until("a third of the requests", Duration::from_mins(5), || {
                failed.load(Ordering::SeqCst) || done.load(Ordering::SeqCst) >= part
            })?;
            world.nginx().reload()?;
        }
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("a client panicked")))
    })?;
    // Attempts at the dead peer of a group are failures, each made good by the next.
    let seen = trace.finish()?;
    let retried = seen.of_type("failure").count();
    lab.check(!seen.ran() || retried >= count / 40, || format!("only {retried} retries"));
    seen.failures(retried, "port-refused", |failure| drop(failure.upstream(DEAD).recovered(true)));
    seen.counted("recovered", retried as u64);
    seen.nothing_else();
    Ok(())
}

/// Gives up what costs most, says so, and calls nothing proven that rested on it.
fn max_overhead(lab: &Lab) -> Result<()> {
    let world = lab.world().upstream(V4).keepalive(4).config(silent_location).start()?;
    let _origins =
        [world.origin(V4, Script::answer(100))?, world.origin("10.99.0.2:8082", Script::silent())?];
    // Less than anything can take: after three measurements the first hooks go.
    let trace = world.trace(&["--max-overhead", "0.0001"])?;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(8) {
        world.get("/").status(200);
    }
    world.get("/silent").status(504);
    let seen = trace.finish()?;
    if !seen.ran() {
        return Ok(());
    }
    let given_up = |text: &Value| text.as_str().is_some_and(|text| text.contains("given up"));
    lab.check(seen.of_type("note").any(|note| given_up(&note["text"])), || "nothing was given up".into());
    let failures: Vec<_> = seen.of_type("failure").collect();
    let sound = matches!(&failures[..], [one] if one["upstream"] == "10.99.0.2:8082" && one["confidence"] != "proven");
    lab.check(sound, || format!("not one failure that is not proven: {failures:?}"));
    seen.accounted_for();
    Ok(())
}

fn silent_location(config: &mut upstream_trace_tests::nginx::Config) {
    config.server.push("location /silent { proxy_pass http://10.99.0.2:8082; }".into());
}

fn load(lab: &Lab, upstream: &str, keepalive: usize) -> Result<()> {
    let count = healthy_requests();
    let world =
        lab.world().upstream(upstream).keepalive(keepalive).config(|config| config.workers = 2).start()?;
    let _origin = world.origin(upstream, Script::answer(100))?;
    let trace = world.trace(&[])?;
    requests(&world, count, true, |_| ("/", 200))?;
    world.nginx_is_silent();
    let seen = trace.finish()?;
    seen.nothing_at_all();
    if keepalive == 0 {
        seen.counted("attempts", count as u64);
    }
    Ok(())
}

/// Sends requests from several clients, each a path and the status it must get; reloads nginx in the middle.
pub(super) fn requests(
    world: &World<'_>,
    count: usize,
    reload: bool,
    what: impl Fn(usize) -> (&'static str, u16) + Sync,
) -> Result<()> {
    let (done, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (done, failed, what, namespace) = (&done, &failed, &what, world.ng());
    thread::scope(|scope| {
        let client = |client: usize| {
            let mut connection = Connection::open(namespace)?;
            for number in (client..count).step_by(CLIENTS) {
                let (path, status) = what(number);
                let mut reply = exchange(&mut connection, path);
                if reply.status == 0 {
                    // A worker that ends closes connections without a request on them.
                    connection = Connection::open(namespace)?;
                    reply = exchange(&mut connection, path);
                }
                ensure!(reply.status == status, "request {number} to {path}: {reply:?}");
                done.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        };
        let watched = move |number| client(number).inspect_err(|_| failed.store(true, Ordering::SeqCst));
        let threads: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || watched(number))).collect();
        if reload {
            wait_until("half of the requests", Duration::from_mins(5), || {
                failed.load(Ordering::SeqCst) || done.load(Ordering::SeqCst) >= count / 2
            })?;
            world.nginx().reload()?;
        }
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("a client panicked")))
    })
}

fn exchange(connection: &mut Connection, path: &str) -> Reply {
    match connection.send("GET", path, &[], true) {
        Ok(()) => connection.receive(),
        Err(_) => Reply::default(),
    }
}

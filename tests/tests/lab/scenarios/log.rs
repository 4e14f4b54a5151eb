//! A failure carries nginx's own line about it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use anyhow::{Result, anyhow, ensure};
use nix::sys::signal::Signal;
use upstream_trace_tests::client::Connection;
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::util::{ms, wait_until};
use upstream_trace_tests::{Lab, Scenario};

const V4: &str = "10.99.0.2:8081";
const REFUSED: &str = "connect() failed (111: Connection refused)";

pub(crate) const ALL: &[Scenario] = &[
    ("log/refused", |lab| joins(lab, V4, None, (502, REFUSED))),
    ("log/refused6", |lab| joins(lab, "[fd99::2]:8081", None, (502, REFUSED))),
    ("log/unix", |lab| joins(lab, "unix:app.sock", None, (502, "failed (2: No such file or directory)"))),
    ("log/closed", |lab| {
        joins(lab, V4, Some(Script::read_then_fin()), (502, "prematurely closed connection"))
    }),
    ("log/timeout", |lab| joins(lab, V4, Some(Script::silent()), (504, "upstream timed out"))),
    ("log/timeout-unix", |lab| {
        joins(lab, "unix:app.sock", Some(Script::silent()), (504, "upstream timed out"))
    }),
    ("log/timeout-while-connecting", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _firewall = Firewall::nft(&world, world.ng(), "output", "tcp dport 8081 counter drop")?;
        let trace = world.trace(&[])?;
        world.get("/").status(504);
        let seen = trace.finish()?;
        seen.failure("firewall-drop-local").joined("while connecting to upstream");
        seen.nothing_else();
        Ok(())
    }),
    ("log/each-failure-its-own-line", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let trace = world.trace(&[])?;
        for path in ["/one", "/two", "/three"] {
            world.get(path).status(502);
        }
        let seen = trace.finish()?;
        for path in ["/one", "/two", "/three"] {
            seen.failure("port-refused").joined(REFUSED).logged("request", &format!("GET {path} HTTP/1.1"));
        }
        check_lines(lab, &seen.summary(), 3);
        Ok(())
    }),
    ("log/started-amid-failures", started_amid_failures),
    ("log/rotated", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let trace = world.trace(&[])?;
        world.get("/before").status(502);
        std::fs::rename(world.folder().join("error.log"), world.folder().join("error.log.1"))?;
        world.nginx().signal(Signal::SIGUSR1)?;
        let new_log = || world.folder().join("error.log").exists();
        wait_until("a new error.log", std::time::Duration::from_secs(5), new_log)?;
        world.pause(std::time::Duration::from_millis(300));
        world.get("/after").status(502);
        let seen = trace.finish()?;
        seen.failure("port-refused").logged("request", "GET /before HTTP/1.1");
        seen.failure("port-refused").logged("request", "GET /after HTTP/1.1");
        seen.nothing_else();
        Ok(())
    }),
    ("log/level-too-high-for-lines", |lab| {
        let world = lab.world().upstream(V4).location("error_log error.log emerg;").start()?;
        let trace = world.trace(&[])?;
        world.get("/").status(502);
        world.nginx_is_silent();
        let seen = trace.finish()?;
        seen.failure("port-refused").upstream(V4).status(502);
        seen.nothing_else();
        Ok(())
    }),
];

fn joins(lab: &Lab, upstream: &str, script: Option<Script>, (status, says): (u16, &str)) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let _origin = script.map(|script| world.origin(upstream, script)).transpose()?;
    let trace = world.trace(&[])?;
    world.get("/some/page").status(status).log(says);
    let seen = trace.finish()?;
    let causes = ["port-refused", "socket-missing", "premature-close", "slow-response"];
    let failure = seen.failure_of(&causes).joined(says).logged("request", "GET /some/page HTTP/1.1");
    failure.logged("client", "127.0.0.1");
    seen.nothing_else();
    check_lines(lab, &seen.summary(), 1);
    Ok(())
}

/// Lines from before the start are about attempts that nobody saw: they are neither failures of their own, nor taken for
/// the lines of the attempts that come next.
fn started_amid_failures(lab: &Lab) -> Result<()> {
    let world = lab.world().upstream(V4).start()?;
    let (namespace, over, sent) = (world.ng(), &AtomicBool::new(false), &AtomicUsize::new(0));
    let seen = thread::scope(|scope| {
        let client = scope.spawn(move || -> Result<()> {
            while !over.load(Ordering::SeqCst) {
                let number = sent.fetch_add(1, Ordering::SeqCst) + 1;
                let mut connection = Connection::open(namespace)?;
                connection.send("GET", &format!("/{number}"), &[], false)?;
                ensure!(connection.receive().status == 502, "request {number}");
                thread::sleep(ms(15));
            }
            Ok(())
        });
        world.pause(ms(200));
        let trace = world.trace(&[]);
        world.pause(ms(500));
        over.store(true, Ordering::SeqCst);
        client.join().map_err(|_| anyhow!("the client panicked"))??;
        trace?.finish()
    })?;
    let last = format!("GET /{} HTTP/1.1", sent.load(Ordering::SeqCst));
    let requests: Vec<_> =
        seen.of_type("failure").map(|failure| failure["log"]["request"].as_str()).collect();
    let joined = !seen.ran() || requests.last() == Some(&Some(last.as_str()));
    lab.check(joined || lab.may_differ("log"), || {
        format!("the last line is that of {last}, and not of one of {requests:?}")
    });
    let causes: BTreeSet<_> = seen.of_type("failure").map(|failure| failure["cause"].as_str()).collect();
    lab.check(!seen.ran() || causes == BTreeSet::from([Some("port-refused")]), || {
        format!("the causes are {causes:?}")
    });
    Ok(())
}

fn check_lines(lab: &Lab, summary: &serde_json::Value, count: u64) {
    let lines = &summary["log_lines"];
    let agrees = summary.is_null() || (lines["seen"] == count && lines["joined"] == count);
    if !agrees && lab.may_differ("log_lines") {
        return;
    }
    lab.check(agrees, || format!("log_lines of the summary is {lines}, not {count} seen and joined"));
}

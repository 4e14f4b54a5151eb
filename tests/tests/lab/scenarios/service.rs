//! The tool as a service: what collects its results.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use upstream_trace_tests::service::{Datagrams, Prometheus, Receiver, free_address, get};
use upstream_trace_tests::{Lab, Scenario};

const V4: &str = "10.99.0.2:8081";

pub(crate) const ALL: &[Scenario] = &[
    ("service/prometheus", prometheus),
    ("service/night", night),
    ("service/alert-rules", alert_rules),
    ("service/metrics-address-in-use", |lab| {
        let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = taken.local_addr()?.to_string();
        let world = lab.world().upstream(V4).start()?;
        let pid = world.nginx().master().to_string();
        let Some(tool) = world.start_tool_alone(&["--pid", &pid, "--metrics", &address])? else {
            return Ok(());
        };
        let ended = tool.wait(Duration::from_secs(10))?;
        lab.check(ended.status.code() == Some(1), || format!("{:?}", ended.status));
        lab.check(ended.stderr.contains(&format!("cannot serve metrics on {address}")), || {
            ended.stderr.clone()
        });
        Ok(())
    }),
];

/// A program that a scenario needs and that is not there.
pub(crate) fn missing(scenario: &str) -> Option<&'static str> {
    let there =
        || Command::new("promtool").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let needed = ["service/prometheus", "service/alert-rules"].contains(&scenario);
    (needed && there().is_err()).then_some("prometheus")
}

/// The alerts that are shipped are well-formed and fire when they should.
fn alert_rules(lab: &Lab) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/prometheus");
    for args in [["check", "rules", "upstream-trace.rules.yml"], ["test", "rules", "upstream-trace.test.yml"]]
    {
        let checked = Command::new("promtool").args(args).current_dir(&folder).output()?;
        lab.check(checked.status.success(), || {
            let of = String::from_utf8_lossy;
            format!("promtool {args:?}: {}{}", of(&checked.stdout), of(&checked.stderr))
        });
    }
    Ok(())
}

/// An upstream breaks in the night. OpenTelemetry gets an event although its receiver is overloaded at first, the journal
/// gets an entry, the service manager sees a living program, and the minutes before are on disk.
fn night(lab: &Lab) -> Result<()> {
    let world = lab.world().upstream(V4).start()?;
    let (journal, records) = (world.folder().join("journal"), world.folder().join("records"));
    fs::create_dir(&journal)?;
    fs::create_dir(&records)?;
    let receiver = Receiver::start(2)?;
    let entries = Datagrams::listen(&journal.join("socket"))?;
    let manager = world.folder().join("manager");
    let states = Datagrams::listen(&manager)?;
    let variables = [format!("NOTIFY_SOCKET={}", manager.display()), "WATCHDOG_USEC=400000".to_owned()];
    let (url, folder) = (receiver.url(), records.display().to_string());
    let args = ["--journal", "--otlp", &url, "--record", &folder, "--keep", "1h", "--record-limit", "64M"];
    let trace = world.trace_service(&journal, &variables, &args)?;
    for _ in 0..3 {
        world.get("/").status(502);
    }
    let Some(tool) = lab.tool() else { return Ok(()) };
    states.wait(1, |state| state.lines().any(|line| line == "READY=1"))?;
    states.wait(3, |state| state == "WATCHDOG=1\n" || state == "WATCHDOG=1")?;
    for event in receiver.wait(3, Duration::from_secs(20))? {
        let is_it = event.has("error.type", "port-refused") && event.has("server.address", "10.99.0.2");
        lab.check(is_it && event.is_of("service.name", "upstream-trace"), || {
            format!("the event is {event:?}")
        });
    }
    let failed = |entry: &str| {
        ["UPSTREAM_TRACE_CAUSE=port-refused", "UPSTREAM_TRACE_SERVER=10.99.0.2:8081", "PRIORITY=3"]
            .iter()
            .all(|field| entry.lines().any(|line| line == *field))
    };
    entries.wait(1, failed)?;
    let seen = trace.finish()?;
    seen.failures(3, "port-refused", |failure| drop(failure.upstream(V4)));
    states.wait(1, |state| state.lines().any(|line| line == "STOPPING=1"))?;
    let report = Command::new(tool).args(["report", "--json", "--since", "10m"]).arg(&records).output()?;
    let lines = String::from_utf8_lossy(&report.stdout).into_owned();
    let failures = lines.lines().filter(|line| line.contains(r#""type":"failure""#)).count();
    lab.check(failures == 3, || format!("{failures} failures in: {lines}"));
    Ok(())
}

/// A real Prometheus scrapes, answers queries, and its alert fires; the textfile says the same.
fn prometheus(lab: &Lab) -> Result<()> {
    let rules =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/prometheus/upstream-trace.rules.yml");
    let world = lab.world().upstream(V4).start()?;
    let address = free_address()?;
    let file = world.folder().join("upstream_trace.prom");
    let trace =
        world.trace(&["--metrics", &address.to_string(), "--metrics", &file.display().to_string()])?;
    for _ in 0..3 {
        world.get("/").status(502);
    }
    trace.wait_failures(3, Duration::from_secs(5));
    if lab.tool().is_some() {
        let server = Prometheus::start(world.folder(), address, &rules.canonicalize()?)?;
        scraped(lab, &server);
        promtool(lab, address)?;
    }
    let seen = trace.finish()?;
    seen.failures(3, "port-refused", |failure| drop(failure.upstream(V4)));
    if lab.tool().is_some() {
        let text = fs::read_to_string(&file).context("the textfile")?;
        lab.check(text.lines().any(|line| is_count(line, "3")), || text.clone());
        check_metrics(lab, &text)?;
    }
    Ok(())
}

fn is_count(line: &str, count: &str) -> bool {
    line.starts_with("upstream_trace_failures_total{")
        && line.contains("cause=\"port-refused\"")
        && line.ends_with(&format!(" {count}"))
}

fn scraped(lab: &Lab, server: &Prometheus) {
    let value = |said: &Value| said["data"]["result"][0]["value"][1].as_str().map(str::to_owned);
    let failures = "/api/v1/query?query=sum(upstream_trace_failures_total)by(cause,server)";
    let said = server.wait(failures, |said| value(said).as_deref() == Some("3"));
    let labels = said.map(|said| said["data"]["result"][0]["metric"].clone()).unwrap_or_default();
    lab.check(labels["cause"] == "port-refused" && labels["server"] == V4, || format!("labels: {labels}"));
    let attempts = "/api/v1/query?query=sum(upstream_trace_attempts_total)";
    let counted = server.wait(attempts, |said| value(said).as_deref() == Some("3"));
    lab.check(counted.is_some(), || "the kernel's counters did not come".into());
    let fires = |said: &Value| {
        let alerts = said["data"]["alerts"].as_array();
        let mut names = alerts.into_iter().flatten().filter(|alert| alert["state"] == "firing");
        names.any(|alert| alert["labels"]["alertname"] == "UpstreamAttemptsFail")
    };
    lab.check(server.wait("/api/v1/alerts", fires).is_some(), || "no alert fires".into());
}

/// `promtool check metrics` finds nothing to complain of in what is served.
fn promtool(lab: &Lab, address: SocketAddr) -> Result<()> {
    check_metrics(lab, &get(address, "/metrics")?)
}

fn check_metrics(lab: &Lab, text: &str) -> Result<()> {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    promtool.stdin.take().context("stdin")?.write_all(text.as_bytes())?;
    let checked = promtool.wait_with_output()?;
    let says = String::from_utf8_lossy(&checked.stderr).into_owned();
    lab.check(checked.status.success() && says.is_empty(), || format!("promtool: {says}\n{text}"));
    Ok(())
}

//! Other ways to get the same evidence: each rung of the ladder must lead to the same verdicts.

use std::fs::{self, File};
use std::path::Path;

use anyhow::Result;
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::{Lab, Likely, Proven, Scenario};

const V4: &str = "10.99.0.2:8081";
/// Hooks that see functions where a kernel has no tracepoint.
const BY_FUNCTION: [&str; 4] = ["sock_send_length", "sock_recv_length", "connect", "tcp_connect"];

pub(crate) const ALL: &[Scenario] = &[
    ("rungs/no-fentry", |lab| refused(lab, "fentry=off")),
    ("rungs/tracepoints-only", |lab| refused(lab, "fentry=off,kprobe=off")),
    ("rungs/without-answers", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let origin = world.origin(V4, Script::answer(10))?;
        let trace = world.trace(&["--hooks", "sock_recv_length=off"])?;
        for _ in 0..3 {
            world.get("/").status(200);
        }
        world.stop(origin)?;
        world.get("/").status(502);
        let seen = trace.finish()?;
        seen.failure("port-refused").confidence(Proven | Likely).upstream(V4).errno(111);
        seen.nothing_else();
        Ok(())
    }),
    ("rungs/requests-by-kprobe", |lab| requests(lab, "kprobe", V4)),
    ("rungs/requests-by-fentry", |lab| requests(lab, "fentry", V4)),
    ("rungs/unix-requests-by-kprobe", |lab| requests(lab, "kprobe", "unix:app.sock")),
    ("rungs/unix-requests-by-fentry", |lab| requests(lab, "fentry", "unix:app.sock")),
];

/// Results of `connect()`, from whatever is left.
fn refused(lab: &Lab, hooks: &str) -> Result<()> {
    let world = lab
        .world()
        .upstream("unix:app.sock")
        .config(|config| config.server.push(format!("location /tcp {{ proxy_pass http://{V4}; }}")))
        .start()?;
    let trace = world.trace(&["--hooks", hooks])?;
    world.get("/").status(502);
    world.get("/tcp").status(502);
    let seen = trace.finish()?;
    seen.failure("socket-missing").confidence(Proven).upstream(&world.unix("app.sock")).errno(2);
    seen.failure("port-refused").confidence(Proven | Likely).upstream(V4).errno(111);
    seen.nothing_else();
    Ok(())
}

/// What is sent and received, from functions alone.
fn requests(lab: &Lab, kind: &str, upstream: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let origin = world.origin(upstream, Script::silent())?;
    let hooks = BY_FUNCTION.map(|hook| format!("{hook}={kind}")).join(",");
    let trace = world.trace(&["--hooks", &hooks])?;
    world.get("/").status(504);
    origin.wait_accepted(1)?;
    let seen = trace.finish()?;
    if is_there(kind) {
        let failure = seen.failure("slow-response").confidence(Proven | Likely).phase("wait").status(504);
        failure.evidence("request");
        seen.nothing_else();
    } else {
        let start = seen.of_type("start").next().cloned().unwrap_or_default().to_string();
        lab.check(lab.tool().is_none() || start.contains("\"attached\":false"), || {
            format!("nothing is missing, although this kernel has no {kind}: {start}")
        });
    }
    Ok(())
}

/// Whether this kernel lets functions be watched that way; asked of the kernel, not of the tool.
fn is_there(kind: &str) -> bool {
    match kind {
        "kprobe" => Path::new("/sys/bus/event_source/devices/kprobe").exists(),
        // arm64 has functions that may be watched before it has calls of programs from them (6.4).
        _ => File::open("/sys/kernel/tracing/available_filter_functions").is_ok() && has_direct_calls(),
    }
}

fn has_direct_calls() -> bool {
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    symbols.lines().any(|line| line.split(' ').nth(2) == Some("register_ftrace_direct"))
}

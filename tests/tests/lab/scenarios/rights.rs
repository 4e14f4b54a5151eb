//! What the tool may do: as another user with capabilities, without some of them, and what it gives back as root. And
//! `doctor`, which says so.

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use serde_json::Value;
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::rights::{self, USEFUL};
use upstream_trace_tests::tool::Ended;
use upstream_trace_tests::util::{alive, kernel_is_from, ms, wait_until};
use upstream_trace_tests::{Lab, Proven, Scenario, World};

const V4: &str = "10.99.0.2:8081";
const LIMIT: std::time::Duration = std::time::Duration::from_secs(15);

/// `CAP_NET_ADMIN`, `CAP_NET_RAW`, `CAP_SYS_PTRACE`, `CAP_SYS_ADMIN`, `CAP_DAC_READ_SEARCH`, `CAP_PERFMON`, `CAP_BPF`.
const KEPT: u64 = 1 << 12 | 1 << 13 | 1 << 19 | 1 << 21 | 1 << 2 | 1 << 38 | 1 << 39;

pub(crate) const ALL: &[Scenario] = &[
    ("rights/another-user-with-capabilities", |lab| {
        let world = lab.world().upstream(V4).location("error_log error.log;").start()?;
        let _firewall = Firewall::nft(&world, world.ng(), "output", "tcp dport 8082 counter drop")?;
        let trace = world.trace_as(&USEFUL, &[])?;
        world.get("/").status(502);
        let before = world.nginx().worker()?;
        world.nginx().reload()?;
        wait_until("the old worker to end", ms(5000), || !alive(before))?;
        world.get("/").status(502);
        let seen = trace.finish()?;
        for _ in 0..2 {
            seen.failure("port-refused").upstream(V4).joined("connect() failed");
        }
        seen.nothing_else();
        Ok(())
    }),
    ("rights/another-user-names-the-rule", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _firewall = Firewall::nft(&world, world.ng(), "output", "tcp dport 8081 counter drop")?;
        let trace = world.trace_as(&USEFUL, &[])?;
        world.get("/").status(504);
        let seen = trace.finish()?;
        seen.failure("firewall-drop-local").confidence(Proven).evidence_says("tcp dport 8081 counter drop");
        seen.nothing_else();
        Ok(())
    }),
    ("rights/without-bpf", |lab| lacks(lab, "bpf", Some("sys_admin"), "CAP_BPF")),
    ("rights/without-perfmon", |lab| lacks(lab, "perfmon", Some("sys_admin"), "CAP_PERFMON")),
    ("rights/without-ptrace", |lab| lacks(lab, "sys_ptrace", None, "CAP_SYS_PTRACE")),
    ("rights/without-dac", |lab| lacks(lab, "dac_read_search", None, "CAP_DAC_READ_SEARCH")),
    ("rights/elsewhere-without-admin", |lab| lacks(lab, "sys_admin", None, "CAP_SYS_ADMIN")),
    ("rights/given-back", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let Some(tool) = world.start_tool(&["--json", "--pid", &world.nginx().master().to_string()])? else {
            return Ok(());
        };
        tool.wait_line(LIMIT, |line| line.contains(r#""type":"start""#)).context("no start")?;
        world.get("/").status(502);
        for set in ["CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"] {
            for held in rights::of_threads(tool.pid(), set)? {
                let held = u64::from_str_radix(&held, 16)?;
                lab.check(held & !KEPT == 0, || format!("{set} of a thread is still {held:x}"));
            }
        }
        let locked = rights::of_threads(tool.pid(), "NoNewPrivs")?;
        lab.check(locked.iter().all(|value| value == "1"), || format!("NoNewPrivs is {locked:?}"));
        let ended = tool.stop(Signal::SIGINT)?;
        lab.note("the tool", &ended.said());
        Ok(())
    }),
    ("doctor/ready", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let Some(ended) = doctor(&world, &["--json"])? else { return Ok(()) };
        lab.check(ended.status.success(), || format!("{}", ended.status));
        let objects = objects(&ended);
        let of = |kind: &str| objects.iter().filter(move |object| object["type"] == kind).collect::<Vec<_>>();
        lab.check(of("conclusion").iter().all(|last| last["can_run"] == true), || "it cannot run".into());
        let nginx = of("nginx").first().copied().cloned().unwrap_or_default();
        lab.check(nginx["master"] == world.nginx().master(), || format!("nginx is {nginx}"));
        lab.check(nginx["version"].as_str().is_some_and(|v| v.starts_with("nginx/")), || "no version".into());
        lab.check(nginx["other_netns"] == true, || "nginx is in a network namespace of its own".into());
        let log = world.folder().join("error.log").display().to_string();
        let logs = nginx["logs"].as_array().cloned().unwrap_or_default();
        lab.check(logs.contains(&log.into()), || format!("error.log is not among {logs:?}"));
        let bytes: u64 = of("map").iter().filter_map(|map| map["bytes"].as_u64()).sum();
        lab.check(bytes > 1 << 20, || format!("the maps take {bytes} bytes"));
        // What the doctor says works is what a trace attaches.
        let trace = world.trace(&["--depth=deep"])?;
        let seen = trace.finish()?;
        let start = seen.of_type("start").next().cloned().unwrap_or_default();
        for hook in start["hooks"].as_array().into_iter().flatten() {
            let said = of("hook").into_iter().find(|said| said["name"] == hook["name"]);
            let works = said.map(|said| said["works"] == true);
            lab.check(works == Some(hook["attached"] == true), || format!("{hook}, said {works:?}"));
        }
        Ok(())
    }),
    ("doctor/no-program-is-refused", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let Some(ended) = doctor(&world, &["--json"])? else { return Ok(()) };
        // Also of what takes the place of another only where that is missing, and of what is loaded later.
        for hook in objects(&ended).iter().filter(|object| object["type"] == "hook") {
            for rung in hook["rungs"].as_array().into_iter().flatten() {
                // A trace uses it before 6.3 alone, and 7.0 changed the function.
                let is_old = hook["name"] == "sock_recv_length" && rung["kind"] == "fentry";
                lab.check(is_old || !refused(&rung["why"].to_string()), || {
                    format!("{}: {rung}", hook["name"])
                });
            }
        }
        // What a kernel may lack has no rung of its own.
        for line in ended.stderr.lines().filter(|line| refused(line)) {
            lab.check(false, || line.to_owned());
        }
        Ok(())
    }),
    ("doctor/for-people", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let Some(ended) = doctor(&world, &[])? else { return Ok(()) };
        let text: String = ended.lines.iter().map(|(_, line)| line.clone() + "\n").collect();
        for part in ["Rights", "CAP_BPF", "inet_sock_set_state", "Maps:", "Ready:"] {
            lab.check(text.contains(part), || format!("{part} is missing"));
        }
        for line in text.lines().filter(|line| !line.contains(&world.folder().display().to_string())) {
            lab.check(line.chars().count() <= 80, || format!("more than 80 columns: {line}"));
        }
        Ok(())
    }),
    ("doctor/without-root", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let args = ["doctor", "--pid", &world.nginx().master().to_string()].map(str::to_owned);
        let Some(tool) = lab.tool() else { return Ok(()) };
        let ended = rights::start(tool, &[], &args)?.wait(LIMIT)?;
        lab.note("the doctor", &ended.said());
        lab.check(ended.status.code() == Some(1), || format!("{}", ended.status));
        let text: String = ended.lines.iter().map(|(_, line)| line.clone() + "\n").collect();
        for part in ["CAP_BPF", "this kernel has it", "sudo upstream-trace doctor", "workers", "Not ready:"] {
            lab.check(text.contains(part), || format!("{part} is missing"));
        }
        // With every capability and little memory to lock, which matters before 5.11 only.
        let ended = rights::start_with_memory(Some("65536"), tool, &USEFUL, &args)?.wait(LIMIT)?;
        lab.note("the doctor with little memory", &ended.said());
        if kernel_is_from((5, 11)) {
            lab.check(ended.status.success(), || format!("{}", ended.status));
        } else {
            let text: String = ended.lines.iter().map(|(_, line)| line.trim().to_owned() + " ").collect();
            for part in ["Not ready:", "64 KiB", "LimitMEMLOCK=infinity"] {
                lab.check(text.contains(part), || format!("{part} is missing"));
            }
        }
        Ok(())
    }),
    ("doctor/no-nginx", |lab| {
        let Some(tool) = lab.tool() else { return Ok(()) };
        let args = ["doctor", "--json", "--pid", "no-such-nginx"].map(str::to_owned);
        let ended = upstream_trace_tests::tool::Tool::start(tool, &args)?.wait(LIMIT)?;
        lab.check(ended.status.code() == Some(1), || format!("{}", ended.status));
        let objects = objects(&ended);
        let said = objects.last().is_some_and(|last| {
            last["can_run"] == false && last["obstacles"].to_string().contains("no-such-nginx")
        });
        lab.check(said, || format!("{:?}", objects.last()));
        Ok(())
    }),
];

/// The tool's words for a program that the kernel's verifier does not take.
fn refused(words: &str) -> bool {
    words.contains("the kernel refuses the program")
}

fn doctor(world: &World<'_>, args: &[&str]) -> Result<Option<Ended>> {
    let Some(tool) = world.lab().tool() else { return Ok(None) };
    let master = world.nginx().master().to_string();
    let args: Vec<String> =
        ["doctor", "--pid", &master].iter().chain(args).map(ToString::to_string).collect();
    let ended = upstream_trace_tests::tool::Tool::start(tool, &args)?.wait(LIMIT)?;
    world.lab().note("the doctor", &ended.said());
    Ok(Some(ended))
}

fn objects(ended: &Ended) -> Vec<Value> {
    ended.lines.iter().filter_map(|(_, line)| serde_json::from_str(line).ok()).collect()
}

/// Without these capabilities the tool ends at once and names what is missing.
fn lacks(lab: &Lab, capability: &str, and: Option<&str>, named: &str) -> Result<()> {
    let world = lab.world().upstream(V4).start()?;
    let held: Vec<&str> =
        USEFUL.into_iter().filter(|name| *name != capability && Some(*name) != and).collect();
    let Some(tool) = lab.tool() else { return Ok(()) };
    let args = ["--pid", &world.nginx().master().to_string(), "--duration", "5s"].map(str::to_owned);
    let ended = rights::start(tool, &held, &args)?.wait(LIMIT)?;
    lab.note("the tool", &ended.said());
    lab.check(ended.status.code() == Some(1), || format!("{}", ended.status));
    lab.check(ended.stderr.contains(named), || format!("the message does not name {named}"));
    lab.check(ended.stderr.contains("sudo upstream-trace"), || "no next step".into());
    Ok(())
}

//! Wherever nginx's words go, and whatever is in them: several logs, rotation, levels, containers, hostile clients.

use std::fs::{self, OpenOptions};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use upstream_trace_tests::nginx::{Config, FOLDER};
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::util::{children, ms, wait_until};
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario, World};

const V4: &str = "10.99.0.2:8081";
const REFUSED: &str = "connect() failed (111: Connection refused)";
const CONTAINER: &str = "127.0.0.1:8090";

pub(crate) const ALL: &[Scenario] = &[
    ("log/several-files", |lab| {
        let own = |config: &mut Config| {
            for name in ["a", "b"] {
                let log = format!("error_log {FOLDER}/{name}.log error;");
                config.server.push(format!("location /{name} {{ {log} proxy_pass http://{V4}; }}"));
            }
        };
        let world = lab.world().upstream(V4).config(own).start()?;
        let trace = world.trace(&[])?;
        for path in ["/a", "/b", "/c"] {
            world.get(path).status(502);
        }
        let seen = trace.finish()?;
        for (path, file) in [("/a", "a.log"), ("/b", "b.log"), ("/c", "error.log")] {
            let failure = seen.failure("port-refused").joined(REFUSED);
            failure.logged("request", &format!("GET {path} HTTP/1.1"));
            let text = fs::read_to_string(world.folder().join(file))?;
            lab.check(text.contains(&format!("GET {path} ")), || format!("{file} does not tell of {path}"));
        }
        seen.nothing_else();
        Ok(())
    }),
    // Its stderr is a file, as under many supervisors.
    ("log/stderr", |lab| {
        let world = lab.world().upstream(V4).location("error_log stderr error;").start()?;
        let trace = world.trace(&[])?;
        world.get("/some/page").status(502);
        let seen = trace.finish()?;
        seen.failure("port-refused").joined(REFUSED).logged("request", "GET /some/page HTTP/1.1");
        seen.nothing_else();
        Ok(())
    }),
    ("log/copied-and-cut", |lab| {
        rotated(lab, |world| {
            let log = world.folder().join("error.log");
            fs::copy(&log, world.folder().join("error.log.1"))?;
            OpenOptions::new().write(true).open(log)?.set_len(0)?;
            Ok(())
        })
    }),
    ("log/renamed-and-not-told", |lab| {
        rotated(lab, |world| {
            Ok(fs::rename(world.folder().join("error.log"), world.folder().join("error.log.1"))?)
        })
    }),
    ("log/rotated-twice", |lab| {
        rotated(lab, |world| {
            for number in 1..=2 {
                let log = world.folder().join("error.log");
                fs::rename(&log, world.folder().join(format!("error.log.{number}")))?;
                world.nginx().signal(Signal::SIGUSR1)?;
                wait_until("a new error.log", ms(5000), || log.exists())?;
            }
            Ok(())
        })
    }),
    ("log/level-info", |lab| {
        let world = lab.world().upstream(V4).location("error_log error.log info;").start()?;
        let _origin = world.origin(V4, Script::silent())?;
        let trace = world.trace(&[])?;
        world.get("/").status(504);
        let seen = trace.finish()?;
        seen.failure("slow-response").joined("upstream timed out").upstream(V4);
        seen.nothing_else();
        Ok(())
    }),
    // No line will come, and yet it was no client that left.
    ("log/level-too-high-for-timeouts", |lab| {
        let world = lab.world().upstream(V4).location("error_log error.log emerg;").start()?;
        let _origin = world.origin(V4, Script::silent())?;
        let trace = world.trace(&[])?;
        world.get("/").status(504);
        world.nginx_is_silent();
        world.pause(ms(1200));
        let seen = trace.finish()?;
        let failure = seen.failure("slow-response").confidence(Proven | Likely | Possible).upstream(V4);
        failure.phase("wait").status(504);
        seen.nothing_else();
        Ok(())
    }),
    // nginx cuts a line at 2,048 bytes, and the address of the upstream with it.
    ("log/cut-line", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let trace = world.trace(&[])?;
        world.get(&format!("/{}", "x".repeat(3000))).status(502);
        let seen = trace.finish()?;
        seen.failure("port-refused").upstream(V4).joined(REFUSED).logged("client", "127.0.0.1");
        seen.nothing_else();
        Ok(())
    }),
    ("log/hostile-client", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let trace = world.trace(&[])?;
        let fake = "\", upstream: \"http://192.0.2.66:1/\", host: \"\x1b[31m";
        let mut client = world.connect()?;
        client.send_bytes(
            format!(
                "GET /\",%20upstream:%20\"http://192.0.2.66:1/ HTTP/1.1\r\nHost: lab\r\nReferer: {fake}\r\n\
                 User-Agent: 2026/11/20 09:12:01 [error] 1#1: *1 no live upstreams\r\nConnection: close\r\n\r\n"
            )
            .as_bytes(),
        )?;
        world.answer(client.receive()).status(502).log(REFUSED);
        let seen = trace.finish()?;
        let failure = seen.failure("port-refused").upstream(V4).joined(REFUSED);
        failure.logged("client", "127.0.0.1");
        for line in seen.of_type("failure") {
            lab.check(!line.to_string().contains('\u{1b}'), || "an escape came through".into());
        }
        seen.nothing_else();
        Ok(())
    }),
    ("log/container", |lab| {
        let world = lab.world().upstream(CONTAINER).start()?;
        let contained = contained(&world)?;
        let trace = world.trace_pid(&contained.to_string(), &[])?;
        world.get("/some/page").status(502);
        let seen = trace.finish()?;
        let worker = children(contained).first().copied().context("nginx in the container has no worker")?;
        let failure = seen.failure("port-refused").confidence(Proven).upstream(V4).worker(worker);
        failure.joined(REFUSED).logged("request", "GET /some/page HTTP/1.0");
        seen.nothing_else();
        Ok(())
    }),
];

fn rotated(lab: &Lab, rotate: impl Fn(&World<'_>) -> Result<()>) -> Result<()> {
    let world = lab.world().upstream(V4).start()?;
    let trace = world.trace(&[])?;
    world.get("/before").status(502);
    // The line before is read by then.
    world.pause(ms(300));
    rotate(&world)?;
    world.pause(ms(400));
    world.get("/after").status(502);
    let seen = trace.finish()?;
    for path in ["/before", "/after"] {
        seen.failure("port-refused").joined(REFUSED).logged("request", &format!("GET {path} HTTP/1.1"));
    }
    seen.nothing_else();
    Ok(())
}

/// An nginx with processes and mounts of its own, and an error.log that nobody outside can see; its master's pid.
fn contained(world: &World<'_>) -> Result<u32> {
    world.file(
        "contained.conf",
        &format!(
            "pid {FOLDER}/private/nginx.pid;\nerror_log {FOLDER}/private/error.log error;\nevents {{}}\nhttp {{\n\
             access_log off;\nclient_body_temp_path {FOLDER}/private/body;\nproxy_temp_path {FOLDER}/private/proxy;\n\
             server {{ listen {CONTAINER}; location / {{ proxy_pass http://{V4}; }} }} }}\n"
        ),
    )?;
    world.file(
        "contain",
        &format!(
            "mkdir -p {FOLDER}/private\nmount -t tmpfs none {FOLDER}/private\n\
             exec nginx -c {FOLDER}/contained.conf -e {FOLDER}/private/error.log -g 'daemon off;'\n"
        ),
    )?;
    let flags = ["--pid", "--mount", "--mount-proc", "--fork", "--kill-child", "sh", "@folder@/contain"];
    let container = world.software("unshare", &flags, CONTAINER)?;
    let master = children(container.pid()).first().copied().context("nothing runs in the container")?;
    world.keep(container);
    Ok(master)
}

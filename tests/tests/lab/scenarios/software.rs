//! Origins that people run: PHP, Python, Node.js, `HAProxy`, another nginx.

use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Result, bail};
use nix::sys::signal::Signal;
use upstream_trace_tests::nginx::{Config, FOLDER, newer};
use upstream_trace_tests::software::{Software, installed};
use upstream_trace_tests::util::{ms, signal};
use upstream_trace_tests::wire::Wire;
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario, World};

const APP: &str = "127.0.0.1:8081";

pub(crate) const ALL: &[Scenario] = &[
    ("software/php-fpm-all-children-busy", |lab| {
        let world = php(lab)?;
        let _php = start_php(&world, "pm.max_children = 1\nlisten.backlog = 1")?;
        world.get("/fine.php").status(200);
        let trace = world.trace(&[])?;
        // One is served, two wait to be accepted, and for the fourth there is no room.
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(world.begin("GET", "/slow.php", &[])?);
            world.pause(ms(150));
        }
        world.get("/fine.php").status(502).log("failed (11: Resource temporarily unavailable)");
        for mut client in clients {
            world.answer(client.receive()).status(504);
        }
        let seen = trace.finish()?;
        seen.failure("accept-queue-full").confidence(Proven | Likely).phase("connect").status(502).errno(11);
        seen.failure("slow-response").confidence(Proven | Likely | Possible).phase("wait").status(504);
        seen.failures(2, "not-accepted", |failure| {
            drop(failure.confidence(Proven | Likely).phase("wait").status(504));
        });
        seen.nothing_else();
        Ok(())
    }),
    ("software/php-fpm-child-crashes", |lab| {
        let world = php(lab)?;
        let _php = start_php(&world, "pm.max_children = 2")?;
        let trace = warm(&world, "/fine.php")?;
        world.get("/crash.php").status(502);
        let seen = trace.finish()?;
        let failure = seen.failure("backend-crashed").confidence(Proven | Likely).status(502);
        failure.transport("unix").evidence("origin-exit").evidence_says("\"signal\":11");
        seen.nothing_else();
        Ok(())
    }),
    ("software/php-fpm-ends-a-slow-request", |lab| {
        let world = php(lab)?;
        let _php = start_php(&world, "pm.max_children = 2\nrequest_terminate_timeout = 1s")?;
        let trace = warm(&world, "/fine.php")?;
        world.get("/slow.php?patient").status(502);
        let seen = trace.finish()?;
        let failure = seen.failure("backend-crashed").confidence(Proven | Likely).status(502);
        failure.evidence("origin-exit").evidence_says("\"signal\":15");
        seen.nothing_else();
        Ok(())
    }),
    // Another child is at work meanwhile, and is none of it.
    ("software/php-fpm-one-of-several-is-killed", |lab| {
        let world = php(lab)?;
        let _php = start_php(&world, "pm.max_children = 4")?;
        let trace = warm(&world, "/fine.php")?;
        let mut waits = world.begin("GET", "/pid.php", &[])?;
        let mut other = world.begin("GET", "/slow.php", &[])?;
        let child = eventually_read(&world.folder().join("pid"))?;
        signal(child, Signal::SIGKILL)?;
        world.answer(waits.receive()).status(502);
        world.answer(other.receive()).status(504);
        let seen = trace.finish()?;
        let failure = seen.failure("backend-crashed").confidence(Proven | Likely).status(502);
        failure.transport("unix").evidence("origin-exit").told("summary", &format!("[{child}]"));
        seen.failure("slow-response").confidence(Proven | Likely | Possible).phase("wait").status(504);
        seen.nothing_else();
        Ok(())
    }),
    // The trap beside: one is killed while idle, and another one closes without a word.
    ("software/php-fpm-an-idle-child-is-killed", |lab| {
        let world = php(lab)?;
        let _php = start_php(&world, "pm.max_children = 1")?;
        let trace = warm(&world, "/fine.php")?;
        let mut waits = world.begin("GET", "/pid-at-once.php", &[])?;
        let child = eventually_read(&world.folder().join("pid"))?;
        world.answer(waits.receive()).status(200);
        signal(child, Signal::SIGKILL)?;
        world.pause(ms(300));
        world.get("/fine.php").status(200);
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    ("software/php-fpm-big-header", |lab| {
        let world = php(lab)?;
        let _php = start_php(&world, "pm.max_children = 2")?;
        let trace = world.trace(&[])?;
        world.get("/big.php").status(502).log("upstream sent too big header while reading response header");
        let seen = trace.finish()?;
        seen.failure("header-too-big").status(502).upstream(&world.unix("php.sock"));
        seen.nothing_else();
        Ok(())
    }),
    // PHP's own complaints stand in nginx's log, and are no failure of the upstream.
    ("software/php-fpm-complains", |lab| {
        let world = php(lab)?;
        let _php = start_php(&world, "pm.max_children = 2")?;
        let trace = world.trace(&[])?;
        world.get("/warns.php").status(200).log("FastCGI sent in stderr");
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    ("software/gunicorn-worker-timeout", |lab| {
        let world = lab.world().upstream(APP).read_timeout("10s").start()?;
        let _app = start_gunicorn(&world, &["--timeout", "2"])?;
        let trace = warm(&world, "/")?;
        world.get("/slow").status(502);
        let seen = trace.finish()?;
        // Python closes the connection on its way out, a moment before the worker exits.
        let failure = seen.failure_of(&["premature-close", "backend-crashed"]).upstream(APP);
        failure.status(502).confidence(Proven | Likely | Possible).phase("wait");
        seen.nothing_else();
        Ok(())
    }),
    // A sync worker closes each connection although nginx would keep it.
    ("software/gunicorn-closes-kept-connections", |lab| {
        let world = lab.world().upstream(APP).keepalive(4).start()?;
        let _app = start_gunicorn(&world, &[])?;
        let trace = world.trace(&[])?;
        for _ in 0..20 {
            world.get("/").status(200);
        }
        world.nginx_is_silent();
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    ("software/gunicorn-all-workers-busy", |lab| {
        let world = lab.world().upstream(APP).start()?;
        let _app = start_gunicorn(&world, &[])?;
        let trace = warm(&world, "/")?;
        let mut busy = world.begin("GET", "/slow", &[])?;
        world.pause(ms(300));
        let mut waits = world.begin("GET", "/", &[])?;
        for client in [&mut busy, &mut waits] {
            world.answer(client.receive()).status(504);
        }
        let seen = trace.finish()?;
        seen.failure("slow-response").upstream(APP).phase("wait").status(504);
        seen.failure("not-accepted").confidence(Proven | Likely).upstream(APP).status(504);
        seen.nothing_else();
        Ok(())
    }),
    ("software/node-closes-an-idle-connection", |lab| {
        let world = lab.world().upstream(APP).keepalive(4).start()?;
        let _app = start_node(&world)?;
        // Newer releases wait a second longer than they are told.
        stale(&world, ms(2500))
    }),
    ("software/node-throws", |lab| {
        let world = lab.world().upstream(APP).start()?;
        let _app = start_node(&world)?;
        let trace = warm(&world, "/")?;
        world.get("/throw").status(502);
        // The process has closed the connection and is still about to end.
        world.pause(ms(500));
        world.get("/").status(502);
        let seen = trace.finish()?;
        let failure = seen.failure("backend-crashed").confidence(Proven | Likely).upstream(APP).status(502);
        failure.evidence("origin-exit");
        seen.failure("port-refused").confidence(Proven).upstream(APP).status(502);
        seen.nothing_else();
        Ok(())
    }),
    ("software/node-asked-for-grpc", |lab| other_protocol(lab, "grpc_pass grpc://", "http2 frame")),
    ("software/node-asked-for-fastcgi", |lab| {
        other_protocol(lab, "fastcgi_pass ", "FastCGI protocol version")
    }),
    // HAProxy without a live server takes a connection and drops it.
    ("software/haproxy-tcp-without-servers", |lab| {
        let world = lab.world().upstream(APP).start()?;
        let _proxy = start_haproxy(&world, "mode tcp")?;
        let trace = world.trace(&[])?;
        world.get("/").status(502);
        let seen = trace.finish()?;
        let failure = seen.failure_of(&["premature-close", "reset-by-backend"]).upstream(APP).status(502);
        failure.confidence(Proven | Likely | Possible);
        seen.nothing_else();
        Ok(())
    }),
    ("software/nginx-closes-an-idle-connection", |lab| {
        let world = lab.world().upstream(APP).keepalive(4).start()?;
        let _origin = start_nginx(&world)?;
        stale(&world, ms(1500))
    }),
];

const CHECKSUM: &str = "kernel-drop-local/wrong-checksum";

/// The program that a scenario needs and this host has not: a small virtual machine, say.
pub(crate) fn missing(scenario: &str) -> Option<&'static str> {
    let on_a_wire = [
        "firewall-drop-remote/",
        "firewall-reject-remote/",
        "path-lost/cookies",
        "path-lost/request",
        "path-lost/big",
        "path-lost/link",
        "invented/keepalive",
        CHECKSUM,
    ];
    if on_a_wire.iter().any(|name| scenario.starts_with(name)) && !Wire::is_possible() {
        return Some("python3 with /dev/net/tun");
    }
    if scenario.starts_with("newer/") && newer().is_none() {
        return Some("a newer nginx");
    }
    if scenario == "hostile/error-log-hangs" && !installed("bindfs") {
        return Some("bindfs");
    }
    let name = scenario.strip_prefix("software/")?;
    let programs = ["php-fpm", "gunicorn", "node", "haproxy", "nginx"];
    programs.into_iter().find(|program| name.starts_with(program) && !installed(program))
}

/// The number that a program writes to a file.
fn eventually_read(path: &Path) -> Result<u32> {
    for _ in 0..300 {
        if let Some(number) = fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()) {
            return Ok(number);
        }
        thread::sleep(ms(10));
    }
    bail!("{} holds no number", path.display())
}

fn php(lab: &Lab) -> Result<World<'_>> {
    let location = |config: &mut Config| {
        config.main.push("env PATH;".into());
        config.server.push(format!(
            "location ~ \\.php$ {{
      fastcgi_pass unix:{FOLDER}/php.sock;
      fastcgi_param SCRIPT_FILENAME {FOLDER}$uri;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_connect_timeout 2s;
      fastcgi_read_timeout 3s;
    }}"
        ));
    };
    let world = lab.world().config(location).start()?;
    world.file("fine.php", "<?php echo 'fine';")?;
    world.file("slow.php", "<?php sleep(5); echo 'slow';")?;
    let pid = "<?php file_put_contents(dirname(__FILE__) . '/pid', posix_getpid());";
    world.file("pid.php", &format!("{pid} sleep(5);"))?;
    world.file("pid-at-once.php", &format!("{pid} echo 'fine';"))?;
    world.file("crash.php", "<?php posix_kill(posix_getpid(), 11); sleep(5);")?;
    world.file("big.php", "<?php header('X-Big: ' . str_repeat('x', 9000)); echo 'big';")?;
    world.file("warns.php", "<?php error_log('look here'); echo 'fine';")?;
    Ok(world)
}

fn start_php(world: &World<'_>, pool: &str) -> Result<Software> {
    world.file(
        "php.conf",
        &format!(
            "[global]\nerror_log = {FOLDER}/php.log\n[www]\nuser = root\ngroup = root\nlisten = {FOLDER}/php.sock\n\
             pm = static\ncatch_workers_output = no\n{pool}\n"
        ),
    )?;
    // Without files of the host's configuration but those that load extensions.
    world.software("php-fpm", &["-F", "-R", "-y", "@folder@/php.conf"], "unix:php.sock")
}

fn start_gunicorn(world: &World<'_>, args: &[&str]) -> Result<Software> {
    world.file(
        "app.py",
        "import time
def app(environ, start):
    if environ['PATH_INFO'] == '/slow':
        time.sleep(30)
    start('200 OK', [('Content-Length', '2')])
    return [b'ok']
",
    )?;
    let all =
        [&["--workers", "1", "--bind", APP, "--worker-tmp-dir", "/dev/shm"], args, &["app:app"]].concat();
    world.software("gunicorn", &all, APP)
}

fn start_node(world: &World<'_>) -> Result<Software> {
    world.file(
        "app.js",
        "const server = require('http').createServer((request, response) => {
  request.resume();
  if (request.url === '/throw') throw new Error('a bug');
  response.end('ok');
});
server.keepAliveTimeout = 500;
server.listen(8081, '127.0.0.1');
",
    )?;
    world.software("node", &["app.js"], APP)
}

fn start_haproxy(world: &World<'_>, mode: &str) -> Result<Software> {
    world.file(
        "haproxy.cfg",
        &format!(
            "defaults\n  {mode}\n  timeout connect 1s\n  timeout client 5s\n  timeout server 5s\n\
             frontend front\n  bind {APP}\n  default_backend none\nbackend none\n"
        ),
    )?;
    world.software("haproxy", &["-db", "-f", "haproxy.cfg"], APP)
}

fn start_nginx(world: &World<'_>) -> Result<Software> {
    world.file(
        "origin.conf",
        &format!(
            "pid {FOLDER}/origin.pid; error_log {FOLDER}/origin.log;\nevents {{}}\nhttp {{ access_log off; \
             client_body_temp_path {FOLDER}/origin; keepalive_timeout 1s; \
             server {{ listen {APP}; location / {{ return 200 ok; }} }} }}\n"
        ),
    )?;
    world.software(
        "nginx",
        &["-c", "@folder@/origin.conf", "-e", "@folder@/origin.log", "-g", "daemon off;"],
        APP,
    )
}

/// Has nginx use the upstream while it is traced: the processes behind an upstream are looked for then.
fn warm<'a>(world: &'a World<'_>, path: &str) -> Result<upstream_trace_tests::trace::Trace<'a>> {
    let trace = world.trace(&[])?;
    world.get(path).status(200);
    world.pause(ms(1500));
    Ok(trace)
}

/// The origin closes a connection that idled while nginx takes a request for it; see `timeouts::reuse_closed`.
fn stale(world: &World<'_>, idle: Duration) -> Result<()> {
    let trace = world.trace(&[])?;
    let mut client = world.connect()?;
    client.send("GET", "/", &[], true)?;
    world.answer(client.receive()).status(200);
    let worker = world.nginx().worker()?;
    world.pause(ms(50));
    signal(worker, Signal::SIGSTOP)?;
    let sent = client.send("POST", "/", b"x", true);
    world.pause(idle);
    signal(worker, Signal::SIGCONT)?;
    sent?;
    world.answer(client.receive()).status(502).log("upstream prematurely closed connection");
    let seen = trace.finish()?;
    let failure = seen.failure("stale-keepalive").confidence(Proven | Likely).upstream(APP);
    failure.reused(true).recovered(false).status(502);
    seen.nothing_else();
    Ok(())
}

/// An HTTP server that is asked for another protocol answers 400, in its own.
fn other_protocol(lab: &Lab, pass: &str, says: &str) -> Result<()> {
    let location = format!("location /other {{ {pass}{APP}; }}");
    let world = lab.world().config(|config| config.server.push(location)).start()?;
    let _app = start_node(&world)?;
    let trace = world.trace(&[])?;
    world.get("/other").status(502).log(says);
    let seen = trace.finish()?;
    seen.failure("invalid-response").upstream(APP).status(502);
    seen.nothing_else();
    Ok(())
}

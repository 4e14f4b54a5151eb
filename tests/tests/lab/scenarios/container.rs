//! nginx where most of it runs today: in containers of docker, podman and Kubernetes, with error.log a link to stderr,
//! which is a pipe; and several of them on one host.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use upstream_trace_tests::container::{Docker, IMAGE, Journald, Pod, Podman, Unit};
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::origin::{Origin, Script};
use upstream_trace_tests::service::{Event, Receiver};
use upstream_trace_tests::util::{ms, wait_until};
use upstream_trace_tests::{Likely, Proven, Scenario, World};

const V4: &str = "10.99.0.2:8081";
const REFUSED: &str = "connect() failed (111: Connection refused)";
const DROPPED: &str = "10.99.0.2:8089";

/// Locations of the nginx in a container, the upstream of each, and how nginx says that it failed.
const FAULTS: [(&str, u16, &str, &str); 8] = [
    ("/refused", 8081, "port-refused", REFUSED),
    ("/dropped", 8089, "firewall-drop-local", "upstream timed out (110:"),
    ("/silent", 8082, "slow-response", "upstream timed out (110:"),
    ("/closed", 8083, "premature-close", "upstream prematurely closed connection"),
    ("/reset", 8084, "reset-by-backend", "recv() failed (104:"),
    ("/nonsense", 8085, "invalid-response", "upstream sent invalid header"),
    ("/big", 8086, "header-too-big", "upstream sent too big header"),
    ("/cut", 8087, "truncated-response", "upstream prematurely closed connection"),
];

/// Lines as nginx would write them; a name that a shell would obey.
const FORGED: &str = "for pid in $(seq 2 60); do echo \"$(date '+%Y/%m/%d %H:%M:%S') [error] $pid#$pid: *1 \
    ;reboot could not be resolved (3: Host not found), client: 192.0.2.7, server: lab, \
    request: \\\"GET / HTTP/1.1\\\", host: \\\"x\\\"\"; done > /proc/1/fd/2";

pub(crate) const ALL: &[Scenario] = &[
    ("container/docker-eight-faults", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let docker = Docker::start(&world)?;
        let address = docker.nginx(&world, "web", &config("80", IN_IMAGE), &[])?;
        world.ng().command("iptables -I DOCKER-USER -p tcp -d 10.99.0.2 --dport 8089 -j DROP")?;
        let trace = world.trace_of(&["--container", "web"], &[])?;
        let origins = faults(&world, &address)?;
        let seen = trace.finish()?;
        drop(origins);
        for (path, port, cause, line) in FAULTS {
            let failure = seen.failure(cause).upstream(&format!("10.99.0.2:{port}")).joined(line);
            let failure =
                failure.logged("request", &format!("GET {path} HTTP/1.1")).logged("source", "docker-json");
            let failure = failure.workload("runtime", "docker").workload("name", "web");
            if cause == "firewall-drop-local" {
                // The rule is docker's host's, which is in another network namespace than nginx.
                let failure =
                    failure.confidence(Proven).evidence_says("DOCKER-USER").evidence_says("dport 8089");
                failure.told("summary", "network namespace").told("fix", "DOCKER-USER");
            }
        }
        seen.nothing_else();
        Ok(())
    }),
    ("container/docker-restart", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let docker = Docker::start(&world)?;
        let address = docker.nginx(&world, "again", &config("80", IN_IMAGE), &[])?;
        let trace = world.trace_of(&["--container", "again"], &[])?;
        world.get_from(&address, "/refused").status(502);
        docker.run(&["restart", "-t", "1", "again"])?;
        let address = docker.address(&world, "again")?;
        let found = trace.wait_line(ms(10_000), |line| line.contains("nginx was started again"));
        lab.check(found, || "nginx is not found again".into());
        world.get_from(&address, "/refused").status(502);
        let seen = trace.finish()?;
        for _ in 0..2 {
            seen.failure("port-refused").joined(REFUSED).workload("name", "again");
        }
        seen.nothing_else();
        Ok(())
    }),
    // Whoever has a shell in the container writes to the same pipe as nginx, for each pid that a worker may have.
    ("container/docker-forged-lines", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let docker = Docker::start(&world)?;
        let address = docker.nginx(&world, "forged", &config("80", IN_IMAGE), &[])?;
        let trace = world.trace_of(&["--container", "forged"], &[])?;
        world.pause(ms(500));
        docker.run(&["exec", "forged", "sh", "-c", FORGED])?;
        world.get_from(&address, "/refused").status(502);
        world.pause(ms(1_500));
        let seen = trace.finish()?;
        let failure = seen.failure("dns-failure").confidence(Likely).workload("name", "forged");
        failure.told("summary", "Only error.log says so.");
        seen.failure("port-refused").joined(REFUSED).workload("name", "forged");
        seen.nothing_else();
        Ok(())
    }),
    // Two in containers and one on the host.
    ("container/several", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let docker = Docker::start(&world)?;
        let one = docker.nginx(&world, "one", &config("80", IN_IMAGE), &[])?;
        let two = docker.nginx(&world, "two", &config("80", IN_IMAGE), &[])?;
        if let Some(tool) = world.start_tool_alone(&["--duration", "1s"])? {
            let ended = tool.wait(ms(10_000))?;
            lab.check(ended.status.code() == Some(1), || format!("the bare command: {}", ended.status));
            for part in [
                "docker container one",
                "docker container two",
                "--container one",
                "--container two",
                "--all",
            ] {
                lab.check(ended.stderr.contains(part), || format!("no {part} in: {}", ended.stderr));
            }
        }
        let picked = world.trace_of(&["--container", "two"], &[])?;
        // The file of the runtime is looked for beside the trace.
        world.pause(ms(500));
        for address in [&one, &two] {
            world.get_from(address, "/refused").status(502);
        }
        world.get("/").status(502);
        // The runtime writes its file a moment after nginx has written its line.
        world.pause(ms(1_000));
        let seen = picked.finish()?;
        seen.failure("port-refused").joined(REFUSED).workload("name", "two");
        seen.nothing_else();
        let receiver = Receiver::start(0)?;
        let all = world.trace_of(&["--all", "--otlp", &receiver.url()], &[])?;
        world.pause(ms(500));
        for address in [&one, &two] {
            world.get_from(address, "/refused").status(502);
        }
        world.get("/here").status(502);
        world.pause(ms(1_000));
        if lab.tool().is_some() {
            let of = |name: &'static str| {
                move |event: &&Event| {
                    event.is_of("container.name", name) && event.is_of("container.runtime.name", "docker")
                }
            };
            receiver.wait_until(Duration::from_secs(20), |events| {
                ["one", "two"].iter().all(|name| events.iter().filter(of(name)).count() == 1)
            })?;
        }
        let seen = all.finish()?;
        let mut names: Vec<String> = seen
            .of_type("failure")
            .map(|failure| failure["workload"]["name"].as_str().unwrap_or_default().to_owned())
            .collect();
        names.sort();
        lab.check(
            !seen.ran() || names.iter().filter(|name| ["one", "two"].contains(&name.as_str())).count() == 2,
            || format!("the failures are those of {names:?}"),
        );
        // Other scenarios run beside this one, and all of their nginx are watched as well: what else failed is theirs.
        for _ in 0..3 {
            seen.failure("port-refused").joined(REFUSED);
        }
        Ok(())
    }),
    // A refused port of a container: which one it is, and where it does listen.
    ("container/docker-wrong-port", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let docker = Docker::start(&world)?;
        let app = docker.nginx(&world, "app", &config("80", IN_IMAGE), &[])?;
        let wrong = app.replace(":80", ":8080");
        let address = docker.nginx(&world, "web", &front(&wrong), &[])?;
        let trace = world.trace_of(&["--container", "web"], &[])?;
        world.get_from(&address, "/").status(502);
        world.pause(ms(1_000));
        let seen = trace.finish()?;
        let failure = seen.failure("port-refused").upstream(&wrong).joined(REFUSED);
        failure
            .confidence(Proven | Likely)
            .told("summary", "that of docker container app, which listens on port 80.")
            .told("fix", "docker exec app ss -lnt")
            .told("fix", "connect to port 80")
            .evidence("container-address");
        seen.nothing_else();
        Ok(())
    }),
    // Containers that know each other by name, a port that docker-proxy publishes, and an origin that is started again.
    ("container/docker-network", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let docker = Docker::start(&world)?;
        docker.run(&["network", "create", "shop_default"])?;
        let network = ["--network", "shop_default"];
        let labels = ["--label", "com.docker.compose.service=app"];
        docker.nginx(&world, "shop-app-1", &served(), &[&network[..], &labels].concat())?;
        let publish = ["-p", PUBLISHED_PORTS];
        docker.nginx(&world, "shop-web-1", &front("shop-app-1:80"), &[&network[..], &publish].concat())?;
        let trace = world.trace_of(&["--container", "shop-web-1"], &[])?;
        world.get_from(PUBLISHED, "/").status(200);
        docker.run(&["restart", "-t", "1", "shop-app-1"])?;
        docker.address(&world, "shop-app-1")?;
        world.get_from(PUBLISHED, "/").status(200);
        docker.run(&["exec", "shop-app-1", "sh", "-c", "kill -STOP 1 $(pidof nginx)"])?;
        world.get_from(PUBLISHED, "/").status(504);
        world.pause(ms(1_000));
        let seen = trace.finish()?;
        // In another network namespace, and yet its queue was looked at while it was stopped.
        let failure = seen.failure("not-accepted").confidence(Proven).joined("upstream timed out (110:");
        failure.workload("name", "shop-web-1").workload("image", "lab-nginx:1");
        seen.nothing_else();
        docker.run(&["kill", "-s", "CONT", "shop-app-1"])?;
        Ok(())
    }),
    // One process is master and worker, below a supervisor.
    ("container/docker-supervised", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let docker = Docker::start(&world)?;
        world.file("single.conf", &format!("master_process off;\n{}", config("80", IN_IMAGE)))?;
        let mount = format!("{}:/etc/nginx/nginx.conf:ro", world.folder().join("single.conf").display());
        let how = ["run", "-d", "--name", "single", "-v", &mount, "--entrypoint", "/bin/sh", IMAGE];
        docker.run(&[&how[..], &["-c", "/usr/sbin/nginx -g 'daemon off;' & wait"]].concat())?;
        let address = docker.address(&world, "single")?;
        let trace = world.trace_of(&["--container", "single"], &[])?;
        world.pause(ms(500));
        world.get_from(&address, "/refused").status(502);
        world.pause(ms(1_000));
        let seen = trace.finish()?;
        let failure = seen.failure("port-refused").joined(REFUSED).logged("source", "docker-json");
        failure.workload("name", "single");
        seen.nothing_else();
        Ok(())
    }),
    // The tool in a container, nginx on the host.
    ("container/docker-tool-inside", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let docker = Docker::start(&world)?;
        let trace = world.trace_through(Path::new("docker"), &|tool| docker.run_tool(tool, "tool"))?;
        world.get("/").status(502);
        world.pause(ms(500));
        let seen = trace.finish()?;
        seen.failure("port-refused").upstream(V4).joined(REFUSED);
        seen.nothing_else();
        Ok(())
    }),
    ("container/docker-journal", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let journald = Journald::start(&world)?;
        let docker = Docker::start(&world)?;
        let driver = ["--log-driver", "journald"];
        let address = docker.nginx(&world, "jweb", &config("80", IN_IMAGE), &driver)?;
        world.ng().command("iptables -I DOCKER-USER -p tcp -d 10.99.0.2 --dport 8089 -j DROP")?;
        eight(&world, &["--container", "jweb"], &address, ("docker", "jweb", "journal"))?;
        drop(docker);
        drop(journald);
        Ok(())
    }),
    // Docker keeps the output to itself: lines are seen when nginx writes them.
    ("container/docker-local-driver", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let docker = Docker::start(&world)?;
        let address = docker.nginx(&world, "lweb", &config("80", IN_IMAGE), &["--log-driver", "local"])?;
        world.ng().command("iptables -I DOCKER-USER -p tcp -d 10.99.0.2 --dport 8089 -j DROP")?;
        eight(&world, &["--container", "lweb"], &address, ("docker", "lweb", "write"))
    }),
    // A program behind a pipe keeps them, wherever; the access log is a file.
    ("container/piped", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let address = "127.0.0.1:8090";
        let config = config(address, "stderr").replace("access_log off", "access_log @folder@/piped.access");
        world.file("piped.conf", &config.replace("/tmp/", "@folder@/"))?;
        let script =
            "nginx -c @folder@/piped.conf -e stderr -g 'daemon off;' 2>&1 | while read -r line; do :; done";
        let piped = world.software("sh", &["-c", script], address)?;
        let master = std::fs::read_to_string(world.folder().join("nginx-contained.pid"))?;
        let firewall = Firewall::nft(&world, world.ng(), "output", "tcp dport 8089 counter drop")?;
        let trace = world.trace_pid(master.trim(), &[])?;
        let origins = faults(&world, address)?;
        let seen = trace.finish()?;
        firewall.was_hit();
        drop(origins);
        for (path, port, cause, line) in FAULTS {
            // What dropped the packet is not what this is about, and old kernels may not show it.
            let dropped = ["firewall-drop-local", "firewall-drop-remote"];
            let causes = if dropped.contains(&cause) { &dropped[..] } else { &[cause] };
            let failure = seen.failure_of(causes).upstream(&format!("10.99.0.2:{port}")).joined(line);
            failure.logged("request", &format!("GET {path} HTTP/1.1")).logged("source", "write");
        }
        seen.nothing_else();
        drop(piped);
        Ok(())
    }),
    // Under dumb-init, as many images have it.
    ("container/unit-dumb-init", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let address = "127.0.0.1:8090";
        world.file("init.conf", &config(address, "stderr").replace("/tmp/", "@folder@/"))?;
        let nginx = "dumb-init nginx -c @folder@/init.conf -e stderr -g 'daemon off;'";
        let script = format!("{nginx} 2>&1 | while read -r line; do :; done");
        let unit = Unit::run(&world, "lab-init.service", &script, address)?;
        let firewall = Firewall::nft(&world, world.ng(), "output", "tcp dport 8089 counter drop")?;
        eight(&world, &["--unit", "lab-init"], address, ("systemd", "lab-init.service", "write"))?;
        firewall.was_hit();
        drop(unit);
        Ok(())
    }),
    // Under s6, which starts it again, and whose log program reads its output from a pipe.
    ("container/unit-s6", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let address = "127.0.0.1:8090";
        world.file("s6.conf", &config(address, "stderr").replace("/tmp/", "@folder@/"))?;
        for (service, command) in [
            ("web", "exec 2>&1 nginx -c @folder@/s6.conf -e stderr -g 'daemon off;'"),
            ("web/log", "exec s6-log -b n3 s100000 @folder@/s6-logs"),
        ] {
            let folder = world.folder().join("services").join(service);
            std::fs::create_dir_all(&folder)?;
            world.file(&format!("services/{service}/run"), &format!("#!/bin/sh\n{command}\n"))?;
            std::fs::set_permissions(folder.join("run"), std::fs::Permissions::from_mode(0o755))?;
        }
        let unit = Unit::run(&world, "lab-s6.service", "exec s6-svscan @folder@/services", address)?;
        let trace = world.trace_of(&["--unit", "lab-s6"], &[])?;
        world.get_from(address, "/refused").status(502);
        world.ng().command(&format!("s6-svc -wr -r {}/services/web", world.folder().display()))?;
        let found = trace.wait_line(ms(10_000), |line| line.contains("nginx was started again"));
        lab.check(found, || "nginx is not found again".into());
        wait_until("nginx", ms(10_000), || world.connect_to(address).is_ok())?;
        world.get_from(address, "/refused").status(502);
        let seen = trace.finish()?;
        for _ in 0..2 {
            let failure = seen.failure("port-refused").joined(REFUSED).logged("source", "write");
            failure.workload("name", "lab-s6.service");
        }
        seen.nothing_else();
        drop(unit);
        Ok(())
    }),
    ("container/podman-eight-faults", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let podman = Podman::start(&world)?;
        let address = "127.0.0.1:8090";
        podman.nginx(&world, "pweb", &config(address, IN_IMAGE), address, "k8s-file")?;
        let firewall = Firewall::nft(&world, world.ng(), "output", "tcp dport 8089 counter drop")?;
        eight(&world, &["--container", "pweb"], address, ("podman", "pweb", "cri"))?;
        firewall.was_hit();
        Ok(())
    }),
    // A unit of systemd, and containers, whose output goes to the journal.
    ("container/unit-journal", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let journald = Journald::start(&world)?;
        let address = "127.0.0.1:8090";
        let unit = Unit::nginx(&world, "lab-shop.service", &config(address, "stderr"), address)?;
        let firewall = Firewall::nft(&world, world.ng(), "output", "tcp dport 8089 counter drop")?;
        eight(&world, &["--unit", "lab-shop"], address, ("systemd", "lab-shop.service", "journal"))?;
        firewall.was_hit();
        drop(unit);
        drop(journald);
        Ok(())
    }),
    // Its lines go to the journal as datagrams of syslog, and nowhere else.
    ("container/unit-syslog-journal", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let journald = Journald::start(&world)?;
        let address = "127.0.0.1:8090";
        let config = by_syslog(address, "unix:/run/systemd/journal/dev-log");
        let unit = Unit::silent_nginx(&world, "lab-syslog.service", &config, address)?;
        let firewall = Firewall::nft(&world, world.ng(), "output", "tcp dport 8089 counter drop")?;
        eight(&world, &["--unit", "lab-syslog"], address, ("systemd", "lab-syslog.service", "journal"))?;
        firewall.was_hit();
        drop(unit);
        drop(journald);
        Ok(())
    }),
    // A server of syslog on this host: without the name of its file a note says what to do, with it the lines are joined.
    ("container/unit-syslog-file", |lab| {
        let world = lab.world().upstream(V4).start()?;
        world.file("rsyslog.conf", RSYSLOG)?;
        let server =
            world.software("rsyslogd", &["-n", "-f", "@folder@/rsyslog.conf", "-i", "NONE"], "udp:5514")?;
        let address = "127.0.0.1:8090";
        let config = by_syslog(address, "127.0.0.1:5514");
        let unit = Unit::silent_nginx(&world, "lab-remote.service", &config, address)?;
        let firewall = Firewall::nft(&world, world.ng(), "output", "tcp dport 8089 counter drop")?;
        let which = ["--unit", "lab-remote"];
        let trace = world.trace_of(&which, &["--hooks", "write=off"])?;
        world.get_from(address, "/refused").status(502);
        let said = trace.wait_line(ms(5_000), |line| line.contains("`syslog:` at 127.0.0.1:5514"));
        lab.check(said, || "nothing is said of the syslog server".into());
        let seen = trace.finish()?;
        let failure = seen.failure("port-refused");
        let without = failure.object().is_none_or(|failure| failure["log"].is_null());
        lab.check(without, || "a line is joined that cannot be read".into());
        seen.nothing_else();
        // The kernel shows the datagrams.
        let trace = world.trace_of(&which, &[])?;
        world.pause(ms(1_000));
        world.get_from(address, "/refused").status(502);
        let seen = trace.finish()?;
        seen.failure("port-refused").joined(REFUSED).logged("source", "write");
        seen.nothing_else();
        let named = |name: &str| world.folder().join(name).display().to_string();
        for name in ["short.log", "structured.log"] {
            let trace = world.trace_of(&which, &["--error-log", &named(name)])?;
            world.get_from(address, "/refused").status(502);
            let seen = trace.finish()?;
            seen.failure("port-refused").joined(REFUSED).logged("source", "syslog");
            seen.nothing_else();
        }
        let long = ["--unit", "lab-remote", "--error-log", &named("long.log")];
        eight(&world, &long, address, ("systemd", "lab-remote.service", "syslog"))?;
        firewall.was_hit();
        drop(unit);
        drop(server);
        Ok(())
    }),
    ("container/podman-journal", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let journald = Journald::start(&world)?;
        let podman = Podman::start(&world)?;
        let address = "127.0.0.1:8090";
        podman.nginx(&world, "pjweb", &config(address, IN_IMAGE), address, "journald")?;
        let firewall = Firewall::nft(&world, world.ng(), "output", "tcp dport 8089 counter drop")?;
        eight(&world, &["--container", "pjweb"], address, ("podman", "pjweb", "journal"))?;
        firewall.was_hit();
        drop(podman);
        drop(journald);
        Ok(())
    }),
    ("container/pod-with-cri-log", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let address = "127.0.0.1:8090";
        let pod = Pod::nginx(&world, &config(address, "stderr"), address)?;
        let firewall = Firewall::nft(&world, world.ng(), "output", "tcp dport 8089 counter drop")?;
        eight(&world, &["--pod", "shop/web-0"], address, ("containerd", "app", "cri"))?;
        firewall.was_hit();
        let trace = world.trace_of(&["--pod", "shop/web-0"], &[])?;
        world.get_from(address, "/refused").status(502);
        world.pause(ms(300));
        pod.rotate()?;
        world.pause(ms(400));
        world.get_from(address, "/refused").status(502);
        let seen = trace.finish()?;
        for _ in 0..2 {
            let failure = seen.failure("port-refused").joined(REFUSED);
            failure.workload("pod", "web-0").workload("namespace", "shop");
        }
        seen.nothing_else();
        Ok(())
    }),
];

/// A syslog server that writes three forms of what it gets.
const RSYSLOG: &str = "module(load=\"imudp\")\ninput(type=\"imudp\" address=\"127.0.0.1\" port=\"5514\")\n\
    global(workDirectory=\"@folder@\")\n\
    action(type=\"omfile\" file=\"@folder@/short.log\" template=\"RSYSLOG_TraditionalFileFormat\")\n\
    action(type=\"omfile\" file=\"@folder@/long.log\" template=\"RSYSLOG_FileFormat\")\n\
    action(type=\"omfile\" file=\"@folder@/structured.log\" template=\"RSYSLOG_SyslogProtocol23Format\")\n";

/// An nginx that sends its lines to syslog alone.
fn by_syslog(address: &str, server: &str) -> String {
    let log = format!("http {{\nerror_log syslog:server={server} notice;\n");
    config(address, "stderr").replacen("http {\n", &log, 1)
}

/// What is missing on this host for a scenario.
pub(crate) fn missing(scenario: &str) -> Option<&'static str> {
    let name = scenario.strip_prefix("container/")?;
    let programs =
        [("unit-syslog-file", "rsyslogd"), ("unit-dumb-init", "dumb-init"), ("unit-s6", "s6-svscan")];
    let mut needed = programs.iter().filter(|(scenario, _)| *scenario == name).map(|(_, program)| *program);
    if let Some(program) = needed.find(|program| !upstream_trace_tests::software::installed(program)) {
        return Some(program);
    }
    if name.ends_with("-journal")
        && let Some(missing) = upstream_trace_tests::container::journal_missing()
    {
        return Some(missing);
    }
    let runtime = if name.starts_with("podman") { "podman" } else { "docker" };
    upstream_trace_tests::container::missing(
        if ["pod-", "unit-", "piped"].iter().any(|begin| name.starts_with(begin)) { "" } else { runtime },
    )
}

const HEAD: &str = "user nobody nogroup;\nworker_processes 1;\npid /tmp/nginx-contained.pid;\n";

const TEMPORARY: &str = "client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy;\n\
    fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;\n";

/// In images of nginx it is a link to stderr.
const IN_IMAGE: &str = "/var/log/nginx/error.log";

/// Where docker-proxy listens.
const PUBLISHED: &str = "127.0.0.1:8091";
const PUBLISHED_PORTS: &str = "127.0.0.1:8091:80";

/// An nginx that answers by itself.
fn served() -> String {
    format!(
        "{HEAD}error_log {IN_IMAGE};\nevents {{}}\nhttp {{ access_log off;\n{TEMPORARY}\
         server {{ listen 80; return 200; }} }}\n"
    )
}

/// An nginx in front of one upstream.
fn front(upstream: &str) -> String {
    format!(
        "{HEAD}error_log {IN_IMAGE};\nevents {{}}\nhttp {{ access_log off; proxy_read_timeout 1s;\n{TEMPORARY}\
         server {{ listen 80; location / {{ proxy_pass http://{upstream}; }} }} }}\n"
    )
}

fn config(listen: &str, log: &str) -> String {
    let locations = FAULTS
        .iter()
        .map(|(path, port, ..)| format!("location {path} {{ proxy_pass http://10.99.0.2:{port}; }}\n"))
        .collect::<Vec<_>>()
        .concat();
    format!(
        "{HEAD}error_log {log} notice;\nevents {{}}\nhttp {{\naccess_log off;\n{TEMPORARY}\
         proxy_connect_timeout 1s; proxy_read_timeout 1s;\nserver {{ listen {listen};\n{locations}}} }}\n"
    )
}

fn faults(world: &World<'_>, address: &str) -> Result<Vec<Rc<Origin>>> {
    let big = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 9000], b"\r\n\r\n".to_vec()].concat();
    let origins = vec![
        world.origin("10.99.0.2:8082", Script::silent())?,
        world.origin("10.99.0.2:8083", Script::read_then_fin())?,
        world.origin("10.99.0.2:8084", Script::read_then_rst())?,
        world.origin("10.99.0.2:8085", Script::says(b"HTTP/1.1 200 OK\r\nX-Bad\0: yes\r\n\r\n"))?,
        world.origin("10.99.0.2:8086", Script::says(&big))?,
        world.origin("10.99.0.2:8087", Script::partial_then_fin(10, 1000))?,
        world.origin(DROPPED, Script::answer(10))?,
    ];
    for (path, _, cause, _) in FAULTS {
        let status = match cause {
            "firewall-drop-local" | "slow-response" => 504,
            "truncated-response" => 200,
            _ => 502,
        };
        world.get_from(address, path).status(status);
    }
    Ok(origins)
}

/// Eight faults, each with its line and the names of its container.
fn eight(
    world: &World<'_>,
    which: &[&str],
    address: &str,
    (runtime, name, source): (&str, &str, &str),
) -> Result<()> {
    let trace = world.trace_of(which, &[])?;
    let origins = faults(world, address)?;
    let seen = trace.finish()?;
    drop(origins);
    for (path, port, cause, line) in FAULTS {
        let failure = seen.failure(cause).upstream(&format!("10.99.0.2:{port}")).joined(line);
        let failure = failure.logged("request", &format!("GET {path} HTTP/1.1")).logged("source", source);
        failure.workload("runtime", runtime).workload("name", name);
    }
    seen.nothing_else();
    Ok(())
}

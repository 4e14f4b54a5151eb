//! Containers of docker, and several nginx on one host.

use std::path::Path;
use std::time::Duration;

use upstream_trace_tests::container::{Docker, IMAGE, Journald};
use upstream_trace_tests::service::{Event, Receiver};
use upstream_trace_tests::util::ms;
use upstream_trace_tests::{Likely, Proven, Scenario};

use super::faults::{FAULTS, HEAD, IN_IMAGE, REFUSED, TEMPORARY, V4, config, eight, faults};

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
        // As soon as it answers: nothing waits until it is found.
        let address = docker.address(&world, "again")?;
        world.get_from(&address, "/refused").status(502);
        let found = trace.wait_line(ms(10_000), |line| line.contains("nginx was started again"));
        lab.check(found, || "nginx is not found again".into());
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
];

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

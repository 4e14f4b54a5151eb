//! Units of systemd, supervisors, `syslog:`, and a log program behind a pipe.

use std::os::unix::fs::PermissionsExt as _;

use upstream_trace_tests::Scenario;
use upstream_trace_tests::container::{Journald, Unit};
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::util::{ms, wait_until};

use super::faults::{FAULTS, REFUSED, V4, config, eight_dropped_here, faults};

pub(crate) const ALL: &[Scenario] = &[
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
        eight_dropped_here(
            &world,
            &["--unit", "lab-init"],
            address,
            ("systemd", "lab-init.service", "write"),
        )?;
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
    // A unit of systemd, and containers, whose output goes to the journal.
    ("container/unit-journal", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let journald = Journald::start(&world)?;
        let address = "127.0.0.1:8090";
        let unit = Unit::nginx(&world, "lab-shop.service", &config(address, "stderr"), address)?;
        eight_dropped_here(
            &world,
            &["--unit", "lab-shop"],
            address,
            ("systemd", "lab-shop.service", "journal"),
        )?;
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
        eight_dropped_here(
            &world,
            &["--unit", "lab-syslog"],
            address,
            ("systemd", "lab-syslog.service", "journal"),
        )?;
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
        eight_dropped_here(&world, &long, address, ("systemd", "lab-remote.service", "syslog"))?;
        drop(unit);
        drop(server);
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

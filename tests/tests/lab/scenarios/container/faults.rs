//! Eight faults of the upstreams of an nginx that runs somewhere else than the lab's own.

use std::rc::Rc;

use anyhow::Result;
use upstream_trace_tests::World;
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::origin::{Origin, Script};

pub(super) const V4: &str = "10.99.0.2:8081";
pub(super) const REFUSED: &str = "connect() failed (111: Connection refused)";
const DROPPED: &str = "10.99.0.2:8089";

/// Locations of the nginx in a container, the upstream of each, and how nginx says that it failed.
pub(super) const FAULTS: [(&str, u16, &str, &str); 8] = [
    ("/refused", 8081, "port-refused", REFUSED),
    ("/dropped", 8089, "firewall-drop-local", "upstream timed out (110:"),
    ("/silent", 8082, "slow-response", "upstream timed out (110:"),
    ("/closed", 8083, "premature-close", "upstream prematurely closed connection"),
    ("/reset", 8084, "reset-by-backend", "recv() failed (104:"),
    ("/nonsense", 8085, "invalid-response", "upstream sent invalid header"),
    ("/big", 8086, "header-too-big", "upstream sent too big header"),
    ("/cut", 8087, "truncated-response", "upstream prematurely closed connection"),
];

pub(super) const HEAD: &str = "user nobody nogroup;\nworker_processes 1;\npid /tmp/nginx-contained.pid;\n";

pub(super) const TEMPORARY: &str = "client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy;\n\
    fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;\n";

/// In images of nginx it is a link to stderr.
pub(super) const IN_IMAGE: &str = "/var/log/nginx/error.log";

pub(super) fn config(listen: &str, log: &str) -> String {
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

pub(super) fn faults(world: &World<'_>, address: &str) -> Result<Vec<Rc<Origin>>> {
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
pub(super) fn eight(
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

/// The same, where the host's own firewall drops one.
pub(super) fn eight_dropped_here(
    world: &World<'_>,
    which: &[&str],
    address: &str,
    names: (&str, &str, &str),
) -> Result<()> {
    let firewall = Firewall::nft(world, world.ng(), "output", "tcp dport 8089 counter drop")?;
    eight(world, which, address, names)?;
    firewall.was_hit();
    Ok(())
}

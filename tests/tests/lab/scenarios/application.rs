//! The application broke the exchange.

use std::rc::Rc;

use anyhow::Result;
use nix::sys::signal::Signal;
use upstream_trace_tests::netns::Namespace;
use upstream_trace_tests::origin::{Origin, Script, Step, response};
use upstream_trace_tests::util::{ms, signal};
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario, World};

const V4: &str = "10.99.0.2:8081";
const OTHER: &str = "10.99.0.2:8082";
const V6: &str = "[fd99::2]:8081";
const CLOSED: &str = "upstream prematurely closed connection while reading response header from upstream";
const RESET: &str =
    "recv() failed (104: Connection reset by peer) while reading response header from upstream";

pub(crate) const ALL: &[Scenario] = &[
    ("premature-close/tcp4", |lab| breaks(lab, V4, Script::read_then_fin(), "premature-close", CLOSED)),
    ("premature-close/tcp6", |lab| breaks(lab, V6, Script::read_then_fin(), "premature-close", CLOSED)),
    ("premature-close/unix", |lab| {
        breaks(lab, "unix:app.sock", Script::read_then_fin(), "premature-close", CLOSED)
    }),
    ("premature-close/half-a-header", |lab| {
        let half = Step::Send(b"HTTP/1.1 200 OK\r\nContent-".to_vec());
        let script = Script::new(vec![Step::Request, half, Step::Close]);
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, script)?;
        let trace = world.trace(&[])?;
        world.get("/").status(502).log(CLOSED);
        let seen = trace.finish()?;
        seen.failure_of(&["premature-close", "truncated-response"]).upstream(V4).status(502);
        seen.nothing_else();
        Ok(())
    }),
    ("reset-by-backend/tcp4", |lab| breaks(lab, V4, Script::read_then_rst(), "reset-by-backend", RESET)),
    ("reset-by-backend/tcp6", |lab| breaks(lab, V6, Script::read_then_rst(), "reset-by-backend", RESET)),
    ("reset-by-backend/loopback", |lab| {
        breaks(lab, "127.0.0.1:8081", Script::read_then_rst(), "reset-by-backend", RESET)
    }),
    ("reset-by-backend/unread-request", |lab| {
        let script = Script::new(vec![Step::Sleep(ms(200)), Step::Close]);
        breaks(lab, V4, script, "reset-by-backend", RESET)
    }),
    ("reset-by-backend/unix-unread-request", |lab| {
        let script = Script::new(vec![Step::Sleep(ms(200)), Step::Close]);
        breaks(lab, "unix:app.sock", script, "reset-by-backend", RESET)
    }),
    ("reset-by-backend/in-the-body", |lab| {
        let script = Script::partial_then_rst(100, 100_000);
        truncates(
            lab,
            V4,
            script,
            "reset-by-backend",
            "(104: Connection reset by peer) while reading upstream",
        )
    }),
    ("truncated-response/tcp4", |lab| {
        truncates(lab, V4, Script::partial_then_fin(100, 1000), TRUNCATED.0, TRUNCATED.1)
    }),
    ("truncated-response/unix", |lab| {
        truncates(lab, "unix:app.sock", Script::partial_then_fin(100, 1000), TRUNCATED.0, TRUNCATED.1)
    }),
    ("request-rejected-early/tcp4", |lab| rejected(lab, V4)),
    ("request-rejected-early/loopback", |lab| rejected(lab, "127.0.0.1:8081")),
    ("header-too-big/tcp4", |lab| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nX-Big: ".to_vec();
        bytes.resize(20_000, b'x');
        let script = Script::says(&[&bytes[..], b"\r\n\r\n"].concat());
        breaks(
            lab,
            V4,
            script,
            "header-too-big",
            "upstream sent too big header while reading response header",
        )
    }),
    ("invalid-response/bad-header", |lab| {
        let script = Script::says(b"HTTP/1.1 200 OK\r\nX-Bad\0: yes\r\n\r\n");
        breaks(lab, V4, script, "invalid-response", "upstream sent invalid header")
    }),
    ("upstream-error-status/502", |lab| passes_on(lab, V4, "502 Bad Gateway", 502)),
    ("upstream-error-status/504-tcp6", |lab| passes_on(lab, V6, "504 Gateway Time-out", 504)),
    ("upstream-error-status/500-unix", |lab| passes_on(lab, "unix:app.sock", "500 Oops", 500)),
    ("upstream-error-status/pooled", |lab| {
        let world = lab.world().upstream(V4).keepalive(4).start()?;
        let _origin = world.origin(V4, Script::status("503 Busy"))?;
        let trace = world.trace(&[])?;
        for _ in 0..3 {
            world.get("/").status(503);
        }
        let seen = trace.finish()?;
        for reused in [false, true, true] {
            let failure = seen.failure("upstream-error-status").confidence(Proven).status(503);
            failure.recovered(false).reused(reused).phase("receive");
        }
        seen.nothing_else();
        Ok(())
    }),
    ("upstream-error-status/tried-on", |lab| {
        let (world, _origins) = two_peers(lab, ["502 Bad Gateway", "200 OK"])?;
        let trace = world.trace(&[])?;
        world.get("/").status(200);
        let seen = trace.finish()?;
        let failure = seen.failure("upstream-error-status").confidence(Proven).upstream(V4).status(502);
        failure.recovered(true);
        seen.nothing_else();
        Ok(())
    }),
    ("upstream-error-status/tried-on-in-vain", |lab| {
        let (world, _origins) = two_peers(lab, ["502 Bad Gateway", "502 Bad Gateway"])?;
        let trace = world.trace(&[])?;
        world.get("/").status(502);
        let seen = trace.finish()?;
        for upstream in [V4, OTHER] {
            let failure = seen.failure("upstream-error-status").confidence(Proven).upstream(upstream);
            failure.status(502).recovered(false);
        }
        seen.nothing_else();
        Ok(())
    }),
    ("upstream-error-status/after-a-refused-peer", |lab| {
        let world = lab.world().upstream(V4).upstream(&format!("{OTHER} backup")).start()?;
        let _origin = world.origin(OTHER, Script::status("500 Oops"))?;
        let trace = world.trace(&[])?;
        world.get("/").status(500);
        let seen = trace.finish()?;
        drop(seen.failure("port-refused").upstream(V4).recovered(false));
        drop(seen.failure("upstream-error-status").upstream(OTHER).status(500).recovered(false));
        seen.nothing_else();
        Ok(())
    }),
    ("upstream-error-status/fastcgi", |lab| {
        let world = lab.world().upstream(V4).location("fastcgi_pass origin;").start()?;
        let text = b"Status: 500 Internal Server Error\r\nContent-Type: text/plain\r\n\r\nx";
        let length = u8::try_from(text.len())?;
        let record = [&[1, 6, 0, 1, 0, length, 0, 0][..], text, &[1, 3, 0, 1, 0, 8, 0, 0], &[0; 8]].concat();
        let _origin = world.origin(V4, Script::new(vec![Step::Bytes, Step::Send(record), Step::Close]))?;
        let trace = world.trace(&[])?;
        world.get("/").status(500);
        let seen = trace.finish()?;
        let failure = seen.failure("upstream-error-status").confidence(Proven).upstream(V4).status(500);
        failure.phase("receive").recovered(false);
        seen.nothing_else();
        Ok(())
    }),
    ("backend-crashed/loopback", |lab| crashes(lab, "127.0.0.1:8081", World::ng)),
    ("backend-crashed/unix", |lab| crashes(lab, "unix:app.sock", World::ng)),
    ("backend-crashed/unix-across-namespaces", |lab| crashes(lab, "unix:app.sock", World::up)),
    ("backend-crashed/exit-status", |lab| ends_itself(lab, "/exit-3", "backend-crashed")),
    ("backend-crashed/not-by-an-orderly-exit", |lab| ends_itself(lab, "/exit-0", "premature-close")),
    ("backend-crashed/one-of-several", |lab| {
        let world = lab.world().upstream("127.0.0.1:8081").start()?;
        let _origins = world.origin_processes("127.0.0.1:8081")?;
        let trace = world.trace(&[])?;
        drop(world.begin("GET", "/", &[])?);
        world.pause(ms(400));
        world.get("/exit-3").status(502).log(CLOSED);
        let seen = trace.finish()?;
        let failure = seen.failure("backend-crashed").confidence(Proven).phase("wait").status(502);
        failure.evidence("origin-exit").evidence("origin-closed");
        seen.nothing_else();
        Ok(())
    }),
    ("backend-crashed/restarted-and-crashed-again", |lab| {
        let world = lab.world().upstream("127.0.0.1:8081").start()?;
        let trace = world.trace(&[])?;
        for signal in [Signal::SIGSEGV, Signal::SIGABRT] {
            let mut origin = world.origin_process("127.0.0.1:8081")?;
            let mut client = world.begin("GET", "/", &[])?;
            // A new listener is looked for once a second.
            world.pause(ms(1500));
            origin.kill(signal)?;
            world.answer(client.receive()).status(502).log(CLOSED);
        }
        let seen = trace.finish()?;
        seen.failures(2, "backend-crashed", |failure| {
            failure.confidence(Proven).phase("wait").status(502);
        });
        seen.nothing_else();
        Ok(())
    }),
];

const TRUNCATED: (&str, &str) =
    ("truncated-response", "upstream prematurely closed connection while reading upstream");

fn breaks(lab: &Lab, upstream: &str, script: Script, cause: &str, says: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let _origin = world.origin(upstream, script)?;
    let trace = world.trace(&[])?;
    world.get("/").status(502).log(says);
    let seen = trace.finish()?;
    let failure = seen.failure(cause).confidence(Proven | Likely | Possible).status(502);
    failure.reused(false).phase_of(&["wait", "receive"]);
    seen.nothing_else();
    Ok(())
}

fn truncates(lab: &Lab, upstream: &str, script: Script, cause: &str, says: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let _origin = world.origin(upstream, script)?;
    let trace = world.trace(&[])?;
    world.get("/").status(200).truncated().log(says);
    let seen = trace.finish()?;
    seen.failure(cause).confidence(Proven | Likely | Possible).phase("receive");
    seen.nothing_else();
    Ok(())
}

/// The origin refuses an upload while it comes in. nginx may read that answer or find the reset first; a stopped
/// worker finds both, and deals first with what came first: more of the upload.
fn rejected(lab: &Lab, upstream: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).location("proxy_request_buffering off;").start()?;
    let refuse = Step::Send(response("413 Payload Too Large", 9));
    let origin =
        world.origin(upstream, Script::new(vec![Step::Head, Step::Sleep(ms(400)), refuse, Step::Close]))?;
    let trace = world.trace(&[])?;
    let mut client = world.connect()?;
    client.send_bytes(b"POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 100000\r\n\r\n")?;
    client.send_bytes(&[b'x'; 1000])?;
    origin.wait_accepted(1)?;
    world.pause(ms(100));
    let worker = world.nginx().worker()?;
    signal(worker, Signal::SIGSTOP)?;
    let sent = client.send_bytes(&[b'x'; 1000]);
    world.pause(ms(800));
    signal(worker, Signal::SIGCONT)?;
    sent?;
    let says = "writev() failed (104: Connection reset by peer) while sending request to upstream";
    world.answer(client.receive()).status(502).log(says);
    let seen = trace.finish()?;
    let failure =
        seen.failure("request-rejected-early").confidence(Proven | Likely | Possible).upstream(upstream);
    failure.phase("send").status(502);
    seen.nothing_else();
    Ok(())
}

fn two_peers<'lab>(lab: &'lab Lab, answers: [&str; 2]) -> Result<(World<'lab>, [Rc<Origin>; 2])> {
    let location = "proxy_next_upstream error timeout http_502;";
    let world = lab.world().upstream(V4).upstream(&format!("{OTHER} backup")).location(location).start()?;
    let [first, second] = answers.map(Script::status);
    let origins = [world.origin(V4, first)?, world.origin(OTHER, second)?];
    Ok((world, origins))
}

fn passes_on(lab: &Lab, upstream: &str, answer: &str, status: u16) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let _origin = world.origin(upstream, Script::status(answer))?;
    let trace = world.trace(&[])?;
    world.get("/").status(status);
    world.nginx_is_silent();
    let seen = trace.finish()?;
    // It is in the first bytes of the answer.
    let failure = seen.failure("upstream-error-status").confidence(Proven).phase("receive");
    failure.upstream(&world.address(upstream)).status(status).recovered(false);
    seen.nothing_else();
    Ok(())
}

fn crashes<'lab>(
    lab: &'lab Lab,
    upstream: &str,
    place: for<'a> fn(&'a World<'lab>) -> &'a Namespace,
) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let mut origin = world.origin_process_in(place(&world), upstream)?;
    let trace = world.trace(&[])?;
    let mut client = world.begin("GET", "/", &[])?;
    world.pause(ms(300));
    origin.kill(Signal::SIGKILL)?;
    world.answer(client.receive()).status(502).log(CLOSED);
    let seen = trace.finish()?;
    seen.failure("backend-crashed").confidence(Proven | Likely).phase("wait").status(502);
    seen.nothing_else();
    Ok(())
}

fn ends_itself(lab: &Lab, path: &str, cause: &str) -> Result<()> {
    let world = lab.world().upstream("127.0.0.1:8081").start()?;
    let _origin = world.origin_process("127.0.0.1:8081")?;
    let trace = world.trace(&[])?;
    // The processes behind an upstream are looked for once nginx has used it.
    let mut waiting = world.begin("GET", "/", &[])?;
    world.pause(ms(400));
    world.get(path).status(502).log(CLOSED);
    world.answer(waiting.receive()).status(502).log(CLOSED);
    let seen = trace.finish()?;
    seen.failures(2, cause, |failure| {
        failure.confidence(Proven).phase("wait").status(502);
    });
    seen.nothing_else();
    Ok(())
}

//! Nothing is wrong with the upstream, and nothing may be reported.

use std::net::TcpStream;

use anyhow::Result;
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::origin::{Ending, Script};
use upstream_trace_tests::util::ms;
use upstream_trace_tests::{Lab, Scenario};

const V4: &str = "10.99.0.2:8081";

pub(crate) const ALL: &[Scenario] = &[
    ("healthy/client-gone-while-waiting", |lab| client_gone(lab, V4)),
    ("healthy/client-gone-while-waiting-unix", |lab| client_gone(lab, "unix:app.sock")),
    ("healthy/client-gone-while-connecting", |lab| {
        let world = lab.world().upstream(V4).connect_timeout("10s").start()?;
        let firewall = Firewall::nft(&world, world.up(), "input", "tcp dport 8081 counter drop")?;
        let trace = world.trace(&[])?;
        let client = world.begin("GET", "/", &[])?;
        world.pause(ms(300));
        drop(client);
        world.wait_access("499");
        firewall.was_hit();
        trace.finish()?.nothing_else();
        Ok(())
    }),
    ("healthy/client-gone-in-the-body", |lab| {
        let world = lab.world().upstream(V4).location("proxy_buffering off;").start()?;
        let _origin = world.origin(V4, Script::answer(50 << 20))?;
        let trace = world.trace(&[])?;
        let client = world.begin("GET", "/", &[])?;
        world.pause(ms(300));
        drop(client);
        world.wait_access("200");
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    ("healthy/pool-closed-by-origin", |lab| pool_closed(lab, Ending::Fin)),
    ("healthy/pool-reset-by-origin", |lab| pool_closed(lab, Ending::Rst)),
    ("healthy/pool-closed-by-idle-time-of-origin", |lab| {
        let world = lab.world().upstream(V4).keepalive(4).start()?;
        let _origin = world.origin(V4, Script::answer_then_close_if_idle(10, ms(300)))?;
        let trace = world.trace(&[])?;
        for _ in 0..3 {
            world.get("/").status(200);
            world.pause(ms(600));
        }
        world.nginx_is_silent();
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    ("healthy/pool-closed-by-nginx", |lab| {
        let world = lab.world().upstream(V4).keepalive(4).group("keepalive_timeout 1s;").start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        let trace = world.trace(&[])?;
        world.get("/").status(200);
        world.pause(ms(1500));
        world.get("/").status(200);
        world.nginx_is_silent();
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    ("healthy/reload-with-requests-running", |lab| {
        let world = lab.world().upstream(V4).keepalive(4).start()?;
        let _origin = world.origin(V4, Script::slow_answer(ms(800), 10))?;
        let trace = world.trace(&[])?;
        let mut clients = (0..3).map(|_| world.begin("GET", "/", &[])).collect::<Result<Vec<_>>>()?;
        world.pause(ms(200));
        world.nginx().reload()?;
        clients.push(world.begin("GET", "/", &[])?);
        for mut client in clients {
            world.answer(client.receive()).status(200).body(10);
        }
        world.nginx_is_silent();
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    ("healthy/answers-ended-by-origin", |lab| answers(lab, V4, Script::answer_then_close(5000), 5000)),
    ("healthy/answers-ended-by-nginx", |lab| answers(lab, V4, Script::answer(5000), 5000)),
    ("healthy/answers-unix", |lab| answers(lab, "unix:app.sock", Script::answer(5000), 5000)),
    ("healthy/big-downloads", |lab| answers(lab, V4, Script::answer(20 << 20), 20 << 20)),
    ("healthy/big-downloads-ended-by-origin", |lab| {
        answers(lab, V4, Script::answer_then_close(20 << 20), 20 << 20)
    }),
    ("healthy/errors-of-the-application", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::status("404 Not Found"))?;
        let trace = world.trace(&[])?;
        world.get("/").status(404);
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    ("healthy/big-uploads", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        let trace = world.trace(&[])?;
        world.post("/", 20 << 20).status(200);
        world.nginx_is_silent();
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    ("healthy/failures-of-other-programs", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        let _firewall =
            Firewall::nft(&world, world.ng(), "output", "tcp dport 9999 counter reject with tcp reset")?;
        let trace = world.trace(&[])?;
        world.ng().run(|| {
            for address in ["127.0.0.1:8099", "10.99.0.2:8099", "10.99.0.2:9999", "[fd99::2]:8099"] {
                lab.check(TcpStream::connect(address).is_err(), || format!("somebody listens on {address}"));
            }
            Ok(())
        })?;
        world.get("/").status(200);
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    ("healthy/connected-after-loss", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        let firewall = Firewall::nft(&world, world.up(), "input", "tcp dport 8081 counter drop")?;
        let trace = world.trace(&[])?;
        let mut client = world.begin("GET", "/", &[])?;
        firewall.was_hit();
        firewall.remove()?;
        world.answer(client.receive()).status(200).body(10);
        world.nginx_is_silent();
        trace.finish()?.nothing_else();
        Ok(())
    }),
    ("healthy/retried-with-success", |lab| {
        let world = lab.world().upstream("10.99.0.2:8080").upstream("10.99.0.2:8081 backup").start()?;
        let _origin = world.origin(V4, Script::answer(10))?;
        let trace = world.trace(&[])?;
        world.get("/").status(200).body(10).log("connect() failed (111: Connection refused)");
        let seen = trace.finish()?;
        seen.failure("port-refused").upstream("10.99.0.2:8080").recovered(true);
        seen.nothing_else();
        seen.counted("failures", 1);
        seen.counted("recovered", 1);
        Ok(())
    }),
];

fn client_gone(lab: &Lab, upstream: &str) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let origin = world.origin(upstream, Script::silent())?;
    let trace = world.trace(&[])?;
    let client = world.begin("GET", "/", &[])?;
    origin.wait_accepted(1)?;
    world.pause(ms(300));
    drop(client);
    world.wait_access("499");
    trace.finish()?.nothing_at_all();
    Ok(())
}

fn pool_closed(lab: &Lab, ending: Ending) -> Result<()> {
    let world = lab.world().upstream(V4).keepalive(4).start()?;
    let origin = world.origin(V4, Script::answer(10))?;
    let trace = world.trace(&[])?;
    world.get("/").status(200);
    origin.close_connections(ending)?;
    world.pause(ms(200));
    world.get("/").status(200);
    lab.check(origin.accepted() == 2, || "the pool was not closed".into());
    trace.finish()?.nothing_at_all();
    Ok(())
}

fn answers(lab: &Lab, upstream: &str, script: Script, size: usize) -> Result<()> {
    let world = lab.world().upstream(upstream).start()?;
    let _origin = world.origin(upstream, script)?;
    let trace = world.trace(&[])?;
    for _ in 0..4 {
        world.get("/").status(200).body(size);
    }
    world.nginx_is_silent();
    let seen = trace.finish()?;
    seen.nothing_at_all();
    seen.counted("attempts", 4);
    Ok(())
}

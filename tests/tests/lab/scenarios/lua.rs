//! Sockets that a Lua program in nginx opens by itself, and peers that it chooses.

use anyhow::Result;
use upstream_trace_tests::origin::Script;
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario, World};

const V4: &str = "10.99.0.2:8081";
/// What the program connects to.
const OTHER: &str = "10.99.0.2:8083";

/// A program that asks and passes the first line on.
const ASKS: &str = "
location /lua { content_by_lua_block {
    local socket = ngx.socket.tcp()
    socket:settimeouts(700, 700, 700)
    local ok, failure = socket:connect('10.99.0.2', 8083)
    if not ok then return ngx.exit(502) end
    socket:send('GET / HTTP/1.0\\r\\n\\r\\n')
    local line, failure = socket:receive()
    if not line then return ngx.exit(504) end
    socket:close()
    ngx.say(line)
} }";

const CHOOSES: &str = "
upstream chosen {
    server 0.0.0.1;
    balancer_by_lua_block { require('ngx.balancer').set_current_peer('10.99.0.2', 8083) }
}";

pub(crate) const ALL: &[Scenario] = &[
    ("newer/lua-socket-refused", |lab| {
        let world = lua(lab)?;
        let trace = world.trace(&[])?;
        world.get("/lua").status(502);
        let seen = trace.finish()?;
        seen.failure("port-refused").confidence(Proven | Likely).upstream(OTHER);
        seen.nothing_else();
        Ok(())
    }),
    // The program gave up; its client did not leave.
    ("newer/lua-socket-read-timed-out", |lab| {
        let world = lua(lab)?;
        let _origin = world.origin(OTHER, Script::silent())?;
        let trace = world.trace(&[])?;
        world.get("/lua").status(504).log("lua tcp socket read timed out");
        let seen = trace.finish()?;
        let failure = seen.failure("slow-response").confidence(Proven | Likely).upstream(OTHER);
        failure.phase("wait").status(504);
        seen.nothing_else();
        Ok(())
    }),
    ("newer/lua-socket-closed-without-an-answer", |lab| {
        let world = lua(lab)?;
        let _origin = world.origin(OTHER, Script::read_then_fin())?;
        let trace = world.trace(&[])?;
        world.get("/lua").status(504);
        let seen = trace.finish()?;
        seen.failure("premature-close").confidence(Proven | Likely | Possible).upstream(OTHER);
        seen.nothing_else();
        Ok(())
    }),
    // The trap beside: all is well.
    ("newer/lua-socket-answered", |lab| {
        let world = lua(lab)?;
        let _origin = world.origin(OTHER, Script::answer(10))?;
        let trace = world.trace(&[])?;
        for _ in 0..3 {
            world.get("/lua").status(200);
        }
        trace.finish()?.nothing_at_all();
        Ok(())
    }),
    ("newer/lua-balancer-chooses-a-refused-peer", |lab| {
        let world = lua(lab)?;
        let trace = world.trace(&[])?;
        world.get("/chosen").status(502).log("connect() failed (111: Connection refused)");
        let seen = trace.finish()?;
        let failure = seen.failure("port-refused").confidence(Proven | Likely).upstream(OTHER).status(502);
        failure.joined("connect() failed (111");
        seen.nothing_else();
        Ok(())
    }),
    ("newer/lua-balancer-chooses-a-silent-peer", |lab| {
        let world = lua(lab)?;
        let _origin = world.origin(OTHER, Script::silent())?;
        let trace = world.trace(&[])?;
        world.get("/chosen").status(504).log("upstream timed out");
        let seen = trace.finish()?;
        seen.failure("slow-response").confidence(Proven | Likely).upstream(OTHER).status(504).phase("wait");
        seen.nothing_else();
        Ok(())
    }),
];

fn lua(lab: &Lab) -> Result<World<'_>> {
    let chosen = "location /chosen { proxy_pass http://chosen; }";
    let world = lab.world().upstream(V4).newer().server(ASKS).server(chosen);
    world.config(|config| config.http.push(CHOOSES.into())).start()
}

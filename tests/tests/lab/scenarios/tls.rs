//! TLS to the origin.

use anyhow::Result;
use upstream_trace_tests::origin::{Script, Step};
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario};

const V4: &str = "10.99.0.2:8443";
const ALERT: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 40];

pub(crate) const ALL: &[Scenario] = &[
    ("slow-tls-handshake/silence", |lab| {
        let says = "upstream timed out (110: Connection timed out) while SSL handshaking to upstream";
        handshake(lab, vec![Step::Bytes, Step::UntilClosed], (504, says), &["slow-tls-handshake"])
    }),
    ("tls-handshake-failed/alert", |lab| {
        let steps = vec![Step::Bytes, Step::Send(ALERT.to_vec()), Step::UntilClosed];
        handshake(lab, steps, (502, "SSL_do_handshake() failed"), &["tls-handshake-failed"])
    }),
    ("invalid-response/plain-http-on-tls", |lab| {
        let steps = vec![Step::Bytes, Step::Send(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), Step::Close];
        handshake(
            lab,
            steps,
            (502, "SSL_do_handshake() failed"),
            &["invalid-response", "tls-handshake-failed"],
        )
    }),
    ("premature-close/tls", |lab| {
        let says = "peer closed connection in SSL handshake";
        handshake(
            lab,
            vec![Step::Bytes, Step::Close],
            (502, says),
            &["premature-close", "tls-handshake-failed"],
        )
    }),
    ("reset-by-backend/tls", |lab| {
        let says = "peer closed connection in SSL handshake (104: Connection reset by peer)";
        handshake(
            lab,
            vec![Step::Bytes, Step::Reset],
            (502, says),
            &["reset-by-backend", "tls-handshake-failed"],
        )
    }),
];

fn handshake(lab: &Lab, steps: Vec<Step>, (status, says): (u16, &str), causes: &[&str]) -> Result<()> {
    let world = lab.world().upstream(V4).location("proxy_pass https://origin;").start()?;
    let _origin = world.origin(V4, Script::new(steps))?;
    let trace = world.trace(&[])?;
    world.get("/").status(status).log(says);
    let seen = trace.finish()?;
    let failure = seen.failure_of(causes).confidence(Proven | Likely | Possible).upstream(V4);
    failure.phase("tls").status(status);
    seen.nothing_else();
    Ok(())
}

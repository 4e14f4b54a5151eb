//! TLS to the origin: scripted ones that break the handshake, and real ones (`openssl s_server`).

use anyhow::Result;
use nix::sys::signal::Signal;
use upstream_trace_tests::origin::{NAME, Script, Shows, Step, TlsOrigin};
use upstream_trace_tests::util::{ms, signal};
use upstream_trace_tests::{Lab, Likely, Possible, Proven, Scenario, World};

const V4: &str = "10.99.0.2:8443";
const ALERT: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 40];
/// nginx 1.22 leaves TLS 1.3 out unless told otherwise.
const ANY: &str = "proxy_pass https://origin; proxy_ssl_protocols TLSv1.2 TLSv1.3;";
const VERIFY: &str = "proxy_pass https://origin; proxy_ssl_verify on;";

pub(crate) const ALL: &[Scenario] = &[
    ("slow-tls-handshake/silence", |lab| {
        let says = "upstream timed out (110: Connection timed out) while SSL handshaking to upstream";
        handshake(lab, &[Step::Bytes, Step::UntilClosed], (504, says), "slow-tls-handshake")
    }),
    ("slow-tls-handshake/pending", |lab| {
        let world =
            lab.world().upstream(V4).connect_timeout("10s").location("proxy_pass https://origin;").start()?;
        let _origin = world.origin(V4, Script::new(vec![Step::Bytes, Step::UntilClosed]))?;
        let trace = world.trace(&[])?;
        let client = world.begin("GET", "/", &[])?;
        world.pause(ms(1600));
        let seen = trace.finish()?;
        seen.pending("slow-tls-handshake").phase("tls").upstream(V4).evidence("tls-hello");
        seen.nothing_else();
        drop(client);
        Ok(())
    }),
    ("tls-handshake-failed/alert", |lab| {
        let steps = vec![Step::Bytes, Step::Send(ALERT.to_vec()), Step::UntilClosed];
        handshake(lab, &steps, (502, "SSL_do_handshake() failed"), "tls-handshake-failed")
    }),
    ("invalid-response/plain-http-on-tls", |lab| {
        let steps = vec![Step::Bytes, Step::Send(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), Step::Close];
        handshake(lab, &steps, (502, "SSL_do_handshake() failed"), "invalid-response")
    }),
    ("premature-close/tls", |lab| {
        let says = "peer closed connection in SSL handshake";
        handshake(lab, &[Step::Bytes, Step::Close], (502, says), "premature-close")
    }),
    ("reset-by-backend/tls", |lab| {
        let says = "peer closed connection in SSL handshake (104: Connection reset by peer)";
        handshake(lab, &[Step::Bytes, Step::Reset], (502, says), "reset-by-backend")
    }),
    ("tls-handshake-failed/untrusted-issuer", |lab| {
        let says = "upstream SSL certificate verify error: (18:self";
        let location = format!("{VERIFY} proxy_ssl_trusted_certificate other.pem; proxy_ssl_name {NAME};");
        fails(lab, &location, (Shows::Valid, "-www"), says, "")
    }),
    ("tls-handshake-failed/other-name", |lab| {
        let says = "upstream SSL certificate does not match \"other.test\"";
        let location =
            format!("{VERIFY} proxy_ssl_trusted_certificate certificate.pem; proxy_ssl_name other.test;");
        fails(lab, &location, (Shows::Valid, "-www"), says, "")
    }),
    ("tls-handshake-failed/other-name-tls12", |lab| {
        let says = "upstream SSL certificate does not match \"other.test\"";
        let location =
            format!("{VERIFY} proxy_ssl_trusted_certificate certificate.pem; proxy_ssl_name other.test;");
        fails(lab, &location, (Shows::Valid, "-www -tls1_2"), says, "")
    }),
    ("tls-handshake-failed/expired", |lab| {
        let says = "upstream SSL certificate verify error: (10:certificate has expired)";
        let location =
            format!("{VERIFY} proxy_ssl_trusted_certificate certificate.pem; proxy_ssl_name {NAME};");
        fails(lab, &location, (Shows::Expired, "-www"), says, "")
    }),
    ("tls-handshake-failed/no-common-protocol", |lab| {
        let location = "proxy_pass https://origin; proxy_ssl_protocols TLSv1.2;";
        fails(lab, location, (Shows::Valid, "-www -tls1_3"), "alert protocol version", "protocol version")
    }),
    ("tls-handshake-failed/no-common-cipher", |lab| {
        let location =
            "proxy_pass https://origin; proxy_ssl_protocols TLSv1.2; proxy_ssl_ciphers AES256-SHA;";
        let args = "-www -cipher ECDHE-ECDSA-AES128-GCM-SHA256";
        fails(lab, location, (Shows::Valid, args), "alert handshake failure", "handshake failure")
    }),
    ("tls-handshake-failed/name-not-sent", |lab| {
        let location = "proxy_pass https://origin; proxy_ssl_server_name on; proxy_ssl_name other.test;";
        let args = format!("-www -servername {NAME} -servername_fatal -cert2 certificate.pem -key2 key.pem");
        fails(
            lab,
            location,
            (Shows::Valid, &args),
            "unrecognized name:SSL alert number 112",
            "unrecognized name",
        )
    }),
    ("tls-handshake-failed/client-certificate-wanted-tls12", |lab| {
        let location = "proxy_pass https://origin; proxy_ssl_protocols TLSv1.2;";
        fails(lab, location, (Shows::Valid, "-www -Verify 1"), "alert handshake failure", "handshake failure")
    }),
    ("tls-handshake-failed/client-certificate-wanted-tls13", |lab| {
        let location = "proxy_pass https://origin; proxy_ssl_protocols TLSv1.3;";
        fails(lab, location, (Shows::Valid, "-www -Verify 1"), "alert certificate required", "")
    }),
    ("tls-handshake-failed/without-log", |lab| {
        let location = "proxy_pass https://origin; proxy_ssl_protocols TLSv1.2;";
        let (world, origin) = real(lab, location, (Shows::Valid, "-www -tls1_3"))?;
        let trace = world.trace(&["--error-log", "none"])?;
        world.get("/").status(502);
        let seen = trace.finish()?;
        let failure = seen.failure("tls-handshake-failed").confidence(Proven).phase("tls").status(502);
        failure.evidence("tls-alert").evidence_says("protocol version");
        seen.nothing_else();
        drop(origin);
        Ok(())
    }),
    ("slow-response/tls", |lab| {
        for args in ["-tls1_2", "-tls1_3"] {
            let (world, origin) = real(lab, ANY, (Shows::Valid, args))?;
            let trace = world.trace(&["--error-log", "none"])?;
            world.get("/").status(504);
            let seen = trace.finish()?;
            let failure = seen.failure("slow-response").confidence(Proven | Likely | Possible).status(504);
            failure.phase("wait").reused(false).evidence("tls-done");
            seen.nothing_else();
            drop(origin);
        }
        Ok(())
    }),
    ("backend-crashed/tls", |lab| {
        let here = "127.0.0.1:8443";
        let world = lab.world().upstream(here).location(ANY).certificate(Shows::Valid).start()?;
        let origin = world.tls_origin(here, "-tls1_3")?;
        let trace = world.trace(&[])?;
        let mut client = world.begin("GET", "/", &[])?;
        world.pause(ms(1000));
        signal(origin.pid(), Signal::SIGKILL)?;
        world.answer(client.receive()).status(502);
        let seen = trace.finish()?;
        let failure = seen.failure("backend-crashed").confidence(Proven | Likely).status(502);
        failure.phase("wait").reused(false);
        seen.nothing_else();
        Ok(())
    }),
    ("healthy/tls", |lab| {
        for args in ["-www -tls1_2", "-www -tls1_3", "-www -tls1_3 -num_tickets 1"] {
            let (world, origin) = real(lab, ANY, (Shows::Valid, args))?;
            let trace = world.trace(&[])?;
            for _ in 0..5 {
                world.get("/").status(200);
            }
            world.nginx_is_silent();
            trace.finish()?.nothing_at_all();
            drop(origin);
        }
        Ok(())
    }),
];

/// A scripted origin.
fn handshake(lab: &Lab, steps: &[Step], (status, says): (u16, &str), cause: &str) -> Result<()> {
    // The same without nginx's words: the bytes tell.
    for args in [&[][..], &["--error-log", "none"]] {
        let world = lab.world().upstream(V4).location("proxy_pass https://origin;").start()?;
        let _origin = world.origin(V4, Script::new(steps.to_vec()))?;
        let trace = world.trace(args)?;
        world.get("/").status(status).log(says);
        let seen = trace.finish()?;
        let failure = seen.failure(cause).confidence(Proven | Likely | Possible).upstream(V4);
        failure.phase("tls").status(status).reused(false).evidence("tls-hello");
        seen.nothing_else();
    }
    Ok(())
}

/// A real origin that nginx, or that itself, refuses.
fn fails(lab: &Lab, location: &str, origin: (Shows, &str), says: &str, alert: &str) -> Result<()> {
    let (world, origin) = real(lab, location, origin)?;
    let trace = world.trace(&[])?;
    world.get("/").status(502).log(says);
    let seen = trace.finish()?;
    let failure = seen.failure("tls-handshake-failed").confidence(Proven).upstream(V4);
    failure.phase("tls").status(502).reused(false).joined(says).evidence("tls-hello").evidence_says(alert);
    seen.nothing_else();
    drop(origin);
    Ok(())
}

fn real<'lab>(
    lab: &'lab Lab,
    location: &str,
    (shows, args): (Shows, &str),
) -> Result<(World<'lab>, TlsOrigin)> {
    let world = lab.world().upstream(V4).location(location).certificate(shows).start()?;
    let origin = world.tls_origin(V4, args)?;
    Ok((world, origin))
}

//! What others write, send or listen on so that the tool says what is not so. Nobody is blamed for certain by it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Result, bail};
use socket2::{Domain, SockAddr, Socket, Type};
use upstream_trace_tests::firewall::Firewall;
use upstream_trace_tests::netns::Namespace;
use upstream_trace_tests::origin::{Dns, Says, Script, Step};
use upstream_trace_tests::pace::patient;
use upstream_trace_tests::util::{ms, sh};
use upstream_trace_tests::{Likely, Possible, Proven, Scenario, World, seen::Seen};

const V4: &str = "10.99.0.2:8081";
/// No other scenario's: packets to it are told to all that run at that time.
const FLOODED: &str = "10.99.0.2:8093";
const TOO_BIG: &str = "upstream sent too big header while reading response header from upstream";
const NO_NAME: &str = "bank.internal could not be resolved (3: Host not found)";

pub(crate) const ALL: &[Scenario] = &[
    ("hostile/lines-by-another-process", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let _origin = world.origin(V4, Script::answer(9))?;
        let trace = world.trace(&[])?;
        world.get("/").status(200);
        let mut log = OpenOptions::new().append(true).open(world.folder().join("error.log"))?;
        for (number, message) in [NO_NAME, TOO_BIG].into_iter().enumerate() {
            let tail =
                format!("server: lab, request: \"GET / HTTP/1.1\", upstream: \"http://{V4}/\", host: \"x\"");
            writeln!(log, "{}*{number} {message}, client: 192.0.2.7, {tail}", head(&world)?)?;
        }
        world.pause(ms(1_500));
        let seen = trace.finish()?;
        seen.failure("dns-failure").confidence(Likely).told("summary", "Only error.log says so.");
        seen.failure("header-too-big").confidence(Likely).told("summary", "Only error.log says so.");
        seen.nothing_else();
        Ok(())
    }),
    // A client may decide what an application writes to its stderr, and nginx logs that with its line ends.
    ("hostile/stderr-of-an-application", |lab| {
        let world = lab.world().upstream(V4);
        let world = world.server(&format!("location /app {{ fastcgi_pass {V4}; }}")).start()?;
        let head = head(&world)?;
        let says = format!(
            "x\" while reading response header from upstream, client: 192.0.2.7\n\
             {head}*1 {NO_NAME}, client: 192.0.2.7, server: lab, request: \"GET / HTTP/1.1\", host: \"x"
        );
        let mut answer = record(7, says.as_bytes());
        answer.extend(record(6, b"Content-Type: text/plain\r\n\r\nfine"));
        answer.extend(record(6, b""));
        answer.extend(record(3, &[0; 8]));
        let _origin = world.origin(V4, Script::new(vec![Step::Bytes, Step::Send(answer), Step::Close]))?;
        let trace = world.trace(&[])?;
        world.get("/app").status(200).log(NO_NAME);
        let seen = trace.finish()?;
        seen.failure("dns-failure").confidence(Possible).told("summary", "what an application wrote");
        seen.nothing_else();
        Ok(())
    }),
    // A client decides how lines of the access log begin, which goes to a pipe as the error log does.
    ("hostile/access-log-on-a-pipe", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let two = "{ nginx -c @folder@/x.conf -e stderr 2>&1 >&3 | cat >/dev/null; } 3>&1 | cat >/dev/null";
        let forged = forged_to_a_pipe(&world, two, "stderr", Some("where no `error_log` goes"))?;
        forged.failure("port-refused").logged("source", "write");
        forged.nothing_else();
        let one = "nginx -c @folder@/x.conf -e stderr 2>&1 | cat >/dev/null";
        let forged = forged_to_a_pipe(&world, one, "/dev/stderr", None)?;
        forged.failure("dns-failure").confidence(Possible).logged("source", "write");
        forged.failure("port-refused").logged("source", "write");
        forged.nothing_else();
        Ok(())
    }),
    // The same in files: the one is an access log, whatever is in it.
    ("hostile/access-log-of-a-clients-words", |lab| {
        let world = lab.world().upstream(V4).config(|config| {
            config.http.push("log_format words $http_x; access_log @folder@/words.log words;".into());
        });
        let world = world.start()?;
        let trace = world.trace(&[])?;
        world.pause(ms(1_000));
        say(&world, "127.0.0.1:8080")?;
        let seen = trace.finish()?;
        seen.failure("port-refused").status(502);
        seen.nothing_else();
        Ok(())
    }),
    // The port is one that nginx listens on; the address is not.
    ("hostile/port-of-a-listener", |lab| {
        let world = lab.world().upstream(V4).config(|config| {
            config.http.push("server { listen 127.0.0.2:40001; return 204; }".into());
            config.location.push("proxy_bind 10.99.0.1:40001;".into());
        });
        let world = world.start()?;
        let _origin = world.origin(V4, Script::silent())?;
        let trace = world.trace(&["--depth", "deep"])?;
        world.get("/").status(504);
        let seen = trace.finish()?;
        let failure = seen.failure("slow-response").confidence(Proven | Likely).upstream(V4).status(504);
        failure.phase("wait").evidence("request");
        seen.nothing_else();
        Ok(())
    }),
    // Whoever makes nginx send a question to an upstream's address takes nothing out of sight there.
    ("hostile/questions-to-an-upstream", |lab| {
        let world = lab.world().upstream(V4).server(&format!(
            "location /name {{ set $name app.lab.test; resolver {V4} ipv6=off; resolver_timeout 1s; \
             proxy_pass http://$name; }}"
        ));
        let world = world.start()?;
        let _server = Dns::start(world.up(), V4, Says::Error(3))?;
        let trace = world.trace(&["--error-log", "none"])?;
        world.get("/name").status(502);
        world.get("/").status(502);
        let seen = trace.finish()?;
        seen.failure("dns-failure").upstream(V4);
        seen.failure("port-refused").upstream(V4).status(502);
        Ok(())
    }),
    // A namespace of somebody else has the addresses of nginx and of the upstream, and drops what it sends itself.
    ("hostile/dropped-packets-in-the-name-of-nginx", |lab| {
        let world = lab.world().upstream(V4).location("proxy_bind 10.99.0.1:40002;").start()?;
        let _origin = world.origin(V4, Script::silent())?;
        let apart = Namespace::create(9_997, "af")?;
        apart
            .script("ip link set lo up\nip addr add 10.99.0.1/32 dev lo\nip addr add 10.99.0.2/32 dev lo")?;
        let firewall = Firewall::nft(&world, &apart, "output", "tcp dport 8081 counter drop")?;
        let trace = world.trace(&[])?;
        let mut client = world.begin("GET", "/", &[])?;
        world.pause(ms(300));
        let _forged = flood_from(&apart, "10.99.0.1:40002", V4, 1)?;
        world.answer(client.receive()).status(504);
        firewall.was_hit();
        let seen = trace.finish()?;
        seen.failure("slow-response").upstream(V4).status(504);
        seen.nothing_else();
        Ok(())
    }),
    ("hostile/flood-of-dropped-packets", |lab| {
        let world = lab.world().upstream(FLOODED).connect_timeout("2s").start()?;
        let trace = world.trace(&[])?;
        // An upstream once nginx has used it.
        world.get("/").status(502);
        let firewall = Firewall::nft(&world, world.up(), "input", "tcp dport 8093 counter drop")?;
        world.ng().command("ip address add 10.99.0.66/24 dev eth0")?;
        let _sockets = flood(&world, "10.99.0.66:0", 2_000)?;
        world.get("/").status(504);
        firewall.was_hit();
        let seen = trace.finish()?;
        let left_out: u64 = seen
            .of_type("lost")
            .filter(|lost| lost["where"] == "packet-reports")
            .filter_map(|lost| lost["count"].as_u64())
            .sum();
        lab.check(!seen.ran() || left_out >= 500, || format!("{left_out} packets were left out"));
        seen.failure("port-refused").upstream(FLOODED);
        seen.failure("firewall-drop-local").confidence(Proven | Likely).upstream(FLOODED);
        Ok(())
    }),
];

/// What is seen of an nginx that runs like this, after a forged line and a failure.
fn forged_to_a_pipe<'lab>(
    world: &'lab World<'lab>,
    script: &str,
    errors: &str,
    note: Option<&str>,
) -> Result<Seen<'lab>> {
    let address = "127.0.0.1:8090";
    let config = "daemon off; pid @folder@/x.pid; error_log ERRORS; events {} http { log_format words $http_x; \
        access_log /dev/stdout words; server { listen 127.0.0.1:8090; \
        location / { return 204; } location /refused { proxy_pass http://10.99.0.2:8081; } } }";
    world.file("x.conf", &config.replace("ERRORS", errors))?;
    let nginx = world.software("sh", &["-c", script], address)?;
    let master = std::fs::read_to_string(world.folder().join("x.pid"))?;
    let trace = world.trace_pid(master.trim(), &[])?;
    world.pause(patient(ms(1_000)));
    say(world, address)?;
    world.get_from(address, "/refused").status(502);
    if let Some(note) = note {
        let said = trace.wait_line(patient(ms(5_000)), |line| line.contains(note));
        world.lab().check(said, || format!("not said: {note}"));
    }
    let seen = trace.finish();
    drop(nginx);
    seen
}

/// A client says what looks like a line of an error log.
fn say(world: &World<'_>, address: &str) -> Result<()> {
    let line = format!("{}*1 {NO_NAME}, client: 192.0.2.7, server: lab", head(world)?);
    let mut client = world.connect_to(address)?;
    client.send_bytes(format!("GET / HTTP/1.0\r\nX: {line}\r\n\r\n").as_bytes())?;
    client.receive();
    Ok(())
}

/// How a line of nginx's worker begins.
fn head(world: &World<'_>) -> Result<String> {
    let Some(worker) = world.nginx().workers().first().copied() else { bail!("nginx has no worker") };
    let time = sh("date +%Y/%m/%d_%T")?;
    Ok(format!("{} [error] {worker}#{worker}: ", time.trim().replace('_', " ")))
}

/// A record of `FastCGI` for the only request of its connection.
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).expect("short").to_be_bytes();
    let mut bytes = vec![1, kind, 0, 1, high, low, 0, 0];
    bytes.extend(content);
    bytes
}

/// SYNs from as many ports, by a process that has nothing to do with nginx.
fn flood(world: &World<'_>, from: &str, count: usize) -> Result<Vec<Socket>> {
    flood_from(world.ng(), from, FLOODED, count)
}

fn flood_from(namespace: &Namespace, from: &str, to: &str, count: usize) -> Result<Vec<Socket>> {
    let address = |text: &str| anyhow::Ok(SockAddr::from(text.parse::<SocketAddr>()?));
    let (from, to) = (address(from)?, address(to)?);
    namespace.run(|| {
        let mut sockets = Vec::new();
        for _ in 0..count {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&from)?;
            socket.set_nonblocking(true)?;
            let _in_progress = socket.connect(&to);
            sockets.push(socket);
        }
        Ok(sockets)
    })
}

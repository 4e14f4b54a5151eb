//! Serves the numbers over HTTP. One scraper at a time is enough; whoever is slow, silent or talks nonsense holds up
//! neither the trace nor the next scraper: connections are few, each has a deadline, and a further one takes the place of
//! the oldest.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Shared;
use super::text;

/// Connections at a time.
const MAX_CONNECTIONS: usize = 16;
/// Bytes of a request; Prometheus sends about 300.
const MAX_REQUEST: usize = 8 << 10;
/// For a request to come in whole.
const TO_READ: Duration = Duration::from_secs(2);
/// For a response to be taken; Prometheus waits for 10 s by default.
const TO_WRITE: Duration = Duration::from_secs(10);
/// After an error of `accept`: too many open files, say.
const PAUSE: Duration = Duration::from_millis(100);

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// The connections that are open, oldest first.
#[derive(Debug, Default)]
struct Connections(Mutex<Vec<(u64, TcpStream)>>);

/// Listens, and serves on threads of its own. Where it listens.
///
/// `on_start` runs first on each thread: it drops the capabilities that the thread was started with.
///
/// # Errors
/// If the address cannot be listened on.
pub(super) fn serve(address: SocketAddr, shared: Shared, on_start: fn()) -> Result<SocketAddr> {
    let cannot = || format!("cannot serve metrics on {address}");
    let listener = TcpListener::bind(address).with_context(cannot)?;
    let bound = listener.local_addr().with_context(cannot)?;
    let accept = move || {
        on_start();
        accept(&listener, &shared);
    };
    thread::Builder::new().name("metrics".to_owned()).spawn(accept).with_context(cannot)?;
    Ok(bound)
}

fn accept(listener: &TcpListener, shared: &Shared) {
    let connections = Arc::new(Connections::default());
    for number in 0.. {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(PAUSE);
            continue;
        };
        if !connections.open(number, &stream) {
            continue;
        }
        let (shared, of) = (shared.clone(), Arc::clone(&connections));
        let serve = move || {
            // Whoever has gone, or is too slow, gets nothing.
            let _gone = answer(&stream, &shared);
            of.close(number);
        };
        if thread::Builder::new().name("scrape".to_owned()).spawn(serve).is_err() {
            connections.close(number);
        }
    }
}

impl Connections {
    /// Makes room for one more. False if it broke already.
    fn open(&self, number: u64, stream: &TcpStream) -> bool {
        let Ok(stream) = stream.try_clone() else { return false };
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_CONNECTIONS {
            let (_, oldest) = open.remove(0);
            // Its thread notices, and ends.
            let _closed = oldest.shutdown(Shutdown::Both);
        }
        open.push((number, stream));
        true
    }

    fn close(&self, number: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(other, _)| *other != number);
    }
}

fn answer(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let response = match read(stream, Instant::now() + TO_READ)? {
        Some(request) => respond(&request, shared),
        None => whole("400 Bad Request", PLAIN, "this is no HTTP request\n", true),
    };
    write(stream, &response, Instant::now() + TO_WRITE)?;
    stream.shutdown(Shutdown::Write)
}

/// The head of a request; `None` if it is none.
fn read(mut stream: &TcpStream, until: Instant) -> std::io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > MAX_REQUEST {
            return Ok(None);
        }
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(String::from_utf8(head).ok())
}

fn write(mut stream: &TcpStream, mut bytes: &[u8], until: Instant) -> std::io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(until)?))?;
        match stream.write(bytes)? {
            0 => return Err(ErrorKind::WriteZero.into()),
            count => bytes = &bytes[count..],
        }
    }
    Ok(())
}

fn left(until: Instant) -> std::io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn respond(head: &str, shared: &Shared) -> Vec<u8> {
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target, version) = (words.next(), words.next().unwrap_or_default(), words.next());
    let body = method != Some("HEAD");
    if !version.is_some_and(|version| version.starts_with("HTTP/1.")) {
        return whole("400 Bad Request", PLAIN, "this is no HTTP request\n", true);
    }
    if !matches!(method, Some("GET" | "HEAD")) {
        return whole("405 Method Not Allowed", PLAIN, "only GET\n", body);
    }
    match target.split('?').next().unwrap_or_default() {
        "/metrics" => {
            let text = text::openmetrics(shared.snapshot());
            if wants_openmetrics(lines) {
                whole("200 OK", OPENMETRICS, &text, body)
            } else {
                whole("200 OK", PROMETHEUS, &text::prometheus(&text), body)
            }
        }
        "/" => whole("200 OK", PLAIN, "upstream-trace: see /metrics\n", body),
        _ => whole("404 Not Found", PLAIN, "see /metrics\n", body),
    }
}

fn wants_openmetrics<'a>(mut headers: impl Iterator<Item = &'a str>) -> bool {
    headers.any(|header| {
        let header = header.to_ascii_lowercase();
        header.starts_with("accept:") && header.contains("application/openmetrics-text")
    })
}

fn whole(status: &str, kind: &str, text: &str, body: bool) -> Vec<u8> {
    let length = text.len();
    let mut response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    if body {
        response += text;
    }
    response.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> SocketAddr {
        serve(SocketAddr::from(([127, 0, 0, 1], 0)), Shared::default(), || ()).unwrap()
    }

    fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        // One that is refused may be reset.
        let _end = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    const SCRAPE: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

    #[test]
    fn the_format_is_the_one_that_is_asked_for() {
        let address = server();
        assert!(ask(address, SCRAPE).contains("version=0.0.4"));
        let wants = "GET /metrics?x=1 HTTP/1.1\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n";
        let found = ask(address, wants.as_bytes());
        assert!(found.contains("openmetrics-text; version=1.0.0") && found.ends_with("# EOF\n"), "{found}");
        assert!(ask(address, b"HEAD /metrics HTTP/1.0\r\n\r\n").ends_with("\r\n\r\n"));
        assert!(ask(address, b"GET /secret HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(ask(address, b"POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    }

    #[test]
    fn nonsense_is_refused_and_bounded() {
        let address = server();
        assert!(ask(address, b"\x16\x03\x01\x02\x00\r\n\r\n").starts_with("HTTP/1.1 400"));
        assert!(ask(address, b"\xff\xfe\r\n\r\n").starts_with("HTTP/1.1 400"));
        let endless = vec![b'x'; 1 << 20];
        let mut stream = TcpStream::connect(address).unwrap();
        assert!(stream.write_all(&endless).is_err() || stream.read(&mut [0; 16]).is_ok());
        assert!(ask(address, SCRAPE).starts_with("HTTP/1.1 200"));
    }

    #[test]
    fn the_oldest_connection_makes_room() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connections = Connections::default();
        let mut clients = Vec::new();
        for number in 0..=MAX_CONNECTIONS as u64 {
            clients.push(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
            assert!(connections.open(number, &listener.accept().unwrap().0));
        }
        assert_eq!(connections.0.lock().unwrap().len(), MAX_CONNECTIONS);
        assert_eq!(clients[0].read(&mut [0; 1]).unwrap(), 0);
        clients[1].set_nonblocking(true).unwrap();
        assert!(clients[1].read(&mut [0; 1]).is_err(), "it is still open");
    }

    #[test]
    fn a_thousand_silent_connections_hold_up_no_scraper() {
        let address = server();
        // Fewer where files are few: more than there is room for in any case.
        let silent: Vec<_> = (0..1_000).map_while(|_| TcpStream::connect(address).ok()).collect();
        assert!(silent.len() > MAX_CONNECTIONS);
        assert!(ask(address, SCRAPE).starts_with("HTTP/1.1 200"));
    }
    /// Both ends of a connection.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn one_that_sends_byte_by_byte_does_not_win_time() {
        let (mut client, server) = pair();
        let trickle = thread::spawn(move || {
            while client.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(5));
            }
        });
        let found = read(&server, Instant::now() + Duration::from_millis(100));
        assert!(found.is_err(), "{found:?}");
        drop(server);
        trickle.join().unwrap();
    }

    #[test]
    fn one_that_takes_nothing_is_given_up() {
        let (_client, server) = pair();
        // More than buffers of sockets hold.
        let response = vec![b'x'; 64 << 20];
        assert!(write(&server, &response, Instant::now() + Duration::from_millis(100)).is_err());
    }
}

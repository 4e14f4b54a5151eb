//! Origins for what nginx does not speak as a server, and a name server: hidden command `responder`.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::names;

/// The line that says that all listen.
pub(super) const READY: &str = "ready";
/// How long the slow answer takes.
const SLOW: Duration = Duration::from_millis(100);
/// What ends a WebSocket from the side of the origin.
pub(super) const BYE: &[u8] = b"bye";

const CGI_ANSWER: &[u8] = b"Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nhello\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";
const UPGRADE: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

type Serve = fn(TcpStream) -> io::Result<()>;

/// Serves until stdin ends: with whoever started it.
pub(crate) fn serve() -> Result<()> {
    let all: [(u16, Serve); 4] = [(9011, uwsgi), (9012, scgi), (9013, http), (names::PORT, names::over_tcp)];
    for (port, serve) in all {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = listener.with_context(|| format!("cannot listen on port {port}"))?;
        thread::spawn(move || accept(&listener, serve));
    }
    names::over_udp()?;
    println!("{READY}");
    io::stdin().read_to_end(&mut Vec::new()).context("cannot wait for the end")?;
    Ok(())
}

fn accept(listener: &TcpListener, serve: Serve) {
    for stream in listener.incoming().flatten() {
        thread::spawn(move || {
            // A client that goes away is none of its business.
            let _gone = serve(stream);
        });
    }
}

/// Four bytes with a length, and so many bytes of variables; an answer, and the end.
fn uwsgi(mut stream: TcpStream) -> io::Result<()> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let mut variables = vec![0; usize::from(u16::from_le_bytes([head[1], head[2]]))];
    stream.read_exact(&mut variables)?;
    stream.write_all(CGI_ANSWER)
}

/// A length, a colon, so many bytes of variables, a comma; an answer, and the end.
fn scgi(mut stream: TcpStream) -> io::Result<()> {
    let digits = until(&mut stream, b":")?;
    let length = String::from_utf8_lossy(&digits).trim_end_matches(':').parse::<usize>();
    let mut variables = vec![0; length.map_err(io::Error::other)?.min(1 << 16) + 1];
    stream.read_exact(&mut variables)?;
    stream.write_all(CGI_ANSWER)
}

/// Slow answers, and upgrades.
fn http(mut stream: TcpStream) -> io::Result<()> {
    loop {
        let head = until(&mut stream, b"\r\n\r\n")?;
        if String::from_utf8_lossy(&head).to_ascii_lowercase().contains("upgrade: websocket") {
            stream.write_all(UPGRADE)?;
            return echo(stream);
        }
        thread::sleep(SLOW);
        stream.write_all(ANSWER)?;
    }
}

/// Gives back what comes, until it is the word for the end.
fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut bytes = [0; 4096];
    loop {
        let count = stream.read(&mut bytes)?;
        if count == 0 || bytes[..count].ends_with(BYE) {
            return Ok(());
        }
        stream.write_all(&bytes[..count])?;
    }
}

/// Reads up to and with this.
pub(super) fn until(stream: &mut impl Read, end: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(end) {
        if bytes.len() > 1 << 16 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        stream.read_exact(&mut byte)?;
        bytes.push(byte[0]);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes back for these bytes.
    fn said(serve: Serve, bytes: &[u8]) -> Vec<u8> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let thread = thread::spawn(move || serve(server));
        client.write_all(bytes).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        let _ended = thread.join().unwrap();
        answer
    }

    #[test]
    fn protocols() {
        assert_eq!(said(uwsgi, b"\0\x03\0\0abc"), CGI_ANSWER);
        assert_eq!(said(scgi, b"3:abc,"), CGI_ANSWER);
        assert_eq!(said(scgi, b"x:"), b"");
        assert_eq!(said(http, b"GET / HTTP/1.1\r\n\r\n"), ANSWER);
        let upgraded = said(http, b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n");
        assert_eq!(upgraded, UPGRADE);
    }
}

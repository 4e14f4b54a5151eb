//! A client of nginx: blocking HTTP/1.1, one connection, and able to go away at any moment.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::netns::Namespace;
use crate::pace::patient;

/// Where every nginx of the lab listens.
pub const NGINX: &str = "127.0.0.1:8080";

/// A client's connection to nginx.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    rest: Vec<u8>,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// Status, 0 if no status line came.
    pub status: u16,
    /// Bytes of body.
    pub body: usize,
    /// Whether the answer was complete.
    pub complete: bool,
    /// From the call to its end.
    pub took: Duration,
}

impl Connection {
    /// Connects to the nginx of a world, from inside a namespace.
    pub fn open(namespace: &Namespace) -> Result<Self> {
        Self::open_to(namespace, NGINX)
    }

    /// Connects to another one.
    pub fn open_to(namespace: &Namespace, address: &str) -> Result<Self> {
        let stream = namespace.run(|| TcpStream::connect(address).context("connect to nginx"))?;
        stream.set_read_timeout(Some(patient(Duration::from_secs(20))))?;
        stream.set_write_timeout(Some(patient(Duration::from_secs(20))))?;
        Ok(Self { stream, rest: Vec::new() })
    }

    /// Sends a request; `keep` asks to leave the connection open.
    pub fn send(&mut self, method: &str, path: &str, body: &[u8], keep: bool) -> Result<()> {
        let connection = if keep { "keep-alive" } else { "close" };
        let length =
            if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: lab\r\n{length}Connection: {connection}\r\n\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.send_bytes(&bytes)
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("send to nginx")
    }

    /// Reads one answer.
    pub fn receive(&mut self) -> Reply {
        let begin = Instant::now();
        let mut reply = self.read_reply().unwrap_or_default();
        reply.took = begin.elapsed();
        reply
    }

    fn read_reply(&mut self) -> Option<Reply> {
        let end = loop {
            if let Some(end) = find(&self.rest, b"\r\n\r\n") {
                break end + 4;
            }
            self.more()?;
        };
        let head = String::from_utf8_lossy(&self.rest[..end]).to_ascii_lowercase();
        self.rest.drain(..end);
        let status = head.get(9..12)?.parse().ok()?;
        let header =
            |name: &str| head.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()));
        let mut reply = Reply { status, ..Reply::default() };
        if let Some(length) = header("content-length:").and_then(|length| length.parse::<usize>().ok()) {
            while self.rest.len() < length && self.more().is_some() {}
            reply.body = self.rest.len().min(length);
            reply.complete = reply.body == length;
            self.rest.drain(..reply.body);
        } else {
            while self.more().is_some() {}
            let all = std::mem::take(&mut self.rest);
            let whole = if header("transfer-encoding:").is_some() { chunks(&all) } else { (all.len(), true) };
            (reply.body, reply.complete) = whole;
        }
        Some(reply)
    }

    /// Reads what is there; `None` at the end of the connection, whatever ended it.
    fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 16384];
        let count = loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result.ok().filter(|count| *count > 0)?,
            }
        };
        self.rest.extend_from_slice(&buffer[..count]);
        Some(())
    }
}

/// The size of a body in chunks, and whether its end is there.
fn chunks(mut bytes: &[u8]) -> (usize, bool) {
    let mut total = 0;
    loop {
        let Some(line) = find(bytes, b"\r\n") else { return (total, false) };
        let size =
            std::str::from_utf8(&bytes[..line]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        match (size, bytes.get(line + 2..)) {
            (Some(0), Some(_)) => return (total, true),
            (Some(size), Some(rest)) if rest.len() >= size + 2 => {
                total += size;
                bytes = &rest[size + 2..];
            }
            (_, rest) => return (total + rest.map_or(0, <[u8]>::len), false),
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::chunks;

    #[test]
    fn chunks_add_up() {
        assert_eq!(chunks(b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"), (13, true));
        assert_eq!(chunks(b"3\r\nabc\r\n"), (3, false));
        assert_eq!(chunks(b"5\r\nab"), (2, false));
    }
}

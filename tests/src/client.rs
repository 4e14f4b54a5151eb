//! A client of nginx: blocking HTTP/1.1, one connection, and able to go away at any moment.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::netns::Namespace;

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
    /// Connects, from inside a namespace.
    pub fn open(namespace: &Namespace) -> Result<Self> {
        let stream = namespace.run(|| TcpStream::connect(NGINX).context("connect to nginx"))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_write_timeout(Some(Duration::from_secs(20)))?;
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
            let chunked = header("transfer-encoding:").is_some();
            reply.complete = !chunked || self.rest.ends_with(b"0\r\n\r\n");
            reply.body = self.rest.len();
            self.rest.clear();
        }
        Some(reply)
    }

    /// Reads what is there; `None` at the end of the connection, whatever ended it.
    fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 65536];
        let count = self.stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        self.rest.extend_from_slice(&buffer[..count]);
        Some(())
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

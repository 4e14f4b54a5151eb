//! What a tool in service talks to: a scraper, and a receiver of its events. They do as little as they can.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Between two scrapes: more often than anybody does.
const SCRAPE: Duration = Duration::from_secs(1);
/// Between two looks at whether it is over.
const LOOK: Duration = Duration::from_millis(100);
/// For the other end.
const LIMIT: Duration = Duration::from_secs(5);

/// Both; they end with this.
#[derive(Debug)]
pub(super) struct Collectors {
    metrics: SocketAddr,
    receiver: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Collectors {
    pub(super) fn start() -> Result<Self> {
        let address = || TcpListener::bind("127.0.0.1:0").context("cannot listen on loopback");
        let metrics = address()?.local_addr()?;
        let listener = address()?;
        let receiver = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                match listener.accept() {
                    // One that breaks off sends again.
                    Ok((stream, _)) => drop(take(stream)),
                    Err(_) => thread::sleep(LOOK),
                }
            }
        });
        let is_over = Arc::clone(&over);
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                // It may not listen yet.
                let _missed = scrape(metrics);
                thread::sleep(SCRAPE);
            }
        });
        Ok(Self { metrics, receiver, over })
    }

    /// For `--metrics` and `--otlp`.
    pub(super) fn arguments(&self) -> [String; 2] {
        [self.metrics.to_string(), format!("http://{}", self.receiver)]
    }
}

impl Drop for Collectors {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Takes a request, whatever is in it.
fn take(mut stream: TcpStream) -> Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut length, mut line) = (0, String::new());
    while line != "\r\n" {
        line.clear();
        anyhow::ensure!(reader.read_line(&mut line)? > 0, "no end of the head");
        let header = line.to_ascii_lowercase();
        length = header.strip_prefix("content-length:").map_or(Ok(length), |value| value.trim().parse())?;
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")?;
    Ok(())
}

fn scrape(address: SocketAddr) -> Result<u64> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    Ok(std::io::copy(&mut stream, &mut std::io::sink())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_to_its_end() {
        let collectors = Collectors::start().unwrap();
        let mut stream = TcpStream::connect(collectors.receiver).unwrap();
        stream.write_all(b"POST /v1/logs HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{}"), "{answer}");
    }
}

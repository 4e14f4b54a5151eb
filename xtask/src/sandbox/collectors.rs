//! What a tool in service talks to: a scraper, and a receiver of its events. They do as little as they can, and they come
//! and go as they are told.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Between two scrapes: more often than anybody does.
const SCRAPE: Duration = Duration::from_secs(1);
/// Between two looks at whether it is over.
const LOOK: Duration = Duration::from_millis(100);
/// For the other end.
const LIMIT: Duration = Duration::from_secs(5);

const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const GARBAGE: &[u8] = b"220 mail.example ESMTP\r\n";

/// What the receiver does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Receives {
    /// It takes it.
    Well,
    /// Nobody listens.
    Away,
    /// It sends a byte of its answer at a time, which is longer than anybody waits.
    Slowly,
    /// It answers in another protocol.
    Garbage,
    /// It refuses it: later.
    Busy,
}

impl Receives {
    /// All that is not well.
    pub(crate) const ILL: [Self; 4] = [Self::Away, Self::Slowly, Self::Garbage, Self::Busy];
}

/// Both; they end with this.
#[derive(Debug)]
pub(crate) struct Collectors {
    metrics: SocketAddr,
    receiver: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    over: AtomicBool,
    /// `Receives`.
    receives: AtomicU8,
    scrapes: AtomicBool,
    /// Requests taken since the receiver is well.
    taken: AtomicU64,
    /// Scrapes answered since the scraper is there.
    scraped: AtomicU64,
}

impl Shared {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn is(&self, receives: Receives) -> bool {
        self.receives.load(Ordering::Relaxed) == receives as u8
    }
}

impl Collectors {
    /// Starts both: all is well.
    pub(crate) fn start() -> Result<Self> {
        let address = || TcpListener::bind("127.0.0.1:0").context("cannot listen on loopback");
        let metrics = address()?.local_addr()?;
        let listener = address()?;
        let receiver = listener.local_addr()?;
        let shared = Arc::new(Shared {
            over: AtomicBool::new(false),
            receives: AtomicU8::new(Receives::Well as u8),
            scrapes: AtomicBool::new(true),
            taken: AtomicU64::new(0),
            scraped: AtomicU64::new(0),
        });
        let of_receiver = Arc::clone(&shared);
        thread::spawn(move || receive(listener, receiver, &of_receiver));
        let of_scraper = Arc::clone(&shared);
        thread::spawn(move || {
            while !of_scraper.is_over() {
                // It may not listen yet.
                if of_scraper.scrapes.load(Ordering::Relaxed) && scrape(metrics).is_ok_and(|bytes| bytes > 0)
                {
                    of_scraper.scraped.fetch_add(1, Ordering::Relaxed);
                }
                thread::sleep(SCRAPE);
            }
        });
        Ok(Self { metrics, receiver, shared })
    }

    /// For `--metrics` and `--otlp`.
    pub(crate) fn arguments(&self) -> [String; 2] {
        [self.metrics.to_string(), format!("http://{}", self.receiver)]
    }

    /// What the receiver does from here on.
    pub(crate) fn receive(&self, receives: Receives) {
        self.shared.taken.store(0, Ordering::Relaxed);
        self.shared.receives.store(receives as u8, Ordering::Relaxed);
    }

    /// Whether the scraper is there from here on.
    pub(crate) fn scrape(&self, scrapes: bool) {
        self.shared.scraped.store(0, Ordering::Relaxed);
        self.shared.scrapes.store(scrapes, Ordering::Relaxed);
    }

    /// Requests taken and scrapes answered since they were told last what to do.
    pub(crate) fn since(&self) -> (u64, u64) {
        (self.shared.taken.load(Ordering::Relaxed), self.shared.scraped.load(Ordering::Relaxed))
    }
}

impl Drop for Collectors {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

/// Listens until it is over, except while it is away.
fn receive(listener: TcpListener, address: SocketAddr, shared: &Arc<Shared>) {
    let mut listening = Some(listener);
    while !shared.is_over() {
        if shared.is(Receives::Away) {
            listening = None;
        } else if listening.is_none() {
            // Another try follows: somebody may have the port.
            listening = TcpListener::bind(address).ok();
        }
        let accepted = listening.as_ref().and_then(|listener| {
            listener.set_nonblocking(true).ok()?;
            listener.accept().ok()
        });
        match accepted {
            Some((stream, _)) => {
                let shared = Arc::clone(shared);
                // One that breaks off sends again.
                thread::spawn(move || drop(take(stream, &shared)));
            }
            None => thread::sleep(LOOK),
        }
    }
}

/// Takes a request, whatever is in it.
fn take(mut stream: TcpStream, shared: &Shared) -> Result<()> {
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
    if shared.is(Receives::Garbage) {
        stream.write_all(GARBAGE)?;
    } else if shared.is(Receives::Busy) {
        stream.write_all(BUSY)?;
    } else if shared.is(Receives::Slowly) {
        trickle(&mut stream, shared)?;
    } else {
        stream.write_all(TAKEN)?;
        shared.taken.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// A head that does not end, for as long as it is slow.
fn trickle(stream: &mut TcpStream, shared: &Shared) -> Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nX-More: ")?;
    while shared.is(Receives::Slowly) && !shared.is_over() {
        stream.write_all(b"x")?;
        thread::sleep(LOOK);
    }
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
    use std::time::Instant;

    use super::*;

    fn ask(collectors: &Collectors) -> Result<String> {
        let mut stream = TcpStream::connect(collectors.receiver)?;
        stream.write_all(b"POST /v1/logs HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    #[test]
    fn a_request_is_taken_to_its_end() {
        let collectors = Collectors::start().unwrap();
        let answer = ask(&collectors).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{}"), "{answer}");
        assert_eq!(collectors.since().0, 1);
    }

    fn wait_until(what: &str, so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !so() {
            assert!(begin.elapsed() < 4 * LIMIT, "not so: {what}");
            thread::sleep(LOOK);
        }
    }

    #[test]
    fn a_receiver_is_ill_and_gets_well() {
        let collectors = Collectors::start().unwrap();
        for (receives, begin) in [(Receives::Busy, "HTTP/1.1 503"), (Receives::Garbage, "220 ")] {
            collectors.receive(receives);
            let answer = ask(&collectors).unwrap();
            assert!(answer.starts_with(begin), "{answer}");
        }
        collectors.receive(Receives::Away);
        wait_until("it is away", || TcpStream::connect(collectors.receiver).is_err());
        collectors.receive(Receives::Well);
        wait_until("it is back", || ask(&collectors).is_ok());
        assert_eq!(collectors.since().0, 1);
    }

    #[test]
    fn a_slow_receiver_does_not_come_to_an_end() {
        let collectors = Collectors::start().unwrap();
        collectors.receive(Receives::Slowly);
        let mut stream = TcpStream::connect(collectors.receiver).unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\n\r\n").unwrap();
        let mut begin = [0; 32];
        stream.read_exact(&mut begin).unwrap();
        assert!(begin.starts_with(b"HTTP/1.1 200 OK\r\nX-More: xx"), "{begin:?}");
        collectors.receive(Receives::Well);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.iter().all(|byte| *byte == b'x') && collectors.since().0 == 0);
    }

    #[test]
    fn a_scraper_comes_and_goes() {
        let collectors = Collectors::start().unwrap();
        let listener = TcpListener::bind(collectors.metrics).unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // One that is closed before all was read is reset.
                let _request = stream.read(&mut [0; 64]);
                let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            }
        });
        wait_until("it scrapes", || collectors.since().1 > 0);
        collectors.scrape(false);
        // One may be under way.
        thread::sleep(SCRAPE);
        collectors.scrape(false);
        thread::sleep(2 * SCRAPE);
        assert_eq!(collectors.since().1, 0);
    }
}

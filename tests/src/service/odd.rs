//! Receivers that are none, and scrapers that are a crowd.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

/// Between two bytes of one that is slow; far below the time that the tool gives a receiver.
const SLOW: Duration = Duration::from_millis(100);
/// Longer than the tool waits for an answer.
const LATE: Duration = Duration::from_secs(30);

/// What answers in the place of a receiver, to whatever it is asked, until the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// Answers well, after half a minute.
    Late,
    /// A byte of its answer at a time.
    Trickles,
    /// Another protocol.
    NotHttp,
    /// 200, and a page.
    WebServer,
    /// A head that does not end.
    EndlessHead,
    /// A body that does not end.
    EndlessBody,
}

impl Odd {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Late, Self::Trickles, Self::NotHttp, Self::WebServer, Self::EndlessHead, Self::EndlessBody];

    /// Starts it; for `--otlp`.
    pub fn start(self) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || self.answer(stream));
            }
        });
        Ok(url)
    }

    /// An error once the tool has left.
    fn answer(self, mut stream: TcpStream) -> std::io::Result<()> {
        let _some = stream.read(&mut [0; 4096])?;
        match self {
            Self::Late => {
                thread::sleep(LATE);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            }
            Self::Trickles => forever(&mut stream, b"HTTP/1.1 200 OK\r\nX-More: ", b"x", SLOW),
            Self::NotHttp => stream.write_all(b"220 mail.example ESMTP\r\n"),
            Self::WebServer => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nIt works!"),
            Self::EndlessHead => {
                forever(&mut stream, b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n", Duration::ZERO)
            }
            Self::EndlessBody => {
                forever(&mut stream, b"HTTP/1.1 200 OK\r\n\r\n", &[b' '; 4096], Duration::ZERO)
            }
        }
    }
}

fn forever(stream: &mut TcpStream, first: &[u8], then: &[u8], pause: Duration) -> std::io::Result<()> {
    stream.write_all(first)?;
    loop {
        stream.write_all(then)?;
        thread::sleep(pause);
    }
}

/// Connections of clients that are no scrapers: silent ones, half requests, garbage. They last as long as this does.
pub fn crowd(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let mut crowd = Vec::new();
    for number in 0..count {
        // As many as there are files for.
        let Ok(mut stream) = TcpStream::connect(address) else { break };
        let says: &[u8] = match number % 4 {
            0 => b"",
            1 => b"GET /metrics HTTP/1.1\r\nHost: x\r\n",
            2 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            _ => &[b'x'; 16 << 10],
        };
        // It may be gone already.
        let _gone = stream.write_all(says);
        crowd.push(stream);
    }
    ensure!(crowd.len() > 100, "only {} connections", crowd.len());
    Ok(crowd)
}

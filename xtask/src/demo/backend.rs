//! The upstreams of the demo: one process, hidden command `backend`.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::socket::{Backlog, listen};

use super::fault::{FIREWALL_PORT, HEALTHY_PORT, QUEUE_PORT, SLOW_PORT, UPSTREAM_ADDRESS};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";

/// The line that says that all upstreams are there.
pub(super) const READY: &str = "ready";

/// Serves until stdin ends: with the demo, however that ends.
pub(crate) fn serve() -> Result<()> {
    // Behind the firewall is a server that would answer: the firewall alone is the fault.
    for (port, answers) in [(HEALTHY_PORT, true), (FIREWALL_PORT, true), (SLOW_PORT, false)] {
        let listener = bind(port)?;
        thread::spawn(move || accept(&listener, answers));
    }
    let full = bind(QUEUE_PORT)?;
    let _queued = fill(&full)?;
    println!("{READY}");
    io::stdin().read_to_end(&mut Vec::new()).context("cannot wait for the demo to end")?;
    Ok(())
}

fn bind(port: u16) -> Result<TcpListener> {
    let address = format!("{UPSTREAM_ADDRESS}:{port}");
    TcpListener::bind(&address).with_context(|| format!("cannot listen on {address}"))
}

fn accept(listener: &TcpListener, answers: bool) {
    for stream in listener.incoming().flatten() {
        thread::spawn(move || {
            // A client that goes away is none of the demo's business.
            let _gone = if answers { answer(stream) } else { ignore(stream) };
        });
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let _request = stream.read(&mut [0; 4096])?;
    stream.write_all(ANSWER)
}

/// Reads until the other side gives up.
fn ignore(mut stream: TcpStream) -> io::Result<()> {
    stream.read_to_end(&mut Vec::new()).map(drop)
}

/// Fills the accept queue; the connections that fill it must be kept.
fn fill(listener: &TcpListener) -> Result<Vec<TcpStream>> {
    listen(listener, Backlog::new(0)?).context("cannot make the accept queue short")?;
    let address: SocketAddr = listener.local_addr()?;
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
    // A queue of length 0 takes one; the bound is for kernels that think otherwise.
    Ok(std::iter::from_fn(connect).take(16).collect())
}

//! The upstreams: one process on each side, hidden command `backend`.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use std::{iter, thread};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use nix::sys::socket::{Backlog, listen};

use super::fault::{FIREWALL_PORT, HEALTHY_PORT, NGINX_ADDRESS, QUEUE_PORT, SLOW_PORT, UPSTREAM_ADDRESS};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";

/// The line that says that all upstreams are there.
pub(super) const READY: &str = "ready";

/// Whose upstreams to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// That beside nginx, with a full accept queue.
    Near,
    /// The others.
    Far,
}

/// Serves until stdin ends: with the demo, however that ends.
pub(crate) fn serve(side: Side) -> Result<()> {
    let queue = match side {
        Side::Near => Some(full_queue()?),
        Side::Far => serve_far().map(|()| None)?,
    };
    println!("{READY}");
    io::stdin().read_to_end(&mut Vec::new()).context("cannot wait for the demo to end")?;
    drop(queue);
    Ok(())
}

fn serve_far() -> Result<()> {
    // Behind the firewall is a server that would answer: the firewall alone is the fault.
    for (port, answers) in [(HEALTHY_PORT, true), (FIREWALL_PORT, true), (SLOW_PORT, false)] {
        let listener = bind(UPSTREAM_ADDRESS, port)?;
        thread::spawn(move || accept(&listener, answers));
    }
    Ok(())
}

fn bind(address: &str, port: u16) -> Result<TcpListener> {
    TcpListener::bind((address, port)).with_context(|| format!("cannot listen on {address}:{port}"))
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

/// A listener that never accepts, and the connections that fill its queue for as long as they are kept.
fn full_queue() -> Result<(TcpListener, Vec<TcpStream>)> {
    let listener = bind(NGINX_ADDRESS, QUEUE_PORT)?;
    listen(&listener, Backlog::new(0)?).context("cannot make the accept queue short")?;
    let address = listener.local_addr().context("cannot see where the listener is")?;
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
    // A queue of length 0 takes one; the bound is for kernels that think otherwise.
    let queued = iter::from_fn(connect).take(16).collect();
    Ok((listener, queued))
}

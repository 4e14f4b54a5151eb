//! Many connections that stay open: an origin that never answers, and clients that wait. Hidden commands `hold` and
//! `wait`, several processes each, since one process may not have that many descriptors.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Stdio;

use anyhow::{Context as _, Result};
use nix::sys::socket::{Backlog, listen};

use super::floor::READY;
use super::world::{HOLD_PORT, HOLDERS, PORT, World};
use crate::sandbox::Running;

/// Clients of one process.
const EACH: usize = 8_000;

/// Accepts on an address of this host's number, and answers nothing, until stdin ends.
pub(crate) fn accept(host: u8) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, host), HOLD_PORT)).context("cannot listen")?;
    listen(&listener, Backlog::new(4096)?)?;
    println!("{READY}");
    std::thread::spawn(move || listener.incoming().flatten().collect::<Vec<_>>());
    io::stdin().read_to_end(&mut Vec::new()).context("cannot wait for the benchmark to end").map(drop)
}

/// So many clients, each with one request that is not answered, until stdin ends.
pub(crate) fn ask(clients: usize) -> Result<()> {
    let mut open = Vec::with_capacity(clients);
    for number in 0..clients {
        // One address alone has too few ports.
        let address = format!("127.0.0.{}:{PORT}", 1 + number % 4);
        let mut stream = TcpStream::connect(address).context("cannot connect to nginx")?;
        stream.write_all(b"GET /hold HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        open.push(stream);
    }
    println!("{READY}");
    io::stdin().read_to_end(&mut Vec::new()).context("cannot wait for the benchmark to end")?;
    drop(open);
    Ok(())
}

/// Opens so many connections through nginx; they stay while the result lives.
pub(super) fn open(world: &World, mut connections: usize) -> Result<Vec<Running>> {
    let mut running = Vec::new();
    for host in 1..=HOLDERS {
        running.push(start(world, &["hold".to_owned(), host.to_string()])?);
    }
    while connections > 0 {
        let clients = connections.min(EACH);
        running.push(start(world, &["wait".to_owned(), clients.to_string()])?);
        connections -= clients;
    }
    Ok(running)
}

fn start(world: &World, args: &[String]) -> Result<Running> {
    let mut command = world.namespace.command(std::env::current_exe().context("cannot find xtask itself")?);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running::start(&mut command)?;
    let mut line = [0; READY.len()];
    let stdout = running.child.stdout.as_mut().context("it has an output")?;
    stdout.read_exact(&mut line).with_context(|| format!("{} did not get ready", args.join(" ")))?;
    Ok(running)
}

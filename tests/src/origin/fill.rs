//! Fills the queue of a listener.

use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use socket2::{Domain, Socket, Type};

use super::parse_existing;
use crate::netns::Namespace;

/// A connection on a host takes microseconds: one that takes this long is not let in.
const NOT_LET_IN: Duration = Duration::from_millis(200);

/// Connects until a connection is not let in, and gives those that were.
pub fn fill(namespace: &Namespace, address: &str) -> Result<Vec<Socket>> {
    let (domain, address) = parse_existing(address)?;
    namespace.run(|| {
        let mut inside = Vec::new();
        for _ in 0..1000 {
            let socket = Socket::new(domain, Type::STREAM, None)?;
            let connected = if domain == Domain::UNIX {
                socket.set_nonblocking(true)?;
                socket.connect(&address)
            } else {
                socket.connect_timeout(&address, NOT_LET_IN)
            };
            if connected.is_err() {
                if inside.is_empty() {
                    bail!("nobody listens there");
                }
                return Ok(inside);
            }
            inside.push(socket);
            // The last step of a handshake may be done by another processor.
            thread::sleep(Duration::from_millis(5));
        }
        bail!("the queue has no end")
    })
}

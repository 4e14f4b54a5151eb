//! Origins: servers that do what a script says, each on threads inside a namespace.

mod dns;
mod fill;
mod openssl;
mod process;
mod script;
mod serve;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use socket2::{Domain, SockAddr, Socket, Type};

pub use dns::{Dns, Says};
pub use fill::fill;
pub use openssl::{NAME, Shows, TlsOrigin, make_certificates};
pub use process::{ORIGIN_PROCESS, OriginProcess, serve_forever};
pub use script::{Script, Step, response};

use crate::netns::Namespace;
use crate::util::wait_until;

/// How an origin closes connections when told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With FIN.
    Fin,
    /// With RST.
    Rst,
}

/// What the threads of an origin share with its owner.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    paused: AtomicBool,
    /// Counts up when all connections are to be closed; odd: with RST.
    closing: AtomicU64,
    accepted: AtomicUsize,
    open: AtomicUsize,
}

/// A running origin; ends on drop.
#[derive(Debug)]
pub struct Origin {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// A listener that nobody accepts from.
    _idle: Option<Socket>,
}

impl Origin {
    /// Listens on `ip:port`, `[ip6]:port` or `unix:/path`.
    pub fn start(namespace: &Namespace, address: &str, script: Script) -> Result<Self> {
        let listener =
            namespace.run(|| listen(address, &script).with_context(|| format!("listen on {address}")))?;
        let shared = Arc::new(Shared::default());
        if !script.accepts {
            return Ok(Self { shared, thread: None, _idle: Some(listener) });
        }
        let for_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || accept_loop(&listener, &Arc::new(script), &for_thread));
        Ok(Self { shared, thread: Some(thread), _idle: None })
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Waits until it has accepted so many connections.
    pub fn wait_accepted(&self, count: usize) -> Result<()> {
        wait_until("connections at the origin", Duration::from_secs(5), || self.accepted() >= count)
    }

    /// Stops or continues to call `accept()`; comes back when that is so.
    pub fn pause(&self, paused: bool) {
        self.shared.paused.store(paused, Ordering::SeqCst);
        thread::sleep(3 * serve::TICK);
    }

    /// Closes every connection that waits for a request and comes back when they are closed.
    pub fn close_connections(&self, ending: Ending) -> Result<()> {
        let step = if ending == Ending::Rst { 1 } else { 2 };
        self.shared.closing.fetch_add(step, Ordering::SeqCst);
        wait_until("the origin's connections to close", Duration::from_secs(5), || {
            self.shared.open.load(Ordering::SeqCst) == 0
        })
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn listen(address: &str, script: &Script) -> Result<Socket> {
    let (domain, address) = parse(address)?;
    let socket = Socket::new(domain, Type::STREAM, None)?;
    if domain != Domain::UNIX {
        socket.set_reuse_address(true)?;
    }
    if let Some(size) = script.receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    socket.bind(&address)?;
    socket.listen(script.backlog)?;
    Ok(socket)
}

/// Reads `ip:port` or `unix:/path`; a file that is in the way of a new socket is removed.
fn parse(address: &str) -> Result<(Domain, SockAddr)> {
    if let Some(path) = address.strip_prefix("unix:").filter(|path| Path::new(path).exists()) {
        fs::remove_file(path)?;
    }
    parse_existing(address)
}

/// Reads `ip:port` or `unix:/path`.
fn parse_existing(address: &str) -> Result<(Domain, SockAddr)> {
    if let Some(path) = address.strip_prefix("unix:") {
        return Ok((Domain::UNIX, SockAddr::unix(path)?));
    }
    let address: SocketAddr = address.parse().with_context(|| format!("not an address: {address}"))?;
    Ok((Domain::for_address(address), address.into()))
}

fn accept_loop(listener: &Socket, script: &Arc<Script>, shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    let _timeout_is_for_stopping = listener.set_read_timeout(Some(serve::TICK));
    while !shared.stop.load(Ordering::SeqCst) {
        if shared.paused.load(Ordering::SeqCst) {
            thread::sleep(serve::TICK);
            continue;
        }
        let Ok((socket, _)) = listener.accept() else { continue };
        shared.open.fetch_add(1, Ordering::SeqCst);
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        let (script, shared) = (Arc::clone(script), Arc::clone(shared));
        threads.push(thread::spawn(move || {
            serve::connection(socket, &script, &shared);
            shared.open.fetch_sub(1, Ordering::SeqCst);
        }));
        threads.retain(|thread| !thread.is_finished());
    }
    for thread in threads {
        let _panicked = thread.join();
    }
}

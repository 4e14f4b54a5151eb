//! Which name server a line of error.log is about. nginx does not say; it holds a socket to each that it asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use upstream_trace_core::event::LogLine;

use crate::nginx::{self, SocketKind, SocketRole};

/// The sockets of one worker are looked at once in this time: a client can have nginx write such lines as fast as it likes.
const AGAIN: Duration = Duration::from_secs(1);

/// Looking may take this part of the time: a busy worker has tens of thousands of sockets.
const SHARE: u32 = 10;

/// Workers remembered; beyond that they are all forgotten.
const WORKERS: usize = 1_024;

/// Whether a line is about a name.
pub(super) fn about_names(line: &LogLine) -> bool {
    line.message.contains("could not be resolved")
}

/// Finds the name server of lines that name none.
pub(super) struct ResolverLook {
    /// The kernel side tells who was asked.
    known: Arc<AtomicBool>,
    looked: HashMap<u32, (Instant, Option<String>)>,
    rests_until: Instant,
    look: fn(u32) -> Option<String>,
}

impl ResolverLook {
    pub(super) fn new(known: Arc<AtomicBool>) -> Self {
        Self { known, looked: HashMap::new(), rests_until: Instant::now(), look }
    }

    /// Adds the name server to a line about a name, if that is known or worth a look.
    pub(super) fn complete(&mut self, line: &mut LogLine) {
        let Some(worker) = line.worker.filter(|_| line.resolver.is_none() && about_names(line)) else {
            return;
        };
        if self.known.load(Ordering::Relaxed) {
            return;
        }
        let now = Instant::now();
        let known = self.looked.get(&worker);
        if known.is_some_and(|(at, _)| now - *at < AGAIN) || now < self.rests_until {
            line.resolver = known.and_then(|(_, server)| server.clone());
            return;
        }
        if self.looked.len() >= WORKERS {
            self.looked.clear();
        }
        line.resolver = (self.look)(worker);
        self.rests_until = Instant::now() + now.elapsed() * SHARE;
        self.looked.insert(worker, (now, line.resolver.clone()));
    }
}

/// The name server that a worker has a socket to, if there is only one.
fn look(worker: u32) -> Option<String> {
    let open = nginx::open_sockets(worker).unwrap_or_default();
    let mut asked: Vec<_> = open
        .iter()
        .filter(|socket| socket.role == SocketRole::Resolver)
        .filter_map(|socket| match &socket.kind {
            SocketKind::Udp(socket) | SocketKind::Tcp(socket) => Some(socket.remote),
            SocketKind::Unix { .. } => None,
        })
        .collect();
    asked.sort_unstable();
    asked.dedup();
    // Of several nobody can say which one it was.
    if let [only] = asked[..] { Some(only.to_string()) } else { None }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    static LOOKS: AtomicU32 = AtomicU32::new(0);

    fn line(worker: u32) -> LogLine {
        let message = "app.test could not be resolved (3: Host not found)".to_owned();
        LogLine { worker: Some(worker), message, ..LogLine::default() }
    }

    #[test]
    fn a_worker_is_looked_at_once_a_second_and_not_at_all_if_the_kernel_side_tells() {
        let known = Arc::new(AtomicBool::new(false));
        let mut look = ResolverLook::new(Arc::clone(&known));
        look.look = |_| {
            LOOKS.fetch_add(1, Ordering::Relaxed);
            Some("10.0.0.53:53".to_owned())
        };
        for _ in 0..1_000 {
            let mut line = line(7);
            look.complete(&mut line);
            assert_eq!(line.resolver.as_deref(), Some("10.0.0.53:53"));
        }
        assert!(LOOKS.load(Ordering::Relaxed) <= 2, "as long as this test takes no second or two");
        known.store(true, Ordering::Relaxed);
        let (before, mut other) = (LOOKS.load(Ordering::Relaxed), line(8));
        look.complete(&mut other);
        assert_eq!((other.resolver, LOOKS.load(Ordering::Relaxed)), (None, before));
    }

    #[test]
    fn other_lines_are_left_alone() {
        let mut look = ResolverLook::new(Arc::default());
        look.look = |_| Some("10.0.0.53:53".to_owned());
        let mut other = LogLine { message: "connect() failed".to_owned(), ..line(7) };
        look.complete(&mut other);
        assert_eq!(other.resolver, None);
    }
}

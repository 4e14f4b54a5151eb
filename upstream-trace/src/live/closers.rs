//! Who ended the origin's side of a connection on this kernel: what the kernel side saw, and where that process runs.

use std::collections::HashMap;

use upstream_trace_common::OriginClosed;
use upstream_trace_core::event::{self, Event, Nanos, SECOND, Workload};

use crate::kernel::decode;
use crate::netcontext;
use crate::nginx::exit_status;

/// What is known of a process is not looked up again for so long: one that dies ends all its connections.
const FRESH: Nanos = SECOND;
/// Processes that are remembered.
const REMEMBERED: usize = 256;

/// Turns what the kernel side saw into events.
#[derive(Debug, Default)]
pub(super) struct Closers {
    homes: HashMap<u32, (Nanos, Option<Workload>)>,
}

impl Closers {
    /// The event; `None` if it is none of internet addresses.
    pub(super) fn closed(&mut self, closed: &OriginClosed) -> Option<Event> {
        let (pid, at) = (closed.header.tgid, closed.header.now_ns);
        let (origin, peer) = (decode::socket_addr(&closed.local)?, decode::socket_addr(&closed.peer)?);
        let name = closed.comm.split(|byte| *byte == 0).next().unwrap_or_default();
        let ended = closed.exiting != 0 && closed.has_code != 0;
        let (status, signal) = if ended { exit_status(closed.exit_code) } else { (None, None) };
        let out_of_memory = match closed.oom {
            _ if closed.exiting == 0 => None,
            0 => Some(false),
            1 => Some(true),
            _ => None,
        };
        Some(Event::OriginClosed(event::OriginClosed {
            at,
            pid,
            name: String::from_utf8_lossy(name).into_owned(),
            home: self.home(pid, at),
            netns: closed.netns,
            origin,
            peer,
            received: (closed.has_received != 0).then_some(closed.received),
            exiting: closed.exiting != 0,
            signal,
            status,
            out_of_memory,
        }))
    }

    fn home(&mut self, pid: u32, at: Nanos) -> Option<Workload> {
        if self.homes.len() >= REMEMBERED {
            self.homes.retain(|_, (looked, _)| at.saturating_sub(*looked) < FRESH);
        }
        if self.homes.len() >= REMEMBERED {
            self.homes.clear();
        }
        match self.homes.get(&pid) {
            Some((looked, home)) if at.saturating_sub(*looked) < FRESH => home.clone(),
            _ => {
                // A process that has ended is still in its control group until its parent has asked how.
                let home = netcontext::home(pid);
                self.homes.insert(pid, (at, home.clone()));
                home
            }
        }
    }
}

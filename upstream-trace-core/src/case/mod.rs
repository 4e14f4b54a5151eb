//! Everything that a recogniser of causes may look at.
//!
//! A case is one attempt with what belongs to it: dropped packets, resets, facts that were looked up, and how other
//! attempts fared. Whether `connect()` failed at once or the attempt ended later, it is seen through one [`Attempt`].
//!
//! What a recogniser asks, and where the answers are:
//!
//! | question | file | asks |
//! |---|---|---|
//! | who and where, for sentences and commands | here | `target`, `host`, `port`, `path`, `..._word`, `listener_command` |
//! | how it is carried, since when | here | `tcp`, `unix`, `ipv6`, `since`, `duration` |
//! | errno of `connect()` | here | `tcp_connect_errno`, `unix_connect_errno` |
//! | what was not observed | here | `lacks`, and the fields `lossy`, `early`, `line_only` |
//! | how far it came | `outcome` | `pending`, `connecting`, `awaiting`, `request_acked`, `phase` |
//! | who ended it, and how | `outcome` | `reset_at`, `fin_at`, `ended_by_origin`, `silent`, `gave_up`, `refused`, `errno` |
//! | a pause or a pooled connection | `outcome` | `stalled`, `connected_late`, `dead_in_pool`, `reset_in_pool` |
//! | whether it failed, and with what status | `outcome` | `benign_end`, `status` |
//! | single packets | `packets` | `icmp`, `dropped_for`, `drop_where`, `direction`, `rules_of`, `retransmits_left`, `reset_sent_for` |
//! | the TLS handshake | `tls` | `in_tls_handshake`, `alert`, `nginx_alert`, `non_tls_prefix`, `handshake_cut` |
//! | what was looked up around it | `context` | `route`, `neighbour`, `listener`, `conntrack`, `unix_target` |
//! | how others fared | `context` | `siblings_wait`, `sibling_connected_meanwhile`, `host_alive` |
//! | nginx's line | `log` | `log_kind`, `log_doing`, `log_words`, `resolve_error` |
//! | the name that was looked up | `lookup` | `unresolved_name` |
//! | nginx's configuration | `config` | `servers`, `group`, `passes`, `limits` |

mod config;
mod context;
mod log;
mod lookup;
mod outcome;
mod packets;
mod tls;

use std::borrow::Cow;
use std::cell::Cell;
use std::net::IpAddr;

use crate::errorlog::Kind;
use crate::event::{
    Attempt, Config, ConnectError, Enrichment, Hook, LogLine, Lookup, Nanos, OriginClosed, OriginExit,
    PacketDrop, ResetSent, Rules, SECOND, Step, Transport, Upstream, Workload,
};
use crate::hooks::Signal;
use crate::text::shell;

pub use crate::event::BenignEnd;
use crate::text::sentence;
use crate::verdict::Tries;
pub use config::{Limit, TimerFit};

pub(crate) use config::servers;
pub use config::{http2_upstreams, only_group};
pub use context::{OtherPort, Siblings};
pub use packets::{Direction, IcmpSeen};
pub use tls::alert_name;

/// One attempt and what belongs to it.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "facts that do not exclude each other")]
pub struct Case<'a> {
    /// The attempt; for an error of `connect()`, an attempt made of what is known.
    pub attempt: Cow<'a, Attempt>,
    /// `connect()` itself failed.
    pub connect: Option<&'a ConnectError>,
    /// Packets of it that were dropped in nginx's network namespace, in order of time.
    pub drops: Vec<&'a PacketDrop>,
    /// Packets of it that were dropped in other network namespaces of this machine.
    pub drops_elsewhere: Vec<&'a PacketDrop>,
    /// What the firewall's ruleset says of those.
    pub rules: Vec<&'a Rules>,
    /// Resets that this machine's kernel sent in answer to its packets.
    pub resets: Vec<&'a ResetSent>,
    /// Resets that it sent in answer to packets for nginx's end, which came from an address that nginx did not ask.
    pub resets_of_strangers: Vec<&'a ResetSent>,
    /// How long after `connect()` its SYN-ACK came, if nginx had given it up by then.
    pub late: Option<Nanos>,
    /// Processes of the upstream on this host that ended about when the connection did, in order of time.
    pub exits: Vec<&'a OriginExit>,
    /// The process of this kernel that ended the origin's side of this very connection.
    pub closed_by: Option<&'a OriginClosed>,
    /// The last process that served the upstream, if none does any more.
    pub gone: Option<&'a OriginExit>,
    /// The chain of attempts for one request that it belongs to.
    pub tries: Option<&'a Tries>,
    /// What was looked up, if fresh.
    pub enrichment: Option<&'a Enrichment>,
    /// The same, of the last time at which the queue of its listener was seen to overflow while it ran.
    pub full: Option<&'a Enrichment>,
    /// The same, of the last time at which connections to its listener were seen to wait while it ran.
    pub waiting: Option<&'a Enrichment>,
    /// nginx's configuration, if it could be read.
    pub config: Option<&'a Config>,
    /// The container or unit that nginx runs in.
    pub workload: Option<&'a Workload>,
    /// How others fared.
    pub siblings: Siblings,
    /// All hooks; recognisers ask [`Case::lacks`].
    pub hooks: &'a [Hook],
    /// Events were lost while the attempt ran: its evidence may be among them.
    pub lossy: bool,
    /// `--slow`.
    pub slow: Nanos,
    /// nginx's line about it.
    pub log: Option<&'a LogLine>,
    /// What that says, once somebody has asked: nearly every cause does.
    said: Cell<Option<log::Said>>,
    /// What the kernel saw of it looked healthy, or it saw nothing: nginx's line decides.
    pub by_log: bool,
    /// Nothing is known but nginx's line.
    pub line_only: bool,
    /// nginx wrote it, perhaps, before the hooks were attached: nothing follows from what they did not see.
    pub early: bool,
    /// What nginx sends and receives is watched for a part of the time only, or never: whether it was then is not known of
    /// what only a line tells.
    pub sampled: bool,
    /// A name was looked up; there is no connection.
    pub lookup: Option<&'a Lookup>,
    /// Latest complaint of the worker about a name server.
    pub complaint: Option<&'a LogLine>,
    /// Causes of the failures that ejected the peers of the group, most frequent first.
    pub because: Vec<&'static str>,
}

impl<'a> Case<'a> {
    /// A case of an attempt, with nothing else known.
    #[must_use]
    pub fn of_attempt(attempt: &'a Attempt) -> Self {
        Self::new(Cow::Borrowed(attempt), None)
    }

    /// A case of an error of `connect()`, with nothing else known.
    #[must_use]
    pub fn of_connect_error(error: &'a ConnectError) -> Self {
        Self::new(Cow::Owned(Attempt::of_connect_error(error)), Some(error))
    }

    /// The same, of an attempt that was made of the error before.
    #[must_use]
    pub fn of_failed(attempt: &'a Attempt, connect: Option<&'a ConnectError>) -> Self {
        Self::new(Cow::Borrowed(attempt), connect)
    }

    fn new(attempt: Cow<'a, Attempt>, connect: Option<&'a ConnectError>) -> Self {
        Self {
            attempt,
            connect,
            drops: Vec::new(),
            drops_elsewhere: Vec::new(),
            rules: Vec::new(),
            resets: Vec::new(),
            resets_of_strangers: Vec::new(),
            late: None,
            exits: Vec::new(),
            closed_by: None,
            gone: None,
            tries: None,
            enrichment: None,
            full: None,
            waiting: None,
            config: None,
            workload: None,
            siblings: Siblings::default(),
            hooks: &[],
            lossy: false,
            slow: SECOND,
            log: None,
            said: Cell::new(None),
            by_log: false,
            line_only: false,
            early: false,
            sampled: false,
            lookup: None,
            complaint: None,
            because: Vec::new(),
        }
    }

    /// The upstream, for sentences.
    #[must_use]
    pub fn target(&self) -> String {
        let known = self.attempt.upstream.as_ref();
        known.map_or_else(|| "the upstream".to_owned(), |known| sentence(&known.to_string()).into_owned())
    }

    /// The upstream's address and port, for commands.
    #[must_use]
    pub fn target_word(&self) -> String {
        match &self.attempt.upstream {
            Some(Upstream::Tcp(address)) => shell::word(&address.to_string(), "ADDRESS:PORT"),
            _ => "ADDRESS:PORT".to_owned(),
        }
    }

    /// The upstream's address without the port, for sentences and commands.
    #[must_use]
    pub fn host(&self) -> String {
        self.ip().map_or_else(|| "ADDRESS".to_owned(), |ip| ip.to_string())
    }

    /// The upstream's address.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.attempt.upstream.as_ref().and_then(Upstream::ip)
    }

    /// The upstream's port, for sentences and commands.
    #[must_use]
    pub fn port(&self) -> String {
        match &self.attempt.upstream {
            Some(Upstream::Tcp(address)) => address.port().to_string(),
            _ => "PORT".to_owned(),
        }
    }

    /// Path of the unix socket, for sentences.
    #[must_use]
    pub fn path(&self) -> Cow<'_, str> {
        self.unix_path().map_or(Cow::Borrowed("the socket"), sentence)
    }

    /// Path of the unix socket, for commands.
    #[must_use]
    pub fn path_word(&self) -> String {
        shell::word(self.unix_path().unwrap_or_default(), "PATH")
    }

    fn unix_path(&self) -> Option<&str> {
        match &self.attempt.upstream {
            Some(Upstream::Unix(path)) => Some(path),
            _ => None,
        }
    }

    /// The command that shows the upstream's listener and its queue.
    #[must_use]
    pub fn listener_command(&self) -> String {
        if self.unix() {
            format!("ss -xlp src {}", self.path_word())
        } else {
            format!("ss -lntp sport = :{}", self.port())
        }
    }

    /// How it is carried.
    #[must_use]
    pub fn transport(&self) -> Transport {
        if let Some(lookup) = self.lookup {
            let tcp = lookup.asked.last().is_some_and(|asked| asked.tcp);
            return if tcp { Transport::Tcp } else { Transport::Udp };
        }
        // Of a lookup that was not seen; nginx asks over TCP only if an answer was cut off.
        if self.log_kind() == Some(Kind::Name) {
            return Transport::Udp;
        }
        self.attempt.upstream.as_ref().map_or(Transport::Tcp, Upstream::transport)
    }

    /// It is TCP.
    #[must_use]
    pub fn tcp(&self) -> bool {
        self.transport() == Transport::Tcp
    }

    /// It is a unix socket.
    #[must_use]
    pub fn unix(&self) -> bool {
        self.transport() == Transport::Unix
    }

    /// The destination is an IPv6 address.
    #[must_use]
    pub fn ipv6(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_ipv6())
    }

    /// errno of `connect()` on TCP, if that failed at once.
    #[must_use]
    pub fn tcp_connect_errno(&self) -> Option<i32> {
        self.connect.filter(|_| self.tcp()).map(|error| error.errno)
    }

    /// errno of `connect()` on a unix socket.
    #[must_use]
    pub fn unix_connect_errno(&self) -> Option<i32> {
        self.connect.filter(|_| self.unix()).map(|error| error.errno)
    }

    /// When it began; for a pooled connection that was found dead, when that was found.
    #[must_use]
    pub fn since(&self) -> Nanos {
        if self.dead_in_pool() { self.attempt.seen } else { self.attempt.since() }
    }

    /// How long it runs or ran.
    #[must_use]
    pub fn duration(&self) -> Nanos {
        self.attempt.seen.saturating_sub(self.since())
    }

    /// The hooks are known, and none that is attached gives this signal. A hook that this release does not know gives
    /// none.
    #[must_use]
    pub fn lacks(&self, signal: Signal) -> bool {
        let gives = |hook: &Hook| hook.attached && Signal::of_hook(&hook.name).contains(&signal);
        !self.hooks.is_empty() && !self.hooks.iter().any(gives)
    }

    /// Hooks that are on the list and not attached, nor is another of that name.
    pub fn missing_hooks(&self) -> impl Iterator<Item = &Hook> {
        let attached = |name: &str| self.hooks.iter().any(|hook| hook.attached && hook.name == name);
        self.hooks.iter().filter(move |hook| !attached(&hook.name))
    }

    /// Time of the first step that fits.
    #[must_use]
    pub fn step(&self, fits: impl Fn(&Step) -> bool) -> Option<Nanos> {
        self.attempt.step(fits)
    }
}

//! What the program saw, after decoding. Everything that a verdict rests on is one of these, and nothing else is.

mod attempt;
mod attempt_error;
mod attempt_id;
mod bounds;
mod config;
mod counters;
mod fact;
mod host;
mod log;
mod lookup;
mod loss;
mod packet;
mod private;
mod process;
mod rules;
mod step;
mod upstream;

use serde::{Deserialize, Serialize};

pub use attempt::{Attempt, BenignEnd, Ended, IcmpError, Sequence, Socket};
pub use attempt_error::ConnectError;
pub use attempt_id::AttemptId;
pub use bounds::MAX_TEXT;
pub(crate) use bounds::{Weigh, weigh_rare};
pub use config::{Config, Group, Outputs, Pass, Server, Setting, Target};
pub use counters::UpstreamSample;
pub use fact::{Conntrack, Enrichment, Fact, Listener, Neighbour, Route, UNACCEPTED, UnixTarget};
pub use host::{Hook, Host};
pub use log::{LogFollowed, LogLine, LogSource};
pub use lookup::{Lookup, LookupState, Outcome, Query, QueryResult};
pub use loss::{LossPlace, Lost, Takes};
pub use packet::{Netfilter, PacketDrop, PacketNumbers, PacketTuple, ResetSent};
pub use private::Private;
pub use process::{
    NamedContainer, OriginClosed, OriginExit, Process, ProcessChange, RunsIn, Runtime, Workload,
};
pub use rules::{Dweller, MatchedRule, Rules};
pub use step::{Moment, Step};
pub(crate) use upstream::LONGEST_PATH;
pub use upstream::{Transport, Upstream};

/// Nanoseconds of the tracing host's `CLOCK_MONOTONIC`.
pub type Nanos = u64;

/// One millisecond, in nanoseconds.
pub const MS: Nanos = 1_000_000;
/// One second, in nanoseconds.
pub const SECOND: Nanos = 1_000 * MS;

/// One thing that happened, or that was found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// First event of a run.
    Host(Host),
    /// A process of nginx appeared, changed or ended.
    Process(Process),
    /// An attempt is in trouble and not over; or, at the start, was found in that state.
    Trouble(Attempt),
    /// An attempt ended and was not provably healthy.
    End(Attempt),
    /// `connect()` itself failed.
    ConnectError(ConnectError),
    /// A packet of an upstream connection was dropped on this host.
    Drop(PacketDrop),
    /// This host's kernel sent a RST for an upstream address: the origin shares the kernel.
    ResetSent(ResetSent),
    /// A process that serves an upstream on this host ended.
    OriginExit(OriginExit),
    /// A process of this kernel ended its side of a connection to an upstream. Comes before the `End` that it leads to.
    OriginClosed(OriginClosed),
    /// nginx went on to another attempt straight after a failed one.
    RetryStarted {
        /// When the retry began, nanoseconds of `CLOCK_MONOTONIC`.
        at: Nanos,
        /// The attempt that failed.
        failed: AttemptId,
        /// The attempt that followed.
        retry: AttemptId,
        /// Address or path that the retry goes to; absent if it has none in the table.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upstream: Option<Upstream>,
    },
    /// That other attempt got an answer.
    RetryAnswered {
        /// When its answer began, nanoseconds of `CLOCK_MONOTONIC`.
        at: Nanos,
        /// The attempt that failed.
        failed: AttemptId,
        /// The attempt that was answered.
        retry: AttemptId,
        /// Address or path that the retry went to; absent if it has none in the table.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upstream: Option<Upstream>,
    },
    /// The answer to an attempt in trouble has begun.
    Answered {
        /// When it began, nanoseconds of `CLOCK_MONOTONIC`.
        at: Nanos,
        /// The attempt that is answered.
        attempt: AttemptId,
    },
    /// nginx closed a client that had gone away straight after it gave this attempt up: not a failure.
    ClientGone {
        /// When nginx closed the client, nanoseconds of `CLOCK_MONOTONIC`.
        at: Nanos,
        /// The attempt that nginx gave up.
        attempt: AttemptId,
    },
    /// Something looked up on the host because an attempt is in trouble. Comes before the `Trouble` or `End` that it is for.
    Enrichment(Enrichment),
    /// What the firewall's ruleset says of a dropped packet. Comes after its `Drop`.
    Rules(Rules),
    /// What nginx's configuration says of upstreams.
    Config(Box<Config>),
    /// A name that nginx looks up, in trouble or in vain. Comes before the lines about it.
    Lookup(Lookup),
    /// A line of nginx's error.log.
    Log(LogLine),
    /// Whether the lines of a worker's error.log are read.
    LogFollowed(LogFollowed),
    /// Where a process of nginx runs: a container, a unit.
    RunsIn(RunsIn),
    /// Counters of one upstream, since the start.
    Upstream(UpstreamSample),
    /// Events were lost.
    Lost(Lost),
    /// All that happened until this time has been told: what waited for it can be decided.
    Tick {
        /// That time, nanoseconds of `CLOCK_MONOTONIC`.
        at: Nanos,
    },
}

impl Event {
    /// When it happened.
    #[must_use]
    pub fn at(&self) -> Nanos {
        match self {
            Self::Host(e) => e.at,
            Self::Process(e) => e.at,
            Self::Trouble(e) | Self::End(e) => e.seen,
            Self::ConnectError(e) => e.at,
            Self::Drop(e) => e.at,
            Self::ResetSent(e) => e.at,
            Self::OriginExit(e) => e.at,
            Self::OriginClosed(e) => e.at,
            Self::RetryStarted { at, .. }
            | Self::RetryAnswered { at, .. }
            | Self::Answered { at, .. }
            | Self::ClientGone { at, .. }
            | Self::Tick { at } => *at,
            Self::Enrichment(e) => e.at,
            Self::Rules(e) => e.at,
            Self::Config(e) => e.at,
            Self::Log(e) => e.at,
            Self::Lookup(e) => e.at,
            Self::LogFollowed(e) => e.at,
            Self::RunsIn(e) => e.at,
            Self::Upstream(e) => e.at,
            Self::Lost(e) => e.at,
        }
    }

    /// Shows every private text of the event, for it to be replaced.
    pub fn private(&mut self, show: &mut dyn FnMut(Private, &mut String)) {
        match self {
            Self::Host(host) => private::of_host(host, show),
            Self::Log(line) => private::of_line(line, show),
            Self::Rules(rules) => private::of_rules(rules, show),
            Self::Config(config) => private::of_config(config, show),
            Self::Lookup(lookup) => private::of_lookup(lookup, show),
            Self::Trouble(attempt) | Self::End(attempt) => private::of_attempt(attempt, show),
            Self::OriginExit(exit) => private::of_exit(exit, show),
            Self::OriginClosed(closed) => private::of_closed(closed, show),
            Self::RunsIn(RunsIn { workload, at: _, pid: _ }) => private::of_workload(workload, show),
            Self::Enrichment(facts) => private::of_facts(facts, show),
            Self::Drop(PacketDrop { tuple, asked, .. }) => {
                for tuple in [tuple, asked].into_iter().flatten() {
                    private::of_tuple(tuple, show);
                }
            }
            Self::ResetSent(ResetSent { tuple, .. }) => private::of_tuple(tuple, show),
            // Names of programs, addresses of upstreams and paths of sockets are what the verdicts are about.
            Self::Process(_)
            | Self::ConnectError(_)
            | Self::RetryStarted { .. }
            | Self::RetryAnswered { .. }
            | Self::Answered { .. }
            | Self::ClientGone { .. }
            | Self::LogFollowed(_)
            | Self::Upstream(_)
            | Self::Lost(_)
            | Self::Tick { .. } => {}
        }
    }
}

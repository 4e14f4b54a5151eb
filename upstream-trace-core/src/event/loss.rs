//! Places where events can be lost: each stands here once, with what it means for people and for verdicts.

use serde::{Deserialize, Serialize};

use super::bounds::text;
use super::{Nanos, Upstream};

/// What a loss takes away from verdicts on the time in which it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: what was lost only names or counts things.
    Nothing,
    /// How other attempts at an upstream fared, where that one has no counters.
    Counters,
    /// Evidence: no verdict is called proven.
    Proof,
    /// Evidence and whole attempts: a line of error.log may be about one of those.
    Attempts,
}

macro_rules! loss_places {
    ($($(#[$doc:meta])* $place:ident = $id:literal, $takes:ident, $text:literal;)*) => {
        /// Where events can be lost.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum LossPlace {
            $($(#[$doc])* $place,)*
        }

        impl LossPlace {
            /// All places.
            pub const ALL: &[Self] = &[$(Self::$place,)*];

            /// Its name in recordings and in all output; never changes.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self {
                    $(Self::$place => $id,)*
                }
            }

            /// What happened there, for people.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$place => $text,)*
                }
            }

            /// What a loss there takes away.
            #[must_use]
            pub const fn takes(self) -> Takes {
                match self {
                    $(Self::$place => Takes::$takes,)*
                }
            }
        }
    };
}

loss_places! {
    /// Kernel side: no room in the ring buffer for the record of an attempt.
    RingBuffer = "ring-buffer", Attempts,
        "the ring buffer was full; enlarge it with --ring-buffer-size";
    /// Kernel side: no room in the ring buffer for another message.
    Events = "events", Proof,
        "the ring buffer was full; enlarge it with --ring-buffer-size";
    /// Kernel side: more packets that were dropped, resets or closes at an upstream than it looks at.
    PacketReports = "packet-reports", Proof,
        "more dropped packets, resets or closes at one upstream than are looked at, 256 a second each";
    /// Kernel side: no room for the flight record of a connection.
    ConnectionMap = "connection-map", Attempts,
        "the connection table was full; enlarge it with --max-connections";
    /// Kernel: runs of a program that were left out.
    HookRuns = "hook-runs", Attempts,
        "the kernel left out runs of hooks, since the same hook had been interrupted on that processor";
    /// Kernel side: no room for the counters of an upstream.
    UpstreamTable = "upstream-table", Counters,
        "the upstream table was full: the numbers of further upstreams are missing";
    /// Both sides: no room for a process that serves an upstream.
    OriginTable = "origin-table", Proof,
        "the table of origin processes was full";
    /// Kernel side: no room for a process of nginx.
    ProcessTable = "process-table", Proof,
        "the process table was full: new workers are not traced";
    /// Program: no room for a connection that was open at the start.
    OpenConnections = "open-connections", Proof,
        "too many connections were open at the start";
    /// Program: a malformed message of the kernel side.
    Undecoded = "undecoded", Attempts,
        "malformed messages from the kernel programs";
    /// Program: lines of error.log that were not read.
    ErrorLog = "error-log", Proof,
        "error.log could not be read, or grows faster than it can be read";
    /// Program and engine: no room for a DNS lookup.
    NameLookups = "name-lookups", Nothing,
        "too many DNS lookups at once to follow them all";
    /// Program: results and remarks that nobody read in time. All that they say was judged already.
    Output = "output", Nothing,
        "whoever reads the output has paused: what did not fit was left out";
    /// Program: an OpenTelemetry receiver was away, or refused events.
    Otlp = "otlp", Nothing,
        "the OTLP receiver did not take all events";
    /// Program: the journal did not take entries.
    Journal = "journal", Nothing,
        "the journal did not take all entries";
    /// Engine: no room to hold a failure until all about it has come.
    FailuresHeld = "failures-held", Proof,
        "too many failures at once: some were judged before all evidence had arrived";
    /// Engine: no room for an attempt in trouble.
    Pending = "pending", Nothing,
        "too many attempts were pending at once: some are reported twice, or their end is not reported";
    /// Engine: no room for the link from a failure to its retry.
    Retries = "retries", Nothing,
        "too many retries at once: some recovered attempts are not marked as such";
    /// Engine: no room for a dropped packet or a reset.
    Packets = "packets", Proof,
        "too many dropped packets at once to keep them all";
    /// Engine: no room for what a ruleset says of a dropped packet.
    Rules = "rules", Nothing,
        "too many kinds of dropped packets at once: not all firewall rules are named";
    /// Engine: no room for facts about an upstream.
    Facts = "facts", Nothing,
        "too many upstreams failed at once to keep the route, neighbour and listener of each";
    /// Engine: no room for the end of a process that served an upstream.
    OriginExits = "origin-exits", Proof,
        "too many origin processes ended at once to keep them all";
    /// Engine: no room for a line of error.log, or a failure that waits for its line.
    LogLines = "log-lines", Nothing,
        "too many failures or error.log lines at once: some are not matched";
    /// Engine: no room for the log and the configuration of a worker.
    Workers = "workers", Nothing,
        "too many workers to keep the log and the configuration of each";
}

impl LossPlace {
    /// The place with this name; `None` if a later release, or nobody, has one of that name.
    #[must_use]
    pub fn find(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|place| place.id() == id)
    }

    /// A line of error.log may be among what was lost: that there is none tells nothing.
    #[must_use]
    pub const fn may_hold_lines(self) -> bool {
        matches!(self, Self::RingBuffer | Self::Events | Self::Undecoded | Self::ErrorLog | Self::LogLines)
    }

    /// Verdicts on that time are not called proven.
    #[must_use]
    pub const fn takes_proof(self) -> bool {
        matches!(self.takes(), Takes::Proof | Takes::Attempts)
    }
}

/// Events that did not arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// When it was noticed, nanoseconds of `CLOCK_MONOTONIC`.
    pub at: Nanos,
    /// How many events, between `since` and `at`.
    pub count: u64,
    /// Id of the [`LossPlace`]: `ring-buffer`, `events`, `packet-reports`, `connection-map`, `hook-runs`, `upstream-table`,
    /// `origin-table`, `process-table`, `open-connections`, `undecoded`, `error-log`, `name-lookups`, `output`, `otlp`,
    /// `journal` in recordings; in output also `failures-held`, `pending`, `retries`, `packets`, `rules`, `facts`,
    /// `origin-exits`, `log-lines`, `workers`. A later release may know others.
    #[serde(deserialize_with = "text")]
    pub place: String,
    /// Begin of the time in which they were lost, same clock.
    pub since: Nanos,
    /// They were about this upstream alone: what is said of others is as sure as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Upstream>,
}

impl Lost {
    /// Events that were lost at a place.
    #[must_use]
    pub fn new(place: LossPlace, count: u64, since: Nanos, at: Nanos) -> Self {
        Self { at, count, place: place.id().to_owned(), since, upstream: None }
    }

    /// Where; `None` if this release does not know the place.
    #[must_use]
    pub fn known_place(&self) -> Option<LossPlace> {
        LossPlace::find(&self.place)
    }

    /// What it takes from verdicts: of a place that this release does not know, proof.
    #[must_use]
    pub fn takes(&self) -> Takes {
        self.known_place().map_or(Takes::Proof, LossPlace::takes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_found_by_its_name() {
        for place in LossPlace::ALL {
            assert_eq!(LossPlace::find(place.id()), Some(*place));
            assert!(place.text().len() > 20 && !place.text().ends_with('.'), "{place:?}");
        }
    }

    #[test]
    fn the_documentation_of_the_field_names_every_place() {
        let source = include_str!("loss.rs");
        let docs = source
            .split("/// Id of the [`LossPlace`]")
            .nth(1)
            .and_then(|rest| rest.split("pub place").next());
        for place in LossPlace::ALL {
            assert!(docs.is_some_and(|docs| docs.contains(&format!("`{}`", place.id()))), "{place:?}");
        }
    }

    #[test]
    fn an_unknown_place_takes_proof() {
        let lost = Lost { place: "the-future".to_owned(), ..Lost::new(LossPlace::Facts, 1, 0, 1) };
        assert_eq!((lost.known_place(), lost.takes()), (None, Takes::Proof));
    }
}

//! What crosses from the kernel side of upstream-trace to its user side: one declaration for both, no logic.
//!
//! Everything here is `#[repr(C)]`, has no padding that matters, and its size is asserted below, so that the two
//! sides, which are built by two compilers, cannot disagree silently.
#![no_std]

mod event;
pub mod flags;
mod offsets;
mod record;
mod step;
mod tables;
#[cfg(feature = "user")]
mod user;

pub use event::{
    Addr, ConnectFailed, DNS_PAYLOAD, DnsMessage, EventHeader, EventKind, OriginExit, PACKET_STACK,
    PacketEvent, ProcessEvent, RING_BYTES, RetryEvent, UNIX_PATH, UnixPath,
};
pub use offsets::{ABSENT, FieldSpec, Offsets};
pub use record::{HEAD, Icmp, Record, TcpNumbers};
pub use step::{End, Step, StepKind, TRAIL};
pub use tables::{Calling, Connecting, DropPlace, FdKey, Seed, SeedKey, UpstreamCounters, Worker};

/// Changes whenever a structure of this crate changes. The program checks it against the kernel object before load.
pub const ABI_VERSION: u32 = 5;

/// Indices into the `STATS` per-CPU array: every attempt is in exactly one of the sums, so that
/// `ATTEMPTS + ADOPTED = HEALTHY + REPORTED + ABORTED + LOST_RING + LOST_MAP + ended by user space + live`.
pub mod stats {
    /// Records created for new connections.
    pub const ATTEMPTS: u32 = 0;
    /// Records created for connections that were open before the program started.
    pub const ADOPTED: u32 = 1;
    /// Records that ended provably healthy; they never crossed the ring buffer.
    pub const HEALTHY: u32 = 2;
    /// Records sent through the ring buffer when their attempt ended.
    pub const REPORTED: u32 = 3;
    /// Records that ended because the client went away or the worker exited.
    pub const ABORTED: u32 = 4;
    /// Records that ended and found the ring buffer full.
    pub const LOST_RING: u32 = 5;
    /// Connections without a record, because the record map was full.
    pub const LOST_MAP: u32 = 6;
    /// Other events (drops, process events, first signs of trouble) that found the ring buffer full.
    pub const LOST_EVENTS: u32 = 7;
    /// Attempts towards upstream addresses for which no counter slot was left.
    pub const LOST_SLOTS: u32 = 8;
    /// Processes of origins that found no room in their table.
    pub const LOST_ORIGINS: u32 = 9;
    /// TCP sockets that a worker closed without ever having connected them: `connect()` failed at once, unseen.
    pub const UNCONNECTED: u32 = 10;
    /// New processes of nginx that found no room in their table.
    pub const LOST_WORKERS: u32 = 11;
    /// How many counters there are.
    pub const COUNT: u32 = 12;
}

/// Most upstream addresses, and most unix paths, that are counted; attempts to others are counted in `LOST_SLOTS`.
pub const UPSTREAMS: u32 = 1024;

/// Places in the table of watched processes, a power of two.
pub const WORKER_PLACES: u32 = 4096;

/// Functions whose drops are told where the kernel gives no reasons.
pub const DROP_PLACES: usize = 4;

/// Buckets of the latency histograms: bucket `i` counts values below `2^i` microseconds, the last one all above.
pub const LATENCY_BUCKETS: usize = 28;

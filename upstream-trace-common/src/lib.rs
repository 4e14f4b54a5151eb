//! What crosses from the kernel side of upstream-trace to its user side: one declaration for both. And the rules that
//! both sides share, where tests reach them: what becomes of an attempt at its end, what the first bytes of a response,
//! of a TLS record and of a DNS query say, which bucket counts a latency.
//!
//! Every structure here is `#[repr(C)]`, has no padding that matters, and its size is asserted below its declaration,
//! so that the two sides, which are built by two compilers, cannot disagree silently. Every rule is plain arithmetic
//! on integers, without allocation and without panics, for the verifiers of old kernels.
#![no_std]
#![allow(clippy::inline_always, reason = "a BPF program has 512 bytes of stack and few arguments for calls")]

mod abi;
mod ending;
mod event;
pub mod flags;
mod histogram;
pub mod http2;
mod numbered;
mod offsets;
mod query;
mod record;
mod registers;
pub mod stats;
mod status;
mod step;
mod tables;
pub mod tls;
mod under_way;
#[cfg(feature = "user")]
mod user;

pub use abi::ABI;
pub use ending::{Disposition, EVENT_LOOP_NS, EndFacts, client_spoke};
pub use event::{
    Addr, AttemptEvent, ConnectFailed, DNS_PAYLOAD, DnsMessage, EventHeader, EventKind, LOG_TEXT, LogWrite,
    OriginClosed, OriginExit, PACKET_STACK, PacketEvent, ProcessEvent, RING_BYTES, RetryEvent, UNIX_PATH,
    UnixPath,
};
pub use histogram::{LATENCY_BUCKETS, bucket};
pub use offsets::{ABSENT, FieldSpec, Offsets};
pub use query::{is_cut_response, is_query};
pub use record::{HEAD, Icmp, Record, TcpNumbers};
pub use registers::Registers;
pub use status::{is_server_error, is_upgrade, status};
pub use step::{End, Step, StepKind, TRAIL};
pub use tables::{
    AdoptKey, AdoptState, DROP_BITS, DropPlace, FdKey, InflightConnect, InflightIo, NameServer,
    RetryCandidate, UpstreamCounters, Worker, drop_bit,
};
pub use under_way::{GOODBYE, Moment, SocketFacts, UnderWay};

/// Most upstream addresses, and most unix paths, that are counted; attempts to others are counted in `LOST_SLOTS`. With
/// many processors there is room for fewer addresses: [`UpstreamCounters::room`].
pub const UPSTREAMS: u32 = 1024;

/// Places in the table of watched processes, a power of two.
pub const WORKER_PLACES: u32 = 4096;

/// Functions of the kernel that drop packets for one reason each, for kernels that give no reasons.
pub const DROP_PLACES: usize = 4;

//! All maps, with their sizes. Sizes that follow from an option are set by user space before load.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf};
use upstream_trace_common::{
    Addr, AdoptKey, AdoptState, FdKey, NameServer, RING_BYTES, Record, UPSTREAMS as UPSTREAM_COUNT, UnixPath,
    UpstreamCounters, WORKER_PLACES, Worker, stats,
};

/// Flight records by socket address. Sized by `--max-connections`.
#[map]
pub static RECORDS: HashMap<u64, Record> = HashMap::with_max_entries(32768, 0);

/// Records whose disposition the next event of their process decides, by process; those of processes that ended make
/// room.
#[map]
pub static DEFERRED: LruHashMap<u32, Record> = LruHashMap::with_max_entries(512, 0);

/// The one way to user space. Sized by user space.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// Watched processes, each at one of its two places (`Worker::places`).
#[map]
pub static WORKERS: Array<Worker> = Array::with_max_entries(WORKER_PLACES, 0);

/// Entry `port` is not 0 if nginx listens, or listened, on that port: its sockets without a record are clients.
#[map]
pub static LISTENING: Array<u64> = Array::with_max_entries(65536, 0);

/// Counters by upstream address; unix paths by their number (`Addr::of_path`). Per CPU: all workers count at the few
/// same addresses, and would take the memory from each other at every request.
#[map]
pub static UPSTREAMS: PerCpuHashMap<Addr, UpstreamCounters> =
    PerCpuHashMap::with_max_entries(UPSTREAM_COUNT, 0);

/// Numbers of unix paths.
#[map]
pub static UNIX_PATHS: HashMap<UnixPath, u32> = HashMap::with_max_entries(UPSTREAM_COUNT, 0);

/// Sums over everything, see `upstream_trace_common::stats`.
#[map]
pub static STATS: PerCpuArray<u64> = PerCpuArray::with_max_entries(stats::COUNT, 0);

/// Socket behind a descriptor of a unix connection, so that `close()` finds the record.
#[map]
pub static UNIX_FDS: HashMap<FdKey, u64> = HashMap::with_max_entries(32768, 0);

/// Entry 0: since when the hooks on send and receive are attached, 0 if they are not; set by user space.
#[map]
pub static IO_SINCE: Array<u64> = Array::with_max_entries(1, 0);

/// Entry 0: not 0 once there was a record of a unix connection whose descriptor is not known.
#[map]
pub static ANY_FDLESS: Array<u64> = Array::with_max_entries(1, 0);

/// Connections that were open at the start and whose socket address is not known yet.
#[map]
pub static ADOPTABLE: HashMap<AdoptKey, AdoptState> = HashMap::with_max_entries(16384, 0);

/// Entry 0: how many of these may be left. 0 spares the lookup.
#[map]
pub static ADOPTABLE_LEFT: Array<u64> = Array::with_max_entries(1, 0);

/// Numbers of the attempts that user space found stuck and reported, by socket address.
#[map]
pub static ANNOUNCED: HashMap<u64, u64> = HashMap::with_max_entries(16384, 0);

/// Entry 0: not 0 once there was such an attempt.
#[map]
pub static ANY_ANNOUNCED: Array<u64> = Array::with_max_entries(1, 0);

/// When a packet event without a socket was last sent for a pair of addresses, nanoseconds.
#[map]
pub static PACKETS_SEEN: LruHashMap<[Addr; 2], u64> = LruHashMap::with_max_entries(4096, 0);

/// Packet events without a socket per upstream: the second, and how many in it. Those of addresses that nginx connects from
/// stand apart, with another family.
#[map]
pub static PACKET_RATE: LruHashMap<Addr, [u64; 2]> = LruHashMap::with_max_entries(1024, 0);

/// Addresses (with port 0) that nginx connects from.
#[map]
pub static OWN_ADDRESSES: LruHashMap<Addr, u8> = LruHashMap::with_max_entries(256, 0);

/// nginx's ends of connections on which something was retransmitted; the value is the other end, as nginx knows it. A
/// packet that is dropped behind a translation may have kept no more than the one.
#[map]
pub static RETRANSMITTING: LruHashMap<Addr, Addr> = LruHashMap::with_max_entries(4096, 0);

/// Processes that serve an upstream on this host; the value is the process that user space named, from which this one
/// was forked. What does not fit is counted in `LOST_ORIGINS`.
#[map]
pub static ORIGINS: HashMap<u32, u32> = HashMap::with_max_entries(4096, 0);

/// Name servers that nginx was seen to ask, by datagrams, and when one's response was last cut so that nginx asks again over
/// TCP (nanoseconds, 0 for never). One that is forgotten is known again by the next question.
#[map]
pub static RESOLVERS: LruHashMap<NameServer, u64> = LruHashMap::with_max_entries(256, 0);

/// Entry 0: not 0 once there is one.
#[map]
pub static RESOLVING: Array<u64> = Array::with_max_entries(1, 0);

/// By place with a stand-in: where the arguments lie of events that the first program had and of which the stand-in has
/// not heard yet. One, and those that were interrupted between the two.
#[map]
pub static TAKEN: PerCpuArray<[u64; 4]> = PerCpuArray::with_max_entries(5, 0);

/// Since when the hooks on send and receive are attached; 0 if they are not.
#[inline(always)]
pub fn io_since() -> u64 {
    IO_SINCE.get(0).copied().unwrap_or(0)
}

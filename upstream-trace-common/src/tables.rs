//! Values and keys of the maps beside the records.

use crate::{Addr, LATENCY_BUCKETS, UPSTREAMS, UnixPath, WORKER_PLACES};

/// A `connect()` between its entry and its return. A worker connects from one thread only.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct InflightConnect {
    /// When it was called, nanoseconds of `CLOCK_MONOTONIC`; 0 if none is in flight.
    pub at_ns: u64,
    /// The address, in the memory of the process.
    pub address: u64,
    /// Length of that address in bytes.
    pub len: u32,
    /// Descriptor, -1 if a function of the kernel was seen instead of the system call.
    pub fd: i32,
    /// Kernel address of the `struct socket`, 0 for a system call; if there is one the address is the kernel's, too.
    pub socket: u64,
}

/// A call of a kernel function that sends or receives, between its entry and its return.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct InflightIo {
    /// The socket, 0 if no call is in flight.
    pub sk: u64,
    /// `MSG_PEEK` and others: the fourth argument.
    pub flags: u64,
    /// The fifth argument, which has the flags in `tcp_recvmsg` before 5.19.
    pub fifth: u64,
}

/// The attempt that failed last in a process: the next attempt of the same event-loop iteration retries it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct RetryCandidate {
    /// The attempt, 0 if nginx has since turned to a client.
    pub id: u64,
    /// When it failed, nanoseconds of `CLOCK_MONOTONIC`.
    pub failed_ns: u64,
    /// Client of that attempt, 0 if it is not known.
    pub client: u64,
    /// See [`crate::Record::client_key`].
    pub client_key: u64,
}

/// What is kept per watched process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Worker {
    /// Client socket of the request that the process is handling.
    pub client: u64,
    /// See [`crate::Record::client_key`].
    pub client_key: u64,
    /// When that client last spoke, nanoseconds of `CLOCK_MONOTONIC`.
    pub client_ns: u64,
    /// What the next attempt may retry.
    pub retry_candidate: RetryCandidate,
    /// Client socket of a record whose disposition is deferred until it is known whether nginx closes this client's
    /// connection; 0 if there is none.
    pub deferred_client: u64,
    /// When it was deferred, nanoseconds of `CLOCK_MONOTONIC`.
    pub deferred_ns: u64,
    /// Socket for whose record there was no room when it began to connect; 0 if there is none.
    pub unrecorded: u64,
    /// 1 for a master, which makes no upstream connections.
    pub master: u32,
    /// Network namespace of its sockets: its inode number, 0 until there was one.
    pub netns: u32,
    /// IPv4 address that it last connected from, as in the packet; 0 if that is not known.
    pub own_ip: u32,
    /// The process; 0 if nothing was ever kept at this place, [`Worker::GONE`] if nothing is any more.
    pub tgid: u32,
    /// The `connect()` in flight.
    pub inflight_connect: InflightConnect,
    /// The send or receive in flight, where functions are watched by kprobes.
    pub inflight_io: InflightIo,
}

impl Worker {
    /// At a place that was left: a process may still be at its second place because of who was here.
    pub const GONE: u32 = u32::MAX;

    /// Where a process may be in the table: at the first place, or at the second if that is taken.
    #[must_use]
    #[inline(always)]
    pub const fn places(tgid: u32) -> [u32; 2] {
        const _: () = assert!(WORKER_PLACES == 1 << 12);
        [tgid & (WORKER_PLACES - 1), tgid.wrapping_mul(0x9e37_79b1) >> 20]
    }

    /// A process of which nothing is known.
    // SAFETY: integers only.
    pub const ZERO: Self = unsafe { core::mem::zeroed() };
}

/// Counters per upstream address. Latencies by [`crate::bucket`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct UpstreamCounters {
    /// Connections begun.
    pub attempts: u64,
    /// Handshakes that finished.
    pub established: u64,
    /// Requests sent.
    pub requests: u64,
    /// Answers begun.
    pub answers: u64,
    /// When a handshake last finished.
    pub last_established_ns: u64,
    /// When an answer last began.
    pub last_answer_ns: u64,
    /// Time to connect.
    pub connect: [u32; LATENCY_BUCKETS],
    /// Time from the request's first byte to the answer's first byte.
    pub first_byte: [u32; LATENCY_BUCKETS],
}

impl UpstreamCounters {
    /// Nothing counted.
    // SAFETY: integers and arrays of integers only.
    pub const ZERO: Self = unsafe { core::mem::zeroed() };

    /// Bytes that the counters of all upstreams may take.
    pub const MEMORY: usize = 32 << 20;
    /// Upstreams that are counted however much that takes.
    pub const LEAST: u32 = 128;

    /// How many upstreams are counted with so many possible processors: each counts for itself, so that none takes
    /// memory from another one at each request.
    #[must_use]
    pub fn room(processors: usize) -> u32 {
        let each = size_of::<Self>() * processors.max(1);
        u32::try_from(Self::MEMORY / each).unwrap_or(u32::MAX).clamp(Self::LEAST, UPSTREAMS)
    }

    /// Adds what was counted elsewhere, or before.
    pub fn add(&mut self, other: &Self) {
        self.attempts = self.attempts.wrapping_add(other.attempts);
        self.established = self.established.wrapping_add(other.established);
        self.requests = self.requests.wrapping_add(other.requests);
        self.answers = self.answers.wrapping_add(other.answers);
        self.last_established_ns = self.last_established_ns.max(other.last_established_ns);
        self.last_answer_ns = self.last_answer_ns.max(other.last_answer_ns);
        for (sum, count) in self.connect.iter_mut().zip(&other.connect) {
            *sum = sum.wrapping_add(*count);
        }
        for (sum, count) in self.first_byte.iter_mut().zip(&other.first_byte) {
            *sum = sum.wrapping_add(*count);
        }
    }
}

/// Addresses of a connection that was open before the program started, by which its record is adopted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AdoptKey {
    /// nginx's side.
    pub local: Addr,
    /// The upstream.
    pub remote: Addr,
    /// Inode number of the network namespace.
    pub netns: u32,
}

/// What user space knew about such a connection when it looked.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct AdoptState {
    /// Number of the attempt.
    pub id: u64,
    /// When the unanswered request was sent, 0 if none is outstanding.
    pub request_ns: u64,
    /// When bytes last arrived, 0 if never.
    pub last_recv_ns: u64,
    /// When `connect()` was called, as far as it is known.
    pub born_ns: u64,
    /// Bytes that nginx had written by then, the SYN counted.
    pub written: u64,
    /// Bytes that had arrived by then, a FIN counted.
    pub received: u64,
    /// The worker.
    pub tgid: u32,
    /// 1 if the connection was reported to be in trouble.
    pub announced: u32,
}

/// A function of the kernel that drops packets for one reason only; for kernels that give no reasons.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropPlace {
    /// Address of its first byte; 0 if the kernel has no such function.
    pub begin: u64,
    /// One past its last byte.
    pub end: u64,
    /// A number of our own in place of the kernel's reason.
    pub reason: u64,
}

/// A descriptor of a watched process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FdKey {
    /// The process.
    pub tgid: u32,
    /// The descriptor.
    pub fd: i32,
}

/// A name server as one network namespace sees it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NameServer {
    /// Address and port.
    pub addr: Addr,
    /// Inode number of the network namespace.
    pub netns: u32,
}

impl Addr {
    /// The key under which attempts to the unix path with this number are counted.
    #[must_use]
    pub const fn of_path(id: u32) -> Self {
        let [a, b, c, d] = id.to_ne_bytes();
        Self { ip: [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], port: 0, family: 1 }
    }
}

impl Addr {
    /// The number of the unix path, if it is the key of one.
    #[must_use]
    pub const fn path_id(&self) -> Option<u32> {
        let [a, b, c, d, ..] = self.ip;
        if self.family == 1 { Some(u32::from_ne_bytes([a, b, c, d])) } else { None }
    }
}

impl UnixPath {
    /// The bytes that count.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let len = if (self.len as usize) < self.bytes.len() { self.len as usize } else { self.bytes.len() };
        self.bytes.split_at(len).0
    }
}

const _: () = {
    assert!(size_of::<Worker>() == 152);
    assert!(size_of::<UpstreamCounters>() == 272);
    assert!(size_of::<AdoptKey>() == 44);
    assert!(size_of::<AdoptState>() == 56);
};

/// Size of the set of drop reasons that are told of.
pub const DROP_BITS: u32 = 256;

/// In that set, where the reasons of queueing disciplines begin.
const QUEUEING_AT: u32 = 224;

/// Place of a drop reason in the set; [`DROP_BITS`] if it has none. Reasons of queueing disciplines are a list of their own
/// from 7.1 on, whose numbers begin at `queueing`; 0 if this kernel has none.
#[must_use]
#[inline(always)]
pub const fn drop_bit(reason: u32, queueing: u32) -> u32 {
    let (list, number) = (reason & !0xffff, reason & 0xffff);
    if reason < QUEUEING_AT {
        reason
    } else if queueing != 0 && list == queueing && number < DROP_BITS - QUEUEING_AT {
        QUEUEING_AT + number
    } else {
        DROP_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_all_processors_take_a_bounded_memory() {
        let rooms = [0, 1, 64, 120, 240, 512, 8192].map(UpstreamCounters::room);
        assert_eq!(rooms, [1024, 1024, 1024, 1024, 514, 240, 128]);
        for processors in 1..=960 {
            let each = size_of::<UpstreamCounters>() * processors;
            assert!(UpstreamCounters::room(processors) as usize * each <= UpstreamCounters::MEMORY);
        }
    }

    #[test]
    fn places_of_drop_reasons() {
        const QUEUEING: u32 = 3 << 16;
        for (reason, queueing, bit) in [
            (0, QUEUEING, 0),
            (223, QUEUEING, 223),
            (224, QUEUEING, DROP_BITS),
            (QUEUEING, QUEUEING, 224),
            (QUEUEING + 9, QUEUEING, 233),
            (QUEUEING + 31, QUEUEING, 255),
            (QUEUEING + 32, QUEUEING, DROP_BITS),
            ((2 << 16) + 9, QUEUEING, DROP_BITS),
            (QUEUEING + 9, 0, DROP_BITS),
            (u32::MAX, QUEUEING, DROP_BITS),
        ] {
            assert_eq!(drop_bit(reason, queueing), bit, "{reason:#x}");
        }
    }
}

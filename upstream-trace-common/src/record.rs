//! The flight record: what the kernel side notes about one connection.

use crate::{Addr, EventHeader, LATENCY_BUCKETS, UnixPath};

/// Steps kept per record; later ones are counted in `trail_lost`.
pub const TRAIL: usize = 16;

/// Bits of [`Record::flags`].
pub mod flags {
    /// A unix socket; no TCP numbers, no states.
    pub const UNIX: u32 = 1;
    /// Open before the program started; taken over by its addresses.
    pub const ADOPTED: u32 = 1 << 1;
    /// The handshake finished.
    pub const ESTABLISHED: u32 = 1 << 2;
    /// The origin's FIN arrived.
    pub const FIN_RECEIVED: u32 = 1 << 3;
    /// A RST arrived.
    pub const RESET_RECEIVED: u32 = 1 << 4;
    /// nginx sent (part of) the request after the FIN had arrived.
    pub const SENT_AFTER_FIN: u32 = 1 << 5;
    /// Bytes were not acknowledged yet when the FIN or RST arrived.
    pub const UNACKED_AT_END: u32 = 1 << 6;
    /// The last `send` of nginx returned `EAGAIN`.
    pub const SEND_BLOCKED: u32 = 1 << 7;
    /// A `send` of nginx returned an error.
    pub const SEND_ERROR: u32 = 1 << 8;
    /// A `recv` of nginx returned an error other than `EAGAIN` (and was no idle probe).
    pub const RECV_ERROR: u32 = 1 << 9;
    /// nginx read the end of the stream (and it was no idle probe).
    pub const READ_EOF: u32 = 1 << 10;
    /// nginx probed the connection with `MSG_PEEK` while it lay in its pool, and learnt that it was over.
    pub const IDLE_PROBE: u32 = 1 << 11;
    /// A packet of this connection was dropped on this host.
    pub const DROPPED: u32 = 1 << 12;
    /// A segment was retransmitted since the current request began (or since the SYN).
    pub const RETRANSMITTED: u32 = 1 << 13;
    /// An ICMP error was queued on the socket.
    pub const ICMP: u32 = 1 << 14;
    /// A [`crate::EventKind::Trouble`] was sent for this attempt.
    pub const TROUBLE_SENT: u32 = 1 << 15;
    /// When nginx closed, the client's connection was already closed or aborted, or had just spoken.
    pub const CLIENT_GONE: u32 = 1 << 16;
    /// nginx closed while its own process was exiting.
    pub const WORKER_EXITING: u32 = 1 << 17;
    /// The socket died in `connect()` because no local port was free.
    pub const NO_LOCAL_PORT: u32 = 1 << 18;
    /// The state tracepoints, not `tcp_connect`, saw the birth.
    pub const BORN_BY_STATE: u32 = 1 << 19;
    /// A request is outstanding: sent, and no byte of an answer since.
    pub const OUTSTANDING: u32 = 1 << 20;
    /// nginx closed the client's connection right after this one, in the middle of an answer.
    pub const CLIENT_CUT: u32 = 1 << 21;
    /// The client of the request is known (`client`).
    pub const CLIENT_KNOWN: u32 = 1 << 22;
    /// `sk_err` was 0 again when a reset connection was destroyed: `getsockopt(SO_ERROR)` had fetched it.
    pub const ERROR_FETCHED: u32 = 1 << 23;
    /// A zero window was advertised by the origin when the attempt ended.
    pub const ZERO_WINDOW: u32 = 1 << 24;
    /// A second SYN-ACK arrived on the established socket: the origin never took our ACK into its accept queue.
    pub const SYNACK_AGAIN: u32 = 1 << 25;
}

/// How an attempt ended.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has not.
    Open = 0,
    /// nginx called `close()`.
    Closed = 1,
    /// The socket was destroyed after an error had closed it.
    Destroyed = 2,
    /// The socket's memory was used for a new connection before its end was seen.
    Reborn = 3,
    /// User space found that the descriptor no longer exists.
    Vanished = 4,
}

/// What a [`Step`] is.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// Unused entry.
    None = 0,
    /// `connect()` put the socket into `SYN_SENT`.
    SynSent = 1,
    /// A segment was retransmitted; `arg` is the negative errno of the attempt (0 when it left this host).
    Retransmit = 2,
    /// The handshake finished.
    Established = 3,
    /// nginx sent the first bytes of a request; `arg` is how many.
    Request = 4,
    /// nginx read the first bytes of the answer; `arg` is how many.
    Response = 5,
    /// The origin's FIN arrived; `arg` is the number of our bytes that it had not acknowledged.
    Fin = 6,
    /// A RST arrived; `arg` is the number of our bytes that it had not acknowledged.
    Reset = 7,
    /// A packet was dropped; `arg` is the `skb_drop_reason`.
    Dropped = 8,
    /// An ICMP error; `arg` is `type << 8 | code`.
    Icmp = 9,
    /// The socket got an error; `arg` is the errno.
    Error = 10,
    /// `send()` returned `EAGAIN`: the send buffer is full.
    SendBlocked = 11,
    /// `send()` failed; `arg` is the errno.
    SendError = 12,
    /// `recv()` failed; `arg` is the errno.
    RecvError = 13,
    /// nginx read end of stream.
    Eof = 14,
    /// nginx closed the socket.
    Closed = 15,
    /// A second SYN-ACK arrived on an established connection.
    SynAckAgain = 16,
}

impl StepKind {
    /// The kind with this number; unknown numbers are `None`.
    #[must_use]
    pub const fn from_u8(value: u8) -> Self {
        match value {
            1 => Self::SynSent,
            2 => Self::Retransmit,
            3 => Self::Established,
            4 => Self::Request,
            5 => Self::Response,
            6 => Self::Fin,
            7 => Self::Reset,
            8 => Self::Dropped,
            9 => Self::Icmp,
            10 => Self::Error,
            11 => Self::SendBlocked,
            12 => Self::SendError,
            13 => Self::RecvError,
            14 => Self::Eof,
            15 => Self::Closed,
            16 => Self::SynAckAgain,
            _ => Self::None,
        }
    }
}

/// One entry of a record's trail.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Step {
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// Meaning depends on `kind`.
    pub arg: i32,
    /// A [`StepKind`].
    pub kind: u8,
    /// How often it happened in a row; `at_ns` and `arg` are those of the first time.
    pub count: u8,
    /// Milliseconds from the first to the last time in a row, at most 65,535.
    pub span_ms: u16,
}

/// What the TCP socket itself knows, read when the attempt ends or gets into trouble.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpNumbers {
    /// Bytes sent, retransmissions included.
    pub bytes_sent: u64,
    /// Bytes acknowledged; counts the SYN, and later the FIN, as one byte each.
    pub bytes_acked: u64,
    /// Bytes received in order; counts the peer's FIN as one byte.
    pub bytes_received: u64,
    /// First byte not acknowledged.
    pub snd_una: u32,
    /// Next byte to send.
    pub snd_nxt: u32,
    /// One past the last byte that nginx wrote.
    pub write_seq: u32,
    /// Next byte expected.
    pub rcv_nxt: u32,
    /// Next byte that nginx has not read.
    pub copied_seq: u32,
    /// The origin's receive window, bytes.
    pub snd_wnd: u32,
    /// Smoothed round-trip time, microseconds times 8.
    pub srtt_us: u32,
    /// Segments retransmitted over the connection's life.
    pub total_retrans: u32,
    /// `sk_err`, positive errno.
    pub err: u32,
    /// `sk_err_soft`, positive errno.
    pub err_soft: u32,
    /// Unanswered retransmissions of the current segment.
    pub retransmits: u8,
    /// Unanswered zero-window probes.
    pub probes: u8,
    /// TCP state before the end.
    pub state: u8,
    /// `sk_shutdown`: 3 once the application closed.
    pub shutdown: u8,
    /// Zero.
    pub pad: u32,
}

/// The last ICMP error that was queued on the socket (IPv4 only: IPv6 queues none).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Icmp {
    /// Who sent it, IPv4 in the first four bytes.
    pub from: [u8; 16],
    /// Errno that the kernel made of it.
    pub errno: u32,
    /// Index of the interface it came in by; 1 is loopback.
    pub ifindex: u32,
    /// ICMP type.
    pub kind: u8,
    /// ICMP code.
    pub code: u8,
    /// Remaining hops.
    pub ttl: u8,
    /// 1 if the fields are filled.
    pub present: u8,
    /// Zero.
    pub pad: u32,
}

/// The flight record of one connection.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Filled when the record is sent; zero in the map.
    pub header: EventHeader,
    /// Number of this attempt, unique for a run of the program.
    pub id: u64,
    /// Kernel address of the socket.
    pub sk: u64,
    /// Kernel address of the client's socket whose request this is.
    pub client: u64,
    /// Addresses and ports of the client folded into one number, to notice that `client` was recycled.
    pub client_key: u64,
    /// The failed attempt that this one retries, or 0.
    pub retry_of: u64,
    /// `connect()`.
    pub born_ns: u64,
    /// End of the handshake, 0 if it never ended.
    pub established_ns: u64,
    /// First `send` of the current request, 0 if none.
    pub request_ns: u64,
    /// Last successful `send`.
    pub last_send_ns: u64,
    /// First bytes of the current answer, 0 if none.
    pub first_recv_ns: u64,
    /// Last bytes read by nginx.
    pub last_recv_ns: u64,
    /// Arrival of the origin's FIN.
    pub fin_ns: u64,
    /// Arrival of a RST.
    pub reset_ns: u64,
    /// Bytes of the current request that nginx handed to the kernel.
    pub app_sent: u64,
    /// Bytes of the current answer that nginx read.
    pub app_received: u64,
    /// The worker.
    pub tgid: u32,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// For unix sockets the number of the path, 0 if the table of paths was full. `remote` holds it, too.
    pub path_id: u32,
    /// Bits of [`flags`].
    pub flags: u32,
    /// Requests on this connection so far.
    pub requests: u32,
    /// Result of the last `send`, negative errno or bytes.
    pub last_send: i32,
    /// Result of the last `recv`, negative errno or bytes.
    pub last_recv: i32,
    /// Descriptor, for unix sockets; -1 if not known.
    pub fd: i32,
    /// Packets dropped on this host.
    pub drops: u32,
    /// Retransmissions since the current request began.
    pub retransmits: u32,
    /// Of these, those that this host refused to send (local drop, neighbour not resolved).
    pub retransmits_failed: u32,
    /// An [`End`].
    pub end: u8,
    /// Entries of `trail` in use.
    pub trail_len: u8,
    /// Steps that did not fit.
    pub trail_lost: u16,
    /// nginx's side.
    pub local: Addr,
    /// The upstream.
    pub remote: Addr,
    /// From the socket.
    pub tcp: TcpNumbers,
    /// From the socket's error queue.
    pub icmp: Icmp,
    /// What happened, in order of time, since the connection or the current request began.
    pub trail: [Step; TRAIL],
}

/// What is kept between entry and return of `connect()`. A worker connects from one thread only.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Connecting {
    /// When it was called.
    pub at_ns: u64,
    /// The address, in the memory of the process.
    pub address: u64,
    /// Length of that address.
    pub len: u32,
    /// Descriptor.
    pub fd: i32,
}

/// What is kept per watched process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Worker {
    /// Client socket of the request that the process is handling.
    pub client: u64,
    /// See [`Record::client_key`].
    pub client_key: u64,
    /// When that client last spoke.
    pub client_ns: u64,
    /// The attempt that failed just now in this process, 0 if nginx has since answered a client.
    pub armed: u64,
    /// When it failed.
    pub armed_ns: u64,
    /// Client of that attempt.
    pub armed_client: u64,
    /// See [`Record::client_key`].
    pub armed_client_key: u64,
    /// Client socket of a record that is parked until it is known whether nginx cuts this client off.
    pub parked_client: u64,
    /// When it was parked.
    pub parked_ns: u64,
    /// 1 for a master, which makes no upstream connections.
    pub master: u32,
    /// Zero.
    pub pad: u32,
    /// The `connect()` that is under way; `at_ns` is 0 if none is.
    pub connecting: Connecting,
}

impl Worker {
    /// Of which nothing is known.
    pub const ZERO: Self = Self {
        client: 0,
        client_key: 0,
        client_ns: 0,
        armed: 0,
        armed_ns: 0,
        armed_client: 0,
        armed_client_key: 0,
        parked_client: 0,
        parked_ns: 0,
        master: 0,
        pad: 0,
        connecting: Connecting { at_ns: 0, address: 0, len: 0, fd: 0 },
    };
}

/// Counters per upstream address. Latencies in microseconds, as powers of two.
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

/// Addresses of a connection that was open before the program started.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SeedKey {
    /// nginx's side.
    pub local: Addr,
    /// The upstream.
    pub remote: Addr,
    /// Inode number of the network namespace.
    pub netns: u32,
}

/// What user space knew about such a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Seed {
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

/// A descriptor of a watched process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FdKey {
    /// The process.
    pub tgid: u32,
    /// The descriptor.
    pub fd: i32,
}

impl Addr {
    /// The key under which attempts to the unix path with this number are counted.
    #[must_use]
    pub const fn of_path(id: u32) -> Self {
        let [a, b, c, d] = id.to_ne_bytes();
        Self { ip: [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], port: 0, family: 1 }
    }
}

impl Step {
    /// Unused entry.
    pub const ZERO: Self = Self { at_ns: 0, arg: 0, kind: 0, count: 0, span_ms: 0 };
}

impl Record {
    /// A record in which nothing has happened.
    pub const ZERO: Self = Self {
        header: EventHeader { now_ns: 0, kind: 0, tgid: 0 },
        id: 0,
        sk: 0,
        client: 0,
        client_key: 0,
        retry_of: 0,
        born_ns: 0,
        established_ns: 0,
        request_ns: 0,
        last_send_ns: 0,
        first_recv_ns: 0,
        last_recv_ns: 0,
        fin_ns: 0,
        reset_ns: 0,
        app_sent: 0,
        app_received: 0,
        tgid: 0,
        netns: 0,
        path_id: 0,
        flags: 0,
        requests: 0,
        last_send: 0,
        last_recv: 0,
        fd: -1,
        drops: 0,
        retransmits: 0,
        retransmits_failed: 0,
        end: End::Open as u8,
        trail_len: 0,
        trail_lost: 0,
        local: Addr { ip: [0; 16], port: 0, family: 0 },
        remote: Addr { ip: [0; 16], port: 0, family: 0 },
        tcp: TcpNumbers {
            bytes_sent: 0,
            bytes_acked: 0,
            bytes_received: 0,
            snd_una: 0,
            snd_nxt: 0,
            write_seq: 0,
            rcv_nxt: 0,
            copied_seq: 0,
            snd_wnd: 0,
            srtt_us: 0,
            total_retrans: 0,
            err: 0,
            err_soft: 0,
            retransmits: 0,
            probes: 0,
            state: 0,
            shutdown: 0,
            pad: 0,
        },
        icmp: Icmp { from: [0; 16], errno: 0, ifindex: 0, kind: 0, code: 0, ttl: 0, present: 0, pad: 0 },
        trail: [Step::ZERO; TRAIL],
    };
}

impl UpstreamCounters {
    /// Nothing counted.
    pub const ZERO: Self = Self {
        attempts: 0,
        established: 0,
        requests: 0,
        answers: 0,
        last_established_ns: 0,
        last_answer_ns: 0,
        connect: [0; LATENCY_BUCKETS],
        first_byte: [0; LATENCY_BUCKETS],
    };
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
    assert!(size_of::<Step>() == 16);
    assert!(size_of::<TcpNumbers>() == 72);
    assert!(size_of::<Icmp>() == 32);
    assert!(size_of::<Record>() == 584);
    assert!(size_of::<Worker>() == 104);
    assert!(size_of::<UpstreamCounters>() == 272);
    assert!(size_of::<SeedKey>() == 44);
    assert!(size_of::<Seed>() == 56);
};

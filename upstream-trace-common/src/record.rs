//! The flight record: what the kernel side notes about one connection.

use core::mem::offset_of;

use crate::{Addr, EventHeader, Step, TRAIL};

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
    /// `sk_shutdown`: 3 once the application closed.
    pub shutdown: u8,
    /// 1 if nginx's side had no room for data: it had offered a window of zero.
    pub no_room: u8,
    /// Ticks since data last arrived, at most [`Self::LONG`]; that as well if it is not known.
    pub idle_ticks: u16,
    /// Zero.
    pub pad: u16,
}

impl TcpNumbers {
    /// So many ticks, or more.
    pub const LONG: u16 = u16::MAX;
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
///
/// The order of the fields is for the caches of processors: the FIN of an origin on this host arrives on another processor
/// than the one on which nginx opens and closes the connection. What a FIN needs, from `flags` to `pad` and the first four
/// steps, lies in two lines of 64 bytes, and the rest in others. In the kernel's hash table 56 bytes stand in front of a
/// record: `struct htab_elem` has 48 (6.18), and the key, a socket's address, 8.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Filled when the record is sent; zero in the map.
    pub header: EventHeader,
    /// Bits of [`crate::flags`].
    pub flags: u32,
    /// Requests on this connection so far.
    pub requests: u32,
    /// End of the handshake, 0 if it never ended.
    pub established_ns: u64,
    /// Arrival of the origin's FIN.
    pub fin_ns: u64,
    /// Since when what nginx sends and receives on this connection is watched without a gap: what `IO_SINCE` was when it
    /// began, or when something was first seen. 0 if it is not.
    pub io_since: u64,
    /// Kernel address of the client's socket whose request this is.
    pub client: u64,
    /// With [`crate::flags::DECIDED`]: one past the last byte that nginx had written when the FIN arrived.
    pub written_at_fin: u32,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// An [`crate::End`].
    pub end: u8,
    /// Entries of `trail` in use.
    pub trail_len: u8,
    /// Steps that did not fit.
    pub trail_lost: u16,
    /// A [`crate::Disposition`]; of use to the kernel side only, while it ends the record.
    pub disposition: u8,
    /// Zero.
    pub pad: [u8; 3],
    /// What happened, in order of time, since the connection or the current request began.
    pub trail: [Step; TRAIL],
    /// `connect()`.
    pub born_ns: u64,
    /// Number of this attempt, unique for a run of the program.
    pub id: u64,
    /// Kernel address of the socket.
    pub sk: u64,
    /// Addresses and ports of the client folded into one number, to notice that `client` was recycled.
    pub client_key: u64,
    /// The failed attempt that this one retries, or 0.
    pub retry_of: u64,
    /// First `send` of the current request, 0 if none.
    pub request_ns: u64,
    /// Last successful `send`.
    pub last_send_ns: u64,
    /// First bytes of the current answer, 0 if none.
    pub first_recv_ns: u64,
    /// Last bytes read by nginx.
    pub last_recv_ns: u64,
    /// Arrival of a RST.
    pub reset_ns: u64,
    /// Bytes of the current request that nginx handed to the kernel.
    pub app_sent: u64,
    /// Bytes of the current answer that nginx read.
    pub app_received: u64,
    /// For unix sockets whose birth no hook saw: the inode number of the socket, which is not used twice, so that it
    /// tells one socket from the next at the same kernel address. 0 if not known.
    pub sock_inode: u64,
    /// The worker.
    pub tgid: u32,
    /// For unix sockets the number of the path, 0 if the table of paths was full. `remote` holds it, too.
    pub path_id: u32,
    /// Descriptor, for unix sockets; -1 if not known.
    pub fd: i32,
    /// Packets dropped on this host.
    pub drops: u32,
    /// Retransmissions since the current request began.
    pub retransmits: u32,
    /// Of these, those that this host refused to send (local drop, neighbour not resolved).
    pub retransmits_failed: u32,
    /// nginx's side.
    pub local: Addr,
    /// The upstream.
    pub remote: Addr,
    /// From the socket.
    pub tcp: TcpNumbers,
    /// From the socket's error queue.
    pub icmp: Icmp,
    /// First bytes of the current answer, filled up with zeros; of TLS only what answers the handshake with an alert or
    /// with something that is no TLS.
    pub head: [u8; HEAD],
    /// Zero. Makes an entry of the hash table a whole number of cache lines.
    pub spare: [u64; 3],
}

/// Bytes in front of a record in the kernel's hash table.
const IN_FRONT: usize = 56;

/// Bytes kept of the start of a response: a status line, or the one in a `FastCGI` record.
pub const HEAD: usize = 24;

impl TcpNumbers {
    /// Bytes that arrived and that nginx has not read. The peer's FIN, if it has arrived, takes a sequence number and is
    /// never read.
    #[must_use]
    #[inline(always)]
    pub const fn unread(&self, fin_received: bool) -> u32 {
        self.rcv_nxt.wrapping_sub(self.copied_seq).saturating_sub(fin_received as u32)
    }
}

impl Record {
    /// A record in which nothing has happened.
    pub const ZERO: Self = {
        // SAFETY: integers and arrays of integers only.
        let mut zero: Self = unsafe { core::mem::zeroed() };
        zero.fd = -1;
        zero
    };
}

const _: () = {
    assert!(size_of::<TcpNumbers>() == 72);
    assert!(size_of::<Icmp>() == 32);
    assert!(size_of::<Record>() == 648);
    // Entries of the hash table, and the parts of a record, begin with a cache line.
    assert!((IN_FRONT + size_of::<Record>()).is_multiple_of(64));
    assert!((IN_FRONT + offset_of!(Record, trail)).is_multiple_of(64));
    assert!((IN_FRONT + offset_of!(Record, born_ns)).is_multiple_of(64));
};

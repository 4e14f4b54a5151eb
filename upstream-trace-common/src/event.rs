//! The events of the ring buffer. Each begins with an [`EventHeader`].

use crate::numbered::numbered;

/// Longest path of a unix socket, `sockaddr_un.sun_path`.
pub const UNIX_PATH: usize = 108;

/// Size of the ring buffer in bytes, if the user asks for no other.
pub const RING_BYTES: u32 = 2 << 20;

/// Frames kept of the kernel stack at a packet event; the function that freed the packet comes first.
pub const PACKET_STACK: usize = 16;

/// Bytes kept of a message from or to a name server. Over UDP there are 512 at most, since nginx announces no more.
pub const DNS_PAYLOAD: usize = 512;

/// Bytes kept of a line of error.log: nginx cuts its own at as many.
pub const LOG_TEXT: usize = 2048;

numbered! {
    /// What an event of the ring buffer is; the numbers are part of the ABI. A kind is one line here and one in the
    /// decoder of the program.
    pub enum EventKind: u32, from_u32 {
        /// A [`crate::Record`] whose attempt has ended.
        End = 1,
        /// A [`crate::Record`] at its first sign of trouble; the attempt goes on.
        Trouble = 2,
        /// A [`PacketEvent`]: the kernel dropped a packet of an upstream connection.
        Drop = 3,
        /// A [`PacketEvent`]: this kernel sent a RST that belongs to an upstream address.
        ResetSent = 4,
        /// A [`ConnectFailed`]: `connect()` itself returned an error.
        ConnectFailed = 5,
        /// A [`ProcessEvent`]: a watched process forked.
        Fork = 6,
        /// A [`ProcessEvent`]: a watched process called `execve`.
        Exec = 7,
        /// A [`ProcessEvent`]: a watched process ended.
        Exit = 8,
        /// A [`RetryEvent`]: nginx went on to another attempt straight after a failed one.
        RetryStarted = 9,
        /// A [`RetryEvent`]: that other attempt got the first bytes of a response.
        RetryAnswered = 10,
        /// An [`AttemptEvent`]: the response to an attempt that was reported to be in trouble has begun.
        Answered = 11,
        /// An [`AttemptEvent`]: straight after nginx gave the attempt up, it closed a client that had gone away. Only for
        /// attempts whose client is not known.
        ClientGone = 12,
        /// An [`OriginExit`]: a process that serves an upstream on this host ended.
        OriginExit = 13,
        /// A [`crate::Record`] whose response begins with a status of 500 to 599; the connection goes on.
        ErrorStatus = 14,
        /// A [`DnsMessage`]: a watched process sent a query to a name server, or received from one.
        Dns = 15,
        /// An [`OriginClosed`]: a process of this kernel ended its side of a connection to an upstream.
        OriginClosed = 16,
        /// A [`LogWrite`]: a worker wrote a line of error.log that is read nowhere else.
        LogWrite = 17,
    }
}

/// The first bytes of every event.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct EventHeader {
    /// When it happened: `bpf_ktime_get_ns`, nanoseconds of `CLOCK_MONOTONIC`.
    pub now_ns: u64,
    /// An [`EventKind`].
    pub kind: u32,
    /// The process that was current; only meaningful for events of process context.
    pub tgid: u32,
}

/// An address and port. IPv4 addresses fill the first four bytes. `family` is `AF_INET`, `AF_INET6`, `AF_UNIX` or 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Addr {
    /// Network byte order, as in the packet.
    pub ip: [u8; 16],
    /// Host byte order.
    pub port: u16,
    /// `AF_INET`, `AF_INET6`, `AF_UNIX`, 0 for not known.
    pub family: u16,
}

/// A unix socket path as it was passed to `connect()`: `len` bytes, not terminated. Abstract names begin with NUL.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct UnixPath {
    /// The path's bytes.
    pub bytes: [u8; UNIX_PATH],
    /// How many of them count, 0 to 108.
    pub len: u16,
    /// Zero; keeps the structure free of padding, since it is a hash key.
    pub pad: u16,
}

/// A packet that was dropped, or a RST that was sent, on this kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PacketEvent {
    /// Common part.
    pub header: EventHeader,
    /// The record it belongs to, 0 if the packet had no socket.
    pub id: u64,
    /// Kernel address of the code that dropped it.
    pub location: u64,
    /// `enum skb_drop_reason` or `enum sk_rst_reason` of the running kernel; 0 if that kernel gives none.
    pub reason: u32,
    /// Inode number of the network namespace in which it happened, 0 if not known.
    pub netns: u32,
    /// Sender of the packet; port 0 if the packet could not be read.
    pub src: Addr,
    /// Receiver of the packet.
    pub dst: Addr,
    /// Sender and receiver as the connection was begun, if the packet is translated on its way; else port 0. Of a reset only
    /// the receiver, if the packet that it answers came for an address that nginx connects from, and from no upstream.
    pub asked: [Addr; 2],
    /// TCP flags of the packet, the low byte of the header's flags.
    pub tcp_flags: u8,
    /// 1 if `stack` was filled.
    pub has_stack: u8,
    /// State of the socket when it happened (`TCP_SYN_SENT` ...), 0 if none.
    pub state: u8,
    /// Zero.
    pub pad: u8,
    /// Zero.
    pub pad2: u32,
    /// Its sequence number and its acknowledgement number, as they stand in the packet; of a reset by an origin's socket those
    /// of the last packet that came for it. 0 if the packet could not be read.
    pub numbers: [[u8; 4]; 2],
    /// Return addresses, innermost first, 0 after the last.
    pub stack: [u64; PACKET_STACK],
}

/// `connect()` returned an error other than `EINPROGRESS`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ConnectFailed {
    /// Common part.
    pub header: EventHeader,
    /// Number of this attempt; shares the space of record ids.
    pub id: u64,
    /// The attempt that this one retries, or 0.
    pub retry_of: u64,
    /// Nanoseconds between entry and return of `connect()`.
    pub took_ns: u64,
    /// Positive errno.
    pub errno: u32,
    /// Inode number of the network namespace, 0 if not known.
    pub netns: u32,
    /// Where to, for internet sockets.
    pub remote: Addr,
    /// Where to, for unix sockets.
    pub path: UnixPath,
    /// 1 if the socket had gone to `SYN_SENT` first (then only the local port was missing).
    pub had_syn_sent: u32,
}

/// A fork, exec or exit of a watched process.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ProcessEvent {
    /// Common part; `tgid` is the process (for a fork, the parent).
    pub header: EventHeader,
    /// The new process of a fork, otherwise 0.
    pub child: u32,
    /// `task_struct.exit_code` of an exit: signal in the low 7 bits, status in bits 8 to 15.
    pub exit_code: u32,
}

/// The end of a process that serves an upstream on this host. Its connections are closed straight afterwards.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OriginExit {
    /// Common part; `tgid` is the process.
    pub header: EventHeader,
    /// The process that user space named: this one, or the one that forked it.
    pub origin: u32,
    /// As in [`ProcessEvent`].
    pub exit_code: u32,
    /// Name of the process, filled up with zeros.
    pub comm: [u8; 16],
    /// 1 if the kernel had chosen it to free memory, 0 if not, 2 if that cannot be read.
    pub oom: u32,
    /// Zero.
    pub pad: u32,
}

/// A process ended its side of a connection that nginx has to an upstream on this kernel, in whatever network namespace.
/// Its FIN or RST leaves straight afterwards.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OriginClosed {
    /// Common part; `tgid` is the process.
    pub header: EventHeader,
    /// The origin's end, as its own socket has it.
    pub local: Addr,
    /// nginx's end, as the origin's socket has it.
    pub peer: Addr,
    /// Name of the process, filled up with zeros.
    pub comm: [u8; 16],
    /// As in [`ProcessEvent`]; 0 of a process that goes on.
    pub exit_code: u32,
    /// As in [`OriginExit`]; 0 of a process that goes on.
    pub oom: u32,
    /// Inode number of the network namespace of the origin's socket.
    pub netns: u32,
    /// 1 if the process was exiting: the kernel closed the socket for it.
    pub exiting: u8,
    /// 1 if `exit_code` could be read.
    pub has_code: u8,
    /// 1 if `received` could be read.
    pub has_received: u8,
    /// Zero.
    pub pad: u8,
    /// Sequence number of the next byte that the origin expected of nginx.
    pub received: u32,
    /// Zero.
    pub pad2: u32,
}

/// A message between a watched process and a name server.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DnsMessage {
    /// Common part.
    pub header: EventHeader,
    /// Kernel address of the socket.
    pub sk: u64,
    /// Inode number of the network namespace, 0 if not known.
    pub netns: u32,
    /// Bytes, or negative errno.
    pub result: i32,
    /// The name server.
    pub server: Addr,
    /// Bits of [`DnsMessage::SENT`] and the following.
    pub how: u16,
    /// How many bytes of `payload` count.
    pub len: u16,
    /// Its first bytes; over TCP with the length in front.
    pub payload: [u8; DNS_PAYLOAD],
}

impl DnsMessage {
    /// nginx sent it; without this bit nginx received it.
    pub const SENT: u16 = 1;
    /// Over TCP.
    pub const TCP: u16 = 2;
    /// nginx had just read from a client: it resolves a name for that client's request.
    pub const FOR_CLIENT: u16 = 4;
}

/// What a worker wrote that looks like a line of error.log.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LogWrite {
    /// Common part.
    pub header: EventHeader,
    /// The descriptor that it wrote to.
    pub fd: i32,
    /// How many bytes of `text` count.
    pub len: u16,
    /// Zero.
    pub pad: u16,
    /// The line, or a datagram of syslog with one.
    pub text: [u8; LOG_TEXT],
}

/// Two attempts of one request.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RetryEvent {
    /// Common part.
    pub header: EventHeader,
    /// The attempt that failed.
    pub failed: u64,
    /// The attempt that followed.
    pub retry: u64,
    /// Where that one goes; for unix sockets the number of the path.
    pub remote: Addr,
    /// Zero.
    pub pad: u32,
}

/// Something happened to an attempt, of which only its number is needed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AttemptEvent {
    /// Common part.
    pub header: EventHeader,
    /// The attempt.
    pub id: u64,
}

const _: () = {
    assert!(size_of::<EventHeader>() == 16);
    assert!(size_of::<Addr>() == 20);
    assert!(size_of::<UnixPath>() == 112);
    assert!(size_of::<PacketEvent>() == 264);
    assert!(size_of::<ConnectFailed>() == 184);
    assert!(size_of::<ProcessEvent>() == 24);
    assert!(size_of::<OriginExit>() == 48);
    assert!(size_of::<OriginClosed>() == 96);
    assert!(size_of::<RetryEvent>() == 56);
    assert!(size_of::<AttemptEvent>() == 24);
    assert!(size_of::<DnsMessage>() == 568);
    assert!(size_of::<LogWrite>() == 2072);
};

//! Bits of [`crate::Record::flags`].

/// A unix socket; no TCP numbers, no states.
pub const UNIX: u32 = 1;
/// Open before the program started; adopted by its addresses.
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
/// nginx speaks TLS on it.
pub const TLS: u32 = 1 << 26;
/// The TLS handshake is not over.
pub const TLS_HANDSHAKE: u32 = 1 << 27;
/// What nginx sent and received was not watched, or not all the time: whether a request is under way was read from the
/// socket ([`crate::SocketFacts`]).
pub const BY_SOCKET: u32 = 1 << 28;
/// The socket leaves it open whether a request was under way: bytes that are no request look the same.
pub const IN_DOUBT: u32 = 1 << 29;
/// [`BY_SOCKET`] was decided when the FIN or the RST arrived.
pub const DECIDED: u32 = 1 << 30;
/// With [`BY_SOCKET`]: nothing had arrived for a while.
pub const SILENT: u32 = 1 << 31;

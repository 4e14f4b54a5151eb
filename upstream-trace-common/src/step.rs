//! The trail of a record: what happened, in order of time, and how it ended.

use crate::numbered::numbered;

/// Steps kept per record; later ones are counted in `trail_lost`.
pub const TRAIL: usize = 16;

numbered! {
    /// How an attempt ended.
    pub enum End: u8, from_u8 {
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
}

numbered! {
    /// What a [`Step`] is. A kind is one line here and one in the decoder of the program.
    pub enum StepKind: u8, from_u8 {
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
        /// nginx began the TLS handshake; `arg` is the number of bytes.
        TlsHello = 17,
        /// Bytes came in during the TLS handshake; `arg` is how many.
        TlsAnswer = 18,
        /// The origin sent a TLS alert; `arg` is its number, -1 if it is encrypted.
        TlsAlert = 19,
        /// nginx sent a TLS alert, in the handshake or to end the connection; `arg` is its number, -1 if it is encrypted.
        TlsRefused = 20,
        /// The TLS handshake is over: nginx sends application data.
        TlsDone = 21,
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
    /// A [`StepKind`]; 0 in an unused entry.
    pub kind: u8,
    /// How often it happened in a row; `at_ns` and `arg` are those of the first time.
    pub count: u8,
    /// Milliseconds from the first to the last time in a row, at most 65,535.
    pub span_ms: u16,
}

impl Step {
    /// Unused entry.
    pub const ZERO: Self = Self { at_ns: 0, arg: 0, kind: 0, count: 0, span_ms: 0 };
}

const _: () = {
    assert!(size_of::<Step>() == 16);
};

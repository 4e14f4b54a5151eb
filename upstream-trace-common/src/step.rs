//! The trail of a record: what happened, in order of time, and how it ended.

/// Steps kept per record; later ones are counted in `trail_lost`.
pub const TRAIL: usize = 16;

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
            17 => Self::TlsHello,
            18 => Self::TlsAnswer,
            19 => Self::TlsAlert,
            20 => Self::TlsRefused,
            21 => Self::TlsDone,
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

impl Step {
    /// Unused entry.
    pub const ZERO: Self = Self { at_ns: 0, arg: 0, kind: 0, count: 0, span_ms: 0 };
}

const _: () = {
    assert!(size_of::<Step>() == 16);
};

//! Why a kernel sends a RST: names of `enum sk_rst_reason` (6.10 and later) without their prefix.

/// What such a RST says of the side that sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetReason {
    /// Nobody listens there, or the connection is not known any more.
    Refused,
    /// The packet does not fit the connection: it is of an older one, or forged.
    OutOfPlace,
    /// The application closed with data unread, or asked for a RST (`SO_LINGER` 0, `disconnect`).
    Application,
    /// The kernel ran out of memory.
    Memory,
    /// The other side was silent for too long (TCP keepalive).
    Silence,
    /// Multipath TCP ended one of its paths.
    Subflow,
    /// The kernel names no reason.
    Unnamed,
}

/// All of them.
const REASONS: &[(&str, ResetReason)] = &[
    ("NOT_SPECIFIED", ResetReason::Unnamed),
    ("ERROR", ResetReason::Unnamed),
    ("NO_SOCKET", ResetReason::Refused),
    ("TCP_INVALID_ACK_SEQUENCE", ResetReason::OutOfPlace),
    ("TCP_RFC7323_PAWS", ResetReason::OutOfPlace),
    ("TCP_TOO_OLD_ACK", ResetReason::OutOfPlace),
    ("TCP_ACK_UNSENT_DATA", ResetReason::OutOfPlace),
    ("TCP_FLAGS", ResetReason::OutOfPlace),
    ("TCP_OLD_ACK", ResetReason::OutOfPlace),
    ("INVALID_SYN", ResetReason::OutOfPlace),
    ("TCP_TIMEWAIT_SOCKET", ResetReason::OutOfPlace),
    ("TCP_ABORT_ON_DATA", ResetReason::Application),
    ("TCP_ABORT_ON_CLOSE", ResetReason::Application),
    ("TCP_ABORT_ON_LINGER", ResetReason::Application),
    ("TCP_STATE", ResetReason::Application),
    ("TCP_DISCONNECT_WITH_DATA", ResetReason::Application),
    ("TCP_ABORT_ON_MEMORY", ResetReason::Memory),
    ("TCP_KEEPALIVE_TIMEOUT", ResetReason::Silence),
    ("MPTCP_RST_EUNSPEC", ResetReason::Subflow),
    ("MPTCP_RST_EMPTCP", ResetReason::Subflow),
    ("MPTCP_RST_ERESOURCE", ResetReason::Subflow),
    ("MPTCP_RST_EPROHIBIT", ResetReason::Subflow),
    ("MPTCP_RST_EWQ2BIG", ResetReason::Subflow),
    ("MPTCP_RST_EBADPERF", ResetReason::Subflow),
    ("MPTCP_RST_EMIDDLEBOX", ResetReason::Subflow),
];

/// What a name says; `None` if it is in no list.
#[must_use]
pub fn reset_reason(name: &str) -> Option<ResetReason> {
    REASONS.iter().find(|(known, _)| *known == name).map(|(_, reason)| *reason)
}

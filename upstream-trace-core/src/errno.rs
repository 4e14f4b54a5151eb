//! Numbers of Linux errors that sockets give, and their names.

/// Operation not permitted.
pub const EPERM: i32 = 1;
/// No such file or directory.
pub const ENOENT: i32 = 2;
/// Try again: for a unix socket, the queue of the listener is full.
pub const EAGAIN: i32 = 11;
/// Permission denied.
pub const EACCES: i32 = 13;
/// Busy: the packet before still waits in this host.
pub const EBUSY: i32 = 16;
/// Invalid argument: for `connect()`, a blackhole route.
pub const EINVAL: i32 = 22;
/// The other side is closed.
pub const EPIPE: i32 = 32;
/// Wrong type of socket.
pub const EPROTOTYPE: i32 = 91;
/// No address, or no port, to connect from.
pub const EADDRNOTAVAIL: i32 = 99;
/// The interface is down.
pub const ENETDOWN: i32 = 100;
/// No route.
pub const ENETUNREACH: i32 = 101;
/// Reset by the other side.
pub const ECONNRESET: i32 = 104;
/// The kernel gave up waiting.
pub const ETIMEDOUT: i32 = 110;
/// Refused.
pub const ECONNREFUSED: i32 = 111;
/// Host unreachable.
pub const EHOSTUNREACH: i32 = 113;

/// The name of an errno, `None` for those that no connection gives.
#[must_use]
pub fn name(errno: i32) -> Option<&'static str> {
    Some(match errno {
        EPERM => "EPERM",
        ENOENT => "ENOENT",
        4 => "EINTR",
        5 => "EIO",
        9 => "EBADF",
        EAGAIN => "EAGAIN",
        12 => "ENOMEM",
        EACCES => "EACCES",
        EBUSY => "EBUSY",
        20 => "ENOTDIR",
        EINVAL => "EINVAL",
        23 => "ENFILE",
        24 => "EMFILE",
        EPIPE => "EPIPE",
        36 => "ENAMETOOLONG",
        40 => "ELOOP",
        71 => "EPROTO",
        88 => "ENOTSOCK",
        90 => "EMSGSIZE",
        EPROTOTYPE => "EPROTOTYPE",
        92 => "ENOPROTOOPT",
        93 => "EPROTONOSUPPORT",
        95 => "EOPNOTSUPP",
        97 => "EAFNOSUPPORT",
        98 => "EADDRINUSE",
        EADDRNOTAVAIL => "EADDRNOTAVAIL",
        ENETDOWN => "ENETDOWN",
        ENETUNREACH => "ENETUNREACH",
        102 => "ENETRESET",
        103 => "ECONNABORTED",
        ECONNRESET => "ECONNRESET",
        105 => "ENOBUFS",
        107 => "ENOTCONN",
        ETIMEDOUT => "ETIMEDOUT",
        ECONNREFUSED => "ECONNREFUSED",
        112 => "EHOSTDOWN",
        EHOSTUNREACH => "EHOSTUNREACH",
        115 => "EINPROGRESS",
        _ => return None,
    })
}

/// For sentences: `ECONNREFUSED (111)`, or `errno 200`.
#[must_use]
pub fn text(errno: i32) -> String {
    name(errno).map_or_else(|| format!("errno {errno}"), |name| format!("{name} ({errno})"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_and_unknown_numbers_read_well() {
        assert_eq!(super::text(113), "EHOSTUNREACH (113)");
        assert_eq!(super::text(9999), "errno 9999");
    }
}

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
/// No space left on device.
pub const ENOSPC: i32 = 28;
/// Read-only file system.
pub const EROFS: i32 = 30;
/// Wrong type of socket.
pub const EPROTOTYPE: i32 = 91;
/// No address, or no port, to connect from.
pub const EADDRNOTAVAIL: i32 = 99;
/// The interface is down.
pub const ENETDOWN: i32 = 100;
/// No route.
pub const ENETUNREACH: i32 = 101;
/// Ended from outside: `ss -K`.
pub const ECONNABORTED: i32 = 103;
/// Reset by the other side.
pub const ECONNRESET: i32 = 104;
/// The kernel gave up waiting.
pub const ETIMEDOUT: i32 = 110;
/// Refused.
pub const ECONNREFUSED: i32 = 111;
/// The host is not on the network.
pub const ENONET: i32 = 64;
/// Protocol error.
pub const EPROTO: i32 = 71;
/// Message too long.
pub const EMSGSIZE: i32 = 90;
/// Protocol not available.
pub const ENOPROTOOPT: i32 = 92;
/// Operation not supported.
pub const EOPNOTSUPP: i32 = 95;
/// Host is down.
pub const EHOSTDOWN: i32 = 112;
/// Host unreachable.
pub const EHOSTUNREACH: i32 = 113;

/// Every errno of Linux (`include/uapi/asm-generic/errno-base.h` and `errno.h`; the same on x86 and arm64).
const NAMES: &[(i32, &str)] = &[
    (1, "EPERM"),
    (2, "ENOENT"),
    (3, "ESRCH"),
    (4, "EINTR"),
    (5, "EIO"),
    (6, "ENXIO"),
    (7, "E2BIG"),
    (8, "ENOEXEC"),
    (9, "EBADF"),
    (10, "ECHILD"),
    (11, "EAGAIN"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (14, "EFAULT"),
    (15, "ENOTBLK"),
    (16, "EBUSY"),
    (17, "EEXIST"),
    (18, "EXDEV"),
    (19, "ENODEV"),
    (20, "ENOTDIR"),
    (21, "EISDIR"),
    (22, "EINVAL"),
    (23, "ENFILE"),
    (24, "EMFILE"),
    (25, "ENOTTY"),
    (26, "ETXTBSY"),
    (27, "EFBIG"),
    (28, "ENOSPC"),
    (29, "ESPIPE"),
    (30, "EROFS"),
    (31, "EMLINK"),
    (32, "EPIPE"),
    (33, "EDOM"),
    (34, "ERANGE"),
    (35, "EDEADLK"),
    (36, "ENAMETOOLONG"),
    (37, "ENOLCK"),
    (38, "ENOSYS"),
    (39, "ENOTEMPTY"),
    (40, "ELOOP"),
    (42, "ENOMSG"),
    (43, "EIDRM"),
    (44, "ECHRNG"),
    (45, "EL2NSYNC"),
    (46, "EL3HLT"),
    (47, "EL3RST"),
    (48, "ELNRNG"),
    (49, "EUNATCH"),
    (50, "ENOCSI"),
    (51, "EL2HLT"),
    (52, "EBADE"),
    (53, "EBADR"),
    (54, "EXFULL"),
    (55, "ENOANO"),
    (56, "EBADRQC"),
    (57, "EBADSLT"),
    (59, "EBFONT"),
    (60, "ENOSTR"),
    (61, "ENODATA"),
    (62, "ETIME"),
    (63, "ENOSR"),
    (64, "ENONET"),
    (65, "ENOPKG"),
    (66, "EREMOTE"),
    (67, "ENOLINK"),
    (68, "EADV"),
    (69, "ESRMNT"),
    (70, "ECOMM"),
    (71, "EPROTO"),
    (72, "EMULTIHOP"),
    (73, "EDOTDOT"),
    (74, "EBADMSG"),
    (75, "EOVERFLOW"),
    (76, "ENOTUNIQ"),
    (77, "EBADFD"),
    (78, "EREMCHG"),
    (79, "ELIBACC"),
    (80, "ELIBBAD"),
    (81, "ELIBSCN"),
    (82, "ELIBMAX"),
    (83, "ELIBEXEC"),
    (84, "EILSEQ"),
    (85, "ERESTART"),
    (86, "ESTRPIPE"),
    (87, "EUSERS"),
    (88, "ENOTSOCK"),
    (89, "EDESTADDRREQ"),
    (90, "EMSGSIZE"),
    (91, "EPROTOTYPE"),
    (92, "ENOPROTOOPT"),
    (93, "EPROTONOSUPPORT"),
    (94, "ESOCKTNOSUPPORT"),
    (95, "EOPNOTSUPP"),
    (96, "EPFNOSUPPORT"),
    (97, "EAFNOSUPPORT"),
    (98, "EADDRINUSE"),
    (99, "EADDRNOTAVAIL"),
    (100, "ENETDOWN"),
    (101, "ENETUNREACH"),
    (102, "ENETRESET"),
    (103, "ECONNABORTED"),
    (104, "ECONNRESET"),
    (105, "ENOBUFS"),
    (106, "EISCONN"),
    (107, "ENOTCONN"),
    (108, "ESHUTDOWN"),
    (109, "ETOOMANYREFS"),
    (110, "ETIMEDOUT"),
    (111, "ECONNREFUSED"),
    (112, "EHOSTDOWN"),
    (113, "EHOSTUNREACH"),
    (114, "EALREADY"),
    (115, "EINPROGRESS"),
    (116, "ESTALE"),
    (117, "EUCLEAN"),
    (118, "ENOTNAM"),
    (119, "ENAVAIL"),
    (120, "EISNAM"),
    (121, "EREMOTEIO"),
    (122, "EDQUOT"),
    (123, "ENOMEDIUM"),
    (124, "EMEDIUMTYPE"),
    (125, "ECANCELED"),
    (126, "ENOKEY"),
    (127, "EKEYEXPIRED"),
    (128, "EKEYREVOKED"),
    (129, "EKEYREJECTED"),
    (130, "EOWNERDEAD"),
    (131, "ENOTRECOVERABLE"),
    (132, "ERFKILL"),
    (133, "EHWPOISON"),
];

/// The name of an errno of Linux, `None` for a number that is none.
#[must_use]
pub fn name(errno: i32) -> Option<&'static str> {
    NAMES.binary_search_by_key(&errno, |(number, _)| *number).ok().map(|index| NAMES[index].1)
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
        assert_eq!(super::text(133), "EHWPOISON (133)");
        assert_eq!(super::text(9999), "errno 9999");
    }
}

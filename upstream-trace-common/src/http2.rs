//! Frames of HTTP/2 that are no request: RFC 9113, 4.1 and 6.

/// Bytes of a frame's header.
pub const FRAME_HEADER: usize = 9;

const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

/// Most bytes that a message of such frames has: nginx answers settings, a ping, and opens two windows.
const LONGEST: i32 = 64;

/// Fewer bytes than that in a TLS record hold no request of HTTP/1 (the shortest, `GET / HTTP/1.0` with `Host` and
/// `Connection`, takes more), and a frame or two of control.
const LONGEST_TLS: i32 = 60;

/// [`FRAME_HEADER`] as the kernel counts bytes.
const HEADER_BYTES: i32 = 9;
const _: () = assert!(FRAME_HEADER == 9);

/// Whether `len` bytes that begin with these, sent on a connection that has carried a request, are frames that begin no
/// request: nginx never puts such a frame before one there.
#[must_use]
#[inline(always)]
pub const fn is_control(first: &[u8; FRAME_HEADER], len: i32) -> bool {
    if len < HEADER_BYTES || len > LONGEST || first[0] != 0 || first[1] != 0 {
        return false;
    }
    match (first[3], first[2]) {
        // The acknowledgement has no content.
        (SETTINGS, 0) => first[4] == 1,
        (PING, 8) => len >= 17,
        (WINDOW_UPDATE | RST_STREAM, 4) => len >= 13,
        _ => false,
    }
}

/// The same of `len` bytes that are one encrypted record of this size.
#[must_use]
#[inline(always)]
pub const fn is_short_record(record: u32, len: i32) -> bool {
    record == len.cast_unsigned() && len <= LONGEST_TLS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_control() {
        for (name, first, len, expected) in [
            ("settings acknowledged", [0, 0, 0, 4, 1, 0, 0, 0, 0], 9, true),
            ("a ping answered", [0, 0, 8, 6, 1, 0, 0, 0, 0], 17, true),
            ("a window", [0, 0, 4, 8, 0, 0, 0, 0, 0], 13, true),
            ("two windows", [0, 0, 4, 8, 0, 0, 0, 0, 5], 26, true),
            ("a reset stream", [0, 0, 4, 3, 0, 0, 0, 0, 5], 13, true),
            ("headers", [0, 0, 40, 1, 5, 0, 0, 0, 3], 49, false),
            ("a window and a body", [0, 0, 4, 8, 0, 0, 0, 0, 5], 4096, false),
            ("settings", [0, 0, 0, 4, 0, 0, 0, 0, 0], 9, false),
            ("HTTP/1", *b"GET / HTT", 40, false),
            ("memcached", *b"get k\r\n\0\0", 7, false),
            ("FastCGI", [1, 1, 0, 1, 0, 8, 0, 0, 0], 64, false),
            ("uwsgi", [0, 30, 0, 0, 3, 0, b'A', b'B', b'C'], 34, false),
            ("nothing", [0; 9], 9, false),
        ] {
            assert_eq!(is_control(&first, len), expected, "{name}");
        }
    }

    #[test]
    fn short_records() {
        assert!(is_short_record(31, 31) && is_short_record(44, 44));
        assert!(!is_short_record(67, 67) && !is_short_record(31, 400));
    }
}

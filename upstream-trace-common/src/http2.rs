//! Frames of HTTP/2 that are no request, and those that are no response: RFC 9113, 4.1 and 6.

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

/// Bytes of one setting.
const SETTING: u32 = 6;

/// Most frames that are looked at in what an origin sent: what it says first is its settings, that it has heard nginx's,
/// and a window or two.
pub const FRAMES: u32 = 6;

/// Size of the frame that begins with these bytes, its header included, if it is one that belongs to the connection and to
/// no stream, so that it answers no request; 0 if it is anything else. No protocol of text begins
/// with a zero.
#[must_use]
#[inline(always)]
pub const fn control_size(first: &[u8; FRAME_HEADER]) -> u32 {
    let size = (first[1] as u32) << 8 | first[2] as u32;
    if first[0] != 0 {
        return 0;
    }
    // The highest bit means nothing.
    let of_connection = first[5] << 1 == 0 && first[6] == 0 && first[7] == 0 && first[8] == 0;
    let control = match first[3] {
        SETTINGS => {
            of_connection
                && size / SETTING * SETTING == size
                && (first[4] == 0 || (first[4] == 1 && size == 0))
        }
        PING => of_connection && size == 8 && first[4] <= 1,
        // Windows of streams are opened while a request with a body comes in.
        WINDOW_UPDATE => size == 4 && first[4] == 0,
        _ => false,
    };
    if control { FRAME_HEADER as u32 + size } else { 0 }
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
    fn frames_that_answer_no_request() {
        for (name, first, expected) in [
            ("settings", [0, 0, 18, 4, 0, 0, 0, 0, 0], 27),
            ("no settings", [0, 0, 0, 4, 0, 0, 0, 0, 0], 9),
            ("settings acknowledged", [0, 0, 0, 4, 1, 0, 0, 0, 0], 9),
            ("a ping", [0, 0, 8, 6, 0, 0, 0, 0, 0], 17),
            ("a window", [0, 0, 4, 8, 0, 0, 0, 0, 0], 13),
            ("a window of a stream", [0, 0, 4, 8, 0, 0, 0, 0, 5], 13),
            ("headers", [0, 0, 40, 1, 5, 0, 0, 0, 3], 0),
            ("data", [0, 0, 40, 0, 0, 0, 0, 0, 3], 0),
            ("a reset stream", [0, 0, 4, 3, 0, 0, 0, 0, 5], 0),
            ("a goodbye", [0, 0, 8, 7, 0, 0, 0, 0, 0], 0),
            ("settings of a stream", [0, 0, 6, 4, 0, 0, 0, 0, 1], 0),
            ("half a setting", [0, 0, 5, 4, 0, 0, 0, 0, 0], 0),
            ("HTTP/1", *b"HTTP/1.1 ", 0),
            ("FastCGI", [1, 6, 0, 1, 0, 8, 0, 0, 0], 0),
            ("nothing", [0; 9], 0),
        ] {
            assert_eq!(control_size(&first), expected, "{name}");
        }
    }

    #[test]
    fn short_records() {
        assert!(is_short_record(31, 31) && is_short_record(44, 44));
        assert!(!is_short_record(67, 67) && !is_short_record(31, 400));
    }
}

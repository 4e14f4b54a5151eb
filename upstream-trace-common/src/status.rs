//! The status that a response begins with.

use crate::HEAD;

/// The status, if these are the first bytes (filled up with zeros) of a response of `HTTP/1.x`, or of a program behind
/// SCGI or `FastCGI` that begins with its status.
#[must_use]
#[inline(always)]
pub const fn status(head: &[u8; HEAD]) -> Option<u16> {
    const HTTP: u64 = u64::from_le_bytes(*b"HTTP/1.\0");
    const STATUS: u64 = u64::from_le_bytes(*b"Status: ");
    /// `FCGI_VERSION_1` and `FCGI_STDOUT`, which begin the record's header of 8 bytes.
    const FASTCGI_STDOUT: [u8; 2] = [1, 6];
    let first = word(head, 0);
    if first & 0x00ff_ffff_ffff_ffff == HTTP {
        return if head[8] == b' ' { number([head[9], head[10], head[11]]) } else { None };
    }
    if first == STATUS {
        return number([head[8], head[9], head[10]]);
    }
    if head[0] == FASTCGI_STDOUT[0] && head[1] == FASTCGI_STDOUT[1] && word(head, 8) == STATUS {
        return number([head[16], head[17], head[18]]);
    }
    None
}

/// Whether a response that begins with these bytes is a server error: a status of 500 to 599.
#[must_use]
#[inline(always)]
pub const fn is_server_error(head: &[u8; HEAD]) -> bool {
    matches!(status(head), Some(500..=599))
}

/// Whether a response that begins with these bytes makes the connection a tunnel: a status of 101, as for WebSocket. What goes
/// through it afterwards is no request and no response.
#[must_use]
#[inline(always)]
pub const fn is_upgrade(head: &[u8; HEAD]) -> bool {
    matches!(status(head), Some(101))
}

/// Eight bytes as one number; `at` is 0 or 8.
#[inline(always)]
const fn word(head: &[u8; HEAD], at: usize) -> u64 {
    u64::from_le_bytes([
        head[at],
        head[at + 1],
        head[at + 2],
        head[at + 3],
        head[at + 4],
        head[at + 5],
        head[at + 6],
        head[at + 7],
    ])
}

#[inline(always)]
const fn number(digits: [u8; 3]) -> Option<u16> {
    let [hundreds, tens, ones] =
        [digits[0].wrapping_sub(b'0'), digits[1].wrapping_sub(b'0'), digits[2].wrapping_sub(b'0')];
    if hundreds > 9 || tens > 9 || ones > 9 {
        return None;
    }
    Some(hundreds as u16 * 100 + tens as u16 * 10 + ones as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(bytes: &[u8]) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        let len = bytes.len().min(HEAD);
        head[..len].copy_from_slice(&bytes[..len]);
        head
    }

    #[test]
    fn each_protocol_has_its_place_for_the_status() {
        for (bytes, expected) in [
            (&b"HTTP/1.1 502 Bad Gateway\r\n"[..], Some(502)),
            (b"HTTP/1.0 500", Some(500)),
            (b"HTTP/1.1 200 OK\r\n", Some(200)),
            (b"Status: 503 Busy", Some(503)),
            (b"Status: 404", Some(404)),
            (b"\x01\x06\0\x01\0\x50\0\0Status: 500 Inte", Some(500)),
            (b"HTTP/1.1 50", None),
            (b"HTTP/1.1-502", None),
            (b"HTTP/1.1502 ", None),
            (b"HTTP/1.1 5x0", None),
            (b"HTTP/1.1 :00", None),
            (b"HTTP/2 502", None),
            (b"Status: 5x0", None),
            (b"Status:502", None),
            // Standard error of the program, and a record of another version.
            (b"\x01\x07\0\x01\0\x50\0\0Status: 500", None),
            (b"\x02\x06\0\x01\0\x50\0\0Status: 500", None),
            (b"", None),
        ] {
            assert_eq!(status(&head(bytes)), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn only_one_status_makes_a_tunnel() {
        assert!(is_upgrade(&head(b"HTTP/1.1 101 Switching Protocols\r\n")));
        assert!(!is_upgrade(&head(b"HTTP/1.1 100 Continue\r\n")) && !is_upgrade(&head(b"")));
    }

    #[test]
    fn only_5xx_is_a_server_error() {
        for (status, expected) in
            [(b"499", false), (b"500", true), (b"599", true), (b"600", false), (b"5x0", false)]
        {
            let mut bytes = *b"HTTP/1.1 ... ";
            bytes[9..12].copy_from_slice(status);
            assert_eq!(is_server_error(&head(&bytes)), expected, "{}", status.escape_ascii());
        }
    }
}

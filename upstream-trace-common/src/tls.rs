//! What the first bytes of a TLS record say; RFC 8446, 5.1 and 6. The rest of a record is never read.

use crate::HEAD;

/// Content type `change_cipher_spec`.
pub const CHANGE_CIPHER_SPEC: u8 = 0x14;
/// Content type `alert`.
pub const ALERT: u8 = 0x15;
/// Content type `handshake`.
pub const HANDSHAKE: u8 = 0x16;
/// Content type `application_data`; with TLS 1.3 everything that is encrypted.
pub const APPLICATION_DATA: u8 = 0x17;

/// Content type, version, length.
const HEADER: i32 = 5;
const CLIENT_HELLO: u8 = 1;
/// Bytes of an alert that is not encrypted: header, level, description.
const CLEAR_ALERT: i32 = 7;

/// Whether these are the first of the `len` bytes of a `ClientHello`.
#[must_use]
#[inline(always)]
pub const fn is_client_hello(first: &[u8; 7], len: i32) -> bool {
    first[0] == HANDSHAKE && first[1] == 3 && first[5] == CLIENT_HELLO && len > HEADER
}

/// Whether `len` bytes that begin with these are nothing but an alert. With TLS 1.3 an alert looks like data, but no
/// data is that short: header, level and description, content type, tag.
#[must_use]
#[inline(always)]
pub const fn is_alert(first: &[u8; 3], len: i32) -> bool {
    const LONGEST: i32 = 64;
    const ENCRYPTED: i32 = HEADER + 2 + 1 + 16;
    let kind = first[0];
    len < LONGEST && first[1] == 3 && (kind == ALERT || kind == APPLICATION_DATA && len == ENCRYPTED)
}

/// Size in bytes of the encrypted record that these bytes begin, header included; 0 if they begin none.
#[must_use]
#[inline(always)]
pub const fn record_size(first: &[u8; 5]) -> u32 {
    if first[0] != APPLICATION_DATA || first[1] != 3 || first[2] != 3 {
        return 0;
    }
    HEADER as u32 + ((first[3] as u32) << 8 | first[4] as u32)
}

/// Whether an encrypted record of `size` bytes that comes `after_ns` nanoseconds after the request may hold a session
/// ticket. A TLS 1.3 server sends tickets as soon as it has the client's last handshake message.
#[must_use]
#[inline(always)]
pub const fn may_be_ticket(size: u32, after_ns: u64) -> bool {
    const SMALLEST: u32 = 64;
    const SOON_NS: u64 = 100_000_000;
    size >= SMALLEST && after_ns <= SOON_NS
}

/// What nginx sent while a handshake was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeSent {
    /// More of the handshake.
    Handshake,
    /// An alert with this description, -1 if it is encrypted: nginx refuses.
    Alert(i32),
    /// Application data: the handshake is over.
    Data,
}

/// What the `len` bytes are that begin with these.
#[must_use]
#[inline(always)]
pub const fn handshake_sent(first: &[u8; 7], len: i32) -> HandshakeSent {
    if first[0] == CHANGE_CIPHER_SPEC || first[0] == HANDSHAKE {
        return HandshakeSent::Handshake;
    }
    if is_alert(&[first[0], first[1], first[2]], len) {
        let clear = first[0] == ALERT && len == CLEAR_ALERT;
        return HandshakeSent::Alert(if clear { first[6] as i32 } else { -1 });
    }
    HandshakeSent::Data
}

/// What nginx received while a handshake was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeReceived {
    /// An alert with this description: the origin refuses.
    Alert(u8),
    /// More of the handshake, or what nobody can tell from it.
    Handshake,
    /// Something that is no TLS.
    NotTls,
}

/// What bytes are that begin with these; `earlier` is how many came before them in the handshake. Only the very first
/// bytes show whether they are TLS: later ones may be the rest of a record.
#[must_use]
#[inline(always)]
pub const fn handshake_received(head: &[u8; HEAD], earlier: u64) -> HandshakeReceived {
    let kind = head[0];
    if kind == ALERT && head[1] == 3 {
        return HandshakeReceived::Alert(head[6]);
    }
    if earlier != 0 || (kind >= CHANGE_CIPHER_SPEC && kind <= APPLICATION_DATA) {
        return HandshakeReceived::Handshake;
    }
    HandshakeReceived::NotTls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_hello() {
        assert!(is_client_hello(&[0x16, 3, 1, 2, 0, 1, 0], 517));
        for (first, len) in [
            // A ServerHello, HTTP, an older version, a header alone.
            ([0x16, 3, 1, 2, 0, 2, 0], 517),
            (*b"GET / H", 78),
            ([0x16, 2, 1, 2, 0, 1, 0], 517),
            ([0x16, 3, 1, 2, 0, 1, 0], 5),
        ] {
            assert!(!is_client_hello(&first, len), "{first:?}");
        }
    }

    #[test]
    fn an_alert_is_short() {
        for (first, len, expected) in [
            ([0x15, 3, 3], 7, true),
            ([0x15, 3, 3], 31, true),
            ([0x17, 3, 3], 24, true),
            ([0x17, 3, 3], 25, false),
            ([0x17, 3, 3], 7, false),
            ([0x15, 3, 3], 64, false),
            ([0x15, 1, 3], 7, false),
            ([0x16, 3, 3], 7, false),
        ] {
            assert_eq!(is_alert(&first, len), expected, "{first:?} {len}");
        }
    }

    #[test]
    fn the_size_of_an_encrypted_record() {
        assert_eq!(record_size(&[0x17, 3, 3, 1, 10]), 5 + 266);
        for none in [[0x16, 3, 3, 1, 10], [0x17, 2, 3, 1, 10], [0x17, 3, 1, 1, 10], [0; 5]] {
            assert_eq!(record_size(&none), 0, "{none:?}");
        }
    }

    #[test]
    fn tickets_come_soon_and_are_no_alert() {
        for (size, after_ns, expected) in [
            (255, 1_000_000, true),
            (64, 100_000_000, true),
            (63, 0, false),
            (255, 100_000_001, false),
            (0, 0, false),
        ] {
            assert_eq!(may_be_ticket(size, after_ns), expected, "{size} {after_ns}");
        }
    }

    #[test]
    fn what_nginx_sends_in_a_handshake() {
        use HandshakeSent::{Alert, Data, Handshake};
        for (first, len, expected) in [
            ([0x14, 3, 3, 0, 1, 1, 0x17], 80, Handshake),
            ([0x16, 3, 3, 0, 70, 16, 0], 126, Handshake),
            ([0x15, 3, 3, 0, 2, 2, 48], 7, Alert(48)),
            ([0x15, 3, 3, 0, 26, 9, 9], 31, Alert(-1)),
            ([0x17, 3, 3, 0, 19, 9, 9], 24, Alert(-1)),
            ([0x17, 3, 3, 0, 90, 9, 9], 95, Data),
        ] {
            assert_eq!(handshake_sent(&first, len), expected, "{first:?}");
        }
    }

    #[test]
    fn what_comes_in_a_handshake() {
        use HandshakeReceived::{Alert, Handshake, NotTls};
        let head = |bytes: &[u8]| {
            let mut head = [0; HEAD];
            head[..bytes.len()].copy_from_slice(bytes);
            head
        };
        for (bytes, earlier, expected) in [
            (&[0x15, 3, 3, 0, 2, 2, 40][..], 0, Alert(40)),
            (&[0x15, 3, 3, 0, 2, 2, 40], 900, Alert(40)),
            (&[0x16, 3, 3, 0, 122, 2], 0, Handshake),
            (&[0x17, 3, 3, 1, 0], 0, Handshake),
            (b"HTTP/1.1 400 Bad", 0, NotTls),
            (b"HTTP/1.1 400 Bad", 900, Handshake),
            (&[0x18, 3, 3], 0, NotTls),
        ] {
            assert_eq!(handshake_received(&head(bytes), earlier), expected, "{bytes:?} {earlier}");
        }
    }
}

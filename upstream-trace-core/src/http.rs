//! The status with which an answer begins.

/// The status, if these are the first bytes of an answer of `HTTP/1.x`, or of a program behind SCGI or `FastCGI` that
/// begins with its status.
#[must_use]
pub fn status(bytes: &[u8]) -> Option<u16> {
    const HTTP: &[u8] = b"HTTP/1.";
    const FASTCGI_HEADER: usize = 8;
    let digits = if bytes.starts_with(HTTP) {
        bytes.get(HTTP.len() + 1..)?.strip_prefix(b" ")?
    } else if bytes.starts_with(&[1, 6]) {
        bytes.get(FASTCGI_HEADER..)?.strip_prefix(b"Status: ")?
    } else {
        bytes.strip_prefix(b"Status: ")?
    };
    let digits = digits.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn each_protocol_says_it_in_its_way() {
        assert_eq!(status(b"HTTP/1.1 502 Bad Gateway\r\n"), Some(502));
        assert_eq!(status(b"HTTP/1.0 500"), Some(500));
        assert_eq!(status(b"Status: 503 Busy"), Some(503));
        assert_eq!(status(b"\x01\x06\0\x01\0\x50\0\0Status: 500 Inte"), Some(500));
        for other in
            [&b"HTTP/1.1 50"[..], b"HTTP/2 502", b"\x01\x07\0\x01\0\x50\0\0Status: 500", b"Status: 5x0", b""]
        {
            assert_eq!(status(other), None, "{}", other.escape_ascii());
        }
    }
}

//! Bytes of a log to text.

use std::fmt::Write as _;

/// Longest line that nginx writes, its end included.
pub(super) const LONGEST: usize = 2_048;

/// Text without control characters, which are written `\xNN` as nginx does; bytes that are no UTF-8 are replaced.
pub(super) fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            let _ = write!(clean, "\\x{:02x}", u32::from(c));
        } else {
            clean.push(c);
        }
    }
    clean
}

//! The SHA-256 of what is made, as it is written everywhere: in hexadecimal digits.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// 64 digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

//! What a fuzzer gives as a process.

use super::process::{Role, Seen};

/// What is made of the bytes of `/proc/PID/cmdline`: what the process is, its description, its configuration, its
/// version.
#[must_use]
pub fn process(cmdline: &[u8], program: &str) -> (Option<Role>, String, Option<String>, Option<String>) {
    let seen = Seen::of_bytes(cmdline, program);
    let _ = seen.has_name(program);
    (seen.role(), seen.describe(), seen.config(), seen.version())
}

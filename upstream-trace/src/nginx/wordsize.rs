//! Whether a process runs a 32-bit program, whose system calls the hooks do not understand.

use std::io::Read;
use std::path::Path;

use crate::host::regular_file;

/// How an ELF file of 32 bits begins.
const ELF_32: [u8; 5] = *b"\x7fELF\x01";

/// It runs a 32-bit program. The arguments of its system calls are in other registers: what it sends and receives is not
/// looked at, only what becomes of its connections.
pub(super) fn is_32_bit(pid: u32) -> bool {
    let program = regular_file(Path::new(&format!("/proc/{pid}/exe")));
    program.is_ok_and(|(program, _)| begins_as_32_bit(program))
}

fn begins_as_32_bit(mut program: impl Read) -> bool {
    let mut begin = [0; ELF_32.len()];
    program.read_exact(&mut begin).is_ok() && begin == ELF_32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_32_bits_are_told_by_their_class() {
        for (program, expected) in [
            (&b"\x7fELF\x01\x01\x01"[..], true),
            (b"\x7fELF\x02\x01\x01", false),
            (b"#!/bin/sh", false),
            (b"\x7fELF", false),
        ] {
            assert_eq!(begins_as_32_bit(program), expected);
        }
        assert!(!is_32_bit(std::process::id()) && !is_32_bit(u32::MAX));
    }
}

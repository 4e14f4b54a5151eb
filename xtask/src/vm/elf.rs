//! What a program says of itself in its first bytes (`elf(5)`).

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

const MAGIC: &[u8] = b"\x7fELF";
/// Where it names the architecture, little endian.
const MACHINE: usize = 18;
const HEAD: usize = MACHINE + 2;

/// Whether a file is a program or a library.
pub(super) fn is(file: &Path) -> bool {
    machine(file).is_some()
}

/// The architecture that it is for, by its number (`EM_...`); none if it is no such file.
pub(super) fn machine(file: &Path) -> Option<u16> {
    let mut head = [0; HEAD];
    File::open(file).and_then(|mut file| file.read_exact(&mut head)).ok()?;
    head.starts_with(MAGIC).then(|| u16::from_le_bytes([head[MACHINE], head[MACHINE + 1]]))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{is, machine};

    #[test]
    fn programs_and_other_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xb7\0more").unwrap();
        assert_eq!(machine(&file), Some(183));
        for other in [&b"#!/bin/sh, and no program at all"[..], b"\x7fELF"] {
            fs::write(&file, other).unwrap();
            assert!(!is(&file));
        }
        assert!(!is(&folder.path().join("none")));
        assert!(is(&std::env::current_exe().unwrap()));
    }
}

//! Archives in the format of POSIX (`ustar`) with regular files, owned by root, from 1970.

/// Size of everything in an archive is a multiple of this.
const BLOCK: usize = 512;

/// An archive of these files: name (at most 100 bytes), mode, bytes.
pub(super) fn archive(files: &[(String, u32, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, mode, bytes) in files {
        archive.extend(header(name, *mode, bytes.len()));
        archive.extend_from_slice(bytes);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

fn header(name: &str, mode: u32, size: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    // The sum is taken with blanks in its place.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The files of an archive.
    pub(in crate::image) fn files(mut archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        while archive[0] != 0 {
            let text = |from: usize, to: usize| {
                String::from_utf8(archive[from..to].iter().copied().take_while(|byte| *byte != 0).collect())
                    .unwrap()
            };
            let (name, size) = (text(0, 100), usize::from_str_radix(&text(124, 136), 8).unwrap());
            files.insert(name, archive[BLOCK..BLOCK + size].to_vec());
            archive = &archive[(BLOCK + size).next_multiple_of(BLOCK)..];
        }
        files
    }

    #[test]
    fn files_there_and_back() {
        let archive = archive(&[("a".to_owned(), 0o644, b"one"), ("b/c".to_owned(), 0o755, &[b'x'; 513])]);
        let found = files(&archive);
        assert_eq!((found["a"].as_slice(), found["b/c"].len(), archive.len()), (&b"one"[..], 513, 7 * BLOCK));
    }
}

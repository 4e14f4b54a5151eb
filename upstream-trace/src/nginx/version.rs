//! Which nginx a process runs, without running it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// What `nginx -v` prints before the version; it stands in the program as one text with it.
const BEFORE: &[u8] = b"nginx version: ";

/// More of a program is not looked through; nginx has one to twenty MiB.
const LARGEST: u64 = 64 << 20;

/// Longest version that is believed.
const LONGEST: usize = 64;

/// What the programs of these processes call themselves, such as `nginx/1.22.1`, each once. One that cannot be read is
/// left out.
#[must_use]
pub fn versions(pids: impl Iterator<Item = u32>) -> Vec<String> {
    let mut all = Vec::new();
    // The link leads to the program itself, also out of a container and when its file has been replaced.
    for version in pids.filter_map(|pid| version(Path::new(&format!("/proc/{pid}/exe")))) {
        if !all.contains(&version) {
            all.push(version);
        }
    }
    all
}

fn version(program: &Path) -> Option<String> {
    let file = File::open(program).ok().filter(|file| file.metadata().is_ok_and(|found| found.is_file()))?;
    find(BufReader::with_capacity(64 * 1024, file.take(LARGEST)))
}

/// Texts in a program end with a zero byte.
fn find(mut program: impl BufRead) -> Option<String> {
    let mut text = Vec::new();
    loop {
        text.clear();
        if program.read_until(0, &mut text).ok()? == 0 {
            return None;
        }
        if let Some(rest) = text.strip_prefix(BEFORE).or_else(|| after(&text)) {
            let end = rest.iter().position(|byte| !(byte.is_ascii_graphic() || *byte == b' '));
            let version = rest[..end.unwrap_or(rest.len())].trim_ascii();
            let sound = !version.is_empty() && version.len() <= LONGEST;
            return sound.then(|| String::from_utf8_lossy(version).into_owned());
        }
    }
}

/// What follows where the text begins in the middle of other bytes.
fn after(text: &[u8]) -> Option<&[u8]> {
    let at = text.windows(BEFORE.len()).position(|window| window == BEFORE)?;
    Some(&text[at + BEFORE.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(program: &[u8]) -> Option<String> {
        find(program)
    }

    #[test]
    fn the_version_in_a_program() {
        assert_eq!(found(b"\x7fELF\0\0x\0nginx version: nginx/1.22.1\n\0rest"), Some("nginx/1.22.1".into()));
        assert_eq!(
            found(b"\x01\x02nginx version: openresty/1.21.4.1 (build 7)\n\0"),
            Some("openresty/1.21.4.1 (build 7)".into())
        );
        assert_eq!(found(b"nginx version: \x1b[2J\0"), None);
        assert_eq!(found(&[b"nginx version: ", &[b'x'; 65][..]].concat()), None);
        assert_eq!(found(b"another program\0"), None);
        assert_eq!(found(b""), None);
    }

    #[test]
    fn processes_that_are_not_there_have_none() {
        assert!(versions([0, u32::MAX].into_iter()).is_empty());
        assert_eq!(version(Path::new("/")), None);
    }
}

//! Which nginx a process runs, without running it.

use std::io::Read;
use std::path::Path;

use super::binary::{after, look_through};
use crate::host::regular_file;

/// What `nginx -v` prints before the version; it stands in the program as one text with it.
const BEFORE: &[u8] = b"nginx version: ";

/// What forks print before their own version, beside that of the nginx that they are built on.
const BEFORE_OWN: [&[u8]; 2] = [b"Angie version: ", b"Tengine version: "];

/// Longest version that is believed.
const LONGEST: usize = 64;

/// What the programs of these processes call themselves, such as `nginx/1.22.1` or `Angie/1.7.0 (nginx/1.27.1)`, each
/// once. One that cannot be read is left out.
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

/// Whether every `upstream{}` of `http` keeps connections of its own accord in this version: 32 of them, from 1.29.7 on.
/// Of forks that count otherwise that is not known.
#[must_use]
pub(super) fn pools_by_default(version: &str) -> bool {
    let built_on = || version.split_once(" (nginx/").map(|(_, numbers)| numbers);
    let Some(numbers) = version.strip_prefix("nginx/").or_else(built_on) else { return false };
    let end = numbers.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(numbers.len());
    let parts: Vec<u32> = numbers[..end].split('.').filter_map(|part| part.parse().ok()).collect();
    parts >= vec![1, 29, 7]
}

fn version(program: &Path) -> Option<String> {
    find(regular_file(program).ok()?.0)
}

fn find(program: impl Read) -> Option<String> {
    let (mut own, mut version) = (None, None);
    look_through(program, |piece| {
        // The two stand near each other.
        own = own
            .take()
            .or_else(|| BEFORE_OWN.iter().find_map(|before| told(piece, before)).map(<[u8]>::to_vec));
        version = told(piece, BEFORE).map(|nginx| match own.as_deref() {
            Some(own) if !own.is_empty() => [own, b" (", nginx, b")"].concat(),
            _ => nginx.to_vec(),
        });
        version.is_some()
    });
    let version = version.filter(|version| !version.is_empty() && version.len() <= LONGEST)?;
    String::from_utf8(version).ok()
}

fn told<'a>(piece: &'a [u8], before: &[u8]) -> Option<&'a [u8]> {
    after(piece, before, |byte| !(byte.is_ascii_graphic() || byte == b' ')).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(program: &[u8]) -> Option<String> {
        find(program)
    }

    #[test]
    fn which_versions_pool_of_their_own_accord() {
        for (version, expected) in [
            ("nginx/1.22.1", false),
            ("nginx/1.29.6", false),
            ("nginx/1.29.7", true),
            ("nginx/1.30.6 (Debian)", true),
            ("nginx/2.0.0", true),
            ("openresty/1.31.1.1", false),
            ("Angie/1.13.0 (nginx/1.31.2)", true),
            ("Angie/1.7.0 (nginx/1.27.1)", false),
            ("nginx/", false),
        ] {
            assert_eq!(pools_by_default(version), expected, "{version}");
        }
    }

    #[test]
    fn the_version_in_a_program() {
        assert_eq!(found(b"\x7fELF\0\0x\0nginx version: nginx/1.22.1\n\0rest"), Some("nginx/1.22.1".into()));
        assert_eq!(
            found(b"\x01\x02nginx version: openresty/1.21.4.1 (build 7)\n\0"),
            Some("openresty/1.21.4.1 (build 7)".into())
        );
        assert_eq!(
            found(b"nginx version: nginx/1.31.2\n\0more\0Angie version: Angie/1.13.0\n\0"),
            Some("Angie/1.13.0 (nginx/1.31.2)".into())
        );
        assert_eq!(
            found(b"Tengine version: Tengine/3.1.0\nnginx version: nginx/1.24.0\n\0"),
            Some("Tengine/3.1.0 (nginx/1.24.0)".into())
        );
        assert_eq!(
            found(b"Angie version: \x1b[2J\nnginx version: nginx/1.31.2\n\0"),
            Some("nginx/1.31.2".into())
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

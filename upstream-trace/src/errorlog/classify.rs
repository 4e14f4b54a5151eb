//! Tells an error.log from other files that a worker writes, above all from access logs.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use upstream_trace_core::errorlog::json_head;

/// How much of the end of a file is looked at.
const LOOK: u64 = 16 * 1024;

/// Names of levels, finest first.
const LEVELS: [&str; 8] = ["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"];

/// How much a line matters; finer ones are less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Level(usize);

impl Level {
    /// So fine that nothing about an upstream is among it, and so much that it counts.
    pub(super) const DEBUG: Self = Self(0);

    /// A log in which such lines are has those of failures as well.
    pub(super) fn lets_errors_pass(self) -> bool {
        self <= Self(4)
    }

    pub(super) fn name(self) -> &'static str {
        LEVELS[self.0]
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An error.log.
    Error,
    /// Nothing to tell it by yet; its first line will.
    Undecided,
    /// Something else.
    Other,
}

/// The beginning of a line of an error.log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) level: Level,
    /// Process id as printed.
    pub(super) pid: u32,
}

impl Header {
    /// Reads `2026/11/20 09:12:01 [error] 1713#1713: `, or a line in JSON.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        if line.starts_with(b"{") {
            let head = json_head(line)?;
            let level = Level(LEVELS.iter().position(|name| *name == head.level)?);
            return Some(Self { level, pid: head.pid });
        }
        let (time, rest) = line.split_at_checked(19)?;
        let shaped = time.iter().zip(b"0000/00/00 00:00:00").all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        });
        if !shaped {
            return None;
        }
        let (level, rest) = split(rest.strip_prefix(b" [")?, b']')?;
        let level = Level(LEVELS.iter().position(|name| name.as_bytes() == level)?);
        let (pid, rest) = split(rest.strip_prefix(b" ")?, b'#')?;
        let (thread, _) = split(rest, b':')?;
        number(thread)?;
        Some(Self { level, pid: number(pid)? })
    }
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    // Numbers and levels are short.
    let end = text.iter().take(16).position(|byte| *byte == at)?;
    Some((&text[..end], &text[end + 1..]))
}

fn number(digits: &[u8]) -> Option<u32> {
    let digits = str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok()
}

/// What was found out about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Classified {
    pub(super) kind: Kind,
    /// The finest level among its last lines.
    pub(super) level: Option<Level>,
}

/// Classifies a file of `size` bytes by its last lines first, then by its name.
pub(super) fn classify(file: &File, size: u64, name: &str, stderr: bool) -> io::Result<Classified> {
    let from = size.saturating_sub(LOOK);
    let mut end = vec![0; usize::try_from(size - from).unwrap_or(0)];
    let read = file.read_at(&mut end, from)?;
    Ok(classify_text(&end[..read], from > 0, name, stderr))
}

fn classify_text(text: &[u8], begins_within: bool, name: &str, stderr: bool) -> Classified {
    let lines = text.split_inclusive(|byte| *byte == b'\n').skip(usize::from(begins_within));
    let lines: Vec<&[u8]> = lines.filter(|line| line.ends_with(b"\n")).collect();
    let finest = lines.iter().filter_map(|line| Some(Header::read(line)?.level)).min();
    let kind = match finest {
        Some(_) => Kind::Error,
        None if stderr || named_error(name) => Kind::Error,
        None if lines.is_empty() && text.len() < 4096 => Kind::Undecided,
        None => Kind::Other,
    };
    Classified { kind, level: finest }
}

fn named_error(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    name.contains("error") && !name.contains("access")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "2026/11/20 09:12:01 [error] 1713#1714: *5 upstream timed out\n";
    const ACCESS: &str = "10.0.0.1 - - [20/Nov/2026:09:12:01 +0000] \"GET / HTTP/1.1\" 502 150\n";

    fn kind(text: &str, name: &str) -> Kind {
        classify_text(text.as_bytes(), false, name, false).kind
    }

    #[test]
    fn headers() {
        let header = Header::read(LINE.as_bytes()).unwrap();
        assert_eq!((header.pid, header.level.name()), (1713, "error"));
        for wrong in [
            "",
            "2026/11/20 09:12:01",
            "2026/11/20 09:12:01 [error] ",
            "2026-11-20 09:12:01 [error] 1#1: x",
            "2026/11/20 09:12:01 [nonsense] 1#1: x",
            "2026/11/20 09:12:01 [error] -1#1: x",
            "2026/11/20 09:12:01 [error] 99999999999#1: x",
            "2026/11/20 09:12:01 [error] 1#\u{ff}: x",
            ACCESS,
        ] {
            assert_eq!(Header::read(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn content_goes_before_the_name() {
        assert_eq!(kind(LINE, "/var/log/access.log"), Kind::Error);
        assert_eq!(kind(&format!("{ACCESS}{LINE}"), "/x"), Kind::Error);
        assert_eq!(kind(ACCESS, "/var/log/access.log"), Kind::Other);
        assert_eq!(kind(ACCESS, "/var/log/errors/site.log"), Kind::Other);
        assert_eq!(kind("panic!\n", "/var/log/nginx/site-error.log.1"), Kind::Error);
        assert_eq!(kind(ACCESS, "/var/log/error-pages-access.log"), Kind::Other);
    }

    #[test]
    fn without_a_line_the_name_or_later() {
        assert_eq!(kind("", "/var/log/error.log"), Kind::Error);
        assert_eq!(kind("", "/var/log/site.log"), Kind::Undecided);
        assert_eq!(kind("2026/11", "/var/log/site.log"), Kind::Undecided);
        assert_eq!(classify_text(b"started\n", false, "/startup.log", true).kind, Kind::Error);
        assert_eq!(kind(&"x".repeat(8000), "/var/lib/blob"), Kind::Other);
    }

    #[test]
    fn the_first_line_of_a_piece_is_not_whole() {
        let classified = classify_text(format!("{LINE}{ACCESS}").as_bytes(), true, "/x", false);
        assert_eq!(classified, Classified { kind: Kind::Other, level: None });
    }

    #[test]
    fn the_finest_level() {
        let level = |text: &str| classify_text(text.as_bytes(), false, "/x", false).level.map(Level::name);
        assert_eq!(level(LINE), Some("error"));
        assert_eq!(level(&format!("{LINE}{}", LINE.replace("error", "notice"))), Some("notice"));
        assert_eq!(level(&LINE.replace("error", "crit")), Some("crit"));
        let passes: Vec<_> = (0..LEVELS.len()).filter(|level| Level(*level).lets_errors_pass()).collect();
        assert_eq!(passes, [0, 1, 2, 3, 4]);
    }
}

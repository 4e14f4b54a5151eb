//! The format of the container runtime interface: `TIME stderr F TEXT`. The third word holds tags, of which the first
//! says whether the line is whole (`F`) or goes on (`P`).

use std::borrow::Cow;

use super::{Piece, Stream, received};

/// Longest time, `2026-11-28T22:55:48.139986842+00:00`, and then some.
const LONGEST_TIME: usize = 40;

pub(super) fn open(line: &[u8]) -> Option<Piece<'_>> {
    let (time, rest) = word(line, LONGEST_TIME)?;
    let (stream, rest) = word(rest, 6)?;
    let stream = match stream {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        _ => return None,
    };
    // An empty line may end with its tags.
    let (tags, text) = word(rest, 64).or_else(|| Some((str::from_utf8(rest).ok()?, &b""[..])))?;
    let partial = match tags.split(':').next()? {
        "F" => false,
        "P" => true,
        _ => return None,
    };
    Some(Piece {
        text: Cow::Borrowed(text),
        received: Some(received(time)?),
        stream: Some(stream),
        partial,
        container: None,
        unit: None,
        pid: None,
        suppressed: 0,
    })
}

fn word(text: &[u8], longest: usize) -> Option<(&str, &[u8])> {
    let end = text.iter().take(longest + 1).position(|byte| *byte == b' ')?;
    Some((str::from_utf8(&text[..end]).ok()?, &text[end + 1..]))
}

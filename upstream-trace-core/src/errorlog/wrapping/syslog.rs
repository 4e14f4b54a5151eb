//! Syslog, as nginx sends it (`<187>Nov 28 22:55:25 host nginx: TEXT`), and as daemons write it to files: with or without
//! the priority, the time in the form of RFC 3339, in the order of RFC 5424.
//!
//! The time is nginx's own, in whole seconds: it says no more than the text does. What follows the tag must look like a line
//! of an error.log, or this is somebody else's.

use std::borrow::Cow;

use super::Piece;

/// Longest word before the text: a host name and a tag, bytes.
const LONGEST_WORD: usize = 255;
/// Words of RFC 5424 between the time and the text: host, application, process, message id.
const WORDS: usize = 4;

pub(super) fn open(line: &[u8]) -> Option<Piece<'_>> {
    let text = text(line)?;
    Some(Piece {
        text: Cow::Borrowed(text),
        received: None,
        stream: None,
        partial: false,
        container: None,
        unit: None,
        pid: None,
        suppressed: 0,
    })
}

/// What the line holds; `None` if it is none of syslog's.
fn text(line: &[u8]) -> Option<&[u8]> {
    let (rest, prioritized) = match line.strip_prefix(b"<") {
        Some(rest) => (priority(rest)?, true),
        None => (line, false),
    };
    if prioritized && let Some(rest) = rest.strip_prefix(b"1 ") {
        return structured(rest);
    }
    behind_tag(short_time(rest).or_else(|| long_time(rest))?)
}

/// What follows a host and a tag, or a tag alone, if that is a line of an error.log. The journal leaves as much before it.
pub(super) fn behind_tag(text: &[u8]) -> Option<&[u8]> {
    let (first, rest) = word(text)?;
    let rest =
        if first.ends_with(b":") { rest } else { word(rest).filter(|(tag, _)| tag.ends_with(b":"))?.1 };
    line_of_nginx(rest)
}

/// RFC 5424, after its version.
fn structured(text: &[u8]) -> Option<&[u8]> {
    let mut rest = long_time(text).or_else(|| text.strip_prefix(b"- "))?;
    for _ in 0..WORDS {
        rest = word(rest)?.1;
    }
    // nginx has no structured data; a daemon may add some.
    let rest = match rest.strip_prefix(b"-") {
        Some(rest) => rest,
        None => behind_data(rest)?,
    };
    line_of_nginx(rest)
}

/// What follows `[id name="value"]...`.
fn behind_data(mut text: &[u8]) -> Option<&[u8]> {
    while let Some(rest) = text.strip_prefix(b"[") {
        let mut escaped = false;
        let end = rest.iter().position(|byte| {
            let is_end = *byte == b']' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            is_end
        })?;
        text = &rest[end + 1..];
    }
    text.starts_with(b" ").then_some(text)
}

fn line_of_nginx(text: &[u8]) -> Option<&[u8]> {
    let text = text.trim_ascii_start();
    let is_one = shaped(text, b"0000/00/00 00:00:00 [") || text.starts_with(b"{\"");
    is_one.then_some(text)
}

/// `187>`.
fn priority(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().take(4).position(|byte| *byte == b'>')?;
    (end > 0 && text[..end].iter().all(u8::is_ascii_digit)).then(|| &text[end + 1..])
}

/// `Nov 28 22:55:25 `, a day of one digit after two spaces.
fn short_time(text: &[u8]) -> Option<&[u8]> {
    let fits = text.get(..3)?.iter().all(u8::is_ascii_alphabetic)
        && (shaped(&text[3..], b" 00 00:00:00 ") || shaped(&text[3..], b"  0 00:00:00 "));
    fits.then(|| &text[16..])
}

/// `2026-11-28T22:55:25.139986+00:00 `.
fn long_time(text: &[u8]) -> Option<&[u8]> {
    let (time, rest) = word(text)?;
    shaped(time, b"0000-00-00T00:00:00").then_some(rest)
}

/// It begins so; `0` stands for any digit.
fn shaped(text: &[u8], shape: &[u8]) -> bool {
    let begin = text.get(..shape.len());
    begin.is_some_and(|begin| {
        begin.iter().zip(shape).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        })
    })
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().take(LONGEST_WORD + 1).position(|byte| *byte == b' ')?;
    (end > 0).then(|| (&text[..end], &text[end + 1..]))
}

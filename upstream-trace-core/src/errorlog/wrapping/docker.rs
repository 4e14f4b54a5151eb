//! Docker's `json-file`. A line of more than 16 KiB is cut; only its last piece has the end of the line.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Piece, Stream, received};

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

pub(super) fn open(line: &[u8]) -> Option<Piece<'_>> {
    if !line.starts_with(b"{") {
        return None;
    }
    let Envelope { log, stream, time } = serde_json::from_slice(line).ok()?;
    let (text, whole) = without_end(log);
    Some(Piece {
        text,
        received: Some(received(&time)?),
        stream: match &*stream {
            "stdout" => Some(Stream::Stdout),
            "stderr" => Some(Stream::Stderr),
            _ => None,
        },
        partial: !whole,
        container: None,
        unit: None,
        pid: None,
        suppressed: 0,
    })
}

/// Without the end of the line, and whether there was one.
fn without_end(text: Cow<'_, str>) -> (Cow<'_, [u8]>, bool) {
    match text {
        Cow::Borrowed(text) => {
            let whole = text.strip_suffix('\n');
            (Cow::Borrowed(whole.unwrap_or(text).as_bytes()), whole.is_some())
        }
        Cow::Owned(mut text) => {
            let whole = text.ends_with('\n');
            text.truncate(text.len() - usize::from(whole));
            (Cow::Owned(text.into_bytes()), whole)
        }
    }
}

//! The journal, as `journalctl -o json` writes it: an object a line. A field that is no text is a list of its bytes, and
//! one that occurs several times is a list of its values.

use std::borrow::Cow;

use serde::Deserialize;

use super::syslog::behind_tag;
use super::{Piece, Stream};

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "MESSAGE", borrow)]
    message: Message<'a>,
    #[serde(rename = "__REALTIME_TIMESTAMP", borrow)]
    received: Cow<'a, str>,
    #[serde(rename = "_SOURCE_REALTIME_TIMESTAMP", borrow, default)]
    source: Option<Cow<'a, str>>,
    #[serde(rename = "CONTAINER_ID_FULL", borrow, default)]
    container: Option<Cow<'a, str>>,
    #[serde(rename = "CONTAINER_PARTIAL_MESSAGE", borrow, default)]
    partial: Option<Cow<'a, str>>,
    #[serde(rename = "PRIORITY", borrow, default)]
    priority: Option<Cow<'a, str>>,
    #[serde(rename = "_PID", borrow, default)]
    pid: Option<Cow<'a, str>>,
    #[serde(rename = "_SYSTEMD_UNIT", borrow, default)]
    unit: Option<Cow<'a, str>>,
    #[serde(rename = "_TRANSPORT", borrow, default)]
    transport: Option<Cow<'a, str>>,
    #[serde(rename = "N_DROPPED", borrow, default)]
    dropped: Option<Cow<'a, str>>,
}

pub(super) fn open(line: &[u8]) -> Option<Piece<'_>> {
    if !line.starts_with(b"{") {
        return None;
    }
    let envelope: Envelope<'_> = serde_json::from_slice(line).ok()?;
    let message = envelope.message.bytes();
    let suppressed = suppressed(&message, envelope.transport.as_deref(), envelope.dropped.as_deref());
    // What the writer's own clock says is earlier than when the journal received it.
    let micros: u64 = envelope.source.unwrap_or(envelope.received).parse().ok()?;
    // Both drivers give stderr this priority, and stdout 6; a unit gives both the same.
    let stream = match (&envelope.container, envelope.priority.as_deref()) {
        (Some(_), Some("3")) => Some(Stream::Stderr),
        (Some(_), Some("6")) => Some(Stream::Stdout),
        _ => None,
    };
    Some(Piece {
        text: without_tag(message),
        received: Some(micros.checked_mul(1_000)?),
        stream,
        partial: envelope.partial.as_deref() == Some("true"),
        // Of a container's lines the process is the runtime's.
        pid: envelope.pid.filter(|_| envelope.container.is_none()).and_then(|pid| pid.parse().ok()),
        container: envelope.container,
        unit: envelope.unit,
        suppressed,
    })
}

/// How many entries of a unit the journal left out, in its own words: nobody else's have this transport.
fn suppressed(message: &[u8], transport: Option<&str>, dropped: Option<&str>) -> u64 {
    let Some(rest) = message.strip_prefix(b"Suppressed ").filter(|_| transport == Some("driver")) else {
        return 0;
    };
    let said = || str::from_utf8(rest).ok()?.split(' ').next()?.parse().ok();
    // Older journals say it in the message alone.
    dropped.and_then(|number| number.parse().ok()).or_else(said).unwrap_or(1)
}

/// What came by syslog begins with the name of the host and the tag: the journal expects no host there.
fn without_tag(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(behind_tag(text).unwrap_or(text)),
        Cow::Owned(text) => match behind_tag(&text) {
            Some(rest) => Cow::Owned(rest.to_vec()),
            None => Cow::Owned(text),
        },
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Message<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Bytes(Vec<u8>),
}

impl<'a> Message<'a> {
    fn bytes(self) -> Cow<'a, [u8]> {
        match self {
            Self::Text(Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
            Self::Text(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
            Self::Bytes(bytes) => Cow::Owned(bytes),
        }
    }
}

//! One line, taken apart.

use crate::event::LogLine;

use super::tags;
use super::text::{LONGEST, clean};

/// Ways to read a line that are compared.
const MAX_WAYS: usize = 16;

/// Takes a line apart; `None` if it is none of nginx's error.log. `at`, `worker` and `file` are for the caller to fill.
///
/// Takes any bytes. If a line can be read in two ways (words of an upstream that look like nginx's own), the result
/// names no upstream.
#[must_use]
pub fn parse(line: &[u8]) -> Option<LogLine> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.starts_with(b"{") {
        return super::json::parse(line);
    }
    let truncated = line.len() >= LONGEST - 1;
    // Nothing behind the longest line is nginx's.
    let text = clean(&line[..line.len().min(2 * LONGEST)]);
    let (mut found, rest) = head(&text)?;
    found.truncated = truncated;
    let (message, tail) = body(rest);
    found.message = message.to_owned();
    found.action = action(message).map(str::to_owned);
    found.errno = errno(message, found.action.as_deref());
    if let Some(tail) = tail {
        tail.fill(&mut found);
    }
    Some(found)
}

/// `2026/11/20 09:12:01 [error] 1713#1713: *5 `, and what follows.
fn head(text: &str) -> Option<(LogLine, &str)> {
    let time = text.get(..19)?;
    let shape = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'/',
        10 => byte == b' ',
        13 | 16 => byte == b':',
        _ => byte.is_ascii_digit(),
    };
    if !time.bytes().enumerate().all(shape) {
        return None;
    }
    let (level, rest) = text[19..].strip_prefix(" [")?.split_once("] ")?;
    if level.is_empty() || !level.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return None;
    }
    let (pid, rest) = rest.split_once('#')?;
    let (thread, rest) = rest.split_once(": ")?;
    let _: u32 = number(thread)?;
    let numbered = rest.strip_prefix('*').and_then(|rest| {
        let (connection, rest) = rest.split_once(' ')?;
        Some((number::<u64>(connection)?, rest))
    });
    let found = LogLine {
        pid: number(pid)?,
        time: time.to_owned(),
        level: level.to_owned(),
        connection: numbered.map(|(connection, _)| connection),
        ..LogLine::default()
    };
    Some((found, numbered.map_or(rest, |(_, rest)| rest)))
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// What nginx was doing: the last ` while ` of the message, unless it stands in quotes.
pub(super) fn action(message: &str) -> Option<&str> {
    let (_, action) = message.rsplit_once(" while ")?;
    (!action.is_empty() && !action.contains('"')).then_some(action)
}

/// nginx appends `(NUMBER: text)` to its words, before ` while `.
fn errno(message: &str, action: Option<&str>) -> Option<i32> {
    let words = action
        .and_then(|action| message.strip_suffix(action)?.strip_suffix(" while "))
        .unwrap_or(message)
        .strip_suffix(')')?;
    let (before, error) = words.rsplit_once(" (").filter(|(_, error)| error.contains(": "))?;
    let code = number(error.split_once(": ")?.0)?;
    // The answer code of a name server stands in the same place.
    let answer = before.ends_with("could not be resolved") || before.ends_with("DNS error");
    (!answer || code >= 100).then_some(code)
}

/// The message, and the parts behind it.
fn body(text: &str) -> (&str, Option<Tail<'_>>) {
    let quote = text.find('"').unwrap_or(text.len());
    let mut found: Option<(&str, Tail<'_>)> = None;
    // Of words that look like many such parts, the first ones are enough to know that they are somebody's.
    let parts = text.match_indices(", ").filter_map(|(at, _)| Some((at, Tail::read(&text[at..])?)));
    for (way, (at, tail)) in parts.enumerate() {
        match &found {
            Some((message, _)) if way == MAX_WAYS => return (message, Some(Tail::default())),
            None => found = Some((&text[..at], tail)),
            Some((_, first)) if first.upstream == tail.upstream && first.client == tail.client => {}
            Some((message, _)) => return (message, Some(Tail::default())),
        }
        // The client's words come later; words of the upstream stand in quotes.
        if at <= quote {
            break;
        }
    }
    found.map_or((text, None), |(message, tail)| (message, Some(tail)))
}

/// The parts behind the message, in the order in which nginx writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tail<'a> {
    client: Option<&'a str>,
    server: Option<&'a str>,
    request: Option<&'a str>,
    subrequest: Option<&'a str>,
    upstream: Option<&'a str>,
    host: Option<&'a str>,
    resolver: Option<&'a str>,
    udp: bool,
    /// What follows on them.
    rest: &'a str,
}

/// What may follow on a quoted part.
const PARTS: [&str; 6] =
    [", subrequest: \"", ", upstream: \"", ", host: \"", ", referrer: \"", ", bytes from/to ", ", login: \""];

impl<'a> Tail<'a> {
    /// Reads the parts from `, client: `, `, resolver: ` or `, context: ` (of a Lua program) on.
    fn read(text: &'a str) -> Option<Self> {
        let mut tail = Self::default();
        if let Some(resolver) = text.strip_prefix(", resolver: ") {
            let (resolver, rest) = value(resolver, &[',', ' ', '"']);
            tail.resolver = Some(resolver);
            return rest.is_empty().then_some(tail);
        }
        if let Some(context) = text.strip_prefix(", context: ") {
            return (!context.contains([' ', '"'])).then_some(tail);
        }
        let rest = text.strip_prefix(", client: ").or_else(|| text.strip_prefix(", udp client: "))?;
        let (client, mut rest) = value(rest, &[',', ' ', '"']);
        let address = client.starts_with("unix:")
            || client.bytes().all(|b| b.is_ascii_hexdigit() || b"[]:.".contains(&b));
        if client.is_empty() || !address || !(rest.is_empty() || rest.starts_with(", ")) {
            return None;
        }
        tail.client = Some(client);
        tail.udp = text.starts_with(", udp ");
        if let Some(named) = rest.strip_prefix(", server: ") {
            let (server, after) = value(named, &[',']);
            (tail.server, rest) = (Some(server), after);
        }
        tail.request = request(&mut rest);
        tail.subrequest = quoted(", subrequest: \"", &mut rest);
        tail.upstream = quoted(", upstream: \"", &mut rest);
        if rest.is_empty() && !text.ends_with('"') {
            tail.upstream = tail.upstream.filter(|upstream| address_is_whole(upstream));
        }
        tail.host = quoted(", host: \"", &mut rest);
        tail.rest = rest;
        Some(tail)
    }

    fn fill(&self, line: &mut LogLine) {
        let own = |part: Option<&str>| part.map(str::to_owned);
        line.client = own(self.client);
        line.server = own(self.server);
        line.request = own(self.request);
        line.subrequest = own(self.subrequest);
        line.upstream = own(self.upstream);
        line.host = own(self.host);
        line.resolver = own(self.resolver);
        line.udp = self.udp;
        line.tags = tags::tags(self.rest);
    }
}

/// A value and what follows: Angie quotes those that nginx leaves bare, which end at one of `ends`.
fn value<'a>(text: &'a str, ends: &[char]) -> (&'a str, &'a str) {
    let Some(inner) = text.strip_prefix('"') else {
        return text.split_at(text.find(ends).unwrap_or(text.len()));
    };
    inner.split_once('"').unwrap_or((inner, ""))
}

/// The request line. nginx takes no request with more behind its `HTTP/1.1`, so that the first one ends it.
fn request<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let names = [", request: \"", ", request_line: \""];
    let (name, text) = names.iter().find_map(|name| Some((name, rest.strip_prefix(name)?)))?;
    let versioned = text.match_indices('"').find(|(at, _)| {
        text[..*at].trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').ends_with(" HTTP/")
    });
    match versioned {
        Some((end, _)) => {
            *rest = &text[end + 1..];
            Some(&text[..end])
        }
        None => quoted(name, rest),
    }
}

/// Of an upstream that was cut off, the address is known only if something stood behind it.
fn address_is_whole(upstream: &str) -> bool {
    let address = upstream.split_once("://").map_or("", |(_, rest)| rest);
    address.contains('/') && !address.starts_with("unix:")
}

/// A part in quotes: up to the first quote on which another part or the end follows, or else a tag. What was cut off
/// has no end.
fn quoted<'a>(name: &str, rest: &mut &'a str) -> Option<&'a str> {
    let text = rest.strip_prefix(name)?;
    let ends = |follows: &dyn Fn(&str) -> bool| {
        text.match_indices('"').map(|(at, _)| at).find(|at| follows(&text[at + 1..]))
    };
    let end = ends(&|after| PARTS.iter().any(|part| after.starts_with(part)))
        .or_else(|| ends(&tags::is_start))
        .or_else(|| text.ends_with('"').then(|| text.len() - 1))
        .unwrap_or(text.len());
    *rest = text.get(end + 1..).unwrap_or_default();
    Some(&text[..end])
}

#[cfg(test)]
mod tests;

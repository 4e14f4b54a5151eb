//! The upstream that a line names.

use std::net::SocketAddr;

use crate::event::{LONGEST_PATH, LogLine, Upstream};

/// The upstream's address, if the line names one (and not a group of upstreams).
///
/// When the timeout of a unix socket has run out, nginx leaves away the colon between its path and that of the request.
/// Then the path is taken to end after `.sock` or `.socket`, and is not known without; see [`fits`].
#[must_use]
pub fn upstream_address(line: &LogLine) -> Option<Upstream> {
    let Some(upstream) = line.upstream.as_deref() else { return of_program(line).map(Upstream::Tcp) };
    let (scheme, rest) = split(upstream);
    if let Some(path) = rest.strip_prefix("unix:") {
        return unix_path(scheme, path)
            .filter(|path| (1..=LONGEST_PATH).contains(&path.len()))
            .map(|p| Upstream::Unix(p.to_owned()));
    }
    authority(rest).parse::<SocketAddr>().ok().map(Upstream::Tcp)
}

/// Where a Lua program connected to, if its words tell.
fn of_program(line: &LogLine) -> Option<SocketAddr> {
    let (_, to) = line.message.strip_prefix("lua ")?.split_once("connecting to ")?;
    to.split([',', ' ']).next()?.parse().ok()
}

/// The line names this upstream.
#[must_use]
pub fn fits(line: &LogLine, upstream: &Upstream) -> bool {
    let Some((_, rest)) = line.upstream.as_deref().map(split) else { return false };
    match upstream {
        Upstream::Tcp(address) => authority(rest).parse() == Ok(*address),
        Upstream::Unix(path) => {
            let after = rest.strip_prefix("unix:").and_then(|rest| rest.strip_prefix(path.as_str()));
            // A socket is no folder: what follows on a slash is of the request.
            after.is_some_and(|after| {
                after.is_empty() || after.starts_with('/') || after == ":" || after.starts_with(":/")
            })
        }
    }
}

/// What the path of a unix upstream that the line names may be, shortest first; see [`fits`].
pub(crate) fn unix_paths(line: &LogLine) -> impl Iterator<Item = &str> {
    let text = line.upstream.as_deref().and_then(|upstream| split(upstream).1.strip_prefix("unix:"));
    let ends = |text: &str, at: usize| {
        let after = &text[at..];
        after.starts_with('/') || after == ":" || after.starts_with(":/")
    };
    text.into_iter().flat_map(move |text| {
        let within =
            text.match_indices(['/', ':']).map(|(at, _)| at).filter(move |at| *at > 0 && ends(text, *at));
        within.chain([text.len()]).map(move |end| &text[..end])
    })
}

/// The group of upstreams that the line names, where no address was tried.
#[must_use]
pub fn upstream_group(line: &LogLine) -> Option<&str> {
    let (_, rest) = split(line.upstream.as_deref()?);
    let name = authority(rest);
    let group = !rest.starts_with("unix:") && !name.is_empty() && name.parse::<SocketAddr>().is_err();
    group.then_some(name)
}

/// Scheme and what follows.
fn split(text: &str) -> (&str, &str) {
    text.split_once("://").filter(|(scheme, _)| !scheme.contains(['/', ':'])).unwrap_or(("", text))
}

fn authority(rest: &str) -> &str {
    rest.split(['/', '?']).next().unwrap_or_default()
}

fn unix_path<'a>(scheme: &str, text: &'a str) -> Option<&'a str> {
    if let Some((path, _)) = text.split_once(":/") {
        return Some(path);
    }
    if let Some(path) = text.strip_suffix(':') {
        return Some(path);
    }
    // No path of a request follows with these.
    if !matches!(scheme, "http" | "https") {
        return Some(text);
    }
    let end =
        [".sock/", ".socket/"].iter().filter_map(|end| text.find(end).map(|at| at + end.len() - 1)).min();
    match end {
        Some(end) => Some(&text[..end]),
        None => [".sock", ".socket"].iter().any(|end| text.ends_with(end)).then_some(text),
    }
}

//! Takes out of a recording who asked for what: every such text becomes a name that stands for it, always the same one.
//!
//! What verdicts rest on stays as it is: nginx's own words, addresses of upstreams, paths of their sockets.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};

use sha2::{Digest, Sha256};
use upstream_trace_core::errorlog;
use upstream_trace_core::event::{Event, Host, LogLine, Private, Upstream};

/// Texts of a kind that get a name of their own; the others share one.
const KNOWN: usize = 65_536;
/// Sockets that are remembered.
const SOCKETS: usize = 4_096;
/// What stands in place of a text that nginx quotes.
const QUOTED: &str = "(redacted)";

/// Gives out names.
#[derive(Debug)]
struct Names<K> {
    numbers: HashMap<K, usize>,
}

impl<K> Default for Names<K> {
    fn default() -> Self {
        Self { numbers: HashMap::new() }
    }
}

impl<K: Eq + Hash> Names<K> {
    /// The number of a text; numbers count from 1, and 0 is that of all beyond what is kept.
    fn number(&mut self, text: K) -> usize {
        let next = self.numbers.len() + 1;
        if next > KNOWN {
            self.numbers.get(&text).copied().unwrap_or(0)
        } else {
            *self.numbers.entry(text).or_insert(next)
        }
    }
}

/// Replaces private texts, the same one always by the same name.
#[derive(Debug, Default)]
pub struct Redactor {
    clients: Names<String>,
    hosts: Names<String>,
    paths: Names<String>,
    files: Names<String>,
    /// Sockets of upstreams: what stands behind them in nginx's words is of a request.
    sockets: Vec<String>,
}

impl Redactor {
    /// Replaces what is private in an event.
    pub fn event(&mut self, event: &mut Event) {
        self.remember(event);
        if let Event::Host(host) = event {
            own_name(host);
            return;
        }
        if let Event::Log(line) = event
            && let Some(upstream) = &line.upstream
        {
            line.upstream = Some(self.url(line, upstream));
        }
        event.private(&mut |kind, text| *text = self.name(kind, text));
    }

    fn remember(&mut self, event: &Event) {
        let upstream = match event {
            Event::Trouble(attempt) | Event::End(attempt) => attempt.upstream.as_ref(),
            Event::ConnectError(error) => Some(&error.upstream),
            Event::Upstream(sample) => sample.upstream.as_ref(),
            _ => None,
        };
        if let Some(Upstream::Unix(path)) = upstream
            && self.sockets.len() < SOCKETS
            && !self.sockets.contains(path)
        {
            self.sockets.push(path.clone());
        }
    }

    fn name(&mut self, kind: Private, text: &str) -> String {
        match kind {
            Private::Client if text.starts_with("unix:") => "unix:".to_owned(),
            Private::Client => format!("client-{}", self.clients.number(text.to_owned())),
            Private::Host => self.host(text),
            Private::Request => self.request(text),
            Private::Path => self.path(text),
            // Replaced before: it takes the whole line to know where the path begins.
            Private::Url => text.to_owned(),
            Private::Words => self.words(text),
            Private::Target => self.target(text),
            Private::File => self.file(text),
            Private::Text => QUOTED.to_owned(),
            Private::Rule => without_comment(text),
        }
    }

    /// A name, whose port stays. What is no name stays as well: the `_` of a server for all, an address to listen on.
    fn host(&mut self, text: &str) -> String {
        if text.is_empty() || text == "_" || text.starts_with("0.0.0.0") || text.starts_with("[::]") {
            return text.to_owned();
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                (name, format!(":{port}"))
            }
            _ => (text, String::new()),
        };
        format!("host-{}{port}", self.hosts.number(name.to_ascii_lowercase()))
    }

    /// A name like that of a host; an address and the path of a socket stay.
    fn target(&mut self, text: &str) -> String {
        let address = text.parse::<SocketAddr>().is_ok() || text.parse::<IpAddr>().is_ok();
        if address || text.starts_with("unix:") { text.to_owned() } else { self.host(text) }
    }

    /// `file-1`, and the line in it.
    fn file(&mut self, text: &str) -> String {
        let (file, line) = match text.rsplit_once(':') {
            Some((file, line)) if !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit()) => {
                (file, format!(":{line}"))
            }
            _ => (text, String::new()),
        };
        if file.is_empty() {
            return text.to_owned();
        }
        format!("file-{}{line}", self.files.number(file.to_owned()))
    }

    /// `/path-1`, and that there was a query.
    fn path(&mut self, text: &str) -> String {
        let (path, query) = text.split_once('?').map_or((text, ""), |(path, _)| (path, "?..."));
        if path == "/" || path.is_empty() {
            return format!("{path}{query}");
        }
        format!("/path-{}{query}", self.paths.number(path.to_owned()))
    }

    /// The method and the version stay, if they are any.
    fn request(&mut self, text: &str) -> String {
        let mut words = text.split(' ');
        let method =
            words.next().filter(|word| word.len() <= 16 && word.bytes().all(|b| b.is_ascii_uppercase()));
        let version = text.rsplit_once(' ').map(|(_, version)| version).filter(|version| {
            version.len() == 8
                && version.starts_with("HTTP/")
                && version.ends_with(|c: char| c.is_ascii_digit())
        });
        let target = text.strip_prefix(method.unwrap_or_default()).unwrap_or(text);
        let target = target.strip_suffix(version.unwrap_or_default()).unwrap_or(target).trim();
        [method.unwrap_or("?"), &self.path(target), version.unwrap_or_default()]
            .join(" ")
            .trim_end()
            .to_owned()
    }

    /// `http://10.0.0.2:80/path-1`; a group of upstreams has the name of a host.
    fn url(&mut self, line: &LogLine, text: &str) -> String {
        let (scheme, rest) =
            text.split_once("://").map_or(("", text), |(scheme, rest)| (&text[..scheme.len() + 3], rest));
        if rest.starts_with("unix:") {
            let socket = self.socket(line, rest);
            let (socket, path) = rest.split_at(socket);
            let colon = if path.starts_with(':') { ":" } else { "" };
            return format!("{scheme}{socket}{colon}{}", self.path(&path[colon.len()..]));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let address = authority.parse::<SocketAddr>().is_ok();
        let authority = if address { authority.to_owned() } else { self.host(authority) };
        format!("{scheme}{authority}{}", self.path(path))
    }

    /// Where the path of the socket ends; with its `unix:` alone if that is not known.
    fn socket(&self, line: &LogLine, rest: &str) -> usize {
        const PREFIX: usize = "unix:".len();
        let known = self.sockets.iter().filter(|path| errorlog::fits(line, &Upstream::Unix((*path).clone())));
        let known = known.map(String::len).max();
        let told = || match errorlog::upstream_address(line) {
            Some(Upstream::Unix(path)) => Some(path.len()),
            _ => None,
        };
        let end = PREFIX + known.or_else(told).unwrap_or(0);
        if rest.is_char_boundary(end) { end } else { PREFIX }
    }

    /// nginx's own words, without what they quote and the names that they hold.
    fn words(&mut self, text: &str) -> String {
        let mut words = text.to_owned();
        if let Some(open) = words.find('"') {
            let close = words.rfind('"').filter(|close| *close > open).unwrap_or(words.len());
            words.replace_range(open + 1..close, QUOTED);
        }
        if let Some((name, rest)) = words.split_once(" could not be resolved (") {
            return format!("{} could not be resolved ({rest}", self.host(name));
        }
        for before in ["no resolver defined to resolve ", "DNS response for "] {
            if let Some((begin, name)) = words.split_once(before) {
                let (name, rest) = name.split_at(name.find(' ').unwrap_or(name.len()));
                return format!("{begin}{before}{}{rest}", self.host(name));
            }
        }
        words
    }
}

/// A name that other recordings of the host do not have: it tells them apart, and nothing else.
fn own_name(host: &mut Host) {
    if host.hostname.is_empty() {
        return;
    }
    host.hostname.clear();
    let hash = Sha256::digest(format!("{host:?}"));
    host.hostname = hash.iter().take(3).fold("host-".to_owned(), |mut name, byte| {
        let _infallible = write!(name, "{byte:02x}");
        name
    });
}

/// A rule whose comment holds nothing.
fn without_comment(text: &str) -> String {
    for mark in ["comment \"", "--comment \""] {
        if let Some((begin, rest)) = text.split_once(mark) {
            let end = rest.rfind('"').map_or("", |end| &rest[end..]);
            return format!("{begin}{mark}{QUOTED}{end}");
        }
    }
    match text.split_once("--comment ") {
        Some((begin, rest)) => {
            let rest = rest.find(' ').map_or("", |end| &rest[end..]);
            format!("{begin}--comment {QUOTED}{rest}")
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;

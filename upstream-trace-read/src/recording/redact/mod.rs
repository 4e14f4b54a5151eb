//! Takes out of events who asked for what: every such text becomes a name that stands for it, always the same one.
//!
//! What verdicts rest on stays as it is: nginx's own words, addresses of upstreams and name servers, paths of sockets,
//! names of programs, interfaces, tables and chains. `tests/redaction.rs` has the list.

mod message;
mod names;
mod rule;
mod texts;

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use sha2::{Digest, Sha256};
use upstream_trace_core::errorlog;
use upstream_trace_core::event::{Event, Host, LogLine, Private, Upstream};

use names::Names;

/// Sockets that are remembered.
const SOCKETS: usize = 4_096;
/// What stands in place of a text that gets no name.
const REDACTED: &str = "(redacted)";

/// Parameters of a `server` whose values say nothing about anybody.
const PARAMETERS: [&str; 9] =
    ["weight", "max_conns", "max_fails", "fail_timeout", "slow_start", "backup", "down", "resolve", "drain"];

/// Replaces private texts, the same one always by the same name.
#[derive(Debug, Default)]
pub struct Redactor {
    clients: Names,
    hosts: Names,
    paths: Names,
    files: Names,
    workloads: Names,
    /// Addresses of upstreams: they stay wherever they stand.
    upstreams: Names,
    /// nginx may connect from addresses of clients.
    transparent: Option<bool>,
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
        if let Event::Log(line) = event {
            let message = self.message(line);
            if let Some(upstream) = &line.upstream {
                line.upstream = Some(self.url(line, upstream));
            }
            line.message = message;
        }
        event.private(&mut |kind, text| *text = self.name(kind, text));
    }

    fn remember(&mut self, event: &Event) {
        if let Event::Config(config) = event {
            // One that is transparent is enough.
            self.transparent = self.transparent.max(config.transparent);
            let servers = config.groups.iter().flat_map(|group| &group.servers).map(|server| &server.target);
            let targets = servers.chain(config.passes.iter().filter_map(|pass| pass.target.as_ref()));
            for ip in targets.flat_map(|target| &target.addresses).filter_map(Upstream::ip) {
                self.upstreams.number(&ip.to_string());
            }
        }
        let upstream = match event {
            Event::Trouble(attempt) | Event::End(attempt) => attempt.upstream.as_ref(),
            Event::ConnectError(error) => Some(&error.upstream),
            Event::Upstream(sample) => sample.upstream.as_ref(),
            _ => None,
        };
        if let Some(ip) = upstream.and_then(Upstream::ip) {
            self.upstreams.number(&ip.to_string());
        }
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
            Private::Client => format!("client-{}", self.clients.number(text)),
            Private::Host => self.host(text),
            Private::Request => self.request(text),
            Private::Path => self.path(text),
            // Replaced before: it takes the whole line to know where the path begins, and what the message is about.
            Private::Url | Private::Words => text.to_owned(),
            Private::Action => message::action(text),
            Private::Workload => format!("workload-{}", self.workloads.number(text)),
            Private::Parameters => parameters(text),
            Private::Local => self.local(text),
            Private::Target => self.target(text),
            Private::File => self.file(text),
            Private::Text => REDACTED.to_owned(),
            Private::Rule => rule::without_texts(text),
        }
    }

    /// With `proxy_bind ... transparent` nginx connects from the address of a client. In a recording without that fact
    /// one that a line has named before is taken for such.
    fn local(&mut self, text: &str) -> String {
        let Ok(address) = text.parse::<SocketAddr>() else { return text.to_owned() };
        let ip = address.ip();
        if ip.is_loopback() || self.upstreams.known(&ip.to_string()).is_some() {
            return text.to_owned();
        }
        let number = match self.transparent {
            Some(true) => Some(self.clients.number(&ip.to_string())),
            Some(false) => None,
            None => self.clients.known(&ip.to_string()),
        };
        number.map_or_else(
            || text.to_owned(),
            |number| SocketAddr::new(stand_in(number), address.port()).to_string(),
        )
    }

    /// A note of the program, without the names of files.
    #[must_use]
    pub fn note(&mut self, text: &str) -> String {
        let word = |word: &str| if word.contains('/') { self.file(word) } else { word.to_owned() };
        text.split(' ').map(word).collect::<Vec<_>>().join(" ")
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
        format!("host-{}{port}", self.hosts.number(&name.to_ascii_lowercase()))
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
        format!("file-{}{line}", self.files.number(file))
    }

    /// `/path-1`, and that there was a query.
    fn path(&mut self, text: &str) -> String {
        // `location = /auth` is the path of a subrequest `/auth`.
        if let Some((modifier @ ("=" | "^~" | "~" | "~*"), path)) = text.split_once(' ') {
            return format!("{modifier} {}", self.path(path));
        }
        let (path, query) = text.split_once('?').map_or((text, ""), |(path, _)| (path, "?..."));
        if path == "/" || path.is_empty() {
            return format!("{path}{query}");
        }
        format!("/path-{}{query}", self.paths.number(path))
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
}

/// An address that no client has: of the range for benchmarks (RFC 2544).
fn stand_in(number: usize) -> IpAddr {
    const BASE: u32 = u32::from_be_bytes([198, 18, 0, 0]);
    let number = u32::try_from(number).unwrap_or(0) % (1 << 17);
    IpAddr::from((BASE + number).to_be_bytes())
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

/// `weight=2 service=(redacted)`.
fn parameters(text: &str) -> String {
    let one = |parameter: &str| match parameter.split_once('=') {
        _ if PARAMETERS.contains(&parameter) => parameter.to_owned(),
        Some((name, value)) if PARAMETERS.contains(&name) && value.len() <= 16 => format!("{name}={value}"),
        Some((name @ ("service" | "route"), _)) => format!("{name}={REDACTED}"),
        _ => REDACTED.to_owned(),
    };
    text.split_whitespace().map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;

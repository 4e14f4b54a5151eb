//! What of a configuration concerns upstreams.

mod sent;

use std::collections::BTreeMap;

use upstream_trace_core::event::{Config, Group, Pass, Server, Setting};

use super::address::{Names, target};
use super::files::Placed;
use sent::Sent;

/// Groups, servers of each, and passes that are kept.
const MAX_KEPT: usize = 4_096;

/// Servers of syslog that are kept.
const MAX_SYSLOG: usize = 16;

/// Ways to an upstream, with the beginning of their timeouts' names.
const PASSES: [(&str, &str); 7] = [
    ("proxy_pass", "proxy"),
    ("fastcgi_pass", "fastcgi"),
    ("uwsgi_pass", "uwsgi"),
    ("scgi_pass", "scgi"),
    ("grpc_pass", "grpc"),
    ("memcached_pass", "memcached"),
    ("tunnel_pass", "tunnel"),
];

/// What is inherited from block to block.
#[derive(Clone, Debug, Default)]
struct Around {
    stream: bool,
    /// `proxy_ssl on` of `stream`.
    ssl: bool,
    server: Option<String>,
    location: Option<String>,
    sent: Sent,
    set: BTreeMap<String, Setting>,
}

struct Facts<'a> {
    config: Config,
    names: &'a Names,
    /// Targets of `auth_request`.
    asked: Vec<&'a str>,
}

/// The facts of all files; `names` are those of `/etc/hosts`.
pub(super) fn of(directives: &[Placed], names: &Names) -> Config {
    let config = Config { transparent: Some(false), ..Config::default() };
    let mut facts = Facts { config, names, asked: sent::asked(directives) };
    for (name, stream) in [("http", false), ("stream", true)] {
        for block in of_name(directives, name) {
            facts.groups(&block.block, stream);
        }
        for block in of_name(directives, name) {
            facts.block(&block.block, &Around { stream, ..Around::default() });
        }
    }
    facts.config
}

/// `proxy_bind $remote_addr transparent`, or any address that only a request knows.
fn is_transparent(placed: &Placed) -> bool {
    let directive = &placed.directive;
    directive.name().ends_with("_bind")
        && directive.arguments().iter().any(|argument| argument == "transparent" || argument.contains('$'))
}

/// A directive of this name says something about upstreams, or holds others that may.
pub(super) fn concerns(name: &str) -> bool {
    const NAMES: [&str; 16] = [
        "http",
        "stream",
        "server",
        "location",
        "if",
        "limit_except",
        "upstream",
        "include",
        "keepalive",
        "keepalive_timeout",
        "server_name",
        "listen",
        "proxy_ssl",
        "error_log",
        "access_log",
        "log_format",
    ];
    NAMES.contains(&name)
        || PASSES.iter().any(|(pass, _)| *pass == name)
        || name.ends_with("_bind")
        || is_timeout(name)
        || is_program(name)
        || sent::concerns(name)
}

pub(super) fn of_name<'a>(directives: &'a [Placed], name: &'a str) -> impl Iterator<Item = &'a Placed> {
    directives.iter().filter(move |placed| placed.directive.name() == name)
}

impl Facts<'_> {
    fn groups(&mut self, directives: &[Placed], stream: bool) {
        for block in of_name(directives, "upstream") {
            let Some(name) = block.directive.argument().filter(|_| self.config.groups.len() < MAX_KEPT)
            else {
                continue;
            };
            let servers = of_name(&block.block, "server").take(MAX_KEPT);
            let servers = servers.filter_map(|server| self.server(server, stream)).collect();
            let keepalive =
                of_name(&block.block, "keepalive").map(|placed| placed.directive.arguments()).next();
            self.config.dynamic |= block.block.iter().any(by_program);
            self.config.groups.push(Group {
                name: name.to_owned(),
                stream,
                servers,
                keepalive: keepalive.and_then(|arguments| arguments.first()?.parse().ok()),
                pool_per_location: keepalive
                    .is_some_and(|arguments| arguments.iter().any(|word| word == "local")),
                keepalive_timeout: Some(
                    of_name(&block.block, "keepalive_timeout")
                        .find_map(setting)
                        .unwrap_or_else(|| default("keepalive_timeout", "60s")),
                ),
            });
        }
    }

    fn server(&self, server: &Placed, stream: bool) -> Option<Server> {
        let (address, parameters) = server.directive.arguments().split_first()?;
        let value = |name: &str| {
            parameters.iter().find_map(|parameter| parameter.strip_prefix(name)?.strip_prefix('='))
        };
        Some(Server {
            target: target(address, (!stream).then_some(80), self.names),
            parameters: parameters.join(" "),
            max_fails: value("max_fails").and_then(|count| count.parse().ok()).unwrap_or(1),
            fail_timeout_ms: value("fail_timeout").and_then(milliseconds).unwrap_or(10_000),
            down: parameters.iter().any(|parameter| parameter == "down"),
        })
    }

    /// A block of `http` or `stream` and what is in it. Settings hold for a whole block, wherever in it they stand.
    fn block(&mut self, directives: &[Placed], around: &Around) {
        self.logs(directives);
        let mut here = around.clone();
        for placed in directives.iter().filter(|placed| is_timeout(placed.directive.name())) {
            if let Some(setting) = setting(placed) {
                here.set.insert(setting.directive.clone(), setting);
            }
        }
        if let Some(ssl) = of_name(directives, "proxy_ssl").find_map(|placed| placed.directive.argument()) {
            here.ssl = ssl == "on";
        }
        here.sent = around.sent.within(directives);
        for placed in directives {
            self.config.dynamic |= by_program(placed);
            if is_transparent(placed) {
                self.config.transparent = Some(true);
            }
            match placed.directive.name() {
                "server" => {
                    self.block(&placed.block, &Around { server: name(placed, here.stream), ..here.clone() });
                }
                "location" => {
                    let location = placed.directive.arguments().join(" ");
                    self.block(&placed.block, &Around { location: Some(location), ..here.clone() });
                }
                "if" | "limit_except" => self.block(&placed.block, &here),
                directive => {
                    if let Some((_, module)) = PASSES.iter().find(|(pass, _)| *pass == directive) {
                        self.pass(placed, module, &here);
                    }
                }
            }
        }
    }

    /// Where lines of a block go if that is no file; those of a block without an `error_log` go where its parent's go.
    fn logs(&mut self, directives: &[Placed]) {
        let logs = || of_name(directives, "error_log").filter_map(|placed| placed.directive.argument());
        if logs().any(|log| !log.starts_with("syslog:") && !log.starts_with("memory:")) {
            return;
        }
        for server in logs().filter_map(syslog_server) {
            if self.config.syslog.len() < MAX_SYSLOG && self.config.syslog.iter().all(|known| known != server)
            {
                self.config.syslog.push(server.to_owned());
            }
        }
    }

    fn pass(&mut self, placed: &Placed, module: &str, around: &Around) {
        // A tunnel goes where the request asks for, unless it is told.
        self.config.dynamic |= placed.directive.argument().is_none();
        let Some(to) = placed.directive.argument().filter(|_| self.config.passes.len() < MAX_KEPT) else {
            return;
        };
        if to.contains('$') {
            self.config.dynamic = true;
            return;
        }
        let (address, port) = authority(to, module, around.stream);
        let group = self
            .config
            .groups
            .iter()
            .find(|group| group.stream == around.stream && group.name.eq_ignore_ascii_case(address));
        let group = group.map(|group| group.name.clone());
        let target = group.is_none().then(|| target(address, port, self.names));
        let time = |what: &str, value: &str| {
            let directive = format!("{module}_{what}");
            around.set.get(&directive).cloned().unwrap_or_else(|| default(&directive, value))
        };
        let both = around.stream.then(|| time("timeout", "10m"));
        self.config.passes.push(Pass {
            directive: placed.directive.name().to_owned(),
            group,
            target,
            stream: around.stream,
            tls: Some(if around.stream { around.ssl } else { is_tls(to) }),
            server: around.server.clone(),
            location: around.location.clone(),
            promises_body: module == "proxy" && self.promises_body(around),
            http2: module == "grpc" || module == "proxy" && around.sent.http2,
            tunnels: module == "tunnel" || module == "proxy" && around.sent.upgrade,
            place: placed.place(),
            connect: time("connect_timeout", "60s"),
            send: both.clone().unwrap_or_else(|| time("send_timeout", "60s")),
            read: both.unwrap_or_else(|| time("read_timeout", "60s")),
        });
    }
}

impl Facts<'_> {
    /// See [`Pass::promises_body`].
    fn promises_body(&self, around: &Around) -> bool {
        // `location = /auth`: the path is the last word.
        let path = around.location.as_deref().and_then(|location| location.split(' ').next_back());
        around.sent.is_promised(path.is_some_and(|path| self.asked.contains(&path)))
    }
}

/// `syslog:server=unix:/dev/log,facility=local7`.
fn syslog_server(log: &str) -> Option<&str> {
    log.strip_prefix("syslog:")?.split(',').find_map(|parameter| parameter.strip_prefix("server="))
}

/// Where a pass goes, and the port if it names none.
fn authority<'a>(to: &'a str, module: &str, stream: bool) -> (&'a str, Option<u16>) {
    if stream {
        return (to, None);
    }
    let rest = to.split_once("://").map_or(to, |(_, rest)| rest);
    let port = match module {
        _ if is_tls(to) => Some(443),
        "proxy" | "grpc" => Some(80),
        _ => None,
    };
    if rest.starts_with("unix:") {
        return (rest, port);
    }
    (rest.split(['/', '?', '#']).next().unwrap_or_default(), port)
}

/// Whether a pass of `http` speaks TLS.
fn is_tls(to: &str) -> bool {
    to.split_once("://").is_some_and(|(scheme, _)| matches!(scheme, "https" | "grpcs"))
}

/// The name of a server block in error.log: its first name, or for `stream` the address that it listens on.
fn name(server: &Placed, stream: bool) -> Option<String> {
    let first = |directive| of_name(&server.block, directive).find_map(|placed| placed.directive.argument());
    if stream {
        let address = first("listen")?;
        let port = address.bytes().all(|byte| byte.is_ascii_digit());
        return Some(if port { format!("0.0.0.0:{address}") } else { address.to_owned() });
    }
    let name = first("server_name")?;
    let name = if name.starts_with('~') { name.to_owned() } else { name.to_lowercase() };
    Some(name.strip_prefix('.').map_or(name.clone(), str::to_owned))
}

/// A program may send requests anywhere.
fn by_program(placed: &Placed) -> bool {
    is_program(placed.directive.name())
}

fn is_program(name: &str) -> bool {
    name.contains("_by_lua") || name.starts_with("js_") || name.starts_with("perl")
}

fn is_timeout(name: &str) -> bool {
    PASSES.iter().any(|(_, module)| {
        let rest = name.strip_prefix(module).and_then(|rest| rest.strip_prefix('_'));
        matches!(rest, Some("connect_timeout" | "send_timeout" | "read_timeout" | "timeout"))
    })
}

fn setting(placed: &Placed) -> Option<Setting> {
    let text = placed.directive.argument()?;
    Some(Setting {
        directive: placed.directive.name().to_owned(),
        text: text.to_owned(),
        ms: milliseconds(text)?,
        place: Some(placed.place()),
    })
}

fn default(directive: &str, text: &str) -> Setting {
    let ms = milliseconds(text).unwrap_or(0);
    Setting { directive: directive.to_owned(), text: text.to_owned(), ms, place: None }
}

/// A time as nginx writes it: `1m30s`, `500ms`; a plain number is of seconds.
fn milliseconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum = 0u64;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start_matches(' ');
        let units = [
            ("ms", 1),
            ("s", 1_000),
            ("m", 60_000),
            ("h", 3_600_000),
            ("d", 86_400_000),
            ("w", 604_800_000),
            ("M", 2_592_000_000),
            ("y", 31_536_000_000),
        ];
        let unit = units.iter().find_map(|(unit, ms)| Some((rest.strip_prefix(unit)?, *ms)));
        let (after, ms) = match unit {
            Some(found) => found,
            None if rest.is_empty() => ("", 1_000),
            None => return None,
        };
        rest = after.trim_start_matches(' ');
        sum = sum.checked_add(number.checked_mul(ms)?)?;
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests;

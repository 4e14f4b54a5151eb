//! What nginx's configuration says of an attempt: the name of its upstream, and the timeout that ran out.

mod location;

use super::Case;
use crate::errorlog::{self, Doing};
use crate::event::MS;
use crate::event::{Config, Group, LogLine, Nanos, Pass, Server, Setting, Target, Upstream};
use crate::hooks::Signal;
use crate::verdict::Phase;

/// nginx's timers may go off that much before their time, by the kernel's clock.
const BEFORE: Nanos = 30 * MS;
/// And that much after it, on a busy worker.
const AFTER: Nanos = 250 * MS;

/// A timeout that is as long as the silence that ended the attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit<'a> {
    /// The directive and its value.
    pub setting: &'a Setting,
    /// Where it holds.
    pub passes: Vec<&'a Pass>,
}

/// How a silence that nginx ended compares with its timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerFit {
    /// Shorter than any: no timer ended it.
    Early,
    /// As long as one.
    Fits,
    /// Longer, and none of them.
    Other,
}

/// Which of nginx's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    Connect,
    Send,
    Read,
}

impl<'a> Case<'a> {
    /// Servers of groups that the attempt went to, each with its group. Several if the configuration leaves it open.
    #[must_use]
    pub fn servers(&self) -> Vec<(&'a Group, &'a Server)> {
        let Some((config, upstream)) = self.config.zip(self.attempt.upstream.as_ref()) else {
            return Vec::new();
        };
        let found = servers(config, upstream);
        let passes = narrowed(config, passes(config, upstream, &found), self.log);
        let named = |group: &Group| {
            passes.iter().any(|pass| pass.stream == group.stream && pass.group.as_ref() == Some(&group.name))
        };
        if found.iter().any(|(group, _)| named(group)) {
            found.into_iter().filter(|(group, _)| named(group)).collect()
        } else {
            found
        }
    }

    /// The places of the configuration that send requests to this upstream.
    #[must_use]
    pub fn passes(&self) -> Vec<&'a Pass> {
        let Some((config, upstream)) = self.config.zip(self.attempt.upstream.as_ref()) else {
            return Vec::new();
        };
        narrowed(config, passes(config, upstream, &servers(config, upstream)), self.log)
    }

    /// The only group that it can have been, if any.
    #[must_use]
    pub fn group(&self) -> Option<&'a Group> {
        let mut servers = self.servers().into_iter();
        let (first, _) = servers.next()?;
        servers.all(|(group, _)| group == first).then_some(first)
    }

    /// The timeouts that are as long as the silence after which nginx gave up: one, if it is clear which. None if nginx
    /// may run with another configuration than the one that was read.
    #[must_use]
    pub fn limits(&self) -> Vec<Limit<'a>> {
        let Some((timer, silence)) = self.ran_out().filter(|_| self.config.is_some_and(|read| !read.edited))
        else {
            return Vec::new();
        };
        let mut limits: Vec<Limit<'a>> = Vec::new();
        for pass in self.passes() {
            let setting = timer.of(pass);
            let ms = setting.ms.saturating_mul(MS);
            if silence.saturating_add(BEFORE) < ms || silence > ms.saturating_add(AFTER) {
                continue;
            }
            match limits.iter_mut().find(|limit| limit.setting == setting) {
                Some(limit) => limit.passes.push(pass),
                None => limits.push(Limit { setting, passes: vec![pass] }),
            }
        }
        limits
    }

    /// The timeout that ran out, for a sentence, if it is clear which: `proxy_read_timeout 3s`.
    #[must_use]
    pub fn limit(&self) -> Option<&'a Setting> {
        match self.limits().as_slice() {
            [only] => Some(only.setting),
            _ => None,
        }
    }

    /// Whether the silence after which nginx closed is one of its timeouts. `None` if the timeouts are not known.
    #[must_use]
    pub fn timer_fit(&self) -> Option<TimerFit> {
        self.config.filter(|read| !read.edited && read.unread.is_none() && !read.dynamic)?;
        if self.attempt.adopted {
            return None;
        }
        let (timer, silence) = self.ran_out()?;
        let passes = self.passes();
        let shortest = passes.iter().map(|pass| timer.of(pass).ms.saturating_mul(MS)).min()?;
        let early = silence.saturating_add(BEFORE) < shortest;
        if self.attempt.by_socket {
            return (early && self.request_sent_once()).then_some(TimerFit::Early);
        }
        Some(if early {
            TimerFit::Early
        } else if self.limits().is_empty() {
            TimerFit::Other
        } else {
            TimerFit::Fits
        })
    }

    /// The request waits for its answer, and the time at which the socket last sent something is the time at which nginx
    /// sent the request: nothing was retransmitted, and no protocol sends by itself.
    fn request_sent_once(&self) -> bool {
        let watched = !self.lacks(Signal::Retransmits) && self.attempt.retransmits == 0;
        watched && self.awaiting() && self.speaks_tls() == Some(false) && !self.may_speak_http2()
    }

    /// The upstream belongs to `stream` alone (true), to `http` alone (false); `None` if that is not known.
    #[must_use]
    pub fn of_stream(&self) -> Option<bool> {
        let passes = self.passes();
        let first = passes.first()?.stream;
        passes.iter().all(|pass| pass.stream == first).then_some(first)
    }

    /// The connection may have become a tunnel.
    #[must_use]
    pub fn may_tunnel(&self) -> bool {
        self.passes().iter().any(|pass| pass.tunnels)
    }

    /// It may be a connection of HTTP/2.
    #[must_use]
    pub fn may_speak_http2(&self) -> bool {
        self.passes().iter().any(|pass| pass.http2)
    }

    /// Its group keeps the idle connections of several protocols in one pool: a request of one takes the connection of
    /// another.
    #[must_use]
    pub fn pool_of_several_protocols(&self) -> bool {
        let pooled =
            |group: &&Group| group.keepalive.is_some_and(|kept| kept > 0) && !group.pool_per_location;
        let Some((group, config)) = self.group().filter(pooled).zip(self.config) else { return false };
        let to_it = |pass: &&Pass| pass.stream == group.stream && pass.group.as_ref() == Some(&group.name);
        let protocol = |pass: &'a Pass| if pass.http2 { "HTTP/2" } else { pass.directive.as_str() };
        let mut protocols = config.passes.iter().filter(to_it).map(protocol);
        protocols.next().is_some_and(|first| protocols.any(|other| other != first))
    }

    /// Whether nginx speaks TLS to this upstream; `None` if the configuration leaves it open, or is not known.
    #[must_use]
    pub fn speaks_tls(&self) -> Option<bool> {
        self.config.filter(|read| !read.edited && read.unread.is_none() && !read.dynamic)?;
        let passes = self.passes();
        let first = passes.first()?.tls?;
        passes.iter().all(|pass| pass.tls == Some(first)).then_some(first)
    }

    /// Which of nginx's timers ended it, and after what silence.
    fn ran_out(&self) -> Option<(Timer, Nanos)> {
        let attempt = &self.attempt;
        if self.line_only || !self.timed_out() {
            return None;
        }
        let last = attempt.last_send.max(attempt.last_recv);
        let (timer, since) = match self.phase() {
            Phase::Resolve => return None,
            Phase::Connect => (Timer::Connect, Some(attempt.begun)),
            Phase::Tls => (Timer::Connect, attempt.established),
            Phase::Send => (Timer::Send, attempt.last_send.or(attempt.established)),
            Phase::Wait | Phase::Receive | Phase::Idle => (Timer::Read, last),
        };
        Some((timer, attempt.seen.saturating_sub(since?)))
    }

    /// nginx's own timer ended it.
    fn timed_out(&self) -> bool {
        match self.log_kind() {
            Some(errorlog::Kind::TimedOut(doing)) => doing != Doing::Tunnel || self.gave_up() || self.by_log,
            Some(_) => false,
            None => self.gave_up() || self.stalled(),
        }
    }
}

impl Timer {
    fn of(self, pass: &Pass) -> &Setting {
        match self {
            Self::Connect => &pass.connect,
            Self::Send => &pass.send,
            Self::Read => &pass.read,
        }
    }
}

/// Servers of groups with this address. Of names whose addresses are not known one counts if no other place of the
/// whole configuration can have led there.
pub(crate) fn servers<'a>(config: &'a Config, upstream: &Upstream) -> Vec<(&'a Group, &'a Server)> {
    let all =
        || config.groups.iter().flat_map(|group| group.servers.iter().map(move |server| (group, server)));
    let sure: Vec<_> = all().filter(|(_, server)| server.target.is(upstream) == Some(true)).collect();
    let direct = |fits: Option<bool>| targets(config).filter(|target| target.is(upstream) == fits).count();
    if !sure.is_empty() || direct(Some(true)) > 0 || config.dynamic || config.unread.is_some() {
        return sure;
    }
    let maybe: Vec<_> = all().filter(|(_, server)| server.target.is(upstream).is_none()).collect();
    if maybe.len() == 1 && direct(None) == 0 { maybe } else { Vec::new() }
}

/// Name of the group that an upstream is in; `None` if it is in none, or in groups of several names.
#[must_use]
pub fn only_group<'a>(config: &'a Config, upstream: &Upstream) -> Option<&'a str> {
    let mut groups = servers(config, upstream).into_iter().map(|(group, _)| group.name.as_str());
    let first = groups.next()?;
    groups.all(|other| other == first).then_some(first)
}

/// Addresses to which some location speaks HTTP/2, as far as the configuration names addresses.
pub fn http2_upstreams(config: &Config) -> impl Iterator<Item = &Upstream> {
    config.passes.iter().filter(|pass| pass.http2).flat_map(|pass| {
        let group = pass.group.as_ref().and_then(|name| config.group(name, pass.stream));
        let servers = group.into_iter().flat_map(|group| &group.servers).map(|server| &server.target);
        servers.chain(&pass.target).flat_map(|target| &target.addresses)
    })
}

/// What passes name directly.
fn targets(config: &Config) -> impl Iterator<Item = &Target> {
    config.passes.iter().filter_map(|pass| pass.target.as_ref())
}

/// Passes that lead to one of these groups, or directly to that address.
fn passes<'a>(config: &'a Config, upstream: &Upstream, servers: &[(&Group, &Server)]) -> Vec<&'a Pass> {
    let leads = |pass: &&Pass| {
        let to_group = servers
            .iter()
            .any(|(group, _)| group.stream == pass.stream && pass.group.as_ref() == Some(&group.name));
        to_group || pass.target.as_ref().is_some_and(|target| target.is(upstream) == Some(true))
    };
    let sure: Vec<_> = config.passes.iter().filter(leads).collect();
    if !sure.is_empty() || !servers.is_empty() || config.dynamic || config.unread.is_some() {
        return sure;
    }
    let maybe = |pass: &&Pass| pass.target.as_ref().is_some_and(|target| target.is(upstream).is_none());
    let by_port: Vec<_> = config.passes.iter().filter(maybe).collect();
    let in_groups = config.groups.iter().flat_map(|group| &group.servers);
    let others = in_groups.filter(|server| server.target.is(upstream).is_none()).count();
    if by_port.len() == 1 && others == 0 { by_port } else { Vec::new() }
}

/// Those of the server block that nginx's line names, if there are any. Where variables lead to addresses that stand nowhere,
/// only those that can have served its request: another location may use the same address.
fn narrowed<'a>(config: &Config, passes: Vec<&'a Pass>, line: Option<&LogLine>) -> Vec<&'a Pass> {
    let Some(line) = line else { return passes };
    let by_path = |pass: &&Pass| !config.dynamic || location::may_serve(pass.location.as_deref(), line);
    let in_block = |pass: &&&Pass| line.server.is_some() && pass.server == line.server;
    let there: Vec<_> = passes.iter().filter(in_block).copied().collect();
    let found = if there.is_empty() { passes } else { there };
    found.into_iter().filter(by_path).collect()
}

#[cfg(test)]
mod tests;

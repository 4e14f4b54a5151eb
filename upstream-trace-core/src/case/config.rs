//! What nginx's configuration says of an attempt: the name of its upstream, and the timeout that ran out.

use super::Case;
use crate::errorlog::{self, Doing};
use crate::event::MS;
use crate::event::{Config, Group, LogLine, Nanos, Pass, Server, Setting, Target, Upstream};
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
        let passes = narrowed(passes(config, upstream, &found), self.log);
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
        narrowed(passes(config, upstream, &servers(config, upstream)), self.log)
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
        // When something was last sent must have been seen: what the socket keeps of it counts retransmissions as well.
        if self.attempt.by_socket || self.attempt.adopted {
            return None;
        }
        let (timer, silence) = self.ran_out()?;
        let passes = self.passes();
        let shortest = passes.iter().map(|pass| timer.of(pass).ms.saturating_mul(MS)).min()?;
        Some(if silence.saturating_add(BEFORE) < shortest {
            TimerFit::Early
        } else if self.limits().is_empty() {
            TimerFit::Other
        } else {
            TimerFit::Fits
        })
    }

    /// The upstream belongs to `stream` alone (true), to `http` alone (false); `None` if that is not known.
    #[must_use]
    pub fn of_stream(&self) -> Option<bool> {
        let passes = self.passes();
        let first = passes.first()?.stream;
        passes.iter().all(|pass| pass.stream == first).then_some(first)
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

/// Those of the server block that nginx's line names, if there are any.
fn narrowed<'a>(passes: Vec<&'a Pass>, line: Option<&LogLine>) -> Vec<&'a Pass> {
    let Some(named) = line.and_then(|line| line.server.as_ref()) else { return passes };
    let there: Vec<_> = passes.iter().copied().filter(|pass| pass.server.as_ref() == Some(named)).collect();
    if there.is_empty() { passes } else { there }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{config, line, refused, remote, unanswered_request, unanswered_syn};

    fn names(case: &Case<'_>) -> Vec<String> {
        case.servers()
            .iter()
            .map(|(group, server)| format!("{} {}", group.name, server.target.text))
            .collect()
    }

    fn limits(case: &Case<'_>) -> Vec<String> {
        let named = |limit: &Limit<'_>| format!("{} {}", limit.setting.directive, limit.setting.text);
        case.limits().iter().map(named).collect()
    }

    #[test]
    fn an_address_has_the_name_of_its_group() {
        let (attempt, read) = (refused(), config());
        let mut case = Case::of_attempt(&attempt);
        assert!(names(&case).is_empty() && case.passes().is_empty());
        case.config = Some(&read);
        assert_eq!(names(&case), ["backend 10.0.0.2:8080"]);
        assert_eq!(case.group().map(|group| group.name.as_str()), Some("backend"));
        assert_eq!(case.passes().len(), 2);
    }

    #[test]
    fn in_two_groups_only_nginx_s_line_can_tell() {
        let (attempt, mut read) = (refused(), config());
        read.groups.push(Group { name: "other".to_owned(), ..read.groups[0].clone() });
        read.passes[1].group = Some("other".to_owned());
        let line = line("connect() failed (111: Connection refused) while connecting to upstream");
        let mut case = Case::of_attempt(&attempt);
        case.config = Some(&read);
        assert_eq!((names(&case).len(), case.group()), (2, None));
        case.log = Some(&line);
        assert_eq!(names(&case), ["backend 10.0.0.2:8080"]);
    }

    #[test]
    fn a_name_counts_if_nothing_else_can_have_led_there() {
        let (attempt, mut read) = (refused(), config());
        let name = |text: &str| Target { text: text.to_owned(), addresses: Vec::new(), port: Some(8080) };
        read.groups[0].servers[0].target = name("app1:8080");
        let found = |read: &Config| {
            let mut case = Case::of_attempt(&attempt);
            case.config = Some(read);
            names(&case).len()
        };
        assert_eq!(found(&read), 1);
        let mut two = read.clone();
        two.groups[0].servers[1].target = name("app2:8080");
        assert_eq!(found(&two), 0);
        let mut other_port = two.clone();
        other_port.groups[0].servers[1].target.port = Some(81);
        assert_eq!(found(&other_port), 1);
        assert_eq!(found(&Config { dynamic: true, ..read.clone() }), 0);
        assert_eq!(found(&Config { unread: Some("x".to_owned()), ..read.clone() }), 0);
        read.passes[1].group = None;
        read.passes[1].target = Some(name("app3:8080"));
        assert_eq!(found(&read), 0);
    }

    #[test]
    fn the_timeout_that_ran_out_is_named() {
        let read = config();
        let (syn, request) = (unanswered_syn(), unanswered_request());
        let mut case = Case::of_attempt(&syn);
        case.config = Some(&read);
        assert_eq!(limits(&case), ["proxy_connect_timeout 4s"]);
        let mut case = Case::of_attempt(&request);
        case.config = Some(&read);
        assert_eq!(limits(&case), ["proxy_read_timeout 2s"]);
        assert_eq!(case.limit().and_then(|setting| setting.place.as_deref()), Some("nginx.conf:12"));
    }

    #[test]
    fn two_timeouts_of_one_length_are_both_named_and_another_length_is_none() {
        let (mut attempt, mut read) = (unanswered_request(), config());
        read.passes[1].read =
            Setting { place: Some("nginx.conf:20".to_owned()), ..read.passes[0].read.clone() };
        let line = line("upstream timed out (110: x) while reading response header from upstream");
        let mut case = Case::of_attempt(&attempt);
        case.config = Some(&read);
        assert_eq!((case.limits().len(), case.limit()), (2, None));
        case.log = Some(&line);
        assert_eq!(case.limits().len(), 1, "the line names the server block");
        attempt.seen += 500 * MS;
        let mut case = Case::of_attempt(&attempt);
        case.config = Some(&read);
        assert!(case.limits().is_empty());
    }

    #[test]
    fn a_configuration_that_was_edited_since_names_no_timeout() {
        let (attempt, read) = (unanswered_request(), Config { edited: true, ..config() });
        let mut case = Case::of_attempt(&attempt);
        case.config = Some(&read);
        assert!(case.limits().is_empty() && case.group().is_some());
    }

    #[test]
    fn what_ended_by_itself_ran_into_no_timeout() {
        let (attempt, read) = (refused(), config());
        let mut case = Case::of_attempt(&attempt);
        case.config = Some(&read);
        assert!(case.limits().is_empty());
        assert!(servers(&read, &Upstream::Unix("/x".to_owned())).is_empty());
        assert_eq!(servers(&read, &Upstream::Tcp(remote())).len(), 1);
    }

    #[test]
    fn how_a_silence_compares_with_the_timeouts() {
        let (mut attempt, read) = (unanswered_request(), config());
        let fit = |attempt: &crate::event::Attempt| {
            let mut case = Case::of_attempt(attempt);
            case.config = Some(&read);
            case.timer_fit()
        };
        assert_eq!(fit(&attempt), Some(TimerFit::Fits));
        attempt.seen += 1_000 * MS;
        assert_eq!(fit(&attempt), Some(TimerFit::Other));
        attempt.seen -= 2_000 * MS;
        assert_eq!(fit(&attempt), Some(TimerFit::Early));
        attempt.by_socket = true;
        assert_eq!(fit(&attempt), None, "nobody saw when it was sent");
        assert_eq!(Case::of_attempt(&unanswered_request()).timer_fit(), None, "the timeouts are not known");
    }
}

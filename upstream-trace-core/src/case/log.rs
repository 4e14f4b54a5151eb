//! What nginx itself wrote about an attempt.

use super::Case;
use crate::errno;
use crate::errorlog::{self, Doing, Kind};
use crate::event::{Attempt, AttemptId, LogLine, LookupState};
use crate::hooks::Signal;
use crate::text::sentence;
use crate::verdict::Phase;

/// Words of nginx in a sentence are cut here.
const WORDS: usize = 160;

/// What a line says, computed once: nearly every cause asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    /// Address of the line.
    line: usize,
    kind: Option<Kind>,
    doing: Option<Doing>,
}

impl<'a> Case<'a> {
    /// A case of which nothing is known but a line.
    #[must_use]
    pub fn of_line(line: &'a LogLine, id: AttemptId) -> Self {
        let upstream = errorlog::upstream_address(line);
        let mut attempt = Attempt::blank(id, line.at, line.worker.unwrap_or_default(), upstream);
        // A line without a known attempt must not be classified as a connect failure.
        attempt.established = Some(line.at);
        let mut case = Self::new(std::borrow::Cow::Owned(attempt), None);
        (case.log, case.by_log, case.line_only) = (Some(line), true, true);
        case
    }

    /// A case of an attempt that looked healthy, and of which nginx says that it was not.
    #[must_use]
    pub fn of_healthy(attempt: &'a Attempt, line: &'a LogLine) -> Self {
        let mut case = Self::of_attempt(attempt);
        (case.log, case.by_log) = (Some(line), true);
        case
    }

    /// What nginx's line says.
    #[must_use]
    pub fn log_kind(&self) -> Option<Kind> {
        self.what_log_says().0
    }

    /// What nginx was doing, by its line.
    #[must_use]
    pub fn log_doing(&self) -> Option<Doing> {
        self.what_log_says().1
    }

    fn what_log_says(&self) -> (Option<Kind>, Option<Doing>) {
        let Some(line) = self.log else { return (None, None) };
        // Lines outlive the case: no other has this address.
        let address = std::ptr::from_ref(line).addr();
        if let Some(said) = self.said.get().filter(|said| said.line == address) {
            return (said.kind, said.doing);
        }
        let said = Said { line: address, kind: errorlog::kind(line), doing: errorlog::doing(line) };
        self.said.set(Some(said));
        (said.kind, said.doing)
    }

    /// What nginx's line says, if that is what decides: no sign of the failure was seen otherwise.
    #[must_use]
    pub fn log_kind_alone(&self) -> Option<Kind> {
        self.log_kind().filter(|_| self.by_log)
    }

    /// Nothing but a line of error.log says that there was a failure, or why: others than nginx may have written it.
    #[must_use]
    pub fn rests_on_line(&self) -> bool {
        let Some(kind) = self.log_kind().filter(|_| self.by_log) else { return false };
        if let Some(lookup) = self.lookup {
            let seen = matches!(lookup.state, LookupState::Failed(_));
            return !seen && self.resolve_error() != Some(errno::ETIMEDOUT);
        }
        let attempt = &self.attempt;
        let also_seen = match kind {
            Kind::NoLive => !self.because.is_empty(),
            // nginx turns away from an answer, or a session, that it cannot use.
            Kind::TooBig | Kind::Invalid => attempt.socket.unread > 0,
            Kind::Tls => attempt.tls && attempt.request.is_none(),
            // The end that the line names.
            Kind::Closed
            | Kind::TlsClosed
            | Kind::Receive
            | Kind::Send
            | Kind::Connect
            | Kind::TimedOut(_) => !self.line_only,
            _ => false,
        };
        !also_seen
    }

    /// Nothing is known but nginx's line, and over a unix socket nobody may have watched what nginx sent and received.
    #[must_use]
    pub fn unseen_on_unix(&self) -> bool {
        let blind = self.sampled || self.lacks(Signal::Requests) || self.lacks(Signal::Answers);
        self.line_only && self.unix() && blind
    }

    /// nginx's words for a sentence, without what it was doing.
    #[must_use]
    pub fn log_words(&self) -> String {
        let Some(line) = self.log else { return String::new() };
        let message = line.message.as_str();
        let tail = line.action.as_ref().map(|action| format!(" while {action}")).unwrap_or_default();
        let words = message.strip_suffix(tail.as_str()).unwrap_or(message);
        let words = sentence(words);
        match words.char_indices().nth(WORDS) {
            Some((end, _)) => format!("{}...", &words[..end]),
            None => words.into_owned(),
        }
    }

    /// Number that nginx gives for why: an answer code, or an errno.
    #[must_use]
    pub fn resolve_error(&self) -> Option<i32> {
        self.log?.message.split_once(" could not be resolved (")?.1.split_once(':')?.0.parse().ok()
    }

    /// errno in nginx's line, if that decides. The one in its timeouts is nginx's own timer.
    pub(super) fn errno_by_log(&self) -> Option<i32> {
        let real = !matches!(self.log_kind(), Some(Kind::TimedOut(_)));
        self.log.filter(|_| real && self.by_log).and_then(|line| line.errno)
    }

    /// What nginx answers after it wrote such a line.
    pub(super) fn status_by_log(&self) -> Option<u16> {
        let (line, kind) = (self.log?, self.log_kind()?);
        // `stream` has no answers, and of those that have begun nothing can be taken back.
        let answers = line.request.is_some() || line.host.is_some() || line.truncated;
        if !answers || matches!(self.log_doing(), Some(Doing::Body | Doing::Tunnel)) {
            return None;
        }
        Some(match kind {
            Kind::TimedOut(_) => 504,
            Kind::Files | Kind::Connections | Kind::Bind => 500,
            Kind::Misconfigured if !bad_gateway(line) => 500,
            _ => 502,
        })
    }

    /// Where it failed by nginx's line: for TLS, which the kernel does not know, or if the line decides.
    pub(super) fn phase_by_log(&self) -> Option<Phase> {
        if self.lookup.is_some() {
            return Some(Phase::Resolve);
        }
        let (kind, doing) = (self.log_kind()?, self.log_doing());
        if doing == Some(Doing::Tls) || kind == Kind::Tls {
            return Some(Phase::Tls);
        }
        if !self.by_log {
            return None;
        }
        Some(match (kind, doing) {
            (Kind::Name, _) => Phase::Resolve,
            (Kind::Misconfigured, _) if self.log_words().starts_with("no resolver defined") => Phase::Resolve,
            (_, Some(Doing::Sending)) => Phase::Send,
            (_, Some(Doing::Tunnel)) => Phase::Idle,
            (Kind::Receive, Some(Doing::Header)) => Phase::Wait,
            (_, Some(Doing::Header)) if self.unseen_on_unix() || self.header_timeout_over_tls() => {
                Phase::Wait
            }
            (Kind::TimedOut(_), Some(Doing::Header)) if !self.answer_began() => Phase::Wait,
            (_, Some(Doing::Header | Doing::Body)) => Phase::Receive,
            _ => Phase::Connect,
        })
    }

    /// The upstream closed or reset during the TLS handshake: whether it was a reset.
    #[must_use]
    pub fn tls_cut(&self) -> Option<bool> {
        if self.log_kind().is_some_and(|kind| kind != Kind::TlsClosed) {
            return None;
        }
        if self.log_kind().is_some() {
            return Some(self.log.is_some_and(|line| line.errno == Some(errno::ECONNRESET)));
        }
        self.handshake_cut().then(|| self.fin_at().is_none())
    }
}
/// What nginx was told cannot work, and yet it answers 502 and not 500.
fn bad_gateway(line: &LogLine) -> bool {
    ["no resolver defined", errorlog::OTHER_PROTOCOL].iter().any(|words| line.message.starts_with(words))
}

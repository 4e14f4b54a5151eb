//! A name that nginx looked up.

use super::Case;
use crate::event::{Attempt, Ended, LogLine, Lookup, LookupState, Outcome, Query, Upstream};

impl Lookup {
    /// The name server that was asked last.
    #[must_use]
    pub fn server(&self) -> Option<std::net::SocketAddr> {
        // What came back says more than what was asked next.
        let heard = self.asked.iter().rev().find(|asked| asked.got.is_some());
        heard.or(self.asked.last()).map(|asked| asked.server)
    }

    /// Questions to which nothing at all came.
    pub fn silent(&self) -> impl Iterator<Item = &Query> {
        self.asked.iter().filter(|asked| asked.got.is_none())
    }

    /// What came, and was no answer that nginx took.
    pub fn troubles(&self) -> impl Iterator<Item = (&Query, &Outcome)> {
        self.asked.iter().filter_map(|asked| match &asked.got.as_ref()?.what {
            Outcome::Answer { .. } => None,
            other => Some((asked, other)),
        })
    }
}

impl<'a> Case<'a> {
    /// A case of a lookup, and of nginx's line about it if there is one.
    #[must_use]
    pub fn of_lookup(lookup: &'a Lookup, line: Option<&'a LogLine>) -> Self {
        let ended =
            if line.is_none() && lookup.state == LookupState::Open { Ended::Open } else { Ended::Vanished };
        // A line is read a little after it was written.
        let seen = match (line, lookup.state) {
            (Some(line), LookupState::Open | LookupState::GivenUp) => line.at.max(lookup.begun),
            _ => lookup.at,
        };
        let attempt = Attempt {
            seen,
            begun: lookup.begun,
            netns: lookup.netns,
            ended,
            // A lookup must not be classified as a connect failure.
            established: Some(lookup.begun),
            ..Attempt::blank(lookup.id, seen, lookup.worker, lookup.server().map(Upstream::Tcp))
        };
        let mut case = Self::new(std::borrow::Cow::Owned(attempt), None);
        (case.log, case.by_log, case.lookup) = (line, line.is_some(), Some(lookup));
        case
    }

    /// The name that could not be resolved.
    #[must_use]
    pub fn unresolved_name(&self) -> Option<&str> {
        let said = self.log.and_then(|line| line.message.split_once(" could not be resolved ("));
        said.map(|(name, _)| name).or(self.lookup.map(|lookup| lookup.name.as_str()))
    }
}

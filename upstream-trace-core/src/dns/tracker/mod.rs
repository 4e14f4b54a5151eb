//! Which answer belongs to which question, and what it does to the lookup.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::message::{Message, kind_name, parse};
use crate::event::SECOND;
use crate::event::{AttemptId, Lookup, LookupState, Nanos, Outcome, Query, QueryResult};

/// Lookups that run at a time; beyond that new ones are not followed.
const MAX_LOOKUPS: usize = 4_096;
/// Queries kept per lookup.
const MAX_QUERIES: usize = 24;
/// nginx asks again every five seconds as long as a request waits. Its clock is exact to a second.
const GIVEN_UP: Nanos = 7 * SECOND;
/// NXDOMAIN: what nginx makes of answers without addresses.
const NO_SUCH_NAME: u8 = 3;
/// FORMERR: nginx drops such an answer.
const FORMAT_ERROR: u8 = 1;
const LARGEST_CODE: u8 = 5;
/// Why an answer is ignored that does not fit into a datagram.
const CUT: &str = "cut: to be asked over TCP";

/// Something that crossed a socket to a name server.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// When.
    pub at: Nanos,
    /// The worker.
    pub worker: u32,
    /// Network namespace, 0 if not known.
    pub netns: u32,
    /// The name server.
    pub server: SocketAddr,
    /// Over TCP.
    pub tcp: bool,
    /// nginx sent it.
    pub sent: bool,
    /// A client had just spoken.
    pub for_client: bool,
    /// Bytes, or negative errno.
    pub result: i32,
    /// The message; over TCP with its length in front.
    pub payload: &'a [u8],
}

/// A question of a lookup: one for each kind of address.
#[derive(Clone, Copy, Debug)]
struct Question {
    kind: u16,
    ident: u16,
    /// Code and whether there are addresses.
    answer: Option<(u8, bool)>,
}

#[derive(Debug)]
struct Running {
    lookup: Lookup,
    questions: Vec<Question>,
    /// Index of the question of each of `lookup.asked`.
    of: Vec<usize>,
    last: Nanos,
    reported: bool,
}

/// The lookups that run.
#[derive(Debug, Default)]
pub struct Tracker {
    running: BTreeMap<(u32, String), Running>,
    count: u64,
    /// Lookups for which there was no room: they are not followed.
    pub lost: u64,
}

impl Tracker {
    /// Takes in what was sent or received at once: one message, or over TCP several with their lengths in front. The
    /// lookups that they decide, or that are to be told anew.
    pub fn on(&mut self, exchange: &Exchange<'_>) -> Vec<Lookup> {
        if !exchange.sent && exchange.result < 0 {
            self.on_error(exchange);
            return Vec::new();
        }
        if !exchange.tcp {
            return self.on_message(exchange, exchange.payload).into_iter().collect();
        }
        let mut told = Vec::new();
        let mut rest = exchange.payload;
        // nginx reads the end of a TCP connection as 0 bytes.
        while let Some((length, behind)) = rest.split_first_chunk() {
            // The last one may not have been copied to its end.
            let (message, next) = behind.split_at(behind.len().min(usize::from(u16::from_be_bytes(*length))));
            told.extend(self.on_message(exchange, message));
            rest = next;
        }
        told
    }

    fn on_message(&mut self, exchange: &Exchange<'_>, payload: &[u8]) -> Option<Lookup> {
        let message = parse(payload)?;
        if exchange.sent { self.on_query(exchange, &message) } else { self.on_response(exchange, &message) }
    }

    /// Lookups that have been in trouble for as long as `slow`, and those that nginx has given up.
    pub fn tick(&mut self, now: Nanos, slow: Nanos) -> Vec<Lookup> {
        let mut out = Vec::new();
        let mut over = Vec::new();
        for (key, running) in &mut self.running {
            if now.saturating_sub(running.last) >= GIVEN_UP {
                over.push(key.clone());
            } else if !running.reported
                && !running.goes_on_unseen()
                && now.saturating_sub(running.lookup.begun) >= slow
            {
                running.reported = true;
                out.push(running.seen(now));
            }
        }
        for key in over {
            let running = self.running.remove(&key).filter(|running| !running.goes_on_unseen());
            out.extend(running.map(|running| running.ends(LookupState::GivenUp, now)));
        }
        out
    }

    /// Lookups of a worker that run, for a line about one of them.
    pub fn of(&mut self, worker: u32, now: Nanos) -> Vec<Lookup> {
        self.running
            .iter()
            .filter(|((of, _), _)| *of == worker)
            .map(|(_, running)| running.seen(now))
            .collect()
    }

    /// The worker ended.
    pub fn forget(&mut self, worker: u32) {
        self.running.retain(|(of, _), _| *of != worker);
    }

    /// What crosses the sockets is not seen any more: how the lookups that run go on is not known. Those that were reported
    /// end as all that nobody answers.
    pub fn forget_unreported(&mut self) {
        self.running.retain(|_, running| running.reported);
    }

    fn on_query(&mut self, exchange: &Exchange<'_>, message: &Message) -> Option<Lookup> {
        if message.answer || message.name.is_empty() {
            return None;
        }
        let key = (exchange.worker, message.name.clone());
        // With another number it is another lookup: of the one before, nginx said nothing.
        let other = |running: &Running| {
            running.questions.iter().any(|asked| asked.kind == message.kind && asked.ident != message.ident)
        };
        let over = if self.running.get(&key).is_some_and(other) { self.running.remove(&key) } else { None };
        if self.running.len() >= MAX_LOOKUPS && !self.running.contains_key(&key) {
            self.lost += 1;
            return over.map(|running| running.ends(LookupState::GivenUp, exchange.at));
        }
        self.count += 1;
        let new = || Running::new(AttemptId::lookup(self.count), exchange, &message.name);
        self.running.entry(key).or_insert_with(new).add_query(exchange, message);
        over.map(|running| running.ends(LookupState::GivenUp, exchange.at))
    }

    fn on_error(&mut self, exchange: &Exchange<'_>) {
        let errno = exchange.result.saturating_abs();
        for ((worker, _), running) in &mut self.running {
            if *worker == exchange.worker {
                running.note(None, exchange, Outcome::Error { errno });
            }
        }
    }

    fn on_response(&mut self, exchange: &Exchange<'_>, message: &Message) -> Option<Lookup> {
        let key = (exchange.worker, message.name.clone());
        let why = self.why_ignored(exchange, message, &key);
        if let Some(why) = why {
            self.ignored(exchange, message, &key, why);
            return None;
        }
        let running = self.running.get_mut(&key)?;
        let answer = Outcome::Answer { code: message.code, records: message.records };
        running.note(Some((message.kind, message.ident)), exchange, answer);
        let question = running.questions.iter_mut().find(|asked| asked.kind == message.kind)?;
        question.answer = Some((message.code, message.records > 0));
        let state = running.decided()?;
        let running = self.running.remove(&key)?;
        match state {
            LookupState::Answered if !running.reported => None,
            state => Some(running.ends(state, exchange.at)),
        }
    }

    /// Why nginx drops this answer.
    fn why_ignored(&self, exchange: &Exchange<'_>, message: &Message, key: &(u32, String)) -> Option<String> {
        if !message.answer || !message.sound || (message.cut && exchange.tcp) {
            return Some("flags of no answer".to_owned());
        }
        if message.code == FORMAT_ERROR || message.code > LARGEST_CODE {
            return Some(format!("code {} ({})", message.code, super::code_name(message.code)));
        }
        if message.name.is_empty() {
            return Some("not the question that was asked".to_owned());
        }
        let asked = self.running.get(key)?.questions.iter().find(|asked| asked.kind == message.kind);
        match asked {
            None => Some("a type that was not asked for".to_owned()),
            Some(asked) if asked.ident != message.ident => {
                Some("another number than the question".to_owned())
            }
            _ if message.cut => Some(CUT.to_owned()),
            _ if message.code == 0 && message.records > 0 && message.useful == Some(false) => {
                Some("no address in it".to_owned())
            }
            _ => None,
        }
    }

    /// Notes it where it belongs: by name, else by its number, else wherever an answer of that server is awaited.
    fn ignored(&mut self, exchange: &Exchange<'_>, message: &Message, key: &(u32, String), why: String) {
        let outcome = Outcome::Ignored(why);
        if let Some(running) = self.running.get_mut(key) {
            let known = running.questions.iter().any(|asked| asked.kind == message.kind);
            running.note(known.then_some((message.kind, 0)), exchange, outcome);
            return;
        }
        let mine = || |((worker, _), _): &(&(u32, String), &mut Running)| *worker == exchange.worker;
        let by_number = self.running.iter_mut().filter(mine()).find_map(|(_, running)| {
            let kind = running.questions.iter().find(|asked| asked.ident == message.ident)?.kind;
            Some((running, kind))
        });
        if let Some((running, kind)) = by_number {
            running.note(Some((kind, 0)), exchange, outcome);
            return;
        }
        for (_, running) in self.running.iter_mut().filter(mine()) {
            running.note(None, exchange, outcome.clone());
        }
    }
}

impl Running {
    fn new(id: AttemptId, exchange: &Exchange<'_>, name: &str) -> Self {
        let lookup = Lookup {
            id,
            at: exchange.at,
            begun: exchange.at,
            worker: exchange.worker,
            netns: exchange.netns,
            name: name.to_owned(),
            for_client: exchange.for_client,
            state: LookupState::Open,
            asked: Vec::new(),
            asked_lost: 0,
        };
        Self { lookup, questions: Vec::new(), of: Vec::new(), last: exchange.at, reported: false }
    }

    fn add_query(&mut self, exchange: &Exchange<'_>, message: &Message) {
        let (kind, ident) = (message.kind, message.ident);
        let question = self.questions.iter().position(|asked| asked.kind == kind).unwrap_or_else(|| {
            self.questions.push(Question { kind, ident, answer: None });
            self.questions.len() - 1
        });
        self.last = exchange.at;
        self.lookup.for_client |= exchange.for_client && self.lookup.asked.len() < 2;
        let errno = exchange.result.saturating_neg();
        let got = (errno > 0).then_some(QueryResult { at: exchange.at, what: Outcome::NotSent { errno } });
        if self.lookup.asked.len() >= MAX_QUERIES {
            self.lookup.asked_lost = self.lookup.asked_lost.saturating_add(1);
            return;
        }
        self.of.push(question);
        self.lookup.asked.push(Query {
            at: exchange.at,
            server: exchange.server,
            kind: kind_name(kind),
            tcp: exchange.tcp,
            got,
        });
    }

    /// What became of the latest question to this server (of this kind, if given) of which nothing is known yet.
    fn note(&mut self, kind: Option<(u16, u16)>, exchange: &Exchange<'_>, what: Outcome) {
        let questions = &self.questions;
        let of_kind = |index: usize| {
            let asked = self.of.get(index).and_then(|question| questions.get(*question));
            kind.is_none_or(|(kind, _)| asked.is_some_and(|asked| asked.kind == kind))
        };
        let waits = self.lookup.asked.iter_mut().enumerate().rev().find(|(index, asked)| {
            asked.server == exchange.server
                && asked.tcp == exchange.tcp
                && asked.got.is_none()
                && of_kind(*index)
        });
        if let Some((_, asked)) = waits {
            asked.got = Some(QueryResult { at: exchange.at, what });
        }
    }

    /// Some of its questions are to be asked over TCP, and were not seen there: nginx sends many at once, of which only the
    /// first ones are copied. What becomes of those only its line tells.
    fn goes_on_unseen(&self) -> bool {
        let cut = |asked: &Query| matches!(&asked.got, Some(QueryResult { what: Outcome::Ignored(why), .. }) if why == CUT);
        let again = |kind: &str| self.lookup.asked.iter().any(|asked| asked.tcp && asked.kind == kind);
        self.lookup.asked.iter().any(|asked| cut(asked) && !again(&asked.kind))
    }

    /// Once all questions are answered: any error is the error of the whole, and no address at all is one as well.
    fn decided(&self) -> Option<LookupState> {
        let answers = self.questions.iter().map(|asked| asked.answer).collect::<Option<Vec<_>>>()?;
        let error = answers.iter().map(|(code, _)| *code).find(|code| *code != 0);
        Some(match error {
            Some(code) => LookupState::Failed(code),
            None if answers.iter().any(|(_, records)| *records) => LookupState::Answered,
            None => LookupState::Failed(NO_SUCH_NAME),
        })
    }

    fn seen(&self, at: Nanos) -> Lookup {
        Lookup { at, ..self.lookup.clone() }
    }

    fn ends(self, state: LookupState, at: Nanos) -> Lookup {
        Lookup { at, state, ..self.lookup }
    }
}

#[cfg(test)]
mod tests;

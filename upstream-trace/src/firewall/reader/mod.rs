//! Reads rulesets when packets are dropped, on a thread of its own and seldom, and says which rules fit.

mod held;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use upstream_trace_core::event::{Nanos, Netfilter, PacketDrop, PacketTuple, Rules};

use super::packet::{Device, Packet};
use super::{Ruleset, list};
use crate::host::netns::Namespace;
use held::Held;

/// A ruleset that was read is not read again for so long.
const FRESH: Nanos = 1_000_000_000;
/// A ruleset is forgotten after so long: it may be large.
const MAX_AGE: Nanos = 60_000_000_000;
/// Answers and namespaces remembered.
const REMEMBERED: usize = 1_024;
/// A ruleset that takes longer than the programs that list it may does not come back.
const HANGS: Duration = Duration::from_secs(30);
/// Threads that were given up; with one more, nothing is read any more.
const GIVEN_UP: usize = 4;
/// Packets that wait for a ruleset.
const WAITING: usize = 256;
/// After a ruleset that took longer to be read the thread rests.
const SLOW: Duration = Duration::from_millis(250);
/// How much longer it rests than that took.
const REST: u32 = 9;
/// The first packet of a kind waits so long at most, so that the answer comes before the verdict.
const PATIENCE: Duration = Duration::from_millis(100);

/// Why a rule is not named then.
const HANGING: &str = "listing the rules does not come back";

/// The programs that know a ruleset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    Nft,
    Iptables,
    /// One of them, or something else.
    Any,
}

type Read = Result<Arc<Ruleset>, String>;
type Place = (u32, Source);
/// Packets for which a ruleset says the same: place, hook, family, flags, the upstream, the other end's address.
type RulesetQuery = (Place, String, Option<String>, u8, SocketAddr, IpAddr);

/// The thread that reads: what it is asked, its answers, and what it reads just now.
#[derive(Debug)]
struct Reader {
    questions: Sender<Query>,
    answers: Receiver<(Place, Read)>,
    reading: Reading,
}

type Reading = Arc<Mutex<Option<(Place, Instant)>>>;

struct Query {
    place: Place,
    namespace: Arc<Namespace>,
}

/// A dropped packet, and the ruleset that knows of it.
#[derive(Clone, Debug)]
struct Dropped {
    place: Place,
    drop: PacketDrop,
    packet: Packet,
    tuple: PacketTuple,
    by: String,
}

/// Rulesets of the network namespaces in which packets were dropped.
#[derive(Debug, Default)]
pub struct Rulesets {
    thread: Option<Reader>,
    read: HashMap<Place, (Nanos, Option<Read>)>,
    reported: HashMap<RulesetQuery, (Nanos, Rules)>,
    waiting: Vec<Dropped>,
    namespaces: Held,
    given_up: usize,
}

impl Rulesets {
    /// Nothing was read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is to be told because of a dropped packet. `open` opens the packet's network namespace, `device` gives the device
    /// by which an address is reached from there.
    pub fn dropped(
        &mut self,
        drop: &PacketDrop,
        now: Nanos,
        open: impl FnOnce(u32) -> Option<Namespace>,
        device: impl FnOnce(SocketAddr) -> Option<String>,
    ) -> Vec<Rules> {
        let Some(mut dropped) = Dropped::of(drop) else { return Vec::new() };
        self.give_up(now);
        let query = dropped.query();
        let reported = self.reported.get(&query).map(|(at, _)| *at);
        if reported.is_some_and(|at| now.saturating_sub(at) < FRESH) || self.waits(&query) {
            return Vec::new();
        }
        let place = dropped.place;
        let Some(namespace) = self.namespaces.get(drop.netns, now, open) else {
            let elsewhere = "no process lives in that network namespace, and it has no name".to_owned();
            self.read.insert(place, (now, Some(Err(elsewhere))));
            self.waiting.push(dropped);
            return self.answers(now);
        };
        if dropped.packet.output == Device::Unknown {
            dropped.packet.output = device(dropped.tuple.dst).map_or(Device::Unknown, Device::Named);
        }
        if self.waiting.len() < WAITING {
            self.waiting.push(dropped);
        }
        match self.read.get(&place) {
            Some((at, Some(_))) if now.saturating_sub(*at) < FRESH => return self.answers(now),
            Some((_, None)) => return Vec::new(),
            _ => {}
        }
        self.ask(Query { place, namespace }, now);
        if reported.is_some() {
            return Vec::new();
        }
        self.wait(now)
    }

    /// What is to be told by now.
    pub fn poll(&mut self, now: Nanos) -> Vec<Rules> {
        self.give_up(now);
        self.namespaces.let_go(now);
        // One that is being read stays.
        self.read.retain(|_, (at, read)| read.is_none() || now.saturating_sub(*at) < MAX_AGE);
        let answers: Vec<_> = self.thread.iter().flat_map(|thread| thread.answers.try_iter()).collect();
        for (place, read) in answers {
            self.read.insert(place, (now, Some(read)));
        }
        if self.waiting.is_empty() { Vec::new() } else { self.answers(now) }
    }

    fn waits(&self, query: &RulesetQuery) -> bool {
        self.waiting.iter().any(|dropped| dropped.query() == *query)
    }

    fn ask(&mut self, asked: Query, now: Nanos) {
        if self.read.len() >= REMEMBERED {
            self.read.clear();
        }
        let place = asked.place;
        if self.given_up >= GIVEN_UP {
            self.read.insert(place, (now, Some(Err(HANGING.to_owned()))));
            return;
        }
        let thread = self.thread.get_or_insert_with(start);
        if thread.questions.send(asked).is_ok() {
            self.read.insert(place, (now, None));
        }
    }

    /// Lets a thread go that does not come back: the packets of that ruleset are told without a rule, and what else it was
    /// asked is asked again.
    fn give_up(&mut self, now: Nanos) {
        let Some(thread) = &self.thread else { return };
        let reading = *thread.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((place, _)) = reading.filter(|(_, since)| since.elapsed() > HANGS) else { return };
        self.thread = None;
        self.given_up += 1;
        self.read.retain(|_, (_, read)| read.is_some());
        self.waiting.retain(|dropped| dropped.place == place || self.read.contains_key(&dropped.place));
        self.read.insert(place, (now, Some(Err(HANGING.to_owned()))));
    }

    /// Waits a moment for the ruleset that was asked for last.
    fn wait(&mut self, now: Nanos) -> Vec<Rules> {
        let until = Instant::now() + PATIENCE;
        let Some(thread) = &self.thread else { return self.answers(now) };
        if let Ok((place, read)) =
            thread.answers.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            self.read.insert(place, (now, Some(read)));
        }
        self.answers(now)
    }

    /// Answers for packets whose ruleset is known; those that are news.
    fn answers(&mut self, now: Nanos) -> Vec<Rules> {
        let mut news = Vec::new();
        for dropped in std::mem::take(&mut self.waiting) {
            let Some((at, Some(read))) = self.read.get(&dropped.place) else {
                self.waiting.extend(self.read.contains_key(&dropped.place).then_some(dropped));
                continue;
            };
            let rules = dropped.rules(*at, read);
            let query = dropped.query();
            let same = |old: &Rules| {
                (&old.rules, &old.chains, &old.unread) == (&rules.rules, &rules.chains, &rules.unread)
            };
            let known = self.reported.get(&query).is_some_and(|(_, old)| same(old));
            if self.reported.len() >= REMEMBERED {
                self.reported.clear();
            }
            self.reported.insert(query, (now, rules.clone()));
            if !known {
                news.push(rules);
            }
        }
        news
    }
}

impl Dropped {
    /// `None` if no ruleset can say anything of it.
    fn of(drop: &PacketDrop) -> Option<Self> {
        let (Netfilter { hook, by, family }, tuple) = (drop.netfilter.as_ref()?, drop.tuple?);
        let hook = hook.clone()?;
        let (source, family) = match by.as_str() {
            "nft" => (Source::Nft, family.clone()),
            "iptables" => (Source::Iptables, None),
            "other" => (Source::Any, None),
            _ => return None,
        };
        let (PacketTuple { src, dst }, flags) = (tuple, drop.tcp_flags);
        let (input, output) = devices(&hook, tuple);
        let packet = Packet { src, dst, flags, hook, family, input, output };
        Some(Self { place: (drop.netns, source), drop: drop.clone(), packet, tuple, by: by.clone() })
    }

    fn query(&self) -> RulesetQuery {
        let (PacketTuple { src, dst }, packet) = (self.tuple, &self.packet);
        // A SYN goes to the upstream, its answer comes from there; otherwise the lower port is that of a service.
        let to_upstream = if packet.flags & 0x02 != 0 { packet.is_syn() } else { dst.port() < src.port() };
        let (upstream, other) = if to_upstream { (dst, src) } else { (src, dst) };
        (self.place, packet.hook.clone(), packet.family.clone(), packet.flags, upstream, other.ip())
    }

    fn rules(&self, at: Nanos, read: &Read) -> Rules {
        let mut found = read.as_ref().map(|ruleset| ruleset.find(&self.packet)).unwrap_or_default();
        if self.place.1 == Source::Any && !found.blocked && !found.rules.is_empty() {
            // It need not have been a rule at all. (If none can have been, that is known.)
            found.complete = false;
            found.rules.iter_mut().for_each(|rule| rule.certain = false);
        }
        Rules {
            at,
            netns: self.drop.netns,
            hook: self.packet.hook.clone(),
            by: self.by.clone(),
            tuple: self.tuple,
            tcp_flags: self.drop.tcp_flags,
            attempt: self.drop.attempt,
            rules: found.rules,
            chains: found.chains,
            complete: found.complete,
            unread: read.as_ref().err().cloned(),
            dweller: None,
        }
    }
}

/// Devices at a hook, as far as addresses tell.
fn devices(hook: &str, tuple: PacketTuple) -> (Device, Device) {
    let loopback = |end: SocketAddr| end.ip().to_canonical().is_loopback();
    let same = tuple.src.ip() == tuple.dst.ip();
    let known = if loopback(tuple.src) || loopback(tuple.dst) || same {
        Device::Named("lo".to_owned())
    } else {
        Device::Unknown
    };
    match hook {
        "output" | "postrouting" | "egress" => (Device::None, known),
        "input" | "prerouting" | "ingress" => (known, Device::None),
        _ => (Device::Unknown, Device::Unknown),
    }
}

fn start() -> Reader {
    let (questions, asked) = channel::<Query>();
    let (answer, answers) = channel();
    let reading = Reading::default();
    let now_reading = Arc::clone(&reading);
    let set = move |what| *now_reading.lock().unwrap_or_else(PoisonError::into_inner) = what;
    thread::spawn(move || {
        for Query { place, namespace } in asked {
            let begun = Instant::now();
            set(Some((place, begun)));
            let read = read(place, &namespace);
            drop(namespace);
            set(None);
            if answer.send((place, read)).is_err() {
                break;
            }
            // Ten thousand rules take a second on a busy host: they may have a tenth of a CPU, not more.
            let took = begun.elapsed();
            if took > SLOW {
                thread::sleep(took * REST);
            }
        }
    });
    Reader { questions, answers, reading }
}

/// Reads a ruleset of a network namespace.
fn read((_, source): Place, namespace: &Namespace) -> Read {
    let read = namespace.run(|| match source {
        Source::Nft => list::nft(),
        Source::Iptables => list::iptables(),
        Source::Any => list::any(),
    });
    read.map_err(|error| format!("cannot enter the network namespace: {error}"))?.map(Arc::new)
}

#[cfg(test)]
mod tests;

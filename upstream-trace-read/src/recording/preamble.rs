//! What must be known before the events of a part of a run make sense: the host, its workers, their logs, nginx's
//! configuration, and what the counters of upstreams were.

use std::collections::BTreeMap;

use upstream_trace_core::event::{
    Config, Event, Host, LogFollowed, Nanos, Process, ProcessChange, Upstream, UpstreamSample,
};

/// Configurations, processes, and upstreams that are kept: more than a host has.
const MAX_CONFIGS: usize = 64;
const MAX_PROCESSES: usize = 16_384;
const MAX_UPSTREAMS: usize = 16_384;

/// The state of a run, as its events tell it.
#[derive(Clone, Debug, Default)]
pub(super) struct Preamble {
    host: Option<Host>,
    configs: BTreeMap<String, Config>,
    processes: BTreeMap<u32, Process>,
    logs: BTreeMap<u32, LogFollowed>,
    samples: BTreeMap<Option<Upstream>, UpstreamSample>,
}

impl Preamble {
    /// Notes what an event changes.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Host(host) => self.host = Some(host.clone()),
            Event::Config(config) => {
                insert(&mut self.configs, config.file.clone(), (**config).clone(), MAX_CONFIGS);
            }
            Event::Process(process) => self.process(process),
            Event::LogFollowed(followed) => {
                insert(&mut self.logs, followed.worker, followed.clone(), MAX_PROCESSES);
            }
            Event::Upstream(sample) => {
                insert(&mut self.samples, sample.upstream.clone(), sample.clone(), MAX_UPSTREAMS);
            }
            _ => {}
        }
    }

    fn process(&mut self, process: &Process) {
        if matches!(process.change, ProcessChange::WorkerExited { .. } | ProcessChange::MasterExited) {
            self.processes.remove(&process.pid);
            self.logs.remove(&process.pid);
        } else {
            insert(&mut self.processes, process.pid, process.clone(), MAX_PROCESSES);
        }
    }

    /// The state as events of this time.
    pub(super) fn events(&self, at: Nanos) -> impl Iterator<Item = Event> {
        let host = self.host.iter().cloned().map(Event::Host);
        let processes = self.processes.values().cloned().map(Event::Process);
        let configs = self.configs.values().cloned().map(|config| Event::Config(Box::new(config)));
        let logs = self.logs.values().cloned().map(Event::LogFollowed);
        let samples = self.samples.values().cloned().map(Event::Upstream);
        host.chain(processes).chain(configs).chain(logs).chain(samples).map(move |mut event| {
            not_before(&mut event, at);
            event
        })
    }
}

fn insert<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V, most: usize) {
    if map.len() < most || map.contains_key(&key) {
        map.insert(key, value);
    }
}

/// Moves an event of the state to a time, if it is from before it. False if it is no such event: then it is over.
pub(super) fn not_before(event: &mut Event, at: Nanos) -> bool {
    let later = |time: &mut Nanos| *time = at.max(*time);
    match event {
        Event::Host(host) => {
            let over = at.saturating_sub(host.at);
            // Both tell the same moment.
            host.at += over;
            host.unix_us = host.unix_us.saturating_add(i64::try_from(over / 1_000).unwrap_or(i64::MAX));
        }
        Event::Config(config) => later(&mut config.at),
        Event::Process(process) => later(&mut process.at),
        Event::LogFollowed(followed) => later(&mut followed.at),
        Event::Upstream(sample) => later(&mut sample.at),
        _ => return false,
    }
    true
}

/// Takes from counters what they were before.
pub(super) fn subtract(sample: &mut UpstreamSample, before: &UpstreamSample) {
    for (now, before) in [
        (&mut sample.attempts, before.attempts),
        (&mut sample.established, before.established),
        (&mut sample.requests, before.requests),
        (&mut sample.answers, before.answers),
    ] {
        *now = now.saturating_sub(before);
    }
    let buckets = [(&mut sample.connect, &before.connect), (&mut sample.first_byte, &before.first_byte)];
    for (now, before) in buckets {
        now.iter_mut().zip(before).for_each(|(now, before)| *now = now.saturating_sub(*before));
    }
}

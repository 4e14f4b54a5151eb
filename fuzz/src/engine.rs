//! Events in any order, with any numbers: the engine must bound what it keeps, and say the same each time.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use upstream_trace_core::Engine;
use upstream_trace_core::event::Event;
use upstream_trace_core::verdict::Output;

use crate::Target;
use crate::mutate::Rng;
use crate::say::Paper;

/// Takes events as lines of JSON.
pub(crate) const TARGET: Target = Target { name: "engine", run, seeds: recordings, mutate };

/// Lines of a recording to begin from: longer ones teach nothing more and are slow.
const MOST_LINES: usize = 60;

/// Later times are refused where recordings are read.
const LATEST: u64 = 100 * 365 * 86_400 * 1_000_000_000;

fn run(bytes: &[u8]) {
    let events: Vec<Event> =
        bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    tell(&events);
}

/// Tells events to an engine and to those who print, as `report` does, twice.
pub(crate) fn tell(events: &[Event]) {
    let events: Vec<&Event> = events.iter().filter(|event| event.at() <= LATEST).collect();
    let first = once(&events);
    let second = once(&events);
    assert_eq!(first, second, "the same events, and other words");
}

fn once(events: &[&Event]) -> [Vec<String>; 2] {
    let mut engine = Engine::new();
    let mut sinks = Paper::sinks();
    let mut failures = 0;
    let mut say = |sinks: &mut [(Paper, _); 2], outputs: &[Output]| {
        failures += outputs.iter().filter(|output| matches!(output, Output::Failure(_))).count();
        for (_, sink) in sinks {
            let sink: &mut Box<dyn upstream_trace_read::output::Sink> = sink;
            for output in outputs {
                sink.output(output);
            }
        }
    };
    for event in events {
        for (_, sink) in &mut sinks {
            if let Event::Host(host) = event {
                sink.start(host);
            }
            sink.tick(event.at());
        }
        say(&mut sinks, &engine.on((*event).clone()));
    }
    say(&mut sinks, &engine.finish());
    let summary = engine.summary(0);
    assert_eq!(summary.failures, failures as u64, "failures told and failures counted");
    let counted: u64 = summary.by_cause.iter().map(|cause| cause.count).sum();
    assert_eq!(summary.failures, counted, "failures and their causes");
    for (_, sink) in &mut sinks {
        sink.summary(&summary, &upstream_trace_read::output::Extra::default());
    }
    let [(people, _), (programs, _)] = &sinks;
    people.check_text();
    programs.check_json();
    [people.lines(), programs.lines()]
}

/// Recordings of the fault lab, unpacked.
pub(crate) fn recordings() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../upstream-trace-read/tests/fixtures");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "zst"));
    files.sort();
    let unpack = |file: &PathBuf| zstd::decode_all(fs::File::open(file).ok()?).ok();
    files.iter().filter_map(unpack).map(|lines| short(&lines)).collect()
}

fn short(lines: &[u8]) -> Vec<u8> {
    lines.split_inclusive(|byte| *byte == b'\n').take(MOST_LINES).flatten().copied().collect()
}

/// Changes events so that most of them still are some.
fn mutate(bytes: &mut Vec<u8>, most: usize, rng: &mut Rng) {
    let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    for _ in 0..=rng.below(6) {
        if !lines.is_empty() {
            change(&mut lines, rng);
        }
    }
    *bytes = lines.concat();
    bytes.truncate(most);
}

fn change(lines: &mut Vec<Vec<u8>>, rng: &mut Rng) {
    let (at, other) = (rng.below(lines.len()), rng.below(lines.len()));
    match rng.below(8) {
        0 => drop(lines.remove(at)),
        1 => lines.swap(at, other),
        2 => lines.insert(other, lines[at].clone()),
        _ => {
            let Ok(mut event) = serde_json::from_slice::<Value>(&lines[at]) else { return };
            let from: Value = serde_json::from_slice(&lines[other]).unwrap_or_default();
            for _ in 0..=rng.below(3) {
                value(&mut event, &from, rng);
            }
            lines[at] = event.to_string().into_bytes();
            lines[at].push(b'\n');
        }
    }
}

/// Changes one value within; `from` is another event, of which values may be taken over.
fn value(of: &mut Value, from: &Value, rng: &mut Rng) {
    match of {
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            let Some(name) = rng.one(&names) else { return };
            match (rng.below(8), from.get(name)) {
                (0, _) => drop(fields.remove(name)),
                (1 | 2, Some(taken)) => drop(fields.insert(name.clone(), taken.clone())),
                (3, Some(taken)) if from.is_object() => {
                    let names: Vec<&String> =
                        from.as_object().into_iter().flat_map(|all| all.keys()).collect();
                    let name = rng.one(&names).map_or_else(|| name.clone(), |name| (*name).clone());
                    fields.insert(name, taken.clone());
                }
                _ => {
                    let inner = from.get(name).cloned().unwrap_or_default();
                    if let Some(field) = fields.get_mut(name) {
                        value(field, &inner, rng);
                    }
                }
            }
        }
        Value::Array(all) if !all.is_empty() => {
            let at = rng.below(all.len());
            match rng.below(4) {
                0 => drop(all.remove(at)),
                1 => all.insert(at, all[at].clone()),
                _ => value(&mut all[at], from, rng),
            }
        }
        Value::Number(number) => *of = changed_number(number.as_u64().unwrap_or_default(), rng).into(),
        Value::Bool(known) => *of = (!*known).into(),
        Value::String(text) => *of = changed_text(text, rng).into(),
        _ => *of = rng.below(3).into(),
    }
}

fn changed_number(number: u64, rng: &mut Rng) -> u64 {
    match rng.below(6) {
        0 => rng.below(16) as u64,
        1 => number.wrapping_add(1),
        2 => number.wrapping_sub(1),
        // Times: a little or a lot later or earlier.
        3 => number.wrapping_add(1 << rng.below(40)),
        4 => number.wrapping_sub(1 << rng.below(40)),
        _ => rng.number(),
    }
}

fn changed_text(text: &str, rng: &mut Rng) -> String {
    const TEXTS: [&str; 16] = [
        "",
        "\u{1b}[2J",
        "a\nb",
        "\0",
        "\u{202e}",
        "<script>",
        "\"",
        "%s",
        "ß",
        "10.0.0.2:80",
        "[::1]:1",
        "unix:/a",
        "NETFILTER_DROP",
        "output",
        "nft",
        "error",
    ];
    let with = rng.one(&TEXTS).copied().unwrap_or_default();
    match rng.below(4) {
        0 => with.to_owned(),
        1 => format!("{text}{with}"),
        2 => text.chars().take(rng.below(text.chars().count() + 1)).collect(),
        _ => text.repeat(rng.below(4)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_changed_events_are_still_events() {
        let mut rng = Rng::new(1);
        let lines = recordings().swap_remove(0);
        let events = |bytes: &[u8]| {
            let lines = bytes.split(|byte| *byte == b'\n');
            lines.filter_map(|line| serde_json::from_slice::<Event>(line).ok()).collect::<Vec<_>>()
        };
        let before = events(&lines);
        let (mut kept, mut different) = (0, 0);
        for _ in 0..200 {
            let mut changed = lines.clone();
            mutate(&mut changed, usize::MAX, &mut rng);
            let after = events(&changed);
            kept += after.len();
            different += usize::from(after != before);
        }
        assert!(
            kept > 150 * before.len() && different > 150,
            "{kept} of {}, {different}",
            200 * before.len()
        );
    }
}

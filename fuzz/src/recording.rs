//! Recordings, which come from other hosts.

use std::io::Cursor;

use upstream_trace_core::event::Event;
use upstream_trace_read::recording::{Ending, Reader};

use crate::{Target, engine, mutate};

/// Takes a file as `--record` writes it, packed or not.
pub(crate) const TARGET: Target = Target { name: "recording", run, seeds, mutate: mutate::bytes };

/// Events looked at; a small file may unpack to very many.
const MOST: usize = 2_000;

fn run(bytes: &[u8]) {
    let Ok(mut reader) = Reader::new(Cursor::new(bytes.to_vec())) else { return };
    let events: Vec<Event> = reader.by_ref().take(MOST).collect();
    assert!(events.len() == MOST || *reader.ending() != Ending::Open, "the reader says nothing of its end");
    for event in &events {
        // What is read can be recorded again, and says the same.
        let line = serde_json::to_string(event).expect("an event that cannot be written");
        let again: Event = serde_json::from_str(&line).expect("an event that cannot be read again");
        assert_eq!(*event, again, "changed by being recorded: {line}");
    }
    engine::tell(&events);
}

/// Recordings of the fault lab, as they are and unpacked.
fn seeds() -> Vec<Vec<u8>> {
    let plain = engine::recordings();
    let packed = plain.iter().filter_map(|lines| zstd::encode_all(lines.as_slice(), 3).ok());
    packed.chain(plain.iter().cloned()).collect()
}

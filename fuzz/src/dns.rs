//! Messages of name servers: anybody who can spoof a datagram writes them.

use upstream_trace_core::dns::{Exchange, Tracker};
use upstream_trace_core::event::Event;

use crate::{Target, engine, mutate};

/// Takes messages, each with a byte that says how it came and one for its length.
pub(crate) const TARGET: Target = Target { name: "dns", run, seeds, mutate: mutate::bytes };

const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03app\x03lab\x04test\0\0\x01\0\x01";
const ANSWER: &[u8] = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x03app\x03lab\x04test\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\x63\0\x02";

fn run(bytes: &[u8]) {
    const SECOND: u64 = 1_000_000_000;
    let (mut tracker, mut events) = (Tracker::default(), Vec::new());
    let mut rest = bytes;
    let mut at = SECOND;
    while let [how, length, after @ ..] = rest {
        let (payload, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        at += u64::from(*how) * SECOND / 32;
        let failed = how & 8 != 0;
        let exchange = Exchange {
            at,
            worker: u32::from(how & 1),
            netns: 1,
            server: ([127, 0, 0, 53 + (how >> 7)], 53).into(),
            tcp: how & 2 != 0,
            sent: how & 4 != 0,
            for_client: how & 16 != 0,
            result: if failed { -111 } else { i32::from(*length) },
            payload,
        };
        events.extend(tracker.on(&exchange).into_iter().map(Event::Lookup));
        events.extend(tracker.tick(at, SECOND).into_iter().map(Event::Lookup));
    }
    events.extend(tracker.of(0, at).into_iter().map(Event::Lookup));
    for event in &events {
        let Event::Lookup(lookup) = event else { continue };
        assert!(!lookup.name.chars().any(char::is_control), "a control character in {:?}", lookup.name);
        assert!(!lookup.asked.is_empty() && lookup.begun <= lookup.at, "{lookup:?}");
    }
    engine::tell(&events);
}

fn seeds() -> Vec<Vec<u8>> {
    let message =
        |how: u8, bytes: &[u8]| [&[how, u8::try_from(bytes.len()).unwrap_or(u8::MAX)][..], bytes].concat();
    let mut refused = ANSWER.to_vec();
    refused[3] |= 5;
    vec![
        [message(0x14, QUESTION), message(0, ANSWER)].concat(),
        [message(0x14, QUESTION), message(0, &refused)].concat(),
        [message(0x14, QUESTION), message(8, &[])].concat(),
        message(0x14, QUESTION),
    ]
}

//! Many failures at once.

use super::*;

/// Two thousand failures of four workers at three upstreams, all kinds mixed; clients that left without a word and
/// lines that stand alone between them.
#[test]
fn a_busy_stream_is_joined_without_a_wrong_one() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut events = Vec::new();
    let (mut read, mut seen) = ([0; 4], [0; 4]);
    let (mut at, mut alone, mut left) = (AT, 0, 0);
    for id in 1..=2_000 {
        at += random(10 * MS);
        let worker = random(4) as usize;
        let port = 8080 + random(3) as u16;
        let address = format!("10.0.0.2:{port}");
        let upstream = address.parse().ok().map(Upstream::Tcp);
        let (attempt, message) = match random(8) {
            0 => (Some(refused()), REFUSED),
            1 => (Some(unanswered_syn()), CONNECTING),
            2 => (Some(with_fin(unanswered_request(), 500)), CLOSED),
            3 => (Some(with_reset(unanswered_request(), 500)), RESET),
            4 => (None, TOO_BIG),
            5 if random(4) == 0 => (Some(Attempt { seen: BEGUN + 1_500 * MS, ..unanswered_request() }), ""),
            _ => (Some(unanswered_request()), HEADER),
        };
        alone += u64::from(attempt.is_none());
        left += u64::from(message.is_empty());
        if let Some(attempt) = attempt {
            let attempt = Attempt { worker: 1713 + worker as u32, upstream, ..shifted(attempt, id, at) };
            // So are its failures: the kernel's buffer keeps their order.
            seen[worker] = (at + random(5 * MS)).max(seen[worker]);
            events.push((seen[worker], Event::End(attempt)));
        }
        if !message.is_empty() {
            // Lines of a worker are read in their order.
            read[worker] = (at - random(2 * MS) + random(30 * MS)).max(read[worker]);
            let mut line = LogLine { at: read[worker], connection: Some(id), ..line(message) };
            (line.worker, line.upstream) = (Some(1713 + worker as u32), Some(format!("http://{address}/")));
            events.push((line.at, Event::Log(line)));
        }
    }
    events.sort_by_key(|(at, _)| *at);
    let mut engine = followed();
    for worker in [1715, 1716] {
        engine.on(Event::LogFollowed(LogFollowed { at: 0, worker, followed: true, level: None }));
    }
    let mut out = Vec::new();
    for (at, event) in events {
        out.extend(engine.on(event));
        out.extend(engine.on(tick(at)));
    }
    out.extend(engine.on(tick(at + 3 * SECOND)));
    out.extend(engine.finish());
    let told = told(&out);
    let (own, of_kernel): (Vec<_>, Vec<_>) =
        told.iter().partition(|(id, ..)| *id >= AttemptId::log_line(0).to_kernel());
    let wrong = of_kernel.iter().filter(|(id, _, line)| line.is_some_and(|line| line != *id)).count();
    let joined = of_kernel.iter().filter(|(id, _, line)| *line == Some(*id)).count() as u64;
    let expected = 2_000 - alone - left;
    assert_eq!((wrong, own.len() as u64), (0, alone));
    assert!(joined * 100 >= expected * 99 && of_kernel.len() as u64 == expected, "{joined} of {expected}");
    assert_eq!(engine.summary(0).log_lines, LogLines { seen: 2_000 - left, joined, lost: 0, passed_over: 0 });
}

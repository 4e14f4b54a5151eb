//! Cuts lists of a recorded event to what a trace can have recorded: it may be anybody's, and the engine keeps thousands.

use upstream_trace_core::event::{Attempt, Event, LogLine};

/// Steps of an attempt; the kernel side keeps 16.
const STEPS: usize = 64;
/// Latency buckets of a sample.
const BUCKETS: usize = 256;
/// Bytes of what an origin sent instead of TLS; the kernel side keeps 24.
const PREFIX: usize = 256;

/// Bytes of a text of error.log: nginx writes lines of 2,048 bytes, and few of them are escaped.
const TEXT: usize = 4_096;

/// Cuts what is longer than it can be.
pub(super) fn bound(event: &mut Event) {
    match event {
        Event::Trouble(attempt) | Event::End(attempt) => of_attempt(attempt),
        Event::Log(line) => of_line(line),
        Event::Upstream(sample) => {
            cut(&mut sample.connect, BUCKETS);
            cut(&mut sample.first_byte, BUCKETS);
        }
        _ => {}
    }
}

fn of_attempt(attempt: &mut Attempt) {
    cut(&mut attempt.trail, STEPS);
    if attempt.non_tls_prefix.as_ref().is_some_and(|prefix| prefix.len() > PREFIX) {
        attempt.non_tls_prefix = None;
    }
}

fn of_line(line: &mut LogLine) {
    let LogLine { time, level, message, action, client, server, request, subrequest, upstream, host, .. } =
        line;
    let optional = [action, client, server, request, subrequest, upstream, host, &mut line.resolver];
    let all = [time, level, message, &mut line.file].into_iter().chain(optional.into_iter().flatten());
    for text in all.filter(|text| text.len() > TEXT) {
        text.truncate(text.floor_char_boundary(TEXT));
        text.shrink_to_fit();
    }
}

fn cut<T>(list: &mut Vec<T>, length: usize) {
    if list.len() > length {
        list.truncate(length);
        list.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upstream_trace_core::event::{AttemptId, Moment, Step};

    #[test]
    fn texts_of_a_line_are_cut() {
        let line = LogLine {
            message: "ä".repeat(3_000),
            request: Some("x".repeat(5_000)),
            host: Some("shop.test".to_owned()),
            ..LogLine::default()
        };
        let mut event = Event::Log(line);
        bound(&mut event);
        let Event::Log(line) = event else { panic!("another event") };
        assert_eq!((line.message.len(), line.request.map(|text| text.len())), (TEXT, Some(TEXT)));
        assert_eq!(line.host.as_deref(), Some("shop.test"));
    }

    #[test]
    fn lists_are_cut_and_others_stay() {
        let mut attempt = Attempt::blank(AttemptId::from_kernel(1), 1, 1, None);
        attempt.non_tls_prefix = Some("220 mail".to_owned());
        attempt.trail = vec![Moment { at: 1, step: Step::SynSent, count: 1, span_ms: 0 }; 16];
        let mut event = Event::End(attempt.clone());
        bound(&mut event);
        assert_eq!(event, Event::End(attempt.clone()));
        attempt.trail = vec![attempt.trail[0].clone(); 2_000];
        attempt.non_tls_prefix = Some("x".repeat(10_000));
        let mut event = Event::End(attempt);
        bound(&mut event);
        let Event::End(attempt) = event else { panic!("another event") };
        assert_eq!((attempt.trail.len(), attempt.non_tls_prefix), (STEPS, None));
    }
}

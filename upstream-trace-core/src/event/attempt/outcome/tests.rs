use super::*;
use crate::event::MS;
use crate::testkit::{BEGUN, refused, unanswered_request, unanswered_syn, with_fin, with_reset};

#[test]
fn ends_that_are_no_failures_of_the_upstream() {
    let answered = Attempt { outstanding: false, bytes_received: 9, ..unanswered_request() };
    let of = |attempt: &Attempt| attempt.benign_end(SECOND);
    assert_eq!(of(&answered), Some(BenignEnd::Answered));
    assert_eq!(of(&Attempt { client_gone: true, ..unanswered_syn() }), Some(BenignEnd::ClientGone));
    assert_eq!(of(&Attempt { worker_exiting: true, ..unanswered_syn() }), Some(BenignEnd::WorkerExit));
    assert_eq!(of(&Attempt { ended: Ended::Vanished, ..unanswered_syn() }), Some(BenignEnd::Vanished));
    assert_eq!(of(&Attempt { client_gone: true, ..refused() }), None, "it had failed before");
    for failed in [unanswered_syn(), refused(), with_fin(unanswered_request(), 500)] {
        assert_eq!(of(&failed), None);
    }
    assert_eq!(of(&Attempt { ended: Ended::Open, ..answered }), None);
}

#[test]
fn a_stalled_answer_is_a_failure_only_if_the_client_was_cut_off() {
    let begun = Some(BEGUN + 100 * MS);
    let stalled = Attempt {
        outstanding: false,
        bytes_received: 9,
        answer: begun,
        last_recv: begun,
        ..unanswered_request()
    };
    assert!(stalled.stalled(SECOND) && stalled.stalled(Nanos::MAX));
    assert_eq!(stalled.benign_end(SECOND), Some(BenignEnd::Answered));
    assert_eq!(Attempt { client_cut: true, ..stalled.clone() }.benign_end(SECOND), None);
    let soon = Attempt { client_cut: true, seen: BEGUN + 500 * MS, ..stalled };
    assert_eq!(soon.benign_end(SECOND), Some(BenignEnd::Answered));
    assert_eq!(soon.benign_end(100 * MS), None, "with a shorter --slow it is one");
}

#[test]
fn whose_end_it_was() {
    assert!(unanswered_syn().gave_up() && unanswered_request().gave_up());
    assert!(!refused().gave_up() && refused().errno() == Some(errno::ECONNREFUSED));
    let reset = with_reset(unanswered_request(), 500);
    assert_eq!((reset.gave_up(), reset.reset_at()), (false, Some(BEGUN + 500 * MS)));
    let mut left = with_reset(unanswered_request(), 500);
    left.trail.insert(
        0,
        crate::event::Moment {
            at: BEGUN + 400 * MS,
            step: Step::TlsRefused { alert: None },
            count: 1,
            span_ms: 0,
        },
    );
    assert!(left.left_first() && left.reset_at().is_none(), "the reset answers nginx's goodbye");
}

#[test]
fn no_errno_is_too_low_to_be_made_positive() {
    let mut attempt = refused();
    attempt.socket.error = i32::MIN;
    (attempt.reset, attempt.trail) = (None, Vec::new());
    assert_eq!(attempt.errno(), Some(i32::MAX));
}

#[test]
fn without_a_watch_a_late_connection_that_was_not_used_is_a_failure() {
    let late = Attempt {
        by_socket: true,
        established: Some(BEGUN + SECOND),
        seen: BEGUN + 2 * SECOND,
        ..unanswered_syn()
    };
    assert_eq!(late.benign_end(SECOND), None);
    let soon = Attempt { established: Some(BEGUN + MS), ..late };
    assert_eq!(soon.benign_end(SECOND), Some(BenignEnd::Answered), "opened and never used");
}

#[test]
fn an_earlier_look_says_when_the_request_was_sent() {
    let earlier = unanswered_request();
    let said_goodbye = Some(BEGUN + 2 * SECOND);
    let end =
        Attempt { by_socket: true, request: said_goodbye, last_send: said_goodbye, ..unanswered_request() };
    let learnt = |mut attempt: Attempt| {
        attempt.learn_request(&earlier);
        attempt.request
    };
    assert_eq!(learnt(end.clone()), earlier.request);
    let mut answered = end.clone();
    answered.socket.received = 9;
    assert_eq!(learnt(answered), said_goodbye);
    assert_eq!(learnt(Attempt { by_socket: false, ..end }), said_goodbye);
}

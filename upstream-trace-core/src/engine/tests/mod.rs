//! The engine over whole stories: events in, outputs out.

mod doubtful;

use super::*;
use crate::engine::stores::queue::MAX_HELD;
use crate::event::{
    Attempt, Ended, Fact, Listener, LogFollowed, Lost, PacketTuple, Process, ProcessChange, ResetSent,
    Socket, Upstream, UpstreamSample,
};
use crate::testkit::{
    BEGUN, connect_error, enrichment, netfilter_drop, refused, remote, stuck_syn, unanswered_request,
    unanswered_syn,
};
use crate::verdict::{Confidence, Resolved};

fn numbered(mut attempt: Attempt, id: u64) -> Attempt {
    attempt.id = AttemptId::from_kernel(id);
    attempt
}

fn tick(at: Nanos) -> Event {
    Event::Tick { at }
}

fn failures(out: &[Output]) -> Vec<(u64, &'static str, bool)> {
    out.iter()
        .filter_map(|output| match output {
            Output::Failure(verdict) => Some((verdict.attempt.to_kernel(), verdict.cause, verdict.recovered)),
            _ => None,
        })
        .collect()
}

fn pendings(out: &[Output]) -> Vec<(&'static str, Confidence)> {
    out.iter()
        .filter_map(|output| match output {
            Output::Pending(verdict) => Some((verdict.cause, verdict.confidence)),
            _ => None,
        })
        .collect()
}

fn sample(at: Nanos, established: Nanos, answer: Nanos) -> Event {
    Event::Upstream(UpstreamSample {
        at,
        upstream: Some(Upstream::Tcp(remote())),
        attempts: 7,
        established: 5,
        requests: 5,
        answers: 5,
        last_established: established,
        last_answer: answer,
        sub_bits: 0,
        connect: vec![0, 5],
        first_byte: vec![0, 0, 5],
    })
}

#[test]
fn a_syn_ack_that_came_too_late_explains_the_next_that_nginx_gives_up() {
    let mut engine = Engine::new();
    let given_up = |id, begun| Attempt {
        begun,
        seen: begun + 300 * MS,
        retransmits: 0,
        socket: Socket::default(),
        ..numbered(unanswered_syn(), id)
    };
    engine.on(Event::End(given_up(1, BEGUN)));
    let mut out = engine.on(tick(BEGUN + 500 * MS));
    let tuple = PacketTuple { src: remote(), dst: unanswered_syn().local.expect("known") };
    let reason = "NO_SOCKET".to_owned();
    engine.on(Event::ResetSent(ResetSent {
        numbers: None,
        at: BEGUN + 600 * MS,
        tuple,
        reason,
        function: None,
        netns: 0,
        stranger: false,
    }));
    engine.on(Event::End(given_up(2, BEGUN + SECOND)));
    out.extend(engine.on(tick(BEGUN + 2 * SECOND)));
    let told: Vec<_> = failures(&out).into_iter().map(|(id, cause, _)| (id, cause)).collect();
    assert_eq!(told, [(1, "firewall-drop-remote"), (2, "connect-slow")]);
}

#[test]
fn a_client_that_left_explains_what_looked_like_a_timeout() {
    let mut engine = Engine::new();
    let mut gave_up = unanswered_request();
    gave_up.ended = Ended::ClosedByNginx;
    engine.on(Event::End(gave_up.clone()));
    let out = engine.on(Event::ClientGone { at: gave_up.seen, attempt: gave_up.id });
    assert!(out.is_empty(), "it had not been told: {out:?}");
    assert!(engine.finish().is_empty());
}

#[test]
fn a_failure_is_held_for_its_retry_and_then_told_once() {
    let mut engine = Engine::new();
    let attempt = refused();
    let ended = attempt.seen;
    assert_eq!(engine.on(Event::End(attempt.clone())), []);
    assert_eq!(engine.on(tick(ended + RETRY_STARTS - 1)), []);
    assert_eq!(failures(&engine.on(tick(ended + RETRY_STARTS))), [(1, "port-refused", false)]);
    assert_eq!(engine.on(Event::End(attempt)), []);
    assert_eq!(engine.on(tick(ended + SECOND)), []);
    let summary = engine.summary(0);
    assert_eq!((summary.attempts, summary.failures, summary.recovered), (1, 1, 0));
    assert_eq!(summary.by_cause[0].cause, "port-refused");
}

#[test]
fn a_drop_that_arrives_after_the_end_still_counts() {
    let mut engine = Engine::new();
    let ended = BEGUN + 4 * SECOND;
    engine.on(Event::End(stuck_syn()));
    engine.on(Event::Drop(netfilter_drop("output", "nft")));
    let out = engine.on(tick(ended + RETRY_STARTS));
    let Output::Failure(verdict) = &out[0] else { panic!("{out:?}") };
    assert_eq!((verdict.cause, verdict.confidence), ("firewall-drop-local", Confidence::Proven));
    assert_eq!((verdict.status, verdict.category), (Some(504), Some("firewall")));
    let dropped = verdict.evidence.iter().find(|piece| piece.what == "dropped").expect("in the evidence");
    assert_eq!((dropped.at_ms, &dropped.details["hook"]), (0.01, &"output".into()));
}

#[test]
fn a_retry_that_is_answered_makes_its_whole_chain_good() {
    let mut engine = Engine::new();
    let (first, second) = (numbered(refused(), 1), numbered(refused(), 2));
    let at = first.seen;
    engine.on(Event::End(first));
    engine.on(Event::RetryStarted {
        at: at + MS,
        failed: AttemptId::from_kernel(1),
        retry: AttemptId::from_kernel(2),
        upstream: None,
    });
    engine.on(Event::End(Attempt { seen: at + 2 * MS, ..second }));
    engine.on(Event::RetryStarted {
        at: at + 3 * MS,
        failed: AttemptId::from_kernel(2),
        retry: AttemptId::from_kernel(3),
        upstream: None,
    });
    assert_eq!(engine.on(tick(at + 100 * MS)), []);
    let out = engine.on(Event::RetryAnswered {
        at: at + 200 * MS,
        failed: AttemptId::from_kernel(2),
        retry: AttemptId::from_kernel(3),
        upstream: None,
    });
    assert_eq!(failures(&out), [(1, "port-refused", true), (2, "port-refused", true)]);
    assert_eq!(engine.summary(0).recovered, 2);
}

#[test]
fn a_chain_that_ends_in_failure_is_told_at_once_in_order() {
    let mut engine = Engine::new();
    let at = refused().seen;
    engine.on(Event::End(numbered(refused(), 1)));
    let mut error = connect_error(101);
    (error.id, error.at, error.retry_of) =
        (AttemptId::from_kernel(2), at + MS, Some(AttemptId::from_kernel(1)));
    engine.on(Event::ConnectError(error));
    let out = engine.on(tick(at + MS + RETRY_STARTS));
    assert_eq!(failures(&out), [(1, "port-refused", false), (2, "no-route", false)]);
}

#[test]
fn a_late_answer_corrects_the_summary_only() {
    let mut engine = Engine::new();
    let at = refused().seen;
    engine.on(Event::End(refused()));
    engine.on(Event::RetryStarted {
        at: at + MS,
        failed: AttemptId::from_kernel(1),
        retry: AttemptId::from_kernel(2),
        upstream: None,
    });
    assert_eq!(engine.on(tick(at + RETRY_ANSWERS - 1)), []);
    assert_eq!(failures(&engine.on(tick(at + RETRY_ANSWERS))), [(1, "port-refused", false)]);
    for _ in 0..2 {
        assert_eq!(
            engine.on(Event::RetryAnswered {
                at: at + 3 * SECOND,
                failed: AttemptId::from_kernel(1),
                retry: AttemptId::from_kernel(2),
                upstream: None
            }),
            []
        );
    }
    assert_eq!((engine.summary(0).failures, engine.summary(0).recovered), (1, 1));
}

#[test]
fn what_was_told_long_ago_is_forgotten() {
    let mut engine = Engine::new();
    let at = refused().seen;
    engine.on(Event::End(refused()));
    engine.on(tick(at + RETRY_ANSWERS));
    engine.on(tick(at + REPORTED_FOR));
    assert_eq!(engine.reported.0.len(), 1);
    engine.on(tick(at + RETRY_ANSWERS + REPORTED_FOR));
    assert!(engine.reported.0.is_empty());
}

#[test]
fn trouble_is_told_again_only_when_the_verdict_changes() {
    let mut engine = Engine::new();
    let trouble = |after: Nanos, retransmits| {
        let attempt = unanswered_syn();
        Event::Trouble(Attempt { ended: Ended::Open, seen: BEGUN + after, retransmits, ..attempt })
    };
    assert_eq!(engine.on(trouble(SECOND, 1)), []);
    let out = engine.on(tick(BEGUN + SECOND + TROUBLE_SETTLES));
    assert_eq!(pendings(&out), [("firewall-drop-remote", Confidence::Possible)]);
    engine.on(trouble(2 * SECOND, 1));
    assert_eq!(engine.on(tick(BEGUN + 2 * SECOND + TROUBLE_SETTLES)), []);
    engine.on(trouble(4 * SECOND, 3));
    let out = engine.on(tick(BEGUN + 4 * SECOND + TROUBLE_SETTLES));
    assert_eq!(pendings(&out), [("firewall-drop-remote", Confidence::Likely)]);
}

#[test]
fn trouble_waits_for_the_drop_of_the_same_moment() {
    let mut engine = Engine::new();
    let attempt = Attempt {
        ended: Ended::Open,
        seen: BEGUN + 10_000,
        retransmits: 0,
        trail: Vec::new(),
        ..unanswered_syn()
    };
    engine.on(Event::Trouble(attempt));
    engine.on(Event::Drop(netfilter_drop("output", "nft")));
    let out = engine.on(tick(BEGUN + 10_000 + TROUBLE_SETTLES));
    assert_eq!(pendings(&out), [("firewall-drop-local", Confidence::Proven)]);
}

#[test]
fn good_ends_resolve_what_was_told_and_nothing_else() {
    let healthy = |id| {
        let mut attempt = numbered(unanswered_request(), id);
        (attempt.outstanding, attempt.bytes_received) = (false, 100);
        attempt.answer = Some(BEGUN + 1_500 * MS);
        attempt
    };
    let mut engine = Engine::new();
    assert_eq!(engine.on(Event::End(healthy(1))), []);
    engine.on(Event::Trouble(Attempt { ended: Ended::Open, ..numbered(unanswered_request(), 2) }));
    let told = engine.on(tick(BEGUN + 3 * SECOND));
    assert_eq!(pendings(&told), [("slow-response", Confidence::Likely)]);
    let out = engine.on(Event::End(healthy(2)));
    let [Output::Resolved(Resolved { attempt, how, .. })] = &out[..] else { panic!("{out:?}") };
    assert_eq!((*attempt, *how), (AttemptId::from_kernel(2), "answered"));
    let gone = Attempt { client_gone: true, ..numbered(unanswered_request(), 3) };
    assert_eq!(engine.on(Event::End(gone)), []);
    let exiting = Attempt { worker_exiting: true, ..numbered(unanswered_request(), 4) };
    assert_eq!(engine.on(Event::End(exiting)), []);
    assert_eq!(failures(&engine.finish()), []);
    assert_eq!(engine.summary(0).failures, 0);
}

#[test]
fn a_client_that_leaves_does_not_hide_a_reset() {
    let mut engine = Engine::new();
    engine.on(Event::End(Attempt { client_gone: true, ..refused() }));
    assert_eq!(failures(&engine.finish()), [(1, "port-refused", false)]);
}

#[test]
fn siblings_and_facts_reach_the_verdict() {
    let mut engine = Engine::new();
    engine.on(sample(BEGUN + 3 * SECOND, BEGUN + 2 * SECOND, BEGUN + 2 * SECOND));
    engine.on(Event::End(unanswered_syn()));
    assert_eq!(failures(&engine.finish()), [(1, "accept-queue-full", false)]);

    let mut engine = Engine::new();
    let mut found = enrichment(vec![Fact::Listener(Listener { queue: 0, limit: 9, ..Listener::default() })]);
    found.at = BEGUN + 2 * SECOND;
    engine.on(Event::Enrichment(found));
    engine.on(Event::End(unanswered_request()));
    let out = engine.finish();
    let Output::Failure(verdict) = &out[0] else { panic!("{out:?}") };
    assert_eq!((verdict.cause, verdict.confidence), ("slow-response", Confidence::Proven));
}

#[test]
fn lost_events_are_told_and_take_proof_away() {
    let mut engine = Engine::new();
    engine.on(Event::Drop(netfilter_drop("output", "nft")));
    let lost =
        Lost { at: BEGUN + SECOND, count: 3, place: "ring-buffer".to_owned(), since: BEGUN, upstream: None };
    assert_eq!(engine.on(Event::Lost(lost.clone())), [Output::Lost(lost)]);
    engine.on(Event::End(stuck_syn()));
    let out = engine.finish();
    let Output::Failure(verdict) = &out[0] else { panic!("{out:?}") };
    assert_eq!((verdict.cause, verdict.confidence), ("firewall-drop-local", Confidence::Likely));
    assert_eq!(engine.summary(0).lost, 3);
}

#[test]
fn a_dead_worker_is_noted() {
    let mut engine = Engine::new();
    let change = ProcessChange::WorkerExited { status: None, signal: Some(11) };
    let out = engine.on(Event::Process(Process { at: BEGUN, pid: 1713, change }));
    assert!(matches!(&out[..], [Output::Note(note)] if note.text.contains("1713")), "{out:?}");
}

#[test]
fn the_summary_takes_the_kernels_counters() {
    let mut engine = Engine::new();
    engine.on(tick(BEGUN));
    engine.on(Event::End(refused()));
    engine.on(sample(BEGUN + SECOND, 0, 0));
    engine.on(tick(BEGUN + SECOND));
    let summary = engine.summary(BEGUN + 5 * SECOND);
    assert_eq!((summary.attempts, summary.failures, summary.duration), (7, 1, 5 * SECOND));
    let upstream = &summary.upstreams[0];
    assert_eq!((upstream.failures, upstream.requests), (1, 5));
    assert_eq!(upstream.first_byte.map(|found| found.p50_us), Some(4));
}

#[test]
fn held_failures_are_bounded_and_none_is_swallowed() {
    let mut engine = Engine::new();
    let mut told = 0;
    let all = MAX_HELD as u64 + 500;
    for id in 1..=all {
        told += engine.on(Event::End(numbered(refused(), id))).len();
    }
    assert_eq!(told, 500);
    let rest = engine.finish();
    assert_eq!(told + failures(&rest).len(), all as usize);
    let summary = engine.summary(0);
    assert_eq!((summary.failures, summary.lost_by_place["failures-held"]), (all, 500));
    assert!(rest.iter().any(|output| matches!(output, Output::Lost(lost) if lost.count == 500)));
}

#[test]
fn a_client_that_leaves_after_a_refusal_undoes_nothing() {
    let mut engine = Engine::new();
    engine.on(Event::End(refused()));
    engine.on(Event::ClientGone { at: BEGUN + MS, attempt: AttemptId::from_kernel(1) });
    let out = engine.finish();
    assert!(matches!(&out[..], [Output::Failure(verdict)] if verdict.cause == "port-refused"), "{out:?}");
    engine.on(Event::End(numbered(unanswered_request(), 2)));
    engine.on(Event::ClientGone { at: BEGUN + 3 * SECOND, attempt: AttemptId::from_kernel(2) });
    assert!(engine.finish().is_empty());
}

#[test]
fn what_goes_to_the_journal_is_no_attempt() {
    let told = |path: &str| {
        let mut engine = Engine::new();
        let attempt = Attempt { upstream: Some(Upstream::Unix(path.to_owned())), ..unanswered_request() };
        let mut out = engine.on(Event::Trouble(attempt.clone()));
        out.extend(engine.on(tick(attempt.seen + 5 * SECOND)));
        out.extend(engine.on(Event::End(attempt.clone())));
        out.extend(engine.on(tick(attempt.seen + 10 * SECOND)));
        (out.is_empty(), engine.summary(attempt.seen).upstreams.is_empty())
    };
    assert_eq!(told("/run/systemd/journal/stdout"), (true, true));
    assert_eq!(told("/run/systemd/journal.web/stdout"), (true, true));
    assert_eq!(told("/run/systemd/journalist/stdout"), (false, false));
    assert_eq!(told("/run/app/stdout"), (false, false));
}

//! Lookups, message by message.

use super::*;
use crate::dns::message::tests::{answer, question};
use crate::event::MS;

const SERVER: &str = "127.0.0.1:5353";
const NAME: &str = "app.lab.test";

fn exchange(at: Nanos, sent: bool, payload: &[u8]) -> Exchange<'_> {
    let result = i32::try_from(payload.len()).expect("short");
    let server = SERVER.parse().expect("an address");
    Exchange { at, worker: 7, netns: 1, server, tcp: false, sent, for_client: true, result, payload }
}

fn told(tracker: &mut Tracker, exchange: &Exchange<'_>) -> Option<Lookup> {
    tracker.on(exchange).pop()
}

fn asked(tracker: &mut Tracker, at: Nanos, question: &[u8]) {
    assert_eq!(told(tracker, &exchange(at, true, question)), None);
}

fn outcomes(lookup: &Lookup) -> Vec<Option<Outcome>> {
    lookup.asked.iter().map(|asked| asked.got.as_ref().map(|got| got.what.clone())).collect()
}

#[test]
fn an_answered_name_is_no_news() {
    let mut tracker = Tracker::default();
    let (v4, v6) = (question(1, NAME, 1), question(2, NAME, 28));
    asked(&mut tracker, 0, &v4);
    asked(&mut tracker, 0, &v6);
    assert_eq!(told(&mut tracker, &exchange(MS, false, &answer(&v6, 0, &[]))), None);
    assert_eq!(told(&mut tracker, &exchange(MS, false, &answer(&v4, 0, &[1]))), None);
    assert!(tracker.running.is_empty() && tracker.tick(60 * SECOND, SECOND).is_empty());
}

#[test]
fn an_error_in_one_answer_fails_the_name_when_both_are_there() {
    let mut tracker = Tracker::default();
    let (v4, v6) = (question(1, NAME, 1), question(2, NAME, 28));
    asked(&mut tracker, 0, &v4);
    asked(&mut tracker, 0, &v6);
    assert_eq!(told(&mut tracker, &exchange(MS, false, &answer(&v6, 2, &[]))), None);
    let failed = told(&mut tracker, &exchange(2 * MS, false, &answer(&v4, 0, &[1]))).expect("decided");
    assert_eq!((failed.state, failed.name.as_str(), failed.at), (LookupState::Failed(2), NAME, 2 * MS));
    let expected =
        [Some(Outcome::Answer { code: 0, records: 1 }), Some(Outcome::Answer { code: 2, records: 0 })];
    assert_eq!(outcomes(&failed), expected);
}

#[test]
fn what_is_not_watched_any_more_is_not_late() {
    let mut tracker = Tracker::default();
    asked(&mut tracker, 0, &question(1, NAME, 1));
    assert_eq!(tracker.tick(SECOND, SECOND).len(), 1);
    asked(&mut tracker, SECOND, &question(2, "other.lab.test", 1));
    tracker.forget_unreported();
    assert!(tracker.tick(3 * SECOND, SECOND).is_empty());
    assert_eq!(tracker.tick(8 * SECOND, SECOND).len(), 1, "the one that was reported ends");
}

#[test]
fn what_is_asked_over_tcp_unseen_is_not_late() {
    let (v4, query) = (question(1, NAME, 1), |tcp| Exchange { tcp, ..exchange(2 * MS, true, &[]) });
    let mut cut = answer(&v4, 0, &[]);
    cut[2] |= 2;
    for seen in [false, true] {
        let mut tracker = Tracker::default();
        asked(&mut tracker, 0, &v4);
        assert_eq!(told(&mut tracker, &exchange(MS, false, &cut)), None);
        let over_tcp = [&40u16.to_be_bytes()[..], &v4].concat();
        if seen {
            tracker.on(&Exchange { payload: &over_tcp, ..query(true) });
        }
        assert_eq!(tracker.tick(SECOND + 2 * MS, SECOND).len(), usize::from(seen), "pending");
        assert_eq!(tracker.of(7, 2 * SECOND).len(), 1, "for a line about it");
        assert_eq!(tracker.tick(8 * SECOND, SECOND).len(), usize::from(seen), "given up");
        assert!(tracker.running.is_empty());
    }
}

#[test]
fn no_address_is_no_such_name() {
    let mut tracker = Tracker::default();
    let v4 = question(1, NAME, 1);
    asked(&mut tracker, 0, &v4);
    let failed = told(&mut tracker, &exchange(MS, false, &answer(&v4, 0, &[]))).expect("decided");
    assert_eq!(failed.state, LookupState::Failed(3));
}

#[test]
fn silence_is_told_once_and_given_up_when_nginx_asks_no_more() {
    let mut tracker = Tracker::default();
    let v4 = question(1, NAME, 1);
    asked(&mut tracker, 0, &v4);
    assert!(tracker.tick(SECOND / 2, SECOND).is_empty());
    let [told] = &tracker.tick(SECOND, SECOND)[..] else { panic!("not told") };
    assert_eq!((told.state, told.begun, told.at), (LookupState::Open, 0, SECOND));
    assert!(tracker.tick(2 * SECOND, SECOND).is_empty());
    asked(&mut tracker, 5 * SECOND, &v4);
    assert!(tracker.tick(11 * SECOND, SECOND).is_empty());
    let [over] = &tracker.tick(12 * SECOND, SECOND)[..] else { panic!("not over") };
    assert_eq!((over.state, outcomes(over)), (LookupState::GivenUp, vec![None, None]));
}

#[test]
fn a_late_answer_is_told_if_the_trouble_was() {
    let mut tracker = Tracker::default();
    let v4 = question(1, NAME, 1);
    asked(&mut tracker, 0, &v4);
    tracker.tick(SECOND, SECOND);
    let answered = told(&mut tracker, &exchange(2 * SECOND, false, &answer(&v4, 0, &[1]))).expect("told");
    assert_eq!(answered.state, LookupState::Answered);
}

#[test]
fn what_nginx_drops_is_noted_and_decides_nothing() {
    let v4 = question(1, NAME, 1);
    let other = question(9, NAME, 1);
    let stranger = question(1, "other.lab.test", 1);
    let mut cut = answer(&v4, 0, &[]);
    cut[2] |= 2;
    for (bytes, why) in [
        (answer(&v4, 1, &[]), "code 1 (FORMERR)"),
        (answer(&v4, 9, &[]), "code 9 (unknown code)"),
        (answer(&other, 0, &[1]), "another number than the question"),
        (answer(&question(1, NAME, 28), 0, &[28]), "a type that was not asked for"),
        (answer(&v4, 0, &[16]), "no address in it"),
        (v4.clone(), "flags of no answer"),
        (cut, "cut: to be asked over TCP"),
    ] {
        let mut tracker = Tracker::default();
        asked(&mut tracker, 0, &v4);
        assert_eq!(told(&mut tracker, &exchange(MS, false, &bytes)), None, "{why}");
        let [running] = &tracker.of(7, MS)[..] else { panic!("{why}: over") };
        assert_eq!(outcomes(running), [Some(Outcome::Ignored(why.to_owned()))]);
    }
    let mut tracker = Tracker::default();
    asked(&mut tracker, 0, &v4);
    assert_eq!(told(&mut tracker, &exchange(MS, false, &answer(&stranger, 3, &[]))), None);
    assert_eq!(outcomes(&tracker.of(7, MS)[0]), [None], "an answer to another question changes nothing");
}

#[test]
fn errors_of_the_socket_and_of_sending() {
    let mut tracker = Tracker::default();
    let v4 = question(1, NAME, 1);
    asked(&mut tracker, 0, &v4);
    assert_eq!(told(&mut tracker, &Exchange { result: -111, ..exchange(MS, false, &[]) }), None);
    assert_eq!(told(&mut tracker, &Exchange { result: -1, ..exchange(2 * MS, true, &v4) }), None);
    let expected = [Some(Outcome::Error { errno: 111 }), Some(Outcome::NotSent { errno: 1 })];
    assert_eq!(outcomes(&tracker.of(7, MS)[0]), expected);
}

#[test]
fn another_number_is_another_lookup_and_workers_are_apart() {
    let mut tracker = Tracker::default();
    asked(&mut tracker, 0, &question(1, NAME, 1));
    let again = question(2, NAME, 1);
    let over = told(&mut tracker, &exchange(3 * SECOND, true, &again)).expect("the first is over");
    assert_eq!((over.state, over.asked.len()), (LookupState::GivenUp, 1));
    let elsewhere = Exchange { worker: 8, ..exchange(3 * SECOND, false, &again) };
    let reply = answer(&again, 3, &[]);
    assert_eq!(told(&mut tracker, &Exchange { payload: &reply, ..elsewhere }), None);
    assert_eq!(tracker.of(7, 4 * SECOND).len(), 1);
    tracker.forget(7);
    assert!(tracker.of(7, 4 * SECOND).is_empty());
}

#[test]
fn over_tcp_the_length_comes_first() {
    let mut tracker = Tracker::default();
    let v4 = question(1, NAME, 1);
    let framed = |bytes: &[u8]| [&[0, u8::try_from(bytes.len()).expect("short")][..], bytes].concat();
    let (asks, says) = (framed(&v4), framed(&answer(&v4, 5, &[])));
    assert_eq!(told(&mut tracker, &Exchange { tcp: true, ..exchange(0, true, &asks) }), None);
    let failed = told(&mut tracker, &Exchange { tcp: true, ..exchange(MS, false, &says) }).expect("decided");
    assert!(failed.state == LookupState::Failed(5) && failed.asked[0].tcp);
}

#[test]
fn running_lookups_are_bounded() {
    let mut tracker = Tracker::default();
    for number in 0..MAX_LOOKUPS + 10 {
        told(&mut tracker, &exchange(0, true, &question(1, &format!("n{number}.test"), 1)));
    }
    assert_eq!(tracker.running.len(), MAX_LOOKUPS);
}

/// With their lengths in front.
fn framed(messages: &[&[u8]]) -> Vec<u8> {
    let frame = |bytes: &&[u8]| {
        let length = u16::try_from(bytes.len()).expect("short").to_be_bytes();
        [&length[..], bytes].concat()
    };
    messages.iter().flat_map(frame).collect()
}

#[test]
fn over_tcp_several_messages_are_sent_and_received_at_once() {
    let mut tracker = Tracker::default();
    let (v4, v6) = (question(1, NAME, 1), question(2, NAME, 28));
    let over_tcp = |at, sent, payload: &[u8], tracker: &mut Tracker| {
        told(tracker, &Exchange { tcp: true, ..exchange(at, sent, payload) })
    };
    assert_eq!(over_tcp(0, true, &framed(&[&v4, &v6]), &mut tracker), None);
    let answers = framed(&[&answer(&v4, 0, &[1]), &answer(&v6, 0, &[])]);
    assert_eq!(over_tcp(MS, false, &answers, &mut tracker), None);
    assert!(tracker.running.is_empty(), "an answered name is no news");
    // The second one is only there in part: what is missing decides nothing.
    assert_eq!(over_tcp(0, true, &framed(&[&v4, &v6]), &mut tracker), None);
    assert_eq!(over_tcp(MS, false, &answers[..answers.len() - v6.len() - 1], &mut tracker), None);
    assert_eq!(tracker.running.len(), 1);
}

//! nginx used a pooled connection that the origin had closed.

use super::{Cause, Finding, Signal, limit};
use crate::case::Case;
use crate::event::{MS, Nanos};
use crate::text::sentence;
use crate::verdict::{Confidence, Try, TryEnd};

pub(super) const CAUSE: Cause = Cause {
    id: "stale-keepalive",
    reason: Some(5),
    title: "nginx reused an idle connection that the origin was closing",
    means: "The origin closes idle connections after a timeout of its own, and nginx sent a request on one at \
            just that moment. GET requests are retried silently; POST requests fail with 502. It happens \
            wherever nginx keeps connections longer than the application does.",
    told_apart: "The connection had carried a request before, and the close arrived before the request or \
                 crossed it. If the origin had the request and then closed, it is `premature-close` or \
                 `reset-by-backend`.",
    fix: "Let nginx close first: `keepalive_timeout` in upstream{} below the application's idle timeout (by \
          default: Node and uvicorn 5 s, gunicorn 2 s, Puma and Tomcat 20 s), or raise the application's.",
    rivals: &["premature-close", "reset-by-backend", "tls-handshake-failed"],
    needs: &[Signal::Requests, Signal::Answers, Signal::Resets, Signal::UnixConnections, Signal::UnixEnds],
    judge,
    ..Cause::BLANK
};

/// A reset that came that much before the send ended may be its answer: what rejects on this host answers from within.
const ANSWERED_AT_ONCE: Nanos = MS;

fn judge(case: &Case<'_>) -> Option<Finding> {
    let attempt = &case.attempt;
    if case.connecting() || case.connect.is_some() {
        return None;
    }
    let target = case.target();
    let (fin, reset) = (case.fin_at(), case.reset_at());
    if !attempt.outstanding {
        return case.dead_in_pool().then(|| {
            let how = if case.reset_in_pool() { "reset" } else { "closed" };
            Finding::proven(format!(
                "nginx took a pooled connection that {target} had already {how}.{}",
                burnt(case)
            ))
            .fix(fix(case))
        });
    }
    if !case.reused() || attempt.bytes_received > 0 {
        return None;
    }
    let ended = fin.into_iter().chain(reset).min()?;
    let sent = attempt.request.unwrap_or(attempt.begun);
    let before = ended < sent && (reset.is_none() || sent - ended >= ANSWERED_AT_ONCE);
    let finding = if attempt.sent_after_fin || before {
        Finding::proven(format!(
            "nginx sent the request on a pooled connection that {target} had already closed.{}",
            burnt(case)
        ))
    } else if attempt.unacked_at_end && fin.is_some() {
        Finding::proven(format!(
            "{target} closed a pooled connection at the moment nginx sent the request on it."
        ))
    } else if attempt.unacked_at_end {
        Finding::likely(format!(
            "{target} answered the request on a pooled connection with RST: it had closed the connection before."
        ))
        .or(&["reset-by-backend"])
    } else if ended.saturating_sub(sent) <= u64::from(attempt.socket.srtt_us) * 1_000 {
        Finding::likely(format!("{target} closed a pooled connection within one round trip of the request."))
            .or(&[if reset.is_some() { "reset-by-backend" } else { "premature-close" }])
    } else {
        return None;
    };
    let finding = if case.maybe_unused() && !attempt.sent_after_fin {
        // It may have been a handshake that the other side did not like.
        Finding { confidence: Confidence::Possible, ..finding }
            .or(&["premature-close", "tls-handshake-failed"])
    } else {
        finding
    };
    Some(finding.fix(fix(case)))
}

/// The idle time at which the origin closed is what nginx has to stay below.
fn fix(case: &Case<'_>) -> String {
    let attempt = &case.attempt;
    let ended = case.fin_at().into_iter().chain(case.reset_at()).min();
    let idle = attempt.last_recv.zip(ended).map(|(last, end)| end.saturating_sub(last) / MS);
    let seen = idle
        .filter(|ms| *ms >= 100)
        .map(|ms| format!(" It had been idle for {}.{} s.", ms / 1_000, ms % 1_000 / 100))
        .unwrap_or_default();
    let kept = case.group().and_then(|group| {
        let setting =
            group.keepalive_timeout.as_ref().filter(|_| group.keepalive.is_some_and(|kept| kept > 0))?;
        Some(format!(
            " nginx keeps idle connections up to {} in upstream {}.",
            limit::set(setting),
            sentence(&group.name)
        ))
    });
    format!(
        "Set `keepalive_timeout` in upstream{{}} below the application's idle timeout, or raise the latter.{seen}{}",
        kept.unwrap_or_default()
    )
}

/// nginx takes one pooled connection after the other, and they died together.
fn burnt(case: &Case<'_>) -> String {
    let Some(tries) = case.tries else { return String::new() };
    let dead = |one: &Try| one.end == TryEnd::Failed(CAUSE.id);
    let others =
        tries.chain.iter().enumerate().filter(|(index, one)| *index != tries.this && dead(one)).count();
    match others {
        0 => String::new(),
        others => format!(" This request hit {} dead pooled connections in a row.", others + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::BenignEnd;
    use crate::event::{Ended, Step, Upstream};
    use crate::testkit::{config, expect, moment, reused_request, unanswered_request, with_fin, with_reset};
    use crate::verdict::{Confidence, Tries};

    #[test]
    fn sent_after_the_fin() {
        let mut attempt = with_fin(reused_request(), 9_999);
        attempt.sent_after_fin = true;
        let case = Case::of_attempt(&attempt);
        expect(&case, "stale-keepalive", Confidence::Proven);
        assert!(judge(&case).and_then(|found| found.fix).is_some_and(|fix| fix.contains("idle for 9.9 s")));
    }

    #[test]
    fn a_fin_that_crossed_the_request_and_one_that_answered_it() {
        let mut attempt = with_fin(reused_request(), 10_005);
        expect(&Case::of_attempt(&attempt), "premature-close", Confidence::Proven);
        attempt.unacked_at_end = true;
        expect(&Case::of_attempt(&attempt), "stale-keepalive", Confidence::Proven);
    }

    #[test]
    fn a_reset_that_took_nothing_of_the_request() {
        let mut attempt = with_reset(reused_request(), 10_005);
        expect(&Case::of_attempt(&attempt), "reset-by-backend", Confidence::Likely);
        attempt.unacked_at_end = true;
        expect(&Case::of_attempt(&attempt), "stale-keepalive", Confidence::Likely);
    }

    #[test]
    fn a_pooled_unix_socket_tells_on_sending_that_it_is_closed() {
        let mut attempt = reused_request();
        attempt.upstream = Some(Upstream::Unix("/run/app.sock".to_owned()));
        (attempt.outstanding, attempt.bytes_received, attempt.send_error) = (false, 500, true);
        attempt.answer = attempt.last_send.map(|sent| sent + MS);
        attempt.trail.push(moment(12_000, Step::SendError { errno: 32 }));
        let case = Case::of_attempt(&attempt);
        assert_eq!((case.benign_end(), case.status()), (None, Some(502)));
        expect(&case, "stale-keepalive", Confidence::Proven);
        attempt.send_blocked = true;
        assert_eq!(
            Case::of_attempt(&attempt).benign_end(),
            Some(BenignEnd::Answered),
            "answered in the middle of sending"
        );
    }

    #[test]
    fn several_that_died_together_and_how_long_nginx_keeps_its_own() {
        let mut attempt = with_fin(reused_request(), 9_999);
        attempt.sent_after_fin = true;
        let one = |attempt, end| Try { attempt, upstream: None, end };
        let chain = vec![
            one(crate::testkit::id(9), TryEnd::Failed(CAUSE.id)),
            one(crate::testkit::id(1), TryEnd::Unknown),
            one(crate::testkit::id(2), TryEnd::Answered),
        ];
        let (tries, mut read) = (Tries { chain, this: 1 }, config());
        read.groups[0].keepalive = Some(8);
        read.groups[0].keepalive_timeout = Some(read.passes[1].read.clone());
        let mut case = Case::of_attempt(&attempt);
        (case.tries, case.config) = (Some(&tries), Some(&read));
        let found = judge(&case).expect("found");
        assert!(
            found.summary.ends_with("This request hit 2 dead pooled connections in a row."),
            "{}",
            found.summary
        );
        assert!(found.fix.is_some_and(|fix| fix.ends_with("60s` (nginx's default) in upstream backend.")));
    }

    #[test]
    fn a_first_request_is_never_stale() {
        let mut attempt = with_fin(unanswered_request(), 3);
        attempt.unacked_at_end = true;
        assert_eq!(judge(&Case::of_attempt(&attempt)), None);
    }

    #[test]
    fn reset_in_the_pool_counts_only_if_nginx_tried_it() {
        let mut attempt = with_reset(reused_request(), 9_000);
        attempt.outstanding = false;
        attempt.answer = Some(attempt.begun);
        attempt.bytes_received = 500;
        assert_eq!(Case::of_attempt(&attempt).benign_end(), Some(BenignEnd::Answered));
        attempt.error_fetched = true;
        attempt.ended = Ended::Broken;
        let case = Case::of_attempt(&attempt);
        assert_eq!((case.benign_end(), case.status()), (None, Some(502)));
        expect(&case, "stale-keepalive", Confidence::Proven);
    }
}
